"""DefaultStorageClass: a claim that names no class gets the one marked as default, the newest if several."""

from bireme.registry.admission.chain import Attributes, Objects, Operation, Plugin
from bireme.registry.kinds import Kind

MARK = "storageclass.kubernetes.io/is-default-class"
OLD_WAY = "volume.beta.kubernetes.io/storage-class"


class DefaultStorageClass(Plugin):
    """See the module."""

    name = "DefaultStorageClass"

    def __init__(self, objects: Objects) -> None:
        self._objects = objects

    def handles(self, operation: Operation, kind: Kind, subresource: str) -> bool:
        return operation == "CREATE" and kind.is_a("PersistentVolumeClaim")

    async def admit(self, attributes: Attributes) -> None:
        if attributes.tree is None:
            return
        spec = attributes.tree.setdefault("spec", {})
        if spec.get("storageClassName") is not None or OLD_WAY in (
            attributes.tree["metadata"].get("annotations") or {}
        ):
            return
        metadata = [one["metadata"] for one in self._objects.every("storage.k8s.io", "v1", "storageclasses")]
        marked = [one for one in metadata if (one.get("annotations") or {}).get(MARK) == "true"]
        if marked:
            marked.sort(key=lambda one: one["name"])
            spec["storageClassName"] = max(marked, key=lambda one: one["creationTimestamp"])["name"]
