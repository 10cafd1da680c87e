"""Who is offered what: all that an agent has free goes to the first framework, in fair order, that may have it.

One offer is of one agent, to one framework, in one role. Passed over are suppressed roles, frameworks that
lately refused as much of that agent, offer constraints that don't hold, agents with GPUs or in another region
for frameworks that did not ask for such, and remainders below the smallest size. The order itself is `drf.py`'s.
Source: the reference page, 2.7 and 7.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from random import Random

from bireme.mesos.amounts import Amounts, thousandths
from bireme.mesos.drf import Claim, FairOrder, Vector
from bireme.mesos.messages import Message

Minimum = tuple[Mapping[str, int], ...]

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


class Filters:
    """Refusals that still hold, by framework, role and agent."""

    def __init__(self) -> None:
        self._refused: dict[tuple[str, str, str], list[tuple[float, Amounts]]] = {}

    def refuse(self, framework_id: str, role: str, agent_id: str, amounts: Amounts, *, until: float) -> None:
        """Offer no part of `amounts` on that agent before `until`."""
        self._refused.setdefault((framework_id, role, agent_id), []).append((until, amounts))

    def block(self, framework_id: str, role: str, agent_id: str, amounts: Amounts, *, now: float) -> bool:
        """Whether an offer of `amounts` is no more than what was refused."""
        key = (framework_id, role, agent_id)
        held = self._refused.get(key)
        if held is None:
            return False
        live = [entry for entry in held if entry[0] > now]
        if len(live) != len(held):
            if live:
                self._refused[key] = live
            else:
                del self._refused[key]
        return any(refused.contains(amounts) for _, refused in live)

    def clear(self, framework_id: str, roles: Iterable[str] | None = None) -> None:
        """Forget what a framework refused, in these roles or in all."""
        chosen = None if roles is None else set(roles)
        gone = [key for key in self._refused if key[0] == framework_id and (chosen is None or key[1] in chosen)]
        for key in gone:
            del self._refused[key]

    def forget_agent(self, agent_id: str) -> None:
        """Forget what was refused of an agent that left."""
        for key in [key for key in self._refused if key[2] == agent_id]:
            del self._refused[key]

    def active(self, now: float) -> Mapping[str, int]:
        """How many refusals hold, by role."""
        found: dict[str, int] = {}
        for (_, role, _), entries in self._refused.items():
            found[role] = found.get(role, 0) + sum(until > now for until, _ in entries)
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
    order = FairOrder(total, claims, weights=weights)
    queue = [agent for agent in agents if agent.free.scalars]
    random.shuffle(queue)
    grants: list[Grant] = []
    for agent in queue:

        def suits(role: str, framework_id: str, agent: AgentView = agent) -> bool:
            framework = by_id[framework_id]
            return may_have(framework, role, agent) and not filters.block(
                framework_id, role, agent.agent_id, agent.free, now=now
            )

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
