"""What a list or watch asks for, and whether a record is in it.

Works on headers alone. Parsing the selectors is left to `api/selectors.py`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from operator import attrgetter

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
        if self.fields is not None:
            for read, value, equal in self._claims:
                if (read(record) == value) is not equal:
                    return False
        return True

    def transition(self, old: Record | None, new: Record | None) -> str | None:
        """What a watcher of this selection is told when `old` became `new`: an event's type, or None."""
        was = old is not None and self.matches(old)
        is_now = new is not None and self.matches(new)
        if is_now:
            return "MODIFIED" if was else "ADDED"
        return "DELETED" if was else None

    @cached_property
    def _claims(self) -> tuple[tuple[Callable[[Record], str], str, bool], ...]:
        """What the fields claim: how each is read from a record, its value, and whether that is wanted or not."""
        claims = self.fields.claims if self.fields is not None else ()
        return tuple((self._reader(claim.field), claim.value, claim.equal) for claim in claims)

    def _reader(self, name: str) -> Callable[[Record], str]:
        if name in ("metadata.name", "metadata.namespace"):
            return attrgetter(name.removeprefix("metadata."))
        position = self._positions[stored_name(name)]
        return lambda record: record.fields[position]


def stored_name(name: str) -> str:
    """`involvedObject.kind` for `regarding.kind`; most names are the same in every view."""
    if name.startswith("regarding."):
        return "involvedObject." + name.removeprefix("regarding.")
    return EVENT_ALIASES.get(name, name)
