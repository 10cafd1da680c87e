"""The scheduler and the Mesos master over one ledger and one loop: nothing is promised twice."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import count
from random import Random
from typing import Any, cast
from uuid import UUID

import pytest
from mesos_world import Scheduler as FrameworkSide
from mesos_world import World, master_over, node, task

from bireme.aio.clock import VirtualClock
from bireme.api import resources
from bireme.api.kinds import core, meta
from bireme.client.client import Client
from bireme.client.events import EventRecorder
from bireme.http.interface import Stream
from bireme.ledger.ledger import Ledger
from bireme.ledger.ports import PortSet
from bireme.mesos import agents, amounts, protocol
from bireme.mesos.core import Means, Settings
from bireme.mesos.master import Master
from bireme.mesos.offers import Offer
from bireme.mesos.protocol import ContentType
from bireme.mesos.roster import Agent, Framework
from bireme.mesos.subscription import Subscription
from bireme.scheduler.caches import Caches
from bireme.scheduler.demand import demand_of
from bireme.scheduler.scheduler import Scheduler
from bireme.scheduler.templates import Templates
from bireme.scheduler.world import World as Nodes
from support.cluster import cluster

BINDS = 10_000


def pod(name: str, random: Random) -> core.Pod:
    requests = {"cpu": f"{random.choice((100, 250, 700))}m", "memory": f"{random.choice((64, 200))}Mi"}
    container = core.Container(name="c", image="i", resources=core.ResourceRequirements(requests=requests))
    if random.random() < 0.2:
        container.ports = [core.ContainerPort(container_port=80, host_port=random.randrange(31_000, 31_020))]
    made = core.Pod(metadata=meta.ObjectMeta(name=name, uid=name, namespace="default"))
    made.spec = core.PodSpec(containers=[container], service_account_name="default")
    return made


class Decks:
    """The decisions of both, without an API: the scheduler's columns, the master's cycle, frameworks of chance."""

    def __init__(self, seed: int, *, nodes: int = 12) -> None:
        self.random, self.ledger, ids = Random(seed), Ledger(), count(1)
        self.columns = Nodes(self.ledger)
        self.columns.set_namespace("default", {})
        self.templates = Templates(self.columns)
        self.clock = VirtualClock()
        means = Means(cast("Client", None), self.ledger, self.clock, self.random, lambda: UUID(int=next(ids)))
        self.master = Master(means, Settings())
        self.pods: dict[str, tuple[str, PortSet]] = {}
        self.binds = 0
        for number in range(nodes):
            seen = node(f"node-{number}", cpu="4", memory="2Gi")
            self.columns.set_node(seen)
            agent = Agent(self.master.roster.new_agent_id(), f"node-{number}", saved=True, connected=True)
            agents.refresh(agent, seen, ports=((31_000, 32_000),), work_dir="/", port=5051)
            self.master.roster.add_agent(agent)
            self.master.touched(agent)
        for name in ("a", "b", "c"):
            framework = Framework(self.master.roster.new_framework_id(), {"name": name, "user": "root"})
            framework.subscription = Subscription(ContentType.JSON, event=protocol.SCHEDULER_EVENT)
            self.master.roster.frameworks[framework.framework_id] = framework
            self.master.describe(framework)

    def step(self) -> None:
        chance = self.random.random()
        if chance < 0.45:
            self.place()
        elif chance < 0.6:
            self.end_some()
        elif chance < 0.75:
            self.master.tick()
            for framework in self.master.roster.frameworks.values():
                framework.subscription = Subscription(ContentType.JSON, event=protocol.SCHEDULER_EVENT)
        elif self.master.offers.out():
            offer = self.random.choice(self.master.offers.out())
            if chance < 0.9:
                self.accept(offer)
            else:
                self.decline(offer)
        elif chance > 0.97:
            self.master.make_room()

    def place(self) -> None:
        fresh = pod(f"pod-{self.binds}", self.random)
        row = self.templates.of(fresh).best()
        if row is not None:
            where, ports = self.ledger.columns.nodes[row], demand_of(fresh).ports
            assert not ports.overlaps(self.ledger.ports(where))
            self.columns.place(fresh, where)
            self.pods[fresh.metadata.uid] = (where, ports)
            self.binds += 1

    def accept(self, offer: Offer) -> None:
        """A pod of a quarter of it; the rest is free again."""
        self.master.offers.take(offer.offer_id)
        part = {name: amount // 4 for name, amount in amounts.to_node(offer.amounts).items()}
        offered = amounts.numbers(offer.amounts.ranges.get("ports", ()), limit=1)
        uid, ports = f"task-{self.binds}", PortSet.of(("TCP", port) for port in offered)
        self.master.offers.turn_into_pods([offer], {uid: part}, ports={uid: ports})
        self.pods[uid] = (offer.node, ports)
        self.binds += 1

    def decline(self, offer: Offer) -> None:
        self.master.offers.take(offer.offer_id)
        self.master.refuse([offer], offer.amounts, self.random.choice((0.0, 1.0, 5.0)))
        self.master.offers.release([offer])

    def end_some(self) -> None:
        for uid in self.random.sample(sorted(self.pods), min(len(self.pods), 3)):
            self.end(uid)
            del self.pods[uid]

    def end(self, uid: str) -> None:
        self.columns.displace(uid)
        self.ledger.release_pod(uid)

    def check(self) -> None:
        taken: dict[str, int] = {}
        offered = [
            (offer.node, PortSet.spanning(offer.amounts.ranges.get("ports", ()), protocols=("TCP",)))
            for offer in self.master.offers.out()
        ]
        for where, ports in (*self.pods.values(), *offered):
            assert not taken.get(where, 0) & ports.bits, "a port was promised twice"
            taken[where] = taken.get(where, 0) | ports.bits
        for name in self.ledger.nodes():
            assert min(self.ledger.free(name).values()) >= 0


async def test_ten_thousand_binds_of_both_decks_never_take_what_is_taken() -> None:
    decks = Decks(1)
    while decks.binds < BINDS:
        decks.step()
        if decks.random.random() < 0.02:
            decks.check()
            await decks.clock.advance(decks.random.random(), settle=1)
    for offer in decks.master.offers.out():
        decks.decline(offer)
    for uid in decks.pods:
        decks.end(uid)
    assert not decks.ledger.columns.promised.any()
    assert set(decks.master.shares().values()) == {0.0}


class Together:
    """Both for real, over one API: a user who makes and deletes pods, and a framework that accepts and declines."""

    def __init__(self, world: World, framework: FrameworkSide, random: Random) -> None:
        self.world, self.framework, self.random = world, framework, random
        self.pods: list[str] = []
        self.made = 0

    async def step(self) -> None:
        self.made += 1
        match self.random.randrange(4):
            case 0:
                made = pod(f"pod-{self.made}", self.random)
                made.metadata.uid = ""
                await self.world.client.create(made)
                self.pods.append(made.metadata.name)
            case 1 if self.pods:
                name = self.pods.pop(self.random.randrange(len(self.pods)))
                await self.world.client.delete(core.Pod, name, namespace="default", grace_period_s=0)
            case 2:
                await self.framework.pump()
                for event in self.framework.events:
                    for offer in event.get("offers", {}).get("offers", ()):
                        await self.answer(offer)
                self.framework.events.clear()
        for _ in range(self.random.randrange(4)):
            await asyncio.sleep(0)
        await self.world.clock.advance(
            self.random.choice((0.0, 0.005, 0.02, 1.0)), settle=self.random.randrange(1, 20)
        )

    async def answer(self, offer: dict[str, Any]) -> None:
        if self.random.random() < 0.5:
            filters = {"refuse_seconds": self.random.choice((0.0, 3.0))}
            await self.framework.call("DECLINE", {"offer_ids": [offer["id"]], "filters": filters})
        else:
            await self.framework.launch(offer, task(offer, f"task-{self.made}-{offer['id']['value']}", cpus=0.3))

    async def check(self) -> None:
        ledger = self.world.ledger
        for name in ledger.nodes():
            assert min(ledger.free(name).values()) >= 0
            whole = ledger.allocatable(name)
            bound = [each for each in (await self.world.client.list(core.Pod)).items if each.spec.node_name == name]
            assert sum(resources.pod_requests(each.spec).get("cpu", 0) for each in bound) <= whole["cpu"]
            ports = [port for each in bound for port in demand_of(each).ports]
            assert len(ports) == len(set(ports))


@asynccontextmanager
async def together(seed: int) -> AsyncIterator[Together]:
    clock, ledger = VirtualClock(), Ledger()
    async with (
        cluster(clock=clock) as c,
        master_over(c.client, clock, ledger, seed=seed + 1) as world,
        asyncio.TaskGroup() as tasks,
    ):
        await c.client.create(core.ServiceAccount(metadata=meta.ObjectMeta(name="default", namespace="default")))
        client = c.api.client("system:kube-scheduler")
        caches, events = Caches.of(client, clock=clock), EventRecorder(client, "default-scheduler", clock=clock)
        room = world.master.make_room
        scheduler = Scheduler(client, caches=caches, ledger=ledger, events=events, clock=clock, ask_for_room=room)
        running = [tasks.create_task(part()) for part in (caches.run, events.run, scheduler.run)]
        for number in range(3):
            await world.add_node(node(f"node-{number}", cpu="2", memory="1Gi"))
        framework = FrameworkSide(world)
        assert isinstance(await framework.subscribe(), Stream)
        try:
            yield Together(world, framework, Random(seed))
        finally:
            for each in running:
                each.cancel()


@pytest.mark.parametrize("seed", range(2))
async def test_the_real_ones_beside_each_other_never_overcommit(seed: int) -> None:
    async with together(seed) as t:
        for number in range(120):
            await t.step()
            if number % 10 == 0:
                await t.check()
        placed = [each for each in (await t.world.client.list(core.Pod)).items if each.spec.node_name]
        assert {bool(each.metadata.labels) for each in placed} == {True, False}, "each deck should have had its part"
