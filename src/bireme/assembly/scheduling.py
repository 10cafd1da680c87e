"""The scheduler as the core runs it: its settings from files, and its figures among those of the API server."""

from collections.abc import Iterator

import structlog

from bireme.config import Config
from bireme.http.exposition import family, sample
from bireme.scheduler.configuration import Settings, default_settings, read_settings
from bireme.scheduler.plugins import scorers
from bireme.scheduler.scheduler import Scheduler

log = structlog.get_logger(__name__)


def scheduler_settings(config: Config) -> Settings:
    """What the files of the cluster's settings say. Raises ConfigurationError or PluginError."""
    known = scorers(config.scheduler_plugin_files)
    file = config.scheduler_config_file
    settings = default_settings(known) if file is None else read_settings(file, known)
    for warning in settings.warnings:
        log.warning("scheduler configuration", file=str(file), warning=warning)
    return settings


def figures(scheduler: Scheduler) -> str:
    """What kube-scheduler's dashboards chart."""
    return "\n".join(_lines(scheduler))


def _lines(scheduler: Scheduler) -> Iterator[str]:
    queue, counted = scheduler.statistics().queue, scheduler.figures
    name, text = "scheduler_pending_pods", "Number of pending pods, by the queue type."
    pending = {
        "active": queue.active,
        "backoff": queue.backing_off,
        "unschedulable": queue.unschedulable,
        "gated": scheduler.gated,
    }
    yield from family(name, "gauge", text, [sample(name, {"queue": kind}, count) for kind, count in pending.items()])
    name, text = "scheduler_schedule_attempts_total", "Number of attempts to schedule pods, by the result."
    attempts = [
        sample(name, {"profile": profile, "result": result}, count)
        for (profile, result), count in counted.attempts.items()
    ]
    yield from family(name, "counter", text, attempts)
    name, text = "scheduler_scheduling_attempt_duration_seconds", "Scheduling attempt latency in seconds."
    seconds = [
        line
        for (profile, result), spread in counted.seconds.items()
        for line in spread.samples(name, {"profile": profile, "result": result})
    ]
    yield from family(name, "histogram", text, seconds)
    name, text = "scheduler_preemption_attempts_total", "Total preemption attempts in the cluster till now."
    yield from family(name, "counter", text, [sample(name, {}, counted.preemptions)])
    name, text = "scheduler_preemption_victims", "Number of selected preemption victims."
    yield from family(name, "histogram", text, counted.victims.samples(name, {}))
