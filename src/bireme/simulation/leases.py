"""The leases by which hollow nodes are known to live: made once, then renewed for ever, spread over time.

Each node renews every 10 seconds, as a kubelet does, and no API renews two leases at once: ten thousand nodes are a
thousand requests a second. So nothing is built anew but the time: the server is sent a merge patch of it alone. How
a patch is sent stands behind `Renewer`: by a client, or on bare connections (`wire.py`).
"""

from collections.abc import Sequence
from typing import Protocol

from bireme.aio.clock import Clock
from bireme.api.errors import AlreadyExists, ApiError, NotFound
from bireme.api.kinds import coordination, core, meta
from bireme.api.times import rfc3339_micro
from bireme.client.client import Client, Patch
from bireme.simulation.several import on_each

NAMESPACE = "kube-node-lease"
PATH = f"/apis/coordination.k8s.io/v1/namespaces/{NAMESPACE}/leases/"
DURATION_S = 40
EVERY_S = 10.0
TICK_S = 0.1
TOGETHER = 10
"""So many are renewed in one turn at least: for a few nodes, waking up is what costs."""
AT_ONCE = 16


class Renewer(Protocol):
    """A way to send renewals."""

    async def renew(self, names: Sequence[str], moment: str) -> dict[str, ApiError]:
        """Set the renew time of these leases to `moment`; the errors of those that failed."""
        ...


class ClientRenewer:
    """By an ordinary client, some at a time."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def renew(self, names: Sequence[str], moment: str) -> dict[str, ApiError]:
        """See `Renewer`."""
        failed: dict[str, ApiError] = {}
        body, headers = patch_of(moment), {"content-type": Patch.MERGE.value}

        async def one(name: str) -> None:
            try:
                await self._client.request("PATCH", PATH + name, headers=headers, body=body)
            except ApiError as error:
                failed[name] = error

        await on_each(names, one, workers=AT_ONCE)
        return failed


def patch_of(moment: str) -> bytes:
    """The merge patch that renews."""
    return b'{"spec":{"renewTime":"%s"}}' % moment.encode()


class Leases:
    """The leases of all nodes of a cluster."""

    def __init__(self, client: Client, *, clock: Clock, renewer: Renewer | None = None) -> None:
        self._client, self._clock = client, clock
        self._renewer = renewer or ClientRenewer(client)
        self._turn = 0

    async def make(self, node: core.Node) -> None:
        """Have the node's lease there. Raises ApiError."""
        name = node.metadata.name
        reference = meta.OwnerReference(api_version="v1", kind="Node", name=name, uid=node.metadata.uid)
        metadata = meta.ObjectMeta(name=name, namespace=NAMESPACE, owner_references=[reference])
        now = rfc3339_micro(self._clock.now())
        spec = coordination.LeaseSpec(holder_identity=name, lease_duration_seconds=DURATION_S, renew_time=now)
        try:
            await self._client.create(coordination.Lease(metadata=metadata, spec=spec))
        except AlreadyExists:
            headers = {"content-type": Patch.MERGE.value}
            await self._client.request("PATCH", PATH + name, headers=headers, body=patch_of(now))

    async def renew(self, names: Sequence[str]) -> dict[str, ApiError]:
        """Renew these now; the errors of those that failed, NotFound for one that is to be made."""
        return await self._renewer.renew(names, rfc3339_micro(self._clock.now())) if names else {}

    def turn(self, count: int) -> tuple[float, range]:
        """The seconds from the last turn to the next one, and the places, of `count`, whose turn it is."""
        slots = min(round(EVERY_S / TICK_S), max(1, count // TOGETHER))
        self._turn = (self._turn + 1) % slots
        return EVERY_S / slots, range(self._turn, count, slots)


def is_missing(error: ApiError) -> bool:
    """Whether a renewal failed because there is no lease."""
    return isinstance(error, NotFound)
