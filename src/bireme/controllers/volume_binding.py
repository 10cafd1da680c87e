"""What is to be done about claims and volumes that seek each other, have each other, or lost each other.

Plain decisions, as steps in their order: changes, and events to tell. A binding is a pair of pointers, of the volume
to the claim and back, each written by itself; so every look takes up a pair wherever it was left. What suits what
stands in `api/volumes.py`. Source: the Kubernetes documentation on the life of volumes and claims; events as the
original words them.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from bireme.api import volumes as words
from bireme.api.kinds import core, storage
from bireme.api.times import rfc3339
from bireme.controllers.changes import Change, Merge

Claim = core.PersistentVolumeClaim
Volume = core.PersistentVolume


@dataclass(frozen=True, slots=True)
class Tell:
    """An event to be told of the object at hand."""

    type: str
    reason: str
    message: str


Step = Change | Tell


def bind(volume: Volume, claim: Claim, *, now: datetime) -> Iterator[Step]:
    """Join the two: what is not yet written of a pair. Each step comes after the one that it rests on."""
    reference = volume.spec.claim_ref
    if reference is None or reference.uid != claim.metadata.uid:
        marks = {"annotations": {words.BOUND_BY_CONTROLLER: "yes"}} if reference is None else {}
        yield Merge(volume, {"metadata": marks, "spec": {"claimRef": words.claim_reference(claim)}}, exact=True)
    yield from volume_phase(volume, "Bound", now=now)
    patch: dict[str, Any] = {}
    if claim.spec.volume_name != volume.metadata.name:
        patch["spec"] = {"volumeName": volume.metadata.name}
    wanted = [words.BIND_COMPLETED] + ([words.BOUND_BY_CONTROLLER] if "spec" in patch else [])
    missing = {name: "yes" for name in wanted if name not in claim.metadata.annotations}
    if missing:
        patch["metadata"] = {"annotations": missing}
    if patch:
        yield Merge(claim, patch, exact=True)
    status = claim.status
    grown = status.capacity if status.phase == "Bound" else volume.spec.capacity
    if (status.phase, status.access_modes, status.capacity) != ("Bound", volume.spec.access_modes, grown):
        told = {"phase": "Bound", "accessModes": volume.spec.access_modes, "capacity": dict(grown)}
        if volume.spec.volume_attributes_class_name:
            told["currentVolumeAttributesClassName"] = volume.spec.volume_attributes_class_name
        yield Merge(claim, {"status": told}, subresource="status")


def volume_phase(volume: Volume, phase: str, *, now: datetime, message: str = "") -> Iterator[Step]:
    """Say of the volume that it is in this phase, if it doesn't yet."""
    if volume.status.phase != phase:
        told = {"phase": phase, "message": message or None, "lastPhaseTransitionTime": rfc3339(now)}
        yield Merge(volume, {"status": told}, subresource="status")


def claim_phase(claim: Claim, phase: str) -> Iterator[Step]:
    """Say of the claim that it is in this phase; one that lost its volume has no size or modes any more."""
    if claim.status.phase != phase:
        lost = {"accessModes": None, "capacity": None} if phase == "Lost" else {}
        yield Merge(claim, {"status": {"phase": phase, **lost}}, subresource="status")


@dataclass(frozen=True, slots=True)
class Around:
    """What is known about an unbound claim: its class, volumes that it might get, pods that use it."""

    storage_class: storage.StorageClass | None
    volumes: Iterable[Volume]
    pods: list[core.Pod]


def settle_unbound(claim: Claim, around: Around, asked_for: Volume | None, *, now: datetime) -> Iterator[Step]:
    """What to do about a claim that was never bound. `asked_for` is the volume that it names."""
    if claim.spec.volume_name:
        yield from _settle_named(claim, asked_for, now=now)
        return
    waits = words.waits_for_consumer(around.storage_class) and words.SELECTED_NODE not in claim.metadata.annotations
    volume = words.best_volume(claim, around.volumes, only_promised=waits)
    if volume is not None:
        yield from bind(volume, claim, now=now)
        return
    if waits:
        yield _waiting(claim, around.pods)
    elif words.class_of(claim):
        yield from _provision(claim, around.storage_class)
    else:
        text = "no persistent volumes available for this claim and no storage class is set"
        yield Tell("Normal", "FailedBinding", text)
    yield from claim_phase(claim, "Pending")


def _settle_named(claim: Claim, volume: Volume | None, *, now: datetime) -> Iterator[Step]:
    if volume is not None and volume.spec.claim_ref is None:
        fault = words.mismatch(claim, volume)
        if not fault:
            yield from bind(volume, claim, now=now)
            return
        text = f'Cannot bind to requested volume "{volume.metadata.name}": {fault}'
        yield Tell("Warning", "VolumeMismatch", text)
    elif volume is not None and words.refers_to(volume, claim):
        yield from bind(volume, claim, now=now)
        return
    elif volume is not None:
        text = f'volume "{volume.metadata.name}" already bound to a different claim.'
        yield Tell("Warning", "FailedBinding", text)
    yield from claim_phase(claim, "Pending")


