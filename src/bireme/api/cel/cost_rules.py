"""What calls cost when they are made, by the names of rules that function tables use.

One unit is about the work of a comparison. A text costs a tenth of its length each time it is gone over, a
pattern a quarter of its length for each such tenth. Left to others: what they may cost at most (`estimate.py`).
Source: the documentation of CEL in Kubernetes, "Resource use by validation functions".
"""

import math
from collections.abc import Callable
from typing import Any

from bireme.api.cel.values import size_of

TEXT = 0.1
PATTERN = 0.25
CHECK = 350_000
LIST, MAP, STRUCT = 10, 30, 40

Rule = Callable[[list[Any]], int]


def _traverse(given: list[Any]) -> int:
    return math.ceil(size_of(given[0]) * TEXT)


def _twice(given: list[Any]) -> int:
    return math.ceil(size_of(given[0]) * 2 * TEXT)


def _elements(given: list[Any]) -> int:
    value = given[0]
    if isinstance(value, str):
        return math.ceil(len(value) * TEXT)
    return len(value) + sum(math.ceil(len(each) * TEXT) for each in value if isinstance(each, (str, bytes)))


def _argument(given: list[Any]) -> int:
    return math.ceil(size_of(given[1]) * TEXT)


def _contains(given: list[Any]) -> int:
    return math.ceil(size_of(given[0]) * TEXT) * math.ceil(size_of(given[1]) * TEXT)


def _pattern(given: list[Any]) -> int:
    return math.ceil((1 + size_of(given[0])) * TEXT) * math.ceil(size_of(given[1]) * PATTERN)


def _member(given: list[Any]) -> int:
    return size_of(given[1])


def _shorter(given: list[Any]) -> int:
    return math.ceil(min(size_of(given[0]), size_of(given[1])) * TEXT)


def _joined(given: list[Any]) -> int:
    return math.ceil((size_of(given[0]) + size_of(given[1])) * TEXT)


def _product(given: list[Any]) -> int:
    return 1 + size_of(given[0]) * size_of(given[1])


def _addresses(given: list[Any]) -> int:
    cost = math.ceil(2 * size_of(given[0]) * TEXT)
    return cost + (math.ceil(len(given[1]) * TEXT) if isinstance(given[1], str) else 0)


RULES: dict[str, Rule] = {
    "traverse": _traverse,
    "twice": _twice,
    "elements": _elements,
    "argument": _argument,
    "contains": _contains,
    "pattern": _pattern,
    "member": _member,
    "shorter": _shorter,
    "joined": _joined,
    "product": _product,
    "addresses": _addresses,
    "check": lambda given: CHECK,
}
