"""Hollow nodes: registered, with a status and a lease that is renewed, and no machine behind them.

One task renews the leases of all, and waits for nothing else: who is kept from that by the statuses of others is soon
taken for dead, and has more to say of itself. A handful of workers tell statuses, which are made by the kubelet's own
functions from claimed facts. Nodes that are there already, from an earlier life of this process, are taken up again.
"""

import asyncio
import itertools
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import msgspec
import structlog

from bireme.aio.backoff import Backoff
from bireme.aio.clock import Clock
from bireme.aio.waiting import wait_any
from bireme.aio.workqueue import WorkQueue
from bireme.api.errors import AlreadyExists, ApiError, NotFound, ServiceUnavailable, TooManyRequests
from bireme.api.kinds import core
from bireme.client.client import Client, Patch
from bireme.client.informer import Informer, Key
from bireme.kubelet import node as facts
from bireme.kubelet.settings import KubeletSettings
from bireme.runtime.interface import EngineStatus
from bireme.simulation.addresses import Pool
from bireme.simulation.leases import Leases, Renewer, is_missing
from bireme.simulation.several import on_each
from bireme.simulation.shapes import Shape

log = structlog.get_logger(__name__)

AT_ONCE = 32
TELLING = 16
STATUS_EVERY_S = 300.0
BUSY = Backoff(initial_s=0.5, limit_s=10.0)
MOST_TRIES = 12
NODE_RANGE = "198.18.0.0/15"
"""Set aside for measurements (RFC 2544): nothing answers there."""

ENGINE = EngineStatus(name="hollow", version="1", ready=True, network_ready=True)
NO_MACHINE = Path("/nonexistent")
NOT_READY = "node.kubernetes.io/not-ready"
MARK = "bireme.dev/hollow"


@dataclass(slots=True)
class HollowNode:
    """One of them. `lives` is false while it plays dead; `posted_at` is when it last told its status."""

    name: str
    settings: KubeletSettings
    machine: facts.Machine
    taints: tuple[core.Taint, ...] = ()
    lives: bool = True
    posted_at: float = 0.0


@dataclass(frozen=True, slots=True)
class NodeStatistics:
    """How many are wanted, are registered, are seen as Ready."""

    wanted: int
    registered: int
    ready: int


