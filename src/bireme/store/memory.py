"""A store that is gone with its process: for tests and simulation.

The core is the one of the durable homes, so that batches, conflicts and watches behave alike; only the log
does nothing.
"""

from collections.abc import Callable

from bireme.aio.clock import Clock, RealClock
from bireme.store.core import Core, Retention
from bireme.store.interface import StoreError
from bireme.store.log import Batch
from bireme.store.state import State


class NoLog:
    """Settles each batch at once."""

    def start(self, settled: Callable[[StoreError | None], None]) -> None:
        """See `Log.start`."""
        self._settled = settled

    def submit(self, batch: Batch) -> None:
        """See `Log.submit`."""
        self._settled(None)

    def size_bytes(self) -> int:
        """Nothing is on disk."""
        return 0

    async def close(self) -> None:
        """There is nothing to let go of."""


class MemoryStore(Core):
    """A `Store` in memory alone."""

    def __init__(self, *, clock: Clock | None = None, retention: Retention | None = None) -> None:
        super().__init__(State(), NoLog(), clock=clock or RealClock(), retention=retention)
