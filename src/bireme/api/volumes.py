"""Which volume suits which claim, and the marks by which claims, volumes and binders understand each other.

Plain decisions, for the controller that binds and for the scheduler that chooses. Where a volume can be reached from
is the scheduler's business. Source: the Kubernetes documentation on persistent volumes and storage classes.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from bireme.api import quantity
from bireme.api.errors import BadRequest
from bireme.api.kinds import core, storage
from bireme.api.selectors import LabelSelector

BIND_COMPLETED = "pv.kubernetes.io/bind-completed"
BOUND_BY_CONTROLLER = "pv.kubernetes.io/bound-by-controller"
PROVISIONED_BY = "pv.kubernetes.io/provisioned-by"
SELECTED_NODE = "volume.kubernetes.io/selected-node"
PROVISIONER = "volume.kubernetes.io/storage-provisioner"
PROVISIONER_BEFORE = "volume.beta.kubernetes.io/storage-provisioner"
CLASS_BEFORE = "volume.beta.kubernetes.io/storage-class"
NO_PROVISIONER = "kubernetes.io/no-provisioner"
ONE_POD = "ReadWriteOncePod"


@dataclass(frozen=True, slots=True)
class PodClaim:
    """A claim by the name under which a pod uses it; an `ephemeral` one is made for the pod and belongs to it."""

    name: str
    ephemeral: bool = False


def claims_of(pod: core.Pod) -> list[PodClaim]:
    """The claims that the pod's volumes use, in their order."""
    found = []
    for volume in pod.spec.volumes:
        if volume.persistent_volume_claim is not None:
            found.append(PodClaim(volume.persistent_volume_claim.claim_name))
        elif volume.ephemeral is not None:
            found.append(PodClaim(f"{pod.metadata.name}-{volume.name}", ephemeral=True))
    return found


def made_for(claim: core.PersistentVolumeClaim, pod: core.Pod) -> bool:
    """Whether the claim of an ephemeral volume is this very pod's."""
    return any(owner.controller and owner.uid == pod.metadata.uid for owner in claim.metadata.owner_references)


def class_of(obj: core.PersistentVolumeClaim | core.PersistentVolume) -> str:
    """The name of the storage class, "" for none; an old annotation comes first."""
    return obj.metadata.annotations.get(CLASS_BEFORE) or obj.spec.storage_class_name


def waits_for_consumer(storage_class: storage.StorageClass | None) -> bool:
    """Claims of the class are bound when a pod that uses them gets a node, and not before."""
    return storage_class is not None and storage_class.volume_binding_mode == "WaitForFirstConsumer"


def is_bound(claim: core.PersistentVolumeClaim) -> bool:
    """The claim has its volume, and both sides know."""
    return bool(claim.spec.volume_name) and BIND_COMPLETED in claim.metadata.annotations


def requested(claim: core.PersistentVolumeClaim) -> int:
    """The storage that the claim asks for, in nanos."""
    requests = claim.spec.resources.requests if claim.spec.resources else {}
    return quantity.nanos(requests.get("storage", 0))


def capacity(volume: core.PersistentVolume) -> int:
    """The volume's size, in nanos."""
    return quantity.nanos(volume.spec.capacity.get("storage", 0))


def refers_to(volume: core.PersistentVolume, claim: core.PersistentVolumeClaim) -> bool:
    """The volume is set aside for this claim: by its name alone, or by its uid too."""
    reference = volume.spec.claim_ref
    return (
        reference is not None
        and (reference.namespace, reference.name) == (claim.metadata.namespace, claim.metadata.name)
        and reference.uid in ("", claim.metadata.uid)
    )


def is_free(volume: core.PersistentVolume) -> bool:
    """Nobody has claimed the volume, and it is not going."""
    return (
        volume.spec.claim_ref is None
        and volume.status.phase == "Available"
        and not volume.metadata.deletion_timestamp
    )


def mismatch(claim: core.PersistentVolumeClaim, volume: core.PersistentVolume) -> str:
    """Why a volume can't serve a claim that asks for it by name; "" if it can."""
    if capacity(volume) < requested(claim):
        return "requested PV is too small"
    if class_of(volume) != class_of(claim):
        return "storageClassName does not match"
    if (volume.spec.volume_mode or "Filesystem") != (claim.spec.volume_mode or "Filesystem"):
        return "incompatible volumeMode"
    if volume.spec.volume_attributes_class_name != claim.spec.volume_attributes_class_name:
        return "volumeAttributesClassName does not match"
    if not set(claim.spec.access_modes) <= set(volume.spec.access_modes):
        return "incompatible accessMode"
    return ""


def suits(claim: core.PersistentVolumeClaim, volume: core.PersistentVolume) -> bool:
    """The volume would serve the claim: size, class, modes and labels. Whether it is free is another question."""
    return not mismatch(claim, volume) and selector_of(claim).matches(volume.metadata.labels)


def selector_of(claim: core.PersistentVolumeClaim) -> LabelSelector:
    """Which volumes the claim takes by their labels; one that can't be read takes none."""
    if claim.spec.selector is None:
        return _ANY
    try:
        return LabelSelector.from_struct(claim.spec.selector)
    except BadRequest:
        return LabelSelector.from_struct(None)


_ANY = LabelSelector()


def best_volume(
    claim: core.PersistentVolumeClaim, volumes: Iterable[core.PersistentVolume], *, only_promised: bool = False
) -> core.PersistentVolume | None:
    """The volume to bind to the claim: one that is set aside for it, or else the smallest free one that suits.

    With `only_promised` a free one will not do: that choice waits for a pod.
    """
    free = []
    for volume in volumes:
        if refers_to(volume, claim) and not volume.metadata.deletion_timestamp:
            if not mismatch(claim, volume):
                return volume
        elif not only_promised and is_free(volume) and suits(claim, volume):
            free.append(volume)
    return min(free, key=lambda volume: (capacity(volume), volume.metadata.name), default=None)


def claim_reference(claim: core.PersistentVolumeClaim) -> dict[str, Any]:
    """The claim as a volume names it, on the wire."""
    return {
        "kind": "PersistentVolumeClaim",
        "apiVersion": "v1",
        "namespace": claim.metadata.namespace,
        "name": claim.metadata.name,
        "uid": claim.metadata.uid,
        "resourceVersion": claim.metadata.resource_version,
    }
