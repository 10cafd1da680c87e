"""How often policies in CEL checked a request, what came of it, and how long that took.

Source: the Kubernetes metrics reference.
"""

from collections import Counter
from collections.abc import Callable
from typing import NamedTuple

from bireme.http.exposition import Histogram, family, sample

SECONDS = (0.0000005, 0.001, 0.01, 0.1, 1.0)
NAME = "apiserver_validating_admission_policy_check"


class Checked(NamedTuple):
    """A policy with a binding, what was done (allow, deny, warn, audit), and what went wrong (no_error, …)."""

    policy: str
    binding: str
    action: str
    error: str


class PolicyFigures:
    """The figures of one server."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self.monotonic = monotonic
        self._counts: Counter[Checked] = Counter()
        self._seconds: dict[Checked, Histogram] = {}

    def checked(self, what: Checked, seconds: float) -> None:
        """A request was checked once more."""
        self._counts[what] += 1
        self._seconds.setdefault(what, Histogram(SECONDS)).observe(seconds)

    def lines(self) -> str:
        """The page's part."""
        counts = [sample(f"{NAME}_total", _labels(what), count) for what, count in self._counts.items()]
        seconds = [
            line
            for what, histogram in self._seconds.items()
            for line in histogram.samples(f"{NAME}_duration_seconds", _labels(what))
        ]
        return "\n".join(
            [
                *family(f"{NAME}_total", "counter", "Checks of requests by validating policies.", counts),
                *family(f"{NAME}_duration_seconds", "histogram", "How long such a check took.", seconds),
            ]
        )


def _labels(what: Checked) -> dict[str, str]:
    return {
        "enforcement_action": what.action,
        "error_type": what.error,
        "policy": what.policy,
        "policy_binding": what.binding,
    }
