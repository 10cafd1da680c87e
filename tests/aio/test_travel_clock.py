"""The clock that runs by itself and can be put forward."""

import asyncio
from datetime import timedelta

from bireme.aio.clock import TravelClock


async def test_sleepers_wake_in_the_order_of_their_time_when_it_is_put_forward() -> None:
    clock, woken = TravelClock(), []

    async def sleeper(name: str, *seconds: float) -> None:
        for each in seconds:
            await clock.sleep(each)
            woken.append(name)

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(sleeper("hourly", 3600, 3600))
        tasks.create_task(sleeper("late", 5000))
        before = clock.now()
        await clock.advance(7201)
    assert woken == ["hourly", "late", "hourly"]
    assert timedelta(seconds=7201) <= clock.now() - before < timedelta(seconds=7210)


async def test_it_runs_by_itself() -> None:
    clock = TravelClock()
    async with asyncio.timeout(60):
        await clock.sleep(0.01)


async def test_sleeps_that_were_given_up_are_forgotten() -> None:
    clock = TravelClock()
    for _ in range(500):
        try:
            async with asyncio.timeout(0):
                await clock.sleep(1000)
        except TimeoutError:
            continue
    assert len(clock._sleepers) < 200
    async with asyncio.timeout(60):
        await clock.sleep(0.01)
