"""The only place that reads a clock.

Everything that waits or stamps a time is given a `Clock`: the real one in a cluster, a virtual one in
tests and simulations, where a day passes as fast as the work in it.
"""

import asyncio
import heapq
import itertools
import time
from datetime import UTC, datetime, timedelta
from typing import Protocol


class Clock(Protocol):
    """Wall-clock time for people, monotonic seconds for intervals, and a sleep that follows it."""

    def now(self) -> datetime:
        """The present, in UTC."""
        ...

    def monotonic(self) -> float:
        """Seconds since some fixed point; never falls."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Return once `seconds` of this clock have passed."""
        ...


class RealClock:
    """The machine's clock."""

    def now(self) -> datetime:
        return datetime.now(UTC)  # noqa: TID251 - this is the clock

    def monotonic(self) -> float:
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


class VirtualClock:
    """A clock that stands still until it is advanced. Sleepers wake in the order of their time."""

    def __init__(self, start: datetime | None = None) -> None:
        self._start = start or datetime(2026, 1, 1, tzinfo=UTC)
        self._elapsed = 0.0
        self._order = itertools.count()
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []

    def now(self) -> datetime:
        return self._start + timedelta(seconds=self._elapsed)

    def monotonic(self) -> float:
        return self._elapsed

    async def sleep(self, seconds: float) -> None:
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        waiter = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self._elapsed + seconds, next(self._order), waiter))
        await waiter

    async def advance(self, seconds: float, *, settle: int = 50) -> None:
        """Let `seconds` pass, waking each sleeper at its time and letting what it wakes run."""
        target = self._elapsed + seconds
        await self._settle(settle)
        while self._sleepers and self._sleepers[0][0] <= target:
            at, _, waiter = heapq.heappop(self._sleepers)
            self._elapsed = max(self._elapsed, at)
            if not waiter.done():
                waiter.set_result(None)
            await self._settle(settle)
        self._elapsed = target
        await self._settle(settle)

    async def _settle(self, rounds: int) -> None:
        for _ in range(rounds):
            await asyncio.sleep(0)


class TravelClock:
    """The machine's clock, which can be put forward: it runs by itself, and `advance` skips what would be waited.

    For the tests of users: their clients live in real time, and yet an hour of leases and back-offs passes at once.
    Sleepers wake in the order of their time. All of it belongs to one event loop.
    """

    def __init__(self) -> None:
        self._ahead = 0.0
        self._order = itertools.count()
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []
        self._given_up = 0
        self._alarm: asyncio.TimerHandle | None = None

    def now(self) -> datetime:
        return datetime.now(UTC) + timedelta(seconds=self._ahead)  # noqa: TID251 - this is the clock

    def monotonic(self) -> float:
        return time.monotonic() + self._ahead

    async def sleep(self, seconds: float) -> None:
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        waiter = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self.monotonic() + seconds, next(self._order), waiter))
        if self._sleepers[0][2] is waiter:
            self._set_alarm()
        try:
            await waiter
        except asyncio.CancelledError:
            self._forget_one()
            raise

    async def advance(self, seconds: float, *, settle: int = 50) -> None:
        """Put the clock forward, waking each sleeper at its time and letting what it wakes run."""
        target = self.monotonic() + seconds
        await self._settle(settle)
        while self._sleepers and self._sleepers[0][0] <= target:
            self._ahead += max(0.0, self._sleepers[0][0] - self.monotonic())
            self._wake()
            await self._settle(settle)
        self._ahead += max(0.0, target - self.monotonic())
        self._set_alarm()

    def _wake(self) -> None:
        now = self.monotonic()
        while self._sleepers and self._sleepers[0][0] <= now:
            _, _, waiter = heapq.heappop(self._sleepers)
            if waiter.done():
                self._given_up -= 1
            else:
                waiter.set_result(None)
        self._set_alarm()

    def _set_alarm(self) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
        if self._sleepers:
            delay = max(0.0, self._sleepers[0][0] - self.monotonic())
            self._alarm = asyncio.get_running_loop().call_later(delay, self._wake)

    def _forget_one(self) -> None:
        """Sleeps that were given up stay in the heap until they are more than half of it."""
        self._given_up += 1
        if self._given_up > 64 and self._given_up * 2 > len(self._sleepers):
            self._sleepers = [entry for entry in self._sleepers if not entry[2].done()]
            heapq.heapify(self._sleepers)
            self._given_up = 0

    async def _settle(self, rounds: int) -> None:
        for _ in range(rounds):
            await asyncio.sleep(0)
