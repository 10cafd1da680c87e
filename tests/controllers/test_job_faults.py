"""Jobs whose controller dies at any of its writes or hears of changes late: each pod is counted once and let go."""

import asyncio
from collections.abc import Sequence

import pytest
from story import Story, running
from test_faults import CLOCK, LateClient, MortalClient, live_on, stage
from test_job import end, made

from bireme.api.errors import NotFound
from bireme.api.kinds import batch, core
from bireme.client.client import Client
from bireme.controllers import job_plan, job_tally
from bireme.controllers.controller import Controller
from bireme.controllers.garbage_collector import GarbageCollector
from bireme.controllers.job import JobController

KINDS: Sequence[type[Controller]] = (JobController, GarbageCollector)
SHARDS = 3


async def all_let_go(there: Story) -> bool:
    return not any(job_tally.is_tracked(pod) for pod in await there.pods())


async def ended(there: Story, name: str, *, succeeding: bool = False) -> batch.JobStatus:
    """The status of the Job at its end, when nobody waits to be counted; pods may be made to succeed until then."""

    async def claim() -> batch.JobStatus | None:
        if succeeding:
            for pod in await there.pods():
                if pod.status.phase == "Running" and not pod.metadata.deletion_timestamp:
                    await end(there, pod.metadata.name, "Succeeded")
        job = await there.client.get(batch.Job, name, namespace="default")
        return job.status if job_plan.ended(job) and await all_let_go(there) else None

    found: batch.JobStatus = await there.until(claim)
    return found


async def play(there: Story) -> None:
    """A Job that succeeds, another of its name before the first is forgotten, and one that is lost at once."""
    await there.client.create(made(completions=3, parallelism=2))
    status = await ended(there, "j", succeeding=True)
    assert (status.succeeded, status.failed, status.active) == (3, None, None)
    assert len(await there.pods()) == 3, "no pod was made in vain"

    await there.client.create(made("lost", parallelism=3, backoff_limit=0))

    async def three_run() -> list[core.Pod] | None:
        found = [pod for pod in await there.pods() if pod.status.phase == "Running"]
        return found if len(found) == 3 else None

    first, *_ = await there.until(three_run)
    await end(there, first.metadata.name, "Failed", 1)
    status = await ended(there, "lost")
    assert (status.succeeded, status.failed) == (None, 3)


async def played(*, fatal: int = 0, after: bool = False) -> int:
    async with stage() as (there, tasks):
        client = MortalClient(there.client, fatal=fatal, after=after)
        started = tasks.create_task(live_on(client, there.client, kinds=KINDS))
        try:
            await play(Story(there.client))
        finally:
            started.cancel()
        return client.writes


@pytest.mark.parametrize("shard", range(SHARDS))
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
async def test_death_at_any_write_counts_each_pod_once(after: bool, shard: int) -> None:
    writes = await played()
    assert writes > 15
    for fatal in range(1 + shard, writes + 1, SHARDS):
        await played(fatal=fatal, after=after)


async def live(client: Client) -> None:
    async with running(client, KINDS, clock=CLOCK):
        await asyncio.Event().wait()


@pytest.mark.parametrize("seed", range(8))
async def test_late_news_counts_each_pod_once(seed: int) -> None:
    async with stage() as (there, tasks):
        started = tasks.create_task(live(LateClient(there.client, seed=seed)))
        try:
            await play(Story(there.client))
        finally:
            started.cancel()


@pytest.mark.parametrize("propagation", ["Background", "Orphan", "Foreground"])
async def test_pods_of_a_deleted_job_are_let_go_though_another_has_its_name(propagation: str) -> None:
    async with stage() as (there, tasks):
        story = Story(there.client)
        lives = tasks.create_task(live(there.client))
        await there.client.create(made(parallelism=2))

        async def two_run() -> list[core.Pod] | None:
            found = [pod for pod in await story.pods() if pod.status.phase == "Running"]
            return found if len(found) == 2 else None

        before = {pod.metadata.uid for pod in await story.until(two_run)}
        lives.cancel()
        await asyncio.wait([lives])
        await there.client.delete(batch.Job, "j", namespace="default", propagation=propagation)
        collects = tasks.create_task(collecting(there.client))

        async def again() -> bool:
            try:
                job = await there.client.get(batch.Job, "j", namespace="default")
            except NotFound:
                await there.client.create(made(parallelism=1))
                return True
            return job.spec.parallelism == 1

        if propagation != "Foreground":  # in the foreground the old one stays as long as its pods do
            await story.until(again)
        collects.cancel()
        await asyncio.wait([collects])
        lives = tasks.create_task(live(there.client))
        if propagation == "Foreground":
            await story.until(again)

        async def settled() -> bool:
            pods = await story.pods()
            old = [pod for pod in pods if pod.metadata.uid in before]
            gone = propagation != "Orphan"
            return len(pods) > len(old) and not any(map(job_tally.is_tracked, old)) and not (gone and old)

        await story.until(settled)
        lives.cancel()


async def collecting(client: Client) -> None:
    async with running(client, (GarbageCollector,), clock=CLOCK):
        await asyncio.Event().wait()
