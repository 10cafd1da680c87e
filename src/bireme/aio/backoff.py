"""Exponential back-off: how long to wait before trying a failing thing again."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Backoff:
    """Waits of `initial_s`, growing by `factor` up to `limit_s`."""

    initial_s: float
    limit_s: float
    factor: float = 2.0

    def delay(self, failures: int) -> float:
        """Seconds to wait after `failures` failures in a row (0 gives no wait)."""
        if failures <= 0:
            return 0.0
        exponent = min(failures - 1, 64)
        return min(self.limit_s, self.initial_s * self.factor**exponent)
