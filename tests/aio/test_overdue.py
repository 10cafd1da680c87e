"""One timer for all: what is late is cut off, and nothing else is."""

import asyncio

import pytest

from bireme.aio.overdue import Overdue


async def test_what_is_late_is_cut_off_and_what_is_not_goes_on() -> None:
    late = Overdue(0.02)
    ended: list[str] = []

    async def take(name: str, seconds: float) -> None:
        try:
            with late.limit():
                await asyncio.sleep(seconds)
            ended.append(name)
        except TimeoutError:
            ended.append(f"{name} was late")

    async with asyncio.timeout(60), asyncio.TaskGroup() as tasks:
        tasks.create_task(take("a", 3))
        tasks.create_task(take("b", 0))
        await asyncio.sleep(0.01)
        tasks.create_task(take("c", 3))
    assert ended == ["b", "a was late", "c was late"]


async def test_a_cancel_from_elsewhere_stays_one() -> None:
    late = Overdue(5)

    async def wait() -> None:
        with late.limit():
            await asyncio.sleep(3)

    task = asyncio.get_running_loop().create_task(wait())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_other_errors_pass() -> None:
    with pytest.raises(KeyError), Overdue(5).limit():
        raise KeyError
