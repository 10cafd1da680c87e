"""Recent events in memory for many watchers, and the headers by which lists select.

One pump follows the store's whole log and keeps, for each kind of object, the records as they are, the
changes of the last minutes, and the watchers. A change is rendered once for all watchers with the same view,
and goes only to those whom it may concern: watchers are filed under the object's name, an indexed field
(`spec.nodeName=…`) or the namespace that they ask for, so ten thousand watchers of one node each cost a
dictionary look-up an event. A watcher that doesn't read is dropped and lists again; nobody waits for it.

The history also serves reads of the past: the state at an older revision is the present one with the newer
changes undone. Left to others: which revision a request may start from (`lists.py`), frames on the wire
(`apiserver/watch.py`).
"""

import asyncio
import heapq
import itertools
from collections import deque
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from typing import Protocol

import structlog

from bireme.aio.clock import Clock
from bireme.api.errors import Cause, Expired, Timeout
from bireme.api.scheme import Resource, Scheme
from bireme.registry.record import HeaderReader, Record
from bireme.registry.selection import Selection
from bireme.store.interface import Compacted, Event, Revision, Store

log = structlog.get_logger(__name__)

HISTORY_S = 360.0
HISTORY_CHANGES = 102_400
BUFFERED_FRAMES = 4_096
FRESH_S = 3.0


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
        self._frames: deque[bytes] = deque()
        self._wake = asyncio.Event()
        self._close = close

    def offer(self, change: Change) -> None:
        """Queue the frame of `change` if it concerns this watcher."""
        if self.dropped or change.revision <= self.after:
            return
        kind = self.selection.transition(change.old, change.new)
        if kind is None:
            return
        if len(self._frames) >= BUFFERED_FRAMES:
            self.drop()
            return
        self._frames.append(change.frame(kind, self.view))
        self._wake.set()

    def drop(self) -> None:
        """End this watch: the client has to list again."""
        self.dropped = True
        self._frames.clear()
        self._wake.set()

    def nudge(self) -> None:
        """Wake the reader, for a bookmark or the end of its time."""
        self._wake.set()

    async def wait(self) -> None:
        """Return once there are frames, a nudge, or the end."""
        await self._wake.wait()

    def take(self) -> list[bytes]:
        """The frames that have come since the last call."""
        self._wake.clear()
        frames = list(self._frames)
        self._frames.clear()
        return frames

    def close(self) -> None:
        """Take no more events."""
        self._close(self)


