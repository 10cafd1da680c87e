"""The caches of all kinds of objects, and the one pump that feeds them from the store's log.

Left to others: one kind's records, history and watchers (`resource_cache.py`), a watch's frames (`watcher.py`),
what goes over the wire (`apiserver/watch.py`).
"""

import asyncio
import heapq
import itertools
from collections.abc import Sequence

import structlog

from bireme.aio.clock import Clock
from bireme.api.errors import Cause, NotFound, Timeout
from bireme.api.scheme import Resource, Scheme
from bireme.registry.headers import HeaderReader
from bireme.registry.resource_cache import ResourceCache
from bireme.registry.rounds import Rounds
from bireme.registry.watcher import Watcher
from bireme.store.interface import Compacted, Event, Revision, Store

log = structlog.get_logger(__name__)

HISTORY_S = 360.0
FRESH_S = 3.0
AT_ONCE = 64
"""Writes that are taken in before others get their turn: who hears of one by a call works while it is told."""


class WatchCache:
    """The caches of all kinds, and the pump that feeds them from the store."""

    def __init__(self, store: Store, scheme: Scheme, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._caches: dict[str, ResourceCache] = {}
        self._rounds = Rounds(clock)
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
        self._caches.setdefault(home.key_prefix, ResourceCache(home, self._rounds, revision=lambda: self._revision))

    def put(self, resource: Resource, reader: HeaderReader) -> None:
        """Serve `resource`, which may have been served otherwise; its watches end, so that clients begin anew.

        What is known of its past is kept unless its objects are to be selected by other fields.
        """
        prefix = resource.key_prefix
        known = self._caches.get(prefix)
        if known is not None:
            self._end_watches(known)
            if known.reader.field_names == reader.field_names:
                known.resource, known.reader = resource, reader
                return
        cache = self._caches[prefix] = ResourceCache(
            resource, self._rounds, reader=reader, revision=lambda: self._revision
        )
        if self._started:
            cache.oldest = cache.loaded = self._store.revision
            cache.load(reader.read(item.key, item.value, item.revision) for item in self._store.range(prefix))

    def remove(self, resource: Resource) -> None:
        """Serve `resource` no more; its watches end."""
        cache = self._caches.pop(resource.key_prefix, None)
        if cache is not None:
            self._end_watches(cache)

    @staticmethod
    def _end_watches(cache: ResourceCache) -> None:
        for watcher in cache.watchers():
            watcher.drop()
        cache.end_taps()

    def of(self, resource: Resource) -> ResourceCache:
        """The cache of `resource`. Raises NotFound where it is served no more."""
        found = self._caches.get(resource.stored_as.key_prefix)
        if found is None:
            raise NotFound("the server could not find the requested resource")
        return found

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
            tasks.create_task(self._rounds.run(), name="watch cache: crowds")

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
                    for begin in range(0, len(batch), AT_ONCE):
                        # The past is taken in at once: who asks for it must not get a part of it.
                        if begin and batch[begin].revision > loaded:
                            await asyncio.sleep(0)
                        piece = batch[begin : begin + AT_ONCE]
                        self._take(piece, loaded)
                        after = piece[-1].revision
            except Compacted as error:
                log.warning("watch cache fell behind", asked=error.asked, oldest=error.oldest)
                self._reload()
                loaded = after = Revision(self._revision)

    def _take(self, batch: Sequence[Event], loaded: int) -> None:
        at = self._clock.monotonic()
        by_kind: dict[str, list[Event]] = {}
        for event in batch:
            by_kind.setdefault(prefix_of_key(event.key), []).append(event)
        for prefix, events in by_kind.items():
            cache = self._caches.get(prefix)
            if cache is not None:
                cache.take(events, at=at, loaded=loaded)
        self._revision = max(self._revision, batch[-1].revision)
        self._fresh.set()

    def _reload(self) -> None:
        for cache in self._caches.values():
            self._end_watches(cache)
            cache.clear()
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
        f"Timeout: Too large resource version: {revision}, current: {current}",
        causes=(Cause("ResourceVersionTooLarge", "Too large resource version"),),
        retry_after_s=1,
    )
