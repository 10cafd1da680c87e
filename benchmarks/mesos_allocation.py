"""How long is one allocation cycle of the Mesos master at 1,000 agents and 100 frameworks in 10 roles?

Four cases: everything is free and nobody refuses; half of the frameworks refuse everything; all but one do; all
do. A case is measured in its second cycle: the first finds out which refusals hold, and is measured by itself for
the last case. The first case is measured again with its 1,000 offers booked in the ledger and released.
"""

import argparse
import time
from random import Random

from report import Figure, report

from bireme.ledger.ledger import Ledger
from bireme.mesos.allocator import AgentView, Filters, FrameworkView, Grant, allocate
from bireme.mesos.amounts import UNIT, Amounts
from bireme.mesos.offers import Offer, Offers

AGENTS, FRAMEWORKS, ROLES = 1_000, 100, 10
SCALARS = {"cpus": 16 * UNIT, "mem": 64_000 * UNIT, "disk": 500_000 * UNIT}
FREE = Amounts(SCALARS, {"ports": ((31_000, 32_000),)})
TOTAL = {name: AGENTS * amount for name, amount in SCALARS.items()}
NODE = {"cpu": 16_000, "memory": 64_000 << 20, "ephemeral-storage": 500_000 << 20, "pods": 110}
HOUR_S = 3600.0


def agents() -> list[AgentView]:
    return [AgentView(f"agent-{number}", FREE, f"host-{number}") for number in range(AGENTS)]


def frameworks() -> list[FrameworkView]:
    """Frameworks that hold different amounts, ten in each role."""
    return [
        FrameworkView(f"framework-{number}", (role,), {role: {"cpus": number * UNIT, "mem": number * 1_000 * UNIT}})
        for number in range(FRAMEWORKS)
        for role in (f"role-{number % ROLES}",)
    ]


def refusals(share: float) -> Filters:
    """What is held against offers when this part of the frameworks refused every agent."""
    filters = Filters()
    for framework in frameworks()[: int(share * FRAMEWORKS)]:
        for agent in agents():
            filters.refuse(framework.framework_id, framework.roles[0], agent.agent_id, FREE, until=HOUR_S)
    return filters


def cycle_ms(share: float, *, after: int = 1) -> float:
    """A cycle with this part of the frameworks refusing everything, after so many others."""
    filters, here, who = refusals(share), agents(), frameworks()
    for _ in range(after):
        allocate(here, who, filters, total=TOTAL, now=0.0, random=Random(1))
    began = time.perf_counter()
    grants = allocate(here, who, filters, total=TOTAL, now=0.0, random=Random(1))
    took = time.perf_counter() - began
    assert len(grants) == (AGENTS if share < 1 else 0)
    return took * 1e3


def booked_ms() -> float:
    """Booking the offers of a whole cycle in the ledger, and giving them back."""
    ledger = Ledger()
    for number in range(AGENTS):
        ledger.set_node(f"agent-{number}", NODE)
    offers = Offers(ledger)
    grants = allocate(agents(), frameworks(), Filters(), total=TOTAL, now=0.0, random=Random(1))
    made = [offer_of(number, grant) for number, grant in enumerate(grants)]
    began = time.perf_counter()
    for offer in made:
        assert offers.try_make(offer)
    for offer in made:
        ledger.release_offer(offer.offer_id)
    return (time.perf_counter() - began) * 1e3


def offer_of(number: int, grant: Grant) -> Offer:
    """The offer that the master makes of a grant."""
    return Offer(f"O{number}", grant.framework_id, grant.agent_id, grant.agent_id, grant.role, grant.amounts, 0.0)


def measure(repeats: int) -> list[Figure]:
    what = f"{AGENTS:,} agents x {FRAMEWORKS} frameworks"
    return [
        Figure(f"cycle, {what}, nobody refuses", "ms", [cycle_ms(0) for _ in range(repeats)]),
        Figure(f"cycle, {what}, half refuse", "ms", [cycle_ms(0.5) for _ in range(repeats)]),
        Figure(f"cycle, {what}, all but one refuse", "ms", [cycle_ms(0.99) for _ in range(repeats)]),
        Figure(f"cycle, {what}, all refuse", "ms", [cycle_ms(1) for _ in range(repeats)]),
        Figure(f"cycle, {what}, all refuse, the first", "ms", [cycle_ms(1, after=0) for _ in range(repeats)]),
        Figure(f"booking and releasing {AGENTS:,} offers", "ms", [booked_ms() for _ in range(repeats)]),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=5)
    report("The Mesos allocator", measure(parser.parse_args().repeats))


if __name__ == "__main__":
    main()
