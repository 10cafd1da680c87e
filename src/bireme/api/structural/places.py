"""Where in an object something is wrong, kept as linked steps so that a text is made only when it is needed.

A step is a field or key (text), or an index of a list with the keys by which its items are told apart (None where
items cannot be followed from one state of the list to the next).
"""

from typing import Any

from bireme.api.errors import Cause
from bireme.api.validation.field import shown

Step = str | tuple[int, tuple[str, ...] | None]
Place = tuple[Any, Step] | None  # the place above, and the step from there; None is the object itself


def steps_of(place: Place) -> list[Step]:
    """The steps from the object to a place."""
    steps: list[Step] = []
    while place is not None:
        place, step = place
        steps.append(step)
    steps.reverse()
    return steps


def text_of(place: Place, base: str = "") -> str:
    """`spec.parts[0].name`."""
    text = base
    for step in steps_of(place):
        if isinstance(step, tuple):
            text += f"[{step[0]}]"
        else:
            text = f"{text}.{step}" if text else step
    return text


class Faults:
    """Faults of one object, each with the place of the value that breaks the rule."""

    __slots__ = ("base", "causes", "nodes")

    def __init__(self, base: str = "") -> None:
        self.base = base
        self.causes: list[Cause] = []
        self.nodes: list[Place] = []

    def __len__(self) -> int:
        return len(self.causes)

    def text(self, place: Place) -> str:
        """The place as messages name it."""
        return text_of(place, self.base)

    def add(self, reason: str, message: str, node: Place, place: Place | str | None = None) -> None:
        """One fault of the value at `node`; `place` is what the message is filed under, if it is another."""
        field = place if isinstance(place, str) else self.text(node if place is None else place)
        self.causes.append(Cause(reason, message, field))
        self.nodes.append(node)

    def invalid(self, value: Any, detail: str, node: Place) -> None:
        """The value breaks a rule."""
        self.add("FieldValueInvalid", f"Invalid value: {shown(value)}: {detail}", node)

    def must(self, value: Any, detail: str, node: Place) -> None:
        """The value breaks a rule, in the words that name the field again."""
        where = self.text(node)
        self.add("FieldValueInvalid", f"Invalid value: {shown(value)}: {where} in body {detail}", node)


def ratcheted(faults: Faults, new: Any, old: Any) -> list[Cause]:
    """The causes that are not excused: those of values that are not as they were in `old`."""
    return [
        cause
        for cause, node in zip(faults.causes, faults.nodes, strict=True)
        if not _unchanged(steps_of(node), new, old)
    ]


def _unchanged(steps: list[Step], new: Any, old: Any) -> bool:
    for step in steps:
        if new == old:
            return True
        if isinstance(step, str):
            if not (isinstance(old, dict) and isinstance(new, dict) and step in old and step in new):
                return False
            new, old = new[step], old[step]
        else:
            index, keys = step
            if keys is None or not isinstance(new, list) or not isinstance(old, list) or index >= len(new):
                return False
            new = new[index]
            same = [item for item in old if _key(item, keys) == _key(new, keys)]
            if len(same) != 1:
                return False
            old = same[0]
    return bool(new == old)


def _key(item: Any, keys: tuple[str, ...]) -> list[Any] | None:
    return [item.get(key) for key in keys] if isinstance(item, dict) else None
