"""Devices that are made ready only after they were allocated, as by being attached to a node: the pod waits for them.

Such a device names conditions that its driver writes into the claim's status, and others that mean that it failed.
Source: the Kubernetes documentation on dynamic resource allocation (device binding conditions).
"""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from bireme.aio.clock import Clock
from bireme.aio.waiting import wait_any
from bireme.api.kinds import resource
from bireme.client.informer import Informer, Key
from bireme.scheduler.claims_allocator import Pick
from bireme.scheduler.interface import NotReady

BINDING_TIMEOUT_S = 600.0


@dataclass(frozen=True, slots=True)
class Standing:
    """Which conditions of a claim's devices say that it failed, and which are still awaited."""

    failed: tuple[str, ...] = ()
    awaited: tuple[str, ...] = ()


def standing(claim: resource.ResourceClaim) -> Standing:
    """How the claim's devices stand."""
    allocation = claim.status.allocation
    results = allocation.devices.results if allocation is not None and allocation.devices is not None else ()
    said = {
        (each.driver, each.pool, each.device, each.share_id): {
            condition.type for condition in each.conditions if condition.status == "True"
        }
        for each in claim.status.devices
    }
    failed, awaited = list[str](), list[str]()
    for result in results:
        true = said.get((result.driver, result.pool, result.device, result.share_id), set())
        name = f"{result.driver}/{result.pool}/{result.device}"
        failed += [f"{name}: {each}" for each in result.binding_failure_conditions if each in true]
        awaited += [f"{name}: {each}" for each in result.binding_conditions if each not in true]
    return Standing(tuple(failed), tuple(awaited))


def binds(claim: resource.ResourceClaim, picks: Iterable[Pick] | None) -> bool:
    """Whether devices that the claim has, or is being given, must be made ready first."""
    return bool(standing(claim).awaited) or any(pick.device.said.binding_conditions for pick in picks or ())


class BindingConditions:
    """Waits for devices to be ready."""

    def __init__(
        self, claims: Informer[resource.ResourceClaim], clock: Clock, *, timeout_s: float = BINDING_TIMEOUT_S
    ) -> None:
        self._claims, self._clock, self._timeout_s = claims, clock, timeout_s
        self._changed = asyncio.Event()
        claims.on_change(self._stir)

    async def wait(self, claims: Mapping[Key, str]) -> None:
        """Return once the devices of these claims, with their uids, are ready. Raises NotReady and TimeoutError."""
        end = self._clock.monotonic() + self._timeout_s
        while awaited := self._awaited(claims):
            left = end - self._clock.monotonic()
            if left <= 0:
                raise TimeoutError(f"device binding timeout: {', '.join(awaited)}")
            await wait_any(self._changed.wait(), self._clock.sleep(left))

    async def appear(self, key: Key) -> None:
        """Return once the cache has a claim that was just made. Raises TimeoutError."""
        end = self._clock.monotonic() + self._timeout_s
        while self._claims.get(key) is None:
            left = end - self._clock.monotonic()
            if left <= 0:
                raise TimeoutError(f"claim {key} was made and never seen")
            await wait_any(self._changed.wait(), self._clock.sleep(left))

    def _awaited(self, claims: Mapping[Key, str]) -> Sequence[str]:
        awaited: list[str] = []
        for key, uid in claims.items():
            claim = self._claims.get(key)
            if claim is None or claim.metadata.uid != uid:
                raise NotReady(f"claim {key} is gone")
            if claim.status.allocation is None:  # what was written has not come back yet
                awaited.append(f"{key}: its allocation")
                continue
            found = standing(claim)
            if found.failed:
                raise NotReady(f"claim {key}: device binding failed: {', '.join(found.failed)}")
            awaited += found.awaited
        return awaited

    def _stir(self, old: object, new: object) -> None:
        self._changed.set()
        self._changed = asyncio.Event()
