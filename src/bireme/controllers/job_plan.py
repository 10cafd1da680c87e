"""Whether a Job is at its end, and how many pods it should have until then. Plain functions."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from bireme.api.kinds import batch, core
from bireme.api.times import parse_time
from bireme.controllers import job_policies, pods
from bireme.controllers.job_tally import Tally, index_of, is_indexed

COMPLETE, FAILED = "Complete", "Failed"
SUCCEEDING, FAILING = "SuccessCriteriaMet", "FailureTarget"
SUSPENDED = "Suspended"
BACKOFF_S = 10.0
BACKOFF_MOST_S = 600.0


@dataclass(frozen=True, slots=True)
class Verdict:
    """How a Job ends: the condition that is set first, its reason and message."""

    type: str
    reason: str
    message: str


def condition(job: batch.Job, type: str) -> batch.JobCondition | None:
    """The condition of that type, if it holds."""
    return next((item for item in job.status.conditions if item.type == type and item.status == "True"), None)


def ended(job: batch.Job) -> batch.JobCondition | None:
    """The condition that says that the Job is over."""
    return condition(job, COMPLETE) or condition(job, FAILED)


def verdict(job: batch.Job, found: Tally, *, now: datetime) -> Verdict | None:
    """How the Job ends, if it does: as was said before, else by failure, else by success."""
    for type in (FAILING, SUCCEEDING):
        said = condition(job, type)
        if said is not None:
            return Verdict(type, said.reason, said.message)
    return _failure(job, found, now=now) or _success(job, found)


def _failure(job: batch.Job, found: Tally, *, now: datetime) -> Verdict | None:
    spec = job.spec
    if found.fails_job:
        return Verdict(FAILING, "PodFailurePolicy", found.fails_job)
    if _is_past_backoff(job, found):
        return Verdict(FAILING, "BackoffLimitExceeded", "Job has reached the specified backoff limit")
    deadline = deadline_of(job)
    if deadline is not None and deadline <= now:
        return Verdict(FAILING, "DeadlineExceeded", "Job was active longer than specified deadline")
    if spec.backoff_limit_per_index is not None:
        if spec.max_failed_indexes is not None and len(found.failed_indexes) > spec.max_failed_indexes:
            fault = "Job has exceeded the specified maximal number of failed indexes"
            return Verdict(FAILING, "MaxFailedIndexesExceeded", fault)
        if found.failed_indexes and len(found.failed_indexes | found.done) >= (spec.completions or 0):
            return Verdict(FAILING, "FailedIndexes", "Job has failed indexes")
    return None


def _is_past_backoff(job: batch.Job, found: Tally) -> bool:
    limit = 6 if job.spec.backoff_limit is None else job.spec.backoff_limit
    if found.all_failed > limit:
        return True
    if job.spec.template.spec.restart_policy != "OnFailure":
        return False
    restarts = sum(_restarts(pod) for pod in found.active)
    return restarts > 0 if limit == 0 else restarts >= limit


def _restarts(pod: core.Pod) -> int:
    statuses = (*pod.status.init_container_statuses, *pod.status.container_statuses)
    return sum(status.restart_count or 0 for status in statuses)


def deadline_of(job: batch.Job) -> datetime | None:
    """When the Job has run for too long."""
    limit, since = job.spec.active_deadline_seconds, job.status.start_time
    if limit is None or not since or job.spec.suspend:
        return None
    return parse_time(since) + timedelta(seconds=limit)


def _success(job: batch.Job, found: Tally) -> Verdict | None:
    spec = job.spec
    if spec.success_policy is not None:
        matched = job_policies.success_match(spec.success_policy, found.done)
        if matched:
            return Verdict(SUCCEEDING, "SuccessPolicy", matched)
    succeeded = len(found.done) if is_indexed(job) else found.all_succeeded
    missing = not succeeded or found.active if spec.completions is None else succeeded < spec.completions
    if missing:
        return None
    return Verdict(SUCCEEDING, "CompletionsReached", "Reached expected number of succeeded pods")


def wanted(job: batch.Job, found: Tally) -> int:
    """How many pods should be active."""
    parallelism = 1 if job.spec.parallelism is None else job.spec.parallelism
    if job.spec.completions is None:
        return len(found.active) if found.all_succeeded else parallelism
    over = len(found.done | found.failed_indexes) if is_indexed(job) else found.all_succeeded
    return max(0, min(parallelism, job.spec.completions - over))


def to_make(job: batch.Job, found: Tally) -> int:
    """How many pods are missing; those that are going are replaced at once, or when they have gone."""
    waits = len(found.terminating) if job.spec.pod_replacement_policy == "Failed" else 0
    return max(0, wanted(job, found) - len(found.active) - waits)


def free_indexes(job: batch.Job, found: Tally) -> Iterable[int]:
    """The completions at which nobody works, from the lowest."""
    taken = found.done | found.failed_indexes | {index_of(pod) for pod in found.active}
    if job.spec.pod_replacement_policy == "Failed":
        taken |= {index_of(pod) for pod in found.terminating}
    return (index for index in range(job.spec.completions or 0) if index not in taken)


def not_before(owned: Sequence[core.Pod]) -> datetime | None:
    """When the next pod may be made: after each failure in a row one waits twice as long."""
    failures = sorted(at for pod in owned if pod.status.phase == "Failed" and (at := ended_at(pod)))
    successes = [at for pod in owned if pod.status.phase == "Succeeded" and (at := ended_at(pod))]
    in_a_row = [at for at in failures if not successes or at > max(successes)]
    if not in_a_row:
        return None
    wait_s = min(BACKOFF_S * 2 ** min(len(in_a_row) - 1, 10), BACKOFF_MOST_S)
    return in_a_row[-1] + timedelta(seconds=wait_s)


def ended_at(pod: core.Pod) -> datetime | None:
    """When the last of the pod's containers ended, as far as one knows."""
    times = [
        parse_time(status.state.terminated.finished_at)
        for status in pod.status.container_statuses
        if status.state is not None and status.state.terminated is not None and status.state.terminated.finished_at
    ]
    if times:
        return max(times)
    ready = pods.condition(pod, "Ready")
    if ready is not None and ready.last_transition_time:
        return parse_time(ready.last_transition_time)
    return parse_time(pod.metadata.creation_timestamp) if pod.metadata.creation_timestamp else None
