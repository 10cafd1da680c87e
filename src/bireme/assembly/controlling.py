"""What the controllers' queues do, for dashboards of kube-controller-manager and of the API server beside it.

Source: the metrics of client-go's work queues, whose names those dashboards ask for.
"""

from collections.abc import Callable, Iterator, Sequence

from bireme.aio.workqueue import BOUNDS, QueueStatistics, Times
from bireme.controllers.controller import Controller
from bireme.http.exposition import Histogram, family, sample

COUNTS: tuple[tuple[str, str, str, Callable[[QueueStatistics], int]], ...] = (
    ("depth", "gauge", "Current depth of workqueue.", lambda queue: queue.ready),
    ("adds_total", "counter", "Total number of adds handled by workqueue.", lambda queue: queue.adds),
    ("retries_total", "counter", "Total number of retries handled by workqueue.", lambda queue: queue.retries),
)


def queue_figures(controllers: Sequence[Controller]) -> str:
    """The lines of all queues, by the controller's name."""
    return "\n".join(_lines(controllers))


def _lines(controllers: Sequence[Controller]) -> Iterator[str]:
    queues = {each.name: each.queue for each in controllers}
    for part, kind, text, value in COUNTS:
        name = f"workqueue_{part}"
        lines = [sample(name, {"name": of}, value(queue.statistics())) for of, queue in queues.items()]
        yield from family(name, kind, text, lines)
    waits = {of: queue.waits for of, queue in queues.items()}
    yield from _seconds(
        "queue_duration_seconds", "How long an item stays in workqueue before being requested.", waits
    )
    work = {of: queue.work for of, queue in queues.items()}
    yield from _seconds("work_duration_seconds", "How long processing an item from workqueue takes.", work)


def _seconds(part: str, text: str, times: dict[str, Times]) -> list[str]:
    name = f"workqueue_{part}"
    lines = [line for of, spent in times.items() for line in _spread(spent).samples(name, {"name": of})]
    return family(name, "histogram", text, lines)


def _spread(times: Times) -> Histogram:
    made = Histogram(BOUNDS)
    made.counts, made.total = list(times.counts), times.total
    return made
