"""Run each Job's pods until as many succeeded as it wants, or too many failed.

Reads Jobs and the Pods they own; creates, adopts, releases and deletes Pods; writes the status of Jobs. What is
counted is in `job_tally`, when a Job ends and how many pods it has in `job_plan`, what pods look like in `job_pods`,
its policies in `job_policies`.
"""

import functools
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

import msgspec

from bireme.api.errors import ApiError, NotFound
from bireme.api.kinds import batch, core
from bireme.api.selectors import LabelSelector
from bireme.api.times import rfc3339
from bireme.client.informer import Key
from bireme.client.parts import METADATA
from bireme.controllers import acting, changes, indexes, job_plan, job_pods, job_tally, ownership, pods, replicas
from bireme.controllers.controller import Context, Controller, Watch, owner_keys
from bireme.controllers.informers import Informers
from bireme.controllers.own_writes import OwnWrites

NAME_LABEL = "batch.kubernetes.io/job-name"
OURS = "kubernetes.io/job-controller"
TRACKED = "controllers/job-tracked"
AT_ONCE = 64
# A look at a Job costs about this much for each pod: large ones gather changes for that long.
REST_PER_POD_S = 100e-6
REST_FROM = 200


def _tracked(pod: core.Pod) -> Iterable[str]:
    """Index values: the Job that a pod waits to be counted by, whether or not it is still owned."""
    name = pod.metadata.labels.get(NAME_LABEL)
    return (f"{pod.metadata.namespace}/{name}",) if name and job_tally.is_tracked(pod) else ()


def _jobs_of(cache: Informers, old: core.Pod | None, new: core.Pod | None) -> Iterable[Key]:
    """Jobs to look at after a change of a pod: its owner, and the one that it waits to be counted by."""
    if ownership.is_anothers(old, new, kind="Job"):
        return ()
    keys = owner_keys(batch.Job, old, new)
    for pod in (old, new):
        name = pod.metadata.labels.get(NAME_LABEL) if pod is not None else None
        if pod is not None and name and (job_tally.is_tracked(pod) or ownership.controller_of(pod) is None):
            keys.add(Key(pod.metadata.namespace, name))
    return keys


