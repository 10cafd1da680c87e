"""Texts: the strings extension, patterns, and escapes for JSON pointers.

Source: the documentation of cel-go's ext.Strings, and of the regex library of Kubernetes.
"""

import datetime
import re
from typing import Any

from bireme.api.cel.coercion import show_duration, show_timestamp
from bireme.api.cel.cost_rules import RULES
from bireme.api.cel.errors import CelError
from bireme.api.cel.functions import Row
from bireme.api.cel.library.standard import Spend, check_size, show_double
from bireme.api.cel.regex import find_all
from bireme.api.cel.values import TypeValue, kind_of

_UPPER = {code: code - 32 for code in range(ord("a"), ord("z") + 1)}
_LOWER = {code: code + 32 for code in range(ord("A"), ord("Z") + 1)}
_CLAUSE = re.compile(r"%(?:%|(?:\.(\d+))?([a-zA-Z]))")
_LARGEST_PRECISION = 1000
# A finding takes ten times as long as a comparison; more than these would be over any budget.
_EACH_FOUND = 10
# Texts that are built cost a tenth of their length, also where what they are built from is short.
_BUILT = 10
_MOST_FOUND = 100_001


def _char_at(text: str, index: int) -> str:
    if not 0 <= index <= len(text):
        raise CelError(f"index out of range: {index}")
    return text[index : index + 1]


def _index_of(text: str, part: str, start: int = 0) -> int:
    if not 0 <= start <= len(text) and part:
        raise CelError(f"index out of range: {start}")
    return text.find(part, start) if part else start


def _last_index_of(text: str, part: str, last: int | None = None) -> int:
    if last is None:
        return text.rfind(part)
    if not 0 <= last <= len(text):
        raise CelError(f"index out of range: {last}")
    return text.rfind(part, 0, last + len(part))


