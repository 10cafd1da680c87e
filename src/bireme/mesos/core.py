"""What the parts of the master share: its state, its settings, offers made and taken back.

The master is four layers of one class, each in a file of its own, each knowing only those below: this one,
`task_book.py` (tasks and their pods), `fleet.py` (agents) and `master.py` (frameworks, and the loop).
"""

import asyncio
import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from uuid import UUID, uuid4

from bireme.aio.clock import Clock
from bireme.client.client import Client
from bireme.mesos import amounts, events
from bireme.mesos.allocator import Allocator, FrameworkView, Grant
from bireme.mesos.amounts import Amounts, Ranges
from bireme.mesos.eligibility import AgentView
from bireme.mesos.messages import Message
from bireme.mesos.offers import Ledger, Offer, Offers
from bireme.mesos.quota import Quota
from bireme.mesos.roster import Agent, Framework, Roster, Task
from bireme.mesos.watchers import Watchers

GROUP_OFFERS = 50
BATCH_OFFERS, BATCH_SEEN = 400, 1000  # offers made, and agents looked at, between two turns of the loop
_KNOWN_AMOUNTS = 4096
_Free = tuple[tuple[str, ...], tuple[int, ...], Ranges, Ranges]  # names, amounts, ports of others, ports of tasks


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
        self.allocator = Allocator(random=self.random)
        self.roster = Roster(str(self.new_uuid()), held=self._note_held)
        self.offers = Offers(self.ledger, self.allocator)
        self.weights: dict[str, float] = {}
        self.quotas: dict[str, Quota] = {}
        self._touched: dict[str, Agent] = {}
        self.unseen: dict[str, Agent] = {}  # changed in the ledger, but not looked at
        self._ledger_position = 0
        self._counted: dict[str, Amounts] = {}
        self._total: dict[str, int] = {}
        self._amounts: dict[_Free, Amounts] = {}
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
        for offer in self.offers.out():
            self.rescind(offer)
        self._no_offers_before_s = self.clock.monotonic() + self.settings.make_room_s

    def touched(self, agent: Agent) -> None:
        """Something of an agent changed here, or what its tasks hold; the ledger tells of its own changes."""
        self._touched[agent.agent_id] = agent

    def describe(self, framework: Framework) -> None:
        """Tell the allocator how a framework is now."""
        roles = tuple(role for role in framework.roles if framework.connected and role not in framework.suppressed)
        self.allocator.set_framework(
            FrameworkView(
                framework.framework_id, roles, framework.capabilities, framework.minimum, framework.constraints
            )
        )

    def allocate(self) -> None:
        """Offer what became free; no more than a batch at once, the rest soon after."""
        now = self.clock.monotonic()
        if now < self._no_offers_before_s:
            return
        self.look_at_agents()
        self.allocator.begin(now=now, batch=BATCH_OFFERS)
        made: list[Offer] = []
        left = BATCH_OFFERS
        while left > 0 and (grants := self.allocator.grants(left)):
            left -= len(grants)
            made += self._make_offers(grants, now)
        if self.allocator.waiting or self.unseen:
            self.wake()
        self._send_offers(made)
        self.allocation_runs += 1
        self.allocation_ms = (self.clock.monotonic() - now) * 1000

    def _make_offers(self, grants: Iterable[Grant], now: float) -> list[Offer]:
        """Put out what was granted, if the ledger has it; agents that stand otherwise are looked at again."""
        agents, new_id = self.roster.agents, self.roster.new_offer_id
        wanted = [
            Offer(new_id(), framework_id, agent_id, agents[agent_id].node, role, free, now)
            for agent_id, framework_id, role, free in grants
        ]
        made = self.offers.make(wanted)
        if len(made) < len(wanted):
            for offer in wanted:
                if self.offers.get(offer.offer_id) is None:
                    self.touched(agents[offer.agent_id])
        return made

    def _send_offers(self, made: Iterable[Offer]) -> None:
        messages: dict[str, list[Message]] = {}
        for offer in made:
            agent = self.roster.agents[offer.agent_id]
            message = events.offer(offer, agent, agent.executors_of(offer.framework_id))
            messages.setdefault(offer.framework_id, []).append(message)
        for framework_id, offers in messages.items():
            framework = self.roster.frameworks[framework_id]
            framework.count("offers/sent", len(offers))
            for start in range(0, len(offers), GROUP_OFFERS):
                self.send(framework, events.offers(offers[start : start + GROUP_OFFERS]))

    @property
    def capacity(self) -> Mapping[str, int]:
        """What all agents have together."""
        return self._total

    def shares(self) -> dict[str, float]:
        """The dominant share of every role that a framework is or was subscribed to."""
        self.look_at_agents()
        return self.allocator.order.shares()

    def active_refusals(self) -> Mapping[str, int]:
        """How many refusals hold, by role."""
        self.allocator.begin(now=self.clock.monotonic())
        return self.allocator.filters.active()

    def free(self, agent: Agent) -> Amounts:
        """What could be offered of an agent now."""
        return self._offerable([agent])[0]

    def _offerable(self, agents: Sequence[Agent]) -> list[Amounts]:
        """What could be offered of each of these agents; those with as much free share one record."""
        names, free = self.ledger.free_of([agent.node for agent in agents])
        found = []
        for agent, left in zip(agents, free, strict=True):
            key = (names, tuple(left), self.ledger.ports(agent.node).ranges(), agent.ports)
            known = self._amounts.get(key)
            found.append(self._read_free(key) if known is None else known)
        return found

    def _read_free(self, key: _Free) -> Amounts:
        if len(self._amounts) >= _KNOWN_AMOUNTS:
            self._amounts.clear()
        names, left, *taken = key
        vector = dict(zip(names, left, strict=False))
        ports = amounts.difference(self._ports, itertools.chain(*taken))
        found = amounts.NOTHING if vector.get("pods", 1) < 1 else amounts.from_node(vector, ports=ports)
        self._amounts[key] = found
        return found

    def look_at_agents(self) -> None:
        """Tell the allocator of agents that changed, here or in the ledger; of very many, not all at once."""
        self._ledger_position, nodes = self.ledger.changed_since(self._ledger_position)
        by_node = self.roster.by_node
        for agent in self._touched.values():
            self._count_total(agent)
            self.allocator.drop_agent(agent.agent_id)  # and described afresh below, if it may be offered
        self.unseen |= self._touched
        self._touched = {}
        for node in by_node if nodes is None else nodes:
            if (known := by_node.get(node)) is not None:
                self.unseen[known.agent_id] = known
        seen = [self.unseen.pop(agent_id) for agent_id in list(itertools.islice(self.unseen, BATCH_SEEN))]
        active = [agent for agent in seen if agent.active and agent.agent_id in self.roster.agents]
        for agent, free in zip(active, self._offerable(active), strict=True):
            if self.allocator.knows(agent.agent_id):
                self.allocator.set_free(agent.agent_id, free)
            else:
                self.allocator.set_agent(AgentView(agent.agent_id, free, agent.hostname, agent.attributes))

    def _count_total(self, agent: Agent) -> None:
        """Keep the sum of all agents."""
        here = agent.agent_id in self.roster.agents
        old, new = self._counted.pop(agent.agent_id, amounts.NOTHING), agent.total if here else amounts.NOTHING
        if here:
            self._counted[agent.agent_id] = new
        if old.scalars != new.scalars:
            for part, sign in ((old, -1), (new, 1)):
                for name, amount in part.scalars.items():
                    self._total[name] = self._total.get(name, 0) + sign * amount
            self.allocator.order.set_total(self._total)

    def _note_held(self, task: Task, sign: int) -> None:
        """A task begins or ceases to hold something."""
        self.allocator.charge(task.framework_id, task.role, task.amounts.scalars, times=sign)
        agent = self.roster.agents.get(task.agent_id)
        if agent is not None and task.amounts.ranges:
            self.touched(agent)

    @property
    def _ports(self) -> Ranges:
        return (self.settings.ports,)

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
            self.allocator.refuse(first.framework_id, first.role, first.agent_id, left, until=until)
