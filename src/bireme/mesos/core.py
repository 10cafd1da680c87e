"""What the parts of the master share: its state, its settings, offers made and taken back.

The master is four layers of one class, each in a file of its own, each knowing only those below: this one,
`task_book.py` (tasks and their pods), `fleet.py` (agents) and `master.py` (frameworks, and the loop).
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from uuid import UUID, uuid4

from bireme.aio.clock import Clock
from bireme.client.client import Client
from bireme.mesos import allocator, amounts, events
from bireme.mesos.allocator import AgentView, Filters, FrameworkView
from bireme.mesos.amounts import Amounts, Ranges
from bireme.mesos.drf import Claim, FairOrder
from bireme.mesos.messages import Message
from bireme.mesos.offers import Ledger, Offer, Offers
from bireme.mesos.roster import Agent, Framework, Roster
from bireme.mesos.watchers import Watchers

GROUP_OFFERS = 50


@dataclass(frozen=True, slots=True)
class Settings:
    """How a master is set up. `work_dir` and `agent_port` hold for nodes whose annotations don't say otherwise.

    An offer that is not answered in `offer_timeout_s` is taken back, so that the other deck is not starved.
    """

    hostname: str = "localhost"
    address: str = "127.0.0.1"
    port: int = 5050
    agent_port: int = 5051
    work_dir: str = "/var/lib/bireme/bireme/mesos"
    ports: tuple[int, int] = (31000, 32000)
    cluster: str = ""
    insecure: bool = False
    offer_timeout_s: float = 60.0
    allocation_interval_s: float = 1.0
    unreachable_after_s: float = 35.0
    make_room_s: float = 2.0
    reconnection_s: float = 60.0


@dataclass(frozen=True, slots=True)
class Means:
    """What the master works with: the API, the account of what is free, time, chance and fresh ids."""

    client: Client
    ledger: Ledger
    clock: Clock
    random: Random
    new_uuid: Callable[[], UUID] = uuid4


class Core:
    """State, counters, and the offers."""

    def __init__(self, means: Means, settings: Settings) -> None:
        self.settings = settings
        self.client, self.ledger = means.client, means.ledger
        self.clock, self.random, self.new_uuid = means.clock, means.random, means.new_uuid
        self.roster = Roster(str(self.new_uuid()))
        self.offers = Offers(self.ledger)
        self.filters = Filters()
        self.weights: dict[str, float] = {}
        self.counts: dict[str, int] = {}
        self.watchers = Watchers(self.offers)
        self.start_time = self.clock.now().timestamp()
        self.info = events.master_info(
            self.roster.master_id,
            hostname=self.settings.hostname,
            address=self.settings.address,
            port=self.settings.port,
        )
        self.ready = asyncio.Event()
        self._wake = asyncio.Event()
        self._no_offers_before_s = 0.0
        self.allocation_runs = 0
        self.allocation_ms = 0.0

    def now(self) -> float:
        """Seconds since 1970."""
        return self.clock.now().timestamp()

    def wake(self) -> None:
        """Allocate soon, not only at the next interval."""
        self._wake.set()

    def count(self, what: str, number: int = 1) -> None:
        """One more of something that `/metrics/snapshot` shows under `master/`."""
        self.counts[what] = self.counts.get(what, 0) + number

    def send(self, framework: Framework, event: Message) -> bool:
        """Send an event if the framework listens; whether it was queued."""
        if framework.subscription is None or not framework.subscription.send(event):
            return False
        framework.count("events")
        framework.count(f"events/{event['type']}")
        return True

    def _tell_all(self, event: Message) -> None:
        for framework in list(self.roster.frameworks.values()):
            self.send(framework, event)

    def make_room(self) -> None:
        """Take all offers back and hold new ones for a moment: a pod waits for room."""
        for agent in list(self.roster.agents.values()):
            for offer in self.offers.of_agent(agent.agent_id):
                self.rescind(offer)
        self._no_offers_before_s = self.clock.monotonic() + self.settings.make_room_s

    def allocate(self) -> None:
        """Offer what is free."""
        now = self.clock.monotonic()
        if now < self._no_offers_before_s:
            return
        views = [self._framework_view(each) for each in self.roster.frameworks.values() if each.connected]
        if not any(view.roles for view in views):
            return
        agents_now = [self._agent_view(agent) for agent in self.roster.agents.values() if agent.active]
        total = self._total()
        grants = allocator.allocate(
            agents_now, views, self.filters, total=total, now=now, random=self.random, weights=self.weights
        )
        self.allocation_runs += 1
        self.allocation_ms = (self.clock.monotonic() - now) * 1000
        made: dict[str, list[Message]] = {}
        for grant in grants:
            agent = self.roster.agents[grant.agent_id]
            offer = Offer(
                self.roster.new_offer_id(),
                grant.framework_id,
                grant.agent_id,
                agent.node,
                grant.role,
                grant.amounts,
                now,
            )
            if self.offers.try_make(offer):
                executors = {
                    task.executor_id for task in agent.tasks.values() if task.framework_id == grant.framework_id
                }
                made.setdefault(grant.framework_id, []).append(events.offer(offer, agent, sorted(executors)))
        for framework_id, messages in made.items():
            framework = self.roster.frameworks[framework_id]
            framework.count("offers/sent", len(messages))
            for start in range(0, len(messages), GROUP_OFFERS):
                self.send(framework, events.offers(messages[start : start + GROUP_OFFERS]))

    def shares(self) -> dict[str, float]:
        """The dominant share of every role that a connected framework is subscribed to."""
        views = [self._framework_view(each) for each in self.roster.frameworks.values() if each.connected]
        claims = [Claim(role, view.framework_id, view.held.get(role, {})) for view in views for role in view.roles]
        return FairOrder(self._total(), claims, weights=self.weights).shares()

    def _total(self) -> dict[str, int]:
        total: dict[str, int] = {}
        for agent in self.roster.agents.values():
            for name, amount in agent.total.scalars.items():
                total[name] = total.get(name, 0) + amount
        return total

    def free(self, agent: Agent) -> Amounts:
        """What could be offered of an agent now."""
        vector = self.ledger.free(agent.node)
        scalars = amounts.from_node(vector)
        if vector.get("pods", 1) < 1 or not allocator.is_large_enough(scalars, allocator.MINIMUM):
            return amounts.NOTHING  # the usual case, while an offer holds all: spare the ports
        taken = self.ledger.ports(agent.node).ranges()
        for task in agent.tasks.values():
            taken += task.amounts.ranges.get("ports", ())
        ports = amounts.difference(self._ports, taken)
        return amounts.Amounts(scalars.scalars, {"ports": ports} if ports else {})

    @property
    def _ports(self) -> Ranges:
        return (self.settings.ports,)

    def _agent_view(self, agent: Agent) -> AgentView:
        return AgentView(agent.agent_id, self.free(agent), agent.hostname, agent.attributes)

    def _framework_view(self, framework: Framework) -> FrameworkView:
        held = {role: dict(used) for role, used in framework.used.items()}
        for offer in self.offers.of_framework(framework.framework_id):
            used = held.setdefault(offer.role, {})
            for name, amount in offer.amounts.scalars.items():
                used[name] = used.get(name, 0) + amount
        roles = tuple(role for role in framework.roles if role not in framework.suppressed)
        return FrameworkView(
            framework.framework_id, roles, held, framework.capabilities, framework.minimum, framework.constraints
        )

    def rescind(self, offer: Offer) -> None:
        """Take an offer back and tell its framework."""
        self.offers.release([self.offers.take(offer.offer_id)])
        framework = self.roster.frameworks.get(offer.framework_id)
        if framework is not None:
            framework.count("offers/rescinded")
            self.send(framework, events.rescind(offer.offer_id))

    def refuse(self, offers: list[Offer], left: Amounts, seconds: float) -> None:
        """Don't offer `left` on the agent of these offers to their framework for some time."""
        if offers and seconds > 0 and left:
            seconds = max(seconds, self.settings.allocation_interval_s)
            until = self.clock.monotonic() + seconds
            first = offers[0]
            self.filters.refuse(first.framework_id, first.role, first.agent_id, left, until=until)
