"""Delete Jobs some time after they ended, where they say how long they may stay."""

from datetime import timedelta

from bireme.api.kinds import batch
from bireme.api.times import parse_time
from bireme.client.informer import Key
from bireme.controllers import changes, job_plan
from bireme.controllers.controller import Controller, Watch


class TtlAfterFinishedController(Controller):
    """Delete ended Jobs when their time is up.

    Reads and deletes Jobs.
    """

    name = "ttl-after-finished-controller"
    watches = (Watch(batch.Job),)

    async def reconcile(self, key: Key) -> timedelta | None:
        job = self.cache.get(batch.Job, key)
        if job is None or job.metadata.deletion_timestamp or job.spec.ttl_seconds_after_finished is None:
            return None
        end = job_plan.ended(job)
        if end is None:
            return None
        left = parse_time(end.last_transition_time) - self.clock.now()
        left += timedelta(seconds=job.spec.ttl_seconds_after_finished)
        if left > timedelta(0):
            return left
        await self.carry_out((changes.Delete(job, propagation="Foreground", exact=True),))
        return None
