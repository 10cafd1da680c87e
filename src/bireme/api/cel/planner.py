"""From a checked expression to nested functions, each of which gives the value of one part.

A part costs what `cost_rules.py` says, so that no expression, however nasty, runs for long. Data is used as it is,
without converting it first. Left to others: checking (`checker.py`), the functions that are nested (`steps.py`), the
operators (`library/`). Source: the CEL specification, "Evaluation".
"""

from collections.abc import Callable
from typing import Any

from bireme.api.cel.ast import Call, Comprehension, Constant, Expr, Ident, ListOf, MapOf, Select, StructOf, is_bind
from bireme.api.cel.checker import Checked
from bireme.api.cel.coercion import coercion_of
from bireme.api.cel.cost_rules import LIST, MAP, STRUCT
from bireme.api.cel.errors import CelError, CostExceeded
from bireme.api.cel.functions import Implementation, Overload
from bireme.api.cel.steps import (
    FAILURES,
    SPECIAL,
    Frame,
    Step,
    append_step,
    call_step,
    constant_step,
    dispatcher,
    global_step,
    has_step,
    identity,
    is_strict,
    list_step,
    local_step,
    optional_field,
    rounds,
    same_items,
    select_step,
    truth,
)
from bireme.api.cel.types import DYN, Struct, Type, is_parameter
from bireme.api.cel.values import Optional, size_of

_HIDDEN = "@result"


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
                return constant_step(expr.value)
            case Ident() | Select():
                return self._read(expr)
            case Call():
                return self._call(expr)
            case ListOf():
                return list_step([self.plan(each) for each in expr.elements], expr.optional)
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
            return global_step(name, self._type(expr))
        if isinstance(expr, Ident):
            slot = len(self._scope) - 1 - self._scope[::-1].index(expr.name)
            return local_step(slot)
        operand = self.plan(expr.operand)
        kind = self._type(expr.operand)
        key = key_of(kind, expr.field)
        return has_step(operand, key) if expr.test else select_step(operand, key)

    # Calls

    def _call(self, expr: Call) -> Step:
        if expr.function == "_?._":
            return self._optional_select(expr)
        named = self._checked.names.get(expr.id, expr.function)
        overloads = self._checked.overloads[expr.id]
        parts = ([] if expr.target is None or not overloads[0].member else [expr.target]) + list(expr.args)
        special = SPECIAL.get(named)
        if special is not None:
            return special(*[self.plan(each) for each in parts])
        if named == "_+_" and _is_growing(parts[0]) and isinstance(parts[1], ListOf) and not parts[1].optional:
            return append_step(self.plan(parts[0]), [self.plan(each) for each in parts[1].elements])
        if named in ("_==_", "_!=_") and (keyed := self._unordered(parts)):
            return keyed(named == "_==_")
        steps = [self.plan(each) for each in parts]
        run = self._implementation(named, overloads, [self._type(each) for each in parts])
        # Where only the values tell which overload is meant, the dearest is paid.
        cost = next((each.cost for each in overloads if each.cost != "one"), "one")
        call = call_step(steps, run, cost)
        if named == "_[_]" and (coerce := coercion_of(self._type(expr))):
            return lambda frame: coerce(call(frame))
        if named == "_+_" and (merge := self._merged(parts, steps)):
            return merge
        return call

    def _implementation(self, function: str, overloads: tuple[Overload, ...], kinds: list[Type]) -> Implementation:
        if function in ("_==_", "_!=_"):
            return overloads[0].run
        loose = any(kind.name == "dyn" or is_parameter(kind) for kind in kinds)
        if len(overloads) == 1 and not (loose and is_strict(overloads[0])):
            return overloads[0].run
        return dispatcher(overloads)

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
                return same_items(mine, other, keys) == wanted

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
            found = {identity(item, keys): item for item in mine}
            found |= {identity(item, keys): item for item in other}
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
            for item in rounds(span(frame), pairs=second is not None):
                if second is None:
                    values[first] = item if coerce is None else coerce(item)
                else:
                    values[first] = item[0]
                    values[second] = item[1] if coerce is None else coerce(item[1])
                frame.spend(3)
                try:
                    if truth(holds(frame)) is not wanted:
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
            for item in rounds(over, pairs=second is not None):
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
