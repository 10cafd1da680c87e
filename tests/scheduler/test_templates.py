"""What templates say of nodes, in the words that events count. That they choose rightly is `test_like_plain.py`'s."""

import math
from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bireme.api.kinds import core, meta
from bireme.ledger.ledger import Ledger
from bireme.scheduler import scores
from bireme.scheduler.demand import demand_of
from bireme.scheduler.explanation import Explanation, message, refusal_if
from bireme.scheduler.interface import Lack, Mask
from bireme.scheduler.nodes import NodeFacts, Nodes
from bireme.scheduler.profile import HOSTNAME, Fit, Profile, Score, Scorer, Strategy
from bireme.scheduler.scores import REFUSED
from bireme.scheduler.spread import TOO_SKEWED
from bireme.scheduler.templates import Templates
from bireme.scheduler.world import World

GIB = 2**30
ROOMY = {"cpu": 4000, "memory": 8 * GIB, "pods": 110}


def pod(cpu: str = "", memory: str = "", *, port: int = 0, selector: dict[str, str] | None = None) -> core.Pod:
    requests = {key: value for key, value in (("cpu", cpu), ("memory", memory)) if value}
    container = core.Container(
        name="c",
        image="i",
        resources=core.ResourceRequirements(requests=requests),
        ports=[core.ContainerPort(container_port=port, host_port=port, protocol="TCP")] if port else [],
    )
    made = core.Pod(spec=core.PodSpec(containers=[container], node_selector=selector or {}))
    made.metadata = meta.ObjectMeta(namespace="default", uid="u")
    return made


def world(*nodes: NodeFacts, allocatable: dict[str, int] = ROOMY) -> World:
    made = World(Ledger())
    for facts in nodes:
        made.set_facts(facts, allocatable)
    return made


def said(world: World, wanted: core.Pod, masks: tuple[Mask, ...] = ()) -> str:
    """The message of a pod that finds no node."""
    template = Templates(world).of(wanted)
    assert template.best(masks) is None
    return message(len(world.nodes.facts), Explanation(template, masks).counts().items())


def test_spreading_counts_on_when_a_namespace_got_other_labels() -> None:
    """Its sums are counted anew with those of terms that pick namespaces."""
    world = World(Ledger())
    for name in ("a", "b"):
        world.set_facts(NodeFacts(name, {"rack": name}), {"cpu": 4000, "memory": 2**30, "pods": 10})
    selector = meta.LabelSelector(match_labels={"app": "web"})
    constraint = core.TopologySpreadConstraint(
        topology_key="rack", max_skew=1, when_unsatisfiable="DoNotSchedule", label_selector=selector
    )
    team = meta.LabelSelector(match_labels={"team": "a"})
    elsewhere = core.PodAffinityTerm(topology_key="rack", label_selector=selector, namespace_selector=team)
    apart = core.PodAntiAffinity(
        preferred_during_scheduling_ignored_during_execution=[
            core.WeightedPodAffinityTerm(weight=1, pod_affinity_term=elsewhere)
        ]
    )
    spec = core.PodSpec(
        containers=[core.Container(name="c")],
        affinity=core.Affinity(pod_anti_affinity=apart),
        topology_spread_constraints=[constraint],
    )

    def web(uid: str) -> core.Pod:
        about = meta.ObjectMeta(name=uid, uid=uid, namespace="default", labels={"app": "web"}, generation=1)
        return core.Pod(metadata=about, spec=spec)

    templates = Templates(world)
    world.place(web("one"), "a")
    assert templates.of(web("two")).best() == world.nodes.row("b")
    world.set_namespace("other", {"team": "b"})
    world.place(web("two"), "b")
    world.place(web("three"), "b")
    assert templates.of(web("four")).best() == world.nodes.row("a")
    assert templates.of(web("four")).scores()[world.nodes.row("b")] == REFUSED


def test_a_full_node_says_everything_that_is_short() -> None:
    small = world(NodeFacts("a"), allocatable={"cpu": 1000, "memory": GIB, "pods": 0})
    assert said(small, pod("2", "2Gi")) == (
        "0/1 nodes are available: 1 Insufficient cpu, 1 Insufficient memory, 1 Too many pods."
    )