class JobController(Controller):
    """Run each Job to its end."""

    name = "job-controller"
    watches = Watch(batch.Job), Watch(core.Pod, keys=_jobs_of)

    def __init__(self, context: Context) -> None:
        context.informers.index(core.Pod, TRACKED, _tracked, reads=METADATA)
        super().__init__(context)
        self._own = OwnWrites(self.cache.of(core.Pod))
        self._replaced: dict[str, str] = {}

    async def reconcile(self, key: Key) -> timedelta | None:
        job = self.cache.get(batch.Job, key)
        if job is None or job.spec.managed_by not in ("", OURS):
            self.rest(key, 0)
            if job is None:
                await self._let_go(key)
            return None
        uid = job.metadata.uid
        if self._replaced.get(uid) == job.metadata.resource_version:
            return None  # what was written since has not come back; it wakes us
        await self._own.look_up(self.client, uid, before=self.unseen_since)
        await self._let_go(key, job)
        claimed = await self._claim(job)
        owned = self._own.laid_over(uid, claimed)
        self.rest(key, len(owned) * REST_PER_POD_S if len(owned) >= REST_FROM else 0)
        if job_plan.ended(job) is not None:
            self._replaced.pop(uid, None)
            await self._delete(job, [pod for pod in owned if pods.is_active(pod)])
            await self._release([pod for pod in owned if job_tally.is_tracked(pod)])
            return None
        return await self._advance(job, owned, self._own.hidden(uid, claimed))

    async def _advance(self, job: batch.Job, owned: list[core.Pod], hidden: Sequence[core.Pod]) -> timedelta | None:
        now = self.clock.now()
        found = job_tally.tally(job, owned, hidden=hidden)
        end = job_plan.verdict(job, found, now=now)
        again, refused = None, None
        if end is not None:
            if end.type == job_plan.FAILING:
                found = job_tally.tally(job, owned, hidden=hidden, lost=True)
            await self._delete(job, found.active, uncounted=end.type == job_plan.SUCCEEDING)
        elif not job.metadata.deletion_timestamp:
            try:
                again = await self._manage(job, found, owned, now)
            except ApiError as error:
                refused = error  # what ended is counted all the same
        await self._report(job, self._status(job, found, end, now))
        await self._release(found.release)
        if refused is not None:
            raise refused
        deadline = job_plan.deadline_of(job)
        unseen = timedelta(seconds=self.settings.unseen_s) if self._own.waits(job.metadata.uid) else None
        waits = (again, unseen, deadline - now if deadline is not None else None)
        return min((item for item in waits if item is not None), default=None)

    async def _claim(self, job: batch.Job) -> list[core.Pod]:
        selector = LabelSelector.from_struct(job.spec.selector)
        claims = ownership.claim(job, selector, self.cache.candidates(core.Pod, owner=job))
        adopted = claims.adopt if claims.adopt and await acting.still_there(self.client, job) else []
        for change in (
            *(job_pods.release(pod, job) for pod in claims.release),
            *(job_pods.adoption(pod, job) for pod in adopted),
        ):
            await self._quietly(change)
        return [*claims.owned, *adopted]

    async def _quietly(self, change: changes.Change) -> None:
        """Change a pod that may be gone by now."""
        try:
            await self.carry_out((change,))
        except NotFound:
            pass

    async def _let_go(self, key: Key, job: batch.Job | None = None) -> None:
        """Pods of a Job that is gone are counted by nobody, even where another Job has its name."""
        waiting = self.cache.find(core.Pod, TRACKED, f"{key.namespace}/{key.name}")
        await self._release([pod for pod in waiting if job_pods.is_lost(pod, job)])

    async def _release(self, counted: Iterable[core.Pod]) -> None:
        """Take the finalizer off pods that are counted for good. Those just deleted wake us when they are seen."""
        seen = [pod for pod in counted if not self._own.is_hidden(pod)]
        outcome = await acting.in_batches(seen, self._untrack, first=AT_ONCE, limit=AT_ONCE)
        if outcome.error is not None:
            raise outcome.error

    async def _untrack(self, pod: core.Pod) -> None:
        finalizers = job_pods.untracked(pod) or None
        await self._quietly(changes.Merge(pod, {"metadata": {"finalizers": finalizers}}, exact=True))

    async def _manage(
        self, job: batch.Job, found: job_tally.Tally, owned: list[core.Pod], now: datetime
    ) -> timedelta | None:
        """Make or delete pods so that the wanted number works; when to look again if some must wait."""
        if job.spec.suspend:
            await self._delete(job, found.active, uncounted=True)
            return None
        surplus = len(found.active) - job_plan.wanted(job, found)
        if surplus > 0:
            await self._delete(job, replicas.first_to_go(found.active, surplus, now=now), uncounted=True)
            return None
        number = min(job_plan.to_make(job, found), replicas.BURST)
        if not number:
            return None
        if job_tally.is_indexed(job):
            return await self._make_indexed(job, found, owned, number, now)
        at = job_plan.not_before(owned)
        if at is not None and at > now:
            return at - now
        await self._make(job, [job_pods.pod(job)] * number)
        return None

    async def _make_indexed(
        self, job: batch.Job, found: job_tally.Tally, owned: list[core.Pod], number: int, now: datetime
    ) -> timedelta | None:
        apart = job.spec.backoff_limit_per_index is not None
        soonest: datetime | None = None if apart else job_plan.not_before(owned)
        if soonest is not None and soonest > now:
            return soonest - now
        ready: list[core.Pod] = []
        waits: list[timedelta] = []
        for index in job_plan.free_indexes(job, found):
            before = [pod for pod in owned if job_tally.index_of(pod) == index] if apart else []
            at = job_plan.not_before(before)
            if at is not None and at > now:
                waits.append(at - now)
            else:
                ready.append(job_pods.pod(job, index, before))
            if len(ready) + len(waits) == number:
                break
        await self._make(job, ready)
        return min(waits, default=None)

    async def _make(self, job: batch.Job, wanted: Sequence[core.Pod]) -> None:
        made = await acting.in_batches(wanted, functools.partial(self._create, job), limit=AT_ONCE)
        if made.error is not None:
            self.events.event(job, "Warning", "FailedCreate", f"Error creating: {made.error}")
            raise made.error

    async def _create(self, job: batch.Job, pod: core.Pod) -> None:
        made = await self.client.create(pod)
        self._own.made(job.metadata.uid, made, at=self.clock.monotonic())
        self.events.event(job, "Normal", "SuccessfulCreate", f"Created pod: {made.metadata.name}")

    async def _delete(self, job: batch.Job, going: Sequence[core.Pod], *, uncounted: bool = False) -> None:
        """Delete pods; `uncounted` ones are let go first, so that they are no failures."""
        if uncounted:
            await self._release([pod for pod in going if job_tally.is_tracked(pod)])
        gone = await acting.in_batches(going, functools.partial(self._delete_one, job), first=AT_ONCE, limit=AT_ONCE)
        if gone.error is not None:
            self.events.event(job, "Warning", "FailedDelete", f"Error deleting: {gone.error}")
            raise gone.error

    async def _delete_one(self, job: batch.Job, pod: core.Pod) -> None:
        await acting.carry_out(self.client, changes.Delete(pod))
        self._own.deleted(pod)
        self.events.event(job, "Normal", "SuccessfulDelete", f"Deleted pod: {pod.metadata.name}")

    def _status(
        self, job: batch.Job, found: job_tally.Tally, end: job_plan.Verdict | None, now: datetime
    ) -> batch.JobStatus:
        indexed = job_tally.is_indexed(job)
        over = end is not None or bool(job.spec.suspend)
        status = batch.JobStatus(
            active=(0 if over else len(found.active)) or None,
            ready=0 if over else sum(pods.is_ready(pod) for pod in found.active),
            terminating=len(found.terminating) + (len(found.active) if over else 0),
            succeeded=(len(found.done) if indexed else found.succeeded) or None,
            failed=found.failed or None,
            completed_indexes=indexes.spelled(found.done) if indexed else "",
            failed_indexes=indexes.spelled(found.failed_indexes),
            start_time=job.status.start_time,
            uncounted_terminated_pods=batch.UncountedTerminatedPods(
                failed=found.uncounted_failed, succeeded=found.uncounted_succeeded
            ),
            conditions=list(job.status.conditions),
        )
        self._tell_suspension(job, status, now)
        if end is not None:
            self._tell_end(job, status, end, now)
        return status

    def _tell_suspension(self, job: batch.Job, status: batch.JobStatus, now: datetime) -> None:
        was = job_plan.condition(job, job_plan.SUSPENDED) is not None
        if job.spec.suspend and not was:
            _say(status, job_plan.SUSPENDED, "True", "JobSuspended", "Job suspended", now)
            status.start_time = ""
            self.events.event(job, "Normal", "Suspended", "Job suspended")
        elif was and not job.spec.suspend:
            _say(status, job_plan.SUSPENDED, "False", "JobResumed", "Job resumed", now)
            self.events.event(job, "Normal", "Resumed", "Job resumed")
        if not job.spec.suspend and not status.start_time:
            status.start_time = rfc3339(now)

    def _tell_end(self, job: batch.Job, status: batch.JobStatus, end: job_plan.Verdict, now: datetime) -> None:
        _say(status, end.type, "True", end.reason, end.message, now)
        uncounted = status.uncounted_terminated_pods
        if status.terminating or (uncounted is not None and (uncounted.failed or uncounted.succeeded)):
            return  # first all pods end and are counted
        if end.type == job_plan.SUCCEEDING:
            _say(status, job_plan.COMPLETE, "True", end.reason, end.message, now)
            status.completion_time = rfc3339(now)
            self.events.event(job, "Normal", "Completed", "Job completed")
        else:
            _say(status, job_plan.FAILED, "True", end.reason, end.message, now)
            self.events.event(job, "Warning", end.reason, end.message)

    async def _report(self, job: batch.Job, status: batch.JobStatus) -> None:
        if status != job.status:
            fresh = msgspec.structs.replace(job, status=status)
            written = await acting.carry_out(self.client, changes.Update(fresh, subresource="status"))
            before = job.metadata.resource_version
            if written is not None and written.metadata.resource_version != before:
                self._replaced[job.metadata.uid] = before


def _say(status: batch.JobStatus, type: str, said: str, reason: str, message: str, now: datetime) -> None:
    """Set a condition, with new times if it says something else than before."""
    old = next((item for item in status.conditions if item.type == type), None)
    if old is not None and old.status == said:
        return
    stamp = rfc3339(now)
    made = batch.JobCondition(
        type=type, status=said, reason=reason, message=message, last_probe_time=stamp, last_transition_time=stamp
    )
    status.conditions = [*(item for item in status.conditions if item.type != type), made]
