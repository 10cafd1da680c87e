"""Watches of parts of this process, which are told of each change at once, by a call, as a struct.

Other watchers are told in bytes, which each reads again: for the informers of controllers and scheduler that was most
of what a change cost. A tap is told from within the pump, so what it calls has to be quick and may not wait. The
struct of a change is made once for all taps of its kind; what they hand out is shared, as with informers. A tap ends
with Expired when the past that it rests on is lost, and with the error of the one who is told when he fails; then its
reader begins anew.
"""

import asyncio
from collections.abc import Callable

from bireme.api.codec.shared import decode_shared
from bireme.api.kinds.meta import Object
from bireme.registry.record import Record
from bireme.registry.selection import Selection
from bireme.registry.watcher import Change

Told = Callable[[str, str, Object | None, int], None]
"""Namespace, name, the object (None: it is there, or asked for, no more) and the revision."""

Made = dict[type[Object], Object]
"""The structs of one change, by their kind."""


class Tap:
    """Has `told` hear of the changes of what `selection` chooses, as structs of `kind`, until it ends."""

    def __init__(self, selection: Selection, kind: type[Object], told: Told) -> None:
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._transition, self._kind, self._told = selection.transition, kind, told

    def hear(self, change: Change, made: Made) -> None:
        """Tell of a change, if it concerns the selection; `made` is what others made of it, and will be."""
        deed = self._transition(change.old, change.new)
        if deed is None or self.ended.done():
            return
        record = change.old if change.new is None else change.new
        assert record is not None
        try:
            obj = None if deed == "DELETED" else self._struct(record, made)
            self._told(record.namespace, record.name, obj, change.revision)
        except Exception as error:
            self.end(error)

    def end(self, error: Exception) -> None:
        """Tell no more."""
        if not self.ended.done():
            self.ended.set_exception(error)

    def _struct(self, record: Record, made: Made) -> Object:
        obj = made.get(self._kind)
        if obj is None:
            obj = made[self._kind] = decode_shared(self._kind, record.value)
            obj.metadata.resource_version = str(record.revision)
        return obj
