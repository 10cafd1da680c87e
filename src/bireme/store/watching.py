"""Watchers: who is told of which write, at a cost that grows with deliveries and not with watchers.

Those who watch the same prefix share a channel: a list of events, to which a write appends once, and in
which each watcher has a place of its own. A slow watcher thus costs nothing but its place; when the channel
drops its oldest events, whoever had not read them gets Compacted and must list again. Nobody waits for it.

A `Switchboard` belongs to one bucket and finds a key's channels by looking up its beginnings, one for each
length of prefix that is watched (mostly one), not by asking each channel. Prefixes wider than a bucket are few
and are asked one by one.
"""

import asyncio
from bisect import bisect_right
from collections.abc import Callable, Sequence
from operator import attrgetter

from bireme.store.interface import Compacted, Event, Revision, StoreClosed, StoreError

revision_of = attrgetter("revision")
BACKLOG = 20_000


class Channel:
    """The events under one prefix since its first watcher came, as far back as they are kept."""

    __slots__ = ("dropped", "ended", "events", "first", "parked", "prefix", "watchers")

    def __init__(self, prefix: str) -> None:
        self.prefix = prefix
        self.events: list[Event] = []
        self.first = 0  # how many events were dropped: the place of events[0]
        self.dropped = Revision(0)  # the newest revision among them
        self.watchers = 0
        self.parked: set[asyncio.Future[None]] = set()
        self.ended: StoreError | None = None

    def wake(self) -> None:
        """Let those who wait look again; drop what is beyond the backlog."""
        if len(self.events) > 2 * BACKLOG:
            self._drop(len(self.events) - BACKLOG)
        for waiter in self.parked:
            if not waiter.done():
                waiter.set_result(None)
        self.parked.clear()

    def trim(self, compacted: Revision) -> None:
        """Drop the events up to and including `compacted`."""
        self._drop(bisect_right(self.events, compacted, key=revision_of))

    def end(self, reason: StoreError) -> None:
        """Let all watchers go, with `reason` (StoreClosed: without), once they have read what there is."""
        self.ended = reason
        self.wake()

    def _drop(self, number: int) -> None:
        if number:
            self.dropped = self.events[number - 1].revision
            self.first += number
            del self.events[:number]


class Watcher:
    """One reader's place in a channel; see `interface.Watch`."""

    __slots__ = ("_after", "_channel", "_leave", "_place", "_present", "_replay", "_said", "_waiter")

    def __init__(
        self,
        channel: Channel,
        replay: Sequence[Event],
        after: Revision,
        present: Callable[[], Revision],
        leave: Callable[[Channel], None],
    ) -> None:
        self._channel = channel
        self._replay = replay
        self._after = after
        self._said = after  # the revision of the last event that was given out
        self._place = channel.first + len(channel.events)
        self._present = present
        self._leave: Callable[[Channel], None] | None = leave
        self._waiter: asyncio.Future[None] | None = None

    @property
    def revision(self) -> Revision:
        """Every event up to here has been given out."""
        if self._replay or self._place != self._channel.first + len(self._channel.events):
            return self._said
        return max(self._said, self._present())

    def __aiter__(self) -> "Watcher":
        return self

    async def __anext__(self) -> Sequence[Event]:
        while self._leave is not None:
            if batch := self._fresh():
                self._said = batch[-1].revision
                return batch
            if self._channel.ended is not None:
                self.close()
                if not isinstance(self._channel.ended, StoreClosed):
                    raise self._channel.ended
                break
            await self._changed()
        raise StopAsyncIteration

    def close(self) -> None:
        """Leave the channel."""
        if self._leave is not None:
            leave, self._leave = self._leave, None
            leave(self._channel)
            if self._waiter is not None and not self._waiter.done():
                self._waiter.set_result(None)

    def __del__(self) -> None:
        # a reader that broke out of its loop lets go of the watcher without a word
        if self._leave is not None:
            self._leave(self._channel)

    def _fresh(self) -> Sequence[Event]:
        if self._replay:
            batch, self._replay = self._replay, ()
            return batch
        channel = self._channel
        if self._place < channel.first:
            self.close()
            raise Compacted(self._said, channel.dropped)
        batch = channel.events[self._place - channel.first :]
        self._place += len(batch)
        if batch and batch[0].revision <= self._after:  # a watch from a revision that was yet to come
            return [event for event in batch if event.revision > self._after]
        return batch

    async def _changed(self) -> None:
        self._waiter = waiter = asyncio.get_running_loop().create_future()
        self._channel.parked.add(waiter)
        try:
            await waiter
        finally:
            self._waiter = None
            self._channel.parked.discard(waiter)


class Switchboard:
    """The channels of one bucket, by prefix."""

    __slots__ = ("_lengths", "channels")

    def __init__(self) -> None:
        self.channels: dict[str, Channel] = {}
        self._lengths: dict[int, int] = {}  # how many prefixes there are of each length

    def join(self, prefix: str) -> Channel:
        """The channel of `prefix`, with one more watcher."""
        channel = self.channels.get(prefix)
        if channel is None:
            channel = self.channels[prefix] = Channel(prefix)
            self._lengths[len(prefix)] = self._lengths.get(len(prefix), 0) + 1
        channel.watchers += 1
        return channel

    def leave(self, channel: Channel) -> None:
        """One watcher less; a channel that nobody watches goes."""
        channel.watchers -= 1
        length = len(channel.prefix)
        if not channel.watchers:
            del self.channels[channel.prefix]
            self._lengths[length] -= 1
            if not self._lengths[length]:
                del self._lengths[length]

    def publish(self, event: Event, touched: dict[Channel, None]) -> None:
        """Append `event` to the channels that its key concerns, and note them in `touched`."""
        key = event.key
        for length in self._lengths:
            channel = self.channels.get(key[:length])
            if channel is not None and length <= len(key):
                channel.events.append(event)
                touched[channel] = None
