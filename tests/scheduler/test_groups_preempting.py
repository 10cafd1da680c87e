"""Groups that make room for themselves as a whole, stay in one domain, and say how it went in their status."""

import asyncio

from tests.scheduler.scheduling import Scheduling, node, pod, scheduling_with_rules

from bireme.api.kinds import core, meta
from bireme.api.kinds import scheduling_v1alpha3 as groups
from bireme.api.kinds.scheduling import PriorityClass

PATIENCE_S = 60
RACK = "example.com/rack"


def member(name: str, *, cpu: str = "4", priority: str = "high") -> core.Pod:
    made = pod(name, cpu=cpu, priority=priority)
    made.spec.scheduling_group = core.PodSchedulingGroup(pod_group_name="gang")
    return made


def gang(
    minimum: int, *, topology: str = "", priority: str = "high", name: str = "gang", whole: bool = False
) -> groups.PodGroup:
    made = groups.PodGroup(metadata=meta.ObjectMeta(name=name, namespace="default"))
    made.spec.priority_class_name = priority
    made.spec.disruption_mode = groups.DisruptionMode(all={}) if whole else None
    made.spec.scheduling_policy.gang = groups.GangSchedulingPolicy(min_count=minimum)
    if topology:
        made.spec.scheduling_constraints = groups.PodGroupSchedulingConstraints(
            topology=[groups.TopologyConstraint(key=topology)]
        )
    return made


def racked(name: str, rack: str, *, cpu: str = "4") -> core.Node:
    made = node(name, cpu=cpu)
    made.metadata.labels = {RACK: rack}
    return made


async def classes(s: Scheduling) -> None:
    for name, value in (("high", 1000), ("low", 10)):
        await s.cluster.client.create(PriorityClass(metadata=meta.ObjectMeta(name=name), value=value))


async def occupied(s: Scheduling, *nodes: core.Node, by: str = "low") -> None:
    """Each node full with one pod of its name."""
    for each in nodes:
        await s.register(each)
        await s.create(pod(f"on-{each.metadata.name}", cpu="4", priority=by))
        assert await s.placed(f"on-{each.metadata.name}") == each.metadata.name


async def said(s: Scheduling, status: str) -> meta.Condition:
    """The group's condition, once it has this status."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            found = await s.cluster.client.get(groups.PodGroup, "gang", namespace="default")
            for each in found.status.conditions:
                if each.type == "PodGroupInitiallyScheduled" and each.status == status:
                    return each
            await asyncio.sleep(0.01)


async def told(s: Scheduling, name: str, text: str) -> None:
    """Return once the pod's condition says so."""
    await s.settled(name, lambda found: any(text in each.message for each in found.status.conditions))


async def leaving(s: Scheduling) -> list[str]:
    page = await s.cluster.client.list(core.Pod, namespace="default")
    return sorted(each.metadata.name for each in page.items if each.metadata.deletion_timestamp)


async def test_a_group_has_as_many_evicted_as_it_needs_and_no_more() -> None:
    async with scheduling_with_rules() as s:
        await classes(s)
        await occupied(s, node("a"), node("b"), node("c"))
        await s.cluster.client.create(gang(2))
        await s.create(member("m1"), member("m2"))
        nodes = {
            (await s.settled(name, lambda found: found.status.nominated_node_name)).status.nominated_node_name
            for name in ("m1", "m2")
        }
        assert len(nodes) == 2
        async with asyncio.timeout(PATIENCE_S):
            while len(await leaving(s)) < 2:
                await asyncio.sleep(0.01)
        assert await leaving(s) == sorted(f"on-{name}" for name in nodes)
        assert (await said(s, "False")).reason == "Unschedulable"
        for name in nodes:
            await s.end(f"on-{name}")
        assert {await s.placed("m1"), await s.placed("m2")} == nodes
        assert (await said(s, "True")).reason == "Scheduled"
        assert await leaving(s) == []


async def test_room_that_was_made_in_vain_is_given_up() -> None:
    async with scheduling_with_rules() as s:
        await classes(s)
        await occupied(s, node("a"), node("b"))
        await s.cluster.client.create(gang(2))
        await s.create(member("m1"), member("m2"))
        for name in ("m1", "m2"):
            await s.settled(name, lambda found: found.status.nominated_node_name)
        await s.end("m2")
        for name in ("a", "b"):
            await s.end(f"on-{name}")
        await s.settled("m1", lambda found: not found.status.nominated_node_name)
        await s.create(pod("modest", cpu="4", priority="low"))
        assert await s.placed("modest")


async def test_room_is_given_up_when_those_who_were_to_make_it_leave_after_the_group_has_broken_up() -> None:
    async with scheduling_with_rules() as s:
        await classes(s)
        await occupied(s, node("a"), node("b"))
        await s.cluster.client.create(gang(2))
        await s.create(member("m1"), member("m2"))
        await said(s, "False")
        for name in ("m1", "m2"):
            await s.settled(name, lambda found: found.status.nominated_node_name)
        await s.end("m2")
        await told(s, "m1", 'pod group "gang" has 1 of 2 pods')
        for name in ("a", "b"):
            await s.end(f"on-{name}")
        await s.settled("m1", lambda found: not found.status.nominated_node_name)


