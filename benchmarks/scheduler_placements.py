"""How many pods a second does the scheduler place, with how many nodes, of how many kinds, and with what wishes?

One placement is what `scheduler.py` does between two events: read what the pod asks, ask its template for the best
node, book it there with its labels and bonds. Every node is scored. With many kinds taken in turns, each has as many
changed rows to look at as there are kinds, the worst case. Beside it stands what it costs to score every node anew,
which is what each pod would pay without columns: the ratio is what the columns are worth.
"""

import argparse
import gc
import time
from collections.abc import Callable, Sequence
from itertools import cycle, islice

import msgspec
from report import Figure, report

from bireme.api.kinds import core, meta
from bireme.ledger.ledger import Ledger
from bireme.scheduler.nodes import NodeFacts
from bireme.scheduler.profile import HOSTNAME, ZONE
from bireme.scheduler.templates import Templates
from bireme.scheduler.world import World

PLACES = 10_000
FRESH = 10
WARM_PER_NODE = 2
ALLOCATABLE = {"cpu": 32_000, "memory": 128 << 30, "ephemeral-storage": 500 << 30, "pods": 110}


def world(count: int) -> World:
    """Nodes in ten zones, each with images of its own and one that all have, and two plain pods."""
    made = World(Ledger())
    made.set_namespace("default", {})
    for number in range(count):
        name = f"node-{number:05}"
        labels = {HOSTNAME: name, ZONE: f"zone-{number % 10}", "pool": f"pool-{number % 5}"}
        images = {"app:1": 50 << 20, f"other:{number % 10}": 200 << 20}
        made.set_facts(NodeFacts(name, labels, images=images), ALLOCATABLE)
    for number in range(WARM_PER_NODE * count):
        made.place(pod(f"warm-{number}", "100m", {"app": "warm"}), f"node-{number % count:05}")
    return made


def pod(name: str, cpu: str, labels: dict[str, str]) -> core.Pod:
    requests: dict[str, str | int | float] = {"cpu": cpu, "memory": "256Mi"}
    container = core.Container(name="main", image="app:1", resources=core.ResourceRequirements(requests=requests))
    metadata = meta.ObjectMeta(name=name, uid=name, namespace="default", generation=1, labels=labels)
    return core.Pod(metadata=metadata, spec=core.PodSpec(containers=[container]))


Wish = Callable[[core.PodSpec, meta.LabelSelector], None]


def nothing(spec: core.PodSpec, same: meta.LabelSelector) -> None:
    """No wish."""


def spread(spec: core.PodSpec, same: meta.LabelSelector) -> None:
    """Hard over zones, soft over hosts."""
    spec.topology_spread_constraints = [
        core.TopologySpreadConstraint(
            topology_key=ZONE, max_skew=1, when_unsatisfiable="DoNotSchedule", label_selector=same
        ),
        core.TopologySpreadConstraint(
            topology_key=HOSTNAME, max_skew=2, when_unsatisfiable="ScheduleAnyway", label_selector=same
        ),
    ]


def _term(same: meta.LabelSelector, key: str) -> core.PodAffinityTerm:
    return core.PodAffinityTerm(label_selector=same, topology_key=key)


def apart(spec: core.PodSpec, same: meta.LabelSelector) -> None:
    """No two on one host."""
    terms = [_term(same, HOSTNAME)]
    spec.affinity = core.Affinity(
        pod_anti_affinity=core.PodAntiAffinity(required_during_scheduling_ignored_during_execution=terms)
    )


def together(spec: core.PodSpec, same: meta.LabelSelector) -> None:
    """All in one zone."""
    terms = [_term(same, ZONE)]
    spec.affinity = core.Affinity(
        pod_affinity=core.PodAffinity(required_during_scheduling_ignored_during_execution=terms)
    )


def preferably(spec: core.PodSpec, same: meta.LabelSelector) -> None:
    """Rather beside each other in a zone, rather not on one host."""
    near = [core.WeightedPodAffinityTerm(weight=10, pod_affinity_term=_term(same, ZONE))]
    far = [core.WeightedPodAffinityTerm(weight=5, pod_affinity_term=_term(same, HOSTNAME))]
    spec.affinity = core.Affinity(
        pod_affinity=core.PodAffinity(preferred_during_scheduling_ignored_during_execution=near),
        pod_anti_affinity=core.PodAntiAffinity(preferred_during_scheduling_ignored_during_execution=far),
    )


