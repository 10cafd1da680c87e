"""Spreading that follows changes row by row says what it would say if it were counted anew."""

from random import Random

import pytest

from bireme.api.kinds import core, meta
from bireme.ledger.ledger import Ledger
from bireme.scheduler import spread_groups
from bireme.scheduler.demand import demand_of
from bireme.scheduler.nodes import NodeFacts
from bireme.scheduler.profile import HOSTNAME, ZONE
from bireme.scheduler.templates import Templates
from bireme.scheduler.world import World

NODES, STEPS = 40, 200
ROOMY = {"cpu": 4_000, "memory": 8 << 30, "pods": 30}
LATER = "2031-01-01T00:00:00Z"

WISHES = (
    ((ZONE, True), (HOSTNAME, False)),
    ((HOSTNAME, True), (ZONE, False)),
    ((HOSTNAME, False), (ZONE, False)),
    ((ZONE, True), ("rack", True), (HOSTNAME, False)),
    (("rack", False),),
    ((HOSTNAME, False),),
)


def facts(number: int, *, tag: str = "") -> NodeFacts:
    """Some nodes lack a zone or a rack, a few share a host's name."""
    labels = {HOSTNAME: f"h{min(number, NODES - 3)}", "tag": tag}
    if number % 7:
        labels[ZONE] = f"z{number % 3}"
    if number % 5:
        labels["rack"] = f"r{number % 8}"
    return NodeFacts(f"n{number}", labels)


def pod(uid: str, app: str, wish: tuple[tuple[str, bool], ...] = (), *, generation: int = 1) -> core.Pod:
    requests = core.ResourceRequirements(requests={"cpu": "200m"})
    spec = core.PodSpec(containers=[core.Container(name="c", image="i", resources=requests)])
    spec.topology_spread_constraints = [
        core.TopologySpreadConstraint(
            topology_key=key,
            max_skew=2,
            when_unsatisfiable="DoNotSchedule" if hard else "ScheduleAnyway",
            label_selector=meta.LabelSelector(match_labels={"app": app}),
        )
        for key, hard in wish
    ]
    metadata = meta.ObjectMeta(
        name=uid, uid=uid, namespace="default", labels={"app": app, "n": str(len(wish))}, generation=generation
    )
    return core.Pod(metadata=metadata, spec=spec)


class Play:
    """Pods with wishes come, are relabelled, begin to leave and leave; nodes change."""

    def __init__(self, random: Random) -> None:
        self.random, self.world = random, World(Ledger())
        for number in range(NODES):
            self.world.set_facts(facts(number), ROOMY)
        self.templates = Templates(self.world)
        self.there: dict[str, tuple[core.Pod, str]] = {}

    def ask(self, pod: core.Pod) -> None:
        template = self.templates.of(pod)
        assert template.scores().tolist() == Templates(self.world).of(pod).scores().tolist()
        row = template.best()
        if row is not None:
            node = self.world.ledger.columns.nodes[row]
            template.assume(pod, node)
            self.there[pod.metadata.uid] = pod, node

    def happen(self, step: int) -> None:
        random = self.random
        uid = random.choice(list(self.there)) if self.there else ""
        match random.randrange(20):
            case 0:
                self.world.set_facts(facts(random.randrange(NODES), tag=str(step)), ROOMY)
            case 1:
                self.world.remove_node(f"n{random.randrange(NODES)}")
            case 2:
                self.world.set_facts(facts(random.randrange(NODES)), ROOMY)
            case 3 | 4 if uid:
                leaving, node = self.there[uid]
                leaving.metadata.deletion_timestamp = LATER
                self.world.place(leaving, node)
            case 5 | 6 if uid:
                changed, node = self.there[uid]
                changed.metadata.labels = {"app": random.choice("ab")}
                self.world.place(changed, node)
            case 7 | 8 if uid:  # the Mesos master books and releases first
                self.world.ledger.release_pod(uid)
                self.ask(pod(f"w{step}", "a", WISHES[3]))
                self.world.displace(uid)
                del self.there[uid]
            case 9 if nodes := sorted(self.world.ledger.nodes()):
                other, name = pod(f"m{step}", "a"), random.choice(nodes)
                self.world.ledger.promise_pod(f"m{step}", name, demand_of(other).requests)
                self.ask(pod(f"w{step}", "a", random.choice(WISHES)))
                self.world.place(other, name)
                self.there[f"m{step}"] = other, name


@pytest.mark.parametrize("most", [1 << 14, 20], ids=["followed row by row", "too many groups to follow"])
@pytest.mark.parametrize("seed", range(2))
def test_spreading_is_what_it_would_be_if_counted_anew(seed: int, most: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spread_groups, "MOST", most)
    play = Play(Random(seed))
    for step in range(STEPS):
        play.ask(pod(f"p{step}", play.random.choice("ab"), play.random.choice(WISHES)))
        play.happen(step)


def test_spreading_outlives_that_all_is_counted_anew_for_a_namespaces_labels() -> None:
    """A term that picks namespaces by labels has every question asked again."""
    world = World(Ledger())
    for name in ("a1", "a2", "b1", "b2"):
        small = {"cpu": 500, "memory": 1 << 30, "pods": 9}
        world.set_facts(NodeFacts(name, {ZONE: name[0]}), small if name[0] == "b" else ROOMY)
    wanted = pod("p", "web", ((ZONE, True),))
    term = core.PodAffinityTerm(
        label_selector=meta.LabelSelector(match_labels={"app": "x"}),
        namespace_selector=meta.LabelSelector(match_labels={"team": "y"}),
        topology_key=HOSTNAME,
    )
    choosy = pod("q", "x")
    choosy.spec.affinity = core.Affinity(
        pod_anti_affinity=core.PodAntiAffinity(required_during_scheduling_ignored_during_execution=[term])
    )
    templates = Templates(world)
    kept = [templates.of(wanted), templates.of(choosy)]
    assert kept[0].best() == world.nodes.row("a1")
    world.set_namespace("elsewhere", {"team": "z"})
    for number in range(2):
        world.place(pod(f"w{number}", "web"), "a1")
    assert kept[0].best() == world.nodes.row("b1")


def test_hosts_may_come_to_hold_more_pods_than_there_were_groups_for() -> None:
    play = Play(Random(0))
    for number in range(3, NODES):
        play.world.remove_node(f"n{number}")
    for step in range(40):
        play.ask(pod(f"p{step}", "a", ((HOSTNAME, False),)))