def _replace(spend: Spend, text: str, old: str, new: str, count: int = -1) -> str:
    times = text.count(old) if count < 0 else min(count, text.count(old))
    size = len(text) + times * max(0, len(new) - len(old))
    check_size(size)
    spend(max(RULES["twice"]([text]), size // _BUILT))
    return text.replace(old, new, count)


def _split(text: str, separator: str, count: int = -1) -> list[str]:
    if count == 0:
        return []
    if not separator:
        characters = list(text)
        if 0 < count < len(characters):
            return [*characters[: count - 1], "".join(characters[count - 1 :])]
        return characters
    return text.split(separator, -1 if count < 0 else count - 1)


def _substring(text: str, start: int, end: int | None = None) -> str:
    stop = len(text) if end is None else end
    if not 0 <= start <= len(text) or not 0 <= stop <= len(text) or start > stop:
        raise CelError(f"invalid substring range. start: {start}, end: {stop}")
    return text[start:stop]


def _join(spend: Spend, items: list[str], separator: str = "") -> str:
    size = sum(map(len, items)) + len(separator) * len(items)
    check_size(size)
    spend(max(RULES["elements"]([items]), size // _BUILT))
    return separator.join(items)


def _quote(text: str) -> str:
    for plain, escaped in (
        ("\\", "\\\\"),
        ('"', '\\"'),
        ("\a", "\\a"),
        ("\b", "\\b"),
        ("\f", "\\f"),
        ("\n", "\\n"),
        ("\r", "\\r"),
        ("\t", "\\t"),
        ("\v", "\\v"),
    ):
        text = text.replace(plain, escaped)
    return f'"{text}"'


def _find(text: str, pattern: str) -> str:
    found = find_all(text, pattern, 1)
    return found[0] if found else ""


def _find_some(spend: Spend, text: str, pattern: str, limit: int = -1) -> list[str]:
    spend(RULES["pattern"]([text, pattern]))
    found = find_all(text, pattern, _MOST_FOUND if limit < 0 else min(limit, _MOST_FOUND))
    spend(len(found) * _EACH_FOUND)
    return found


def _escape_key(text: str) -> str:
    return text.replace("~", "~0").replace("/", "~1")


# Formatting


def _format(spend: Spend, template: str, given: list[Any]) -> str:
    made, size = [], 0
    spend(RULES["traverse"]([template]))
    at = place = 0
    for clause in _CLAUSE.finditer(template):
        _no_stray(template[at : clause.start()])
        made.append(template[at : clause.start()])
        at = clause.end()
        if clause[0] == "%%":
            made.append("%")
            continue
        if place >= len(given):
            raise CelError(f"index {place} out of range")
        made.append(_clause(clause[2], clause[1], given[place]))
        size += len(made[-1])
        check_size(size)
        spend(len(made[-1]) // _BUILT)
        place += 1
    _no_stray(template[at:])
    return "".join((*made, template[at:]))


def _no_stray(text: str) -> None:
    if "%" in text:
        raise CelError("could not parse formatting clause: unexpected end of string")


def _clause(verb: str, precision: str | None, value: Any) -> str:
    digits = 6 if precision is None else int(precision[:6])
    if digits > _LARGEST_PRECISION:
        raise CelError("precision is too large")
    kind = kind_of(value)
    number = kind in ("int", "uint", "double")
    match verb:
        case "s":
            return _shown(value)
        case "d" if kind in ("int", "uint"):
            return str(int(value))
        case "f" if number:
            return f"{value:.{digits}f}"
        case "e" if number:
            return f"{value:.{digits}e}"
        case "b" if kind in ("int", "uint"):
            return f"{int(value):b}"
        case "b" if kind == "bool":
            return "1" if value else "0"
        case "o" if kind in ("int", "uint"):
            return f"{int(value):o}"
        case "x" | "X" if kind in ("int", "uint"):
            return f"{int(value):{verb}}"
        case "x" | "X" if kind in ("string", "bytes"):
            text = (value.encode() if isinstance(value, str) else value).hex()
            return text if verb == "x" else text.upper()
        case "d" | "f" | "e" | "b" | "o" | "x" | "X":
            raise CelError(f"error during formatting: %{verb} cannot be used on {kind}")
    raise CelError(f'could not parse formatting clause: unrecognized formatting clause "{verb}"')


def _shown(value: Any) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case float():
            return show_double(value)
        case str():
            return value
        case bytes():
            return value.decode(errors="replace")
        case list():
            return f"[{', '.join(map(_shown, value))}]"
        case dict():
            entries = sorted((_shown(key), _shown(each)) for key, each in value.items())
            return "{" + ", ".join(f"{key}: {each}" for key, each in entries) + "}"
        case TypeValue():
            return value.name
        case datetime.datetime():
            return show_timestamp(value)
        case datetime.timedelta():
            return show_duration(value)
    return str(value)


ROWS: list[Row] = [
    ("charAt", "string.(int): string", _char_at),
    ("indexOf", "string.(string): int", _index_of, "elements"),
    ("indexOf", "string.(string, int): int", _index_of, "elements"),
    ("lastIndexOf", "string.(string): int", _last_index_of, "elements"),
    ("lastIndexOf", "string.(string, int): int", _last_index_of, "elements"),
    ("lowerAscii", "string.(): string", lambda text: text.translate(_LOWER), "traverse"),
    ("upperAscii", "string.(): string", lambda text: text.translate(_UPPER), "traverse"),
    ("replace", "string.(string, string): string", _replace, "metered"),
    ("replace", "string.(string, string, int): string", _replace, "metered"),
    ("split", "string.(string): list<string>", _split, "twice"),
    ("split", "string.(string, int): list<string>", _split, "twice"),
    ("substring", "string.(int): string", _substring, "traverse"),
    ("substring", "string.(int, int): string", _substring, "traverse"),
    ("trim", "string.(): string", str.strip, "traverse"),
    ("reverse", "string.(): string", lambda text: text[::-1], "traverse"),
    ("join", "list<string>.(): string", _join, "metered"),
    ("join", "list<string>.(string): string", _join, "metered"),
    ("format", "string.(list<dyn>): string", _format, "metered"),
    ("strings.quote", "(string): string", _quote, "traverse"),
    ("find", "string.(string): string", _find, "pattern"),
    ("findAll", "string.(string): list<string>", _find_some, "metered"),
    ("findAll", "string.(string, int): list<string>", _find_some, "metered"),
    ("jsonpatch.escapeKey", "(string): string", _escape_key, "traverse"),
]
