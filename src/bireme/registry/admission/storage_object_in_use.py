"""StorageObjectInUseProtection: volumes and claims are held by a finalizer, which goes when nobody uses them."""

from bireme.registry.admission.chain import Attributes, Operation, Plugin
from bireme.registry.kinds import Kind

FINALIZERS = {
    "PersistentVolume": "kubernetes.io/pv-protection",
    "PersistentVolumeClaim": "kubernetes.io/pvc-protection",
}


class StorageObjectInUseProtection(Plugin):
    """See the module."""

    name = "StorageObjectInUseProtection"

    def handles(self, operation: Operation, kind: Kind, subresource: str) -> bool:
        return operation == "CREATE" and not kind.resource.group and kind.resource.kind in FINALIZERS

    async def admit(self, attributes: Attributes) -> None:
        if attributes.tree is None:
            return
        finalizers = attributes.tree["metadata"].setdefault("finalizers", [])
        wanted = FINALIZERS[attributes.kind.resource.kind]
        if wanted not in finalizers:
            finalizers.append(wanted)
