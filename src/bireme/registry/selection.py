"""What a list or watch asks for, and whether a record is in it.

Works on headers alone. Parsing the selectors is left to `api/selectors.py`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property

from bireme.api.scheme import Resource
from bireme.api.selectors import FieldSelector, LabelSelector
from bireme.registry.record import Record

# Selectable names of the second view of events, as the stored view calls them.
EVENT_ALIASES = {"reportingController": "reportingComponent"}


@dataclass(frozen=True)
class Selection:
    """A namespace ("" for all), labels and fields; None where anything goes."""

    resource: Resource
    namespace: str = ""
    labels: LabelSelector | None = None
    fields: FieldSelector | None = None
    _positions: Mapping[str, int] = field(init=False, repr=False, compare=False, default_factory=dict)

    def __post_init__(self) -> None:
        positions = {name: number for number, name in enumerate(self.resource.stored_as.fields)}
        object.__setattr__(self, "_positions", positions)

    @cached_property
    def everything(self) -> bool:
        """Whether the namespace alone decides."""
        return self.labels is None and self.fields is None

    @cached_property
    def name(self) -> str:
        """The one name that is asked for, or ""."""
        return self.asked("metadata.name") or ""

    def asked(self, name: str) -> str | None:
        """The one value that the selection asks of `name`, if it does."""
        return None if self.fields is None else self.fields.exact(name)

    def matches(self, record: Record) -> bool:
        """Whether `record` is asked for."""
        if self.namespace and record.namespace != self.namespace:
            return False
        if self.labels is not None and not self.labels.matches(record.labels):
            return False
        return self.fields is None or self.fields.matches(self._reader(record))

    def transition(self, old: Record | None, new: Record | None) -> str | None:
        """What a watcher of this selection is told when `old` became `new`: an event's type, or None."""
        was = old is not None and self.matches(old)
        is_now = new is not None and self.matches(new)
        if is_now:
            return "MODIFIED" if was else "ADDED"
        return "DELETED" if was else None

    def _reader(self, record: Record) -> Callable[[str], str]:
        def read(name: str) -> str:
            if name == "metadata.name":
                return record.name
            if name == "metadata.namespace":
                return record.namespace
            return record.fields[self._positions[stored_name(name)]]

        return read


def stored_name(name: str) -> str:
    """`involvedObject.kind` for `regarding.kind`; most names are the same in every view."""
    if name.startswith("regarding."):
        return "involvedObject." + name.removeprefix("regarding.")
    return EVENT_ALIASES.get(name, name)