class HollowNodes:
    """All hollow nodes of a cluster. `untaint` is for clusters without controllers, where nobody else would."""

    def __init__(
        self, client: Client, *, clock: Clock, untaint: bool = False, renewer: Renewer | None = None
    ) -> None:
        self._client, self._clock, self._untaint = client, clock, untaint
        self._leases = Leases(client, clock=clock, renewer=renewer)
        self._nodes: dict[str, HollowNode] = {}
        self._registered: dict[str, None] = {}
        self._addresses = Pool(NODE_RANGE)
        self._number = 0
        self.cache = Informer(client, core.Node, clock=clock, labels=f"{MARK}=true")
        self.cache.on_change(self._look)
        self._with_voice: list[Callable[[str], None]] = []
        self._ready: set[str] = set()
        # Whose status is doubted or old, or whose lease is not there.
        self._untold: WorkQueue[str] = WorkQueue(clock, backoff=BUSY)
        self._leaseless: set[str] = set()
        self._revived_now: dict[str, None] = {}
        self._hurry = asyncio.Event()

    def get(self, name: str) -> HollowNode | None:
        """The hollow node of that name, if it is one of ours."""
        return self._nodes.get(name)

    def names(self) -> list[str]:
        """The names of all, in the order they came."""
        return list(self._nodes)

    def statistics(self) -> NodeStatistics:
        return NodeStatistics(len(self._nodes), len(self._registered), len(self._ready))

    async def add(self, count: int, shape: Shape, *, prefix: str = "hollow") -> list[str]:
        """Register `count` more and give back their names, PREFIX-NUMBER; they are Ready. Raises ApiError.

        `run` must be under way: what is there already is seen by it.
        """
        first, self._number = self._number, self._number + count
        return await self.have([(f"{prefix}-{number}", shape) for number in range(first, first + count)])

    async def have(self, wanted: Iterable[tuple[str, Shape]]) -> list[str]:
        """Register nodes of these names and shapes. Raises ApiError."""
        nodes = [self._make(name, shape) for name, shape in wanted]
        self._nodes.update((node.name, node) for node in nodes)
        await self.cache.wait_synced()
        await on_each(nodes, self._register_patiently, workers=AT_ONCE)
        return [node.name for node in nodes]

    def _make(self, name: str, shape: Shape) -> HollowNode:
        settings = KubeletSettings(
            node_name=name,
            node_ip=self._addresses.take(),
            root=NO_MACHINE,
            log_root=NO_MACHINE,
            labels={MARK: "true", **shape.labels},
            capacity=shape.capacity(),
        )
        info = core.NodeSystemInfo(
            machine_id=name,
            system_uuid=name,
            boot_id=name,
            kernel_version="0.0.0-hollow",
            os_image="Hollow",
            kubelet_version=settings.version,
            operating_system="linux",
            architecture="amd64",
        )
        return HollowNode(name, settings, facts.Machine(shape.capacity(), info, name, "amd64"), shape.taints)

    async def _register_patiently(self, node: HollowNode) -> None:
        """A server that is asked by thousands may say that it is busy: it is asked again, for some time."""
        for tries in itertools.count(1):
            try:
                await self._register(node)
            except (TooManyRequests, ServiceUnavailable):
                if tries == MOST_TRIES:
                    raise
                await self._clock.sleep(BUSY.delay(tries))
            else:
                return

    async def _register(self, node: HollowNode) -> None:
        made = await self._take_up(node) or await self._create(node)
        node.posted_at = self._clock.monotonic()
        await self._leases.make(made)
        if self._untaint:
            kept = [msgspec.to_builtins(taint) for taint in made.spec.taints if taint.key != NOT_READY]
            await self._client.patch(core.Node, node.name, {"spec": {"taints": kept or None}})
        self._registered[node.name] = None
        self._tell_voice(node.name)

    async def _take_up(self, node: HollowNode) -> core.Node | None:
        """The node as it was left by an earlier life of ours, told to be well; None if there is none."""
        known = self.cache.get(Key("", node.name))
        try:
            return await self._post(node, known) if known is not None else None
        except NotFound:
            return None

    async def _create(self, node: HollowNode) -> core.Node:
        wanted = facts.node_object(node.settings, node.machine)
        wanted.spec.taints = list(node.taints)
        wanted.status = self._status(node, wanted.status)
        try:
            return await self._client.create(wanted)
        except AlreadyExists:
            known = await self._client.get(core.Node, node.name)
            if known.metadata.labels.get(MARK) != "true":
                raise
            return await self._post(node, known)

    async def prune(self) -> list[str]:
        """Delete the hollow nodes that are not among ours, left by a larger life; their names. Raises ApiError."""
        await self.cache.wait_synced()
        gone = sorted(node.metadata.name for node in self.cache.items() if node.metadata.name not in self._nodes)

        async def delete(name: str) -> None:
            try:
                await self._client.delete(core.Node, name)
            except NotFound:
                return

        await on_each(gone, delete, workers=AT_ONCE)
        return gone

    def play_dead(self, name: str) -> None:
        """Let a node fall silent: no lease, no status, and its pods stay as they are."""
        self._nodes[name].lives = False

    def revive(self, name: str) -> None:
        """Let it speak again."""
        self._nodes[name].lives = True
        self._revived_now[name] = None
        self._hurry.set()
        self._untold.add(name)
        self._tell_voice(name)

    def on_voice(self, handler: Callable[[str], None]) -> None:
        """Call `handler` with the name of each node that comes, or speaks again."""
        self._with_voice.append(handler)

    def _tell_voice(self, name: str) -> None:
        for handler in self._with_voice:
            handler(name)

    def _look(self, old: core.Node | None, new: core.Node | None) -> None:
        name = (new or old).metadata.name  # type: ignore[union-attr]
        ready = new is not None and any(c.type == "Ready" and c.status == "True" for c in new.status.conditions)
        ours = name in self._nodes
        if ready and ours:
            self._ready.add(name)
            return
        self._ready.discard(name)
        if new is None and ours and name in self._registered:
            self._addresses.give_back(self._nodes.pop(name).settings.node_ip)
            del self._registered[name]
        elif new is not None and ours:
            self._untold.add(name)

    async def run(self) -> None:
        """Renew leases, and take back what others said of nodes that live, until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self.cache.run(), name="hollow nodes: cache")
            tasks.create_task(self._untold.run(), name="hollow nodes: delays")
            for number in range(TELLING):
                tasks.create_task(self._tell(), name=f"hollow nodes: teller {number}")
            await self._renew_in_turn()

    async def _renew_in_turn(self) -> None:
        due = self._clock.monotonic()
        while True:
            self._hurry.clear()
            wait = due - self._clock.monotonic()
            if wait > 0:
                await wait_any(self._clock.sleep(wait), self._hurry.wait())
            names, self._revived_now = self._revived_now, {}
            now = self._clock.monotonic()
            if now >= due:
                everyone = list(self._registered)
                step, places = self._leases.turn(len(everyone))
                # What took long is made up for, but a clock that was put forward is not run after.
                due = max(due + step, now - step)
                names.update((everyone[place], None) for place in places)
            await self._renew(names)

    async def _renew(self, names: Iterable[str]) -> None:
        """Renew the leases of those of these who live, and have them tell their status where it is old."""
        now = self._clock.monotonic()
        nodes = {name: node for name in names if (node := self._nodes.get(name)) and node.lives}
        for name, node in nodes.items():
            if now - node.posted_at > STATUS_EVERY_S:
                self._untold.add(name)
        failed = await self._leases.renew([name for name in nodes if name in self._registered])
        for name, error in failed.items():
            if is_missing(error):
                self._leaseless.add(name)
                self._untold.add(name)
            else:
                log.info("lease not renewed", node=name, error=str(error))

    async def _tell(self) -> None:
        """Tell the status of one node after the other; make its lease where there is none."""
        while True:
            name = await self._untold.take()
            try:
                await self._tell_of(name)
                self._untold.forget(name)
            except ApiError as error:
                delay = self._untold.retry(name)
                log.info("hollow node not tended", node=name, error=str(error), retry_s=delay)
            finally:
                self._untold.done(name)

    async def _tell_of(self, name: str) -> None:
        node, known = self._nodes.get(name), self.cache.get(Key("", name))
        if node is None or known is None or not node.lives:
            return
        if name in self._leaseless:
            await self._leases.make(known)
            self._leaseless.discard(name)
        if name not in self._ready or self._clock.monotonic() - node.posted_at > STATUS_EVERY_S:
            await self._post(node, known)

    async def _post(self, node: HollowNode, known: core.Node) -> core.Node:
        body = {"status": msgspec.to_builtins(self._status(node, known.status))}
        node.posted_at = self._clock.monotonic()
        return await self._client.patch(core.Node, node.name, body, subresource="status", how=Patch.STRATEGIC)

    def _status(self, node: HollowNode, old: core.NodeStatus) -> core.NodeStatus:
        return facts.node_status(node.settings, node.machine, ENGINE, (), old, self._clock.now())
