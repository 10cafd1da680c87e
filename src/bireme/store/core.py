"""The one writer: memory first, a durable log behind it.

A write is compared with the newest state, which is the durable state under an overlay of the writes still on
their way, and joins the batch that is being gathered. When the log has made the batch before durable, the
gathered one follows: group commit. Only once a batch is durable is it applied to the state, shown to readers
and watchers, and acknowledged. No task is started for a write, and the log's thread is crossed once a batch.

History is kept for five minutes or more after a write, unless it outgrows its bounds first. There is no task
for that either: the clock is looked at with each batch.
"""

import asyncio
import contextlib
import os
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import structlog

from bireme.aio.clock import Clock
from bireme.store.interface import (
    Event,
    Item,
    KeyConflict,
    Put,
    Revision,
    StoreClosed,
    StoreError,
    StoreFull,
    StoreStatistics,
)
from bireme.store.log import Batch, Log, NoRoom, Write
from bireme.store.state import Bucket, State
from bireme.store.watching import Channel, Watcher

log = structlog.get_logger(__name__)

EX_IOERR = 74  # sysexits.h
BATCH_BYTES = 16 * 2**20
_NEVER = Revision(0)


def end_process(error: StoreError) -> None:
    """Leave at once: nothing that this process holds may be acknowledged any more."""
    log.critical("the store cannot go on", error=str(error))
    os._exit(EX_IOERR)


@dataclass(frozen=True, slots=True)
class Retention:
    """How much history is kept: each event for `keep_s` at least, unless there are more events or bytes."""

    keep_s: float = 300.0
    events: int = 200_000
    past_bytes: int = 256 * 2**20


