"""DynamicResources: a pod goes where devices for all its claims can be had, and has them before it is bound.

Which devices those are is found by `claims_allocator.py`. Pods whose claims ask for the same share an answer for each
node (`claims_columns.py`). Left to others: making claims from templates and taking back what nobody uses
(`controllers/resource_claims.py`), and what drivers do on nodes.

Not done: attributes that are derived; amounts of a node that devices use.
Source: the Kubernetes documentation on dynamic resource allocation; reasons as the original words them.
"""

import asyncio
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

import structlog

from bireme.aio.clock import Clock
from bireme.api.cel.errors import CelError
from bireme.api.errors import ApiError, Conflict, NotFound
from bireme.api.kinds import core, resource
from bireme.client.client import Client
from bireme.client.informer import Informer, Key, key_of
from bireme.scheduler.claims_allocator import Pick, Wanted, allocate
from bireme.scheduler.claims_binding import BINDING_TIMEOUT_S, BindingConditions, binds
from bireme.scheduler.claims_cache import Devices
from bireme.scheduler.claims_columns import ClaimColumns
from bireme.scheduler.claims_spec import (
    Unanswerable,
    claim_name,
    shape_of,
    wanted_of,
)
from bireme.scheduler.claims_writing import FINALIZER, ClaimWriter
from bireme.scheduler.interface import NOTHING, Lack, Mask, NotReady, Stop
from bireme.scheduler.node_sets import Names, NodeSets
from bireme.scheduler.volumes import stop

log = structlog.get_logger(__name__)

ELSEWHERE = "resourceclaim not available on the node"
MOST_USERS = 256
RETRY_S = 5.0


@dataclass(slots=True)
class Held:
    """What a pod on its way is to get: picks by claim; and the claims that the API knows to be its own."""

    node: str
    picks: dict[Key, tuple[str, list[Pick]]]
    written: list[Key] = field(default_factory=list)


