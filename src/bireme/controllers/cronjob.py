"""Make a Job of each CronJob whenever its schedule says so.

Reads CronJobs and the Jobs they own; creates and deletes Jobs; writes the status of CronJobs. What is due and what is
too old is in `cron_plan`, what a schedule means in `schedules`.
"""

from collections.abc import Sequence
from datetime import UTC, timedelta

import msgspec

from bireme.api.errors import AlreadyExists, ApiError
from bireme.api.kinds import batch
from bireme.api.times import parse_time, rfc3339
from bireme.client.informer import Key
from bireme.controllers import acting, changes, cron_plan, job_plan, ownership
from bireme.controllers.controller import Context, Controller, Watch


class CronJobController(Controller):
    """Run each CronJob at its times."""

    name = "cronjob-controller"
    watches = Watch(batch.CronJob), Watch(batch.Job, owner=batch.CronJob)

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._replaced: dict[str, str] = {}
        self._expected: dict[str, None] = {}

    async def reconcile(self, key: Key) -> timedelta | None:
        cron = self.cache.get(batch.CronJob, key)
        if cron is None or cron.metadata.deletion_timestamp:
            if cron is not None:
                self._replaced.pop(cron.metadata.uid, None)
            return None  # the garbage collector sees to its Jobs
        if self._replaced.get(cron.metadata.uid) == cron.metadata.resource_version:
            return None  # what was written since has not come back; it wakes us
        jobs = self.cache.owned(batch.Job, by=cron)
        self._wonder(cron, jobs)
        status = self._told(cron, jobs)
        again = None if cron.spec.suspend else await self._run(cron, jobs, status)
        await self._report(cron, status)
        for job in cron_plan.beyond_history(cron, jobs):
            await self._delete(cron, job)
        return again

    def _wonder(self, cron: batch.CronJob, jobs: Sequence[batch.Job]) -> None:
        """Tell once of each Job that runs though nobody knows of it, as one that was made by hand."""
        known = {reference.uid for reference in cron.status.active}
        for job in jobs:
            uid = job.metadata.uid
            if uid in known or uid in self._expected or job_plan.ended(job) is not None:
                continue
            self._expect(uid)
            said = f"Saw a job that the controller did not create or forgot: {job.metadata.name}"
            self.events.event(cron, "Warning", "UnexpectedJob", said)

    def _expect(self, uid: str) -> None:
        """Be not surprised to see this Job: it was made, deleted or told of already."""
        self._expected[uid] = None
        if len(self._expected) > _REMEMBERED:
            del self._expected[next(iter(self._expected))]

    def _told(self, cron: batch.CronJob, jobs: Sequence[batch.Job]) -> batch.CronJobStatus:
        """The status, as far as what has become of the Jobs goes."""
        known = {job.metadata.uid: job for job in jobs}
        active = []
        for reference in cron.status.active:
            job = known.get(reference.uid)
            if job is None:
                self.events.event(cron, "Normal", "MissingJob", f"Active job went missing: {reference.name}")
                continue
            end = job_plan.ended(job)
            if end is None:
                active.append(reference)
            else:
                said = f"Saw completed job: {reference.name}, condition: {end.type}"
                self.events.event(cron, "Normal", "SawCompletedJob", said)
        times = [cron.status.last_successful_time, *(job.status.completion_time for job in jobs)]
        return batch.CronJobStatus(
            active=active,
            last_schedule_time=cron.status.last_schedule_time,
            last_successful_time=max(times, key=lambda text: parse_time(text) if text else _NEVER),
        )

    async def _run(
        self, cron: batch.CronJob, jobs: Sequence[batch.Job], status: batch.CronJobStatus
    ) -> timedelta | None:
        """Begin the run that is due, if one is and may; when the next one is."""
        now = self.clock.now()
        due = cron_plan.due(cron, now=now)
        again = due.next - now if due.next is not None else None
        if due.missed > cron_plan.MANY_MISSED:
            self.events.event(cron, "Warning", "TooManyMissedTimes", _MANY.format(due.missed))
        if due.at is None:
            return again
        if cron_plan.is_too_late(cron, due.at, now=now):
            missed = due.at.astimezone(UTC).strftime("%a, %d %b %Y %H:%M:%S +0000")
            self.events.event(cron, "Warning", "MissSchedule", f"Missed scheduled time to start a job: {missed}")
            return again
        if status.active and cron.spec.concurrency_policy == "Forbid":
            said = "Not starting job because prior execution is running and concurrency policy is Forbid"
            self.events.event(cron, "Normal", "JobAlreadyActive", said)
            return again
        if cron.spec.concurrency_policy == "Replace":
            running = {reference.uid for reference in status.active}
            for job in (job for job in jobs if job.metadata.uid in running):
                await self._delete(cron, job)
            status.active = []
        job = await self._create(cron, cron_plan.job_for(cron, due.at))
        self._expect(job.metadata.uid)
        if job_plan.ended(job) is None and all(item.uid != job.metadata.uid for item in status.active):
            status.active = [*status.active, cron_plan.reference(job)]
        status.last_schedule_time = rfc3339(due.at)
        return again

    async def _report(self, cron: batch.CronJob, status: batch.CronJobStatus) -> None:
        if status == cron.status:
            return
        fresh = msgspec.structs.replace(cron, status=status)
        written = await acting.carry_out(self.client, changes.Update(fresh, subresource="status"))
        before = cron.metadata.resource_version
        if written is not None and written.metadata.resource_version != before:
            self._replaced[cron.metadata.uid] = before

    async def _create(self, cron: batch.CronJob, job: batch.Job) -> batch.Job:
        """Make the Job of a run; one that was made already, before the status told, is taken as it is."""
        try:
            made = await self.client.create(job)
        except AlreadyExists:
            there = await self.client.get(batch.Job, job.metadata.name, namespace=job.metadata.namespace)
            if not ownership.is_controlled_by(there, cron):
                raise
            return there
        except ApiError as error:
            self.events.event(cron, "Warning", "FailedCreate", f"Error creating job: {error}")
            raise
        self.events.event(cron, "Normal", "SuccessfulCreate", f"Created job {made.metadata.name}")
        return made

    async def _delete(self, cron: batch.CronJob, job: batch.Job) -> None:
        if job.metadata.deletion_timestamp:
            return
        self._expect(job.metadata.uid)
        await self.carry_out((changes.Delete(job, propagation="Background"),))
        self.events.event(cron, "Normal", "SuccessfulDelete", f"Deleted job {job.metadata.name}")


_MANY = "too many missed start times: {}. Set or decrease .spec.startingDeadlineSeconds or check clock skew"
_REMEMBERED = 10_000
_NEVER = parse_time("1970-01-01T00:00:00Z")
