"""The template columns choose as plain one-by-one scoring does, whatever happened in between."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bireme.api.kinds import core, meta
from bireme.ledger.ledger import Ledger
from bireme.scheduler import scores
from bireme.scheduler.filters import NodeFacts
from bireme.scheduler.templates import Demand, Nodes, Template, Templates, demand_of, message

GIB = 2**30


def pod(cpu: str = "", memory: str = "", *, port: int = 0, selector: dict[str, str] | None = None) -> core.Pod:
    requests = {key: value for key, value in (("cpu", cpu), ("memory", memory)) if value}
    container = core.Container(
        name="c",
        image="i",
        resources=core.ResourceRequirements(requests=requests),
        ports=[core.ContainerPort(container_port=port, host_port=port, protocol="TCP")] if port else [],
    )
    return core.Pod(spec=core.PodSpec(containers=[container], node_selector=selector or {}))


def cluster(*nodes: tuple[NodeFacts, dict[str, int]]) -> tuple[Ledger, Nodes]:
    ledger = Ledger()
    known = Nodes(ledger)
    for facts, allocatable in nodes:
        known.set(facts, allocatable)
    return ledger, known


def roomy(name: str, **extra: object) -> tuple[NodeFacts, dict[str, int]]:
    return NodeFacts(name, **extra), {"cpu": 4000, "memory": 8 * GIB, "pods": 110}  # type: ignore[arg-type]


def reference_best(demand: Demand, ledger: Ledger, nodes: Nodes) -> int | None:
    """Score each node by itself, from scratch: a template that has seen nothing."""
    return Template(demand, nodes).best()


def test_a_placement_moves_the_next_pod_to_the_emptier_node() -> None:
    ledger, nodes = cluster(roomy("a"), roomy("b"))
    templates = Templates(nodes)
    demand = demand_of(pod("1", "1Gi"))
    first = templates.of(demand).best()
    assert first is not None
    ledger.promise_pod("u1", ledger.columns.nodes[first], demand.requests)
    second = templates.of(demand).best()
    assert {first, second} == {0, 1} or first != second


def test_a_full_node_says_what_is_short() -> None:
    _, nodes = cluster((NodeFacts("a"), {"cpu": 1000, "memory": GIB, "pods": 1}))
    template = Template(demand_of(pod("2", "2Gi")), nodes)
    assert template.best() is None
    assert message(1, template.reasons().items()) == (
        "0/1 nodes are available: 1 Insufficient cpu, 1 Insufficient memory."
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
    _, nodes = cluster(roomy("a", **facts))
    template = Template(demand_of(wanted), nodes)
    assert template.best() is None
    assert message(1, template.reasons().items()) == f"0/1 nodes are available: {reason}."


def test_host_ports_clash_only_while_they_are_held() -> None:
    ledger, nodes = cluster(roomy("a"))
    demand = demand_of(pod(port=8080))
    template = Template(demand, nodes)
    ledger.promise_pod("u", "a", demand.requests, ports=demand.ports)
    assert template.best() is None
    ledger.release_pod("u")
    assert template.best() == 0


def test_a_node_added_later_is_found() -> None:
    _, nodes = cluster(*(roomy(f"n{i}", unschedulable=True) for i in range(70)))
    template = Template(demand_of(pod("1")), nodes)
    assert template.best() is None
    nodes.set(*roomy("late"))
    best = template.best()
    assert best is not None
    assert nodes.facts[best].name == "late"


def test_a_removed_node_is_not_chosen() -> None:
    _, nodes = cluster(roomy("a"))
    template = Template(demand_of(pod("1")), nodes)
    assert template.best() == 0
    nodes.remove("a")
    assert template.best() is None


def test_preferred_affinity_outweighs_free_room() -> None:
    ledger, nodes = cluster(roomy("a"), roomy("b", labels={"zone": "z"}))
    ledger.promise_pod("u", "b", {"cpu": 2000, "memory": 4 * GIB})
    term = core.NodeSelectorTerm(match_expressions=[core.NodeSelectorRequirement(key="zone", operator="Exists")])
    preferred = [core.PreferredSchedulingTerm(weight=10, preference=term)]
    wish = core.NodeAffinity(preferred_during_scheduling_ignored_during_execution=preferred)
    wanted = pod("100m")
    wanted.spec.affinity = core.Affinity(node_affinity=wish)
    best = Template(demand_of(wanted), nodes).best()
    assert best is not None
    assert nodes.facts[best].name == "b"


def test_scores_span_0_to_100() -> None:
    import numpy as np

    capacity = np.array([[1000.0, 1000.0], [0.0, 0.0]])
    assert list(scores.least_allocated(np.array([[500.0, 500.0], [1.0, 1.0]]), capacity)) == [50.0, 0.0]
    assert list(scores.balanced(np.array([[500.0, 1000.0], [1.0, 1.0]]), capacity)) == [75.0, 100.0]


steps = st.lists(
    st.one_of(
        st.tuples(st.just("place"), st.integers(0, 3)),
        st.tuples(st.just("release"), st.integers(0, 30)),
        st.tuples(st.just("cordon"), st.integers(0, 5)),
        st.tuples(st.just("label"), st.integers(0, 5)),
        st.tuples(st.just("leave"), st.integers(0, 5)),
        st.tuples(st.just("join"), st.integers(0, 5)),
    ),
    max_size=60,
)


@settings(max_examples=60, deadline=None)
@given(steps)
def test_the_cached_choice_is_the_exact_one(history: list[tuple[str, int]]) -> None:
    ledger, nodes = cluster(*(roomy(f"n{i}") for i in range(4)))
    templates = Templates(nodes)
    kinds = [
        demand_of(pod("500m", "1Gi")),
        demand_of(pod("2", "512Mi")),
        demand_of(pod(port=80)),
        demand_of(pod("100m", selector={"disk": "ssd"})),
    ]
    placed: list[str] = []
    for number, (action, value) in enumerate(history):
        name = f"n{value % 6}"
        if action == "place":
            demand = kinds[value]
            row = templates.of(demand).best()
            assert row == reference_best(demand, ledger, nodes)
            if row is not None:
                ledger.promise_pod(f"u{number}", ledger.columns.nodes[row], demand.requests, ports=demand.ports)
                placed.append(f"u{number}")
        elif action == "release" and placed:
            ledger.release_pod(placed.pop(value % len(placed)))
        elif action == "leave":
            nodes.remove(name)
        elif action in ("cordon", "label", "join"):
            labels = {"disk": "ssd"} if action == "label" else {}
            nodes.set(*roomy(name, unschedulable=action == "cordon", labels=labels))


def test_metadata_is_no_part_of_a_template() -> None:
    one, two = pod("1"), pod("1")
    two.metadata = meta.ObjectMeta(name="other")
    assert demand_of(one).key == demand_of(two).key
