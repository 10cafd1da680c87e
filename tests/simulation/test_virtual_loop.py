"""Time that jumps: things happen in the order of their time, and threads are waited for."""

import asyncio
import selectors
import threading
from collections.abc import Coroutine
from typing import Any

import pytest

from bireme.simulation.virtual_loop import START, LoopClock, VirtualLoop


def run(main: Coroutine[Any, Any, Any]) -> Any:
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(main)


def test_a_year_passes_at_once_and_in_order() -> None:
    clock, heard = LoopClock(), []

    async def sleeper(seconds: float) -> None:
        await clock.sleep(seconds)
        heard.append((seconds, clock.monotonic(), (clock.now() - START).days))

    async def main() -> None:
        async with asyncio.TaskGroup() as tasks:
            for days in (365, 1, 30):
                tasks.create_task(sleeper(days * 86400.0))

    run(main())
    assert heard == [(days * 86400.0, pytest.approx(days * 86400.0), days) for days in (1, 30, 365)]


def test_timeouts_are_of_that_time() -> None:
    async def main() -> float:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(3600):
                await asyncio.Event().wait()
        return asyncio.get_running_loop().time()

    assert run(main()) == pytest.approx(3600)


def test_time_stands_still_while_a_thread_works() -> None:
    go_on = threading.Event()

    async def main() -> float:
        async with asyncio.TaskGroup() as tasks:
            work = tasks.create_task(asyncio.to_thread(go_on.wait))
            late = tasks.create_task(asyncio.sleep(1000))
            threading.Timer(0.05, go_on.set).start()
            await work
            assert not late.done()
            return asyncio.get_running_loop().time()

    assert run(main()) == 0.0


class Wall:
    """A clock that is only as late as somebody waited, or worked."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now, self.waits = 100.0, list[float]()
        look = selectors.DefaultSelector.select

        def select(selector: selectors.DefaultSelector, timeout: float | None = None) -> Any:
            if timeout:
                self.waits.append(timeout)
                self.now += timeout
            return look(selector, 0)

        monkeypatch.setattr(selectors.DefaultSelector, "select", select)


def test_with_a_speed_so_many_seconds_pass_in_one(monkeypatch: pytest.MonkeyPatch) -> None:
    wall = Wall(monkeypatch)
    clock = LoopClock()

    async def main() -> None:
        await clock.sleep(3600)
        wall.now += 30  # of work
        await clock.sleep(3600)
        wall.now += 300  # longer than there is time for
        await clock.sleep(3600)
        assert clock.monotonic() == pytest.approx(3 * 3600)

    with asyncio.Runner(loop_factory=lambda: VirtualLoop(speed=60, clock=lambda: wall.now)) as runner:
        runner.run(main())
    assert [wait for wait in wall.waits if wait > 1] == pytest.approx([60, 30])
    assert wall.now == pytest.approx(100 + 60 + 60 + 300)
