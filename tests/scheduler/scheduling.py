"""A scheduler over the real API in the test's own process, and pods and nodes for it."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from tests.support.cluster import Cluster, cluster

from bireme.aio.clock import RealClock
from bireme.aio.uids import new_uid
from bireme.api.errors import NotFound
from bireme.api.kinds import core, meta, scheduling
from bireme.client.events import EventRecorder
from bireme.ledger.ledger import Ledger
from bireme.scheduler.caches import Caches
from bireme.scheduler.configuration import Settings
from bireme.scheduler.interface import Rule
from bireme.scheduler.rules import Rules
from bireme.scheduler.scheduler import Scheduler


def node(name: str, *, cpu: str = "4", pods: str = "10") -> core.Node:
    allocatable = {"cpu": cpu, "memory": "8Gi", "pods": pods}
    made = core.Node(metadata=meta.ObjectMeta(name=name))
    made.status = core.NodeStatus(allocatable=allocatable, capacity=allocatable)
    return made


def pod(name: str, *, cpu: str = "1", priority: str = "", scheduler: str = "", labels: str = "") -> core.Pod:
    resources = core.ResourceRequirements(requests={"cpu": cpu})
    container = core.Container(name="c", image="i", resources=resources)
    return core.Pod(
        metadata=meta.ObjectMeta(name=name, namespace="default", labels={"app": labels} if labels else {}),
        spec=core.PodSpec(
            containers=[container],
            service_account_name="default",
            priority_class_name=priority,
            scheduler_name=scheduler,
        ),
    )


@dataclass(frozen=True)
class Scheduling:
    """A cluster, its scheduler, and the account of what is free."""

    cluster: Cluster
    scheduler: Scheduler
    ledger: Ledger

    async def create(self, *objects: core.Pod | scheduling.PriorityClass) -> None:
        for each in objects:
            await self.cluster.client.create(each)

    async def register(self, *nodes: core.Node) -> None:
        """Nodes that are ready for pods: the taint of new ones is taken off."""
        client = self.cluster.client
        for each in nodes:
            made = await client.create(each)
            made.spec.taints = []
            made.status = each.status
            await client.update(await client.update(made), subresource="status")

    async def settled(self, name: str, wanted: Callable[[core.Pod], object]) -> core.Pod:
        """The pod once it is as wanted."""
        async with asyncio.timeout(60):
            while True:
                found = await self.cluster.client.get(core.Pod, name, namespace="default")
                if wanted(found):
                    return found
                await asyncio.sleep(0.01)

    async def placed(self, name: str) -> str:
        """The pod's node, once it has one."""
        return (await self.settled(name, lambda found: found.spec.node_name)).spec.node_name

    async def refused(self, name: str) -> str:
        """What the pod's condition says, once it says that there is no node."""
        found = await self.settled(name, lambda found: condition(found, "PodScheduled"))
        said = condition(found, "PodScheduled")
        assert said is not None
        assert said.status == "False"
        return said.message

    async def end(self, name: str) -> None:
        """Delete the pod at once."""
        await self.cluster.client.delete(core.Pod, name, namespace="default", grace_period_s=0)

    async def gone(self, name: str) -> None:
        """Return once the pod is no more."""
        async with asyncio.timeout(60):
            while True:
                try:
                    await self.cluster.client.get(core.Pod, name, namespace="default")
                except NotFound:
                    return
                await asyncio.sleep(0.01)

    async def events(self, reason: str) -> list[core.Event]:
        """Events with this reason so far."""
        page = await self.cluster.client.list(core.Event, namespace="default")
        return [event for event in page.items if event.reason == reason]


def condition(found: core.Pod, kind: str) -> core.PodCondition | None:
    return next((each for each in found.status.conditions if each.type == kind), None)


@asynccontextmanager
async def scheduling_in(
    c: Cluster,
    ledger: Ledger,
    *,
    settings: Settings | None = None,
    rules: Sequence[Rule] = (),
    ask_for_room: Callable[[], None] = lambda: None,
    caches: Caches | None = None,
) -> AsyncIterator[Scheduling]:
    """One scheduler more in this cluster, on this ledger."""
    client, clock = c.api.client("system:kube-scheduler"), RealClock()
    caches = caches or Caches.of(client, clock=clock)
    events = EventRecorder(client, "default-scheduler", clock=clock)
    scheduler = Scheduler(
        client,
        caches=caches,
        ledger=ledger,
        events=events,
        clock=clock,
        settings=settings,
        rules=rules,
        ask_for_room=ask_for_room,
    )
    async with asyncio.TaskGroup() as tasks:
        running = [tasks.create_task(part()) for part in (caches.run, events.run, scheduler.run)]
        try:
            yield Scheduling(c, scheduler, ledger)
        finally:
            for task in running:
                task.cancel()


@asynccontextmanager
async def account_of_pods() -> AsyncIterator[Cluster]:
    """A cluster in which pods can be made."""
    async with cluster() as c:
        await c.client.create(core.ServiceAccount(metadata=meta.ObjectMeta(name="default", namespace="default")))
        yield c


@asynccontextmanager
async def scheduling_alone(
    *,
    settings: Settings | None = None,
    rules: Sequence[Rule] = (),
    ask_for_room: Callable[[], None] = lambda: None,
) -> AsyncIterator[Scheduling]:
    """A cluster with one scheduler and a service account."""
    async with (
        account_of_pods() as c,
        scheduling_in(c, Ledger(), settings=settings, rules=rules, ask_for_room=ask_for_room) as found,
    ):
        yield found


@asynccontextmanager
async def scheduling_with_rules(settings: Settings | None = None) -> AsyncIterator[Scheduling]:
    """A cluster with one scheduler and all its rules, wired as the assembly does it."""
    async with account_of_pods() as c:
        client, ledger, clock = c.api.client("system:kube-scheduler"), Ledger(), RealClock()
        caches, settings = Caches.of(client, clock=clock), settings or Settings()
        rules = Rules(
            client,
            columns=ledger.columns,
            pods=caches.pods,
            nodes=caches.nodes,
            clock=clock,
            uid=new_uid,
            extenders=settings.extenders,
        )
        async with scheduling_in(c, ledger, settings=settings, rules=rules.all, caches=caches) as s:
            rules.serve(s.scheduler)
            async with asyncio.TaskGroup() as tasks:
                running = tasks.create_task(rules.run())
                try:
                    yield s
                finally:
                    running.cancel()
