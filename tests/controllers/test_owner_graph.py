"""The collector's decisions, and ten thousand random graphs in which no living child may be deleted."""

import random
from dataclasses import replace

import pytest

from bireme.api.kinds.meta import OwnerReference
from bireme.controllers.owner_graph import FOREGROUND, ORPHAN, Act, Graph, Node, State, Verdict, judge, propagation


def reference(uid: str, *, name: str = "", block: bool | None = None, kind: str = "Thing") -> OwnerReference:
    return OwnerReference(api_version="g/v1", kind=kind, name=name or uid, uid=uid, block_owner_deletion=block)


def thing(uid: str, *owners: OwnerReference, going: bool = False, finalizers: tuple[str, ...] = ()) -> Node:
    return Node(uid, "g", "v1", "Thing", "ns", uid, owners, is_going=going, finalizers=frozenset(finalizers))


A, B = reference("a"), reference("b")


@pytest.mark.parametrize(
    ("states", "has_dependents", "expected"),
    [
        pytest.param([State.SOLID, State.SOLID], False, Verdict(Act.KEEP), id="all owners live"),
        pytest.param([State.SOLID, State.GONE], True, Verdict(Act.DETACH, (A,)), id="one lives, one is gone"),
        pytest.param([State.SOLID, State.WAITING], False, Verdict(Act.DETACH, (A,)), id="one lives, one waits"),
        pytest.param([State.GONE, State.GONE], True, Verdict(Act.DELETE), id="all are gone"),
        pytest.param([State.GONE, State.WAITING], False, Verdict(Act.DELETE), id="the last one waits for it"),
        pytest.param([State.WAITING, State.GONE], True, Verdict(Act.DELETE_FOREGROUND), id="its own go first"),
    ],
)
def test_judge(states: list[State], has_dependents: bool, expected: Verdict) -> None:
    by_uid = dict(zip("ab", states, strict=True))
    assert judge([A, B], lambda item: by_uid[item.uid], has_dependents=has_dependents) == expected


def test_without_owners_nothing_follows() -> None:
    assert judge([], lambda item: State.GONE, has_dependents=False) == Verdict(Act.KEEP)


def test_a_circle_that_goes_in_the_foreground_does_not_wait_for_itself() -> None:
    graph = Graph()
    names = "abc"
    for number, uid in enumerate(names):
        owner = reference(names[number - 1], block=True)
        graph.change(None, thing(uid, owner, going=True, finalizers=(FOREGROUND,)))
    assert graph.blocking("a") == []
    graph.change(None, thing("d", reference("a", block=True)))
    assert [item.uid for item in graph.blocking("a")] == ["d"]
    assert graph.blocking("b") == []


@pytest.mark.parametrize(
    ("finalizers", "expected"), [((), "Background"), ((FOREGROUND,), "Foreground"), ((ORPHAN,), "Orphan")]
)
def test_propagation(finalizers: tuple[str, ...], expected: str) -> None:
    assert propagation(thing("x", finalizers=finalizers)) == expected


def test_who_is_looked_at() -> None:
    graph = Graph()
    child = thing("c", reference("p", block=True))
    assert graph.change(None, child) == {"c"}  # its owner is not seen: to be verified
    parent = thing("p")
    assert graph.change(None, parent) == set()
    waiting = replace(parent, is_going=True, finalizers=frozenset((FOREGROUND,)))
    assert graph.change(parent, waiting) == {"p", "c"}
    assert [item.uid for item in graph.blocking("p")] == ["c"]
    assert graph.change(child, None) == {"p"}
    assert graph.blocking("p") == []
    assert graph.change(waiting, None) == set()


def test_an_owner_that_goes_sets_its_dependents_free_to_be_judged() -> None:
    graph = Graph()
    parent, child = thing("p"), thing("c", reference("p"))
    graph.change(None, parent)
    assert graph.change(None, child) == set()
    assert graph.change(parent, None) == {"c"}


def test_a_name_taken_again_is_another_object() -> None:
    graph = Graph()
    parent, child = thing("p"), thing("c", reference("p"))
    graph.change(None, parent)
    graph.change(None, child)
    assert graph.change(parent, replace(thing("q"), name="p")) == {"c"}
    assert set(graph.nodes) == {"q", "c"}


def test_a_reference_in_another_spelling_is_verified() -> None:
    graph = Graph()
    graph.change(None, thing("p"))
    assert graph.change(None, thing("c", reference("p", name="other"))) == {"c"}
    assert graph.change(None, thing("d", reference("p", kind="Other"))) == {"d"}
    assert graph.change(None, replace(thing("e", reference("p")), namespace="elsewhere")) == {"e"}