@pytest.mark.parametrize(
    ("facts", "wanted", "reason"),
    [
        pytest.param({"unschedulable": True}, pod(), "1 node(s) were unschedulable", id="cordoned"),
        pytest.param(
            {"taints": (core.Taint(key="k", value="v", effect="NoSchedule"),)},
            pod(),
            "1 node(s) had untolerated taint {k: v}",
            id="tainted",
        ),
        pytest.param(
            {}, pod(selector={"disk": "ssd"}), "1 node(s) didn't match Pod's node affinity/selector", id="unlabelled"
        ),
    ],
)
def test_a_node_that_refuses_says_why(facts: dict[str, object], wanted: core.Pod, reason: str) -> None:
    assert said(world(NodeFacts("a", **facts)), wanted) == f"0/1 nodes are available: {reason}."  # type: ignore[arg-type]


def test_each_node_is_told_by_its_first_reason() -> None:
    three = world(NodeFacts("a", unschedulable=True), NodeFacts("b"), NodeFacts("c"))
    assert said(three, pod("5", selector={"x": "y"})) == (
        "0/3 nodes are available: 1 node(s) were unschedulable, 2 node(s) didn't match Pod's node affinity/selector."
    )


def test_eviction_may_help_only_where_the_pod_could_ever_be() -> None:
    two = world(NodeFacts("large"), NodeFacts("cordoned", unschedulable=True))
    two.set_facts(NodeFacts("small"), {"cpu": 500, "memory": GIB, "pods": 10})
    for name in ("large", "cordoned", "small"):
        full = pod("4")
        full.metadata.uid = name
        two.place(full, name)
    found = Explanation(Templates(two).of(pod("1")))
    rows = {two.ledger.columns.nodes[row] for row in np.flatnonzero(found.curable).tolist()}
    assert rows == {"large"}
    assert found.lack & Lack.AMOUNTS


def test_a_rules_mask_leaves_out_nodes_in_its_own_words() -> None:
    two = world(NodeFacts("a"), NodeFacts("b"))
    only_b = np.zeros(two.nodes.capacity, dtype=bool)
    only_b[two.nodes.row("b")] = True
    mask = Mask(only_b, lambda row: "node(s) had no available volume zone", Lack.VOLUMES)
    assert Templates(two).of(pod()).best((mask,)) == two.nodes.row("b")
    none = Mask(np.zeros(two.nodes.capacity, dtype=bool), mask.reason, Lack.VOLUMES)
    assert said(two, pod(), (none,)) == "0/2 nodes are available: 2 node(s) had no available volume zone."


def test_host_ports_clash_only_while_they_are_held() -> None:
    one = world(NodeFacts("a"))
    wanted = pod(port=8080)
    templates = Templates(one)
    one.place(wanted, "a")
    assert said(one, wanted) == (
        "0/1 nodes are available: 1 node(s) didn't have free ports for the requested pod ports."
    )
    one.displace("u")
    assert templates.of(wanted).best() == 0


def test_a_node_added_later_is_found() -> None:
    many = world(*(NodeFacts(f"n{i}", unschedulable=True) for i in range(200)))
    template = Templates(many).of(pod("1"))
    assert template.best() is None
    many.set_facts(NodeFacts("late"), ROOMY)
    assert template.best() == many.nodes.row("late")


def test_pods_of_a_node_that_comes_back_are_counted_again() -> None:
    one = world(NodeFacts("a"))
    one.place(pod("3"), "a")
    template = Templates(one).of(pod("2"))
    assert template.best() is None
    one.remove_node("a")
    one.set_facts(NodeFacts("other"), ROOMY)
    assert template.best() == one.nodes.row("other")
    one.set_facts(NodeFacts("a"), ROOMY)
    one.remove_node("other")
    assert template.best() is None


def test_preferred_affinity_outweighs_free_room() -> None:
    two = world(NodeFacts("a"), NodeFacts("b", labels={"zone": "z"}))
    two.place(pod("2", "4Gi"), "b")
    term = core.NodeSelectorTerm(match_expressions=[core.NodeSelectorRequirement(key="zone", operator="Exists")])
    preferred = [core.PreferredSchedulingTerm(weight=10, preference=term)]
    wish = core.NodeAffinity(preferred_during_scheduling_ignored_during_execution=preferred)
    wanted = pod("100m")
    wanted.spec.affinity = core.Affinity(node_affinity=wish)
    assert Templates(two).of(wanted).best() == two.nodes.row("b")


