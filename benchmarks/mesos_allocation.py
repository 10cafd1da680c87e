"""How much CPU is one allocation cycle of the Mesos master at 10,000 agents and 1,000 frameworks?

The decisions by themselves, for flat and nested roles, with none, some, all but one and all of the frameworks
refusing, with offer constraints and with quotas; each beside a bare heap of as many frameworks from which as many
turns are taken, the least that any such order could cost on the same machine. Then the cycle as the master runs it,
in its shares: seeing which agents changed, deciding, booking in the ledger, writing offers to the frameworks'
streams, and the longest time for which the loop stands still. Last, a cycle in which nothing, or one agent, changed.
"""

import argparse
import time
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from heapq import heapreplace
from itertools import count
from random import Random
from typing import cast
from uuid import UUID

from report import Figure, report

from bireme.aio.clock import VirtualClock
from bireme.api import resources
from bireme.api.kinds import core
from bireme.assembly.process import settle_memory
from bireme.client.client import Client
from bireme.ledger.ledger import Ledger
from bireme.mesos import protocol
from bireme.mesos.agents import refresh
from bireme.mesos.allocator import Allocator, FrameworkView, Grant
from bireme.mesos.amounts import UNIT, Amounts
from bireme.mesos.constraints import compile_constraints
from bireme.mesos.core import Means
from bireme.mesos.eligibility import AgentView
from bireme.mesos.master import Master
from bireme.mesos.offers import Offer, Offers
from bireme.mesos.protocol import ContentType
from bireme.mesos.quota import Quota
from bireme.mesos.roster import Agent, Framework
from bireme.mesos.subscription import Subscription

AGENTS, FRAMEWORKS, RACKS = 10_000, 1_000, 50
REFUSED_AGENTS = 1_000  # where most frameworks refuse most agents: ten million refusals take long to prepare
SCALARS = {"cpus": 16 * UNIT, "mem": 65_536 * UNIT, "disk": 512_000 * UNIT}
FREE = Amounts(SCALARS, {"ports": ((31_000, 32_000),)})
HOUR_S = 3600.0


def flat(roles: int) -> Callable[[int], str]:
    return lambda number: f"role-{number % roles}"


def nested(number: int) -> str:
    """Ten departments of ten groups of ten teams; some frameworks stand in departments and groups themselves."""
    depth = 1 + number % 3
    return "/".join((f"d{number % 10}", f"g{number // 10 % 10}", f"t{number // 100}")[:depth])


def rack(value: str) -> dict[str, object]:
    constraint = {"selector": {"attribute_name": "rack"}, "predicate": {"text_not_equals": {"value": value}}}
    return {"groups": [{"attribute_constraints": [constraint]}]}


def allocator(role: Callable[[int], str], *, agents: int = AGENTS, constrained: bool = False) -> Allocator:
    """Agents that are free, and frameworks that hold different amounts."""
    made = Allocator(random=Random(1))
    made.order.set_total({name: AGENTS * amount for name, amount in SCALARS.items()})
    for number in range(FRAMEWORKS):
        wishes = {role(number): rack(f"r{number % RACKS}")} if constrained else {}
        constraints = compile_constraints({"role_constraints": wishes})
        made.set_framework(FrameworkView(f"f{number:04}", (role(number),), constraints=constraints))
        made.charge(f"f{number:04}", role(number), {"cpus": number * UNIT, "mem": number * 1_000 * UNIT})
    for number in range(agents):
        attributes = [{"name": "rack", "type": "TEXT", "text": {"value": f"r{number % RACKS}"}}]
        made.set_agent(AgentView(f"S{number}", FREE, f"host-{number}", attributes))
    return made


def refuse(made: Allocator, role: Callable[[int], str], agents: int, share: float, *, everything: bool) -> None:
    """This part of the frameworks refuses every agent, or each refuses this part of the agents."""
    random = Random(2)
    for number in range(FRAMEWORKS if not everything else round(share * FRAMEWORKS)):
        for agent in range(agents):
            if everything or random.random() < share:
                made.refuse(f"f{number:04}", role(number), f"S{agent}", FREE, until=HOUR_S)


