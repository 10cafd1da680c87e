"""Waking a crowd of watchers: all together, and no more often than they can be served.

To write one event to a connection costs some 25 us, nearly all of it for the write and little for the event. A
thousand watchers of one kind that were woken by each of 500 writes a second would cost twelve cores; woken in
rounds they get the events of a round in one write each. The first write after a quiet time wakes at once, so a
watcher waits only while others are being served.
"""

import asyncio

from bireme.aio.clock import Clock
from bireme.registry.watcher import Channel

CROWD = 64
"""So many watchers of one channel are a crowd."""
FOR_EACH_S = 60e-6
LONGEST_S = 0.1


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
            for channel in channels:
                channel.release()
            crowd = sum(len(channel.members) for channel in channels)
            await self._clock.sleep(min(crowd * FOR_EACH_S, LONGEST_S))