def _waiting(claim: Claim, pods: list[core.Pod]) -> Tell:
    names = sorted(pod.metadata.name for pod in pods if not pod.spec.node_name)
    if names:
        return Tell("Normal", "WaitForPodScheduled", f"waiting for pod {names[0]} to be scheduled")
    return Tell("Normal", "WaitForFirstConsumer", "waiting for first consumer to be created before binding")


def _provision(claim: Claim, storage_class: storage.StorageClass | None) -> Iterator[Step]:
    """Leave word for the provisioner of the class."""
    if storage_class is None:
        text = f'storageclass.storage.k8s.io "{words.class_of(claim)}" not found'
        yield Tell("Warning", "ProvisioningFailed", text)
        return
    name = storage_class.provisioner
    if name == words.NO_PROVISIONER:
        return
    marks = {words.PROVISIONER: name, words.PROVISIONER_BEFORE: name}
    if any(claim.metadata.annotations.get(mark) != name for mark in marks):
        yield Merge(claim, {"metadata": {"annotations": marks}}, exact=True)
    text = (
        f"Waiting for a volume to be created either by the external provisioner '{name}' or manually by the system "
        "administrator. If volume creation is delayed, please verify that the provisioner is running and correctly "
        "registered."
    )
    yield Tell("Normal", "ExternalProvisioning", text)


def settle_bound(claim: Claim, volume: Volume | None, *, now: datetime) -> Iterator[Step]:
    """What to do about a claim that was bound before."""
    if not claim.spec.volume_name:
        text = "Bound claim has lost reference to PersistentVolume. Data on the volume is lost!"
        yield from _lost(claim, "ClaimLost", text)
    elif volume is None:
        yield from _lost(claim, "ClaimLost", "Bound claim has lost its PersistentVolume. Data on the volume is lost!")
    elif volume.spec.claim_ref is None or words.refers_to(volume, claim):
        yield from bind(volume, claim, now=now)
    else:
        text = "Two claims are bound to the same volume, this one is bound incorrectly"
        yield from _lost(claim, "ClaimMisbound", text)


def _lost(claim: Claim, reason: str, text: str) -> Iterator[Step]:
    if claim.status.phase != "Lost":
        yield from claim_phase(claim, "Lost")
        yield Tell("Warning", reason, text)


def settle_volume(volume: Volume, claim: Claim | None, *, now: datetime) -> Iterator[Step]:
    """What to do about a volume; `claim` is the one that it names, if it is there and is that one."""
    reference = volume.spec.claim_ref
    if reference is None or not reference.uid:
        yield from volume_phase(volume, "Available", now=now)
    elif claim is None or claim.metadata.uid != reference.uid:
        if volume.status.phase not in ("Released", "Failed"):
            yield from volume_phase(volume, "Released", now=now)
        yield from _reclaim(volume, now=now)
    elif claim.spec.volume_name == volume.metadata.name:
        yield from volume_phase(volume, "Bound", now=now)
    elif claim.spec.volume_name:
        yield from _unbind(volume, now=now)
    elif (volume.spec.volume_mode or "Filesystem") != (claim.spec.volume_mode or "Filesystem"):
        text = (
            f'Cannot bind PersistentVolume "{volume.metadata.name}" to requested PersistentVolumeClaim '
            f'"{claim.metadata.name}" due to incompatible volumeMode.'
        )
        yield Tell("Warning", "VolumeMismatch", text)


def _unbind(volume: Volume, *, now: datetime) -> Iterator[Step]:
    """The claim took another volume. One that was made for it goes; one that a user set aside stays set aside."""
    marks = volume.metadata.annotations
    if words.PROVISIONED_BY in marks and volume.spec.persistent_volume_reclaim_policy == "Delete":
        if volume.status.phase not in ("Released", "Failed"):
            yield from volume_phase(volume, "Released", now=now)
        return
    ours = words.BOUND_BY_CONTROLLER in marks
    reference = None if ours else {"uid": None, "resourceVersion": None}
    metadata = {"annotations": {words.BOUND_BY_CONTROLLER: None}} if ours else {}
    yield Merge(volume, {"metadata": metadata, "spec": {"claimRef": reference}}, exact=True)
    yield from volume_phase(volume, "Available", now=now)


def _reclaim(volume: Volume, *, now: datetime) -> Iterator[Step]:
    """By its policy: kept, or deleted by whoever made it. Nobody here can delete or clean what others made."""
    policy = volume.spec.persistent_volume_reclaim_policy
    if policy == "Retain" or volume.status.phase == "Failed":
        return
    if policy == "Delete" and (words.PROVISIONED_BY in volume.metadata.annotations or volume.spec.csi is not None):
        return
    name = volume.metadata.name
    if policy == "Recycle":
        reason, text = "VolumeFailedRecycle", "No recycler plugin found for the volume!"
    else:
        reason, text = (
            "VolumeFailedDelete",
            f'error getting deleter volume plugin for volume "{name}": no plugin matched',
        )
    yield from volume_phase(volume, "Failed", now=now, message=text)
    yield Tell("Warning", reason, text)
