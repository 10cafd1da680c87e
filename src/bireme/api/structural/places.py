"""Where in an object something is wrong, kept as linked steps so that a text is made only when it is needed.

A step is a field or key (text), or an index of a list with the keys by which its items are told apart (None where
items cannot be followed from one state of the list to the next).
"""

from typing import Any, Protocol

from bireme.api.errors import Cause
from bireme.api.validation.field import Enough, is_enough, shown, size_of

Step = str | tuple[int, tuple[str, ...] | None]
Place = tuple[Any, Step] | None  # the place above, and the step from there; None is the object itself


class Excuse(Protocol):
    """Says which faults need not be told."""

    def excuses(self, place: Place) -> bool:
        """Whether a fault of the value at `place` is nobody's who asks now."""
        ...


def text_of(place: Place, base: str = "") -> str:
    """`spec.parts[0].name`."""
    steps: list[Step] = []
    while place is not None:
        place, step = place
        steps.append(step)
    text = base
    for step in reversed(steps):
        if isinstance(step, tuple):
            text += f"[{step[0]}]"
        else:
            text = f"{text}.{step}" if text else step
    return text


class Faults:
    """Faults of one object, each with the place of the value that breaks the rule.

    Those that are excused are not kept. Raises Enough once there are as many others as an answer shows.
    """

    __slots__ = ("_excuse", "_size", "base", "causes")

    def __init__(self, base: str = "", *, excuse: Excuse | None = None) -> None:
        self.base = base
        self.causes: list[Cause] = []
        self._excuse = excuse
        self._size = 0

    def __len__(self) -> int:
        return len(self.causes)

    def text(self, place: Place) -> str:
        """The place as messages name it."""
        return text_of(place, self.base)

    def add(self, reason: str, message: str, node: Place, place: Place | str | None = None) -> None:
        """One fault of the value at `node`; `place` is what the message is filed under, if it is another."""
        if self._excuse is not None and self._excuse.excuses(node):
            return
        field = place if isinstance(place, str) else self.text(node if place is None else place)
        self._keep(Cause(reason, message, field))

    def take(self, found: "Faults", node: Place) -> None:
        """The faults that were found on trial in the value at `node`."""
        if self._excuse is None or not self._excuse.excuses(node):
            for cause in found.causes:
                self._keep(cause)

    def must(self, value: Any, detail: str, node: Place) -> None:
        """The value breaks a rule, in the words that name the field again."""
        where = self.text(node)
        self.add("FieldValueInvalid", f"Invalid value: {shown(value)}: {where} in body {detail}", node)

    def _keep(self, cause: Cause) -> None:
        self.causes.append(cause)
        self._size += size_of(cause)
        if is_enough(len(self.causes), self._size):
            raise Enough