class Core:
    """A `Store` over any `Log`."""

    def __init__(
        self,
        state: State,
        durable: Log,
        *,
        clock: Clock,
        retention: Retention | None = None,
        on_failure: Callable[[StoreError], None] = end_process,
    ) -> None:
        self._state = state
        self._log = durable
        self._clock = clock
        self._retention = retention or Retention()
        self._on_failure = on_failure
        self._overlay: dict[str, Write] = {}  # the newest write under way for each key
        self._newest = int(state.revision)  # the revision of the last write that was taken
        self._gathered: deque[Batch] = deque()
        self._under_way: Batch | None = None
        self._began = 0.0  # when the batch under way was handed over
        self._due = False  # a hand-over is on the loop's list
        self._loop: asyncio.AbstractEventLoop | None = None
        self._ended: StoreError | None = None
        self._commits = 0
        self._marks: deque[tuple[float, Revision]] = deque([(clock.monotonic(), state.revision)])

    # -- reading

    @property
    def revision(self) -> Revision:
        """The newest revision that is durable."""
        return self._state.revision

    def get(self, key: str) -> Item | None:
        """What `key` holds now."""
        return self._state.get(key)

    def range(self, prefix: str, *, after: str = "", limit: int = 0) -> Sequence[Item]:
        """The items under `prefix` in key order: those whose key is greater than `after`, at most `limit`."""
        return self._state.range(prefix, after, limit)

    def count(self, prefix: str, *, after: str = "") -> int:
        """How many keys there are under `prefix`, greater than `after`."""
        return self._state.count(prefix, after)

    def written(self, bucket: str) -> Revision:
        """The revision of the last write to a resource; see `Store.written`."""
        return self._state.written.get(bucket, _NEVER)

    def watch(self, prefix: str, *, after: Revision) -> Watcher:
        """Every event under `prefix` above `after`; see `Store.watch`."""
        return self._state.watch(prefix, after)

    def statistics(self) -> StoreStatistics:
        """Figures for metrics and health."""
        state = self._state
        return StoreStatistics(
            keys=state.keys,
            size_bytes=self._log.size_bytes() or state.value_bytes,
            revision=state.revision,
            compacted=state.compacted,
            commits=self._commits,
            watchers=state.watchers(),
            writing_s=self._clock.monotonic() - self._began if self._under_way is not None else 0.0,
            ended=self._ended is not None,
        )

    # -- writing

    async def put(self, key: str, value: bytes, *, expect: Revision | None) -> Item:
        """Write `value` if `key` is still at `expect`; see `Store.put`."""
        bucket, held = self._newest_of(key)
        if expect is not None and expect != (held.revision if held else 0):
            await self._refuse(key, held)
        if not key.isascii():
            key.encode()  # a lone surrogate is no key
        return await self._join(self._put(bucket, key, value, held, expect))  # type: ignore[return-value]

    async def put_all(self, puts: Sequence[Put]) -> Sequence[Item | KeyConflict]:
        """Write each value whose key is as expected; see `Store.put_all`.

        All go into one batch, and one future tells of all: what each comes to is known when it is taken.
        """
        for put in puts:
            if not put.key.isascii():
                put.key.encode()  # a lone surrogate is no key
        batch = self._gathering()
        future: asyncio.Future[Item | Event] = asyncio.get_running_loop().create_future()
        outcomes = [self._take_put(put, batch, future) for put in puts]
        if any(isinstance(outcome, Item) for outcome in outcomes):
            await future
        elif any(put.key in self._overlay for put in puts):
            await self._flush(batch)
        return outcomes

    def _take_put(self, put: Put, batch: Batch, future: "asyncio.Future[Item | Event]") -> Item | KeyConflict:
        """What comes of one of several, once the batch is durable."""
        bucket, held = self._newest_of(put.key)
        if put.expect is not None and put.expect != (held.revision if held else 0):
            return KeyConflict(put.key, held)
        write = self._put(bucket, put.key, put.value, held, put.expect)
        write.future = future
        self._take(write, batch)
        assert write.item is not None
        return write.item

    async def delete(self, key: str, *, expect: Revision | None) -> Event:
        """Remove `key` if it is still at `expect`; see `Store.delete`."""
        bucket, held = self._newest_of(key)
        if held is None or (expect is not None and expect != held.revision):
            return await self._refuse(key, held)
        return await self._join(self._delete(bucket, held, expect))  # type: ignore[return-value]

    async def settled(self, key: str) -> Item | None:
        """What `key` holds once the writes under way to it are over; see `Store.settled`."""
        if key in self._overlay:
            await self._flush(self._gathering())
        return self.get(key)

    async def compact(self, revision: Revision) -> None:
        """Drop the history up to and including `revision`."""
        revision = min(revision, self._state.revision)
        if revision <= self._state.compacted:
            return
        batch = self._gathering()
        batch.compact = max(batch.compact, revision)
        await self._flush(batch)

    async def close(self) -> None:
        """Finish the writes that are under way, end the watches and let go of the log."""
        if isinstance(self._ended, StoreClosed):
            return
        while self._ended is None and (self._gathered or self._under_way):
            with contextlib.suppress(StoreError):  # told to those whose writes they were
                await self._flush(self._gathering())
        self._ended = self._ended or StoreClosed("the store is closed")
        self._state.end_watches(self._ended)
        await self._log.close()

    # -- from calls to batches

    def _newest_of(self, key: str) -> tuple[Bucket, Item | None]:
        """The bucket of `key`, and what the key will hold when all writes under way are durable."""
        write = self._overlay.get(key)
        if write is not None:
            return write.bucket, write.item
        bucket = self._state.bucket(key)
        return bucket, bucket.items.get(key)

    def _put(self, bucket: Bucket, key: str, value: bytes, held: Item | None, expect: int | None) -> Write:
        self._newest += 1
        revision = Revision(self._newest)
        if held is None:
            item = Item(key, value, revision, revision)
            return Write(bucket, item, Event(revision, key, value, None, revision), Revision(0), expect)
        item = Item(key, value, revision, held.created)
        return Write(bucket, item, Event(revision, key, value, held.value, held.created), held.revision, expect)

    def _delete(self, bucket: Bucket, held: Item, expect: int | None) -> Write:
        self._newest += 1
        event = Event(Revision(self._newest), held.key, None, held.value, held.created)
        return Write(bucket, None, event, held.revision, expect)

    def _join(self, write: Write) -> "asyncio.Future[Item | Event]":
        batch = self._gathering()
        if self._loop is None:
            self._loop = self._started()
        write.future = self._loop.create_future()
        self._take(write, batch)
        return write.future

    def _take(self, write: Write, batch: Batch) -> None:
        batch.writes.append(write)
        batch.size += len(write.event.value or b"")
        self._overlay[write.event.key] = write

    def _gathering(self) -> Batch:
        """The batch that takes the next write; it is handed over as soon as the log is free."""
        if self._ended is not None:
            raise self._ended
        if not self._due and self._under_way is None:
            self._hand_over_soon()
        if not self._gathered or self._gathered[-1].size > BATCH_BYTES:
            self._gathered.append(Batch())
        return self._gathered[-1]

    def _started(self) -> asyncio.AbstractEventLoop:
        self._log.start(self._settled)
        return asyncio.get_running_loop()

    async def _refuse(self, key: str, held: Item | None) -> Event:
        """Raise KeyConflict, once what the key holds is durable."""
        conflict = KeyConflict(key, held)
        if key in self._overlay:
            waiter: asyncio.Future[Item | Event] = asyncio.get_running_loop().create_future()
            self._gathering().refusals.append((waiter, conflict))
            await waiter
        raise conflict

    async def _flush(self, batch: Batch) -> None:
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        batch.flushes.append(waiter)
        await waiter

    # -- from batches to the log and back

    def _hand_over_soon(self) -> None:
        self._due = True
        if self._loop is None:
            self._loop = self._started()
        # after the callbacks that are on the list already: whoever was just answered may still write
        self._loop.call_soon(self._hand_over)

    def _hand_over(self) -> None:
        self._due = False
        if self._under_way is None and self._gathered and self._ended is None:
            self._under_way = self._gathered.popleft()
            self._began = self._clock.monotonic()
            self._compact_if_due(self._under_way)
            self._log.submit(self._under_way)

    def _settled(self, error: StoreError | None) -> None:
        batch = self._under_way or Batch()  # none, when the log fails while it tidies
        self._under_way = None
        if error is None:
            self._publish(batch)
        elif isinstance(error, NoRoom):
            self._shed(batch, error)
        else:
            self._fail(batch, error)
        if self._gathered and not self._due and self._ended is None:
            self._hand_over_soon()

    def _publish(self, batch: Batch) -> None:
        """The batch is durable: show it, answer those who wait, wake the watchers."""
        apply, overlay = self._state.apply, self._overlay
        touched: dict[Channel, None] = {}
        self._commits += 1
        for write in batch.writes:
            item, event = write.item, write.event
            apply(write.bucket, item, event, touched)
            if overlay[event.key] is write:
                del overlay[event.key]
            if not write.future.done():  # else the caller was cancelled
                write.future.set_result(event if item is None else item)
        if batch.compact > self._state.compacted:
            self._state.compact(batch.compact)
        answer(batch, None)
        for channel in touched:
            channel.wake()

    def _shed(self, batch: Batch, error: NoRoom) -> None:
        """No room: nothing of the batch is kept. Refuse the puts, and try the deletes again without them.

        All that was gathered meanwhile may rest on a refused put, so it is judged anew.
        """
        batches = [batch, *self._gathered]
        again = any(write.item is not None for write in batch.writes)
        self._gathered.clear()
        self._overlay.clear()
        self._newest = int(self._state.revision)
        full = StoreFull(f"no room on the disk of the store: {error}")
        log.warning("the store is full", error=str(error), refused=sum(len(one.writes) for one in batches))
        for write in (write for one in batches for write in one.writes):
            if write.future.done():
                continue
            bucket, held = self._newest_of(write.event.key)
            if write.item is not None or not again or held is None or write.expect not in (None, held.revision):
                write.future.set_exception(full)
                continue
            retry = self._delete(bucket, held, write.expect)
            retry.future = write.future
            self._take(retry, self._gathering())
        for one in batches:
            answer(one, full)

    def _fail(self, batch: Batch, error: StoreError) -> None:
        """What the disk holds is unknown: tell all who wait, and end."""
        self._ended = error
        for one in (batch, *self._gathered):
            for write in one.writes:
                if not write.future.done():
                    write.future.set_exception(error)
            answer(one, error)
        self._gathered.clear()
        self._state.end_watches(error)
        self._on_failure(error)

    def _compact_if_due(self, batch: Batch) -> None:
        """Let `batch` carry a compaction when history is old or large enough."""
        state, keep, now = self._state, self._retention, self._clock.monotonic()
        held = state.revision - state.compacted
        if held > keep.events or state.past_bytes > keep.past_bytes:
            batch.compact = max(batch.compact, Revision(state.compacted + max(1, held // 4)))
        if now - self._marks[-1][0] >= keep.keep_s / 10:
            self._marks.append((now, state.revision))
        # twice the time, half of it dropped at once: seldom, and never too early
        if now - self._marks[0][0] >= 2 * keep.keep_s:
            while len(self._marks) > 1 and now - self._marks[1][0] >= keep.keep_s:
                self._marks.popleft()
            batch.compact = max(batch.compact, self._marks[0][1])


def answer(batch: Batch, error: StoreError | None) -> None:
    """Tell those who wait for `batch` without a write of their own in it."""
    for refused, conflict in batch.refusals:
        if not refused.done():
            refused.set_exception(error or conflict)
    for flushed in batch.flushes:
        if flushed.done():
            continue
        if error is None:
            flushed.set_result(None)
        else:
            flushed.set_exception(error)
