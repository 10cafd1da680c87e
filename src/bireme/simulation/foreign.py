"""Hollow nodes on any Kubernetes API server, over HTTPS: `bireme sim nodes`.

Nothing but documented API is used, in JSON: Nodes, Leases, one watch of the Nodes and one of the Pods for all of
them, patches of statuses, deletes. So another control plane can be put under the very load that ours is measured
with.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from bireme.aio.clock import Clock
from bireme.aio.supervise import supervise
from bireme.client.client import Client
from bireme.client.transport import HttpTransport
from bireme.http.requests import Session
from bireme.simulation.access import Access
from bireme.simulation.nodes import HollowNodes, NodeStatistics
from bireme.simulation.pods import HollowPods
from bireme.simulation.scripts import DEFAULT_RULES, Rules
from bireme.simulation.several import on_each
from bireme.simulation.shapes import Shape
from bireme.simulation.wire import WireRenewer

POD_WORKERS = 24


@dataclass(frozen=True, slots=True)
class Fleet:
    """Hollow nodes to have: how many, of what shape, named PREFIX-NUMBER."""

    count: int
    shape: Shape = field(default_factory=Shape)
    prefix: str = "hollow"
    rules: Rules = DEFAULT_RULES


@asynccontextmanager
async def hollow_nodes(
    access: Access, fleet: Fleet, *, clock: Clock, told: Callable[[NodeStatistics], None] = lambda statistics: None
) -> AsyncIterator[HollowNodes]:
    """The fleet on that cluster, until the block is left; the nodes stay registered. Raises ApiError.

    `told` hears now and then how many are registered.
    """
    renewer = WireRenewer(access)
    async with Session(tls=access.tls, headers=access.headers) as session:
        client = Client(HttpTransport(session, access.url), user_agent="bireme-hollow")
        nodes = HollowNodes(client, clock=clock, renewer=renewer)
        pods = HollowPods(client, nodes, clock=clock, rules=fleet.rules, workers=POD_WORKERS)
        parts = {"hollow nodes": nodes.run, "hollow pods": pods.run, "progress": lambda: _tell(nodes, told, clock)}
        try:
            async with asyncio.TaskGroup() as tasks:
                started = [tasks.create_task(supervise(name, part, clock), name=name) for name, part in parts.items()]
                try:
                    await nodes.add(fleet.count, fleet.shape, prefix=fleet.prefix)
                    yield nodes
                finally:
                    for task in started:
                        task.cancel()
        finally:
            await renewer.close()


async def remove(access: Access, fleet: Fleet) -> int:
    """Delete the fleet's nodes; how many there were. Raises ApiError."""
    from bireme.api.kinds import core
    from bireme.simulation.nodes import AT_ONCE, MARK

    async with Session(tls=access.tls, headers=access.headers) as session:
        client = Client(HttpTransport(session, access.url), user_agent="bireme-hollow")
        page = await client.list(core.Node, labels=f"{MARK}=true")
        names = [node.metadata.name for node in page.items if node.metadata.name.startswith(f"{fleet.prefix}-")]
        await on_each(names, lambda name: client.delete(core.Node, name), workers=AT_ONCE)
        return len(names)


async def _tell(nodes: HollowNodes, told: Callable[[NodeStatistics], None], clock: Clock) -> None:
    while True:
        told(nodes.statistics())
        await clock.sleep(1.0)
