"""Who is offered what: all that an agent has free goes to the first framework, in fair order, that may have it.

One offer is of one agent, to one framework, in one role. Passed over are suppressed roles, frameworks that
lately refused as much of that agent (`refusals.py`), and those that it does not suit (`eligibility.py`). The
order is `drf.py`'s. The allocator is told of changes, and looks only at agents that these concern: those that
changed themselves, those with refusals that ended, all when a framework wants more than before. See ADR 0021.
Source: Mesos 1.11's HTTP API.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from random import Random
from typing import NamedTuple

import numpy as np

from bireme.mesos.amounts import NOTHING, Amounts
from bireme.mesos.drf import FairOrder, Vector
from bireme.mesos.eligibility import MINIMUM, AgentView, Eligibility, Holds, Minimum, Wishes
from bireme.mesos.planning import take_turns
from bireme.mesos.quota import Quota, Quotas, Share
from bireme.mesos.refusals import Filters
from bireme.mesos.seats import Seats, union

_MANY = 64  # agents from which on turns are planned together
_GONE = 1024  # agents that leave before what was found out about them is forgotten


@dataclass(frozen=True, slots=True)
class FrameworkView:
    """A framework: `roles` are those that take offers now, the others are suppressed or not subscribed to."""

    framework_id: str
    roles: tuple[str, ...]
    capabilities: frozenset[str] = frozenset()
    minimum: Mapping[str, Minimum] = field(default_factory=dict)
    constraints: Mapping[str, Holds] = field(default_factory=dict)


class Grant(NamedTuple):
    """What one agent has free, to be offered to a framework in a role."""

    agent_id: str
    framework_id: str
    role: str
    amounts: Amounts


class Allocator:
    """What agents have free, and what frameworks hold, refuse and want; `next` says who is offered what."""

    def __init__(self, *, random: Random, many: int = _MANY) -> None:
        self._random = random
        self._seats = Seats()
        self.filters = Filters(self._seats)
        self.order = FairOrder()
        self._eligibility = Eligibility()
        self._agents: dict[str, AgentView] = {}
        self._frameworks: dict[str, FrameworkView] = {}
        self._taking = 0
        self._woken: dict[AgentView, None] = {}
        self._queue: list[AgentView] = []
        self._gone = 0
        self._many = many
        self._plan: list[Grant] = []
        self._quotas = Quotas(self.order)
        self._lacked: list[AgentView] = []  # as the queue: to be looked at in the first stage, for guarantees
        self._looks = 0  # agents that may be looked at one by one until the next `begin`

    def set_agent(self, view: AgentView) -> None:
        """An agent that may be offered, as it is now."""
        if self._agents.get(view.agent_id) is not view:
            self.drop_agent(view.agent_id)
        self._agents[view.agent_id] = view
        self._woken[view] = None
        self._quotas.freed(NOTHING, view.free)

    def set_free(self, agent_id: str, free: Amounts) -> None:
        """What is free now of an agent that may be offered."""
        view = self._agents[agent_id]
        self._now_free(view, free)
        self._woken[view] = None

    def knows(self, agent_id: str) -> bool:
        """Whether the agent may be offered."""
        return agent_id in self._agents

    def drop_agent(self, agent_id: str) -> None:
        """The agent may not be offered now; what was refused of it is not forgotten."""
        view = self._agents.pop(agent_id, None)
        if view is not None:
            self._now_free(view, NOTHING)  # wherever it waits, nothing of it is granted
            self._gone += 1
            if self._gone > _GONE:
                self._gone = 0
                self._eligibility.forget_verdicts()

    def set_framework(self, view: FrameworkView) -> None:
        """A framework as it is now."""
        old = self._frameworks.get(view.framework_id)
        if old == view:
            return
        self._frameworks[view.framework_id] = view
        for role in view.roles:
            self._seat(view.framework_id, role)
        for role, number in self._seats.of_framework(view.framework_id).items():
            holds = view.constraints.get(role)
            self._eligibility.set(number, Wishes(view.capabilities, view.minimum.get(role, MINIMUM), holds))
            self._take_offers(number, taking=role in view.roles)
        if old is None or not _is_less(view, old):
            self._wake(self._agents)

    def drop_framework(self, framework_id: str) -> None:
        """A framework left for good: its refusals and what it held are forgotten."""
        self.revive(framework_id)
        self._frameworks.pop(framework_id, None)
        for number in self._seats.of_framework(framework_id).values():
            self._take_offers(number, taking=False)
            self._eligibility.set(number, None)
            self.order.leave(number)
            self._quotas.leave(number)
        self._seats.give_up(framework_id)

    def charge(self, framework_id: str, role: str, amounts: Vector, *, times: int = 1, turns: int = 0) -> None:
        """A framework holds so much more in a role, so many times (-1: less), and had so many turns more."""
        self.order.charge(self._seat(framework_id, role), amounts, times=times, turns=turns)
        if self._quotas.active:
            self._quotas.changed(role)

    def set_quota(self, role: str, quota: Quota) -> None:
        """What a role at the top is guaranteed and limited to from now on; an empty quota for neither."""
        self._quotas.set(role, quota, free=[view.free for view in self._agents.values()])
        if not self._quotas.active:
            self._lacked.clear()  # they are in the queue as well
        self._wake(self._agents)

    def refuse(self, framework_id: str, role: str, agent_id: str, amounts: Amounts, *, until: float) -> None:
        """Offer no part of `amounts` on that agent to that framework in that role before `until`."""
        self._seat(framework_id, role)
        self.filters.refuse(framework_id, role, agent_id, amounts, until=until)

    def revive(self, framework_id: str, roles: Iterable[str] | None = None) -> None:
        """Forget what a framework refused, in these roles or in all."""
        self._wake(self.filters.clear(framework_id, roles))

    @property
    def waiting(self) -> bool:
        """Whether agents wait to be looked at."""
        return bool(self._plan or self._queue or self._lacked or self._woken or self._quotas.disturbed)

    def begin(self, *, now: float, batch: int | None = None) -> None:
        """Note the time, and once the last round is through begin the next, in an order that favours no agent.

        So many grants, or all that there are, will be asked for before `begin` is called again.
        """
        self._queue += [self._agents[grant.agent_id] for grant in self._plan if grant.agent_id in self._agents]
        self._plan = []
        self._wake(self.filters.expire(now))
        if not (self._queue or self._lacked):
            self._begin_round()
        self._looks = len(self._queue) + len(self._lacked) if batch is None else batch
        if len(self._queue) >= self._many and not self._quotas.active:
            self._plan_turns(self._looks)

    def _begin_round(self) -> None:
        if self._quotas.disturbed:  # what one role took or gave may let another have an agent that nobody touched
            self._quotas.disturbed = False
            self._wake(self._agents)
        self._queue = self._shuffled([view for view in self._woken if view.free.scalars])
        self._lacked = self._queue[:] if self._quotas.lack else []
        self._woken = {}

    def grants(self, limit: int | None = None) -> list[Grant]:
        """Whose turns are next, for the next agents of this round that somebody may have; none when it is through.

        One or more, `limit` at most. The caller charges the frameworks before it asks again, or says how the agents
        really stand.
        """
        if self._plan:
            planned, self._plan = self._plan[:limit], self._plan[len(self._plan) if limit is None else limit :]
            return planned
        if self._quotas.active:
            return self._grant_within_quotas()
        while self._queue:
            agent = self._queue.pop()
            number = self._choose(agent) if agent.free.scalars else None
            if number is not None:
                role, framework_id = self._seats.seat(number)
                return [Grant(agent.agent_id, framework_id, role, agent.free)]
        return []

    def _grant_within_quotas(self) -> list[Grant]:
        """The next grant of a part of some agent; whoever is next may have of the rest."""
        while self._looks and (self._lacked or self._queue):
            self._looks -= 1
            queue, shares = (
                (self._lacked, self._quotas.lacked) if self._lacked else (self._queue, self._quotas.shared)
            )
            agent = queue.pop()
            found = self._choose_among(agent, shares(agent.free)) if agent.free.scalars else None
            if found is not None:
                number, amounts = found
                self._now_free(agent, agent.free - amounts)
                queue.append(agent)
                role, framework_id = self._seats.seat(number)
                return [Grant(agent.agent_id, framework_id, role, amounts)]
        return []

    def _choose_among(self, agent: AgentView, shares: Iterable[Share]) -> tuple[int, Amounts] | None:
        """Whose turn it is, and what they may have."""
        suited = [
            (self._among(agent, share.amounts) & share.seats, share.amounts) for share in shares if share.amounts
        ]
        number = self._first_content(agent, union(seats for seats, _ in suited))
        if number is None:
            return None
        return number, next(amounts for seats, amounts in suited if seats >> number & 1)

    def _now_free(self, view: AgentView, free: Amounts) -> None:
        if self._quotas.active:
            self._quotas.freed(view.free, free)
        view.free = free

    def _wake(self, agent_ids: Iterable[str]) -> None:
        self._woken |= dict.fromkeys(view for view in map(self._agents.get, agent_ids) if view is not None)

    def _shuffled(self, views: list[AgentView]) -> list[AgentView]:
        chances = np.frombuffer(self._random.randbytes(8 * len(views)), dtype=np.uint64)
        return [views[at] for at in chances.argsort().tolist()]

    def _plan_turns(self, count: int) -> None:
        """Hand out the next turns together, as far as agents have equal amounts free (see `planning.py`)."""
        start = max(0, len(self._queue) - count)
        views = self._queue[start:]
        del self._queue[start:]
        free = next((view.free for view in reversed(views) if view.free.scalars), None)
        if free is None:
            return
        alike = [view for view in views if view.free is free]
        if len(alike) < len(views):
            self._queue += [view for view in views if view.free is not free]
        among = self._among_each(alike, free)
        numbers = self.order.turns(union(among, most=self._taking), free.scalars, len(alike))
        takers = self._takers(numbers, alike, among)
        seats = self._seats.of_each(numbers[: len(takers)])
        self._plan = [
            Grant(view.agent_id, framework_id, role, free)
            for view, (role, framework_id) in zip(takers, seats, strict=True)
        ]
        self._queue += [view for view, suited in zip(alike, among, strict=True) if suited]

    def _takers(self, numbers: list[int], agents: list[AgentView], among: list[int]) -> list[AgentView]:
        """Whom these turns go to; those are taken from the lists."""
        if self.filters or self._eligibility.differs:
            return take_turns(numbers, agents, among, is_content=self._eligibility.is_content)
        rest = len(agents) - len(numbers)
        taken = agents[: rest - 1 if rest else None : -1]
        del agents[rest:], among[rest:]
        return taken

    def _among_each(self, agents: list[AgentView], free: Amounts) -> list[int]:
        """The seats that each agent may go to, as far as is known, where all have as much free."""
        kinds = self._eligibility.kinds(agents)
        suited = {kind: self._taking & ~self._eligibility.barred(kind, free) for kind in set(kinds)}
        if not self.filters:
            return [suited[kind] for kind in kinds]
        refused = self.filters.against_each([agent.agent_id for agent in agents], free)
        return [suited[kind] & ~against for kind, against in zip(kinds, refused, strict=True)]

    def _among(self, agent: AgentView, amounts: Amounts) -> int:
        """The seats that so much of an agent may go to, as far as is known."""
        among = self._taking & ~self.filters.against(agent.agent_id, amounts)
        return among & ~self._eligibility.barred(self._eligibility.kind(agent), amounts) if among else 0

    def _choose(self, agent: AgentView) -> int | None:
        return self._first_content(agent, self._among(agent, agent.free))

    def _first_content(self, agent: AgentView, among: int) -> int | None:
        """The first of these seats, in fair order, whose constraints hold."""
        while among:
            number = self.order.first(among)
            if number is None or self._eligibility.is_content(number, agent):
                return number
            among &= ~(1 << number)
        return None

    def _seat(self, framework_id: str, role: str) -> int:
        number = self._seats.find(role, framework_id)
        if number is None:
            number = self._seats.number(role, framework_id)
            self.order.enter(number, role, framework_id)
            self._quotas.enter(number, role)
        return number

    def _take_offers(self, number: int, *, taking: bool) -> None:
        self.order.take_offers(number, taking=taking)
        self._taking = self._taking | 1 << number if taking else self._taking & ~(1 << number)


def _is_less(new: FrameworkView, old: FrameworkView) -> bool:
    """Whether a framework only takes offers in fewer roles than before."""
    same = (new.capabilities, new.minimum, new.constraints) == (old.capabilities, old.minimum, old.constraints)
    return same and set(new.roles) <= set(old.roles)
