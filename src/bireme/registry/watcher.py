"""One watch: the changes that concern it, as the frames that wait to be read.

A change is rendered once for all watchers with the same view. A watcher that doesn't read is dropped and lists
again; nobody waits for it. Who hears of which change is the cache's affair (`resource_cache.py`).
"""

import asyncio
from collections.abc import Callable, Hashable
from typing import Protocol

from bireme.registry.record import Record
from bireme.registry.selection import Selection

BUFFERED_FRAMES = 4_096


class View(Protocol):
    """How watchers want objects to look. Views with equal keys share what was rendered."""

    @property
    def key(self) -> Hashable: ...

    def frame(self, kind: str, record: Record, revision: int) -> bytes:
        """The bytes that tell a watcher that `record` was ADDED, MODIFIED or DELETED at `revision`."""
        ...


class Change:
    """One write: the record before and after (None: there was or is none), and the frames made of it."""

    __slots__ = ("at", "frames", "new", "old", "revision")

    def __init__(self, revision: int, old: Record | None, new: Record | None, at: float) -> None:
        self.revision = revision
        self.old = old
        self.new = new
        self.at = at
        self.frames: dict[tuple[str, Hashable], bytes] = {}

    def frame(self, kind: str, view: View) -> bytes:
        """The frame that `view` makes of this change, made once."""
        memo = (kind, view.key)
        made = self.frames.get(memo)
        if made is None:
            record = self.new if kind != "DELETED" and self.new is not None else (self.old or self.new)
            assert record is not None
            made = self.frames[memo] = view.frame(kind, record, self.revision)
        return made


class Watcher:
    """One watch: frames that wait to be read, in order. Made by `ResourceCache.watch`."""

    def __init__(self, selection: Selection, view: View, close: Callable[["Watcher"], None], *, after: int) -> None:
        self.selection = selection
        self.view = view
        self.after = after
        self.dropped = False
        self._frames: list[bytes] = []
        self._nudged = False
        self._reader: asyncio.Future[None] | None = None
        self._close = close

    def offer(self, change: Change, *, wake: bool = True) -> None:
        """Queue the frame of `change` if it concerns this watcher; whoever does not `wake` it does so later."""
        if self.dropped or change.revision <= self.after:
            return
        kind = self.selection.transition(change.old, change.new)
        if kind is None:
            return
        if len(self._frames) >= BUFFERED_FRAMES:
            self.drop()
            return
        self._frames.append(change.frame(kind, self.view))
        if wake:
            self.wake()

    def drop(self) -> None:
        """End this watch: the client has to list again."""
        self.dropped = True
        self._frames.clear()
        self.wake()

    def nudge(self) -> None:
        """Wake the reader, for a bookmark or the end of its time."""
        self._nudged = True
        self.wake()

    async def wait(self) -> None:
        """Return once there are frames, a nudge, or the end. There is one reader."""
        if not (self._frames or self._nudged or self.dropped):
            self._reader = asyncio.get_running_loop().create_future()
            await self._reader

    def take(self) -> list[bytes]:
        """The frames that have come since the last call."""
        self._nudged = False
        frames, self._frames = self._frames, []
        return frames

    def wake(self) -> None:
        """Have the reader look again."""
        # A bare future: an asyncio.Event costs half as much again, for each watcher and event.
        reader, self._reader = self._reader, None
        if reader is not None and not reader.done():
            reader.set_result(None)

    def close(self) -> None:
        """Take no more events."""
        self._close(self)
