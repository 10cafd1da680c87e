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
from bireme.api.kinds import core
from bireme.client.client import Client
from bireme.client.kubeconfig import Access
from bireme.simulation.nodes import AT_ONCE, MARK, HollowNodes, NodeStatistics
from bireme.simulation.pods import HollowPods
from bireme.simulation.scripts import DEFAULT_RULES, Rules
from bireme.simulation.several import on_each
from bireme.simulation.shapes import Shape
from bireme.simulation.wire import WireRenewer

POD_WORKERS = 24
ANSWER_S = 60.0


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
    client = _client(access)
    try:
        await client.list(core.Node, limit=1)  # a server that is away, or refuses, is not waited for
        nodes = HollowNodes(client, clock=clock, renewer=renewer)
        pods = HollowPods(client, nodes, clock=clock, rules=fleet.rules, workers=POD_WORKERS)
        parts = {"hollow nodes": nodes.run, "hollow pods": pods.run, "progress": lambda: _tell(nodes, told, clock)}
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
        await client.close()


async def remove(access: Access, fleet: Fleet) -> int:
    """Delete the fleet's nodes; how many there were. Raises ApiError."""
    client = _client(access)
    try:
        page = await client.list(core.Node, labels=f"{MARK}=true")
        names = [node.metadata.name for node in page.items if node.metadata.name.startswith(f"{fleet.prefix}-")]
        await on_each(names, lambda name: client.delete(core.Node, name), workers=AT_ONCE)
        return len(names)
    finally:
        await client.close()


def _client(access: Access) -> Client:
    return Client(access.transport(timeout_s=ANSWER_S), user_agent="bireme-hollow")


async def _tell(nodes: HollowNodes, told: Callable[[NodeStatistics], None], clock: Clock) -> None:
    while True:
        told(nodes.statistics())
        await clock.sleep(1.0)