def by_pool(spec: core.PodSpec, same: meta.LabelSelector) -> None:
    """Nodes of some pools, rather of one."""
    some = core.NodeSelectorRequirement(key="pool", operator="In", values=["pool-1", "pool-2", "pool-3"])
    one = core.NodeSelectorRequirement(key="pool", operator="In", values=["pool-2"])
    spec.affinity = core.Affinity(
        node_affinity=core.NodeAffinity(
            required_during_scheduling_ignored_during_execution=core.NodeSelector(
                node_selector_terms=[core.NodeSelectorTerm(match_expressions=[some])]
            ),
            preferred_during_scheduling_ignored_during_execution=[
                core.PreferredSchedulingTerm(weight=10, preference=core.NodeSelectorTerm(match_expressions=[one]))
            ],
        )
    )


def kinds(count: int, wish: Wish) -> list[core.Pod]:
    """One pod of each kind; they differ in what they request and in their labels."""
    made = []
    for number in range(count):
        labels = {"app": f"app-{number}"}
        each = pod(f"kind-{number}", f"{100 + number}m", labels)
        wish(each.spec, meta.LabelSelector(match_labels=labels))
        made.append(each)
    return made


def fresh_pods(of: Sequence[core.Pod], count: int) -> list[core.Pod]:
    """Pods as an informer gives them: each decoded by itself."""
    encoded = [msgspec.json.encode(each) for each in of]
    decode = msgspec.json.Decoder(core.Pod).decode
    made = [decode(each) for each in islice(cycle(encoded), count)]
    for number, each in enumerate(made):
        each.metadata.name = each.metadata.uid = f"pod-{number}"
    return made


def placements(nodes: int, templates: int, wish: Wish, *, places: int) -> float:
    """Placements a second of CPU time."""
    where, of = world(nodes), kinds(templates, wish)
    cache, waiting = Templates(where), fresh_pods(of, places)
    for each in of:
        cache.of(each).best()
    gc.collect()
    gc.disable()
    began = time.process_time()
    for each in waiting:
        template = cache.of(each)
        row = template.best()
        assert row is not None
        template.assume(each, where.ledger.columns.nodes[row])
    took = time.process_time() - began
    gc.enable()
    return places / took


def fresh_scores(count: int) -> float:
    """How often a second all nodes can be scored for a pod that has no column."""
    where, each = world(count), kinds(1, nothing)[0]
    began = time.process_time()
    for _ in range(FRESH):
        Templates(where).of(each).best()
    return FRESH / (time.process_time() - began)


QUESTIONS: Sequence[tuple[str, int, int, Wish, int, str]] = (
    ("100 nodes, 1 template", 100, 1, nothing, 5_000, ""),
    ("1,000 nodes, 1 template", 1_000, 1, nothing, PLACES, ""),
    ("5,000 nodes, 1 template", 5_000, 1, nothing, PLACES, "at least 40,000"),
    ("5,000 nodes, 50 templates mixed", 5_000, 50, nothing, PLACES, "at least 20,000"),
    ("5,000 nodes, 500 templates mixed", 5_000, 500, nothing, PLACES, "at least 5,000"),
    ("10,000 nodes, 50 templates mixed", 10_000, 50, nothing, PLACES, "at least 20,000"),
    ("5,000 nodes, topology spread", 5_000, 1, spread, PLACES, "at least 10,000"),
    ("5,000 nodes, required anti-affinity", 5_000, 1, apart, 4_000, "at least 5,000"),
    ("5,000 nodes, required affinity", 5_000, 1, together, PLACES, "at least 5,000"),
    ("5,000 nodes, preferred affinity", 5_000, 1, preferably, PLACES, "at least 2,000"),
    ("5,000 nodes, node affinity", 5_000, 1, by_pool, PLACES, ""),
)


def measure(repeats: int) -> list[Figure]:
    anew = {count: max(fresh_scores(count) for _ in range(repeats)) for count in (100, 1_000, 5_000, 10_000)}
    figures = []
    for what, nodes, templates, wish, places, target in QUESTIONS:
        rates = [placements(nodes, templates, wish, places=places) for _ in range(repeats)]
        ratio = {"times_faster_than_scoring_all": round(max(rates) / anew[nodes], 1)}
        figures.append(Figure(f"placements, {what}", "pods/s", rates, target, ratio))
    return figures + [Figure(f"scoring all of {n:,} nodes anew", "times/s", [rate]) for n, rate in anew.items()]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=3)
    report("The scheduler", measure(parser.parse_args().repeats))


if __name__ == "__main__":
    main()
