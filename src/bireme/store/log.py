"""The seam below the core: what makes a batch of writes durable.

The core hands over one batch at a time and is told, on its own event loop, when the batch is safe or why it
is not. What a log must promise: all of a batch or nothing of it is there after a crash, batches are there in
order, and `settled` without an error means that the power may go.
"""

import asyncio
from collections.abc import Callable
from typing import Protocol

from bireme.store.interface import Event, Item, Revision, StoreError
from bireme.store.state import Bucket


class NoRoom(StoreError):
    """The log has no room for the batch and is as it was before."""


class Write:
    """One write on its way: what it makes of its key, and who waits for it."""

    __slots__ = ("bucket", "event", "expect", "future", "item", "replaced")

    def __init__(
        self, bucket: Bucket, item: Item | None, event: Event, replaced: Revision, expect: int | None
    ) -> None:
        self.bucket = bucket
        self.item = item  # None: the write is a delete
        self.event = event
        self.replaced = replaced  # the revision that this one supersedes, or 0
        self.expect = expect
        self.future: asyncio.Future[Item | Event]


class Batch:
    """What is committed together: writes, and the revision up to which history goes."""

    __slots__ = ("compact", "flushes", "refusals", "size", "writes")

    def __init__(self) -> None:
        self.writes: list[Write] = []
        self.size = 0  # bytes of values
        self.compact = Revision(0)
        self.flushes: list[asyncio.Future[None]] = []
        self.refusals: list[tuple[asyncio.Future[Item | Event], StoreError]] = []  # told once this is durable


class Log(Protocol):
    """Where batches become durable."""

    def start(self, settled: Callable[[StoreError | None], None]) -> None:
        """From the loop, before the first batch: `settled` is to be called on this loop, once for each batch.

        Its argument is None, NoRoom (nothing of the batch was kept; more may follow), or an error after which
        nothing may follow.
        """
        ...

    def submit(self, batch: Batch) -> None:
        """Begin to make `batch` durable; the one before is settled."""
        ...

    def size_bytes(self) -> int:
        """What the log takes on disk."""
        ...

    async def close(self) -> None:
        """Let go; nothing is under way."""
        ...
