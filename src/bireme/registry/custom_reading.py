"""Lists and watches of custom objects in a version that they are not stored in.

Records are converted in batches before they are selected by fields and shown. A watch of such a version gathers
changes, not frames: before and after are converted, and what the watcher is told follows from these. Where that
fails the watch ends and says why. Source: the Kubernetes documentation on versions of CustomResourceDefinitions.
"""

from collections.abc import Callable, Hashable
from dataclasses import dataclass, field, replace

import structlog

from bireme.api.errors import ApiError
from bireme.api.selectors import FieldSelector
from bireme.registry.custom import Custom
from bireme.registry.custom_conversion import Converter
from bireme.registry.custom_records import CustomHeaders
from bireme.registry.lists import Page
from bireme.registry.record import Record
from bireme.registry.selection import Selection
from bireme.registry.watcher import View, Watcher

log = structlog.get_logger(__name__)

MARK = b"."
_OWN = ("metadata.name", "metadata.namespace")


def needs_conversion(custom: Custom) -> bool:
    """Whether objects of this version may be stored in another."""
    return not custom.is_storage or len(custom.family.versions) > 1


def stored_selection(selection: Selection) -> Selection:
    """The part of a selection that can be told from what is stored, whatever its version."""
    if selection.fields is None:
        return selection
    claims = tuple(claim for claim in selection.fields.claims if claim.field in _OWN)
    return replace(selection, fields=FieldSelector(claims) if claims else None)


async def converted_page(converter: Converter, custom: Custom, selection: Selection, page: Page) -> Page:
    """A page of stored records in the version of `custom`, without what the selection leaves out there."""
    headers = CustomHeaders(custom.resource)
    records = await converter.records(custom, page.records, headers.read)
    if needs_conversion(custom) and selection.fields is not None:
        records = [record for record in records if selection.matches(record)]
        return replace(page, records=records, remaining=-1)
    return replace(page, records=records)


@dataclass(frozen=True)
class NotedSelection(Selection):
    """A selection that notes what became of what."""

    pairs: list[tuple[Record | None, Record | None]] = field(default_factory=list, repr=False, compare=False)

    def transition(self, old: Record | None, new: Record | None) -> str | None:
        kind = super().transition(old, new)
        if kind is not None:
            self.pairs.append((old, new))
        return kind


class Changes:
    """The view of a watch that gathers changes; a frame is a mark that there is one more."""

    def __init__(self, selection: Selection) -> None:
        self.selection = NotedSelection(selection.resource, selection.namespace, selection.labels, selection.fields)
        self._revisions: list[int] = []

    @property
    def key(self) -> Hashable:
        return id(self)  # nobody shares it

    def frame(self, kind: str, record: Record, revision: int) -> bytes:
        self._revisions.append(revision)
        return MARK

    def take(self, number: int) -> list[tuple[Record | None, Record | None, int]]:
        """The oldest changes, before, after and when."""
        pairs, revisions = self.selection.pairs, self._revisions
        taken = [(*pair, revision) for pair, revision in zip(pairs[:number], revisions[:number], strict=True)]
        del pairs[:number], revisions[:number]
        return taken


@dataclass(frozen=True, slots=True)
class Target:
    """What changes are made into: a version's objects, of which some are asked for, in some form."""

    converter: Converter
    custom: Custom
    selection: Selection
    view: View


class ConvertingWatcher(Watcher):
    """A watcher whose frames are those of converted objects; `inner` watches what is stored."""

    def __init__(self, inner: Watcher, changes: Changes, target: Target) -> None:
        self._inner = inner
        self._changes = changes
        self._target = target
        self._read: Callable[..., Record] = CustomHeaders(target.custom.resource).read
        self._made: list[bytes] = []
        self.dropped = False

    def nudge(self) -> None:
        self._inner.nudge()

    def drop(self) -> None:
        self.dropped = True
        self._inner.drop()

    def take(self) -> bytes:
        made = b"".join(self._made)
        self._made.clear()
        return made

    async def wait(self) -> None:
        await self._inner.wait()
        number = len(self._inner.take())
        if self._inner.dropped:
            self.dropped = True
            return
        try:
            for old, new, revision in self._changes.take(number):
                await self._show(old, new, revision)
        except ApiError as error:
            log.warning("watch ended", kind=self._target.custom.resource.title, error=error.message)
            self.failure = error
            self.drop()

    async def _show(self, old: Record | None, new: Record | None, revision: int) -> None:
        target = self._target
        records = [record for record in (old, new) if record is not None]
        made = iter(await target.converter.records(target.custom, records, self._read))
        old = next(made) if old is not None else None
        new = next(made) if new is not None else None
        kind = target.selection.transition(old, new)
        record = new if kind != "DELETED" and new is not None else (old or new)
        if kind is not None and record is not None:
            self._made.append(target.view.frame(kind, record, revision))

    def close(self) -> None:
        self._inner.close()