class World:
    """A server and a collector that sees its changes late; deletions are checked as they happen."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.live: dict[str, Node] = {}
        self.graph = Graph()
        self.news: list[tuple[Node | None, Node | None]] = []
        self.queue: set[str] = set()
        self.made = 0

    def write(self, uid: str, new: Node | None) -> None:
        old = self.live.pop(uid, None)
        if new is not None and not (new.is_going and not new.finalizers):
            self.live[uid] = new
            self.news.append((old, new))
        elif old is not None:
            self.news.append((old, None))

    def create(self) -> None:
        self.made += 1
        pool = [*self.live, "never", f"gone{self.made}"]
        owners = self.random.sample(pool, self.random.randint(0, min(3, len(pool))))
        block = self.random.choice([None, True])
        self.write(f"n{self.made}", thing(f"n{self.made}", *(reference(uid, block=block) for uid in owners)))

    def link(self) -> None:
        """Give an object another owner: circles come from here."""
        if len(self.live) > 1:
            below, above = self.random.sample(sorted(self.live), 2)
            node = self.live[below]
            if not node.is_going and all(item.uid != above for item in node.owners):
                owners = (*node.owners, reference(above, block=self.random.choice([None, True])))
                self.write(below, replace(node, owners=owners))

    def delete(self, uid: str, how: str) -> None:
        node = self.live[uid]
        finalizer = {"Foreground": FOREGROUND, "Orphan": ORPHAN}.get(how)
        finalizers = node.finalizers | ({finalizer} if finalizer else set())
        if how == "Background":
            finalizers -= {FOREGROUND, ORPHAN}
        self.write(uid, replace(node, is_going=True, finalizers=frozenset(finalizers)))

    def see(self, most: int) -> None:
        for _ in range(min(most, len(self.news))):
            self.queue |= self.graph.change(*self.news.pop(0))

    def state(self, owner: OwnerReference) -> State:
        above = self.graph.nodes.get(owner.uid) or self.live.get(owner.uid)
        if above is None:
            return State.GONE
        return State.WAITING if above.waits_for_dependents else State.SOLID

    def collect(self) -> None:
        uid = self.random.choice(sorted(self.queue))
        self.queue.discard(uid)
        node, live = self.graph.nodes.get(uid), self.live.get(uid)
        if node is None or live is None:
            return
        if node.orphans_dependents:
            for item in self.graph.dependents(uid):
                if (fresh := self.live.get(item.uid)) is not None:
                    kept = tuple(owner for owner in fresh.owners if owner.uid != uid)
                    self.write(item.uid, replace(fresh, owners=kept))
            self.write(uid, replace(live, finalizers=live.finalizers - {ORPHAN}))
        elif node.waits_for_dependents:
            blocking = [item.uid for item in self.graph.blocking(uid)]
            if not blocking:
                self.write(uid, replace(live, finalizers=live.finalizers - {FOREGROUND}))
            self.queue |= {item for item in blocking if not self.graph.nodes[item].waits_for_dependents}
        elif not live.is_going:
            self.carry_out(live, judge(live.owners, self.state, has_dependents=bool(self.graph.dependents(uid))))

    def carry_out(self, live: Node, verdict: Verdict) -> None:
        if verdict.act is Act.DETACH:
            self.write(live.uid, replace(live, owners=verdict.keep))
        elif verdict.act is not Act.KEEP:
            holding = [owner.uid for owner in live.owners if (o := self.live.get(owner.uid)) and not o.is_going]
            assert not holding, f"{live.uid} was deleted though {holding} live"
            self.delete(live.uid, "Foreground" if verdict.act is Act.DELETE_FOREGROUND else propagation(live))

    def settle(self) -> None:
        for _ in range(5000):
            self.see(1000)
            if not self.queue:
                return
            self.collect()
        raise AssertionError("it never comes to rest")


@pytest.mark.parametrize("block", range(10))
def test_no_living_child_is_deleted_and_no_garbage_stays(block: int) -> None:
    for seed in range(block * 1000, block * 1000 + 1000):
        world = World(seed)
        for _ in range(world.random.randint(5, 25)):
            match world.random.choice("ccclddss*"):
                case "c":
                    world.create()
                case "l":
                    world.link()
                case "d" if world.live:
                    how = world.random.choice(["Background", "Foreground", "Orphan"])
                    world.delete(world.random.choice(sorted(world.live)), how)
                case "s":
                    world.see(world.random.randint(1, 3))
                case _:
                    if world.queue:
                        world.collect()
        world.settle()
        for node in world.live.values():
            assert not node.is_going, f"seed {seed}: {node.uid} never finished"
            owners = [owner for owner in node.owners if owner.uid in world.live]
            assert owners or not node.owners, f"seed {seed}: {node.uid} is garbage"
