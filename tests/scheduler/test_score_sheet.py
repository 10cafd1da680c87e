"""Columns that are brought up to date together say what each would say if it were made anew."""

from random import Random

import pytest

from bireme.api.kinds import core, meta
from bireme.ledger.ledger import Ledger
from bireme.scheduler import score_sheet
from bireme.scheduler.nodes import NodeFacts
from bireme.scheduler.templates import Templates
from bireme.scheduler.world import World

NODES, KINDS, STEPS = 150, 12, 400
ROOMY = {"cpu": 4_000, "memory": 8 << 30, "ephemeral-storage": 100 << 30, "pods": 20, "gpu": 2}


def kind(number: int) -> core.Pod:
    """Kinds differ in what they ask: amounts, a port, the better half of the nodes, nothing at all."""
    requests = {} if number == 1 else {"cpu": f"{100 + 90 * number}m", "memory": f"{64 * (1 + number % 5)}Mi"}
    if number == 2:
        requests["gpu"] = "1"
    ports = [core.ContainerPort(container_port=80, host_port=80)] if number == 3 else []
    container = core.Container(
        name="c", image="i", resources=core.ResourceRequirements(requests=requests), ports=ports
    )
    spec = core.PodSpec(containers=[container], node_selector={"half": "better"} if number % 4 == 0 else {})
    return core.Pod(metadata=meta.ObjectMeta(namespace="default", uid=f"kind-{number}"), spec=spec)


def facts(number: int, *, cordoned: bool = False) -> NodeFacts:
    labels = {"half": "better" if number % 2 else "worse"}
    return NodeFacts(f"n{number}", labels, unschedulable=cordoned, images={"i:latest": number << 20})


class Play:
    """A world in which pods come and go at random, and the templates that are asked in turns."""

    def __init__(self, random: Random) -> None:
        self.random, self.world, self.number = random, World(Ledger()), 0
        for number in range(NODES):
            self.world.set_facts(facts(number), ROOMY)
        self.templates, self.kinds = Templates(self.world), [kind(number) for number in range(KINDS)]
        self.there: list[str] = []

    def ask(self, pod: core.Pod) -> None:
        """What a template says, beside what it would say if it were made now; then the pod is placed."""
        template = self.templates.of(pod)
        assert template.scores().tolist() == Templates(self.world).of(pod).scores().tolist()
        row = template.best()
        if row is None:
            return
        self.number += 1
        uid = f"u{self.number}"
        placed = core.Pod(metadata=meta.ObjectMeta(namespace="default", uid=uid, name=uid), spec=pod.spec)
        template.assume(placed, self.world.ledger.columns.nodes[row])
        self.there.append(uid)

    def leave(self, count: int) -> None:
        for _ in range(min(count, len(self.there))):
            self.world.displace(self.there.pop(self.random.randrange(len(self.there))))


@pytest.mark.parametrize("seed", range(4))
def test_columns_are_what_they_would_be_if_made_anew(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(score_sheet, "IDLE", 60)
    monkeypatch.setattr(score_sheet, "MOST", 300)
    play = Play(Random(seed))
    for step in range(STEPS):
        among = play.kinds if step // 100 % 2 == 0 else play.kinds[:3]
        play.ask(play.random.choice(among))
        match play.random.randrange(60):
            case 0:
                play.leave(40)
            case 1:
                play.world.set_facts(facts(play.random.randrange(NODES), cordoned=step % 2 == 0), ROOMY)
            case 2:
                play.world.set_facts(facts(NODES + step), ROOMY | {f"thing-{step % 3}": 1})
            case 3:
                play.world.remove_node(f"n{play.random.randrange(NODES)}")
            case _:
                play.leave(play.random.randrange(4))


def test_who_is_asked_in_turns_shares_a_sheet_and_leaves_it_when_idle() -> None:
    play = Play(Random(0))
    sheet = play.templates.sheet
    for number in range(40):
        play.ask(play.kinds[4 + number % 8])
        for row in range(9):
            play.world.ledger.columns.touch(row)
    assert len(sheet.members) == 8
    for _ in range(2 * score_sheet.IDLE // 10):
        play.ask(play.kinds[4])
        for row in range(9):
            play.world.ledger.columns.touch(row)
    assert len(sheet.members) == 1