@pytest.mark.parametrize(
    ("fit", "best"),
    [
        pytest.param(Fit(), "empty", id="least allocated spreads"),
        pytest.param(Fit(Strategy.MOST), "half", id="most allocated packs"),
        pytest.param(Fit(Strategy.SHAPE, shape=((0, 0), (70, 10), (71, 0))), "half", id="by a shape"),
    ],
)
def test_a_profile_says_how_room_is_scored(fit: Fit, best: str) -> None:
    three = world(NodeFacts("empty"), NodeFacts("half"))
    three.place(pod("2", "4Gi"), "half")
    profile = Profile(fit=fit, weights={Score.FIT: 1})
    assert Templates(three, profile).of(pod("800m", "1600Mi")).best() == three.nodes.row(best)


def test_a_users_scorer_and_filter_see_the_pod_and_all_nodes() -> None:
    three = world(*(NodeFacts(name, labels={"rank": rank}) for name, rank in (("a", "1"), ("b", "9"), ("c", "5"))))

    def rank(pod: core.Pod, nodes: Nodes) -> np.ndarray:  # type: ignore[type-arg]
        column = nodes.label("rank")
        table = np.array([*(float(value) for value in column.values), 0.0])
        return table[column.ids]

    def not_b(pod: core.Pod, nodes: Nodes) -> np.ndarray:  # type: ignore[type-arg]
        return nodes.label("rank").where(lambda value: value != pod.metadata.labels.get("not"))

    profile = Profile(scorers=(Scorer("rank", weight=100, score=rank, filter=not_b),))
    wanted = pod("1")
    templates = Templates(three, profile)
    assert templates.of(wanted).best(pod=wanted) == three.nodes.row("b")
    wanted.metadata.labels = {"not": "9"}
    assert templates.of(wanted).best(pod=wanted) == three.nodes.row("c")


def test_scores_are_whole_numbers_from_0_to_100() -> None:
    capacity = np.array([[1000, 0, 3], [1000, 0, 3]])
    assert scores.fit(np.array([[500, 1, 1], [501, 1, 4]]), capacity, Fit()).tolist() == [49, 0, 33]
    taken, before = np.array([[500, 1, 1], [1000, 1, 3]]), np.array([[500, 0, 0], [500, 1, 3]])
    assert scores.evenness(taken, capacity).tolist() == [75, 100, 66]
    assert scores.evenness(before, capacity).tolist() == [100, 100, 50]
    assert scores.balance(taken, before, capacity).tolist() == [62, 75, 83]


@given(*[st.integers(0, 10**12)] * 4, *[st.integers(1, 10**12)] * 2, *[st.integers(0, 10**12)] * 2)
def test_the_usual_case_scores_as_the_general_one(
    cpu: int, memory: int, own_cpu: int, own_memory: int, cores: int, size: int, had_cpu: int, had_memory: int
) -> None:
    used, taken, capacity, before = (
        np.array(pair).reshape(2, 1)
        for pair in ((cpu, memory), (own_cpu, own_memory), (cores, size), (had_cpu, had_memory))
    )
    fit, even = scores.fit(used, capacity, Fit()), scores.balance(taken, before, capacity)
    assert [each.tolist() for each in scores.usual(used, taken, before, capacity)] == [fit.tolist(), even.tolist()]
    one = scores.usual_of_one(cpu, memory, own_cpu, own_memory, cores, size, had_cpu, had_memory)
    assert one == (fit[0], even[0])


def test_what_pods_differ_in_without_meaning_is_no_part_of_a_template() -> None:
    one, two = pod("1"), pod("1")
    two.metadata = meta.ObjectMeta(name="other")
    two.spec.volumes = [core.Volume(name="kube-api-access-x")]
    assert demand_of(one).key == demand_of(two).key
    assert demand_of(one).key != demand_of(pod("2")).key


def plain_fit(used: tuple[int, ...], have: tuple[int, ...], by: Fit) -> int:
    """The strategies as the documentation tells them, for one node: whole numbers, one resource after the other."""
    total = weights = 0
    for taken, size, (_, weight) in zip(used, have, by.resources, strict=True):
        if not size:
            continue
        score = min(taken, size) * 100 // size
        if by.strategy is Strategy.SHAPE:
            percent = taken * 100 // size if taken <= size else 100
            score = plain_shape(percent, [(x, 10 * y) for x, y in by.shape])
            if not score:
                continue
        total, weights = total + score * weight, weights + weight
    if by.strategy is Strategy.SHAPE:
        return math.floor(Fraction(total, weights or 1) + Fraction(1, 2))
    return total // (weights or 1)


def plain_shape(percent: int, points: list[tuple[int, int]]) -> int:
    if percent <= points[0][0]:
        return points[0][1]
    for (x0, y0), (x1, y1) in pairwise(points):
        if percent <= x1:
            return y0 + int(Fraction((y1 - y0) * (percent - x0), x1 - x0))
    return points[-1][1]


