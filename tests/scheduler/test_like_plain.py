"""Templates find the same nodes and the same best score as a plain scheduler, whatever happened in between.

Scores may differ by a constant: what is equal for all nodes is left out.
"""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.scheduler.plain import HOSTNAME, ZONE, Plain

from bireme.api.kinds import core, meta
from bireme.api.selectors import LabelSelector
from bireme.api.times import rfc3339
from bireme.ledger.ledger import Ledger
from bireme.scheduler.explanation import Explanation, refusal_if
from bireme.scheduler.profile import DEFAULT, NO_AFFINITY, Profile, Spreading
from bireme.scheduler.score_column import REFUSED
from bireme.scheduler.templates import Templates
from bireme.scheduler.world import World

GIB, MIB = 2**30, 2**20
APPS = ("web", "db")
REQUESTS = ({}, {"cpu": "500m"}, {"cpu": "1", "memory": "1Gi"}, {"memory": "3Gi", "gpu": "1"})
LABELS = ((ZONE, ("a", "b")), ("rack", ("1", "2", "3")), ("disk", ("ssd",)), ("size", ("3", "9", "big")))
WEB = LabelSelector.of({"app": "web"})
NOW = rfc3339(datetime(2026, 1, 1, tzinfo=UTC))
KEYS = (HOSTNAME, ZONE, "rack")
FILTERS = (
    "NodeUnschedulable",
    "TaintToleration",
    "NodeAffinity",
    "NodePorts",
    "NodeResourcesFit",
    "PodTopologySpread",
    "InterPodAffinity",
)

apps = st.sampled_from(APPS)
spaces = st.sampled_from(("default", "other"))
selectors = st.one_of(
    st.builds(lambda app: meta.LabelSelector(match_labels={"app": app}), apps),
    st.just(meta.LabelSelector()),
    st.builds(
        lambda op: meta.LabelSelector(
            match_expressions=[
                meta.LabelSelectorRequirement(key="app", operator=op, values=["web"] if op.endswith("In") else [])
            ]
        ),
        st.sampled_from(("In", "NotIn", "Exists", "DoesNotExist")),
    ),
)
affinity_terms = st.builds(
    core.PodAffinityTerm,
    label_selector=selectors,
    topology_key=st.sampled_from(KEYS),
    namespaces=st.sampled_from(([], [], ["other"])),
    namespace_selector=st.sampled_from((None, None, meta.LabelSelector(match_labels={"team": "a"}))),
    match_label_keys=st.sampled_from(([], [], ["tier"])),
)
weighted = st.builds(core.WeightedPodAffinityTerm, weight=st.integers(1, 100), pod_affinity_term=affinity_terms)


def few(strategy: st.SearchStrategy[Any]) -> st.SearchStrategy[list[Any]]:
    return st.lists(strategy, max_size=1)


pod_affinities = st.one_of(
    st.none(),
    st.builds(
        core.PodAffinity,
        required_during_scheduling_ignored_during_execution=few(affinity_terms),
        preferred_during_scheduling_ignored_during_execution=few(weighted),
    ),
)
pod_anti_affinities = st.one_of(
    st.none(),
    st.builds(
        core.PodAntiAffinity,
        required_during_scheduling_ignored_during_execution=few(affinity_terms),
        preferred_during_scheduling_ignored_during_execution=few(weighted),
    ),
)
requirements = st.one_of(
    st.builds(
        core.NodeSelectorRequirement,
        key=st.just("disk"),
        operator=st.sampled_from(("In", "NotIn", "Exists", "DoesNotExist")),
        values=st.just(["ssd"]),
    ),
    st.builds(
        core.NodeSelectorRequirement,
        key=st.just("size"),
        operator=st.sampled_from(("Gt", "Lt")),
        values=st.just(["5"]),
    ),
)
node_terms = st.builds(
    core.NodeSelectorTerm,
    match_expressions=few(requirements),
    match_fields=st.sampled_from(
        ([], [], [core.NodeSelectorRequirement(key="metadata.name", operator="NotIn", values=["n1"])])
    ),
)
node_affinities = st.one_of(
    st.none(),
    st.builds(
        core.NodeAffinity,
        required_during_scheduling_ignored_during_execution=st.one_of(
            st.none(), st.builds(core.NodeSelector, node_selector_terms=st.lists(node_terms, min_size=1, max_size=2))
        ),
        preferred_during_scheduling_ignored_during_execution=few(
            st.builds(core.PreferredSchedulingTerm, weight=st.integers(1, 100), preference=node_terms)
        ),
    ),
)
constraints = st.builds(
    core.TopologySpreadConstraint,
    label_selector=selectors,
    topology_key=st.sampled_from(KEYS),
    max_skew=st.integers(1, 3),
    when_unsatisfiable=st.sampled_from(("DoNotSchedule", "ScheduleAnyway")),
    min_domains=st.sampled_from((None, None, 2, 4)),
    node_affinity_policy=st.sampled_from(("", "Ignore", "Honor")),
    node_taints_policy=st.sampled_from(("", "Ignore", "Honor")),
    match_label_keys=st.sampled_from(([], [], ["tier"])),
)
tolerations = st.sampled_from(
    (
        core.Toleration(operator="Exists"),
        core.Toleration(key="dedicated", operator="Equal", value="x"),
        core.Toleration(key="dedicated", operator="Exists", effect="NoSchedule"),
    )
)
optional = st.one_of(st.none(), st.none(), st.none(), pod_affinities)


