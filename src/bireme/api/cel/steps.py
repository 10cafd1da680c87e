"""The parts of a plan: small functions, each of which gives the value of one part of an expression.

`Frame` is what one evaluation works on: the variables, the names that loops and binds have given out, and what was
spent of the budget. Left to others: which part becomes which step (`planner.py`). Source: the CEL specification,
"Evaluation"; costs as in cel-go's interpreter.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from bireme.api.cel.cost_rules import LIST, RULES
from bireme.api.cel.errors import CelError, CostExceeded
from bireme.api.cel.functions import Implementation, Overload
from bireme.api.cel.types import Type, is_parameter
from bireme.api.cel.values import NONE, Optional, TypeValue, equal, kind_of

# What reading data of another type than was declared raises; data is checked against its schema before.
FAILURES = (CelError, TypeError, AttributeError, ValueError, KeyError, IndexError, OverflowError)


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


def constant_step(value: Any) -> Step:
    return lambda frame: value


def global_step(name: str, kind: Type) -> Step:
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


def local_step(slot: int) -> Step:
    def step(frame: Frame) -> Any:
        frame.spent += 1
        return frame.locals[slot]

    return step


def select_step(operand: Step, key: str) -> Step:
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


def has_step(operand: Step, key: str) -> Step:
    def step(frame: Frame) -> bool:
        value = operand(frame)
        frame.spent += 1
        if isinstance(value, Optional):
            return optional_field(value, key).present
        return key in (value if type(value) is dict else _fields_of(value))

    return step


def list_step(steps: list[Step], optional: frozenset[int]) -> Step:
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


def append_step(accumulated: Step, steps: list[Step]) -> Step:
    # The list that a macro builds is seen by nobody else before it is done, so that it can grow in place.
    def step(frame: Frame) -> Any:
        made = accumulated(frame)
        for each in steps:
            made.append(each(frame))
        frame.spent += 1
        return made

    return step


def map_insert_step(accumulated: Step, *given: Step) -> Step:
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


def rounds(over: Any, *, pairs: bool) -> Iterable[Any]:
    if isinstance(over, dict):
        return over.items() if pairs else over
    if isinstance(over, list):
        return enumerate(over) if pairs else over
    raise CelError(f"no such overload: a '{kind_of(over)}' cannot be iterated")


def identity(item: Any, keys: tuple[str, ...]) -> Any:
    if keys and isinstance(item, dict):
        return tuple(repr(item.get(key)) for key in keys)
    return repr(item)


def same_items(mine: list[Any], other: list[Any], keys: tuple[str, ...]) -> bool:
    known = {identity(item, keys): item for item in other}
    if len(mine) != len(other):
        return False
    return all((key := identity(item, keys)) in known and (not keys or equal(item, known[key])) for item in mine)


# Operators that don't evaluate all that they are given


def truth(value: Any) -> bool:
    if value is True or value is False:
        return value is True
    raise CelError("no such overload")


def and_step(left: Step, right: Step) -> Step:
    def step(frame: Frame) -> bool:
        try:
            if not truth(left(frame)):
                return False
        except CostExceeded:
            raise
        except FAILURES as failure:
            if not truth(right(frame)):
                return False
            raise failure
        return truth(right(frame))

    return step


def or_step(left: Step, right: Step) -> Step:
    def step(frame: Frame) -> bool:
        try:
            if truth(left(frame)):
                return True
        except CostExceeded:
            raise
        except FAILURES as failure:
            if truth(right(frame)):
                return True
            raise failure
        return truth(right(frame))

    return step


def conditional_step(condition: Step, yes: Step, no: Step) -> Step:
    def step(frame: Frame) -> Any:
        return yes(frame) if truth(condition(frame)) else no(frame)

    return step


def not_strictly_false_step(value: Step) -> Step:
    def step(frame: Frame) -> bool:
        try:
            return value(frame) is not False
        except CostExceeded:
            raise
        except FAILURES:
            return True

    return step


def or_optional_step(optional: Step, other: Step) -> Step:
    def step(frame: Frame) -> Any:
        frame.spent += 1
        found = optional(frame)
        return found if found.present else other(frame)

    return step


def or_value_step(optional: Step, other: Step) -> Step:
    def step(frame: Frame) -> Any:
        frame.spent += 1
        found = optional(frame)
        return found.value if found.present else other(frame)

    return step


SPECIAL: dict[str, Callable[..., Step]] = {
    "_&&_": and_step,
    "_||_": or_step,
    "_?_:_": conditional_step,
    "@not_strictly_false": not_strictly_false_step,
    "or": or_optional_step,
    "orValue": or_value_step,
    "cel.@mapInsert": map_insert_step,
}

# Calls


def is_strict(overload: Overload) -> bool:
    return any(kind.name != "dyn" and not is_parameter(kind) for kind in overload.parameters)


def call_step(steps: list[Step], run: Implementation, cost: str) -> Step:
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


def dispatcher(overloads: tuple[Overload, ...]) -> Implementation:
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
