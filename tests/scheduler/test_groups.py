"""Pod groups over the real API, placed by a few lines that stand for a scheduler: all of a group, or none of it."""

import asyncio
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import orjson
import pytest
import yaml
from tests.scheduler.rule_world import World, until, world

from bireme.api.kinds import core, meta
from bireme.api.kinds import scheduling_v1alpha3 as scheduling
from bireme.client.client import Client
from bireme.client.informer import Informer
from bireme.scheduler import groups
from bireme.scheduler.groups import PodGroups
from bireme.scheduler.groups_kinds import CUSTOM, LABEL, CustomPodGroup, CustomPodGroupSpec
from bireme.scheduler.interface import Lack, Mask, NotReady, Stop

DEFINITION = Path(__file__).parents[2] / "examples" / "pod-groups" / "definition.yaml"


class Slots:
    """A cluster of places, each for one pod, and the turns of a scheduler over it."""

    def __init__(self, there: World) -> None:
        self.told: list[Lack] = []
        self.rule = PodGroups(
            there.client,
            pods=there.pods,
            clock=there.clock,
            nodes=there.nodes,
            told=lambda lack, helps: self.told.append(lack),
        )
        self.room = 0
        self.taken: dict[str, core.Pod] = {}
        self.rule.trial = self.trial
        self.trials = 0

    def trial(self, pods: Sequence[core.Pod], wanted: int, within: Mask | None) -> bool:
        self.trials += 1
        return min(len(pods), self.room - len(self.taken)) >= wanted

    def place(self, pod: core.Pod) -> str:
        """The pod's turn: "" when it holds a place, or else why not."""
        said = self.rule.look(pod)
        if isinstance(said, Stop):
            self.rule.refused(pod)
            return said.message
        if len(self.taken) >= self.room:
            self.rule.refused(pod)
            return "no room"
        assert self.rule.reserve(pod, "n")
        self.taken[pod.metadata.uid] = pod
        return ""

    def give_back(self, pod: core.Pod) -> None:
        self.taken.pop(pod.metadata.uid, None)
        self.rule.release(pod)


def make(there: World) -> Any:
    slots = Slots(there)
    informers: tuple[Informer[Any], ...] = (slots.rule.caches.builtin, slots.rule.caches.definitions)
    return slots, informers


async def gang(there: World, slots: Slots, name: str, minimum: int) -> None:
    policy = scheduling.PodGroupSchedulingPolicy(gang=scheduling.GangSchedulingPolicy(min_count=minimum))
    await there.admin.create(
        scheduling.PodGroup(
            metadata=meta.ObjectMeta(name=name, namespace="default"),
            spec=scheduling.PodGroupSpec(scheduling_policy=policy),
        )
    )
    await until(lambda: any(each.metadata.name == name for each in slots.rule.caches.builtin.items()))


async def members(there: World, group: str, count: int, *, label: bool = False, prefix: str = "") -> list[core.Pod]:
    made = []
    for number in range(count):
        spec = core.PodSpec(containers=[core.Container(name="c", image="i")])
        metadata = meta.ObjectMeta(name=f"{prefix or group}-{number}", namespace="default")
        if label:
            metadata.labels = {LABEL: group}
        else:
            spec.scheduling_group = core.PodSchedulingGroup(pod_group_name=group)
        made.append(await there.admin.create(core.Pod(metadata=metadata, spec=spec)))
    await until(lambda: {pod.metadata.uid for pod in made} <= {pod.metadata.uid for pod in there.pods.items()})
    return made


async def test_enough_members_go_together() -> None:
    async with world(make) as (there, slots), asyncio.TaskGroup() as tasks:
        slots.room = 5
        await gang(there, slots, "g", 3)
        pods = await members(there, "g", 3)
        assert slots.place(pods[0]) == ""
        assert slots.place(pods[1]) == ""
        waiting = tasks.create_task(slots.rule.prepare(pods[0], "n"))
        await asyncio.sleep(0)
        assert not waiting.done()
        assert slots.place(pods[2]) == ""
        others = [tasks.create_task(slots.rule.prepare(pod, "n")) for pod in pods[1:]]
        async with asyncio.timeout(60):
            await asyncio.wait([waiting, *others])
        for pod in pods:
            await there.bind(pod, "n")
        (late,) = await members(there, "g", 1, prefix="late")
        assert slots.place(late) == ""
        await slots.rule.prepare(late, "n")


async def test_a_group_waits_for_its_members_and_for_room() -> None:
    async with world(make) as (there, slots):
        early = await members(there, "g", 2)
        assert slots.place(early[0]) == '0/0 nodes are available: pod group "g" not found.'
        await gang(there, slots, "g", 3)
        assert slots.place(early[0]) == '0/0 nodes are available: pod group "g" has 2 of 3 pods.'
        pods = early + await members(there, "g", 1, prefix="more")
        assert Lack.GROUP in slots.told
        slots.room = 2
        text = '0/0 nodes are available: no room for 3 pods of pod group "g" together.'
        assert slots.place(pods[0]) == text
        assert not slots.taken
        slots.room = 3
        assert [slots.place(pod) for pod in pods] == ["", "", ""]


