"""Waiting for whichever comes first."""

import asyncio
from collections.abc import Coroutine
from typing import Any


async def wait_any(*waits: Coroutine[Any, Any, object]) -> None:
    """Return once one of `waits` has ended; the others are cancelled. What one raises is raised."""
    async with asyncio.TaskGroup() as tasks:
        started = [tasks.create_task(wait) for wait in waits]
        await asyncio.wait(started, return_when=asyncio.FIRST_COMPLETED)
        for task in started:
            task.cancel()
