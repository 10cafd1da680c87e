"""Who is offered what: all that an agent has free goes to the first framework, in fair order, that may have it.

One offer is of one agent, to one framework, in one role. Passed over are suppressed roles, frameworks that
lately refused as much of that agent, offer constraints that don't hold, agents with GPUs or in another region
for frameworks that did not ask for such, and remainders below the smallest size. The order itself is `drf.py`'s.
Source: Mesos 1.11's HTTP API.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import inf
from random import Random

from bireme.mesos.amounts import Amounts, thousandths
from bireme.mesos.drf import Claim, FairOrder, Vector
from bireme.mesos.messages import Message

Minimum = tuple[Mapping[str, int], ...]
Seat = tuple[str, str]  # a role, and a framework in it

MINIMUM: Minimum = ({"cpus": thousandths(0.01)}, {"mem": thousandths(32)})
DEFAULT_REFUSE_S = 5.0
LONGEST_REFUSE_S = 365 * 86400.0


@dataclass(frozen=True, slots=True)
class AgentView:
    """An agent that may be offered: what of it is free, and what constraints look at."""

    agent_id: str
    free: Amounts
    hostname: str = ""
    attributes: Sequence[Message] = ()
    remote: bool = False


@dataclass(frozen=True, slots=True)
class FrameworkView:
    """A framework that takes offers: `roles` are those not suppressed, `held` what it has by role."""

    framework_id: str
    roles: tuple[str, ...]
    held: Mapping[str, Vector] = field(default_factory=dict)
    capabilities: frozenset[str] = frozenset()
    minimum: Mapping[str, Minimum] = field(default_factory=dict)
    constraints: Mapping[str, Callable[[AgentView], bool]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Grant:
    """What one agent has free, to be offered to a framework in a role."""

    agent_id: str
    framework_id: str
    role: str
    amounts: Amounts


@dataclass(slots=True)
class _Refusals:
    """What frameworks refused of one agent, and which of them hold against `asked`, the amounts last asked for.

    `holding` says until when; nothing in it ends before `soonest`.
    """

    entries: dict[Seat, list[tuple[float, Amounts]]] = field(default_factory=dict)
    asked: Amounts | None = None
    holding: dict[Seat, float] = field(default_factory=dict)
    soonest: float = inf

    def add(self, seat: Seat, amounts: Amounts, until: float) -> None:
        held = [each for each in self.entries.get(seat, ()) if each[0] > until or not amounts.contains(each[1])]
        self.entries[seat] = [*held, (until, amounts)]
        if self.asked is not None and amounts.contains(self.asked):
            self.holding[seat] = max(until, self.holding.get(seat, until))
            self.soonest = min(self.soonest, until)

    def against(self, amounts: Amounts, now: float) -> Mapping[Seat, float]:
        if self.asked != amounts:
            self._ask(amounts, now)
        elif self.soonest <= now:
            self.holding = {seat: until for seat, until in self.holding.items() if until > now}
            self.soonest = min(self.holding.values(), default=inf)
        return self.holding

    def _ask(self, amounts: Amounts, now: float) -> None:
        self.asked, self.holding = amounts, {}
        live = {seat: [each for each in held if each[0] > now] for seat, held in self.entries.items()}
        self.entries = {seat: held for seat, held in live.items() if held}
        for seat, held in self.entries.items():
            until = max((end for end, refused in held if refused.contains(amounts)), default=now)
            if until > now:
                self.holding[seat] = until
        self.soonest = min(self.holding.values(), default=inf)

    def drop(self, gone: Callable[[Seat], bool]) -> None:
        self.entries = {seat: held for seat, held in self.entries.items() if not gone(seat)}
        self.holding = {seat: until for seat, until in self.holding.items() if not gone(seat)}
        self.soonest = min(self.holding.values(), default=inf)


class Filters:
    """Refusals that still hold, by agent.

    An agent that nobody takes is asked about again and again with the same amounts, so which refusals hold
    against these is kept until they change; each cycle then costs a look, not a comparison of amounts.
    """

    def __init__(self) -> None:
        self._of_agent: dict[str, _Refusals] = {}

    def refuse(self, framework_id: str, role: str, agent_id: str, amounts: Amounts, *, until: float) -> None:
        """Offer no part of `amounts` on that agent before `until`."""
        self._of_agent.setdefault(agent_id, _Refusals()).add((role, framework_id), amounts, until)

    def against(self, agent_id: str, amounts: Amounts, *, now: float) -> Mapping[Seat, float]:
        """Those who refused `amounts` or more of that agent, and until when that holds."""
        refusals = self._of_agent.get(agent_id)
        return {} if refusals is None else refusals.against(amounts, now)

    def clear(self, framework_id: str, roles: Iterable[str] | None = None) -> None:
        """Forget what a framework refused, in these roles or in all."""
        chosen = None if roles is None else set(roles)
        for refusals in self._of_agent.values():
            refusals.drop(lambda seat: seat[1] == framework_id and (chosen is None or seat[0] in chosen))

    def forget_agent(self, agent_id: str) -> None:
        """Forget what was refused of an agent that left."""
        self._of_agent.pop(agent_id, None)

    def active(self, now: float) -> Mapping[str, int]:
        """How many refusals hold, by role."""
        found: dict[str, int] = {}
        for refusals in self._of_agent.values():
            for (role, _), held in refusals.entries.items():
                found[role] = found.get(role, 0) + sum(until > now for until, _ in held)
        return found


def refuse_seconds(filters: Message | None) -> float:
    """How long a refusal holds: 5 s unless said, a year at most; 0 for not at all."""
    seconds = DEFAULT_REFUSE_S if filters is None else float(filters.get("refuse_seconds", DEFAULT_REFUSE_S))
    if seconds != seconds or seconds < 0:
        return DEFAULT_REFUSE_S
    return min(seconds, LONGEST_REFUSE_S)


def allocate(
    agents: Iterable[AgentView],
    frameworks: Sequence[FrameworkView],
    filters: Filters,
    *,
    total: Vector,
    now: float,
    random: Random,
    weights: Mapping[str, float] | None = None,
) -> list[Grant]:
    """The offers to make now. Agents are taken in a random order, so that none is always first."""
    by_id = {framework.framework_id: framework for framework in frameworks}
    claims = [Claim(role, each.framework_id, each.held.get(role, {})) for each in frameworks for role in each.roles]
    if not claims:
        return []
    everyone = {(claim.role, claim.framework) for claim in claims}
    order = FairOrder(total, claims, weights=weights)
    queue = [agent for agent in agents if agent.free.scalars]
    random.shuffle(queue)
    grants: list[Grant] = []
    for agent in queue:
        refused = filters.against(agent.agent_id, agent.free, now=now)
        if everyone <= refused.keys():
            continue

        def suits(
            role: str, framework_id: str, agent: AgentView = agent, refused: Mapping[Seat, float] = refused
        ) -> bool:
            return (role, framework_id) not in refused and may_have(by_id[framework_id], role, agent)

        chosen = order.give(agent.free.scalars, suits)
        if chosen is not None:
            grants.append(Grant(agent.agent_id, chosen[1], chosen[0], agent.free))
    return grants


def may_have(framework: FrameworkView, role: str, agent: AgentView) -> bool:
    """Whether all that is free on the agent may go to the framework in that role, refusals apart."""
    if agent.free.scalar("gpus") and "GPU_RESOURCES" not in framework.capabilities:
        return False
    if agent.remote and "REGION_AWARE" not in framework.capabilities:
        return False
    if not is_large_enough(agent.free, framework.minimum.get(role, MINIMUM)):
        return False
    holds = framework.constraints.get(role)
    return holds is None or holds(agent)


def is_large_enough(amounts: Amounts, minimum: Minimum) -> bool:
    """Whether one of the sets of smallest quantities is met; no sets at all ask for nothing."""
    return not minimum or any(
        all(amounts.scalar(name) >= least for name, least in quantities.items()) for quantities in minimum
    )


def minimum_of(framework_info: Message) -> dict[str, Minimum]:
    """The smallest offers by role that a framework asked for; roles without a wish are left out."""
    found: dict[str, Minimum] = {}
    for role, wish in framework_info.get("offer_filters", {}).items():
        if "min_allocatable_resources" in wish:
            sets = wish["min_allocatable_resources"].get("quantities", [])
            found[role] = tuple(
                {name: thousandths(scalar["value"]) for name, scalar in each.get("quantities", {}).items()}
                for each in sets
            )
    return found
