"""Hollow pods over a cache that is filled by hand, on a clock that stands still between steps."""

import asyncio
from collections.abc import Iterator
from datetime import datetime
from types import SimpleNamespace
from typing import Any, ClassVar, cast

import msgspec

from bireme.aio.clock import VirtualClock
from bireme.api.kinds import core, meta
from bireme.client.client import Client
from bireme.client.informer import Key
from bireme.simulation.nodes import HollowNode, HollowNodes
from bireme.simulation.pods import HollowPods
from bireme.simulation.stages import Life, Stage

ANNOTATIONS = {"hollow.bireme.dev/start-seconds": "2", "hollow.bireme.dev/end-seconds": "100"}


class Node:
    """The one node there is, in place of all hollow nodes."""

    lives = True
    name = "n"
    settings = SimpleNamespace(node_ip="198.18.0.1")
    machine = SimpleNamespace(capacity={"pods": "10"})
    cache: ClassVar[dict[Key, core.Node]] = {
        Key("", "n"): core.Node(
            spec=core.NodeSpec(pod_cidr="192.0.2.0/30"), status=core.NodeStatus(allocatable={"pods": "10"})
        )
    }

    def get(self, name: str) -> HollowNode:
        return cast("HollowNode", self)

    def on_voice(self, told: Any) -> None:
        """Nobody dies here."""


class Pods(HollowPods):
    """Tells how pods are by putting them into the cache, which takes as long as `delays` say."""

    def __init__(self, clock: VirtualClock, delays: Iterator[float]) -> None:
        super().__init__(cast("Client", None), cast("HollowNodes", Node()), clock=clock)
        self._delays = delays

    async def _show(
        self, pod: core.Pod, life: Life, node: HollowNode, now: datetime, *, leaving: bool = False
    ) -> core.PodStatus:
        await self._clock.sleep(next(self._delays, 0.0))
        phase = {Stage.CREATING: "Pending", Stage.ENDED: "Succeeded"}.get(life.stage, "Running")
        fresh = msgspec.structs.replace(pod, status=msgspec.structs.replace(pod.status, phase=phase))
        self.cache.have([fresh])
        return fresh.status

    async def play(self) -> None:
        """All but the following of a server."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._queue.run())
            tasks.create_task(self._work())

    def hear(self, pod: core.Pod) -> None:
        """A change of the pod is heard of."""
        self._look(None, pod)


def placed(name: str) -> core.Pod:
    """A pod that was placed on the node."""
    scheduled = core.PodCondition(type="PodScheduled", status="True", last_transition_time="2026-01-01T00:00:00Z")
    return core.Pod(
        metadata=meta.ObjectMeta(name=name, namespace="d", uid=f"uid-{name}", annotations=ANNOTATIONS),
        spec=core.PodSpec(containers=[core.Container(name="c")], node_name="n", restart_policy="Never"),
        status=core.PodStatus(phase="Pending", conditions=[scheduled]),
    )


async def test_a_look_that_comes_early_does_not_stand_for_the_one_to_come() -> None:
    clock = VirtualClock()
    pods = Pods(clock, iter([1.0]))
    pod = placed("p")
    pods.cache.have([pod])
    playing = asyncio.get_running_loop().create_task(pods.play())

    def phase() -> str:
        there = pods.cache.get(Key("d", "p"))
        return there.status.phase if there is not None else ""

    pods.hear(pod)
    await clock.advance(2.5)  # telling took a second: the next look is due after three, though it starts after two
    pods.hear(pod)
    await clock.advance(0.1)
    assert phase() == "Running"
    await clock.advance(100)
    assert phase() == "Succeeded"
    playing.cancel()


async def test_a_pod_waits_for_an_address_until_another_has_ended() -> None:
    clock = VirtualClock()
    pods = Pods(clock, iter(()))
    for name in "abc":
        pods.cache.have([placed(name)])
    playing = asyncio.get_running_loop().create_task(pods.play())

    def phases() -> list[str]:
        return sorted(pod.status.phase for pod in pods.cache.items())

    await clock.advance(50)
    assert phases() == ["Pending", "Running", "Running"]
    await clock.advance(100)  # the node has two addresses
    assert phases() == ["Running", "Succeeded", "Succeeded"]
    playing.cancel()


def running_from_before(name: str, address: str) -> core.Pod:
    """A pod that an earlier process began to play."""
    began = core.ContainerState(running=core.ContainerStateRunning(started_at="2026-01-01T00:00:00Z"))
    old = placed(name)
    old.status.phase, old.status.pod_ip = "Running", address
    old.status.container_statuses = [core.ContainerStatus(name="c", ready=True, state=began)]
    return old


async def test_the_address_of_one_that_goes_before_it_was_played_is_free_again() -> None:
    pods = Pods(VirtualClock(), iter(()))
    pods.cache.have([running_from_before("old", "192.0.2.1")])
    assert pods._address(placed("new")) == "192.0.2.2"
    pods.cache.clear()
    assert pods._address(placed("other")) == "192.0.2.1"


async def test_a_new_pod_does_not_get_the_address_of_one_that_runs_from_before() -> None:
    clock = VirtualClock()
    pods = Pods(clock, iter(()))
    old = running_from_before("old", "192.0.2.1")
    pods.cache.have([placed("new"), old])
    playing = asyncio.get_running_loop().create_task(pods.play())
    await clock.advance(1)
    assert {uid: life.address for uid, life in pods._lives.items()} == {
        "uid-new": "192.0.2.2",
        "uid-old": "192.0.2.1",
    }
    playing.cancel()


async def test_a_pod_that_cannot_be_played_keeps_nobody_from_it() -> None:
    clock = VirtualClock()

    class Stumbling(Pods):
        async def _show(self, pod: core.Pod, *rest: Any, **more: Any) -> core.PodStatus:
            if pod.metadata.name == "bad":
                raise ValueError(pod.metadata.name)
            return await super()._show(pod, *rest, **more)

    pods = Stumbling(clock, iter(()))
    pods.cache.have([placed("bad"), placed("good")])
    playing = asyncio.get_running_loop().create_task(pods.play())
    await clock.advance(50)
    assert {pod.metadata.name: pod.status.phase for pod in pods.cache.items()} == {
        "bad": "Pending",
        "good": "Running",
    }
    playing.cancel()
