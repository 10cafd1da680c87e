"""Who is told what would help, and how often; and the parts of a score."""

from typing import Any

import numpy as np
import pytest
from tests.scheduler.scheduling import node, pod

from bireme.aio.clock import VirtualClock
from bireme.api.kinds import core, meta
from bireme.ledger.ledger import Ledger
from bireme.scheduler.adviser import BURST, LONGEST, REASON, Adviser, advice_text
from bireme.scheduler.nodes import Nodes
from bireme.scheduler.points import places
from bireme.scheduler.profile import DEFAULT, Profile, Scorer
from bireme.scheduler.report import AdviceLine, GroupLine, NodeLine
from bireme.scheduler.templates import Templates, no_selector
from bireme.scheduler.world import World


class Told:
    """An event recorder that keeps what it is told."""

    def __init__(self) -> None:
        self.events: list[tuple[str, str]] = []

    def event(self, about: core.Pod, type: str, reason: str, message: str) -> None:
        assert (type, reason) == ("Normal", REASON)
        self.events.append((about.metadata.name, message))


class Room:
    """Two small nodes and an adviser."""

    def __init__(self) -> None:
        self.clock, self.told = VirtualClock(), Told()
        self.world = World(Ledger())
        for name in ("a", "b"):
            self.world.set_node(node(name))
        recorder: Any = self.told
        self.adviser = Adviser(self.world, recorder, self.clock, (DEFAULT,), default_selector=no_selector)

    def tell(self, name: str, refusal: str = "no") -> None:
        waiting = pod(name, cpu="5", scheduler="default-scheduler")
        waiting.metadata.uid = name
        self.adviser.tell(waiting, refusal)


@pytest.fixture
def room() -> Room:
    return Room()


def test_a_pod_is_told_once_and_again_when_the_reason_changes(room: Room) -> None:
    room.tell("p")
    room.tell("p")
    assert [name for name, _ in room.told.events] == ["p"]
    assert "ask for 1 less cpu (4 instead of 5) (then a and 1 more would do)" in room.told.events[0][1]
    assert "a: cpu: wants 5, free 4 of 4." in room.told.events[0][1]
    room.tell("p", "no, and worse")
    assert len(room.told.events) == 2


async def test_of_a_crowd_a_few_are_told(room: Room) -> None:
    for number in range(1000):
        room.tell(f"p{number}")
    assert len(room.told.events) == BURST
    await room.clock.advance(1.0)
    for number in range(1000):
        room.tell(f"p{number}")
    assert len(room.told.events) == BURST + 2


def test_nothing_is_left_behind_in_the_world(room: Room) -> None:
    nodes, position = room.world.nodes.version, room.world.ledger.columns.position
    room.tell("p")
    assert (room.world.nodes.version, room.world.ledger.columns.position) == (nodes, position)


def test_the_text_is_short_and_whole() -> None:
    lines = tuple(NodeLine(f"node-{number}", "x" * 300) for number in range(9))
    text = advice_text([GroupLine("r", "R", 9, lines)], [AdviceLine("do this", (), ("n",))])
    assert text.startswith("What would help: do this (then n would do). node-0: ")
    assert len(text.encode()) <= LONGEST
    assert text.endswith(".")
    assert len(advice_text([], [AdviceLine("é" * 2000, (), ("n",))]).encode()) <= LONGEST


def test_the_parts_of_a_score_add_up() -> None:
    world = World(Ledger())
    for name, cpu in (("a", "4"), ("b", "8"), ("c", "1")):
        made = node(name, cpu=cpu)
        if name == "b":
            made.spec = core.NodeSpec(taints=[core.Taint(key="k", effect="PreferNoSchedule")])
        world.set_node(made)

    def own(pod: core.Pod, nodes: Nodes) -> np.ndarray[Any, np.dtype[np.float64]]:
        return np.arange(nodes.capacity, dtype=np.float64) % 100

    profile = Profile(scorers=(Scorer("own", weight=5, score=own),))
    wanting = pod("p", cpu="2")
    wanting.metadata = meta.ObjectMeta(name="p", uid="p", namespace="default")
    found = places(world, profile, wanting)
    scores = Templates(world, profile).of(wanting).scores(pod=wanting)
    assert [world.ledger.columns.nodes[place.row] for place in found] == ["a", "b"]
    for place in found:
        assert place.total == scores[place.row] == sum(part.points * part.weight for part in place.parts)
    assert {part.name: part.points for part in found[1].parts}["own"] == found[1].row % 100
