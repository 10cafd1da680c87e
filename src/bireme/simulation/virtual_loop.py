"""An event loop whose time jumps: when nothing is left to do, it is at once as late as the next thing that is due.

Everything that waits by the loop (sleeps, timeouts, a `LoopClock`) waits in that time, so a whole control plane plays
its days as fast as its work allows, and in the same order each time. Real work elsewhere, in threads, is waited for
before time goes on. With a speed, so many seconds pass in one of `clock`'s, as long as the work is done in time.
"""

import asyncio
import selectors
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from bireme.aio.clock import RealClock

START = datetime(2026, 1, 1, tzinfo=UTC)
THREADS_S = 0.001
RESOLUTION_S = 1e-6
"""Sums of times are rounded; what is due within this is due."""


class _Selector(selectors.DefaultSelector):
    """Looks whether anything came from outside, and otherwise lets the time jump."""

    jump: Callable[[float], None]
    threads = 0
    ahead: Callable[[float], float]

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None or timeout <= 0:
            return super().select(timeout)
        if self.threads:
            return super().select(THREADS_S)
        came = super().select(self.ahead(timeout))
        if not came:
            self.jump(timeout)
        return came


class VirtualLoop(asyncio.SelectorEventLoop):
    """See the module."""

    def __init__(self, *, speed: float | None = None, clock: Callable[[], float] | None = None) -> None:
        self._now, self._speed = 0.0, speed
        self._clock = clock or RealClock().monotonic
        self._began = self._clock()
        self._looks = _Selector()
        self._looks.jump, self._looks.ahead = self._jump, self._ahead
        super().__init__(self._looks)
        self._clock_resolution = RESOLUTION_S

    def time(self) -> float:
        """Seconds since its beginning."""
        return self._now

    def _ahead(self, seconds: float) -> float:
        """For how long to wait before time may be so much later: the work in between counts as waiting."""
        if not self._speed:
            return 0.0
        return max((self._now + seconds) / self._speed - (self._clock() - self._began), 0.0)

    def _jump(self, seconds: float) -> None:
        self._now += seconds

    def run_in_executor(self, executor: Any, func: Any, *args: Any) -> Any:  # type: ignore[override]
        """As everywhere, but time stands still until it is done."""
        self._looks.threads += 1
        future = super().run_in_executor(executor, func, *args)
        future.add_done_callback(self._thread_done)
        return future

    def _thread_done(self, _: object) -> None:
        self._looks.threads -= 1


class LoopClock:
    """The clock of the loop that runs: see `aio.clock.Clock`."""

    def __init__(self, start: datetime = START) -> None:
        self._start = start

    def now(self) -> datetime:
        """The present, in UTC."""
        return self._start + timedelta(seconds=self.monotonic())

    def monotonic(self) -> float:
        """Seconds since the loop's beginning."""
        return asyncio.get_running_loop().time()

    async def sleep(self, seconds: float) -> None:
        """Return once so many seconds of the loop have passed."""
        # What is due within the resolution is due at once: who sleeps for less would wake before time has moved.
        await asyncio.sleep(max(seconds, 2 * RESOLUTION_S) if seconds > 0 else 0.0)
