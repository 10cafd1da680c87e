"""Watches of parts of this process, which are told of changes at once, by a call, as structs.

Other watchers are told in bytes, which each reads again: for the informers of controllers and scheduler that was most
of what a change cost. A tap is told from within the pump, of all that came together in one call; what it calls has to
be quick and may not wait. The struct of a change is made once for all taps of its kind; what they hand out is shared,
as with informers. A tap ends with Expired when the past that it rests on is lost, and with the error of who is told
when that fails; then its reader begins anew.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import TypeVar

from bireme.api.codec.shared import decode_changed, decode_shared
from bireme.api.kinds import core
from bireme.api.kinds.meta import Object
from bireme.registry.record import Record
from bireme.registry.selection import Selection
from bireme.registry.watcher import Change

K = TypeVar("K", bound=Object)

Heard = tuple[str, str, Object | None, int]
"""Namespace, name, the object (None: it is there, or asked for, no more) and the revision."""

Told = Callable[[Sequence[Heard]], None]
"""Hears of changes, oldest first."""

Made = dict[tuple[type[Object], int], Object]
"""Structs of changes that are told together, by their kind and revision."""


class Tap:
    """Has `told` hear of the changes of what `selection` chooses, as structs of `kind`, until it ends."""

    def __init__(self, selection: Selection, kind: type[Object], told: Told) -> None:
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._selection, self._kind, self._told = selection, kind, told

    def is_told_all(self, kind: type[Object]) -> bool:
        """Whether every object is told of, as a struct of that kind."""
        return self._kind is kind and self._selection.everything and not self._selection.namespace

    def hear(self, changes: Sequence[Change], made: Made) -> None:
        """Tell of those changes that concern the selection; `made` is what others made of them, and will be."""
        if self.ended.done():
            return
        heard: list[Heard] = []
        try:
            try:
                self._gather(changes, made, heard)
            finally:
                if heard:
                    self._told(heard)
        except Exception as error:
            self.end(error)

    def end(self, error: Exception) -> None:
        """Tell no more."""
        if not self.ended.done():
            self.ended.set_exception(error)

    def _gather(self, changes: Sequence[Change], made: Made, heard: list[Heard]) -> None:
        transition = self._selection.transition
        for change in changes:
            deed = transition(change.old, change.new)
            if deed is None:
                continue
            record = change.old if change.new is None else change.new
            assert record is not None
            obj = None if deed == "DELETED" else self._struct(record, made)
            heard.append((record.namespace, record.name, obj, change.revision))

    def _struct(self, record: Record, made: Made) -> Object:
        key = self._kind, record.revision
        obj = made.get(key)
        if obj is None:
            obj = made[key] = struct_of(self._kind, record.value, record.revision)
        return obj


def struct_of(kind: type[K], value: bytes, revision: int) -> K:
    """The object as those who are told get it. Raises BadRequest."""
    return _at(decode_shared(kind, value), revision)


def pod_of(value: bytes, revision: int, old: Record | None) -> core.Pod:
    """The same for a pod, whose record before is known: most writes change little of it. Raises BadRequest."""
    made = decode_changed(old.struct, old.value, value) if old is not None and old.struct is not None else None
    return _at(decode_shared(core.Pod, value) if made is None else made, revision)


def _at(obj: K, revision: int) -> K:
    obj.metadata.resource_version = str(revision)
    return obj
