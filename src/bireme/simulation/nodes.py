"""Hollow nodes: registered, with a status and a lease that is renewed, and no machine behind them.

One task looks after all of them. Their status is made by the kubelet's own functions from claimed facts.
"""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import structlog

from bireme.aio.clock import Clock
from bireme.aio.waiting import wait_any
from bireme.api.errors import AlreadyExists, ApiError, NotFound
from bireme.api.kinds import coordination, core, meta
from bireme.api.times import rfc3339_micro
from bireme.client.client import Client, Patch
from bireme.client.informer import Informer, Key
from bireme.kubelet import node as facts
from bireme.kubelet.settings import KubeletSettings
from bireme.runtime.interface import EngineStatus
from bireme.simulation.addresses import Pool

log = structlog.get_logger(__name__)

LEASES = "kube-node-lease"
LEASE_S = 40
RENEW_S = 10.0
TICKS = 10
NODE_RANGE = "198.18.0.0/15"
"""Set aside for measurements (RFC 2544): nothing answers there."""

ENGINE = EngineStatus(name="hollow", version="1", ready=True, network_ready=True)
NO_MACHINE = Path("/nonexistent")
NOT_READY = "node.kubernetes.io/not-ready"


@dataclass(slots=True)
class HollowNode:
    """One of them. `lives` is false while it plays dead."""

    name: str
    settings: KubeletSettings
    machine: facts.Machine
    taints: tuple[core.Taint, ...] = ()
    lives: bool = True


@dataclass(frozen=True, slots=True)
class Shape:
    """What a node claims to have."""

    cpu: str = "16"
    memory: str = "64Gi"
    pods: int = 110
    storage: str = "100Gi"
    extended: Mapping[str, str] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    taints: tuple[core.Taint, ...] = ()

    def capacity(self) -> dict[str, str]:
        """As a Node says it."""
        own = {"cpu": self.cpu, "memory": self.memory, "pods": str(self.pods), "ephemeral-storage": self.storage}
        return {**own, **self.extended}


class HollowNodes:
    """All hollow nodes of a cluster. `untaint` is for clusters without controllers, where nobody else would."""

    def __init__(self, client: Client, *, clock: Clock, untaint: bool = False) -> None:
        self._client, self._clock, self._untaint = client, clock, untaint
        self._nodes: dict[str, HollowNode] = {}
        self._addresses = Pool(NODE_RANGE)
        self._number = 0
        self.cache = Informer(client, core.Node, clock=clock)
        self.cache.on_change(self._look)
        self._revived: list[Callable[[str], None]] = []
        self._ailing: set[str] = set()
        self._hurry = asyncio.Event()

    def get(self, name: str) -> HollowNode | None:
        """The hollow node of that name, if it is one of ours."""
        return self._nodes.get(name)

    def names(self) -> list[str]:
        """The names of all, in the order they came."""
        return list(self._nodes)

    async def add(self, count: int, shape: Shape, *, prefix: str = "hollow") -> list[str]:
        """Register `count` more and give back their names, PREFIX-NUMBER; they are Ready. Raises ApiError."""
        first, self._number = self._number, self._number + count
        return [await self._register(f"{prefix}-{number}", shape) for number in range(first, first + count)]

    async def _register(self, name: str, shape: Shape) -> str:
        settings = KubeletSettings(
            node_name=name,
            node_ip=self._addresses.take(),
            root=NO_MACHINE,
            log_root=NO_MACHINE,
            labels={"bireme.dev/hollow": "true", **shape.labels},
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
        machine = facts.Machine(shape.capacity(), info, name, "amd64")
        node = HollowNode(name, settings, machine, shape.taints)
        wanted = facts.node_object(settings, machine)
        wanted.spec.taints = list(shape.taints)
        wanted.status = self._status(node, wanted.status)
        self._nodes[name] = node
        made = await self._client.create(wanted)
        await self._renew(node, owner=made)
        if self._untaint:
            kept = [msgspec.to_builtins(taint) for taint in made.spec.taints if taint.key != NOT_READY]
            await self._client.patch(core.Node, name, {"spec": {"taints": kept or None}})
        return name

    def play_dead(self, name: str) -> None:
        """Let a node fall silent: no lease, no status, and its pods stay as they are."""
        self._nodes[name].lives = False

    def revive(self, name: str) -> None:
        """Let it speak again."""
        self._nodes[name].lives = True
        self._ailing.add(name)
        self._hurry.set()
        for handler in self._revived:
            handler(name)

    def on_revival(self, handler: Callable[[str], None]) -> None:
        """Call `handler` with the name of each node that speaks again."""
        self._revived.append(handler)

    def _look(self, old: core.Node | None, new: core.Node | None) -> None:
        if new is None:
            if old is not None and self._nodes.pop(old.metadata.name, None) is not None:
                self._addresses.give_back(old.status.addresses[0].address if old.status.addresses else "")
        elif new.metadata.name in self._nodes:
            ready = any(c.type == "Ready" and c.status == "True" for c in new.status.conditions)
            if ready:
                self._ailing.discard(new.metadata.name)
            elif new.metadata.name not in self._ailing:
                self._ailing.add(new.metadata.name)
                self._hurry.set()

    async def run(self) -> None:
        """Renew leases, and take back what others said of nodes that live, until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self.cache.run(), name="hollow nodes: cache")
            turn = 0
            while True:
                # Renewals are spread, but few nodes are not looked after more often than they need.
                slots = min(TICKS, max(1, len(self._nodes)))
                self._hurry.clear()
                await wait_any(self._clock.sleep(RENEW_S / slots), self._hurry.wait())
                turn = (turn + 1) % slots
                for number, node in enumerate(list(self._nodes.values())):
                    if node.lives and (number % slots == turn or node.name in self._ailing):
                        await self._tend(node)

    async def _tend(self, node: HollowNode) -> None:
        try:
            await self._renew(node)
            if node.name in self._ailing:
                await self._post(node)
        except ApiError as error:
            log.info("hollow node not tended", node=node.name, error=str(error))

    async def _post(self, node: HollowNode) -> None:
        known = self.cache.get(Key("", node.name))
        if known is not None:
            body = {"status": msgspec.to_builtins(self._status(node, known.status))}
            await self._client.patch(core.Node, node.name, body, subresource="status", how=Patch.STRATEGIC)

    def _status(self, node: HollowNode, old: core.NodeStatus) -> core.NodeStatus:
        return facts.node_status(node.settings, node.machine, ENGINE, (), old, self._clock.now())

    async def _renew(self, node: HollowNode, *, owner: core.Node | None = None) -> None:
        now = rfc3339_micro(self._clock.now())
        if owner is None:
            try:
                body = {"spec": {"renewTime": now}}
                await self._client.patch(coordination.Lease, node.name, body, namespace=LEASES)
                return
            except NotFound:
                owner = self.cache.get(Key("", node.name))
                if owner is None:
                    return
        reference = meta.OwnerReference(api_version="v1", kind="Node", name=node.name, uid=owner.metadata.uid)
        metadata = meta.ObjectMeta(name=node.name, namespace=LEASES, owner_references=[reference])
        spec = coordination.LeaseSpec(holder_identity=node.name, lease_duration_seconds=LEASE_S, renew_time=now)
        try:
            await self._client.create(coordination.Lease(metadata=metadata, spec=spec))
        except AlreadyExists:
            return
