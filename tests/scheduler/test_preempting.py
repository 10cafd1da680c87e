"""Who has to go where other pods, ports, rules and pods that are yet to come have a say."""

from collections.abc import Collection, Sequence

from tests.scheduler.small_pods import HOST, ROOM, pod

from bireme.api.kinds import core
from bireme.ledger.ledger import Ledger
from bireme.scheduler.configuration import Settings
from bireme.scheduler.cycle import Cycle, Refused
from bireme.scheduler.interface import Lack, Mask, Rule, Stop
from bireme.scheduler.nodes import NodeFacts
from bireme.scheduler.world import World


class Setting:
    """A cycle over nodes with room for four pods."""

    def __init__(self, *names: str, rules: Sequence[Rule] = ()) -> None:
        self.world = World(Ledger())
        self.cycle = Cycle(self.world, Settings(), rules=rules, default_selector=lambda pod: None)
        for name in names:
            self.world.set_facts(NodeFacts(name, {HOST: name}), ROOM)

    def place(self, node: str, *pods: core.Pod) -> None:
        for each in pods:
            self.world.place(each, node)

    def refused(self, wanted: core.Pod) -> Refused:
        wanted.spec.scheduler_name = "default-scheduler"
        list(self.cycle.preempting.warm())
        decision = self.cycle.decide(wanted)
        assert isinstance(decision, Refused)
        return decision

    def victims(self, wanted: core.Pod) -> tuple[str, list[str]] | None:
        choice = self.refused(wanted).choice
        if choice is None:
            return None
        return self.world.ledger.columns.nodes[choice.row], [victim.name for victim in choice.victims]


def test_only_those_that_the_pod_cannot_stand_must_go() -> None:
    setting = Setting("n")
    setting.place("n", pod("x", cpu=100, app="x"), pod("other", cpu=100, priority=-5))
    assert setting.victims(pod("p", priority=10, apart="x")) == ("n", ["x"])


def test_those_that_cannot_stand_the_pod_must_go() -> None:
    setting = Setting("n", "m")
    setting.place("n", pod("shy", cpu=100, app="z", apart="web"), pod("top", cpu=3800, priority=50))
    setting.place("m", pod("a", cpu=2000, priority=5), pod("b", cpu=2000, priority=5))
    assert setting.victims(pod("p", cpu=100, priority=10, app="web")) == ("n", ["shy"])


def test_a_friend_is_not_evicted() -> None:
    setting = Setting("n", "m")
    setting.place("n", pod("friend", cpu=3500, app="friend"))
    setting.place("m", pod("stranger", cpu=4000))
    assert setting.victims(pod("p", priority=10, near="friend")) is None


def test_a_port_is_made_free() -> None:
    def holding(name: str, *, priority: int) -> core.Pod:
        made = pod(name, cpu=100, priority=priority)
        made.spec.containers[0].ports = [core.ContainerPort(container_port=80, host_port=80, protocol="TCP")]
        return made

    setting = Setting("n")
    setting.place("n", holding("web", priority=0), pod("other", cpu=100))
    assert setting.victims(holding("p", priority=10)) == ("n", ["web"])


def test_what_was_made_free_for_another_is_not_counted_twice() -> None:
    setting = Setting("n", "m")
    setting.place("n", pod("a", cpu=2000), pod("b", cpu=2000))
    setting.place("m", pod("c", cpu=4000, priority=5))
    setting.cycle.nominated.set(pod("first", cpu=2000, priority=10), "n")
    assert setting.victims(pod("second", cpu=2000, priority=10)) == ("n", ["a", "b"])
    setting.cycle.nominated.set(pod("third", cpu=2000, priority=10), "n")
    assert setting.victims(pod("fourth", cpu=2000, priority=10)) == ("m", ["c"])


class Tenant:
    """A rule by which one node at most has pods of an app: it yields to evictions."""

    def __init__(self) -> None:
        self.holders: dict[str, set[str]] = {}
        self.setting: Setting | None = None

    def concerns(self, pod: core.Pod) -> bool:
        return pod.metadata.labels["app"] == "tenant"

    def look(self, pod: core.Pod) -> Sequence[Mask] | Stop:
        assert self.setting is not None
        columns = self.setting.world.ledger.columns
        allowed = columns.live.copy()
        for node in self.holders:
            allowed[columns.rows[node]] = False
        return [Mask(allowed, lambda row: "occupied", Lack.VOLUMES, curable=True)]

    def reserve(self, pod: core.Pod, node: str) -> bool:
        return True

    async def prepare(self, pod: core.Pod, node: str) -> None: ...

    def release(self, pod: core.Pod) -> None: ...

    def would_allow(self, pod: core.Pod, node: str, gone: Collection[str]) -> bool:
        return self.holders.get(node, set()) <= set(gone)


def test_a_rule_that_yields_is_asked_about_each_eviction() -> None:
    rule = Tenant()
    setting = rule.setting = Setting("n", rules=[rule])
    setting.place("n", pod("old", cpu=100), pod("lodger", cpu=100))
    rule.holders["n"] = {"old"}
    assert setting.victims(pod("p", priority=10, app="tenant")) == ("n", ["old"])


def test_what_is_said_when_nobody_can_be_evicted() -> None:
    setting = Setting("a", "b", "c")
    setting.place("a", pod("equal", cpu=4000, priority=10))
    setting.place("b", pod("low", cpu=1000), pod("top", cpu=3000, priority=50))
    setting.world.set_facts(NodeFacts("c", {}, unschedulable=True), ROOM)
    assert setting.refused(pod("p", cpu=2000, priority=10)).text == (
        "0/3 nodes are available: 1 node(s) were unschedulable, 2 Insufficient cpu. preemption: 0/3 nodes are "
        "available: 1 Insufficient cpu, 1 No preemption victims found for incoming pod, "
        "1 Preemption is not helpful for scheduling."
    )


def test_twins_get_the_answer_of_the_last_until_something_changes() -> None:
    setting = Setting("n")
    setting.place("n", pod("full", cpu=4000, priority=20))
    first = setting.refused(pod("p", priority=10))
    assert setting.refused(pod("twin", priority=10)) is first
    assert setting.refused(pod("lower", priority=9)) is not first
    setting.place("n", pod("more", cpu=0, priority=20))
    again = setting.refused(pod("p", priority=10))
    assert again is not first
    assert again.text == first.text
