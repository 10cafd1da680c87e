"""The scheduler over the real API in this process: pods get nodes, reasons, and room from offers and other pods."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace

from tests.scheduler.scheduling import condition, node, pod, scheduling_alone

from bireme.api.errors import ServiceUnavailable
from bireme.api.kinds import core, meta, scheduling
from bireme.client.client import Patch
from bireme.scheduler.configuration import Settings
from bireme.scheduler.interface import Lack, Mask, Stop
from bireme.scheduler.profile import DEFAULT

NO_CPU = "0/1 nodes are available: 1 Insufficient cpu."
NOBODY = " preemption: 0/1 nodes are available: 1 No preemption victims found for incoming pod."


def priority(name: str, value: int, *, policy: str = "") -> scheduling.PriorityClass:
    return scheduling.PriorityClass(metadata=meta.ObjectMeta(name=name), value=value, preemption_policy=policy)


LOW, HIGH = priority("low", 10), priority("high", 1000)


async def test_pods_go_where_there_is_most_room() -> None:
    async with scheduling_alone() as s:
        await s.register(node("small", cpu="2"), node("large", cpu="8"))
        await s.create(*(pod(f"p{number}") for number in range(3)))
        assert {await s.placed(f"p{number}") for number in range(3)} == {"large"}
        assert s.ledger.free("large")["cpu"] == 5000
        assert s.scheduler.statistics().placed == 3


async def test_a_pod_without_room_says_why_and_is_placed_when_there_is_some() -> None:
    async with scheduling_alone() as s:
        await s.register(node("n", cpu="1"))
        await s.create(pod("first"))
        await s.placed("first")
        await s.create(pod("second"))
        assert await s.refused("second") == NO_CPU + NOBODY
        await s.end("first")
        assert await s.placed("second") == "n"


async def test_a_cluster_without_nodes_waits_for_one() -> None:
    async with scheduling_alone() as s:
        await s.create(pod("p"))
        assert await s.refused("p") == "no nodes available to schedule pods"
        await s.register(node("n"))
        assert await s.placed("p") == "n"


async def test_a_new_node_wakes_those_it_can_take_and_no_others() -> None:
    async with scheduling_alone() as s:
        await s.register(node("n", cpu="1"))
        await s.create(pod("medium", cpu="2"), pod("giant", cpu="64"))
        await s.refused("medium")
        await s.refused("giant")
        before = s.scheduler.statistics().refused
        await s.register(node("m", cpu="4"))
        assert await s.placed("medium") == "m"
        assert s.scheduler.statistics().refused == before


async def test_offers_in_the_way_are_asked_back() -> None:
    asked = asyncio.Event()
    async with scheduling_alone(ask_for_room=asked.set) as s:
        await s.register(node("n", cpu="1"))
        async with asyncio.timeout(60):
            while not s.ledger.try_offer("o", "n", {"cpu": 1000}):
                await asyncio.sleep(0.01)
            await s.create(pod("p"))
            await asked.wait()
        s.ledger.release_offer("o")
        assert await s.placed("p") == "n"


async def test_nobody_is_asked_for_room_that_would_not_help() -> None:
    asked: list[int] = []
    async with scheduling_alone(ask_for_room=lambda: asked.append(1)) as s:
        await s.register(node("n", cpu="1"))
        async with asyncio.timeout(60):
            while not s.ledger.try_offer("o", "n", {"cpu": 500}):
                await asyncio.sleep(0.01)
        await s.create(pod("giant", cpu="100"))
        await s.refused("giant")
        assert asked == []


async def test_a_gated_pod_waits_without_a_word_until_its_gate_is_gone() -> None:
    async with scheduling_alone() as s:
        await s.register(node("n"))
        gated = pod("p")
        gated.spec.scheduling_gates = [core.PodSchedulingGate(name="example.com/gate")]
        await s.create(gated, pod("free"))
        await s.placed("free")
        found = await s.cluster.client.get(core.Pod, "p", namespace="default")
        said = condition(found, "PodScheduled")
        assert said is not None
        assert (said.status, said.reason) == ("False", "SchedulingGated")
        patch = [{"op": "remove", "path": "/spec/schedulingGates"}]
        await s.cluster.client.patch(core.Pod, "p", patch, namespace="default", how=Patch.JSON)
        assert await s.placed("p") == "n"
        assert await s.events("FailedScheduling") == []


async def test_each_profile_places_its_own_pods() -> None:
    packing = replace(DEFAULT, name="packing")
    async with scheduling_alone(settings=Settings(profiles=(DEFAULT, packing))) as s:
        await s.register(node("n"))
        await s.create(pod("a"), pod("b", scheduler="packing"), pod("c", scheduler="another"))
        assert await s.placed("a") == await s.placed("b") == "n"
        found = await s.cluster.client.get(core.Pod, "c", namespace="default")
        assert not found.spec.node_name
        assert not found.status.conditions


async def test_a_pod_evicts_a_lesser_one() -> None:
    async with scheduling_alone() as s:
        await s.register(node("n", cpu="1"))
        await s.create(LOW, HIGH)
        victim = pod("victim", priority="low")
        victim.metadata.finalizers = ["example.com/keep"]
        await s.create(victim)
        await s.placed("victim")
        await s.create(pod("urgent", priority="high"))
        nominated = await s.settled("urgent", lambda found: found.status.nominated_node_name)
        assert nominated.status.nominated_node_name == "n"
        assert (await s.refused("urgent")).startswith(NO_CPU)  # tried again, it says that it waits for the victim
        ending = await s.settled("victim", lambda found: found.metadata.deletion_timestamp)
        said = condition(ending, "DisruptionTarget")
        assert said is not None
        assert (said.status, said.reason) == ("True", "PreemptionByScheduler")
        assert said.message == "default-scheduler: preempting to accommodate a higher priority pod"
        await s.cluster.client.patch(core.Pod, "victim", {"metadata": {"finalizers": None}}, namespace="default")
        await s.end("victim")
        assert await s.placed("urgent") == "n"
        found = await s.cluster.client.get(core.Pod, "urgent", namespace="default")
        assert not found.status.nominated_node_name
        assert [event.message for event in await s.events("Preempted")] == [
            f"Preempted by pod {found.metadata.uid} on node n"
        ]


async def test_room_that_is_being_made_is_not_given_to_a_lesser_pod() -> None:
    async with scheduling_alone() as s:
        await s.register(node("n", cpu="2"))
        await s.create(LOW, HIGH, pod("victim", cpu="2", priority="low"))
        await s.placed("victim")
        await s.create(pod("urgent", cpu="1500m", priority="high"))
        await s.settled("victim", lambda found: found.metadata.deletion_timestamp)
        await s.create(pod("sneaky", cpu="1", priority="low"))
        await s.refused("sneaky")
        await s.end("victim")
        assert await s.placed("urgent") == "n"
        found = await s.cluster.client.get(core.Pod, "sneaky", namespace="default")
        assert not found.spec.node_name


async def test_a_higher_pod_takes_over_what_was_made_free_for_another() -> None:
    async with scheduling_alone() as s:
        await s.register(node("n", cpu="1"))
        await s.create(LOW, HIGH, priority("top", 5000), pod("victim", priority="low"))
        await s.placed("victim")
        await s.create(pod("urgent", priority="high"))
        await s.settled("urgent", lambda found: found.status.nominated_node_name)
        await s.create(pod("top", priority="top"))
        await s.settled("top", lambda found: found.status.nominated_node_name)
        await s.settled("urgent", lambda found: not found.status.nominated_node_name)
        await s.end("victim")
        assert await s.placed("top") == "n"


async def test_one_that_never_preempts_waits() -> None:
    async with scheduling_alone() as s:
        await s.register(node("n", cpu="1"))
        await s.create(LOW, priority("polite", 1000, policy="Never"), pod("low", priority="low"))
        await s.placed("low")
        await s.create(pod("polite", priority="polite"))
        said = await s.refused("polite")
        assert said == f"{NO_CPU} preemption: not eligible due to preemptionPolicy=Never."
        found = await s.cluster.client.get(core.Pod, "low", namespace="default")
        assert not found.metadata.deletion_timestamp


class Leash:
    """A rule that keeps pods off all nodes until it lets go, and whose preparation fails at first."""

    def __init__(self) -> None:
        self.holds, self.fails = True, 1
        self.done: list[str] = []

    def concerns(self, pod: core.Pod) -> bool:
        return pod.metadata.labels.get("app") == "leashed"

    def look(self, pod: core.Pod) -> Sequence[Mask] | Stop:
        self.done.append("look")
        return Stop("held back", Lack.VOLUMES) if self.holds else ()

    def reserve(self, pod: core.Pod, node: str) -> bool:
        self.done.append(f"reserve {node}")
        return True

    async def prepare(self, pod: core.Pod, node: str) -> None:
        self.done.append(f"prepare {node}")
        self.fails -= 1
        if self.fails >= 0:
            raise ServiceUnavailable("try again")

    def release(self, pod: core.Pod) -> None:
        self.done.append("release")


async def test_a_rule_is_asked_at_every_step() -> None:
    leash = Leash()
    async with scheduling_alone(rules=[leash]) as s:
        await s.register(node("n"))
        await s.create(pod("free"), pod("p", labels="leashed"))
        assert await s.placed("free") == "n"
        assert (await s.refused("p")).startswith("held back preemption: 0/1 nodes are available: 1 Preemption is not")
        s.scheduler.wake(Lack.DEVICES)
        s.scheduler.wake(Lack.VOLUMES, helps=lambda pod: pod.metadata.name == "another")
        leash.holds = False
        s.scheduler.wake(Lack.VOLUMES, helps=lambda pod: pod.metadata.name == "p")
        assert await s.placed("p") == "n"
        steps = ["look", "look", "reserve n", "prepare n", "release", "look", "reserve n", "prepare n"]
        assert leash.done == steps


class Slow:
    """A rule that holds up the binding of the pods of an app until it is told."""

    def __init__(self) -> None:
        self.begun, self.go = asyncio.Event(), asyncio.Event()

    def concerns(self, pod: core.Pod) -> bool:
        return pod.metadata.labels.get("app") == "slow"

    def look(self, pod: core.Pod) -> Sequence[Mask] | Stop:
        return ()

    def reserve(self, pod: core.Pod, node: str) -> bool:
        return True

    async def prepare(self, pod: core.Pod, node: str) -> None:
        self.begun.set()
        await self.go.wait()

    def release(self, pod: core.Pod) -> None: ...


async def test_a_pod_that_took_the_name_of_one_being_bound_still_waits() -> None:
    slow = Slow()
    async with scheduling_alone(rules=[slow]) as s, asyncio.timeout(20):
        await s.register(node("n", cpu="1"))
        await s.create(pod("p", labels="slow"))
        await slow.begun.wait()
        await s.end("p")
        await s.create(pod("p", cpu="2"))
        await s.refused("p")
        slow.go.set()
        await s.create(pod("after"))
        await s.placed("after")
        await s.register(node("m", cpu="4"))
        assert await s.placed("p") == "m"


async def test_a_pod_that_is_relabelled_is_in_nobodys_way_any_more() -> None:
    async with scheduling_alone() as s:
        await s.register(node("n"))
        await s.create(pod("first", labels="web"))
        await s.placed("first")
        lonely = pod("lonely")
        selector = meta.LabelSelector(match_labels={"app": "web"})
        term = core.PodAffinityTerm(label_selector=selector, topology_key="kubernetes.io/hostname")
        apart = core.PodAntiAffinity(required_during_scheduling_ignored_during_execution=[term])
        lonely.spec.affinity = core.Affinity(pod_anti_affinity=apart)
        await s.cluster.client.patch(
            core.Node, "n", {"metadata": {"labels": {"kubernetes.io/hostname": "n"}}}, how=Patch.MERGE
        )
        await s.create(lonely)
        assert "anti-affinity" in await s.refused("lonely")
        await s.cluster.client.patch(
            core.Pod, "first", {"metadata": {"labels": {"app": "db"}}}, namespace="default", how=Patch.MERGE
        )
        assert await s.placed("lonely") == "n"
