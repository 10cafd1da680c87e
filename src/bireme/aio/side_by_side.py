"""Several things at once, each of which may fail by itself."""

import asyncio
from collections.abc import Coroutine, Iterable
from typing import Any, TypeVar

T = TypeVar("T")


async def side_by_side(works: Iterable[Coroutine[Any, Any, T]]) -> list[T | Exception]:
    """What each gives, or the error that it ended with, in their order; no error stops the others."""

    async def outcome(work: Coroutine[Any, Any, T]) -> T | Exception:
        try:
            return await work
        except Exception as error:
            return error

    async with asyncio.TaskGroup() as tasks:
        started = [tasks.create_task(outcome(work)) for work in works]
    return [task.result() for task in started]
