"""Pods about which servers outside are asked: at most so many at a time, the others in the order of the queue.

While a pod is out, or waits for its turn, it counts as being tried, so nothing that happens meanwhile is lost on it.
"""

import heapq
import itertools
from collections.abc import Awaitable, Callable
from typing import Any

from bireme.scheduler.acting import Writers
from bireme.scheduler.queue import SchedulingQueue, Waiting

AT_ONCE = 16


class Outside:
    """See the module. `hear` asks about one pod, and gives it back to the queue whatever comes of it."""

    def __init__(
        self,
        queue: SchedulingQueue,
        writers: Writers[Any],
        hear: Callable[[Waiting], Awaitable[None]],
        *,
        at_once: int = AT_ONCE,
    ) -> None:
        self._queue, self._writers, self._hear, self._at_once = queue, writers, hear, at_once
        self._out = 0
        self._turns = itertools.count()
        self._held: list[tuple[int, float, int, Waiting]] = []

    async def ask(self, waiting: Waiting) -> None:
        """Have the servers asked about the pod, now or when one of those before it is back."""
        heapq.heappush(self._held, (-waiting.priority, waiting.since, next(self._turns), waiting))
        if self._out < self._at_once:
            self._out += 1
            await self._writers.put_aside(waiting.key, self._ask_all)

    async def _ask_all(self) -> None:
        """One after the other, as long as there are any."""
        try:
            while self._held:
                waiting = heapq.heappop(self._held)[-1]
                if self._queue.get(waiting.key) is waiting:
                    await self._hear(waiting)
        finally:
            self._out -= 1
