"""The devices of the cluster, and who has them: published pools by node, allocations by claim.

An allocation is booked under its claim, first when it is decided on, then as the API tells of it, so that no device
is ever free in between. What changed is told by node: who keeps an answer for each node asks `changed_since`.
"""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from itertools import islice
from typing import Any

from bireme.aio.clock import Clock
from bireme.api import quantity
from bireme.api.kinds import core, resource
from bireme.client.client import Client
from bireme.client.informer import Informer, Key, key_of
from bireme.scheduler.claims_allocator import Alternative, Pick, Taken
from bireme.scheduler.claims_devices import Device, DeviceId, Pool, PoolId, pool_id, pool_of
from bireme.scheduler.claims_extended import owner_of_special
from bireme.scheduler.interface import Helps, anybody
from bireme.scheduler.node_sets import NodeSets

POOL = "slices/pool"
SPECIAL = "claims/special"
LOG_LIMIT = 1 << 16
FEW = 200
EVERYWHERE = ""


def _whom(old: resource.ResourceClaim | None, new: resource.ResourceClaim | None) -> Helps:
    """Devices that were given back may help anybody, and what else becomes of a claim its own pods."""
    if old is not None and old.status.allocation is not None and (new is None or new.status.allocation is None):
        return anybody
    place = key_of(new or old or resource.ResourceClaim())

    def uses(pod: core.Pod) -> bool:
        names = {each.resource_claim_name for each in pod.spec.resource_claims}
        names.update(each.resource_claim_name for each in pod.status.resource_claim_statuses)
        made_for = (new or old or resource.ResourceClaim()).metadata.owner_references
        own = any(owner.uid == pod.metadata.uid for owner in made_for)
        return pod.metadata.namespace == place.namespace and (own or place.name in names)

    return uses


def _pools(each: resource.ResourceSlice) -> Iterable[str]:
    return (str(pool_id(each)),)


