"""Whether an applied configuration fits its kind: only known fields, values of their type, no item twice.

The words are those that clients of Kubernetes see. Source: the validating walker of
sigs.k8s.io/structured-merge-diff.
"""

from collections.abc import Iterator
from typing import Any

from bireme.api.managed_sets import path_text
from bireme.api.managed_types import OPEN, Owned, Typed
from bireme.api.shape import Form

MOST_FAULTS = 10
MOST_TEXT = 1 << 20

Path = tuple[Any, str] | None  # the path above and the step from there; None is the object itself

_EXPECTED: dict[Form, tuple[str, tuple[type, ...]]] = {
    Form.STRING: ("string", (str,)),
    Form.BYTES: ("string", (str,)),
    Form.TIME: ("string", (str,)),
    Form.BOOLEAN: ("boolean", (bool,)),
    Form.INT32: ("numeric (int or float)", (int, float)),
    Form.INT64: ("numeric (int or float)", (int, float)),
    Form.NUMBER: ("numeric (int or float)", (int, float)),
}


def faults(typed: Typed, config: Any) -> list[str]:
    """What is wrong with a configuration, each as `.path: what`; the first few."""
    found: list[str] = []
    size = 0
    for fault in _faults(typed, config, None):
        found.append(fault)
        size += len(fault)
        if len(found) == MOST_FAULTS or size > MOST_TEXT:
            break
    return found


def told(found: list[str]) -> str:
    """Faults as one message."""
    return found[0] if len(found) == 1 else "errors:\n" + "\n".join(f"  {fault}" for fault in found)


def _faults(typed: Typed, value: Any, path: Path) -> Iterator[str]:
    if value is None:
        return
    match typed.form:
        case Form.OBJECT | Form.MAP if not isinstance(value, dict):
            yield f"{_text(path)}: expected map, got {_got(value)}"
        case Form.LIST if not isinstance(value, list):
            yield f"{_text(path)}: expected list, got {_got(value)}"
        case Form.OBJECT | Form.MAP:
            yield from _map_faults(typed, value, path)
        case Form.LIST if typed.owned is not Owned.WHOLE:
            yield from _list_faults(typed, value, path)
        case _:
            wanted = _EXPECTED.get(typed.form)
            if wanted and (not isinstance(value, wanted[1]) or isinstance(value, bool) is not (bool in wanted[1])):
                yield f"{_text(path)}: expected {wanted[0]}, got {_got(value)}"


def _map_faults(typed: Typed, value: dict[str, Any], path: Path) -> Iterator[str]:
    if typed.owned is Owned.WHOLE:
        return  # looked at with the merged object
    for name, item in value.items():
        below = typed.field(name)
        if below is None:
            yield f"{_text(path)}.{name}: field not declared in schema"
        else:
            yield from _faults(below, item, (path, f".{name}"))


def _list_faults(typed: Typed, value: list[Any], path: Path) -> Iterator[str]:
    seen: set[str] = set()
    for place, item in enumerate(value):
        if typed.owned is Owned.KEYS:
            fault = _key_fault(typed, item)
            if fault:
                yield f"{_text(path)}: element {place}: {fault}"
                continue
        elif item is None:
            yield f"{_text(path)}: element {place}: associative list without keys may not contain null"
            continue
        element = typed.element(item)
        shown = path_text((element,))
        if element in seen:
            yield f"{_text(path)}: duplicate entries for key {shown}"
        seen.add(element)
        yield from _faults(typed.items or OPEN, item, (path, shown))


def _key_fault(typed: Typed, item: Any) -> str:
    if item is None:
        return "associative list with keys may not contain a null element"
    if not isinstance(item, dict):
        return "associative list with keys may not contain non-map elements"
    for name in typed.keys:
        if isinstance(item.get(name), dict | list):
            return f'associative list with keys has an element whose key field "{name}" is no scalar'
        if item.get(name) is None and name not in typed.key_defaults:
            return (
                f'associative list with keys has an element that omits key field "{name}" '
                "(and doesn't have default value)"
            )
    return ""


def _text(path: Path) -> str:
    steps: list[str] = []
    while path is not None:
        path, step = path
        steps.append(step)
    return "".join(reversed(steps))


def _got(value: Any) -> str:
    match value:
        case bool():
            return "boolean"
        case dict():
            return "map"
        case list():
            return "list"
        case int() | float():
            return str(value)
        case _:
            return f'"{value}"' if isinstance(value, str) else str(value)
