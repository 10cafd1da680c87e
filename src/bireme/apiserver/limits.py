"""How many requests may be under way: reads and writes apart, long-running ones not counted."""

from collections.abc import Iterator
from contextlib import contextmanager

from bireme.api.errors import TooManyRequests
from bireme.apiserver.metrics import Metrics

READS = 400
WRITES = 200


class InFlight:
    """Counts requests under way and refuses those over the limit."""

    def __init__(self, metrics: Metrics, *, reads: int = READS, writes: int = WRITES) -> None:
        self._counts = metrics.in_flight
        self._limits = {"readOnly": reads, "mutating": writes}

    @contextmanager
    def one(self, *, mutating: bool) -> Iterator[None]:
        """Count one request while it is served. Raises TooManyRequests."""
        kind = "mutating" if mutating else "readOnly"
        if self._counts[kind] >= self._limits[kind]:
            raise TooManyRequests("too many requests, please try again later", retry_after_s=1)
        self._counts[kind] += 1
        try:
            yield
        finally:
            self._counts[kind] -= 1