class Devices:
    """Pools, kept up with slices and taint rules; what is taken of them, kept up with claims."""

    def __init__(self, client: Client, *, nodes: NodeSets, clock: Clock) -> None:
        self.claims = Informer(client, resource.ResourceClaim, clock=clock, indexes={SPECIAL: owner_of_special})
        self.classes = Informer(client, resource.DeviceClass, clock=clock)
        self.slices = Informer(client, resource.ResourceSlice, clock=clock, indexes={POOL: _pools})
        self.rules = Informer(client, resource.DeviceTaintRule, clock=clock)
        self.pools: dict[PoolId, Pool] = {}
        self.taken = Taken()
        self._nodes = nodes
        self._devices: dict[DeviceId, Device] = {}
        self._near: defaultdict[str, dict[PoolId, list[Device]]] = defaultdict(dict)
        self._wide: dict[PoolId, list[Device]] = {}
        self._book: dict[str, list[Pick]] = {}
        self._decided: set[str] = set()
        self._stale: set[PoolId] = set()
        self._told: list[Callable[[Helps], None]] = []
        self._log: list[str] = []
        self._log_start = 0
        self.slices.on_change(self._slice_changed)
        self.rules.on_change(self._rule_changed)
        self.claims.on_change(self._claim_changed)
        self.classes.on_change(lambda old, new: self._touch(EVERYWHERE))

    def informers(self) -> tuple[Informer[Any], ...]:
        """All of them, for whoever runs them."""
        return (self.claims, self.classes, self.slices, self.rules)

    def device_class(self, name: str) -> resource.DeviceClass | None:
        """The class of that name."""
        return self.classes.get(Key("", name))

    def on_change(self, told: Callable[[Helps], None]) -> None:
        """Call `told` when anything changed that may help pods short of devices, with which ones."""
        self._told.append(told)
        self.claims.on_change(lambda old, new: told(_whom(old, new)))
        for informer in (self.classes, self.slices, self.rules):
            informer.on_change(lambda old, new: told(anybody))

    def on(self, node: str) -> list[Device]:
        """The devices that can be used on the node: its own first, in the order of their pools."""
        self._refresh()
        near = self._near.get(node, {})
        own = [device for _, devices in sorted(near.items()) for device in devices]
        wide = [device for _, devices in sorted(self._wide.items()) for device in devices]
        return own + [device for device in wide if self._reaches(device, node)]

    @property
    def depend_on_labels(self) -> bool:
        """Some devices can be used on all nodes with certain labels."""
        self._refresh()
        return bool(self._wide)

    def candidates(self) -> Collection[str]:
        """The nodes that may have devices at all."""
        self._refresh()
        return self._nodes.everyone() if self._wide else [name for name, pools in self._near.items() if pools]

    def decide(self, claim_uid: str, picks: Iterable[Pick]) -> None:
        """These devices are the claim's from now on, until `undo`, or until the API tells otherwise."""
        self._enter(claim_uid, list(picks))
        self._decided.add(claim_uid)

    def is_decided(self, claim_uid: str) -> bool:
        """Whether an allocation is on its way to the API."""
        return claim_uid in self._decided

    def rename(self, before: str, now: str) -> None:
        """What was decided for a claim that had no uid of its own yet is of this one."""
        if before in self._decided:
            self._decided.discard(before)
            self._decided.add(now)
            self._book[now] = self._book.pop(before, [])

    def special_of(self, pod_uid: str) -> resource.ResourceClaim | None:
        """The claim that was made for the pod's extended resources."""
        return next(iter(self.claims.by_index(SPECIAL, pod_uid)), None)

    def undo(self, claim_uid: str) -> None:
        """What was decided did not come to be."""
        if claim_uid in self._decided:
            self._decided.discard(claim_uid)
            self._enter(claim_uid, [])
            for told in self._told:
                told(anybody)

    @contextmanager
    def without(self, pods: Collection[str]) -> Iterator[None]:
        """As if the claims that only these pods (by uid) use had no devices; within the block nothing may change."""
        free = [
            pick
            for claim in self.claims.items()
            if claim.status.reserved_for and all(user.uid in pods for user in claim.status.reserved_for)
            for pick in self._book.get(claim.metadata.uid, ())
        ]
        for pick in free:
            self.taken.add(pick, -1)
        try:
            yield
        finally:
            for pick in free:
                self.taken.add(pick)

    @property
    def position(self) -> int:
        """The end of the log of changes."""
        self._refresh()
        return self._log_start + len(self._log)

    def changed_since(self, position: int) -> set[str] | None:
        """The nodes where something changed since; None for everywhere."""
        if position < self._log_start:
            return None
        changed = set(self._log[position - self._log_start :])
        return None if EVERYWHERE in changed else changed

    def _reaches(self, device: Device, node: str) -> bool:
        return device.selector is None or node in self._nodes.selected(device.selector)

    def _touch(self, node: str) -> None:
        self._log.append(node)
        if len(self._log) > LOG_LIMIT:
            half = len(self._log) // 2
            del self._log[:half]
            self._log_start += half

    def _slice_changed(self, old: resource.ResourceSlice | None, new: resource.ResourceSlice | None) -> None:
        self._stale.update(pool_id(each) for each in (old, new) if each is not None)

    def _rule_changed(self, old: object, new: object) -> None:
        self._stale.update(self.pools)

    async def settle(self) -> None:
        """Make the pools of the first lists a few at a time, so that nobody waits for thousands of them."""
        while len(self._stale) > FEW:
            self._refresh(most=FEW)
            await asyncio.sleep(0)

    def _refresh(self, *, most: int = 1 << 62) -> None:
        """Make pools anew whose slices changed; their devices' bookings are counted again."""
        if not self._stale:
            return
        stale = set(islice(self._stale, most))
        self._stale -= stale
        rules = list(self.rules.items())
        for id in stale:
            self._remove(id)
            made = pool_of(id, self.slices.by_index(POOL, str(id)), rules)
            if made is not None:
                self._add(made)
        for uid, picks in list(self._book.items()):
            if any(PoolId(*pick.device.id[:2]) in stale for pick in picks):
                self._enter(uid, [self._renewed(pick) for pick in picks])

    def _renewed(self, pick: Pick) -> Pick:
        return Pick(pick.alternative, self._devices.get(pick.device.id, pick.device), pick.consumed)

    def _add(self, pool: Pool) -> None:
        self.pools[pool.id] = pool
        for device in pool.devices:
            self._devices[device.id] = device
            if device.node:
                self._near[device.node].setdefault(pool.id, []).append(device)
            else:
                self._wide.setdefault(pool.id, []).append(device)
            self._touch(device.node or EVERYWHERE)

    def _remove(self, id: PoolId) -> None:
        pool = self.pools.pop(id, None)
        for device in pool.devices if pool is not None else ():
            del self._devices[device.id]
            if device.node:
                self._near[device.node].pop(id, None)
                if not self._near[device.node]:
                    del self._near[device.node]
            self._touch(device.node or EVERYWHERE)
        self._wide.pop(id, None)

    def _enter(self, uid: str, picks: list[Pick]) -> None:
        """Book this for the claim in place of what it had."""
        for pick in self._book.pop(uid, ()):
            self._count(pick, -1)
        if picks:
            self._book[uid] = picks
        for pick in picks:
            self._count(pick, 1)

    def _count(self, pick: Pick, sign: int) -> None:
        self.taken.add(pick, sign)
        device = pick.device
        pool = self.pools.get(PoolId(device.id.driver, device.id.pool))
        drawn_with = pool.devices if pool is not None and device.draws else (device,)
        for node in {each.node or EVERYWHERE for each in drawn_with}:
            self._touch(node)

    def _claim_changed(self, old: resource.ResourceClaim | None, new: resource.ResourceClaim | None) -> None:
        if old is not None and (new is None or new.metadata.uid != old.metadata.uid):
            self._decided.discard(old.metadata.uid)
            self._enter(old.metadata.uid, [])
        if new is None:
            return
        uid, allocation = new.metadata.uid, new.status.allocation
        if allocation is not None:
            self._decided.discard(uid)
            before = old.status.allocation if old is not None and old.metadata.uid == uid else None
            if allocation != before:
                self._refresh()
                results = allocation.devices.results if allocation.devices is not None else []
                self._enter(uid, [self._booked(result) for result in results])
        elif uid not in self._decided:
            self._enter(uid, [])

    def _booked(self, result: resource.DeviceRequestAllocationResult) -> Pick:
        """What the API says of a device of an allocation, though the device itself may be gone."""
        id = DeviceId(result.driver, result.pool, result.device)
        consumed: Mapping[str, int] = {
            name: quantity.nanos(amount) for name, amount in result.consumed_capacity.items()
        }
        device = self._devices.get(id)
        if device is None:
            said = resource.Device(name=id.name, allow_multiple_allocations=bool(consumed) or None)
            device = Device(id, said, (), ())
        name = result.request
        alternative = Alternative(name, name.partition("/")[0], 1, lambda device: True, bool(result.admin_access))
        return Pick(alternative, device, consumed)
