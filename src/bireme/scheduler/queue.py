"""Pods that wait for a node: ready ones by priority, failed ones backing off, hopeless ones until something changes.

A pod that found no node says what it lacked and which others want exactly the same; a change wakes only those it may
help, and of such a group as many as it may help. Nobody waits for his back-off while there is nothing else to do,
unless it was the binding that failed. As a net, every pod is tried again after 5 minutes. Source: the Kubernetes
documentation; the queues of kube-scheduler.
"""

import heapq
import itertools
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass, field
from enum import IntEnum

from bireme.aio.backoff import Backoff
from bireme.client.informer import Key
from bireme.scheduler.interface import ANYTHING, NOTHING, Lack

BACKOFF = Backoff(initial_s=1.0, limit_s=10.0)
FLUSH_S = 300.0
FLUSH_EVERY_S = 30.0
ALL = 1 << 62
SWEEP_AT = 1000


class State(IntEnum):
    """Where a waiting pod is; FAILED backs off as one that could not be bound, which is not woken early."""

    ACTIVE = 0
    BACKING_OFF = 1
    FAILED = 2
    PARKED = 3
    TRIED = 4
    BINDING = 5


@dataclass(slots=True)
class Waiting:
    """A pod in the queue. `attempts` counts placements tried; `lack` is what the last one was short of.

    Pods with equal `group` get the same answer, whichever of them is asked.
    """

    key: Key
    priority: int
    since: float
    group: Hashable = None
    attempts: int = 0
    lack: Lack = ANYTHING
    tried_at: float = 0.0
    missed: Lack = NOTHING
    state: State = State.ACTIVE
    turn: int = 0


@dataclass(frozen=True, slots=True)
class QueueLengths:
    """Pods ready to be placed, backing off, and waiting for a change."""

    active: int
    backing_off: int
    unschedulable: int


class _Heap:
    """Pods in an order. Those that have moved on meanwhile are dropped when they come up, or are the greater part."""

    def __init__(self) -> None:
        self._entries: list[tuple[tuple[float, ...], int, Waiting]] = []
        self._sweep_at = SWEEP_AT

    def __len__(self) -> int:
        return len(self._entries)

    def push(self, order: tuple[float, ...], waiting: Waiting) -> None:
        """Have the pod, as long as its turn is this one."""
        if len(self._entries) >= self._sweep_at:
            self._entries = [entry for entry in self._entries if entry[2].turn == entry[1]]
            heapq.heapify(self._entries)
            self._sweep_at = max(SWEEP_AT, 2 * len(self._entries))
        heapq.heappush(self._entries, (order, waiting.turn, waiting))

    def first(self) -> tuple[tuple[float, ...], Waiting] | None:
        """The first pod and its order."""
        entries = self._entries
        while entries and entries[0][2].turn != entries[0][1]:
            heapq.heappop(entries)
        return (entries[0][0], entries[0][2]) if entries else None

    def pop(self) -> Waiting | None:
        """The first pod, taken out."""
        found = self.first()
        if found is None:
            return None
        heapq.heappop(self._entries)
        return found[1]


@dataclass(slots=True)
class _Group:
    """Parked pods of one group and lack, the first to be tried first."""

    lack: Lack
    order: _Heap = field(default_factory=_Heap)
    size: int = 0


