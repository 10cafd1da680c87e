"""How a Job counts its pods: each that ended once, whatever is restarted in between.

A pod has a finalizer that keeps it until it is counted. Its uid is first written into the Job's status as uncounted;
then its finalizer is taken off; only when that has been seen does it move from the uncounted into the counts. Where
indexes are completed the index itself is the record. Plain functions.
Source: the Kubernetes documentation, Jobs, "Job termination and cleanup" and KEP-2307.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from bireme.api.kinds import batch, core
from bireme.controllers import indexes, job_policies, pods

TRACKING = "batch.kubernetes.io/job-tracking"
INDEX = "batch.kubernetes.io/job-completion-index"
INDEX_FAILURES = "batch.kubernetes.io/job-index-failure-count"


@dataclass(slots=True)
class Tally:
    """A Job's pods by what they are to it."""

    succeeded: int = 0
    failed: int = 0
    uncounted_succeeded: list[str] = field(default_factory=list)
    uncounted_failed: list[str] = field(default_factory=list)
    done: set[int] = field(default_factory=set)
    failed_indexes: set[int] = field(default_factory=set)
    active: list[core.Pod] = field(default_factory=list)
    terminating: list[core.Pod] = field(default_factory=list)
    release: list[core.Pod] = field(default_factory=list)
    fails_job: str = ""

    @property
    def all_succeeded(self) -> int:
        """Successes, counted or not yet."""
        return self.succeeded + len(self.uncounted_succeeded)

    @property
    def all_failed(self) -> int:
        """Failures, counted or not yet."""
        return self.failed + len(self.uncounted_failed)


def is_indexed(job: batch.Job) -> bool:
    """Each completion of the Job has a number."""
    return job.spec.completion_mode == "Indexed"


def is_tracked(pod: core.Pod) -> bool:
    """The pod waits to be counted."""
    return TRACKING in pod.metadata.finalizers


def index_of(pod: core.Pod) -> int | None:
    """The completion that the pod works at."""
    text = pod.metadata.annotations.get(INDEX, "")
    return int(text) if text.isdecimal() else None


def has_failed(job: batch.Job, pod: core.Pod) -> bool:
    """The pod counts as a failure: it failed, or is on its way out without having succeeded."""
    if pod.status.phase == "Failed":
        return True
    waits = job.spec.pod_replacement_policy == "Failed"
    return not waits and bool(pod.metadata.deletion_timestamp) and pod.status.phase != "Succeeded"


def tally(job: batch.Job, owned: Sequence[core.Pod], *, hidden: Iterable[core.Pod] = (), lost: bool = False) -> Tally:
    """Count the Job's pods. Where the Job is `lost`, what runs still counts as failed.

    `hidden` are pods just deleted that may still have their finalizer: if they are uncounted, they stay so.
    """
    found = _carried_over(job, (*owned, *hidden))
    for pod in owned:
        if pods.is_active(pod):
            found.active.append(pod)
        elif not pods.is_ended(pod):
            found.terminating.append(pod)
        if is_tracked(pod):
            _count(found, job, pod, lost=lost)
    return found


def _carried_over(job: batch.Job, owned: Iterable[core.Pod]) -> Tally:
    """What the status says, with the uncounted that need their record no more moved into the counts."""
    status = job.status
    waiting = {pod.metadata.uid for pod in owned if is_tracked(pod)}
    uncounted = status.uncounted_terminated_pods or batch.UncountedTerminatedPods()
    kept = [uid for uid in uncounted.succeeded if uid in waiting]
    kept_failed = [uid for uid in uncounted.failed if uid in waiting]
    return Tally(
        succeeded=(status.succeeded or 0) + len(uncounted.succeeded) - len(kept),
        failed=(status.failed or 0) + len(uncounted.failed) - len(kept_failed),
        uncounted_succeeded=kept,
        uncounted_failed=kept_failed,
        done=indexes.parse(status.completed_indexes),
        failed_indexes=indexes.parse(status.failed_indexes),
    )


def _count(found: Tally, job: batch.Job, pod: core.Pod, *, lost: bool) -> None:
    uid = pod.metadata.uid
    if uid in found.uncounted_succeeded or uid in found.uncounted_failed:
        found.release.append(pod)
    elif pod.status.phase == "Succeeded":
        _count_success(found, job, pod)
    elif lost or has_failed(job, pod):
        _count_failure(found, job, pod)


def _count_success(found: Tally, job: batch.Job, pod: core.Pod) -> None:
    found.release.append(pod)
    if not is_indexed(job):
        found.uncounted_succeeded.append(pod.metadata.uid)
        return
    index = index_of(pod)
    if index is not None and index < (job.spec.completions or 0) and index not in found.done:
        found.done.add(index)
        found.failed_indexes.discard(index)


def _count_failure(found: Tally, job: batch.Job, pod: core.Pod) -> None:
    found.release.append(pod)
    match = job_policies.failure_match(job.spec.pod_failure_policy, pod)
    if match is not None and match.action == job_policies.IGNORE:
        return
    found.uncounted_failed.append(pod.metadata.uid)
    if match is not None and match.action == job_policies.FAIL_JOB and not found.fails_job:
        found.fails_job = match.message
    limit, index = job.spec.backoff_limit_per_index, index_of(pod)
    if limit is not None and index is not None and index not in found.done:
        given_up = match is not None and match.action == job_policies.FAIL_INDEX
        if given_up or index_failures(pod) >= limit:
            found.failed_indexes.add(index)


def index_failures(pod: core.Pod) -> int:
    """How often the pod's index had failed before it."""
    text = pod.metadata.annotations.get(INDEX_FAILURES, "")
    return int(text) if text.isdecimal() else 0