async def test_a_group_that_does_not_fit_after_all_lets_go() -> None:
    async with world(make) as (there, slots), asyncio.TaskGroup() as tasks:
        slots.room = 3
        await gang(there, slots, "g", 3)
        pods = await members(there, "g", 3)
        assert slots.place(pods[0]) == ""
        failing = tasks.create_task(_fails(slots, pods[0]))
        await asyncio.sleep(0)
        slots.room = 1  # somebody was faster
        assert slots.place(pods[1]) == "no room"
        async with asyncio.timeout(60):
            await failing
        assert not slots.taken
        slots.room = 3
        assert [slots.place(pod) for pod in pods] == ["", "", ""]


async def _fails(slots: Slots, pod: core.Pod) -> None:
    with pytest.raises(NotReady, match="could not be placed together"):
        await slots.rule.prepare(pod, "n")
    slots.give_back(pod)


async def test_two_groups_that_both_want_the_last_room_do_not_block_each_other() -> None:
    async with world(make) as (there, slots):
        slots.room = 3
        await gang(there, slots, "one", 2)
        await gang(there, slots, "two", 2)
        first, second = await members(there, "one", 2), await members(there, "two", 2)
        assert slots.place(first[0]) == ""
        assert slots.place(second[0]) == '0/0 nodes are available: pod group "one" is being placed.'
        assert slots.place(first[1]) == ""
        text = '0/0 nodes are available: no room for 2 pods of pod group "two" together.'
        assert slots.place(second[0]) == text
        async with asyncio.timeout(60), asyncio.TaskGroup() as tasks:
            for pod in first:
                tasks.create_task(slots.rule.prepare(pod, "n"))
        for pod in first:
            await there.bind(pod, "n")
        slots.room = 4
        assert [slots.place(pod) for pod in second] == ["", ""]
        assert Counter(pod.spec.scheduling_group.pod_group_name for pod in slots.taken.values()) == {
            "one": 2,
            "two": 2,
        }


async def test_the_custom_kind_counts_once_it_is_defined() -> None:
    async with world(make) as (there, slots), asyncio.TaskGroup() as tasks:
        following = tasks.create_task(slots.rule.caches.run_custom())
        slots.room = 1
        (alone,) = await members(there, "old", 1, label=True, prefix="alone")
        assert slots.place(alone) == ""  # a label that names no group is a label
        slots.give_back(alone)
        await define(there.admin)
        group = CustomPodGroup(
            metadata=meta.ObjectMeta(name="old", namespace="default"),
            spec=CustomPodGroupSpec(min_member=2, schedule_timeout_seconds=1),
        )
        there.admin.scheme.add(CUSTOM)
        await there.admin.create(group)
        await until(lambda: slots.rule.caches.custom.items())
        assert slots.place(alone) == '0/0 nodes are available: pod group "old" has 1 of 2 pods.'
        (other,) = await members(there, "old", 1, label=True, prefix="other")
        slots.room = 2
        assert slots.place(alone) == ""
        with pytest.raises(TimeoutError, match="was not complete in 1 s"):
            await slots.rule.prepare(alone, "n")
        slots.give_back(alone)
        assert slots.place(other) == ""
        following.cancel()


async def define(admin: Client) -> None:
    """Bring the definition of the example, and wait until it is served."""
    body = orjson.dumps(yaml.safe_load(DEFINITION.read_text()))
    path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
    await admin.request("POST", path, headers={"content-type": "application/json"}, body=body)

    async def served() -> bool:
        name = "podgroups.scheduling.x-k8s.io"
        tree = orjson.loads((await admin.request("GET", f"{path}/{name}")).body)
        conditions = (tree.get("status") or {}).get("conditions") or ()
        return any(each["type"] == "Established" and each["status"] == "True" for each in conditions)

    await until(served)


async def test_members_are_sorted_when_one_of_them_changed_and_not_at_every_look(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sorted_times = Counter[str]()

    def counting(pods: Iterable[core.Pod]) -> groups.Members:
        sorted_times["all"] += 1
        return sort_members(pods)

    sort_members = groups.sort_members
    monkeypatch.setattr(groups, "sort_members", counting)
    async with world(make) as (there, slots):
        slots.room = 3
        await gang(there, slots, "g", 3)
        pods = await members(there, "g", 3)
        sorted_times.clear()
        assert [slots.place(pod) for pod in pods] == ["", "", ""]
        assert sorted_times["all"] == 1
