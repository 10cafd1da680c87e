"""The pods that wait in the lean player: the order and the back-off of the scheduler's queue, for crowds.

The scheduler's own queue tries every pod again that a change might help, each at a price. Here pods that ask for the
same stand in one group, and a group is tried only if the node that changed has room for one of it: the tries that are
left out could only have been refused. A pod that was refused waits as long as there: 1, 2, 4 … 10 seconds.
"""

import heapq
import itertools
from collections.abc import Callable
from dataclasses import dataclass, field

from bireme.scheduler.queue import BACKOFF
from bireme.simulation.placer import Demand
from bireme.simulation.pod import SimPod, State

Entry = tuple[int, float, int, SimPod]


@dataclass(slots=True)
class Crowd:
    """The pods of one demand."""

    demand: Demand
    ready: list[Entry] = field(default_factory=list)
    backing_off: list[tuple[float, int, Entry]] = field(default_factory=list)

    def settle(self, now: float) -> None:
        """Bring those whose back-off is over to the ready ones, and forget those that are gone."""
        while self.backing_off and self.backing_off[0][0] <= now:
            heapq.heappush(self.ready, heapq.heappop(self.backing_off)[2])
        while self.ready and self.ready[0][3].state is not State.WAITING:
            heapq.heappop(self.ready)


class LeanQueue:
    """See the module. Crowds for which there may be room are hopeful.

    `has_room(demand, node)` says whether what the node has free would do.
    """

    def __init__(self, has_room: Callable[[Demand, str], bool]) -> None:
        self._has_room = has_room
        self._order = itertools.count()
        self._crowds: dict[bytes, Crowd] = {}
        self._hopeful: dict[bytes, Crowd] = {}

    def add(self, pod: SimPod) -> None:
        """A pod has come: try it now."""
        key = pod.form.demand.key
        crowd = self._crowds.get(key)
        if crowd is None:
            crowd = self._crowds[key] = Crowd(pod.form.demand)
        heapq.heappush(crowd.ready, (-pod.priority, pod.created, next(self._order), pod))
        self._hopeful[key] = crowd

    def room_at(self, node: str) -> None:
        """Something was given back on the node."""
        for key, crowd in self._crowds.items():
            if key not in self._hopeful and self._has_room(crowd.demand, node):
                self._hopeful[key] = crowd

    def anything_changed(self) -> None:
        """A node came, or changed."""
        self._hopeful.update(self._crowds)

    def take(self, now: float) -> SimPod | None:
        """The next pod to try, the highest priority first, then the eldest. Answer `refused` if it got no node."""
        best: Crowd | None = None
        for key, crowd in list(self._hopeful.items()):
            crowd.settle(now)
            if crowd.ready:
                if best is None or crowd.ready[0][:3] < best.ready[0][:3]:
                    best = crowd
            elif not crowd.backing_off:
                del self._hopeful[key], self._crowds[key]
        if best is None:
            return None
        pod = heapq.heappop(best.ready)[3]
        pod.tries += 1
        return pod

    def refused(self, pod: SimPod, now: float) -> None:
        """There is no room for pods like this one, until something changes."""
        crowd = self._crowds[pod.form.demand.key]
        self._hopeful.pop(pod.form.demand.key, None)
        entry = (-pod.priority, pod.created, next(self._order), pod)
        heapq.heappush(crowd.backing_off, (now + BACKOFF.delay(pod.tries), entry[2], entry))

    def next_due(self) -> float | None:
        """When the next back-off ends of a pod for which there may be room."""
        dues = [crowd.backing_off[0][0] for crowd in self._hopeful.values() if crowd.backing_off]
        return min(dues, default=None)
