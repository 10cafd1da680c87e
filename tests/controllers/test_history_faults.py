"""StatefulSets and DaemonSets whose controllers die at any write or hear late: all ends well, no pod is in vain."""

import asyncio
from collections.abc import Sequence

import pytest
import test_daemonset
import test_statefulset
from controller_objects import template
from story import Story, running
from test_faults import CLOCK, LateClient, MortalClient, Tally, live_on, stage

from bireme.api.kinds import apps, core, meta
from bireme.client.client import Client, Patch
from bireme.controllers.controller import Controller
from bireme.controllers.daemonset import DaemonSetController
from bireme.controllers.garbage_collector import GarbageCollector
from bireme.controllers.statefulset import StatefulSetController

KINDS: Sequence[type[Controller]] = (StatefulSetController, DaemonSetController, GarbageCollector)
SHARDS = 3


async def play(there: Story) -> None:
    """A StatefulSet and a DaemonSet, each made, updated and gone, one after the other."""
    await there.client.create(test_statefulset.made(replicas=2))
    await test_statefulset.settled(there, "one", 2)
    await test_statefulset.set_image(there, "two")
    await test_statefulset.settled(there, "two", 2)
    await there.client.patch(apps.StatefulSet, "s", {"spec": {"replicas": 1}}, namespace="default")
    (last,) = await test_statefulset.settled(there, "two", 1)
    assert last.metadata.name == "s-0"
    history = (await there.client.list(apps.ControllerRevision, namespace="default")).items
    assert sorted(item.revision or 0 for item in history) == [1, 2]
    await there.client.delete(apps.StatefulSet, "s", namespace="default", propagation="Foreground")

    async def gone() -> bool:
        return not await there.pods()

    await there.until(gone)
    for name in "ab":
        await there.client.create(core.Node(metadata=meta.ObjectMeta(name=name)))
    shape = template()
    shape.spec.tolerations = [core.Toleration(operator="Exists")]
    spec = apps.DaemonSetSpec(selector=meta.LabelSelector(match_labels={"app": "a"}), template=shape)
    await there.client.create(apps.DaemonSet(metadata=meta.ObjectMeta(name="d", namespace="default"), spec=spec))
    await test_daemonset.settled(there, "one", {"a", "b"})
    patch = {"spec": {"template": {"spec": {"containers": [{"name": "c", "image": "two"}]}}}}
    await there.client.patch(apps.DaemonSet, "d", patch, namespace="default", how=Patch.STRATEGIC)
    await test_daemonset.settled(there, "two", {"a", "b"})


async def played(*, fatal: int = 0, after: bool = False) -> int:
    async with stage() as (there, tasks):
        client = MortalClient(there.client, fatal=fatal, after=after)
        tally = Tally()
        started = [
            tasks.create_task(live_on(client, there.client, kinds=KINDS)),
            tasks.create_task(tally.follow(there.client)),
        ]
        try:
            await play(Story(there.client))
        finally:
            for task in started:
                task.cancel()
        assert tally.made == 8, "pods were made in vain"
        return client.writes


@pytest.mark.parametrize("shard", range(SHARDS))
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
async def test_death_at_any_write_changes_nothing_in_the_end(after: bool, shard: int) -> None:
    writes = await played()
    assert writes > 15
    for fatal in range(1 + shard, writes + 1, SHARDS):
        await played(fatal=fatal, after=after)


async def live(client: Client) -> None:
    async with running(client, KINDS, clock=CLOCK):
        await asyncio.Event().wait()


@pytest.mark.parametrize("seed", range(8))
async def test_late_news_makes_no_pod_in_vain(seed: int) -> None:
    async with stage() as (there, tasks):
        tally = Tally()
        started = [
            tasks.create_task(live(LateClient(there.client, seed=seed))),
            tasks.create_task(tally.follow(there.client)),
        ]
        try:
            await play(Story(there.client))
        finally:
            for task in started:
                task.cancel()
        assert tally.made == 8, "pods were made in vain"
