"""DaemonSets: which nodes, which pods come and go, the update; and a whole life over the real API."""

from collections.abc import Iterable
from typing import Any

import pytest
from controller_objects import NOW, ago, metadata, template
from story import Story, story

from bireme.api.kinds import apps, core, meta
from bireme.client.client import Patch
from bireme.controllers import daemon_plan, node_terms, taints
from bireme.controllers.histories import HASH


def node(name: str, *, marks: Iterable[core.Taint] = (), **labels: str) -> core.Node:
    return core.Node(
        metadata=meta.ObjectMeta(name=name, uid=f"uid-{name}", labels=labels), spec=core.NodeSpec(taints=list(marks))
    )


def pod(
    name: str,
    revision: str = "new",
    *,
    ready: bool = True,
    phase: str = "Running",
    leaving: bool = False,
    age: int = 9,
) -> core.Pod:
    return core.Pod(
        metadata=metadata(
            name,
            labels={HASH: revision},
            creation_timestamp=ago(age),
            deletion_timestamp=ago(1) if leaving else "",
        ),
        status=core.PodStatus(
            phase=phase,
            conditions=[core.PodCondition(type="Ready", status=str(ready), last_transition_time=ago(60))],
        ),
    )


def requires(*terms: core.NodeSelectorTerm) -> core.Affinity:
    required = core.NodeSelector(node_selector_terms=list(terms))
    return core.Affinity(
        node_affinity=core.NodeAffinity(required_during_scheduling_ignored_during_execution=required)
    )


def wish(key: str, operator: str, *values: str) -> core.NodeSelectorRequirement:
    return core.NodeSelectorRequirement(key=key, operator=operator, values=list(values))


GPU = core.NodeSelectorTerm(match_expressions=[wish("gpus", "Gt", "2")])
NAMED = core.NodeSelectorTerm(match_fields=[wish("metadata.name", "In", "a", "b")])


@pytest.mark.parametrize(
    ("spec", "there", "expected"),
    [
        pytest.param({}, node("a"), True, id="any node"),
        pytest.param({"node_name": "b"}, node("a"), False, id="another by name"),
        pytest.param({"node_selector": {"x": "y"}}, node("a", x="y"), True, id="selected"),
        pytest.param({"node_selector": {"x": "y"}}, node("a", x="z"), False, id="not selected"),
        pytest.param({"affinity": requires(GPU)}, node("a", gpus="4"), True, id="more than two"),
        pytest.param({"affinity": requires(GPU)}, node("a", gpus="2"), False, id="no more than two"),
        pytest.param({"affinity": requires(GPU, NAMED)}, node("b"), True, id="one of two terms"),
        pytest.param({"affinity": requires(core.NodeSelectorTerm())}, node("b"), False, id="an empty term is none"),
    ],
)
def test_which_nodes_a_template_means(spec: dict[str, Any], there: core.Node, expected: bool) -> None:
    assert node_terms.selects(core.PodSpec(**spec), there) is expected


def test_a_taint_keeps_new_pods_off_and_drives_old_ones_away() -> None:
    nodes = [
        node("free"),
        node("kept", marks=[core.Taint(key="a", effect="NoSchedule")]),
        node("emptied", marks=[core.Taint(key="a", effect="NoExecute")]),
        node("cordoned", marks=[core.Taint(key=taints.UNSCHEDULABLE, effect="NoSchedule")]),
        node("lost", marks=[core.Taint(key=taints.UNREACHABLE, effect="NoExecute")]),
    ]
    wanted, allowed = daemon_plan.places(core.PodSpec(), nodes)
    assert wanted == {"free", "cordoned", "lost"}
    assert allowed == {"free", "cordoned", "lost", "kept"}


def test_a_pod_may_be_placed_on_its_node_alone() -> None:
    daemons = apps.DaemonSet(metadata=metadata("d"), spec=apps.DaemonSetSpec(template=template()))
    daemons.spec.template.spec.affinity = requires(GPU)
    made = daemon_plan.pod_for(daemons, "n", hash="h")
    assert daemon_plan.node_of(made) == "n"
    assert node_terms.selects(made.spec, node("n"))
    assert not node_terms.selects(made.spec, node("m"))
    assert made.metadata.labels[HASH] == "h"


def view(pods: dict[str, list[core.Pod]], nodes: str = "abc", allowed: str = "abc", **rolling: Any) -> Any:
    update = apps.RollingUpdateDaemonSet(**(rolling or {"max_unavailable": 1, "max_surge": 0}))
    strategy = apps.DaemonSetUpdateStrategy(type="RollingUpdate", rolling_update=update)
    return daemon_plan.View(
        spec=apps.DaemonSetSpec(update_strategy=strategy, template=template()),
        wanted=frozenset(nodes),
        allowed=frozenset(allowed),
        pods=pods,
        hash="new",
        now=NOW,
    )


def each(revision: str, **more: Any) -> dict[str, list[core.Pod]]:
    return {name: [pod(f"p-{name}", revision, **more)] for name in "abc"}


BROKEN = [pod("p-b", "old", ready=False)]
SURGE = {"max_surge": 1, "max_unavailable": 0}


