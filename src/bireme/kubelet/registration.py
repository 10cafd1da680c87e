"""The node's presence in the API: its Node object, its status every ten seconds if it changed, its lease.

Source: Kubernetes, "Nodes: heartbeats".
"""

import msgspec
import structlog

from bireme.aio.backoff import Backoff
from bireme.aio.clock import Clock
from bireme.api.errors import AlreadyExists, ApiError, NotFound
from bireme.api.kinds import coordination, core, meta
from bireme.api.times import rfc3339_micro
from bireme.client.client import Client, Patch
from bireme.kubelet import node as facts
from bireme.kubelet.settings import KubeletSettings
from bireme.runtime.interface import EngineStatus, Image, Runtime, RuntimeFault

log = structlog.get_logger(__name__)

LEASES = "kube-node-lease"
LEASE_DURATION_S = 40
STATUS_S = 10.0
HURRY_S = 0.5
AT_LEAST_S = 300.0
ENGINE_LOST_S = 30.0
RETRY = Backoff(initial_s=0.2, limit_s=7.0)


class Registration:
    """Registers one node and keeps it fresh. `node` is the object as the API last gave it."""

    def __init__(self, settings: KubeletSettings, client: Client, runtime: Runtime, *, clock: Clock) -> None:
        self._settings, self._client, self._runtime, self._clock = settings, client, runtime, clock
        self._machine = facts.look_at_machine(settings)
        self._posted = -AT_LEAST_S
        self._engine_said: tuple[EngineStatus, list[Image]] | None = None
        self._engine_heard = 0.0
        self.node = facts.node_object(settings, self._machine)

    @property
    def is_ready(self) -> bool:
        """The node was last reported as Ready."""
        return any(c.type == "Ready" and c.status == "True" for c in self.node.status.conditions)

    async def register(self) -> core.Node:
        """Have the Node in the API, with our labels and a first status; tries until that is so."""
        failures = 0
        while True:
            try:
                return await self._register()
            except ApiError as error:
                failures += 1
                delay = RETRY.delay(failures)
                log.info("node not registered", node=self._settings.node_name, error=str(error), retry_s=delay)
                await self._clock.sleep(delay)

    async def _register(self) -> core.Node:
        name = self._settings.node_name
        try:
            self.node = await self._client.create(facts.node_object(self._settings, self._machine))
        except AlreadyExists:
            wanted = facts.node_object(self._settings, self._machine).metadata
            body = {"metadata": {"labels": wanted.labels, "annotations": wanted.annotations}}
            self.node = await self._client.patch(core.Node, name, body)
        await self.renew()
        await self.post()
        return self.node

    async def run_status(self) -> None:
        """Post the status as often as it should be, until cancelled; more often until the node is Ready."""
        while True:
            await self._clock.sleep(STATUS_S if self.is_ready else HURRY_S)
            try:
                await self.post()
            except ApiError as error:
                log.info("node status not posted", error=str(error))

    async def run_lease(self) -> None:
        """Renew the lease until cancelled."""
        while True:
            await self._clock.sleep(self._settings.lease_s)
            try:
                await self.renew()
            except ApiError as error:
                log.info("lease not renewed", error=str(error))

    async def post(self) -> None:
        """Send the node's status if it changed or is getting old. Raises ApiError."""
        engine, images = await self._engine()
        now = self._clock.now()
        # Read anew: the node's condition may have been called unknown meanwhile, and must be taken back.
        self.node = await self._client.get(core.Node, self._settings.node_name)
        fresh = facts.node_status(self._settings, self._machine, engine, images, self.node.status, now)
        due = self._clock.monotonic() - self._posted >= AT_LEAST_S
        if due or facts.differs(fresh, self.node.status):
            body = {"status": msgspec.to_builtins(fresh)}
            self.node = await self._client.patch(
                core.Node, self._settings.node_name, body, subresource="status", how=Patch.STRATEGIC
            )
            self._posted = self._clock.monotonic()

    async def _engine(self) -> tuple[EngineStatus | None, list[Image]]:
        """What the engine says, or said at most thirty seconds ago: its restart takes no pod out of its services."""
        try:
            said = await self._runtime.status(), await self._runtime.list_images()
        except RuntimeFault as fault:
            log.warning("engine does not answer", error=fault.message)
            if self._engine_said is None or self._clock.monotonic() - self._engine_heard > ENGINE_LOST_S:
                return None, []
            return self._engine_said
        self._engine_said, self._engine_heard = said, self._clock.monotonic()
        return said

    async def renew(self) -> None:
        """Say that the node lives. Raises ApiError."""
        name, now = self._settings.node_name, rfc3339_micro(self._clock.now())
        body = {"spec": {"renewTime": now, "holderIdentity": name, "leaseDurationSeconds": LEASE_DURATION_S}}
        try:
            await self._client.patch(coordination.Lease, name, body, namespace=LEASES)
        except NotFound:
            owner = meta.OwnerReference(api_version="v1", kind="Node", name=name, uid=self.node.metadata.uid)
            lease = coordination.Lease(
                metadata=meta.ObjectMeta(name=name, namespace=LEASES, owner_references=[owner]),
                spec=coordination.LeaseSpec(
                    holder_identity=name, lease_duration_seconds=LEASE_DURATION_S, renew_time=now
                ),
            )
            await self._client.create(lease)
