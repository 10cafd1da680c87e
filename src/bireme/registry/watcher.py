"""Watches: the changes that concern them, as the frames that wait to be read.

A change is rendered once for all watchers with the same view. Watchers that ask for the same share a channel: a
write is matched and kept once for all of them, so a thousand cost hardly more than one until they read. A watcher
that doesn't read is dropped and lists again; nobody waits for it. Who hears of which change is the cache's affair
(`resource_cache.py`).
"""

import asyncio
from collections import deque
from collections.abc import Callable, Hashable, Iterable
from typing import Protocol

import msgspec

from bireme.api.errors import ApiError, Expired
from bireme.registry.record import Record
from bireme.registry.selection import Selection

BUFFERED_FRAMES = 4_096
MISSED_AT_ONCE = 256
"""So many frames of the past are made at a time, when the client has read those before."""
KEPT_FRAMES = 64
"""So many frames may lie in a channel before it is looked whether all have read them."""

Sink = Callable[[bytes], bool]
"""Sends frames at once; false when it cannot now, and has taken nothing."""


class View(Protocol):
    """How watchers want objects to look. Views with equal keys share what was rendered."""

    @property
    def key(self) -> Hashable: ...

    def frame(self, kind: str, record: Record, revision: int) -> bytes:
        """The bytes that tell a watcher that `record` was ADDED, MODIFIED or DELETED at `revision`."""
        ...


class Change(msgspec.Struct, eq=False, gc=False):
    """One write: the record before and after (None: there was or is none), and the frames made of it."""

    revision: int
    old: Record | None
    new: Record | None
    at: float
    frames: dict[tuple[str, Hashable], bytes] | None = None

    def frame(self, kind: str, view: View) -> bytes:
        """The frame that `view` makes of this change, made once."""
        if self.frames is None:
            self.frames = {}
        memo = (kind, view.key)
        made = self.frames.get(memo)
        if made is None:
            made = self.frames[memo] = self.render(kind, view)
        return made

    def render(self, kind: str, view: View) -> bytes:
        """The same, made anew."""
        record = self.new if kind != "DELETED" and self.new is not None else (self.old or self.new)
        assert record is not None
        return view.frame(kind, record, self.revision)


class Channel:
    """What watchers with one selection and view have in common: each frame once, in order; each has a place in it.

    What `offer` kept may be read from the next `release` on.
    """

    __slots__ = ("_begin", "_frames", "_joined", "_trim_at", "members", "released", "revision", "selection", "view")

    def __init__(self, selection: Selection, view: View) -> None:
        self.selection = selection
        self.view = view
        self.members: dict[Watcher, None] = {}
        self.released = self.revision = 0
        self._frames: list[bytes] = []
        self._begin = 0
        self._joined: dict[int, bytes] = {}
        self._trim_at = KEPT_FRAMES

    def __len__(self) -> int:
        return len(self._frames)

    @property
    def end(self) -> int:
        """The place behind the newest frame."""
        return self._begin + len(self._frames)

    def offer(self, change: Change) -> bool:
        """Keep the frame of `change` if it concerns the members, and tell whether it does."""
        kind = self.selection.transition(change.old, change.new)
        if kind is None:
            return False
        self.revision = change.revision
        self._frames.append(change.frame(kind, self.view))
        if len(self._frames) >= self._trim_at:
            self._trim()
        return True

    def release(self) -> None:
        """Let the members read what is there."""
        self.tell(self.open())

    def open(self) -> "list[Watcher]":
        """Allow to read what is there; those who are to be told."""
        self.released = self.end
        self._joined.clear()
        return list(self.members)

    def tell(self, watchers: "Iterable[Watcher]") -> None:
        """There may be frames to read: the members' sinks take them, or else their readers are woken."""
        # One loop for all, since calls in calls cost a third of what is ours in telling one of a thousand. To wake
        # a task and to have it write costs half as much again as the writing.
        released, place, frames = self.released, -1, b""
        for watcher in watchers:
            reader, sink = watcher.reader, watcher.sink
            if sink is not None and reader is not None and not reader.done():
                if watcher.place >= released:
                    continue
                if watcher.place != place:
                    place = watcher.place
                    frames = self.since(place)
                if sink(frames):
                    watcher.place = released
                    continue
            watcher.wake()
        self.was_read()

    def since(self, place: int) -> bytes:
        """What may be read from `place` on, joined once for all who stand there."""
        if place >= self.released:
            return b""
        made = self._joined.get(place)
        if made is None:
            made = self._joined[place] = b"".join(self._frames[place - self._begin : self.released - self._begin])
        return made

    def was_read(self) -> None:
        """Some have read. What the only member has read is kept no longer."""
        if len(self.members) == 1:
            (only,) = self.members
            place = min(only.place, self.released)
            if place > self._begin:
                self._forget(place)

    def leave(self, watcher: "Watcher") -> bool:
        """One member less; whether anybody is left."""
        self.members.pop(watcher, None)
        return bool(self.members)

    def _trim(self) -> None:
        """Forget what all have read, and drop who is too far behind."""
        for watcher in list(self.members):
            if self.end - watcher.place > BUFFERED_FRAMES and not watcher.fall_back():
                watcher.drop()
        self._forget(min((one.place for one in self.members if not one.dropped), default=self.end))
        self._trim_at = min(max(KEPT_FRAMES, 2 * len(self._frames)), BUFFERED_FRAMES + 1)

    def _forget(self, place: int) -> None:
        del self._frames[: place - self._begin]
        self._begin = place
        self._joined.clear()


