"""What an expression may cost at most, worked out from its text and from how large values can get.

Sizes and costs are ranges. The size of data comes from its schema (`Type.largest`); what has no bound there is
taken to be without bound. The cost of a loop is that of a round times the size of what it goes over. What is
refused because of these figures was refused by the original with the same, so the rules of each function are its
own: sources are the documentation of CEL in Kubernetes, and cel-go's `checker.Cost`.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

from bireme.api.cel.ast import Call, Comprehension, Constant, Expr, Ident, ListOf, MapOf, Select, StructOf, is_bind
from bireme.api.cel.checker import Checked
from bireme.api.cel.cost_rules import CHECK, LIST, MAP, PATTERN, STRUCT, TEXT
from bireme.api.cel.types import DYN, Type

MOST = (1 << 64) - 1
_CONTAINERS = ("map", "object", "dyn")


class Range(NamedTuple):
    """From the least to the most, of a size or a cost; never over 2^64 - 1."""

    low: int
    high: int

    def plus(self, other: "Range") -> "Range":
        return Range(min(self.low + other.low, MOST), min(self.high + other.high, MOST))

    def times(self, other: "Range") -> "Range":
        return Range(min(self.low * other.low, MOST), min(self.high * other.high, MOST))

    def scaled(self, factor: float) -> "Range":
        return Range(_scaled(self.low, factor), _scaled(self.high, factor))

    def union(self, other: "Range") -> "Range":
        return Range(min(self.low, other.low), max(self.high, other.high))


Cost = Range
NOTHING, ONE, UNKNOWN = Range(0, 0), Range(1, 1), Range(0, MOST)


class Found(NamedTuple):
    """What is known of a part: its cost, the size of its value, and the size of what that holds."""

    cost: Range
    size: Range
    element: Range = UNKNOWN


def _scaled(amount: int, factor: float) -> int:
    return MOST if amount >= MOST else min(MOST, math.ceil(round(amount * factor, 6)))


def fixed(amount: int) -> Range:
    """Exactly that."""
    return Range(amount, amount)


def estimate(checked: Checked) -> Cost:
    """What one evaluation costs, at least and at most."""
    return _Estimator(checked).of(checked.parsed.expr).cost


def size_of_type(kind: Type) -> Range:
    """How large values of a type can get; 1 for what has no size."""
    if kind.name in ("string", "bytes", "list", "map", "dyn"):
        return UNKNOWN if kind.largest is None else Range(0, kind.largest)
    return UNKNOWN if kind.name in ("object", "optional_type") or len(kind.name) == 1 else ONE


class _Estimator:
    def __init__(self, checked: Checked) -> None:
        self._checked = checked
        self._locals: list[tuple[str, Range, Range]] = []

    def _type(self, expr: Expr) -> Type:
        return self._checked.types.get(expr.id, DYN)

    def _data(self, expr: Expr, cost: Range) -> Found:
        kind = self._type(expr)
        return Found(cost, size_of_type(kind), _element_of(kind))

    def of(self, expr: Expr) -> Found:
        """What is known of a part."""
        match expr:
            case Constant():
                sized = isinstance(expr.value, (str, bytes))
                return Found(NOTHING, fixed(len(expr.value)) if sized else ONE)
            case Ident():
                return self._ident(expr)
            case Select():
                return self._select(expr)
            case Call():
                return self._call(expr)
            case ListOf():
                return self._list(expr)
            case MapOf():
                return self._map(expr)
            case StructOf():
                cost = fixed(STRUCT)
                for entry in expr.entries:
                    cost = cost.plus(self.of(entry.value).cost)
                return Found(cost, fixed(len(expr.entries)))
            case Comprehension():
                return self._bind(expr) if is_bind(expr) else self._loop(expr)

    def _ident(self, expr: Ident) -> Found:
        for name, size, element in reversed(self._locals):
            if name == expr.name:
                return Found(ONE, size, element)
        return self._data(expr, ONE)

    def _select(self, expr: Select) -> Found:
        if expr.id in self._checked.names:
            return self._data(expr, ONE)
        operand = self.of(expr.operand).cost
        if expr.test:
            return Found(operand.plus(ONE), ONE)
        counted = self._type(expr.operand).name in _CONTAINERS
        return self._data(expr, operand.plus(ONE) if counted else operand)

    def _list(self, expr: ListOf) -> Found:
        cost = fixed(LIST)
        element: Range | None = None
        for part in expr.elements:
            found = self.of(part)
            cost = cost.plus(found.cost)
            element = found.size if element is None else element.union(found.size)
        size = Range(len(expr.elements) - len(expr.optional), len(expr.elements))
        return Found(cost, size, element or NOTHING)

    def _map(self, expr: MapOf) -> Found:
        cost = fixed(MAP)
        element: Range | None = None
        for entry in expr.entries:
            assert not isinstance(entry.key, str)
            found = self.of(entry.value)
            cost = cost.plus(found.cost).plus(self.of(entry.key).cost)
            element = found.size if element is None else element.union(found.size)
        return Found(cost, fixed(len(expr.entries)), element or NOTHING)

    # Loops

    def _bind(self, expr: Comprehension) -> Found:
        start = self.of(expr.start)
        self._locals.append((expr.accumulator, start.size, start.element))
        result = self.of(expr.result)
        self._locals.pop()
        return result._replace(cost=fixed(LIST).plus(start.cost).plus(result.cost))

    def _loop(self, expr: Comprehension) -> Found:
        span, start = self.of(expr.range), self.of(expr.start)
        self._locals.append((expr.accumulator, start.size, start.element))
        depth = len(self._locals)
        self._push_variables(expr, span)
        condition, step = self.of(expr.condition), self.of(expr.step)
        del self._locals[depth:]
        result = self.of(expr.result)
        self._locals.pop()
        cost = span.cost.plus(start.cost).plus(result.cost)
        cost = cost.plus(span.size.times(step.cost.plus(condition.cost)))
        if isinstance(expr.start, ListOf | MapOf):
            return Found(cost, Range(0, span.size.high), step.element)
        return Found(cost, start.size)

    def _push_variables(self, expr: Comprehension, span: Found) -> None:
        kind = self._type(expr.range)
        item = (span.element, _element_of(kind.parameters[-1]) if kind.parameters else UNKNOWN)
        key = (size_of_type(kind.parameters[0]) if kind.name == "map" and kind.parameters else ONE, UNKNOWN)
        if expr.second:
            self._locals += [(expr.variable, *key), (expr.second, *item)]
        else:
            self._locals.append((expr.variable, *(key if kind.name == "map" else item)))

    # Calls

    def _call(self, expr: Call) -> Found:
        overloads = self._checked.overloads.get(expr.id, ())
        parts = list(expr.args)
        if expr.target is not None and (not overloads or overloads[0].member):
            parts.insert(0, expr.target)
        given = [self.of(part) for part in parts]
        costs = NOTHING
        for each in given:
            costs = costs.plus(each.cost)
        name = self._checked.names.get(expr.id, expr.function)
        if name in _SHORT:
            return _SHORT[name](given)
        if name in _PASSES:
            place = _PASSES[name]
            return given[place]._replace(cost=costs.plus(ONE))
        rule, made = overloads[0].cost if overloads else "one", self._data(expr, costs.plus(ONE))
        if name in ("_==_", "_!=_"):
            rule = "equal"
        elif name == "@in" and self._type(parts[1]).name != "map":
            rule = "member"
        rule = _METERED.get(name, rule)
        for overload in overloads:
            rule = overload.cost if overload.cost in _RULES else rule
        if name in ("_[_]", "_[?_]"):
            return made._replace(size=given[0].element.union(made.size) if given[0].element != UNKNOWN else made.size)
        spent = _RULES[rule](given) if rule in _RULES else ONE
        sizes = _SIZES.get(name)
        if name == "_+_" and self._type(expr).name == "list":
            return Found(costs.plus(ONE), given[0].size.plus(given[1].size), given[0].element.union(given[1].element))
        if sizes is None or (name == "_+_" and self._type(expr).name not in ("string", "bytes", "dyn")):
            return made._replace(cost=costs.plus(spent))
        return Found(costs.plus(spent), sizes(given), made.element)


def _element_of(kind: Type) -> Range:
    return size_of_type(kind.parameters[-1]) if kind.parameters else UNKNOWN


def _both(given: list[Found]) -> Found:
    left, right = given[0].cost, given[1].cost
    return Found(Range(left.low, left.plus(right).high), ONE)


def _choice(given: list[Found]) -> Found:
    condition, yes, no = given
    cost = condition.cost.plus(yes.cost.union(no.cost))
    return Found(cost, yes.size.union(no.size), yes.element.union(no.element))


_SHORT: dict[str, Callable[[list[Found]], Found]] = {"_&&_": _both, "_||_": _both, "_?_:_": _choice}
# Functions that give what they are given: at which place.
_PASSES = {"dyn": 0, "optional.of": 0, "optional.ofNonZeroValue": 0, "value": 0, "orValue": 0, "or": 0}


def _text(found: Found, factor: float = TEXT) -> Range:
    return found.size.scaled(factor)


def _equal(given: list[Found]) -> Range:
    most = min(given[0].size.high, given[1].size.high)
    return Range(1 if most else 0, most).scaled(TEXT)


def _elements(given: list[Found]) -> Range:
    found = given[0]
    return found.size.times(ONE.plus(found.element.scaled(TEXT))) if found.element != UNKNOWN else found.size


def _pattern(given: list[Found]) -> Range:
    return given[0].size.plus(ONE).scaled(TEXT).times(_text(given[1], PATTERN))


def _joined(given: list[Found]) -> Range:
    return given[0].size.plus(given[1].size).scaled(TEXT)


def _replaced(given: list[Found]) -> Range:
    text, old, new = given[0].size, given[1].size, given[2].size
    if old.low == 0:
        times, kept = min(text.high + 1, MOST), text.high
    elif new.high <= old.low:
        return Range(0, text.high)
    else:
        times, kept = -(-text.high // old.low), 0
    return Range(0, min(max(times * new.high + kept, text.high), MOST))


def _list_joined(given: list[Found]) -> Range:
    size = given[0].size.times(given[0].element)
    if len(given) > 1:
        gaps = Range(max(given[0].size.low - 1, 0), max(given[0].size.high - 1, 0))
        size = size.plus(given[1].size.times(gaps))
    return size


def _joined_cost(given: list[Found]) -> Range:
    return _list_joined(given).scaled(TEXT)


_RULES: dict[str, Callable[[list[Found]], Range]] = {
    "traverse": lambda given: _text(given[0]),
    "twice": lambda given: _text(given[0], 2 * TEXT),
    "elements": _elements,
    "argument": lambda given: _text(given[1]),
    "contains": lambda given: _text(given[0]).times(_text(given[1])),
    "pattern": _pattern,
    "member": lambda given: given[1].size,
    "shorter": _equal,
    "equal": _equal,
    "joined": _joined,
    "product": lambda given: ONE.plus(given[0].size.times(given[1].size)),
    "addresses": lambda given: Range(1, 4).plus(_text(given[1])),
    "check": lambda given: fixed(CHECK),
    "list_joined": _joined_cost,
}

# Functions that count what they do; this is what the original estimates.
_METERED = {"findAll": "pattern", "replace": "twice", "join": "list_joined", "format": "traverse"}

_SIZES: dict[str, Callable[[list[Found]], Range]] = {
    "_+_": lambda given: given[0].size.plus(given[1].size),
    "lowerAscii": lambda given: given[0].size,
    "upperAscii": lambda given: given[0].size,
    "substring": lambda given: Range(0, given[0].size.high),
    "trim": lambda given: Range(0, given[0].size.high),
    "reverse": lambda given: given[0].size,
    "replace": _replaced,
    "split": lambda given: Range(0, given[0].size.high),
    "join": _list_joined,
    "find": lambda given: Range(0, given[0].size.high),
    "findAll": lambda given: Range(0, given[0].size.high),
    "bytes": lambda given: Range(given[0].size.low, min(given[0].size.high * 4, MOST)),
    "strings.quote": lambda given: Range(given[0].size.low + 2, min(given[0].size.high * 2 + 2, MOST)),
    "format": lambda given: given[0].size.plus(given[1].size.times(given[1].element)),
    "jsonpatch.escapeKey": lambda given: Range(given[0].size.low, min(given[0].size.high * 2, MOST)),
}
