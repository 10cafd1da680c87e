"""Pods that wait for a node: ready ones by priority, failed ones backing off, hopeless ones until something changes.

A pod that found no node says what it lacked; a change wakes only those it may help. As a net, every pod is
tried again after 5 minutes. Source: the Kubernetes documentation.
"""

import heapq
import itertools
from collections.abc import Iterable
from dataclasses import dataclass

from bireme.aio.backoff import Backoff
from bireme.client.informer import Key
from bireme.scheduler.interface import ANYTHING, NOTHING, Lack

BACKOFF = Backoff(initial_s=1.0, limit_s=10.0)
FLUSH_S = 300.0


@dataclass(slots=True)
class Waiting:
    """A pod in the queue. `attempts` counts placements tried; `lack` is what the last one was short of."""

    key: Key
    priority: int
    since: float
    attempts: int = 0
    lack: Lack = ANYTHING
    parked_at: float = 0.0
    missed: Lack = NOTHING


@dataclass(frozen=True, slots=True)
class QueueLengths:
    """Pods ready to be placed, backing off, and waiting for a change."""

    active: int
    backing_off: int
    unschedulable: int


class SchedulingQueue:
    """Plain and without a clock of its own: every call is told the time, in monotonic seconds."""

    def __init__(self) -> None:
        self._order = itertools.count()
        self._active: list[tuple[int, float, int, Key]] = []
        self._backing_off: list[tuple[float, int, Key]] = []
        self._waiting: dict[Key, Waiting] = {}
        self._ready: set[Key] = set()
        self._parked: dict[Key, Waiting] = {}
        self._inflight: dict[Key, Waiting] = {}

    def add(self, key: Key, *, priority: int, now: float) -> None:
        """A pod without a node has come, or changed: try it now."""
        if key in self._inflight:
            self._inflight[key].missed = ANYTHING
            return
        waiting = self._waiting.get(key) or Waiting(key, priority, now)
        waiting.priority = priority
        self._parked.pop(key, None)
        self._activate(waiting)

    def remove(self, key: Key) -> None:
        """The pod is bound or gone."""
        self._waiting.pop(key, None)
        self._inflight.pop(key, None)
        self._parked.pop(key, None)
        self._ready.discard(key)

    def take(self, *, now: float) -> Waiting | None:
        """The next pod to place; None when none is ready. Answer with `remove` or `give_back`."""
        self._wake_due(now)
        while self._active:
            _, _, _, key = heapq.heappop(self._active)
            if key in self._ready:
                self._ready.discard(key)
                waiting = self._waiting[key]
                waiting.attempts += 1
                waiting.missed = NOTHING
                self._inflight[key] = waiting
                return waiting
        return None

    def give_back(self, waiting: Waiting, lack: Lack, *, now: float) -> None:
        """No node would do; `lack` says what for (nothing: the attempt itself failed)."""
        if self._inflight.pop(waiting.key, None) is None or waiting.key not in self._waiting:
            return
        waiting.lack = lack
        if not lack or lack & waiting.missed:
            self._back_off(waiting, now)
        else:
            waiting.parked_at = now
            self._parked[waiting.key] = waiting

    def wake(self, change: Lack, *, now: float) -> None:
        """Something changed that may help pods short of `change`."""
        for waiting in self._inflight.values():
            waiting.missed |= change
        for waiting in [waiting for waiting in self._parked.values() if waiting.lack & change]:
            del self._parked[waiting.key]
            self._back_off(waiting, now, since=waiting.parked_at)

    def next_due(self, *, now: float) -> float | None:
        """Seconds until a pod becomes ready by time alone; 0 when one is ready; None when none will."""
        if self._ready:
            return 0.0
        dues = [self._backing_off[0][0]] if self._backing_off else []
        dues += [waiting.parked_at + FLUSH_S for waiting in self._parked.values()]
        return max(0.0, min(dues) - now) if dues else None

    def lengths(self) -> QueueLengths:
        backing = len(self._waiting) - len(self._ready) - len(self._parked) - len(self._inflight)
        return QueueLengths(len(self._ready), backing, len(self._parked))

    def parked(self) -> Iterable[Waiting]:
        """Pods that wait for a change."""
        return self._parked.values()

    def _activate(self, waiting: Waiting) -> None:
        self._waiting[waiting.key] = waiting
        if waiting.key not in self._ready:
            self._ready.add(waiting.key)
            heapq.heappush(self._active, (-waiting.priority, waiting.since, next(self._order), waiting.key))

    def _back_off(self, waiting: Waiting, now: float, *, since: float | None = None) -> None:
        due = (now if since is None else since) + BACKOFF.delay(waiting.attempts)
        heapq.heappush(self._backing_off, (due, next(self._order), waiting.key))

    def _wake_due(self, now: float) -> None:
        while self._backing_off and self._backing_off[0][0] <= now:
            _, _, key = heapq.heappop(self._backing_off)
            waiting = self._waiting.get(key)
            if waiting is not None and key not in self._parked and key not in self._inflight:
                self._activate(waiting)
        for waiting in [waiting for waiting in self._parked.values() if waiting.parked_at + FLUSH_S <= now]:
            del self._parked[waiting.key]
            self._activate(waiting)
