"""Which claims a pod has, and whether they can be used now."""

from collections.abc import Sequence

from bireme.api.kinds import core, resource
from bireme.client.informer import Key, key_of
from bireme.scheduler.claims_cache import Devices
from bireme.scheduler.claims_spec import Unanswerable, claim_name

MOST_USERS = 256


class ClaimsOfPods:
    """The claims that pods name, or that were made for them."""

    def __init__(self, devices: Devices) -> None:
        self._devices = devices

    def of(self, pod: core.Pod, *, fault: type[Exception] = Unanswerable) -> list[resource.ResourceClaim]:
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

    def check(self, pod: core.Pod, claims: Sequence[resource.ResourceClaim]) -> None:
        """Raises Unanswerable where one is being allocated for another pod, or has too many users."""
        for claim in claims:
            users = claim.status.reserved_for
            if claim.status.allocation is None:
                if self._devices.is_decided(claim.metadata.uid):
                    raise Unanswerable(f"resource claim {key_of(claim)} is in the process of being allocated")
            elif len(users) >= MOST_USERS and all(user.uid != pod.metadata.uid for user in users):
                raise Unanswerable("resourceclaim in use")


def is_used_by_none_but(claim: resource.ResourceClaim, uid: str) -> bool:
    """Whether nobody else is among the claim's users."""
    return all(user.uid == uid for user in claim.status.reserved_for)


def _is_for(claim: resource.ResourceClaim, pod: core.Pod) -> bool:
    return any(owner.controller and owner.uid == pod.metadata.uid for owner in claim.metadata.owner_references)