@pytest.mark.parametrize(
    ("there", "create", "delete"),
    [
        pytest.param(view({}), ["a", "b", "c"], [], id="one for each node"),
        pytest.param(view(each("new")), [], [], id="all there"),
        pytest.param(view(each("new"), nodes="ab", allowed="ab"), [], ["p-c"], id="a node that is meant no more"),
        pytest.param(view(each("new"), nodes="ab"), [], [], id="a node where it may stay"),
        pytest.param(
            view({**each("new"), "b": [pod("x", age=5), pod("y")]}), [], ["x"], id="the younger of two goes"
        ),
        pytest.param(view({**each("new"), "b": [pod("p-b", leaving=True)]}), [], [], id="not before it has gone"),
        pytest.param(view(each("old")), [], ["p-a"], id="an update takes one at a time"),
        pytest.param(view(each("old"), max_unavailable="50%"), [], ["p-a", "p-b"], id="or half of them"),
        pytest.param(view({**each("old"), "b": BROKEN}), [], ["p-b"], id="what is broken goes first, and counts"),
        pytest.param(
            view({**each("old"), "a": [pod("p-a", ready=False)]}), [], [], id="it waits for the new one to be ready"
        ),
        pytest.param(view({"a": each("old")["a"], "b": each("old")["b"]}), ["c"], [], id="and for those to come"),
        pytest.param(view(each("old"), **SURGE), ["a"], [], id="a surge makes the new one first"),
        pytest.param(
            view({**each("old"), "a": [pod("p-a", "old"), pod("q-a", ready=False)]}, **SURGE),
            [],
            [],
            id="and waits for it",
        ),
        pytest.param(
            view({**each("old"), "a": [pod("p-a", "old"), pod("q-a")]}, **SURGE),
            ["b"],
            ["p-a"],
            id="then the old one goes and the next comes",
        ),
    ],
)
def test_plan(there: daemon_plan.View, create: list[str], delete: list[str]) -> None:
    wanted = daemon_plan.plan(there)
    assert wanted.create == create
    assert [item.metadata.name for item in wanted.delete] == delete


def test_what_ended_is_made_anew() -> None:
    wanted = daemon_plan.plan(view({**each("new"), "b": [pod("p-b", phase="Failed")]}))
    assert [item.metadata.name for item in wanted.ended] == ["p-b"]
    assert wanted.create == []


def test_status() -> None:
    pods = {"a": [pod("p-a")], "b": [pod("p-b", "old", ready=False)], "d": [pod("p-d")]}
    daemons = apps.DaemonSet(metadata=metadata("d", generation=4))
    status = daemon_plan.status(view(pods), daemons)
    assert (status.desired_number_scheduled, status.current_number_scheduled) == (3, 2)
    assert (status.number_misscheduled, status.number_ready, status.updated_number_scheduled) == (1, 1, 1)
    assert (status.number_unavailable, status.observed_generation) == (2, 4)


# A whole life.


async def settled(there: Story, image: str, nodes: set[str]) -> list[core.Pod]:
    async def claim() -> list[core.Pod] | None:
        daemons = await there.client.get(apps.DaemonSet, "d", namespace="default")
        found = await there.pods()
        same = {item.spec.containers[0].image for item in found} <= {image}
        told = (daemons.status.number_ready, daemons.status.updated_number_scheduled or 0) == (len(nodes),) * 2
        right = sorted(map(daemon_plan.node_of, found)) == sorted(nodes)
        return found if same and told and right else None

    found: list[core.Pod] = await there.until(claim)
    return found


async def test_pods_follow_nodes_labels_and_templates() -> None:
    async with story() as there:
        for name in "abc":
            await there.client.create(core.Node(metadata=meta.ObjectMeta(name=name)))
        shape = template()
        shape.spec.tolerations = [core.Toleration(operator="Exists")]
        spec = apps.DaemonSetSpec(selector=meta.LabelSelector(match_labels={"app": "a"}), template=shape)
        await there.client.create(apps.DaemonSet(metadata=meta.ObjectMeta(name="d", namespace="default"), spec=spec))
        first = await settled(there, "one", {"a", "b", "c"})
        assert {item.metadata.labels["pod-template-generation"] for item in first} == {"1"}
        patch = {"spec": {"template": {"spec": {"containers": [{"name": "c", "image": "two"}]}}}}
        await there.client.patch(apps.DaemonSet, "d", patch, namespace="default", how=Patch.STRATEGIC)
        second = await settled(there, "two", {"a", "b", "c"})
        assert {item.metadata.labels["pod-template-generation"] for item in second} == {"2"}
        await there.client.patch(core.Node, "b", {"metadata": {"labels": {"disk": "fast"}}})
        selects = {"spec": {"template": {"spec": {"nodeSelector": {"disk": "fast"}}}}}
        await there.client.patch(apps.DaemonSet, "d", selects, namespace="default")
        await settled(there, "two", {"b"})
        await there.client.create(core.Node(metadata=meta.ObjectMeta(name="e", labels={"disk": "fast"})))
        await settled(there, "two", {"b", "e"})