class ResourceCache:
    """Records, recent changes and watchers of one kind of object."""

    def __init__(self, resource: Resource) -> None:
        self.resource = resource
        self.reader = HeaderReader(resource)
        self.records: dict[str, Record] = {}
        self.history: deque[Change] = deque()
        self.oldest = 0
        self._past: dict[str, Record | None] = {}
        self._watchers: dict[Hashable, dict[Watcher, None]] = {}
        self._watched_fields: dict[int, int] = {}
        self._index: dict[int, dict[str, dict[str, Record]]] = {
            number: {} for number, name in enumerate(resource.fields) if name in INDEXED
        }

    def load(self, records: Iterable[Record]) -> None:
        """Start from `records`."""
        for record in records:
            self._set(record)

    def apply(self, event: Event, *, at: float, past: bool = False) -> None:
        """Take in a write. One of the `past` is only remembered: the records already hold its outcome."""
        old = self.records.get(event.key)
        if past:
            old = self._past.get(event.key) or self._read(event.key, event.previous, event.created)
        new = self._read(event.key, event.value, event.revision)
        change = Change(event.revision, old, new, at)
        self.history.append(change)
        if past:
            self._past[event.key] = new
            return
        self._past.clear()
        if new is not None:
            self._set(new)
        elif (gone := self.records.pop(event.key, None)) is not None:
            self._unindex(gone)
        for watcher in self._concerned(change):
            watcher.offer(change)

    def forget(self, *, before: float) -> None:
        """Let go of changes older than `before`, and of those beyond the limit."""
        history = self.history
        while history and (history[0].at < before or len(history) > HISTORY_CHANGES):
            self.oldest = history.popleft().revision

    def since(self, revision: int) -> Iterator[Change]:
        """The changes after `revision`, oldest first."""
        newer = itertools.takewhile(lambda change: change.revision > revision, reversed(self.history))
        return reversed(list(newer))

    def watch(self, selection: Selection, view: View, *, after: int) -> Watcher:
        """A watcher that first gets the changes after `after`. Raises Expired when that is too old."""
        if after < self.oldest:
            raise Expired(f"too old resource version: {after} ({self.oldest})")
        place = self._place(selection)
        watcher = Watcher(selection, view, lambda closed: self._forget_watcher(place, closed), after=after)
        for change in self.since(after):
            watcher.offer(change)
        self._watchers.setdefault(place, {})[watcher] = None
        if isinstance(place, tuple) and place[0] == "field":
            self._watched_fields[place[1]] = self._watched_fields.get(place[1], 0) + 1
        return watcher

    def select(self, selection: Selection) -> list[Record] | None:
        """The records of the narrowest index that fits, in key order; None where a scan is needed."""
        for number, index in self._index.items():
            value = selection.asked(self.resource.fields[number])
            if value is not None:
                return sorted(index.get(value, {}).values(), key=_key)
        return None

    def undone(self, revision: int) -> dict[str, Record | None]:
        """What the objects that changed after `revision` were then (None: not there).

        Raises Expired when the history doesn't reach back.
        """
        if revision < self.oldest:
            raise Expired(f"The provided resource version is too old: {revision} ({self.oldest})")
        past: dict[str, Record | None] = {}
        for change in itertools.takewhile(lambda change: change.revision > revision, reversed(self.history)):
            known = change.old or change.new
            if known is not None:
                past[known.key] = change.old
        return past

    def watchers(self) -> list[Watcher]:
        return [watcher for group in self._watchers.values() for watcher in group]

    def _read(self, key: str, value: bytes | None, revision: int) -> Record | None:
        return None if value is None else self.reader.read(key, value, revision)

    def _set(self, record: Record) -> None:
        old = self.records.get(record.key)
        self.records[record.key] = record
        for number, index in self._index.items():
            value = record.fields[number]
            if old is not None and old.fields[number] != value:
                self._remove(index, old, number)
            index.setdefault(value, {})[record.key] = record

    def _unindex(self, record: Record) -> None:
        for number, index in self._index.items():
            self._remove(index, record, number)

    @staticmethod
    def _remove(index: dict[str, dict[str, Record]], record: Record, number: int) -> None:
        group = index.get(record.fields[number])
        if group is not None:
            group.pop(record.key, None)
            if not group:
                del index[record.fields[number]]

    def _place(self, selection: Selection) -> Hashable:
        if selection.name:
            return ("name", selection.namespace, selection.name)
        for number in self._index:
            value = selection.asked(self.resource.fields[number])
            if value is not None:
                return ("field", number, value)
        return ("namespace", selection.namespace) if selection.namespace else "all"

    def _forget_watcher(self, place: Hashable, watcher: Watcher) -> None:
        group = self._watchers.get(place, {})
        if group.pop(watcher, 0) == 0:
            return
        if not group:
            del self._watchers[place]
        if isinstance(place, tuple) and place[0] == "field":
            self._watched_fields[place[1]] -= 1

    def _concerned(self, change: Change) -> list[Watcher]:
        if not self._watchers:
            return []
        places: dict[Hashable, None] = {"all": None}
        for record in (change.old, change.new):
            if record is not None:
                places["namespace", record.namespace] = None
                places["name", record.namespace, record.name] = None
                places["name", "", record.name] = None
                for number, count in self._watched_fields.items():
                    if count:
                        places["field", number, record.fields[number]] = None
        return [watcher for place in places for watcher in self._watchers.get(place, ())]


INDEXED = frozenset({"spec.nodeName"})


def _key(record: Record) -> str:
    return record.key


