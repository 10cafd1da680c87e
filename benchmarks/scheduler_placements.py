"""How many pods a second does the scheduler place, at 100, 1,000 and 5,000 nodes, of 1 and of 50 templates?

One placement is what `scheduler.py` does between two events: read what the pod asks, ask its template's column for
the best node, book it. With 50 templates taken in turns each column has 50 changed rows to look at, the worst
case. Beside it stands what it costs to score every node anew, which is what each pod would pay without columns:
the ratio is what the columns are worth.
"""

import argparse
import time
from itertools import cycle, islice

from report import Figure, report

from bireme.api.kinds import core, meta
from bireme.ledger.ledger import Ledger
from bireme.scheduler.filters import NodeFacts
from bireme.scheduler.templates import Nodes, Template, Templates, demand_of

NODES = (100, 1_000, 5_000)
TEMPLATES = (1, 50)
MOST = 10_000
PER_NODE = 50
FRESH = 20
ALLOCATABLE = {"cpu": 32_000, "memory": 128 << 30, "ephemeral-storage": 500 << 30, "pods": 110}


def world(count: int) -> Nodes:
    """Nodes in three zones, each with images of its own and one that all have."""
    nodes = Nodes(Ledger())
    for number in range(count):
        name = f"node-{number:04}"
        labels = {"kubernetes.io/hostname": name, "topology.kubernetes.io/zone": f"zone-{number % 3}"}
        images = {"app:1": 50 << 20, f"other:{number % 10}": 200 << 20}
        nodes.set(NodeFacts(name, labels, images=images), ALLOCATABLE)
    return nodes


def pods(templates: int) -> list[core.Pod]:
    """One pod of each template: they differ in what they request."""
    return [
        core.Pod(
            metadata=meta.ObjectMeta(name=f"pod-{number}", namespace="default"),
            spec=core.PodSpec(
                containers=[
                    core.Container(
                        name="main",
                        image="app:1",
                        resources=core.ResourceRequirements(requests={"cpu": f"{100 + number}m", "memory": "256Mi"}),
                    )
                ]
            ),
        )
        for number in range(templates)
    ]


def placements(count: int, templates: int) -> float:
    """Placements a second."""
    nodes = world(count)
    ledger, cache, waiting = nodes.ledger, Templates(nodes), pods(templates)
    for pod in waiting:
        cache.of(demand_of(pod)).best()
    places = min(MOST, PER_NODE * count)
    began = time.perf_counter()
    for number, pod in enumerate(islice(cycle(waiting), places)):
        demand = demand_of(pod)
        row = cache.of(demand).best()
        assert row is not None
        ledger.promise_pod(f"uid-{number}", ledger.columns.nodes[row], demand.requests, ports=demand.ports)
    return places / (time.perf_counter() - began)


def fresh_scores(count: int) -> float:
    """How often a second all nodes can be scored for a pod that has no column."""
    nodes, demand = world(count), demand_of(pods(1)[0])
    began = time.perf_counter()
    for _ in range(FRESH):
        Template(demand, nodes).best()
    return FRESH / (time.perf_counter() - began)


def measure(repeats: int) -> list[Figure]:
    figures = []
    for count in NODES:
        fresh = [fresh_scores(count) for _ in range(repeats)]
        for templates in TEMPLATES:
            rates = [placements(count, templates) for _ in range(repeats)]
            what = f"{count:,} nodes, {templates} template{'s' * (templates > 1)}"
            ratio = {"times_faster_than_scoring_all": round(max(rates) / max(fresh), 1)}
            figures.append(Figure(f"placements, {what}", "pods/s", rates, notes=ratio))
        figures.append(Figure(f"scoring all of {count:,} nodes anew", "times/s", fresh))
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=3)
    report("The scheduler", measure(parser.parse_args().repeats))


if __name__ == "__main__":
    main()
