"""Which run of a CronJob is due, and which of its ended Jobs are too many. Plain functions."""

import zoneinfo
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo

from bireme.api.kinds import batch, core, meta
from bireme.api.times import parse_time
from bireme.controllers import job_plan, schedules
from bireme.controllers.ownership import reference_to

SCHEDULED_AT = "batch.kubernetes.io/cronjob-scheduled-timestamp"
MANY_MISSED = 100


@dataclass(frozen=True, slots=True)
class Due:
    """The latest run that should have begun by now, if any; how many were due since the last; when the next is."""

    at: datetime | None
    missed: int
    next: datetime | None


def zone_of(cron: batch.CronJob) -> tzinfo:
    """The zone in which the schedule is read."""
    return zoneinfo.ZoneInfo(cron.spec.time_zone) if cron.spec.time_zone else UTC


def due(cron: batch.CronJob, *, now: datetime) -> Due:
    """What the schedule says since the last run, or since the CronJob was made."""
    schedule, zone = schedules.parse(cron.spec.schedule), zone_of(cron)
    since = parse_time(cron.status.last_schedule_time or cron.metadata.creation_timestamp)
    if cron.spec.starting_deadline_seconds is not None:
        since = max(since, now - timedelta(seconds=cron.spec.starting_deadline_seconds))
    first = schedule.next(since, zone)
    if first is None or first > now:
        return Due(None, 0, first)
    second = schedule.next(first, zone)
    if second is None or second > now:
        return Due(first, 1, second)
    gap = second - first
    latest = _latest(schedule, first, now, zone, gap)
    return Due(latest, int((now - first) / gap) + 1, schedule.next(now, zone))


def _latest(schedule: schedules.Schedule, first: datetime, now: datetime, zone: tzinfo, gap: timedelta) -> datetime:
    """The latest time not after `now`, looked for ever further back: years of minutes are not gone through."""
    back = 2 * gap
    while True:
        since = max(first - timedelta(seconds=1), now - back)
        latest = max(schedules.times(schedule, since, now, zone), default=None)
        if latest is not None:
            return latest
        back *= 4


def is_too_late(cron: batch.CronJob, at: datetime, *, now: datetime) -> bool:
    """The run may not begin any more."""
    limit = cron.spec.starting_deadline_seconds
    return limit is not None and at + timedelta(seconds=limit) < now


def job_for(cron: batch.CronJob, at: datetime) -> batch.Job:
    """The Job of the run at that time: its name follows from the time, so that it is made once."""
    template = cron.spec.job_template
    stamp = at.astimezone(zone_of(cron)).isoformat(timespec="seconds").replace("+00:00", "Z")
    return batch.Job(
        metadata=meta.ObjectMeta(
            name=f"{cron.metadata.name}-{int(at.timestamp()) // 60}",
            namespace=cron.metadata.namespace,
            labels=template.metadata.labels,
            annotations=template.metadata.annotations | {SCHEDULED_AT: stamp},
            owner_references=[reference_to(cron)],
        ),
        spec=template.spec,
    )


def reference(job: batch.Job) -> core.ObjectReference:
    """How the status of a CronJob names a Job that runs."""
    metadata = job.metadata
    return core.ObjectReference(
        api_version="batch/v1",
        kind="Job",
        name=metadata.name,
        namespace=metadata.namespace,
        uid=metadata.uid,
        resource_version=metadata.resource_version,
    )


def beyond_history(cron: batch.CronJob, jobs: Iterable[batch.Job]) -> list[batch.Job]:
    """Ended Jobs that the limits leave no place for, the oldest first."""
    over = [job for job in jobs if job_plan.ended(job) is not None]
    succeeded = [job for job in over if job_plan.condition(job, job_plan.COMPLETE)]
    failed = [job for job in over if not job_plan.condition(job, job_plan.COMPLETE)]
    spec = cron.spec
    return [
        *_oldest(succeeded, spec.successful_jobs_history_limit),
        *_oldest(failed, spec.failed_jobs_history_limit),
    ]


def _oldest(jobs: Sequence[batch.Job], limit: int | None) -> list[batch.Job]:
    if limit is None:
        return []
    begun = sorted(jobs, key=lambda job: (job.status.start_time, job.metadata.name))
    return begun[: max(0, len(begun) - limit)]
