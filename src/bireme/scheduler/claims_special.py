"""The special claim of a pod whose extended resources are devices: made when the pod is bound, told in its status.

Until it is made its devices are booked under a uid of its own. One that was made in vain is deleted (`claims.py`).
"""

from dataclasses import dataclass, field

import msgspec

from bireme.api.kinds import core, resource
from bireme.client.client import Client, Patch
from bireme.client.informer import Key, key_of
from bireme.scheduler.claims_allocator import Pick
from bireme.scheduler.claims_cache import Devices
from bireme.scheduler.claims_extended import mappings
from bireme.scheduler.claims_writing import ClaimWriter


@dataclass(slots=True)
class Special:
    """The claim of a pod on its way, with its devices, and what the API calls it once it is made."""

    claim: resource.ResourceClaim
    picks: list[Pick] = field(default_factory=list)
    made: resource.ResourceClaim | None = None


def uid_before(pod_uid: str) -> str:
    """Under what the devices are booked before there is a claim."""
    return f"extended resources of {pod_uid}"


class SpecialClaims:
    """Makes special claims."""

    def __init__(self, client: Client, devices: Devices, writer: ClaimWriter) -> None:
        self._client, self._devices, self._writer = client, devices, writer

    def decide(self, pod: core.Pod, special: Special) -> None:
        """The devices are the pod's."""
        self._devices.decide(uid_before(pod.metadata.uid), special.picks)

    def undo(self, pod: core.Pod) -> None:
        """They are not, after all, and no claim was made."""
        self._devices.undo(uid_before(pod.metadata.uid))

    async def make(self, pod: core.Pod, special: Special) -> Key:
        """Make the claim; its devices are its own from then on, if they are the pod's still."""
        special.made = await self._client.create(special.claim)
        self._devices.rename(uid_before(pod.metadata.uid), special.made.metadata.uid)
        return key_of(special.made)

    async def write(self, pod: core.Pod, special: Special, *, node: str) -> None:
        """Have the claim allocated, and the pod say which it is. Raises ApiError."""
        assert special.made is not None
        await self._writer.write(special.made, pod, special.picks, node=node)
        told = core.PodExtendedResourceClaimStatus(
            resource_claim_name=special.made.metadata.name, request_mappings=mappings(pod, special.made)
        )
        await self._client.patch(
            core.Pod,
            pod.metadata.name,
            {
                "metadata": {"uid": pod.metadata.uid},
                "status": {"extendedResourceClaimStatus": msgspec.to_builtins(told)},
            },
            namespace=pod.metadata.namespace,
            subresource="status",
            how=Patch.MERGE,
        )
