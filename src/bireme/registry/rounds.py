"""Waking a crowd of watchers: all together, and no more often than they can be served.

To write one event to a connection costs some 25 us, nearly all of it for the write and little for the event. A
thousand watchers of one kind that were woken by each of 500 writes a second would cost twelve cores; woken in
rounds they get the events of a round in one write each. The first write after a quiet time wakes at once, so a
watcher waits only while others are being served.
"""

import asyncio
from collections.abc import Iterable

from bireme.aio.clock import Clock
from bireme.registry.watcher import Watcher

CROWD = 64
"""So many watchers of one change are a crowd."""
FOR_EACH_S = 60e-6
LONGEST_S = 0.1


class Rounds:
    """Watchers that have frames and are to be woken with the next round."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._waiting: dict[Watcher, None] = {}
        self._some = asyncio.Event()

    def add(self, watchers: Iterable[Watcher]) -> None:
        """Have `watchers` woken soon."""
        self._waiting.update(dict.fromkeys(watchers))
        self._some.set()

    async def run(self) -> None:
        """Wake round after round, until cancelled."""
        while True:
            await self._some.wait()
            self._some.clear()
            woken, self._waiting = self._waiting, {}
            for watcher in woken:
                watcher.wake()
            await self._clock.sleep(min(len(woken) * FOR_EACH_S, LONGEST_S))
