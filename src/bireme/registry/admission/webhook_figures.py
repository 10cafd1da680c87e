"""How often webhooks are asked, how long they take, and how often one keeps a request from going on.

Source: the Kubernetes metrics reference.
"""

from collections import Counter
from collections.abc import Callable
from typing import NamedTuple

from bireme.http.exposition import Histogram, family, sample

SECONDS = (0.005, 0.025, 0.1, 0.5, 1.0, 2.5, 10.0, 25.0)


class Asked(NamedTuple):
    """Which webhook was asked of which operation; `kind` is admit or validating."""

    name: str
    kind: str
    operation: str


class WebhookFigures:
    """The figures of one server."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self.monotonic = monotonic
        self._seconds: dict[tuple[Asked, bool], Histogram] = {}
        self._answers: Counter[tuple[Asked, str, bool]] = Counter()
        self._rejections: Counter[tuple[Asked, str, str]] = Counter()

    def answered(self, asked: Asked, seconds: float, *, code: int, rejected: bool) -> None:
        """One was asked, and answered with `code` (0: not at all)."""
        self._seconds.setdefault((asked, rejected), Histogram(SECONDS)).observe(seconds)
        self._answers[asked, str(code), rejected] += 1

    def rejected(self, asked: Asked, *, fault: str, code: int) -> None:
        """A request ends here: `fault` is no_error where the webhook said so, else why it could not be asked."""
        self._rejections[asked, fault, str(code)] += 1

    def lines(self) -> str:
        """The page's part."""
        name = "apiserver_admission_webhook"
        seconds = [
            line
            for (asked, rejected), histogram in self._seconds.items()
            for line in histogram.samples(f"{name}_admission_duration_seconds", _labels(asked, rejected=rejected))
        ]
        answers = [
            sample(f"{name}_request_total", {"code": code, **_labels(asked, rejected=rejected)}, count)
            for (asked, code, rejected), count in self._answers.items()
        ]
        rejections = [
            sample(f"{name}_rejection_count", {"error_type": fault, "rejection_code": code, **_labels(asked)}, count)
            for (asked, fault, code), count in self._rejections.items()
        ]
        about = "Admission webhook latency histogram in seconds, by name, operation and type."
        return "\n".join(
            [
                *family(f"{name}_admission_duration_seconds", "histogram", about, seconds),
                *family(f"{name}_request_total", "counter", "Requests to admission webhooks.", answers),
                *family(f"{name}_rejection_count", "counter", "Requests that webhooks ended.", rejections),
            ]
        )


def _labels(asked: Asked, *, rejected: bool | None = None) -> dict[str, object]:
    said = {} if rejected is None else {"rejected": str(rejected).lower()}
    return {"name": asked.name, "operation": asked.operation, **said, "type": asked.kind}
