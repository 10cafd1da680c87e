"""Label selectors as Marathon spells them: `a==b, c!=d, e in (f, g), h notin (i), j`.

A backslash takes the letter after it as it is. Source: Marathon 1.11's REST API.
"""

import re
from collections.abc import Callable, Mapping

from bireme.marathon.errors import unprocessable

Selector = Callable[[Mapping[str, str]], bool]

_WORD = r"((?:\\.|[^\s!=,()\\])+)"
_TERM = re.compile(
    rf"\s*{_WORD}\s*(?:(==|!=)\s*{_WORD}|\b(in|notin)\s*\(([^)]*)\))?\s*(,|$)",
)


def parse(text: str) -> Selector:
    """The test that a selector makes. Raises MarathonError."""
    tests: list[Selector] = []
    place = 0
    while True:
        found = _TERM.match(text, place)
        if found is None:
            raise unprocessable(f"'{text}' is not a valid label selector")
        tests.append(_test(*(found.group(number) or "" for number in range(1, 6))))
        place = found.end()
        if found.group(6) != ",":
            return lambda labels: all(test(labels) for test in tests)


def _test(key: str, compares: str, value: str, member: str, values: str) -> Selector:
    key, value = _plain(key), _plain(value)
    among = frozenset(_plain(each.strip()) for each in values.split(",")) if member else frozenset((value,))
    match compares or member:
        case "==" | "in":
            return lambda labels: labels.get(key) in among
        case "!=" | "notin":
            return lambda labels: key not in labels or labels[key] not in among
    return lambda labels: key in labels


def _plain(text: str) -> str:
    return re.sub(r"\\(.)", r"\1", text)
