"""The parts of a parsed expression, after macros have been expanded.

Every part has an id that is unique in its expression, under which the checker and the cost estimate keep what
they find out. Source: the CEL specification, `syntax.proto`.
"""

from dataclasses import dataclass
from typing import Any, TypeAlias


@dataclass(frozen=True, slots=True)
class Constant:
    """A literal; unsigned numbers are `values.UInt`."""

    id: int
    value: Any


@dataclass(frozen=True, slots=True)
class Ident:
    """A name."""

    id: int
    name: str


@dataclass(frozen=True, slots=True)
class Select:
    """`operand.field`; `test` for `has(operand.field)`."""

    id: int
    operand: "Expr"
    field: str
    test: bool


@dataclass(frozen=True, slots=True)
class Call:
    """`target.function(args)`, or `function(args)`; operators are functions such as `_+_`."""

    id: int
    target: "Expr | None"
    function: str
    args: "tuple[Expr, ...]"


@dataclass(frozen=True, slots=True)
class ListOf:
    """A list literal; elements at `optional` places are left out when they have no value."""

    id: int
    elements: "tuple[Expr, ...]"
    optional: frozenset[int]


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of a map or a struct; `key` is a name in structs."""

    id: int
    key: "Expr | str"
    value: "Expr"
    optional: bool


@dataclass(frozen=True, slots=True)
class MapOf:
    """A map literal."""

    id: int
    entries: tuple[Entry, ...]


@dataclass(frozen=True, slots=True)
class StructOf:
    """`name{field: value}`."""

    id: int
    name: str
    entries: tuple[Entry, ...]


@dataclass(frozen=True, slots=True)
class Comprehension:
    """A loop over `range`, which macros such as `all` and `map` come down to; `cel.bind` is one without rounds."""

    id: int
    variable: str
    second: str
    range: "Expr"
    accumulator: str
    start: "Expr"
    condition: "Expr"
    step: "Expr"
    result: "Expr"


Expr: TypeAlias = Constant | Ident | Select | Call | ListOf | MapOf | StructOf | Comprehension


@dataclass(frozen=True, slots=True)
class Parsed:
    """An expression with where its parts stand in the text, as offsets by id."""

    text: str
    expr: Expr
    positions: dict[int, int]

    def fault(self, id: int, message: str) -> str:
        """An error at a part, with the line and a mark under the place."""
        offset = self.positions.get(id, 0)
        before = self.text[:offset]
        row = before.count("\n")
        column = offset - (before.rfind("\n") + 1)
        line = self.text.split("\n")[row]
        return f"ERROR: <input>:{row + 1}:{column + 1}: {message}\n | {line}\n | {'.' * column}^"


def is_bind(expr: Comprehension) -> bool:
    """Whether this is `cel.bind`: a name for a value, and no loop."""
    return isinstance(expr.range, ListOf) and not expr.range.elements and expr.variable == "#unused"


def dotted(expr: Expr | None) -> str | None:
    """`a.b.c` where that is all there is, for names with dots."""
    if isinstance(expr, Ident):
        return expr.name
    if isinstance(expr, Select) and not expr.test:
        head = dotted(expr.operand)
        return None if head is None else f"{head}.{expr.field}"
    return None
