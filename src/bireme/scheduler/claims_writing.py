"""What is written of claims: who has which devices, and for whom. A claim that changed meanwhile is read again."""

from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from bireme.aio.clock import Clock
from bireme.api.errors import Conflict, NotFound
from bireme.api.kinds import core, resource
from bireme.client.client import Client
from bireme.client.informer import Key, key_of
from bireme.scheduler.claims_allocator import Pick
from bireme.scheduler.claims_cache import Devices
from bireme.scheduler.claims_spec import allocation_of, consumer
from bireme.scheduler.interface import NotReady

FINALIZER = "resource.kubernetes.io/delete-protection"
TRIES = 5


class ClaimWriter:
    """Writes allocations and users, both or neither."""

    def __init__(self, client: Client, devices: Devices, *, clock: Clock, uid: Callable[[], str]) -> None:
        self._client, self._devices, self._clock, self._uid = client, devices, clock, uid

    async def write(
        self, claim: resource.ResourceClaim, pod: core.Pod, picks: Sequence[Pick] | None, *, node: str
    ) -> None:
        """Have the claim allocated, with these picks for the node if it is not yet, and the pod among its users."""
        key = key_of(claim)
        for _ in range(TRIES):
            try:
                if FINALIZER not in claim.metadata.finalizers and claim.status.allocation is None:
                    marks = {"finalizers": [*claim.metadata.finalizers, FINALIZER]}
                    claim = await self._patch(claim, {"metadata": marks})
                status = self._status(claim, pod, picks, node)
                if status:
                    await self._patch(claim, {"status": status}, subresource="status")
            except Conflict:
                claim = await self._client.get(resource.ResourceClaim, key.name, namespace=key.namespace)
            else:
                return
        raise Conflict(f'claim "{key}" changes faster than it can be written')

    def _status(
        self, claim: resource.ResourceClaim, pod: core.Pod, picks: Sequence[Pick] | None, node: str
    ) -> dict[str, Any] | None:
        """What is to be written of the claim: its allocation, its user, both or nothing. Raises NotReady."""
        users = [msgspec.to_builtins(user) for user in claim.status.reserved_for]
        there = any(user.uid == pod.metadata.uid for user in claim.status.reserved_for)
        if claim.status.allocation is not None:
            return None if there else {"reservedFor": [*users, consumer(pod)]}
        if picks is None or claim.metadata.deletion_timestamp:
            raise NotReady(f'claim "{key_of(claim)}" lost its allocation')
        made = allocation_of(
            claim, picks, self._devices.device_class, node=node, now=self._clock.now(), uid=self._uid
        )
        return {"allocation": msgspec.to_builtins(made), "reservedFor": [*users, consumer(pod)]}

    async def _patch(
        self, claim: resource.ResourceClaim, patch: dict[str, Any], *, subresource: str = ""
    ) -> resource.ResourceClaim:
        metadata = claim.metadata
        sure = {"uid": metadata.uid, "resourceVersion": metadata.resource_version}
        whole = {**patch, "metadata": {**patch.get("metadata", {}), **sure}}
        return await self._client.patch(
            resource.ResourceClaim, metadata.name, whole, namespace=metadata.namespace, subresource=subresource
        )

    async def drop(self, key: Key, uid: str) -> None:
        """The pod of that uid, for which alone the claim was made, has no use for it."""
        await self.take_off(key, uid)
        for _ in range(TRIES):
            try:
                claim = await self._client.get(resource.ResourceClaim, key.name, namespace=key.namespace)
                if FINALIZER in claim.metadata.finalizers:
                    rest = [each for each in claim.metadata.finalizers if each != FINALIZER]
                    await self._patch(claim, {"metadata": {"finalizers": rest or None}})
                if not claim.metadata.deletion_timestamp:
                    about = claim.metadata
                    await self._client.delete(
                        resource.ResourceClaim, key.name, namespace=key.namespace, uid=about.uid
                    )
            except NotFound:
                return
            except Conflict:
                continue
            return

    async def take_off(self, key: Key, uid: str) -> None:
        """The pod of that uid uses the claim no more, which gives its devices back if nobody else does."""
        for _ in range(TRIES):
            try:
                claim = await self._client.get(resource.ResourceClaim, key.name, namespace=key.namespace)
            except NotFound:
                return
            if claim.status.allocation is None:
                self._devices.undo(claim.metadata.uid)
            users = claim.status.reserved_for
            rest = [msgspec.to_builtins(user) for user in users if user.uid != uid]
            status: dict[str, Any] = {"reservedFor": rest or None} if len(rest) < len(users) else {}
            if not rest and claim.status.allocation is not None and FINALIZER in claim.metadata.finalizers:
                status |= {"allocation": None, "devices": None}
            if not status:
                return
            try:
                await self._patch(claim, {"status": status}, subresource="status")
            except Conflict:
                continue
            return