class Watcher:
    """One watch: what came before it joined its channel, and its place there. Made by `ResourceCache.watch`."""

    failure: ApiError | None = None  # why it ended, where the reader is to be told

    def __init__(
        self,
        channel: Channel,
        close: Callable[["Watcher"], None],
        *,
        after: int,
        since: Callable[[int], Iterable[Change]] = lambda revision: (),
    ) -> None:
        self.channel = channel
        self.place = channel.end
        self.after = after
        self.dropped = False
        self._missed: deque[tuple[str, Change]] = deque()
        self._since = since
        self._reads = self._nudged = False
        self.reader: asyncio.Future[None] | None = None
        self.sink: Sink | None = None
        self._close = close
        channel.members[self] = None

    def replay(self, change: Change) -> None:
        """A change of the time before this watcher came, told to it alone.

        However many there are: they lie in the history anyway, and who was refused them would come again for them.
        """
        if change.revision <= self.after:
            return
        kind = self.channel.selection.transition(change.old, change.new)
        if kind is not None:
            self._missed.append((kind, change))

    def fall_back(self) -> bool:
        """Have what came meanwhile from the history as well, while what was missed is still read; whether that is so.

        Else a client that begins far back would be dropped on its way, and come again, and again.
        """
        if not (self._missed and self._reads):
            return False
        self._reads = False
        try:
            newer = self._since(self._missed[-1][1].revision)
        except Expired:
            return False
        self.after = self._missed[-1][1].revision
        for change in newer:
            if change.revision > self.channel.revision:
                break  # it is yet to be offered
            self.replay(change)
        self.place = self.channel.end
        return True

    def drop(self) -> None:
        """End this watch: the client has to list again."""
        self.dropped = True
        self._missed.clear()
        self.wake()

    def nudge(self) -> None:
        """Wake the reader, for a bookmark or the end of its time."""
        self._nudged = True
        self.wake()

    async def wait(self) -> None:
        """Return once there are frames, a nudge, or the end. There is one reader."""
        if not (self._nudged or self.dropped or self._missed or self.place < self.channel.released):
            self.reader = asyncio.get_running_loop().create_future()
            await self.reader

    def take(self) -> bytes:
        """The frames that have come since the last call, joined; what was missed comes first, in pieces."""
        self._nudged = False
        if self.dropped:
            return b""
        if self._missed:
            self._reads = True
            missed, view = self._missed, self.channel.view
            count = min(len(missed), MISSED_AT_ONCE)
            return b"".join([change.render(kind, view) for kind, change in (missed.popleft() for _ in range(count))])
        frames = self.channel.since(self.place)
        self._has_read()
        return frames

    def attach(self, sink: Sink) -> None:
        """Give frames to `sink` straight away while the reader waits for them."""
        self.sink = sink

    def _has_read(self) -> None:
        self.place = max(self.place, self.channel.released)
        self.channel.was_read()

    def wake(self) -> None:
        """Have the reader look again."""
        # A bare future: an asyncio.Event costs half as much again, for each watcher and event.
        reader, self.reader = self.reader, None
        if reader is not None and not reader.done():
            reader.set_result(None)

    def close(self) -> None:
        """Take no more events."""
        self.sink = None
        self._close(self)