async def test_room_that_is_given_up_goes_to_whoever_waited_for_it_before() -> None:
    async with scheduling_with_rules() as s:
        await classes(s)
        patient = PriorityClass(metadata=meta.ObjectMeta(name="patient"), value=1000, preemption_policy="Never")
        await s.cluster.client.create(patient)
        await occupied(s, node("a"), node("b"))
        await s.create(pod("before", cpu="4", priority="patient"))
        await s.refused("before")
        await s.cluster.client.create(gang(2))
        await s.create(member("m1"), member("m2"))
        for name in ("m1", "m2"):
            await s.settled(name, lambda found: found.status.nominated_node_name)
        await s.end("m2")
        await told(s, "m1", 'pod group "gang" has 1 of 2 pods')
        held = (await s.cluster.client.get(core.Pod, "m1", namespace="default")).status.nominated_node_name
        await s.end(f"on-{held}")
        assert await s.placed("before") == held


async def test_the_room_of_one_member_is_kept_while_that_of_another_is_being_made() -> None:
    async with scheduling_with_rules() as s:
        await classes(s)
        await occupied(s, node("a"), node("b"))
        await s.cluster.client.create(gang(2))
        await s.create(member("m1"), member("m2"))
        m1, m2 = [
            (await s.settled(name, lambda found: found.status.nominated_node_name)).status.nominated_node_name
            for name in ("m1", "m2")
        ]
        await s.settled(f"on-{m2}", lambda found: found.metadata.deletion_timestamp)
        await s.end(f"on-{m1}")
        for other in ("first", "second"):  # the first may come before the member has had another look
            await s.create(pod(other, cpu="4", priority="low"))
            await s.refused(other)
        await s.end(f"on-{m2}")
        assert [await s.placed("m1"), await s.placed("m2")] == [m1, m2]


async def test_what_others_say_of_a_group_is_left_alone() -> None:
    async with scheduling_with_rules() as s:
        await classes(s)
        await s.register(node("a"))
        made = await s.cluster.client.create(gang(1))
        made.status.conditions = [
            meta.Condition(
                type="Other", status="True", reason="Said", message="", last_transition_time="2026-01-01T00:00:00Z"
            )
        ]
        await s.cluster.client.update(made, subresource="status")
        await s.create(member("m1"))
        assert await s.placed("m1") == "a"
        await said(s, "True")
        found = await s.cluster.client.get(groups.PodGroup, "gang", namespace="default")
        assert [each.type for each in found.status.conditions] == ["Other", "PodGroupInitiallyScheduled"]


async def test_nobody_is_evicted_for_a_group_that_would_not_fit_even_then() -> None:
    async with scheduling_with_rules() as s:
        await classes(s)
        await occupied(s, node("a"), node("b"))
        await occupied(s, node("c"), by="high")
        await s.cluster.client.create(gang(3))
        await s.create(member("m1"), member("m2"), member("m3"))
        for name in ("m1", "m2", "m3"):
            await told(s, name, "no room for 3 pods")
        assert (await said(s, "False")).message.startswith(
            '0/3 nodes are available: no room for 3 pods of pod group "gang"'
        )
        assert await leaving(s) == []


async def test_small_pods_are_let_back_when_a_large_one_is_evicted_for_another_member() -> None:
    """The first member alone would have the small pod go; with the large one gone, both members find room."""
    async with scheduling_with_rules() as s:
        await classes(s)
        await s.register(node("a", cpu="8"))
        await s.create(pod("small", cpu="2", priority="low"), pod("large", cpu="6", priority="low"))
        await s.placed("small")
        await s.placed("large")
        await s.cluster.client.create(gang(2))
        await s.create(member("m1", cpu="2"), member("m2", cpu="4"))
        await s.settled("m2", lambda found: found.status.nominated_node_name)
        async with asyncio.timeout(PATIENCE_S):
            while not await leaving(s):
                await asyncio.sleep(0.01)
        assert await leaving(s) == ["large"]
        await s.end("large")
        assert await s.placed("m1") == await s.placed("m2") == "a"


async def test_all_members_are_in_one_domain() -> None:
    async with scheduling_with_rules() as s:
        await classes(s)
        await s.register(
            racked("r1-a", "r1"), racked("r1-b", "r1", cpu="1"), racked("r2-a", "r2"), racked("r2-b", "r2")
        )
        await s.cluster.client.create(gang(2, topology=RACK))
        await s.create(member("m1"), member("m2"))
        assert {await s.placed("m1"), await s.placed("m2")} == {"r2-a", "r2-b"}
        await s.create(member("late"))
        await told(s, "late", "outside the pod group's domain")


