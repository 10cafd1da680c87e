"""The same work on many things, a bounded number at a time."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator
from typing import TypeVar

T = TypeVar("T")


async def on_each(items: Iterable[T], work: Callable[[T], Awaitable[object]], *, workers: int) -> None:
    """Await `work` on every item, at most `workers` at once, begun in their order; the first error ends it."""
    ahead = iter(items)

    async def go_on(first: T) -> None:
        await work(first)
        for item in ahead:
            await work(item)

    try:
        async with asyncio.TaskGroup() as tasks:
            for first in _some(ahead, workers):
                tasks.create_task(go_on(first), name="one of several")
    except ExceptionGroup as group:
        raise group.exceptions[0] from group


def _some(items: Iterator[T], count: int) -> Iterator[T]:
    for _, item in zip(range(count), items, strict=False):
        yield item
