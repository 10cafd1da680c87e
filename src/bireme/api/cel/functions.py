"""Functions with their overloads, each declared by one line of a table.

A signature reads as error messages show it: `(string, int): bool`, or `string.(int): bool` for what is called
on a value. `cost` names a rule of `cost_rules.py`.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from bireme.api.cel.types import Type, named

Implementation = Callable[..., Any]
# Function, signature, implementation, and the cost rule where it is not "one".
Row = tuple[str, str, Implementation] | tuple[str, str, Implementation, str]

_SIGNATURE = re.compile(r"(?:(?P<target>[^(]+)\.)?\((?P<parameters>.*)\): (?P<result>.+)")
_COMMA = re.compile(r",\s*(?![^<]*>)")


@dataclass(frozen=True, slots=True, eq=False)
class Overload:
    """One meaning of a function; what it is called on is the first of `parameters`."""

    function: str
    member: bool
    parameters: tuple[Type, ...]
    result: Type
    run: Implementation
    cost: str
    generic: bool


Functions = Mapping[str, tuple[Overload, ...]]


def declared(*tables: Iterable[Row]) -> Functions:
    """The functions of some tables by name."""
    found: dict[str, tuple[Overload, ...]] = {}
    for table in tables:
        for row in table:
            overload = _overload(row)
            found[overload.function] = (*found.get(overload.function, ()), overload)
    return found


def _overload(row: Row) -> Overload:
    function, signature, run = row[:3]
    match = _SIGNATURE.fullmatch(signature)
    assert match is not None, signature
    target, inside = match["target"], match["parameters"]
    texts = ([target] if target else []) + (_COMMA.split(inside) if inside else [])
    result = match["result"]
    return Overload(
        function,
        bool(target),
        tuple(named(text) for text in texts),
        named(result),
        run,
        row[3] if len(row) == 4 else "one",
        generic=bool(re.search(r"\b[A-Z]\b", signature)),
    )