async def test_a_group_is_not_split_over_domains() -> None:
    async with scheduling_with_rules() as s:
        await classes(s)
        await s.register(racked("r1-a", "r1"), racked("r2-a", "r2"), node("nowhere"))
        await s.cluster.client.create(gang(2, topology=RACK))
        await s.create(member("m1"), member("m2"))
        await told(s, "m1", f'pod group "gang" together in one {RACK}')
        await s.register(racked("r2-b", "r2"))
        assert {await s.placed("m1"), await s.placed("m2")} == {"r2-a", "r2-b"}


async def test_room_is_made_in_one_domain() -> None:
    async with scheduling_with_rules() as s:
        await classes(s)
        await occupied(s, racked("r1-a", "r1"), racked("r2-a", "r2"))
        await occupied(s, racked("r1-b", "r1"), by="high")
        await s.register(racked("r2-b", "r2"))
        await s.cluster.client.create(gang(2, topology=RACK))
        await s.create(member("m1"), member("m2"))
        async with asyncio.timeout(PATIENCE_S):
            while not await leaving(s):
                await asyncio.sleep(0.01)
        assert await leaving(s) == ["on-r2-a"]
        await s.end("on-r2-a")
        assert {await s.placed("m1"), await s.placed("m2")} == {"r2-a", "r2-b"}


async def test_the_priority_of_the_group_counts_and_not_that_of_its_pods() -> None:
    async with scheduling_with_rules() as s:
        await classes(s)
        await occupied(s, node("a"), node("b"))
        await s.cluster.client.create(gang(1, priority="low"))
        await s.create(member("m1", priority="high"))
        said = await s.refused("m1")
        assert "no room for 1 pods" in said
        assert await leaving(s) == []
        await s.cluster.client.create(gang(1, priority="high", name="urgent"))
        urgent = member("u1", priority="low")
        urgent.spec.scheduling_group = core.PodSchedulingGroup(pod_group_name="urgent")
        await s.create(urgent)
        found = await s.settled("u1", lambda found: found.status.nominated_node_name)
        victim = f"on-{found.status.nominated_node_name}"
        await s.settled(victim, lambda found: found.metadata.deletion_timestamp)
        assert await leaving(s) == [victim]


async def test_a_group_without_a_class_has_no_priority_and_one_that_may_not_preempt_does_not() -> None:
    async with scheduling_with_rules() as s:
        await classes(s)
        gentle = PriorityClass(metadata=meta.ObjectMeta(name="gentle"), value=5000, preemption_policy="Never")
        await s.cluster.client.create(gentle)
        none = await s.cluster.client.create(gang(1, priority="", name="none"))
        assert (none.spec.priority, none.spec.preemption_policy) == (0, "PreemptLowerPriority")
        made = await s.cluster.client.create(gang(1, priority="gentle"))
        assert (made.spec.priority, made.spec.preemption_policy) == (5000, "Never")
        await occupied(s, node("a"))
        await s.create(member("m1", priority="high"))
        await s.refused("m1")
        assert await leaving(s) == []


async def test_a_group_that_is_disrupted_as_a_whole_leaves_every_node() -> None:
    async with scheduling_with_rules() as s:
        await classes(s)
        await s.register(node("a"), node("b"))
        await s.cluster.client.create(gang(2, priority="low", whole=True))
        await s.create(member("m1", priority="low"), member("m2", priority="low"))
        assert {await s.placed("m1"), await s.placed("m2")} == {"a", "b"}
        await s.create(pod("urgent", cpu="4", priority="high"))
        await s.settled("urgent", lambda found: found.status.nominated_node_name)
        for name in ("m1", "m2"):
            await s.settled(name, lambda found: found.metadata.deletion_timestamp)
        async with asyncio.timeout(PATIENCE_S):
            while not (told := await disrupted(s)):
                await asyncio.sleep(0.01)
        assert (told.status, told.reason) == ("True", "PreemptionByScheduler")


async def disrupted(s: Scheduling) -> meta.Condition | None:
    found = await s.cluster.client.get(groups.PodGroup, "gang", namespace="default")
    return next((each for each in found.status.conditions if each.type == "DisruptionTarget"), None)


async def test_a_group_has_another_one_evicted_as_a_whole() -> None:
    """One member would do with the room of one; yet all three of the others leave."""
    async with scheduling_with_rules() as s:
        await classes(s)
        await s.register(node("a"), node("b"), node("c"))
        await s.cluster.client.create(gang(3, priority="low", whole=True))
        low = [member(f"m{number}", priority="low") for number in range(3)]
        await s.create(*low)
        for each in low:
            assert await s.placed(each.metadata.name)
        await s.cluster.client.create(gang(1, name="urgent"))
        urgent = member("u1")
        urgent.spec.scheduling_group = core.PodSchedulingGroup(pod_group_name="urgent")
        await s.create(urgent)
        for each in low:
            await s.settled(each.metadata.name, lambda found: found.metadata.deletion_timestamp)
        await s.end("m0")
        await s.end("m1")
        await s.end("m2")
        assert await s.placed("u1")
