"""Hollow nodes as a process of their own, which knows the API alone: a core that is started for them, or any cluster.

What a kubelet does through the API, these do: they register, renew leases, follow the pods of their nodes and write
what became of them. One watch of all pods stands for one of each node, since no machine has ten thousand kubelets.
"""

import asyncio
import signal
import socket
import tempfile
from collections.abc import AsyncIterator, Coroutine, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import psutil
from api_requests import core, settings

from bireme.aio.clock import Clock, RealClock
from bireme.aio.supervise import supervise
from bireme.api.kinds import core as kinds
from bireme.client.client import Client
from bireme.client.kubeconfig import Access, read_access
from bireme.client.transport import HttpTransport
from bireme.config import Config
from bireme.http.requests import Session
from bireme.simulation.distributions import constant
from bireme.simulation.nodes import HollowNodes
from bireme.simulation.pods import HollowPods
from bireme.simulation.scripts import Rule, Rules
from bireme.simulation.shapes import Shape
from bireme.simulation.wire import WireRenewer

T = TypeVar("T")

POD_RANGE = "10.128.0.0/9"
"""Room for a /24 of each of 32,768 nodes."""

WORKERS = 256
"""So many writes may wait for their answer at once. Ten thousand kubelets would wait each for its own; with few here,
what the core has to do besides would hold up the nodes."""

AT_ONCE = Rules((Rule(start=constant(0.0)),))
"""A pod runs and is ready as soon as its node sees it: one status write."""


@dataclass(frozen=True, slots=True)
class Cluster:
    """What is measured: where it is and, if it is ours, its core process."""

    target: Access
    config: Config | None = None
    process: psutil.Process | None = None


@contextmanager
def own_core(folder: Path | None = None, *, profile: Path | None = None) -> Iterator[Cluster]:
    """A core with all that users have on, in `folder`, or in one that goes with the block."""
    with tempfile.TemporaryDirectory(prefix="bireme-bench-", dir="/var/tmp") as temporary:
        config = core_settings(folder or Path(temporary))
        with core(config, profile=profile) as process:
            yield Cluster(own_target(config), config, process)


def core_settings(folder: Path) -> Config:
    """The settings of such a core, on ports that nobody has."""
    api, mesos, marathon = free_ports(3)
    config = msgspec.structs.replace(
        settings(folder), pod_range=POD_RANGE, api_port=api, mesos_port=mesos, marathon_port=marathon
    )
    config.save()
    return config


def free_ports(count: int) -> list[int]:
    """Ports of loopback that are free now."""
    with ExitStack() as stack:
        doors = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [door.getsockname()[1] for door in doors]


def own_target(config: Config) -> Access:
    """The core's door, for its admin."""
    from bireme.cli import kubeconfig

    file = config.data / "admin.kubeconfig"
    file.unlink(missing_ok=True)
    kubeconfig.merge(config, file)
    return read_access([file])


@asynccontextmanager
async def connected(where: Access, *, name: str) -> AsyncIterator[Client]:
    """A client on connections of its own."""
    async with Session(tls=where.tls) as session:
        yield Client(HttpTransport(session, where.server, headers=where.headers), user_agent=name)


async def endable(work: Coroutine[Any, Any, T]) -> T:
    """The same, cancelled by SIGTERM: an exception raised by a signal's handler would get lost in uvloop."""
    task = asyncio.current_task()
    assert task is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    return await work


class Fleet:
    """Hollow nodes and their pods, in this process."""

    def __init__(self, client: Client, where: Access, *, clock: Clock | None = None, workers: int = WORKERS) -> None:
        self.client, self.clock = client, clock or RealClock()
        self._workers = workers
        self.nodes = HollowNodes(client, clock=self.clock, renewer=WireRenewer(where))
        self._settled: set[str] = set()
        self._changed = asyncio.Event()
        self.nodes.cache.on_change(self._look)
        self.pods = HollowPods(client, self.nodes, clock=self.clock, rules=AT_ONCE, workers=workers)

    async def run(self) -> None:
        """Live until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            for name, part in (("nodes", self.nodes.run), ("pods", self.pods.run)):
                tasks.create_task(supervise(f"hollow {name}", part, self.clock), name=f"hollow {name}")

    async def add(self, count: int, shape: Shape) -> None:
        """So many nodes more; they are Ready, untainted and have their ranges of addresses."""
        wanted = len(self.nodes.names()) + count
        await self.nodes.add(count, shape, prefix="density")
        while len(self._settled) < wanted:
            self._changed.clear()
            await self._changed.wait()
        await self._connect()

    async def _connect(self) -> None:
        """Have a connection open for each worker, as each kubelet has its own."""
        async with asyncio.TaskGroup() as tasks:
            for _ in range(self._workers):
                tasks.create_task(self.client.request("GET", "/version"))

    def _look(self, old: kinds.Node | None, new: kinds.Node | None) -> None:
        node = new or old
        if node is not None:
            (self._settled.add if new and is_settled(new) else self._settled.discard)(node.metadata.name)
            self._changed.set()


def is_settled(node: kinds.Node) -> bool:
    """Whether pods may be placed on the node."""
    return bool(node.spec.pod_cidr) and not node.spec.taints
