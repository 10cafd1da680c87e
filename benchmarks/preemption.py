"""How many preemptions a second are decided at 1,000 and 5,000 nodes that are full, over all nodes and exactly?

Every node holds 30 pods of three priorities. One preemption is a decision and what follows from it: the victims
leave, the newcomer takes their room. Pods of one template come one after the other (a Deployment scaled up) or of 20
in turns. Beside it stands what one decision costs that looks at every node from scratch, which the kept costs save.
"""

import argparse
import time
from functools import partial
from itertools import cycle, islice

import numpy as np
from report import Figure, report

from bireme.api.kinds import core, meta
from bireme.ledger.ledger import Ledger
from bireme.scheduler.budgets import Budgets
from bireme.scheduler.nodes import NodeFacts
from bireme.scheduler.preemption import Costs
from bireme.scheduler.residents import Residents
from bireme.scheduler.world import World

NODES = (1_000, 5_000)
TEMPLATES = (1, 20)
PER_NODE = 30
PRIORITIES = (0, 100, 1000)
ALLOCATABLE = {"cpu": 3_000, "memory": 30 << 30, "ephemeral-storage": 500 << 30, "pods": 110}
URGENT = 10_000
PREEMPTIONS = 1_000


def pod(name: str, *, priority: int, cpu: int, started: int = 0) -> core.Pod:
    container = core.Container(
        name="main", image="app:1", resources=core.ResourceRequirements(requests={"cpu": f"{cpu}m", "memory": "1Gi"})
    )
    return core.Pod(
        metadata=meta.ObjectMeta(name=name, namespace="default", uid=name, labels={"app": f"p{priority}"}),
        spec=core.PodSpec(containers=[container], priority=priority),
        status=core.PodStatus(start_time=f"2026-01-01T00:{started // 60:02}:{started % 60:02}Z"),
    )


def full_world(count: int) -> World:
    """Nodes without room."""
    world = World(Ledger())
    for number in range(count):
        name = f"node-{number:04}"
        world.set_facts(NodeFacts(name), ALLOCATABLE)
        for each in range(PER_NODE):
            priority = PRIORITIES[(number + each) % len(PRIORITIES)]
            held = pod(f"pod-{number}-{each}", priority=priority, cpu=100, started=(number + each) % 3600)
            world.place(held, name)
    return world


def costs_of(world: World, residents: Residents, cpu: int) -> Costs:
    amounts = {"cpu": cpu, "memory": 1 << 30, "pods": 1}
    wanted = partial(world.ledger.columns.vector, amounts)
    return Costs(world, residents, wanted, URGENT, held=lambda rows: None, budgets=Budgets())


def preemptions(count: int, templates: int) -> tuple[float, float]:
    """Preemptions a second once each template's costs are known, and the seconds that the first of all took."""
    world = full_world(count)
    residents, columns = Residents(world), world.ledger.columns
    kinds = [(150 + number, costs_of(world, residents, 150 + number)) for number in range(templates)]
    began = time.process_time()
    kinds[0][1].best(columns.live)
    first = time.process_time() - began
    for _, costs in kinds:
        costs.refresh()
    began = time.process_time()
    for number, (cpu, costs) in enumerate(islice(cycle(kinds), PREEMPTIONS)):
        choice = costs.best(columns.live)
        assert choice is not None
        for victim in choice.victims:
            world.displace(victim.uid)
        world.place(pod(f"urgent-{number}", priority=URGENT, cpu=cpu), columns.nodes[choice.row])
    return PREEMPTIONS / (time.process_time() - began), first


def anew(count: int) -> float:
    """Decisions a second that keep nothing but the rows of pods."""
    world = full_world(count)
    residents = Residents(world)
    costs_of(world, residents, 150).refresh()
    began = time.process_time()
    for _ in range(10):
        assert costs_of(world, residents, 150).best(np.ones(world.ledger.columns.capacity, dtype=bool)) is not None
    return 10 / (time.process_time() - began)


def measure(repeats: int) -> list[Figure]:
    figures = []
    for count in NODES:
        fresh = [anew(count) for _ in range(repeats)]
        for templates in TEMPLATES:
            rates, firsts = zip(*(preemptions(count, templates) for _ in range(repeats)), strict=True)
            what = f"{count:,} nodes, {templates} template{'s' * (templates > 1)}"
            notes = {
                "times_faster_than_anew": round(max(rates) / max(fresh), 1),
                "first_decision_ms": round(min(firsts) * 1e3, 1),
            }
            figures.append(Figure(f"preemptions, {what}", "pods/s of CPU", list(rates), "at least 300", notes))
        figures.append(Figure(f"deciding over {count:,} nodes anew", "times/s of CPU", fresh))
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=3)
    report("Preemption", measure(parser.parse_args().repeats))


if __name__ == "__main__":
    main()
