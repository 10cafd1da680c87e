"""From a checked expression to nested functions, each of which gives the value of one part.

The functions share a `Frame`: the variables, the names that loops and binds have given out, and what was spent of
the budget. A part costs what `cost_rules.py` says, so that no expression, however nasty, runs for long. Data is
used as it is, without converting it first. Left to others: checking (`checker.py`), the operators (`library/`).
Source: the CEL specification, "Evaluation"; costs as in cel-go's interpreter.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from bireme.api.cel.ast import Call, Comprehension, Constant, Expr, Ident, ListOf, MapOf, Select, StructOf, is_bind
from bireme.api.cel.checker import Checked
from bireme.api.cel.coercion import coercion_of
from bireme.api.cel.cost_rules import LIST, MAP, RULES, STRUCT
from bireme.api.cel.errors import CelError, CostExceeded
from bireme.api.cel.functions import Implementation, Overload
from bireme.api.cel.types import DYN, Struct, Type, is_parameter
from bireme.api.cel.values import NONE, Optional, TypeValue, equal, kind_of, size_of

# What reading data of another type than was declared raises; data is checked against its schema before.
FAILURES = (CelError, TypeError, AttributeError, ValueError, KeyError, IndexError, OverflowError)
_DIRECT = ("int", "string", "bool", "uint", "bytes")
_HIDDEN = "@result"


class Frame:
    """What one evaluation works on."""

    __slots__ = ("limit", "locals", "spent", "values")

    def __init__(self, values: Mapping[str, Any], slots: int, limit: int) -> None:
        self.values = values
        self.locals: list[Any] = [None] * slots
        self.spent = 0
        self.limit = limit

    def spend(self, cost: int) -> None:
        """Count `cost`. Raises CostExceeded."""
        self.spent += cost
        if self.spent > self.limit:
            raise CostExceeded


Step = Callable[[Frame], Any]


class Planner:
    """Plans one expression; `slots` tells how many names of its own it gives out."""

    def __init__(self, checked: Checked) -> None:
        self._checked = checked
        self._scope: list[str] = []
        self.slots = 0

    def plan(self, expr: Expr) -> Step:
        """The function that gives the value of a part."""
        match expr:
            case Constant():
                return _constant(expr.value)
            case Ident() | Select():
                return self._read(expr)
            case Call():
                return self._call(expr)
            case ListOf():
                return _list([self.plan(each) for each in expr.elements], expr.optional)
            case MapOf():
                return self._map(expr)
            case StructOf():
                return self._struct(expr)
            case Comprehension():
                return self._bind(expr) if is_bind(expr) else self._loop(expr)

    def _type(self, expr: Expr) -> Type:
        return self._checked.types.get(expr.id, DYN)

    # Reading data

    def _read(self, expr: Ident | Select) -> Step:
        step = self._raw(expr)
        coerce = None if isinstance(expr, Select) and expr.test else coercion_of(self._type(expr))
        if coerce is None:
            return step
        return lambda frame: coerce(step(frame))

    def _raw(self, expr: Ident | Select) -> Step:
        name = self._checked.names.get(expr.id)
        if name is not None:
            return _global(name, self._type(expr))
        if isinstance(expr, Ident):
            slot = len(self._scope) - 1 - self._scope[::-1].index(expr.name)
            return _local(slot)
        operand = self.plan(expr.operand)
        kind = self._type(expr.operand)
        key = key_of(kind, expr.field)
        return _has(operand, key) if expr.test else _select(operand, key)

    # Calls

    def _call(self, expr: Call) -> Step:
        if expr.function == "_?._":
            return self._optional_select(expr)
        named = self._checked.names.get(expr.id, expr.function)
        overloads = self._checked.overloads[expr.id]
        parts = ([] if expr.target is None or not overloads[0].member else [expr.target]) + list(expr.args)
        special = _SPECIAL.get(named)
        if special is not None:
            return special(*[self.plan(each) for each in parts])
        if named == "_+_" and _is_growing(parts[0]) and isinstance(parts[1], ListOf) and not parts[1].optional:
            return _append(self.plan(parts[0]), [self.plan(each) for each in parts[1].elements])
        if named in ("_==_", "_!=_") and (keyed := self._unordered(parts)):
            return keyed(named == "_==_")
        steps = [self.plan(each) for each in parts]
        run = self._implementation(named, overloads, [self._type(each) for each in parts])
        call = _call(steps, run, overloads[0].cost)
        if named == "_[_]" and (coerce := coercion_of(self._type(expr))):
            return lambda frame: coerce(call(frame))
        if named == "_+_" and (merge := self._merged(parts, steps)):
            return merge
        return call

    def _implementation(self, function: str, overloads: tuple[Overload, ...], kinds: list[Type]) -> Implementation:
        if function in ("_==_", "_!=_"):
            return overloads[0].run
        loose = any(kind.name == "dyn" or is_parameter(kind) for kind in kinds)
        if len(overloads) == 1 and not (loose and _strict(overloads[0])):
            return overloads[0].run
        return _dispatcher(overloads)

    def _optional_select(self, expr: Call) -> Step:
        field = expr.args[1]
        assert isinstance(field, Constant)
        operand, key = self.plan(expr.args[0]), key_of(self._type(expr.args[0]), str(field.value))
        inner = self._type(expr).parameters
        coerce = coercion_of(inner[0]) if inner else None

        def step(frame: Frame) -> Any:
            frame.spent += 1
            found = optional_field(operand(frame), key)
            return Optional(coerce(found.value)) if coerce and found.present else found

        return step

    def _unordered(self, parts: list[Expr]) -> "Callable[[bool], Step] | None":
        kind = self._type(parts[0])
        if kind.list_type not in ("set", "map") or kind.list_type != self._type(parts[1]).list_type:
            return None
        left, right = self.plan(parts[0]), self.plan(parts[1])
        keys = kind.list_keys

        def made(wanted: bool) -> Step:
            def step(frame: Frame) -> bool:
                mine, other = left(frame), right(frame)
                frame.spend(1 + size_of(mine) + size_of(other))
                return _same_items(mine, other, keys) == wanted

            return step

        return made

    def _merged(self, parts: list[Expr], steps: list[Step]) -> Step | None:
        kind = self._type(parts[0])
        if kind.list_type not in ("set", "map"):
            return None
        left, right, keys = steps[0], steps[1], kind.list_keys

        def step(frame: Frame) -> list[Any]:
            mine, other = left(frame), right(frame)
            frame.spend(1 + size_of(mine) + size_of(other))
            found = {_identity(item, keys): item for item in mine}
            found |= {_identity(item, keys): item for item in other}
            return list(found.values())

        return step

    # Literals

    def _map(self, expr: MapOf) -> Step:
        entries = [(self.plan(entry.key), self.plan(entry.value), entry.optional) for entry in expr.entries]  # type: ignore[arg-type]

        def step(frame: Frame) -> dict[Any, Any]:
            frame.spent += MAP
            made: dict[Any, Any] = {}
            for key, value, optional in entries:
                name, given = key(frame), value(frame)
                if optional:
                    if not given.present:
                        continue
                    given = given.value
                if name in made:
                    raise CelError(f"Failed with repeated key: {name}")
                made[name] = given
            return made

        return step

    def _struct(self, expr: StructOf) -> Step:
        kind = self._type(expr)
        entries = [(key_of(kind, str(e.key)), self.plan(e.value), e.optional) for e in expr.entries]

        def step(frame: Frame) -> dict[Any, Any]:
            frame.spent += STRUCT
            made: dict[Any, Any] = {}
            for key, value, optional in entries:
                given = value(frame)
                if optional:
                    if not given.present:
                        continue
                    given = given.value
                made[key] = given
            return made

        return step

    # Loops

    def _slot(self, name: str) -> int:
        self._scope.append(name)
        self.slots = max(self.slots, len(self._scope))
        return len(self._scope) - 1

    def _bind(self, expr: Comprehension) -> Step:
        start = self.plan(expr.start)
        slot = self._slot(expr.accumulator)
        result = self.plan(expr.result)
        self._scope.pop()

        def step(frame: Frame) -> Any:
            frame.spend(LIST)
            frame.locals[slot] = start(frame)
            return result(frame)

        return step

    def _quantified(self, expr: Comprehension, claim: Expr, wanted: bool) -> Step:
        """`all` or `exists`: the first answer that decides, or the first failure where none does."""
        span, coerce = self.plan(expr.range), self._item_coercion(expr)
        depth = len(self._scope)
        self._slot(expr.accumulator)
        first = self._slot(expr.variable)
        second = self._slot(expr.second) if expr.second else None
        holds = self.plan(claim)
        del self._scope[depth:]

        def run(frame: Frame) -> bool:
            values = frame.locals
            failure: Exception | None = None
            for item in _rounds(span(frame), pairs=second is not None):
                if second is None:
                    values[first] = item if coerce is None else coerce(item)
                else:
                    values[first] = item[0]
                    values[second] = item[1] if coerce is None else coerce(item[1])
                frame.spend(3)
                try:
                    if _truth(holds(frame)) is not wanted:
                        return not wanted
                except CostExceeded:
                    raise
                except FAILURES as error:
                    failure = failure or error
            if failure is not None:
                raise failure
            frame.spent += 1
            return wanted

        return run

    def _loop(self, expr: Comprehension) -> Step:
        if (claim := _claim(expr)) is not None:
            return self._quantified(expr, claim, expr.start.value is True)  # type: ignore[union-attr]
        span, start = self.plan(expr.range), self.plan(expr.start)
        coerce = self._item_coercion(expr)
        slot = self._slot(expr.accumulator)
        first = self._slot(expr.variable)
        second = self._slot(expr.second) if expr.second else None
        condition, step = self.plan(expr.condition), self.plan(expr.step)
        del self._scope[slot + 1 :]
        result = self.plan(expr.result)
        self._scope.pop()
        always = isinstance(expr.condition, Constant) and expr.condition.value is True

        def run(frame: Frame) -> Any:
            values = frame.locals
            over = span(frame)
            accumulated = start(frame)
            for item in _rounds(over, pairs=second is not None):
                values[slot] = accumulated
                if second is None:
                    values[first] = item if coerce is None else coerce(item)
                else:
                    values[first] = item[0]
                    values[second] = item[1] if coerce is None else coerce(item[1])
                if not always and not condition(frame):
                    break
                accumulated = step(frame)
                frame.spend(1)
            values[slot] = accumulated
            return result(frame)

        return run

    def _item_coercion(self, expr: Comprehension) -> Callable[[Any], Any] | None:
        kind = self._type(expr.range)
        if kind.name == "list" and kind.parameters:
            return coercion_of(kind.parameters[0])
        return coercion_of(kind.parameters[1]) if kind.name == "map" and kind.parameters and expr.second else None


def _claim(expr: Comprehension) -> Expr | None:
    """What `all` says of each element, or `exists` of any; None for other loops."""
    start, step = expr.start, expr.step
    if expr.accumulator != _HIDDEN or not isinstance(start, Constant) or not isinstance(step, Call):
        return None
    return step.args[1] if (start.value, step.function) in ((True, "_&&_"), (False, "_||_")) else None


def _is_growing(expr: Expr) -> bool:
    return isinstance(expr, Ident) and expr.name == _HIDDEN


def key_of(kind: Type, field: str) -> str:
    """The name in the data of a field; they differ where the name is no identifier."""
    if kind.name == "optional_type" and kind.parameters:
        kind = kind.parameters[0]
    return kind.keys.get(field, field) if isinstance(kind, Struct) else field


def optional_field(value: Any, key: Any) -> Optional:
    """`value.?key`"""
    if isinstance(value, Optional):
        return optional_field(value.value, key) if value.present else NONE
    if not isinstance(value, dict):
        value = _fields_of(value)
    return Optional(value[key]) if key in value else NONE


def _fields_of(value: Any) -> Any:
    if hasattr(value, "__getitem__") and not isinstance(value, (str, bytes, list)):
        return value
    raise CelError(f"no such overload: type '{kind_of(value)}' does not support field selection")


def _constant(value: Any) -> Step:
    return lambda frame: value


def _global(name: str, kind: Type) -> Step:
    if kind.name == "type":
        value = TypeValue(name)
        return lambda frame: value

    def step(frame: Frame) -> Any:
        frame.spent += 1
        try:
            return frame.values[name]
        except KeyError:
            raise CelError(f"no such attribute(s): {name}") from None

    return step


def _local(slot: int) -> Step:
    def step(frame: Frame) -> Any:
        frame.spent += 1
        return frame.locals[slot]

    return step


def _select(operand: Step, key: str) -> Step:
    def step(frame: Frame) -> Any:
        value = operand(frame)
        frame.spent += 1
        if type(value) is not dict:
            if isinstance(value, Optional):
                return optional_field(value, key)
            value = _fields_of(value)
        try:
            return value[key]
        except KeyError:
            raise CelError(f"no such key: {key}") from None

    return step


def _has(operand: Step, key: str) -> Step:
    def step(frame: Frame) -> bool:
        value = operand(frame)
        frame.spent += 1
        if isinstance(value, Optional):
            return optional_field(value, key).present
        return key in (value if type(value) is dict else _fields_of(value))

    return step


def _list(steps: list[Step], optional: frozenset[int]) -> Step:
    def plain(frame: Frame) -> list[Any]:
        frame.spent += LIST
        return [step(frame) for step in steps]

    def picked(frame: Frame) -> list[Any]:
        made = []
        for place, value in enumerate(plain(frame)):
            if place not in optional:
                made.append(value)
            elif value.present:
                made.append(value.value)
        return made

    return picked if optional else plain


def _append(accumulated: Step, steps: list[Step]) -> Step:
    # The list that a macro builds is seen by nobody else before it is done, so that it can grow in place.
    def step(frame: Frame) -> Any:
        made = accumulated(frame)
        for each in steps:
            made.append(each(frame))
        frame.spent += 1
        return made

    return step


def _map_insert(accumulated: Step, *given: Step) -> Step:
    def step(frame: Frame) -> Any:
        made = accumulated(frame)
        frame.spend(1)
        new = given[0](frame).items() if len(given) == 1 else [(given[0](frame), given[1](frame))]
        for key, value in new:
            if key in made:
                raise CelError(f"insert failed: key {key} already exists")
            made[key] = value
        return made

    return step


def _rounds(over: Any, *, pairs: bool) -> Iterable[Any]:
    if isinstance(over, dict):
        return over.items() if pairs else over
    if isinstance(over, list):
        return enumerate(over) if pairs else over
    raise CelError(f"no such overload: a '{kind_of(over)}' cannot be iterated")


def _identity(item: Any, keys: tuple[str, ...]) -> Any:
    if keys and isinstance(item, dict):
        return tuple(repr(item.get(key)) for key in keys)
    return repr(item)


def _same_items(mine: list[Any], other: list[Any], keys: tuple[str, ...]) -> bool:
    known = {_identity(item, keys): item for item in other}
    if len(mine) != len(other):
        return False
    return all((key := _identity(item, keys)) in known and (not keys or equal(item, known[key])) for item in mine)


# Operators that don't evaluate all that they are given


def _truth(value: Any) -> bool:
    if value is True or value is False:
        return value is True
    raise CelError("no such overload")


def _and(left: Step, right: Step) -> Step:
    def step(frame: Frame) -> bool:
        try:
            if not _truth(left(frame)):
                return False
        except CostExceeded:
            raise
        except FAILURES as failure:
            if not _truth(right(frame)):
                return False
            raise failure
        return _truth(right(frame))

    return step


def _or(left: Step, right: Step) -> Step:
    def step(frame: Frame) -> bool:
        try:
            if _truth(left(frame)):
                return True
        except CostExceeded:
            raise
        except FAILURES as failure:
            if _truth(right(frame)):
                return True
            raise failure
        return _truth(right(frame))

    return step


def _conditional(condition: Step, yes: Step, no: Step) -> Step:
    def step(frame: Frame) -> Any:
        return yes(frame) if _truth(condition(frame)) else no(frame)

    return step


def _not_strictly_false(value: Step) -> Step:
    def step(frame: Frame) -> bool:
        try:
            return value(frame) is not False
        except CostExceeded:
            raise
        except FAILURES:
            return True

    return step


def _or_optional(optional: Step, other: Step) -> Step:
    def step(frame: Frame) -> Any:
        frame.spent += 1
        found = optional(frame)
        return found if found.present else other(frame)

    return step


def _or_value(optional: Step, other: Step) -> Step:
    def step(frame: Frame) -> Any:
        frame.spent += 1
        found = optional(frame)
        return found.value if found.present else other(frame)

    return step


_SPECIAL: dict[str, Callable[..., Step]] = {
    "_&&_": _and,
    "_||_": _or,
    "_?_:_": _conditional,
    "@not_strictly_false": _not_strictly_false,
    "or": _or_optional,
    "orValue": _or_value,
    "cel.@mapInsert": _map_insert,
}

# Calls


def _strict(overload: Overload) -> bool:
    return any(kind.name != "dyn" and not is_parameter(kind) for kind in overload.parameters)


def _call(steps: list[Step], run: Implementation, cost: str) -> Step:
    rule = RULES.get(cost)
    if rule is not None or cost == "metered":
        return _ruled(steps, run, rule)
    match steps:
        case [only]:

            def one(frame: Frame) -> Any:
                frame.spent += 1
                return run(only(frame))

            return one
        case [left, right]:

            def two(frame: Frame) -> Any:
                frame.spent += 1
                return run(left(frame), right(frame))

            return two

    def many(frame: Frame) -> Any:
        frame.spent += 1
        return run(*[step(frame) for step in steps])

    return many


def _ruled(steps: list[Step], run: Implementation, rule: Callable[[list[Any]], int] | None) -> Step:
    def ruled(frame: Frame) -> Any:
        given = [step(frame) for step in steps]
        if rule is not None:
            frame.spend(rule(given) or 1)
            return run(*given)
        return run(frame.spend, *given)

    return ruled


def _dispatcher(overloads: tuple[Overload, ...]) -> Implementation:
    """Choose by the types of the values, which were not known before."""
    wanted = [tuple(_kind_wanted(kind) for kind in overload.parameters) for overload in overloads]
    known: dict[tuple[str, ...], Implementation] = {}

    def run(*given: Any) -> Any:
        kinds = tuple(map(kind_of, given[-len(wanted[0]) :]))
        implementation = known.get(kinds)
        if implementation is None:
            implementation = _chosen(kinds)
            if len(known) < 256:
                known[kinds] = implementation
        return implementation(*given)

    def _chosen(kinds: tuple[str, ...]) -> Implementation:
        for overload, names in zip(overloads, wanted, strict=True):
            if all(name is None or name == kind for name, kind in zip(names, kinds, strict=True)):
                return overload.run
        raise CelError("no such overload")

    return run


def _kind_wanted(kind: Type) -> str | None:
    if kind.name == "dyn" or is_parameter(kind):
        return None
    return "map" if kind.name == "object" else kind.name
