"""What the scheduler counts of itself, as kube-scheduler's metrics do. The page is made elsewhere."""

from bisect import bisect_left
from collections import Counter
from collections.abc import Sequence
from enum import StrEnum

SECONDS = tuple(0.001 * 2**power for power in range(15))
VICTIMS = tuple(float(2**power) for power in range(7))


class Result(StrEnum):
    """How an attempt ended."""

    SCHEDULED = "scheduled"
    UNSCHEDULABLE = "unschedulable"
    ERROR = "error"


class Distribution:
    """How often values fell below each of some bounds; the last count is of all above them."""

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def observe(self, value: float) -> None:
        """One more value."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value


class Figures:
    """Attempts by profile and result, with their seconds, and preemptions."""

    def __init__(self) -> None:
        self.attempts: Counter[tuple[str, Result]] = Counter()
        self.seconds: dict[tuple[str, Result], Distribution] = {}
        self.preemptions = 0
        self.victims = Distribution(VICTIMS)

    def count(self, result: Result) -> int:
        """Attempts of all profiles that ended so."""
        return sum(count for (_, how), count in self.attempts.items() if how is result)

    def attempted(self, profile: str, result: Result, seconds: float) -> None:
        """One more attempt, and how long its decision took."""
        key = (profile, result)
        self.attempts[key] += 1
        if key not in self.seconds:
            self.seconds[key] = Distribution(SECONDS)
        self.seconds[key].observe(seconds)

    def preempted(self, victims: int) -> None:
        """One more pod for which so many others must go."""
        self.preemptions += 1
        self.victims.observe(victims)
