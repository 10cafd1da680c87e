"""The scheduler over the real API in this process: pods get nodes, reasons, and room from offers."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from tests.support.cluster import Cluster, cluster

from bireme.aio.clock import RealClock
from bireme.api.kinds import core, meta
from bireme.client.events import EventRecorder
from bireme.client.informer import Informer
from bireme.ledger.ledger import Ledger
from bireme.scheduler.scheduler import Scheduler


def node(name: str, *, cpu: str = "4") -> core.Node:
    allocatable = {"cpu": cpu, "memory": "8Gi", "pods": "10"}
    made = core.Node(metadata=meta.ObjectMeta(name=name))
    made.status = core.NodeStatus(allocatable=allocatable, capacity=allocatable)
    return made


def pod(name: str, *, cpu: str = "1") -> core.Pod:
    resources = core.ResourceRequirements(requests={"cpu": cpu})
    container = core.Container(name="c", image="i", resources=resources)
    return core.Pod(
        metadata=meta.ObjectMeta(name=name, namespace="default"),
        spec=core.PodSpec(containers=[container], service_account_name="default"),
    )


@asynccontextmanager
async def scheduling(ask_for_room: Callable[[], None] = lambda: None) -> AsyncIterator[tuple[Cluster, Ledger]]:
    """A cluster with a scheduler and a service account, and its ledger."""
    ledger = Ledger()
    async with cluster() as c, asyncio.TaskGroup() as tasks:
        await c.client.create(core.ServiceAccount(metadata=meta.ObjectMeta(name="default", namespace="default")))
        client, clock = c.api.client("system:kube-scheduler"), RealClock()
        pods, nodes = Informer(client, core.Pod, clock=clock), Informer(client, core.Node, clock=clock)
        events = EventRecorder(client, "default-scheduler", clock=clock)
        scheduler = Scheduler(
            client, pods=pods, nodes=nodes, ledger=ledger, events=events, clock=clock, ask_for_room=ask_for_room
        )
        parts = (pods.run, nodes.run, events.run, scheduler.run)
        running = [tasks.create_task(part()) for part in parts]
        try:
            yield c, ledger
        finally:
            for task in running:
                task.cancel()


async def settled(c: Cluster, name: str, wanted: Callable[[core.Pod], object]) -> core.Pod:
    """The pod once it is as wanted."""
    async with asyncio.timeout(10):
        while True:
            found = await c.client.get(core.Pod, name, namespace="default")
            if wanted(found):
                return found
            await asyncio.sleep(0.01)


async def register(c: Cluster, *nodes: core.Node) -> None:
    """Nodes that are ready for pods: the taint of new ones is taken off."""
    for each in nodes:
        made = await c.client.create(each)
        made.spec.taints = []
        made.status = each.status
        await c.client.update(await c.client.update(made), subresource="status")


async def test_pods_go_where_there_is_most_room() -> None:
    async with scheduling() as (c, ledger):
        await register(c, node("small", cpu="2"), node("large", cpu="8"))
        for number in range(3):
            await c.client.create(pod(f"p{number}"))
        placed = [await settled(c, f"p{number}", lambda p: p.spec.node_name) for number in range(3)]
        assert {p.spec.node_name for p in placed} == {"large"}
        assert ledger.free("large")["cpu"] == 5000


async def test_a_pod_without_room_says_why_and_is_placed_when_there_is_some() -> None:
    async with scheduling() as (c, _):
        await register(c, node("n", cpu="1"))
        await c.client.create(pod("first"))
        await settled(c, "first", lambda p: p.spec.node_name)
        await c.client.create(pod("second"))
        refused = await settled(c, "second", lambda p: p.status.conditions)
        assert refused.status.conditions[0].message == "0/1 nodes are available: 1 Insufficient cpu."
        await c.client.delete(core.Pod, "first", namespace="default", grace_period_s=0)
        await settled(c, "second", lambda p: p.spec.node_name == "n")


async def test_offers_in_the_way_are_asked_back() -> None:
    asked = asyncio.Event()
    async with scheduling(asked.set) as (c, ledger):
        await register(c, node("n", cpu="1"))
        async with asyncio.timeout(10):
            while not ledger.try_offer("o", "n", {"cpu": 1000}):
                await asyncio.sleep(0.01)
            await c.client.create(pod("p"))
            await asked.wait()
        ledger.release_offer("o")
        await settled(c, "p", lambda p: p.spec.node_name == "n")


async def test_nobody_is_asked_for_room_that_would_not_help() -> None:
    asked: list[int] = []
    async with scheduling(lambda: asked.append(1)) as (c, ledger):
        await register(c, node("n", cpu="1"))
        async with asyncio.timeout(10):
            while not ledger.try_offer("o", "n", {"cpu": 500}):
                await asyncio.sleep(0.01)
        await c.client.create(pod("giant", cpu="100"))
        await settled(c, "giant", lambda p: p.status.conditions)
        assert asked == []