@st.composite
def kinds(draw: st.DrawFn) -> core.Pod:
    """One kind of pod; its name and uid come later."""
    requests = draw(
        st.sampled_from(({}, {"cpu": "500m"}, {"cpu": "1", "memory": "1Gi"}, {"memory": "3Gi", "gpu": "1"}))
    )
    port = draw(st.sampled_from((0, 0, 0, 80)))
    labels = {"app": draw(apps)} | draw(st.sampled_from(({}, {"tier": "a"}, {"tier": "b"})))
    between = draw(pod_affinities), draw(pod_anti_affinities)
    wish = core.Affinity(node_affinity=draw(node_affinities), pod_affinity=between[0], pod_anti_affinity=between[1])
    return core.Pod(
        metadata=meta.ObjectMeta(namespace=draw(spaces), labels=labels),
        spec=core.PodSpec(
            containers=[
                core.Container(
                    name="c",
                    image=draw(st.sampled_from(("big", "small:1"))),
                    resources=core.ResourceRequirements(requests=requests),
                    ports=[core.ContainerPort(container_port=80, host_port=port)] if port else [],
                )
            ],
            affinity=draw(st.sampled_from((None, wish))),
            node_selector=draw(st.sampled_from(({}, {}, {"disk": "ssd"}))),
            topology_spread_constraints=draw(st.one_of(st.just([]), st.lists(constraints, max_size=2))),
            tolerations=draw(few(tolerations)),
        ),
    )


@st.composite
def node_objects(draw: st.DrawFn, name: str) -> core.Node:
    """A node as it may be at one time."""
    labels = {HOSTNAME: name}
    for key, values in (
        (ZONE, ("a", "b")),
        ("rack", ("1", "2", "3")),
        ("disk", ("ssd",)),
        ("size", ("3", "9", "big")),
    ):
        chosen = draw(st.sampled_from((None, *values)))
        if chosen:
            labels[key] = chosen
    taints = draw(
        few(
            st.builds(
                core.Taint,
                key=st.just("dedicated"),
                value=st.sampled_from(("x", "y")),
                effect=st.sampled_from(("NoSchedule", "PreferNoSchedule", "NoExecute")),
            )
        )
    )
    amounts = {
        "cpu": draw(st.sampled_from(("2", "4", "0"))),
        "memory": "8Gi",
        "pods": draw(st.sampled_from(("2", "9"))),
    }
    images = draw(st.sampled_from(([], [core.ContainerImage(names=["big:latest"], size_bytes=900 * MIB)])))
    return core.Node(
        metadata=meta.ObjectMeta(name=name, labels=labels),
        spec=core.NodeSpec(taints=taints, unschedulable=draw(st.sampled_from((None, None, True)))),
        status=core.NodeStatus(allocatable=amounts | draw(st.sampled_from(({}, {"gpu": "2"}))), images=images),
    )


STEPS = ("place", "place", "place", "release", "leave", "node", "remove", "namespace", "tidy")
NAMES = tuple(f"n{number}" for number in range(5))


@st.composite
def histories(draw: st.DrawFn) -> list[tuple[str, Any]]:
    """A few nodes, then things that happen."""
    steps: list[tuple[str, Any]] = [("node", draw(node_objects(name))) for name in NAMES[:3]]
    for _ in range(draw(st.integers(1, 25))):
        what = draw(st.sampled_from(STEPS))
        match what:
            case "node":
                steps.append((what, draw(node_objects(draw(st.sampled_from(NAMES))))))
            case "remove":
                steps.append((what, draw(st.sampled_from(NAMES))))
            case "namespace":
                steps.append((what, draw(st.sampled_from(({}, {"team": "a"})))))
            case _:
                steps.append((what, draw(st.integers(0, 40))))
    return steps