class SchedulingQueue:
    """Plain and without a clock of its own: every call is told the time, in monotonic seconds."""

    def __init__(self, backoff: Backoff = BACKOFF) -> None:
        self._backoff = backoff
        self._turns = itertools.count(1)
        self._waiting: dict[Key, Waiting] = {}
        self._active, self._backing_off, self._failed = _Heap(), _Heap(), _Heap()
        self._groups: dict[tuple[Hashable, Lack], _Group] = {}
        self._tried: dict[Key, Waiting] = {}
        self._flushed = 0.0
        self._counts = [0] * len(State)

    def add(self, key: Key, *, priority: int, now: float) -> None:
        """A pod without a node has come, or changed: try it now."""
        waiting = self._waiting.get(key)
        if waiting is None:
            waiting = self._waiting[key] = Waiting(key, priority, now)
            self._counts[State.ACTIVE] += 1
        elif waiting.state is State.TRIED:
            waiting.missed = ANYTHING
            return
        elif waiting.state is State.BINDING:
            return
        waiting.priority = priority
        self._activate(waiting)

    def remove(self, key: Key) -> Waiting | None:
        """The pod is bound or gone. Gives it as it stood."""
        waiting = self._waiting.pop(key, None)
        if waiting is not None:
            self._leave(waiting)
            self._counts[waiting.state] -= 1
        return waiting

    def take(self, *, now: float) -> Waiting | None:
        """The next pod to place; None when none is ready. Answer with `bind`, `remove` or `give_back`."""
        self._wake_due(now)
        waiting = self._active.pop() or self._backing_off.pop()
        if waiting is not None:
            self._enter(waiting, State.TRIED)
            self._tried[waiting.key] = waiting
            waiting.attempts += 1
            waiting.missed = NOTHING
            waiting.tried_at = now
        return waiting

    def bind(self, waiting: Waiting) -> None:
        """The pod has its node; what is left is to write it. Answer with `settle` or `give_back`."""
        self._enter(waiting, State.BINDING)

    def settle(self, waiting: Waiting) -> None:
        """It waits no more. Another pod that has come under its name since does."""
        if self._waiting.get(waiting.key) is waiting:
            self.remove(waiting.key)

    def put_back(self, waiting: Waiting) -> None:
        """It was not decided on after all: it comes first again."""
        if self._waiting.get(waiting.key) is waiting:
            waiting.attempts -= 1
            self._activate(waiting)

    def give_back(self, waiting: Waiting, lack: Lack, *, now: float) -> None:
        """No node would do; `lack` says what for (nothing: the attempt itself failed)."""
        if self._waiting.get(waiting.key) is not waiting:
            return
        waiting.lack = lack
        if not lack:
            self._back_off(waiting, State.FAILED, now)
        elif lack & waiting.missed:
            self._back_off(waiting, State.BACKING_OFF, now)
        else:
            self._park(waiting)

    def wake(self, change: Lack, *, now: float, helps: Callable[[Waiting], int] = lambda _: ALL) -> int:
        """Something changed that may help pods short of `change`; gives how many were woken.

        `helps` is asked about one pod of each group: how many such pods the change may help.
        """
        for waiting in self._tried.values():
            waiting.missed |= change
        woken = 0
        for group in list(self._groups.values()):
            if not group.lack & change or (first := group.order.first()) is None:
                continue
            for _ in range(min(helps(first[1]), group.size)):
                if (next_one := group.order.pop()) is not None:
                    self._back_off(next_one, State.BACKING_OFF, now)
                    woken += 1
        return woken

    def next_due(self, *, now: float) -> float | None:
        """Seconds until a pod becomes ready by time alone; 0 when one is ready; None when none will."""
        if self._counts[State.ACTIVE] or self._counts[State.BACKING_OFF]:
            return 0.0
        dues = []
        if (failed := self._failed.first()) is not None:
            dues.append(failed[0][0])
        if self._counts[State.PARKED]:
            dues.append(self._flushed + FLUSH_EVERY_S)
        return max(0.0, min(dues) - now) if dues else None

    def lengths(self) -> QueueLengths:
        counts = self._counts
        return QueueLengths(
            counts[State.ACTIVE], counts[State.BACKING_OFF] + counts[State.FAILED], counts[State.PARKED]
        )

    def parked(self) -> Iterable[Waiting]:
        """Pods that wait for a change."""
        return [waiting for waiting in self._waiting.values() if waiting.state is State.PARKED]

    def get(self, key: Key) -> Waiting | None:
        """The pod as it waits, if it does."""
        return self._waiting.get(key)

    def _enter(self, waiting: Waiting, state: State) -> None:
        self._leave(waiting)
        self._counts[waiting.state] -= 1
        self._counts[state] += 1
        waiting.state = state
        waiting.turn = next(self._turns)

    def _leave(self, waiting: Waiting) -> None:
        """Entries of earlier turns in heaps count no more."""
        waiting.turn = 0
        if waiting.state is State.TRIED:
            self._tried.pop(waiting.key, None)
        elif waiting.state is State.PARKED:
            place = (waiting.group, waiting.lack)
            group = self._groups[place]
            group.size -= 1
            if not group.size:
                del self._groups[place]

    def _activate(self, waiting: Waiting) -> None:
        self._enter(waiting, State.ACTIVE)
        self._active.push((-waiting.priority, waiting.since), waiting)

    def _back_off(self, waiting: Waiting, state: State, now: float) -> None:
        due = waiting.tried_at + self._backoff.delay(waiting.attempts)
        if due <= now and state is State.BACKING_OFF:
            self._activate(waiting)
            return
        self._enter(waiting, state)
        heap = self._failed if state is State.FAILED else self._backing_off
        heap.push((due,), waiting)

    def _park(self, waiting: Waiting) -> None:
        if not self._counts[State.PARKED]:
            self._flushed = waiting.tried_at
        self._enter(waiting, State.PARKED)
        group = self._groups.setdefault((waiting.group, waiting.lack), _Group(waiting.lack))
        group.size += 1
        group.order.push((-waiting.priority, waiting.since), waiting)

    def _wake_due(self, now: float) -> None:
        for heap in (self._backing_off, self._failed):
            while (first := heap.first()) is not None and first[0][0] <= now:
                self._activate(first[1])
        if self._counts[State.PARKED] and now - self._flushed >= FLUSH_EVERY_S:
            self._flushed = now
            for waiting in self.parked():
                if now - waiting.tried_at >= FLUSH_S:
                    self._activate(waiting)