class DynamicResources:
    """The rule. See the module, and `interface.Rule`. `run` takes back what was written for pods that failed."""

    def __init__(
        self,
        client: Client,
        *,
        devices: Devices,
        nodes: NodeSets,
        pods: Informer[core.Pod],
        clock: Clock,
        uid: Callable[[], str],
        binding_timeout_s: float = BINDING_TIMEOUT_S,
    ) -> None:
        self._binding = BindingConditions(devices.claims, clock, timeout_s=binding_timeout_s)
        self._devices, self._nodes, self._clock = devices, nodes, clock
        self._writer = ClaimWriter(client, devices, clock=clock, uid=uid)
        self._columns = ClaimColumns(devices, nodes, clock)
        self._held: dict[str, Held] = {}
        self._regretted: dict[tuple[Key, str], None] = {}
        self._stirred = asyncio.Event()
        pods.on_change(self._pod_changed)
        devices.classes.on_change(lambda old, new: self._columns.forget())

    async def run(self) -> None:
        """Take the names of pods that went nowhere off their claims, until cancelled."""
        while True:
            while not self._regretted:
                self._stirred.clear()
                await self._stirred.wait()
            key, uid = next(iter(self._regretted))
            del self._regretted[key, uid]
            try:
                if uid not in self._held:
                    await self._writer.take_off(key, uid)
            except ApiError as error:
                log.warning("claim not given back yet", claim=str(key), error=str(error), retry_s=RETRY_S)
                await self._clock.sleep(RETRY_S)
                self._regret(key, uid)

    def concerns(self, pod: core.Pod) -> bool:
        """Whether the pod has claims to devices."""
        return bool(pod.spec.resource_claims)

    def look(self, pod: core.Pod) -> Sequence[Mask] | Stop:
        """The nodes where the pod's claims are, or can be allocated together."""
        total = len(self._nodes.everyone())
        try:
            claims = self._claims(pod)
            waiting = [claim for claim in claims if claim.status.allocation is None]
            self._check(pod, claims)
            wanted = [wanted_of(claim, self._devices.device_class) for claim in waiting]
        except Unanswerable as error:
            return stop(total, str(error), Lack.DEVICES)
        found = []
        for claim in claims:
            selector = claim.status.allocation.node_selector if claim.status.allocation is not None else None
            if selector is not None:
                found.append(Mask(self._nodes.mask(self._nodes.selected(selector)), _elsewhere, Lack.DEVICES))
        if waiting:
            column = self._columns.of(tuple(map(shape_of, waiting)), wanted)
            if not column.everywhere:
                found.append(self._columns.mask(column))
        return found

    def reserve(self, pod: core.Pod, node: str) -> bool:
        """Decide on the devices."""
        try:
            claims = self._claims(pod)
            self._check(pod, claims)
            waiting = [claim for claim in claims if claim.status.allocation is None]
            picks = self._allocate([wanted_of(claim, self._devices.device_class) for claim in waiting], node)
        except (Unanswerable, CelError):
            return False
        if picks is None or not all(node in self._reach(claim) for claim in claims):
            return False
        held = Held(node, {})
        for claim, several in zip(waiting, picks, strict=True):
            held.picks[key_of(claim)] = (claim.metadata.uid, several)
            self._devices.decide(claim.metadata.uid, several)
        self._held[pod.metadata.uid] = held
        return True

    async def prepare(self, pod: core.Pod, node: str) -> None:
        """Write allocations, and the pod's name on its claims; wait until the devices are ready."""
        held = self._held.get(pod.metadata.uid)
        if held is None:
            raise NotReady(f'nothing is reserved for pod "{pod.metadata.name}"')
        binding: dict[Key, str] = {}
        for claim in self._claims(pod, fault=NotReady):
            key = key_of(claim)
            _, picks = held.picks.get(key, ("", None))
            if self._held.get(pod.metadata.uid) is not held:  # meanwhile its devices may be another's
                raise NotReady(f'pod "{pod.metadata.name}" is gone')
            held.written.append(key)
            try:
                await self._writer.write(claim, pod, picks, node=node)
            except (Conflict, NotFound) as error:
                raise NotReady(str(error)) from error
            if binds(claim, picks):
                binding[key] = claim.metadata.uid
        if binding:
            await self._binding.wait(binding)

    def release(self, pod: core.Pod) -> None:
        """Let go of the devices; what was written is taken back by `run`."""
        held = self._held.pop(pod.metadata.uid, None)
        if held is None:
            return
        for key in held.written:
            self._regret(key, pod.metadata.uid)
        for key, (uid, _) in held.picks.items():
            if key not in held.written:  # of the others nobody knows yet whether the API has them
                self._devices.undo(uid)

    def refused(self, pod: core.Pod) -> Lack:
        """No node was found: claims that tie the pod to nodes, and that nobody else uses, are allocated anew."""
        if pod.spec.resource_claims and pod.metadata.uid not in self._held:
            with suppress(Unanswerable):
                for claim in self._claims(pod):
                    allocation, users = claim.status.allocation, claim.status.reserved_for
                    tied = allocation is not None and allocation.node_selector is not None
                    if tied and FINALIZER in claim.metadata.finalizers and _only(users, pod.metadata.uid):
                        self._regret(key_of(claim), pod.metadata.uid)
        return NOTHING

    def would_allow(self, pod: core.Pod, node: str, gone: Collection[str]) -> bool:
        """Whether devices could be had on the node once the claims that only these pods use are given back."""
        try:
            claims = self._claims(pod)
            self._check(pod, claims)
            wanted = [
                wanted_of(claim, self._devices.device_class) for claim in claims if claim.status.allocation is None
            ]
            if not all(node in self._reach(claim) for claim in claims):
                return False
            with self._devices.without(gone):
                return self._allocate(wanted, node) is not None
        except (Unanswerable, CelError):
            return False

    def _regret(self, key: Key, uid: str) -> None:
        """The pod is to be taken off the claim: once, however often that is said before it is done."""
        self._regretted[key, uid] = None
        self._stirred.set()

    def _claims(self, pod: core.Pod, *, fault: type[Exception] = Unanswerable) -> list[resource.ResourceClaim]:
        """The pod's claims; raises `fault` when one is missing or not the pod's."""
        statuses = {each.name: each.resource_claim_name for each in pod.status.resource_claim_statuses}
        found = []
        for entry in pod.spec.resource_claims:
            name = claim_name(pod, entry, statuses)
            if name is None:
                raise fault(f'pod claim "{entry.name}": ResourceClaim not created yet')
            if not name:
                continue
            claim = self._devices.claims.get(Key(pod.metadata.namespace, name))
            if claim is None:
                raise fault(f'resourceclaim.resource.k8s.io "{name}" not found')
            if claim.metadata.deletion_timestamp:
                raise fault(f'resourceclaim "{name}" is being deleted')
            if entry.resource_claim_template_name and not _is_for(claim, pod):
                raise fault(
                    f"ResourceClaim {pod.metadata.namespace}/{name} was not created for pod "
                    f"{pod.metadata.namespace}/{pod.metadata.name} (pod is not owner)"
                )
            found.append(claim)
        return list({key_of(claim): claim for claim in found}.values())

    def _check(self, pod: core.Pod, claims: Sequence[resource.ResourceClaim]) -> None:
        for claim in claims:
            users = claim.status.reserved_for
            if claim.status.allocation is None:
                if self._devices.is_decided(claim.metadata.uid):
                    raise Unanswerable(f"resource claim {key_of(claim)} is in the process of being allocated")
            elif len(users) >= MOST_USERS and all(user.uid != pod.metadata.uid for user in users):
                raise Unanswerable("resourceclaim in use")

    def _reach(self, claim: resource.ResourceClaim) -> Names:
        allocation = claim.status.allocation
        if allocation is None or allocation.node_selector is None:
            return self._nodes.everyone()
        return self._nodes.selected(allocation.node_selector)

    def _allocate(self, wanted: Sequence[Wanted], node: str) -> list[list[Pick]] | None:
        return allocate(wanted, self._devices.on(node), self._devices.taken, self._devices.pools)

    def _pod_changed(self, old: core.Pod | None, new: core.Pod | None) -> None:
        if old is not None and (new is None or new.metadata.uid != old.metadata.uid):
            self.release(old)
        if new is not None and new.spec.node_name:
            self._held.pop(new.metadata.uid, None)


def _only(users: Sequence[resource.ResourceClaimConsumerReference], uid: str) -> bool:
    return all(user.uid == uid for user in users)


def _elsewhere(row: int) -> str:
    return ELSEWHERE


def _is_for(claim: resource.ResourceClaim, pod: core.Pod) -> bool:
    return any(owner.controller and owner.uid == pod.metadata.uid for owner in claim.metadata.owner_references)
