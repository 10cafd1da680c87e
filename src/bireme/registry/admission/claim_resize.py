"""PersistentVolumeClaimResize: a claim grows only when it is bound and its class says that it may."""

from typing import Any

from bireme.api.amounts import ZERO, Amount, read_amount
from bireme.registry.admission.chain import Attributes, Objects, Operation, Plugin
from bireme.registry.admission.refusals import refused
from bireme.registry.kinds import Kind

Tree = dict[str, Any]
CLASS_ANNOTATION = "volume.beta.kubernetes.io/storage-class"


class PersistentVolumeClaimResize(Plugin):
    """See the module."""

    name = "PersistentVolumeClaimResize"

    def __init__(self, objects: Objects) -> None:
        self._objects = objects

    def handles(self, operation: Operation, kind: Kind, subresource: str) -> bool:
        return operation == "UPDATE" and kind.is_a("PersistentVolumeClaim") and not subresource

    async def validate(self, attributes: Attributes) -> None:
        new, old = attributes.tree, attributes.old
        if new is None or old is None or _size(new).nanos <= _size(old).nanos:
            return
        if (old.get("status") or {}).get("phase") != "Bound":
            raise refused(attributes, "Only bound persistent volume claims can be expanded")
        if not self._may_grow(new, old):
            raise refused(
                attributes,
                "only dynamically provisioned pvc can be resized and the storageclass that provisions the pvc "
                "must support resize",
            )

    def _may_grow(self, new: Tree, old: Tree) -> bool:
        name = class_of(new)
        if not name or name != class_of(old):
            return False
        found = self._objects.find("storage.k8s.io", "v1", "storageclasses", "", name)
        return bool(found and found.get("allowVolumeExpansion"))


def class_of(claim: Tree) -> str:
    """The name of the claim's storage class, "" for none; an old annotation comes first."""
    annotations = claim["metadata"].get("annotations") or {}
    return annotations.get(CLASS_ANNOTATION) or (claim.get("spec") or {}).get("storageClassName") or ""


def _size(claim: Tree) -> Amount:
    requests = ((claim.get("spec") or {}).get("resources") or {}).get("requests") or {}
    return read_amount(requests["storage"]) if "storage" in requests else ZERO
