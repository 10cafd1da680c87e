"""What the scheduler counts of itself, as kube-scheduler's metrics do. The page is made elsewhere."""

from collections import Counter
from enum import StrEnum

from bireme.http.exposition import Histogram

SECONDS = tuple(0.001 * 2**power for power in range(15))
VICTIMS = tuple(float(2**power) for power in range(7))


class Result(StrEnum):
    """How an attempt ended."""

    SCHEDULED = "scheduled"
    UNSCHEDULABLE = "unschedulable"
    ERROR = "error"


class Figures:
    """Attempts by profile and result, with their seconds, and preemptions."""

    def __init__(self) -> None:
        self.attempts: Counter[tuple[str, Result]] = Counter()
        self.seconds: dict[tuple[str, Result], Histogram] = {}
        self.preemptions = 0
        self.victims = Histogram(VICTIMS)

    def count(self, result: Result) -> int:
        """Attempts of all profiles that ended so."""
        return sum(count for (_, how), count in self.attempts.items() if how is result)

    def attempted(self, profile: str, result: Result, seconds: float) -> None:
        """One more attempt, and how long its decision took."""
        key = (profile, result)
        self.attempts[key] += 1
        if key not in self.seconds:
            self.seconds[key] = Histogram(SECONDS)
        self.seconds[key].observe(seconds)

    def preempted(self, victims: int) -> None:
        """One more pod for which so many others must go."""
        self.preemptions += 1
        self.victims.observe(victims)
