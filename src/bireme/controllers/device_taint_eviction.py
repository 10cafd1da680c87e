"""Drive pods off devices with NoExecute taints, as far and as soon as their claims' tolerations let them be driven.

A taint stands on the device in its slice, or in a rule about devices. What the claim tolerates was written into its
allocation when it was made. Source: the Kubernetes documentation on dynamic resource allocation (device taints).
"""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

from bireme.api.errors import NotFound
from bireme.api.kinds import core, resource
from bireme.api.times import parse_time, rfc3339
from bireme.client.informer import Key, key_of
from bireme.controllers import pods
from bireme.controllers.changes import Delete, Update
from bireme.controllers.controller import Context, Controller, Watch, nobody
from bireme.controllers.informers import Informers
from bireme.controllers.taint_eviction import disrupted
from bireme.controllers.taints import NO_EXECUTE

BY_POOL = "device-taints/pool"
SLICES = "device-taints/slices"

Claim = resource.ResourceClaim
Result = resource.DeviceRequestAllocationResult


def results_of(claim: Claim) -> Sequence[Result]:
    """The devices that the claim has."""
    allocation = claim.status.allocation
    return allocation.devices.results if allocation is not None and allocation.devices is not None else ()


def taints_on(
    result: Result, slices: Iterable[resource.ResourceSlice], rules: Iterable[resource.DeviceTaintRule]
) -> list[resource.DeviceTaint]:
    """The NoExecute taints of the device, as its pool's newest slices and the rules have it."""
    said = list(slices)
    newest = max((each.spec.pool.generation or 0 for each in said), default=0)
    current = [each for each in said if (each.spec.pool.generation or 0) == newest]
    found = [
        taint
        for each in current
        for device in each.spec.devices
        if device.name == result.device
        for taint in device.taints
    ]
    found += [rule.spec.taint for rule in rules if concerns(rule.spec.device_selector, result)]
    return [taint for taint in found if taint.effect == NO_EXECUTE]


def concerns(selector: resource.DeviceTaintSelector | None, result: Result) -> bool:
    """The rule is about this device; without a selector it is about none."""
    if selector is None:
        return False
    wishes = ((selector.driver, result.driver), (selector.pool, result.pool), (selector.device, result.device))
    return all(wish in ("", have) for wish, have in wishes)


def leaves_at(
    taints: Iterable[resource.DeviceTaint], tolerations: Sequence[resource.DeviceToleration], *, now: datetime
) -> datetime | None:
    """When who has the device must leave it: None for never, `now` or before it for at once."""
    leaves: datetime | None = None
    for taint in taints:
        about = [each for each in tolerations if _tolerates(each, taint)]
        seconds = [each.toleration_seconds for each in about if each.toleration_seconds is not None]
        if about and not seconds:
            continue
        added = parse_time(taint.time_added) if taint.time_added else now
        until = added + timedelta(seconds=max(0, min(seconds))) if seconds else now
        leaves = until if leaves is None else min(leaves, until)
    return leaves


def _tolerates(toleration: resource.DeviceToleration, taint: resource.DeviceTaint) -> bool:
    if toleration.effect not in ("", taint.effect) or toleration.key not in ("", taint.key):
        return False
    return toleration.operator == "Exists" or (bool(toleration.key) and toleration.value == taint.value)


def _pools(claim: Claim) -> Iterable[str]:
    return {_pool(each.driver, each.pool) for each in results_of(claim)}


def _pool(driver: str, pool: str) -> str:
    return f"{driver}/{pool}"


def _claims_on(
    cache: Informers, old: resource.ResourceSlice | None, new: resource.ResourceSlice | None
) -> Iterable[Key]:
    """The claims with devices of the pool."""
    pools = {_pool(each.spec.driver, each.spec.pool.name) for each in (old, new) if each is not None}
    return {key_of(claim) for pool in pools for claim in cache.find(Claim, BY_POOL, pool)}


def _claims_meant(
    cache: Informers, old: resource.DeviceTaintRule | None, new: resource.DeviceTaintRule | None
) -> Iterable[Key]:
    """The claims with devices that the rule is about, or was."""
    selectors = [each.spec.device_selector for each in (old, new) if each is not None]
    return [
        key_of(claim)
        for claim in cache.items(Claim)
        if any(concerns(selector, result) for selector in selectors for result in results_of(claim))
    ]


class DeviceTaintEvictionController(Controller):
    """Drive pods off devices with NoExecute taints.

    Reads ResourceClaims, ResourceSlices, DeviceTaintRules and Pods; deletes Pods and writes their condition
    DisruptionTarget. Keys are claims.
    """

    name = "device-taint-eviction-controller"
    watches = (
        Watch(Claim),
        Watch(resource.ResourceSlice, keys=_claims_on),
        Watch(resource.DeviceTaintRule, keys=_claims_meant),
        Watch(core.Pod, keys=nobody),
    )

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.cache.index(Claim, BY_POOL, _pools)
        self.cache.index(resource.ResourceSlice, SLICES, lambda each: (_pool(each.spec.driver, each.spec.pool.name),))

    async def reconcile(self, key: Key) -> timedelta | None:
        claim = self.cache.get(Claim, key)
        results = results_of(claim) if claim is not None else ()
        if claim is None or not claim.status.reserved_for or not results:
            return None
        now, rules = self.clock.now(), self.cache.items(resource.DeviceTaintRule)
        times = []
        for each in results:
            slices = self.cache.find(resource.ResourceSlice, SLICES, _pool(each.driver, each.pool))
            times.append(leaves_at(taints_on(each, slices, rules), each.tolerations, now=now))
        until = min((time for time in times if time is not None), default=None)
        if until is None:
            return None
        if until > now:
            return until - now
        for user in claim.status.reserved_for:
            pod = self.cache.get(core.Pod, Key(key.namespace, user.name)) if user.resource == "pods" else None
            if pod is not None and pod.metadata.uid == user.uid:
                await self._drive_off(pod)
        return None

    async def _drive_off(self, pod: core.Pod) -> None:
        if pod.metadata.deletion_timestamp or pods.is_ended(pod):
            return
        name = f"{pod.metadata.namespace}/{pod.metadata.name}"
        self.events.event(pod, "Normal", "DeviceTaintManagerEviction", f"Marking for deletion Pod {name}")
        marked = disrupted(
            pod,
            reason="DeletionByDeviceTaintManager",
            message="Device Taint manager: deleting due to NoExecute taint",
            stamp=rfc3339(self.clock.now()),
        )
        try:
            await self.carry_out((Update(marked, subresource="status"), Delete(pod)))
        except NotFound:
            return
