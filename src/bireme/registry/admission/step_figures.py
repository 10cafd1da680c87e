"""How long the two steps of admission take: what fills in (admit), and what refuses (validate).

Single plugins are not timed: that would cost a write more than most of them do. Writes that go a short way (ADR 0032)
take neither step as a whole, and are not counted here. Source: the Kubernetes metrics reference.
"""

from collections.abc import Callable

from bireme.http.exposition import Histogram, family

SECONDS = (0.005, 0.025, 0.1, 0.5, 1.0, 2.5)
NAME = "apiserver_admission_step_admission_duration_seconds"


class StepFigures:
    """The figures of one server."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self.monotonic = monotonic
        self._seconds: dict[tuple[str, str, bool], Histogram] = {}

    def took(self, step: str, operation: str, seconds: float, *, rejected: bool) -> None:
        """One step of one request is over."""
        key = (step, operation, rejected)
        known = self._seconds.get(key)
        if known is None:
            known = self._seconds[key] = Histogram(SECONDS)
        known.observe(seconds)

    def lines(self) -> str:
        """The page's part."""
        lines = [
            line
            for (step, operation, rejected), histogram in sorted(self._seconds.items(), key=lambda one: one[0])
            for line in histogram.samples(
                NAME, {"operation": operation, "rejected": str(rejected).lower(), "type": step}
            )
        ]
        return "\n".join(family(NAME, "histogram", "Admission step latency in seconds, by operation.", lines))