@st.composite
def shapes(draw: st.DrawFn) -> Fit:
    places = sorted(draw(st.sets(st.integers(0, 100), min_size=1, max_size=4)))
    shape = tuple((place, draw(st.integers(0, 10))) for place in places)
    weights = draw(st.tuples(st.integers(1, 5), st.integers(1, 5)))
    strategy = draw(st.sampled_from((Strategy.MOST, Strategy.SHAPE)))
    return Fit(strategy, tuple(zip(("cpu", "memory"), weights, strict=True)), shape)


@given(shapes(), st.lists(st.tuples(*(st.integers(0, 9000),) * 4), min_size=1, max_size=6))
def test_other_strategies_score_as_told_one_by_one(by: Fit, each: list[tuple[int, ...]]) -> None:
    columns = np.array(each, dtype=np.int64).T
    expected = [plain_fit(numbers[:2], numbers[2:], by) for numbers in each]
    assert scores.fit(columns[:2], columns[2:], by).tolist() == expected


def test_a_pod_of_another_namespace_that_left_would_not_make_a_domain_emptier() -> None:
    two = world(NodeFacts("a", {HOSTNAME: "a"}), NodeFacts("b", {HOSTNAME: "b"}))
    wanted, stranger = pod("1"), pod("1")
    same = meta.LabelSelector(match_labels={"app": "web"})
    for number, namespace, node in ((1, "default", "a"), (2, "other", "a")):
        stranger.metadata = meta.ObjectMeta(namespace=namespace, uid=f"u{number}", labels={"app": "web"})
        two.place(stranger, node)
    wanted.metadata.labels = {"app": "web"}
    wanted.spec.topology_spread_constraints = [
        core.TopologySpreadConstraint(topology_key=HOSTNAME, max_skew=1, label_selector=same)
    ]
    template, row = Templates(two).of(wanted), two.nodes.row("a")
    assert refusal_if(template, row, gone=[two.placed["u2"]]) == TOO_SKEWED
    assert refusal_if(template, row, gone=[two.placed["u1"]]) is None


@pytest.mark.parametrize(
    ("ignores", "prefers", "best"),
    [
        pytest.param(False, False, "a", id="what a placed pod prefers counts"),
        pytest.param(True, False, "b", id="unless that is ignored"),
        pytest.param(True, True, "a", id="by those without preferences of their own"),
    ],
)
def test_preferences_of_placed_pods_may_be_ignored(ignores: bool, prefers: bool, best: str) -> None:
    world = World(Ledger())
    for name in ("a", "b"):
        world.set_facts(NodeFacts(name, {HOSTNAME: name}), ROOMY)

    def near(app: str) -> core.Affinity:
        selector = meta.LabelSelector(match_labels={"app": app})
        term = core.PodAffinityTerm(topology_key=HOSTNAME, label_selector=selector)
        preferred = [core.WeightedPodAffinityTerm(weight=100, pod_affinity_term=term)]
        return core.Affinity(
            pod_affinity=core.PodAffinity(preferred_during_scheduling_ignored_during_execution=preferred)
        )

    placed, new = pod(cpu="1"), pod(cpu="1")
    placed.metadata = meta.ObjectMeta(name="p", uid="p", namespace="default", labels={"app": "db"}, generation=1)
    placed.spec.affinity = near("web")
    world.place(placed, "a")
    new.metadata.labels = {"app": "web"}
    new.spec.affinity = near("nobody") if prefers else None
    row = Templates(world, Profile(ignores_preferences=ignores)).of(new).best()
    assert row is not None
    assert world.ledger.columns.nodes[row] == best


def test_affinity_that_the_profile_enforces_has_words_of_its_own() -> None:
    blue = core.NodeSelectorRequirement(key="pool", operator="In", values=["blue"])
    added = core.NodeAffinity(
        required_during_scheduling_ignored_during_execution=core.NodeSelector(
            node_selector_terms=[core.NodeSelectorTerm(match_expressions=[blue])]
        )
    )
    there = world(NodeFacts("a", {"pool": "red"}), NodeFacts("b", {"pool": "blue"}))
    template = Templates(there, Profile(added_affinity=added)).of(pod(cpu="1", selector={"disk": "ssd"}))
    assert dict(Explanation(template).counts()) == {
        "node(s) didn't match scheduler-enforced node affinity": 1,
        "node(s) didn't match Pod's node affinity/selector": 1,
    }