class Both:
    """The world and the plain one, told the same."""

    def __init__(self, profile: Profile = DEFAULT) -> None:
        selector = meta.LabelSelector(match_labels={"app": "web"})
        self.plain = Plain(
            namespaces={"default": {}, "other": {}},
            off=profile.off,
            added=profile.added_affinity,
            ignores_preferences=profile.ignores_preferences,
            spreading=[(each.topology_key, each.max_skew, each.hard) for each in profile.spreading],
            system_spreading=profile.system_spreading,
            default=lambda pod: selector if pod.metadata.labels["app"] == "web" else None,
        )
        self.world = World(Ledger())
        self.templates = Templates(
            self.world,
            profile,
            default_selector=lambda pod: WEB if pod.metadata.labels["app"] == "web" else None,
        )
        self.number = 0

    def play(self, step: str, value: Any, pods: list[core.Pod]) -> None:
        placed = list(self.plain.pods)
        if step == "node":
            self.plain.nodes[value.metadata.name] = value
            self.world.set_node(value)
        elif step == "remove" and value in self.plain.nodes:
            del self.plain.nodes[value]
            self.world.remove_node(value)
        elif step == "namespace":
            self.plain.namespaces = {"default": {}, "other": value}
            self.world.set_namespace("other", value)
        elif step == "tidy":
            self.world.ledger.columns.drop_unused()
        elif step == "place":
            self.place(pods[value % len(pods)])
        elif step == "release" and placed:
            uid = placed[value % len(placed)]
            del self.plain.pods[uid]
            self.world.displace(uid)
        elif step == "leave" and placed:
            pod, node = self.plain.pods[placed[value % len(placed)]]
            pod.metadata.deletion_timestamp = NOW
            self.world.place(pod, node)

    def place(self, kind: core.Pod) -> None:
        """Compare, then have the pod where it is best."""
        self.number += 1
        pod = core.Pod(
            metadata=meta.ObjectMeta(
                name=f"p{self.number}",
                uid=f"u{self.number}",
                namespace=kind.metadata.namespace,
                generation=1,
                labels=kind.metadata.labels,
            ),
            spec=kind.spec,
        )
        wanted = self.plain.scores(pod)
        template = self.templates.of(pod)
        scores = template.scores()
        names = self.world.ledger.columns.nodes
        rows = {names[row]: scores[row] for row in np.flatnonzero(scores > REFUSED).tolist()}
        assert set(rows) == set(wanted)
        differences = {rows[name] - score for name, score in wanted.items()}
        assert len(differences) <= 1, (rows, wanted)
        self.compare_reasons(pod)
        best = template.best()
        if best is None:
            assert not wanted
            return
        name = self.world.ledger.columns.nodes[best]
        assert wanted[name] == max(wanted.values())
        self.plain.pods[pod.metadata.uid] = (pod, name)
        self.world.place(pod, name)

    def compare_reasons(self, pod: core.Pod) -> None:
        """A node has a reason exactly when it will not do; and what if its pods were gone is answered alike."""
        template = self.templates.of(pod)
        found = Explanation(template)
        feasible = self.plain.feasible(pod)
        for name in self.plain.nodes:
            row = self.world.nodes.row(name)
            assert bool(found.of(row)) == (name not in feasible), (name, found.of(row))
            if not template.column.allowed[row]:  # what a node says of itself is not asked again
                continue
            gone = [uid for uid, (_, node) in self.plain.pods.items() if node == name]
            kept = {uid: each for uid, each in self.plain.pods.items() if uid not in gone}
            without = replace(self.plain, pods=kept)
            refusal = refusal_if(template, row, gone=[self.world.placed[uid] for uid in gone])
            assert (refusal is None) == without.fits(pod, self.plain.nodes[name])


@settings(max_examples=150, deadline=None)
@given(histories(), st.lists(kinds(), min_size=1, max_size=4))
def test_the_same_nodes_and_the_same_best_score(history: list[tuple[str, Any]], pods: list[core.Pod]) -> None:
    both = Both()
    for step, value in history:
        both.play(step, value, pods)


@settings(max_examples=80, deadline=None)
@given(histories(), st.lists(kinds(), min_size=1, max_size=4), st.frozensets(st.sampled_from(FILTERS), min_size=1))
def test_filters_that_are_off_are_not_asked(
    history: list[tuple[str, Any]], pods: list[core.Pod], off: frozenset[str]
) -> None:
    both = Both(Profile(off=off))
    for step, value in history:
        both.play(step, value, pods)


profiles = st.builds(
    Profile,
    added_affinity=st.one_of(st.just(NO_AFFINITY), node_affinities.filter(lambda wish: wish is not None)),
    ignores_preferences=st.booleans(),
    system_spreading=st.just(False),
    spreading=st.lists(
        st.builds(Spreading, st.sampled_from(KEYS), st.integers(1, 3), st.booleans()),
        max_size=2,
        unique_by=lambda each: (each.topology_key, each.hard),
    ).map(tuple),
)


@settings(max_examples=120, deadline=None)
@given(histories(), st.lists(kinds(), min_size=1, max_size=4), profiles)
def test_the_arguments_of_plugins_count(
    history: list[tuple[str, Any]], pods: list[core.Pod], profile: Profile
) -> None:
    both = Both(profile)
    for step, value in history:
        both.play(step, value, pods)
