"""A key is worked on by one at a time, once for many adds, and later after failures."""

import asyncio

from bireme.aio.clock import VirtualClock
from bireme.aio.workqueue import BOUNDS, WorkQueue


async def test_a_key_added_twice_is_taken_once() -> None:
    queue = WorkQueue[str](VirtualClock())
    queue.add("a")
    queue.add("a")
    assert await queue.take() == "a"
    assert queue.statistics().ready == 0


async def test_a_key_added_during_its_work_is_taken_again_after() -> None:
    queue = WorkQueue[str](VirtualClock())
    queue.add("a")
    await queue.take()
    queue.add("a")
    assert queue.statistics().ready == 0
    queue.done("a")
    assert await queue.take() == "a"


async def test_a_retry_waits_and_an_earlier_wish_wins() -> None:
    clock = VirtualClock()
    queue = WorkQueue[str](clock)
    async with asyncio.TaskGroup() as tasks:
        runner = tasks.create_task(queue.run())
        queue.add_after("a", 60)
        queue.add_after("a", 5)
        await clock.advance(4)
        assert queue.statistics().ready == 0
        await clock.advance(1)
        assert await queue.take() == "a"
        queue.done("a")
        await clock.advance(120)
        assert queue.statistics() == type(queue.statistics())(0, 0, 0, 0, adds=1)
        runner.cancel()


async def test_failures_double_the_wait_until_forgotten() -> None:
    queue = WorkQueue[str](VirtualClock())
    assert [queue.retry("a") for _ in range(3)] == [0.005, 0.01, 0.02]
    queue.forget("a")
    assert queue.retry("a") == 0.005


async def test_a_timed_queue_tells_how_long_keys_wait_and_are_worked_on() -> None:
    clock = VirtualClock()
    queue = WorkQueue[str](clock, timed=True)
    queue.add("a")
    await clock.advance(2)
    queue.add("a")
    await queue.take()
    queue.add("a")
    await clock.advance(20)
    queue.done("a")
    assert (queue.waits.total, queue.work.total) == (2, 20)
    assert queue.statistics().adds == 2
    await clock.advance(1)
    await queue.take()
    queue.done("a")
    assert (queue.waits.total, sum(queue.waits.counts), sum(queue.work.counts)) == (3, 2, 2)
    assert queue.work.counts[BOUNDS.index(100.0)] == 1
    plain = WorkQueue[str](clock)
    plain.add("a")
    await plain.take()
    plain.done("a")
    assert sum(plain.waits.counts) == sum(plain.work.counts) == 0