def with_quotas(made: Allocator) -> Allocator:
    """Each of ten roles is guaranteed a part of the cluster, and limited to twice its fair share."""
    for number in range(10):
        made.set_quota(f"role-{number}", Quota({"cpus": 640 * UNIT}, {"cpus": AGENTS // 5 * SCALARS["cpus"]}))
    return made


def charge(made: Allocator, grants: Sequence[Grant]) -> None:
    """As the master counts offers that it made (`Offers.make`); grants of one call are of equal amounts."""
    for (framework_id, role), turns in Counter((grant.framework_id, grant.role) for grant in grants).items():
        made.charge(framework_id, role, grants[0].amounts.scalars, times=turns, turns=turns)


def decisions_ms(made: Allocator, agents: int, repeats: int) -> list[float]:
    """Whole cycles, each with all agents free; what was granted is given back between them."""
    found = []
    for _ in range(repeats):
        began = time.process_time()
        granted: list[Grant] = []
        while made.waiting:
            made.begin(now=0.0)
            while grants := made.grants():
                charge(made, grants)
                granted += grants
        found.append((time.process_time() - began) * 1e3)
        for grant in granted:
            made.charge(grant.framework_id, grant.role, grant.amounts.scalars, times=-1)
        for number in range(agents):
            made.set_free(f"S{number}", FREE)
    return found


def bare_heap_ms() -> float:
    heap = [(0.0, 0, f"f{number:04}") for number in range(FRAMEWORKS)]
    began = time.process_time()
    for _ in range(AGENTS):
        share, times, name = heap[0]
        heapreplace(heap, (share + 0.001, times + 1, name))
    return (time.process_time() - began) * 1e3


def decisions(repeats: int) -> list[Figure]:
    bare = [bare_heap_ms() for _ in range(max(3, repeats))]
    figures = [Figure("a bare heap, as many turns", "ms CPU", bare)]

    def add(name: str, made: Allocator, agents: int = AGENTS, target: str = "") -> None:
        times = decisions_ms(made, agents, repeats)
        notes = {"times_a_bare_heap": round(min(times) / min(bare) * AGENTS / agents, 1)}
        what = f"decisions, {agents:,} agents x {FRAMEWORKS:,} frameworks"
        figures.append(Figure(f"{what}, {name}", "ms CPU", times, target=target, notes=notes))

    for roles in (1, 10, 100, 1_000):
        add(f"{roles:,} roles", allocator(flat(roles)), target="under 20")
    add("three levels of roles", allocator(nested), target="under 20")
    add("constraints on the rack", allocator(flat(10), constrained=True))
    add("10 roles, each with a quota", with_quotas(allocator(flat(10))))
    for agents, share, everything, name in (
        (AGENTS, 0.01, False, "each refuses 1 % of agents"),
        (REFUSED_AGENTS, 0.25, False, "each refuses a quarter of agents"),
        (REFUSED_AGENTS, 0.5, True, "half of frameworks refuse"),
        (REFUSED_AGENTS, 1 - 1 / FRAMEWORKS, True, "all but one refuse"),
        (REFUSED_AGENTS, 1.0, True, "all refuse"),
    ):
        made = allocator(flat(10), agents=agents)
        refuse(made, flat(10), agents, share, everything=everything)
        add(name, made, agents)
    return figures


def node(name: str, number: int) -> core.Node:
    made = core.Node()
    made.metadata.name = name
    made.metadata.labels = {"kubernetes.io/hostname": name, "rack": f"r{number % RACKS}", "kubernetes.io/os": "linux"}
    made.status.allocatable = {"cpu": "16", "memory": "64Gi", "ephemeral-storage": "500Gi", "pods": "110"}
    made.status.addresses = [core.NodeAddress(type="Hostname", address=name)]
    made.status.conditions = [core.NodeCondition(type="Ready", status="True")]
    return made


def master() -> Master:
    """A master with nodes and frameworks, but no API behind it: it is only made to allocate."""
    ledger, ids = Ledger(), count(1)
    means = Means(cast("Client", None), ledger, VirtualClock(), Random(1), lambda: UUID(int=next(ids)))
    made = Master(means)
    for number in range(AGENTS):
        agent, seen = Agent(made.roster.new_agent_id(), f"node-{number}"), node(f"node-{number}", number)
        refresh(agent, seen, ports=((31_000, 32_000),), work_dir="/", port=5051)
        agent.saved = agent.connected = True
        made.roster.add_agent(agent)
        made.touched(agent)
        ledger.set_node(agent.node, resources.read(seen.status.allocatable))
    for number in range(FRAMEWORKS):
        capabilities = [{"type": "MULTI_ROLE"}]
        info = {"user": "root", "name": "x", "capabilities": capabilities, "roles": [flat(10)(number)]}
        framework = Framework(made.roster.new_framework_id(), info)
        framework.subscription = Subscription(ContentType.JSON, event=protocol.SCHEDULER_EVENT)
        made.roster.frameworks[framework.framework_id] = framework
        made.describe(framework)
    return made


def give_back(made: Master) -> None:
    for offer in made.offers.out():
        made.offers.release([made.offers.take(offer.offer_id)])
    for framework in made.roster.frameworks.values():
        framework.subscription = Subscription(ContentType.JSON, event=protocol.SCHEDULER_EVENT)


def cpu_ms(do: Callable[[], object]) -> float:
    began = time.process_time()
    do()
    return (time.process_time() - began) * 1e3


def cycles(repeats: int) -> list[Figure]:
    made = master()
    seeing, whole, longest, nothing, one = [], [], [], [], []
    for _ in range(repeats):
        looks = [cpu_ms(made.look_at_agents)]
        while made.unseen:
            looks.append(cpu_ms(made.look_at_agents))
        seeing.append(sum(looks))
        turns = [cpu_ms(made.allocate)]
        while made.allocator.waiting or made.unseen:
            turns.append(cpu_ms(made.allocate))
        assert len(made.offers) == AGENTS
        whole.append(seeing[-1] + sum(turns))
        longest.append(max(*looks, *turns))
        made.tick()
        nothing.append(cpu_ms(made.tick))
        offer = made.offers.out()[0]
        made.offers.release([made.offers.take(offer.offer_id)])
        one.append(cpu_ms(made.tick))
        give_back(made)
    what = f"cycle, {AGENTS:,} agents x {FRAMEWORKS:,} frameworks"
    return [
        Figure(f"{what}, all free: seeing what changed", "ms CPU", seeing),
        Figure(f"{what}, all free: the whole, offers sent", "ms CPU", whole),
        Figure(f"{what}, all free: the longest turn of the loop", "ms CPU", longest, target="under 50"),
        Figure(f"{what}, nothing changed", "ms CPU", nothing),
        Figure(f"{what}, one agent changed", "ms CPU", one),
    ]


def booking(repeats: int) -> Figure:
    """Booking the offers of a whole cycle in the ledger and counting them."""
    found = []
    for _ in range(repeats):
        ledger = Ledger()
        for number in range(AGENTS):
            allocatable = {"cpu": 16_000, "memory": 64 << 30, "ephemeral-storage": 500 << 30, "pods": 110}
            ledger.set_node(f"node-{number}", allocatable)
        offers = Offers(ledger, Allocator(random=Random(1)))
        made = [
            Offer(f"O{number}", f"f{number % FRAMEWORKS}", f"S{number}", f"node-{number}", "*", FREE, 0.0)
            for number in range(AGENTS)
        ]
        found.append(cpu_ms(partial(offers.make, made)))
        assert len(offers) == AGENTS
    return Figure(f"booking {AGENTS:,} offers", "ms CPU", found)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=3)
    repeats = parser.parse_args().repeats
    settle_memory()  # as a core process does: its collector is not for small heaps
    report("The Mesos allocator", [*decisions(repeats), booking(repeats), *cycles(repeats)])


if __name__ == "__main__":
    main()
