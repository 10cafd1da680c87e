"""A queue of keys for level-driven work.

A key that is added while it waits is kept once; one added while it is being worked on is queued again
when that work is done, so no two workers hold the same key. Failures wait longer each time.
The idea is client-go's `util/workqueue`.
"""

import asyncio
import heapq
import itertools
from bisect import bisect_left
from collections import deque
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Generic, TypeVar

from bireme.aio.backoff import Backoff
from bireme.aio.clock import Clock
from bireme.aio.waiting import wait_any

K = TypeVar("K", bound=Hashable)

RETRY = Backoff(initial_s=0.005, limit_s=1000.0)
BOUNDS = (1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 0.1, 1.0, 10.0, 100.0, 1000.0)


@dataclass(frozen=True, slots=True)
class QueueStatistics:
    """How a work queue stands: keys ready, waiting for their time, being worked on; retries and adds so far."""

    ready: int
    delayed: int
    active: int
    retries: int
    adds: int = 0


class Times:
    """How often something took at most each of `BOUNDS` seconds (the last: more than all), and how long in sum."""

    __slots__ = ("counts", "total")

    def __init__(self) -> None:
        self.counts = [0] * (len(BOUNDS) + 1)
        self.total = 0.0

    def add(self, seconds: float) -> None:
        """It took so long once more."""
        self.counts[bisect_left(BOUNDS, seconds)] += 1
        self.total += seconds


class WorkQueue(Generic[K]):
    """Keys in first-in order, each once; see the module. A `timed` one tells how long keys wait and are worked on."""

    def __init__(self, clock: Clock, *, backoff: Backoff = RETRY, timed: bool = False) -> None:
        self._clock = clock
        self._backoff = backoff
        self._ready: deque[K] = deque()
        self._waiting: set[K] = set()
        self._active: set[K] = set()
        self._again: set[K] = set()
        self._delayed: list[tuple[float, int, K]] = []
        self._due: dict[K, float] = {}
        self._order = itertools.count()
        self._failures: dict[K, int] = {}
        self._retries = self._adds = 0
        self._timed = timed
        self._since: dict[K, float] = {}
        self.waits, self.work = Times(), Times()
        self._wake = asyncio.Event()
        self._alarm = asyncio.Event()

    def add(self, key: K) -> None:
        """Have `key` worked on soon."""
        if key in self._active:
            self._again.add(key)
        elif key not in self._waiting:
            self._waiting.add(key)
            self._ready.append(key)
            self._adds += 1
            if self._timed:
                self._since[key] = self._clock.monotonic()
            self._wake.set()

    def add_after(self, key: K, seconds: float) -> None:
        """Have `key` worked on in `seconds`, or earlier if that was asked before."""
        if seconds <= 0:
            self.add(key)
            return
        due = self._clock.monotonic() + seconds
        if due < self._due.get(key, float("inf")):
            self._due[key] = due
            heapq.heappush(self._delayed, (due, next(self._order), key))
            self._alarm.set()

    def retry(self, key: K) -> float:
        """Have `key` worked on again after its back-off; returns the seconds it will wait."""
        failures = self._failures[key] = self._failures.get(key, 0) + 1
        self._retries += 1
        delay = self._backoff.delay(failures)
        self.add_after(key, delay)
        return delay

    def forget(self, key: K) -> None:
        """The work on `key` went well: its next failure starts from the shortest wait."""
        self._failures.pop(key, None)

    async def take(self) -> K:
        """The next key, once there is one. Give it back with `done`."""
        while not self._ready:
            self._wake.clear()
            await self._wake.wait()
        key = self._ready.popleft()
        self._waiting.discard(key)
        self._active.add(key)
        if self._timed:
            now = self._clock.monotonic()
            self.waits.add(now - self._since.get(key, now))
            self._since[key] = now
        return key

    def done(self, key: K) -> None:
        """The work on `key` ended; if it was added meanwhile, it is queued again."""
        self._active.discard(key)
        if self._timed and key in self._since:
            self.work.add(self._clock.monotonic() - self._since.pop(key))
        if key in self._again:
            self._again.discard(key)
            self.add(key)

    async def run(self) -> None:
        """Move keys whose time has come to the ready ones; runs until cancelled."""
        while True:
            now = self._clock.monotonic()
            while self._delayed and self._delayed[0][0] <= now:
                due, _, key = heapq.heappop(self._delayed)
                if self._due.get(key) == due:
                    del self._due[key]
                    self.add(key)
            await self._until_next(now)

    async def _until_next(self, now: float) -> None:
        self._alarm.clear()
        if not self._delayed:
            await self._alarm.wait()
            return
        await wait_any(self._clock.sleep(self._delayed[0][0] - now), self._alarm.wait())

    def statistics(self) -> QueueStatistics:
        return QueueStatistics(len(self._ready), len(self._due), len(self._active), self._retries, self._adds)
