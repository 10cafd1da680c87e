"""Waking a crowd of watchers: all together, and no more often than they can be served.

To write one event to a connection costs some 25 us, nearly all of it for the write and little for the event. A
thousand watchers of one kind that were woken by each of 500 writes a second would cost twelve cores; woken in
rounds they get the events of a round in one write each. The first write after a quiet time wakes at once, so a
watcher waits only while others are being served. They are told some at a time: what is written to them leaves when
the loop has gone round, so that the first hear at once, and other requests have their turn in between.
"""

import asyncio

from bireme.aio.clock import Clock
from bireme.registry.watcher import Channel

CROWD = 64
"""So many watchers of one channel are a crowd."""
AT_A_TIME = 32
FOR_EACH_S = 60e-6
LONGEST_S = 0.1
REST = 10
"""Rounds begin so far apart for each watcher, or half as far again as one takes, and no farther than the longest; one
that takes longer than that is followed by a rest of a tenth of it."""


def pause_after(took: float, crowd: int) -> float:
    """How long to wait after a round over so many watchers that took so long, in seconds."""
    apart = min(max(crowd * FOR_EACH_S, 1.5 * took), LONGEST_S)
    return max(apart - took, took / REST)


class Rounds:
    """Channels that are released with the next round."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._waiting: dict[Channel, None] = {}
        self._some = asyncio.Event()

    def add(self, channel: Channel) -> None:
        """Have `channel` released soon."""
        self._waiting[channel] = None
        self._some.set()

    async def run(self) -> None:
        """Release round after round, until cancelled."""
        while True:
            await self._some.wait()
            self._some.clear()
            channels, self._waiting = self._waiting, {}
            crowd, began = 0, self._clock.monotonic()
            for channel in channels:
                crowd += len(channel.members)
                await self._tell(channel)
            await self._clock.sleep(pause_after(self._clock.monotonic() - began, crowd))

    @staticmethod
    async def _tell(channel: Channel) -> None:
        watchers = channel.open()
        for begin in range(0, len(watchers), AT_A_TIME):
            channel.tell(watchers[begin : begin + AT_A_TIME])
            await asyncio.sleep(0)
