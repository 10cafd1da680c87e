"""JSON paths, as printer columns, scales and selectable fields name parts of an object.

Only paths that lead through fields, indexes, `[*]`, slices and filters on equality are known, which is what
`kubectl`-style templates of columns use; a path is compiled once. Source: the JSONPath documentation of Kubernetes.
"""

import re
from collections.abc import Callable
from typing import Any

Find = Callable[[Any], list[Any]]

_FIELD = re.compile(r"\.([A-Za-z0-9_$-]+(?:\\\.[A-Za-z0-9_$/-]+)*)")
_QUOTED = re.compile(r"""\[\s*(?:'((?:[^'\\]|\\.)*)'|"((?:[^"\\]|\\.)*)")\s*\]""")
_INDEX = re.compile(r"\[\s*(-?\d+)\s*\]")
_SLICE = re.compile(r"\[\s*(-?\d*)\s*:\s*(-?\d*)\s*(?::\s*(-?\d*)\s*)?\]")
_ALL = re.compile(r"\[\s*\*\s*\]|\.\*")
_FILTER = re.compile(
    r"""\[\?\(\s*@((?:\.[A-Za-z0-9_-]+)+)\s*(?:(==|!=|<=|>=|<|>)\s*('[^']*'|"[^"]*"|-?[\d.]+|true|false)\s*)?\)\]"""
)
_DESCENT = re.compile(r"\.\.([A-Za-z0-9_-]+)")
_SIMPLE = re.compile(r"(\.[A-Za-z_][A-Za-z0-9_-]*|\['[^'\]]+'\])+")
LONGEST = 4096


class BadPath(ValueError):
    """The text is no path."""


def compile_path(text: str) -> Find:
    """What gives all values at a path, in order. Raises BadPath."""
    steps: list[Callable[[list[Any]], list[Any]]] = []
    rest = text.strip()
    if rest.startswith("{") and rest.endswith("}"):
        rest = rest[1:-1].strip()
    rest = rest.removeprefix("$").removeprefix("@")
    if rest and rest[0] not in ".[":
        rest = "." + rest
    while rest and rest != ".":
        step, length = _step(rest)
        steps.append(step)
        rest = rest[length:]

    def find(tree: Any) -> list[Any]:
        found = [tree]
        for step in steps:
            found = step(found)
            if not found:
                break
        return found

    return find


def simple_path(text: str) -> tuple[str, ...] | None:
    """The fields of a path that leads through fields alone; None for any other."""
    if not _SIMPLE.fullmatch(text):
        return None
    return tuple(plain or quoted for plain, quoted in re.findall(r"\.([A-Za-z0-9_-]+)|\['([^'\]]+)'\]", text))


def at_path(tree: Any, path: tuple[str, ...]) -> Any:
    """What stands at a path of fields; None where nothing does."""
    for name in path:
        if not isinstance(tree, dict):
            return None
        tree = tree.get(name)
    return tree


def _step(rest: str) -> tuple[Callable[[list[Any]], list[Any]], int]:
    if match := _DESCENT.match(rest):
        return _descend(match[1]), match.end()
    if match := _ALL.match(rest):
        return _everything, match.end()
    if match := _QUOTED.match(rest):
        return _field(re.sub(r"\\(.)", r"\1", match[1] if match[1] is not None else match[2])), match.end()
    if match := _INDEX.match(rest):
        return _index(int(match[1])), match.end()
    if match := _SLICE.match(rest):
        return _slice(*(int(part) if part else None for part in match.groups())), match.end()
    if match := _FILTER.match(rest):
        return _filter(match[1], match[2] or "", match[3] or ""), match.end()
    if match := _FIELD.match(rest):
        return _field(match[1].replace("\\.", ".")), match.end()
    raise BadPath(f"unrecognized character in action: {rest[:32]!r}")


def _field(name: str) -> Callable[[list[Any]], list[Any]]:
    return lambda found: [each[name] for each in found if isinstance(each, dict) and name in each]


def _everything(found: list[Any]) -> list[Any]:
    made: list[Any] = []
    for each in found:
        made += each.values() if isinstance(each, dict) else each if isinstance(each, list) else ()
    return made


def _index(number: int) -> Callable[[list[Any]], list[Any]]:
    return lambda found: [
        each[number] for each in found if isinstance(each, list) and -len(each) <= number < len(each)
    ]


def _slice(begin: int | None, end: int | None, step: int | None) -> Callable[[list[Any]], list[Any]]:
    chosen = slice(begin, end, step or 1)
    return lambda found: [item for each in found if isinstance(each, list) for item in each[chosen]]


def _descend(name: str) -> Callable[[list[Any]], list[Any]]:
    def find(found: list[Any]) -> list[Any]:
        made, waiting = [], list(reversed(found))
        while waiting:
            each = waiting.pop()
            if isinstance(each, dict):
                if name in each:
                    made.append(each[name])
                waiting += reversed(list(each.values()))
            elif isinstance(each, list):
                waiting += reversed(each)
        return made

    return find


def _filter(path: str, operator: str, literal: str) -> Callable[[list[Any]], list[Any]]:
    names = tuple(path.split(".")[1:])
    wanted = _literal(literal)

    def fits(item: Any) -> bool:
        value = at_path(item, names)
        return _compare(value, operator, wanted) if operator else value is not None

    return lambda found: [
        item for each in found if isinstance(each, list | dict) for item in _everything([each]) if fits(item)
    ]


def _literal(text: str) -> Any:
    if text[:1] in ("'", '"'):
        return text[1:-1]
    if text in ("true", "false"):
        return text == "true"
    return (float(text) if "." in text else int(text)) if text else None


def _compare(value: Any, operator: str, wanted: Any) -> bool:
    if operator == "==":
        return bool(value == wanted)
    if operator == "!=":
        return bool(value != wanted)
    try:
        below, above = value < wanted, value > wanted
    except TypeError:
        return False
    return bool({"<": below, ">": above, "<=": not above, ">=": not below}[operator])
