"""Rules over the real API in this process: caches that follow it, controllers that do their part, no scheduler."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from tests.support.cluster import Cluster, cluster

from bireme.aio.clock import Clock, RealClock
from bireme.api.kinds import core, meta
from bireme.client.client import Client
from bireme.client.informer import Informer
from bireme.controllers import all as every
from bireme.controllers.controller import Context, Controller
from bireme.controllers.informers import Informers
from bireme.controllers.settings import FAST
from bireme.ledger.columns import Columns
from bireme.scheduler.interface import Mask, Rule, Stop, looked
from bireme.scheduler.node_sets import NodeSets

GIVE_UP_S = 60


@dataclass(frozen=True, slots=True)
class World:
    """What rules are made of. `client` is the scheduler's, `admin` may do everything."""

    admin: Client
    client: Client
    clock: Clock
    columns: Columns
    nodes: NodeSets
    node_cache: Informer[core.Node]
    pods: Informer[core.Pod]

    async def add_nodes(self, *names: str, **labels: str) -> None:
        """Nodes with these labels (`zone` is short for the zone's)."""
        places = {"topology.kubernetes.io/zone" if key == "zone" else key: value for key, value in labels.items()}
        for name in names:
            own = {"kubernetes.io/hostname": name, **places}
            await self.admin.create(core.Node(metadata=meta.ObjectMeta(name=name, labels=own)))
            self.columns.add_node(name)
        await until(lambda: self.nodes.everyone() >= set(names))

    async def bind(self, pod: core.Pod, node: str) -> None:
        """Write the binding, and wait until the caches have it."""
        metadata = meta.ObjectMeta(name=pod.metadata.name, namespace=pod.metadata.namespace, uid=pod.metadata.uid)
        body = core.Binding(metadata=metadata, target=core.ObjectReference(kind="Node", name=node))
        await self.client.create_subresource(core.Pod, pod.metadata.name, "binding", body, namespace="default")
        await until(
            lambda: any(each.spec.node_name for each in self.pods.items() if each.metadata.uid == metadata.uid)
        )


@asynccontextmanager
async def world(
    make: Callable[[World], tuple[Any, Sequence[Informer[Any]]]], *, controllers: Sequence[type[Controller]] = ()
) -> AsyncIterator[tuple[World, Any]]:
    """A cluster, and what `make` makes in it, with its informers running and synced."""
    clock = RealClock()
    async with cluster() as c, asyncio.TaskGroup() as tasks:
        await c.client.create(core.ServiceAccount(metadata=meta.ObjectMeta(name="default", namespace="default")))
        there = _world(c, clock)
        made, informers = make(there)
        context = Context(_manager(c), Informers(_manager(c), clock=clock), clock, FAST)
        running = [tasks.create_task(informer.run()) for informer in (there.node_cache, there.pods, *informers)]
        running.append(tasks.create_task(every.run(context, [kind(context) for kind in controllers])))
        try:
            for informer in (there.node_cache, there.pods, *informers):
                await informer.wait_synced()
            yield there, made
        finally:
            for task in running:
                task.cancel()


def _manager(c: Cluster) -> Client:
    return c.api.client("system:kube-controller-manager")


def _world(c: Cluster, clock: Clock) -> World:
    client = c.api.client("system:kube-scheduler")
    columns = Columns()
    nodes = Informer(client, core.Node, clock=clock)
    pods = Informer(client, core.Pod, clock=clock)
    return World(c.client, client, clock, columns, NodeSets(columns, nodes), nodes, pods)


async def until(claim: Callable[[], Any]) -> Any:
    """What `claim` gives once that is true."""
    async with asyncio.timeout(GIVE_UP_S):
        while True:
            found = claim()
            if isinstance(found, Awaitable):
                found = await found
            if found:
                return found
            await asyncio.sleep(0.002)


def verdict(rule: Rule, pod: core.Pod, columns: Columns) -> dict[str, str] | str:
    """Of each node that is refused, why; or the one message where the rule stops."""
    assert rule.concerns(pod)
    said = looked(rule, pod)  # a loaded machine takes more than one go
    if isinstance(said, Stop):
        return said.message
    found: dict[str, str] = {}
    for mask in said:
        for name, row in columns.live_rows():
            if not mask.allowed[row]:
                found.setdefault(name, mask.reason(row))
    return found


def allowed(masks: Sequence[Mask], columns: Columns) -> list[str]:
    """The names of the nodes that every mask allows."""
    rows = columns.live.copy()
    for mask in masks:
        rows &= mask.allowed
    return sorted(columns.nodes[row] for row in np.flatnonzero(rows))
