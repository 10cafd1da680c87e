"""A cluster without machines: pods come, end and go, nodes fall silent."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from bireme.aio.clock import RealClock, TravelClock
from bireme.api.errors import NotFound
from bireme.api.kinds import core, meta
from bireme.simulation.cluster import SimulatedCluster, Wishes, simulated
from bireme.simulation.shapes import Shape


async def until(claim: Callable[[], Awaitable[Any]]) -> Any:
    async with asyncio.timeout(60):
        while not (found := await claim()):
            await asyncio.sleep(0.005)
    return found


def pod(name: str, *, node: str = "", finalizers: tuple[str, ...] = (), **annotations: str) -> core.Pod:
    named = {f"hollow.bireme.dev/{key.replace('_', '-')}": text for key, text in annotations.items()}
    return core.Pod(
        metadata=meta.ObjectMeta(name=name, namespace="default", annotations=named, finalizers=list(finalizers)),
        spec=core.PodSpec(
            containers=[
                core.Container(name="c", image="i", ports=[core.ContainerPort(container_port=80, host_port=80)])
            ],
            node_name=node,
            restart_policy="Never",
        ),
    )


async def phase_of(cluster: SimulatedCluster, name: str) -> str:
    try:
        return (await cluster.admin.get(core.Pod, name, namespace="default")).status.phase
    except NotFound:
        return "gone"


@asynccontextmanager
async def one_node(**wishes: Any) -> AsyncIterator[SimulatedCluster]:
    async with simulated(Wishes(nodes=1, **wishes), clock=RealClock()) as cluster:
        yield cluster


async def test_pods_are_placed_run_end_and_are_deleted() -> None:
    async with one_node() as cluster:
        await cluster.admin.create(pod("p", end_seconds="0.1", exit_code="1"))

        async def ended() -> bool:
            return await phase_of(cluster, "p") == "Failed"

        await until(ended)
        shown = await cluster.admin.get(core.Pod, "p", namespace="default")
        assert shown.spec.node_name == "hollow-0"
        assert shown.status.host_ip == "198.18.0.1"
        assert shown.status.container_statuses[0].state is not None
        assert shown.status.container_statuses[0].state.terminated is not None
        assert shown.status.container_statuses[0].state.terminated.exit_code == 1
        await cluster.admin.delete(core.Pod, "p", namespace="default")

        async def gone() -> bool:
            return await phase_of(cluster, "p") == "gone"

        await until(gone)


async def test_a_pod_that_was_there_before_its_node_runs_once_that_comes() -> None:
    async with one_node() as cluster:
        await cluster.admin.create(pod("early", node="hollow-1"))
        await cluster.admin.create(pod("p", node="hollow-0"))

        async def runs() -> bool:
            return await phase_of(cluster, "p") == "Running"

        async def early_runs() -> bool:
            return await phase_of(cluster, "early") == "Running"

        await until(runs)  # by now it was heard of the other, and its node is not there
        await cluster.nodes.add(1, Shape())
        await until(early_runs)


async def test_one_that_is_held_back_shows_how_it_ended() -> None:
    async with one_node() as cluster:
        await cluster.admin.create(pod("p", finalizers=("example.com/held",)))

        async def runs() -> bool:
            return await phase_of(cluster, "p") == "Running"

        async def stopped() -> bool:
            return await phase_of(cluster, "p") == "Succeeded"

        await until(runs)
        await cluster.admin.delete(core.Pod, "p", namespace="default")
        await until(stopped)


async def test_a_node_refuses_what_was_sent_past_the_scheduler_and_does_not_fit() -> None:
    async with one_node() as cluster:
        await cluster.admin.create(pod("first", node="hollow-0"))

        async def runs() -> bool:
            return await phase_of(cluster, "first") == "Running"

        await until(runs)
        await cluster.admin.create(pod("second", node="hollow-0"))

        async def refused() -> bool:
            return await phase_of(cluster, "second") == "Failed"

        await until(refused)
        assert (await cluster.admin.get(core.Pod, "second", namespace="default")).status.reason == "NodePorts"


async def test_without_controllers_the_node_takes_pods_that_are_bound_to_it() -> None:
    async with one_node(controllers=False) as cluster:
        node = await cluster.admin.get(core.Node, "hollow-0")
        assert node.spec.taints == []
        assert any(c.type == "Ready" and c.status == "True" for c in node.status.conditions)


async def test_a_node_that_falls_silent_is_noticed_and_taken_back() -> None:
    clock = TravelClock()

    async def ready() -> str:
        node = await cluster.admin.get(core.Node, "hollow-0")
        return next(c.status for c in node.status.conditions if c.type == "Ready")

    async with simulated(Wishes(nodes=2, shape=Shape(cpu="1")), clock=clock) as cluster:
        await clock.advance(30)
        assert await ready() == "True"
        cluster.nodes.play_dead("hollow-0")
        await clock.advance(120)

        async def lost() -> bool:
            return await ready() == "Unknown"

        async def back() -> bool:
            return await ready() == "True"

        await until(lost)
        cluster.nodes.revive("hollow-0")
        await clock.advance(5)
        await until(back)


async def test_what_a_silent_node_was_sent_is_done_when_it_is_back() -> None:
    async with one_node() as cluster:
        cluster.nodes.play_dead("hollow-0")
        await cluster.admin.create(pod("p", node="hollow-0"))
        await asyncio.sleep(0.1)
        assert await phase_of(cluster, "p") == "Pending"
        cluster.nodes.revive("hollow-0")

        async def runs() -> bool:
            return await phase_of(cluster, "p") == "Running"

        await until(runs)