class WatchCache:
    """The caches of all kinds, and the pump that feeds them from the store."""

    def __init__(self, store: Store, scheme: Scheme, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._caches: dict[str, ResourceCache] = {}
        for resource in scheme.resources():
            self.add(resource)
        self._revision = 0
        self._fresh = asyncio.Event()
        self._alarms: list[tuple[float, int, Watcher]] = []
        self._order = itertools.count()
        self._started = False

    def add(self, resource: Resource) -> None:
        """Serve `resource`; one that shares another's storage shares its cache."""
        home = resource.stored_as
        self._caches.setdefault(home.key_prefix, ResourceCache(home))

    def of(self, resource: Resource) -> ResourceCache:
        """The cache of `resource`."""
        return self._caches[resource.stored_as.key_prefix]

    def start(self) -> None:
        """Load what the store holds now. Called once, before `run`."""
        oldest = self._store.statistics().compacted
        for prefix, cache in self._caches.items():
            cache.oldest = oldest
            cache.load(cache.reader.read(item.key, item.value, item.revision) for item in self._store.range(prefix))
        self._revision = self._store.revision
        self._started = True

    async def run(self) -> None:
        """Follow the store, time the watchers and age the history; runs until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._follow(), name="watch cache: store")
            tasks.create_task(self._age(), name="watch cache: time")

    async def wait_fresh(self, revision: int) -> None:
        """Return once the caches hold everything up to `revision`.

        Raises Timeout when the store itself does not reach it within three seconds.
        """
        waited = 0.0
        while self._store.revision < revision:
            if waited >= FRESH_S:
                raise _too_new(revision, self._store.revision)
            await self._clock.sleep(0.1)
            waited += 0.1
        while self._revision < revision:
            self._fresh.clear()
            await self._fresh.wait()

    @property
    def revision(self) -> Revision:
        """The revision that the caches have reached."""
        return Revision(self._revision)

    def nudge_at(self, moment: float, watcher: Watcher) -> None:
        """Wake `watcher` at `moment` of the monotonic clock (to the second)."""
        heapq.heappush(self._alarms, (moment, next(self._order), watcher))

    async def _follow(self) -> None:
        loaded = self._revision
        after = Revision(self._store.statistics().compacted)
        while True:
            try:
                async for batch in self._store.watch("/registry/", after=after):
                    self._take(batch, loaded)
                    after = batch[-1].revision
            except Compacted as error:
                log.warning("watch cache fell behind", asked=error.asked, oldest=error.oldest)
                self._reload()
                loaded = after = Revision(self._revision)

    def _take(self, batch: Sequence[Event], loaded: int) -> None:
        at = self._clock.monotonic()
        for event in batch:
            cache = self._caches.get(prefix_of_key(event.key))
            if cache is not None:
                cache.apply(event, at=at, past=event.revision <= loaded)
        self._revision = max(self._revision, batch[-1].revision)
        self._fresh.set()

    def _reload(self) -> None:
        for cache in self._caches.values():
            for watcher in cache.watchers():
                watcher.drop()
            cache.__init__(cache.resource)  # type: ignore[misc]
        self.start()
        for cache in self._caches.values():
            cache.oldest = self._revision

    async def _age(self) -> None:
        while True:
            await self._clock.sleep(1.0)
            now = self._clock.monotonic()
            while self._alarms and self._alarms[0][0] <= now:
                heapq.heappop(self._alarms)[2].nudge()
            for cache in self._caches.values():
                if cache.history:
                    cache.forget(before=now - HISTORY_S)


def prefix_of_key(key: str) -> str:
    """`/registry/core/pods/` for `/registry/core/pods/default/a`."""
    return key[: key.index("/", key.index("/", 10) + 1) + 1]


def _too_new(revision: int, current: int) -> Timeout:
    return Timeout(
        f"Too large resource version: {revision}, current: {current}",
        causes=(Cause("ResourceVersionTooLarge", "Too large resource version"),),
        retry_after_s=1,
    )
