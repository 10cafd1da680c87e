"""Whom a change may help: never no where yes is right, and seldom yes where nothing comes of it."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.scheduler.small_pods import HOST, ROOM, pod

from bireme.api.kinds import core
from bireme.client.informer import Key
from bireme.ledger.ledger import Ledger
from bireme.scheduler.explanation import Explanation
from bireme.scheduler.interface import Lack
from bireme.scheduler.nodes import NodeFacts
from bireme.scheduler.nominated import Nominated
from bireme.scheduler.queue import ALL, Waiting
from bireme.scheduler.templates import Templates
from bireme.scheduler.twins import Changes, Twins, helped
from bireme.scheduler.world import World


class Setting:
    """Nodes with room for four, and a pod that was refused."""

    def __init__(self, *names: str) -> None:
        self.world = World(Ledger())
        self.nominated = Nominated(self.world)
        self.templates = Templates(self.world)
        for name in names:
            self.node(name)

    def node(self, name: str, *, taint: str = "") -> int:
        taints = (core.Taint(key=taint, effect="NoSchedule"),) if taint else ()
        self.world.set_facts(NodeFacts(name, {HOST: name}, taints=taints), ROOM)
        return self.world.nodes.row(name)

    def place(self, node: str, *pods: core.Pod) -> None:
        for each in pods:
            self.world.place(each, node)

    def refused(self, wanted: core.Pod, *, preempts: bool = False) -> Waiting:
        template = self.templates.of(wanted)
        assert template.best() is None
        waiting = Waiting(Key("default", wanted.metadata.name), 0, 0.0)
        waiting.group = Twins(template, wanted.spec.priority or 0, preempts)
        waiting.lack = Explanation(template).lack | Lack.NODE
        return waiting

    def helped(self, waiting: Waiting, changes: Changes) -> int:
        return helped(waiting, changes, self.world, self.nominated) if waiting.lack & changes.lack else 0

    def leave(self, uid: str) -> Changes:
        changes = Changes()
        changes.left(self.world.placed[uid])
        self.world.displace(uid)
        return changes


def test_as_many_are_helped_as_the_freed_node_takes() -> None:
    setting = Setting("n")
    setting.place("n", pod("small", cpu=1000), pod("big", cpu=3000))
    waiting = setting.refused(pod("p", cpu=1500))
    assert setting.helped(waiting, setting.leave("small")) == 0
    assert setting.helped(waiting, setting.leave("big")) == 2


def test_kinds_of_pods_that_only_wait_hold_no_numbers_for_nodes() -> None:
    setting = Setting("n")
    setting.templates = Templates(setting.world, limit=2)
    setting.place("n", pod("big", cpu=4000))
    parked = [setting.refused(pod(f"p{number}", cpu=500 + number)) for number in range(5)]
    changes = setting.leave("big")
    columns = [each.group.template.column for each in parked if isinstance(each.group, Twins)]
    assert [len(column.score) > 0 for column in columns] == [False, False, False, True, True]
    assert [setting.helped(each, changes) for each in parked] == [4000 // (500 + number) for number in range(5)]
    assert [len(column.score) > 0 for column in columns] == [False, False, False, True, True]
    assert all(column.refresh() is None and column.score.max() > 0 for column in columns)


def test_what_a_nominated_pod_is_to_have_helps_nobody_else() -> None:
    setting = Setting("n")
    setting.place("n", pod("victim", cpu=4000))
    waiting = setting.refused(pod("p", cpu=1000))
    setting.nominated.set(pod("urgent", cpu=4000, priority=10), "n")
    changes = setting.leave("victim")
    assert setting.helped(waiting, changes) == 0
    setting.nominated.remove("urgent")
    assert setting.helped(waiting, changes) == 4


def test_a_node_helps_if_it_would_take_the_pod() -> None:
    setting = Setting()
    waiting = setting.refused(pod("p"))
    for taint, count in (("x", 0), ("", 4)):
        changes = Changes()
        changes.node_changed(setting.node(f"n{taint}", taint=taint))
        assert setting.helped(waiting, changes) == count


def test_a_node_full_of_lesser_pods_helps_one_that_may_preempt() -> None:
    setting = Setting("n")
    setting.place("n", pod("top", cpu=2000, priority=100), pod("low", cpu=2000))
    urgent = pod("p", cpu=3000, priority=10)
    waiting, polite = setting.refused(urgent, preempts=True), setting.refused(urgent)
    changes = setting.leave("top")
    assert setting.helped(polite, changes) == 0
    assert setting.helped(waiting, changes) == 1


def test_pods_help_those_whose_terms_are_about_them() -> None:
    setting = Setting("n")
    setting.place("n", pod("x", cpu=0, app="x"), pod("y", cpu=0, app="y"), pod("shy", cpu=0, app="z", apart="q"))
    far, near, shunned = pod("far", apart="x"), pod("near", near="w"), pod("shunned", app="q")
    waiting = {each.metadata.name: setting.refused(each) for each in (far, near, shunned)}
    changes = setting.leave("y")
    assert [name for name, each in waiting.items() if setting.helped(each, changes)] == []
    changes = setting.leave("x")
    assert [name for name, each in waiting.items() if setting.helped(each, changes)] == ["far"]
    del waiting["far"]
    setting.place("n", pod("w", cpu=0, app="w"))
    changes = Changes()
    changes.came(setting.world.placed["w"])
    assert [name for name, each in waiting.items() if setting.helped(each, changes)] == ["near"]
    del waiting["near"]
    changes = setting.leave("shy")
    assert [name for name, each in waiting.items() if setting.helped(each, changes)] == ["shunned"]


def test_an_offer_that_ends_helps_where_there_is_room_now() -> None:
    setting = Setting("n")
    ledger = setting.world.ledger
    assert ledger.try_offer("o", "n", {"cpu": 4000})
    waiting, giant = setting.refused(pod("p")), setting.refused(pod("giant", cpu=9000))
    ledger.release_offer("o")
    changes = Changes()
    changes.offer_ended()
    assert setting.helped(waiting, changes) == ALL
    assert setting.helped(giant, changes) == 0


kinds = st.sampled_from(
    [
        {"cpu": 1000},
        {"cpu": 2500},
        {"cpu": 500, "app": "b", "apart": "a"},
        {"cpu": 500, "app": "c", "near": "b"},
        {"cpu": 1500, "app": "b", "apart": "b"},
    ]
)
steps = st.lists(
    st.tuples(st.sampled_from(["come", "go", "taint", "clear", "leave"]), st.integers(0, 9), kinds), max_size=25
)


@settings(max_examples=150, deadline=None)
@given(steps, st.lists(kinds, min_size=1, max_size=3))
def test_nobody_who_could_be_placed_is_left_waiting(
    history: list[tuple[str, int, dict[str, str]]], wanted: list[dict[str, str]]
) -> None:
    setting = Setting("n0", "n1")
    world = setting.world
    asking = [pod(f"w{number}", **each) for number, each in enumerate(wanted)]  # type: ignore[arg-type]
    for number, (action, value, kind) in enumerate(history):
        parked = [setting.refused(each) for each in asking if setting.templates.of(each).best() is None]
        changes, name = Changes(), f"n{value % 3}"
        if action == "come" and world.nodes.row(name) >= 0:
            setting.place(name, pod(f"p{number}", **kind))  # type: ignore[arg-type]
            changes.came(world.placed[f"p{number}"])
        elif action == "go" and world.placed:
            changes = setting.leave(sorted(world.placed)[value % len(world.placed)])
        elif action in ("taint", "clear"):
            changes.node_changed(setting.node(name, taint="x" if action == "taint" else ""))
        elif action == "leave" and world.nodes.row(name) >= 0:
            world.remove_node(name)
            changes.domains_changed()
        for waiting in parked:
            twins = waiting.group
            assert isinstance(twins, Twins)
            if twins.template.best() is not None:
                assert setting.helped(waiting, changes) > 0


def test_nominated_pods_are_counted_by_row_and_priority() -> None:
    setting = Setting("a", "b")
    nominated = setting.nominated
    nominated.set(pod("x", cpu=1000, priority=5), "a")
    nominated.set(pod("y", cpu=500, priority=9), "a")
    nominated.set(pod("z", cpu=250, priority=9), "b")
    rows = np.array([setting.world.nodes.row("a"), setting.world.nodes.row("b")])

    def cpu(least: int) -> list[int]:
        held = nominated.held(rows, least=least)
        return [] if held is None else held[:, 0].tolist()

    assert cpu(5) == [1500, 250]
    assert cpu(6) == [500, 250]
    assert cpu(10) == []
    setting.world.set_facts(NodeFacts("a", {HOST: "a"}), {**ROOM, "example.com/gpu": 1})
    assert cpu(5) == [1500, 250], "a resource more"
    nominated.set(pod("x", cpu=1000, priority=5), "b")
    assert cpu(5) == [500, 1250]
    assert [each.uid for each in nominated.on("b", least=6)] == ["z"]
    assert [each.uid for each in nominated.forget_node("b")] == ["z", "x"]
    assert cpu(5) == [500, 0]
    assert nominated.node_of("x") == ""


def test_a_nominated_pod_holds_its_room_on_a_node_that_comes_later() -> None:
    setting = Setting()
    nominated = setting.nominated
    nominated.set(pod("urgent", cpu=4000, priority=10), "late")
    setting.world.set_facts(NodeFacts("late", {HOST: "late"}), ROOM)
    nominated.node_came("late")
    template = setting.templates.of(pod("p"))
    assert nominated.mask(template, least=0, but="p") is not None
    nominated.remove("urgent")
    assert nominated.mask(template, least=0, but="p") is None
    assert nominated._levels == {}
