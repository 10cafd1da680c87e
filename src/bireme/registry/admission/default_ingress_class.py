"""DefaultIngressClass: an ingress that names no class gets the one marked as default, the newest if several."""

from bireme.registry.admission.chain import Attributes, Objects, Operation, Plugin
from bireme.registry.kinds import Kind

MARK = "ingressclass.kubernetes.io/is-default-class"
OLD_WAY = "kubernetes.io/ingress.class"


class DefaultIngressClass(Plugin):
    """See the module."""

    name = "DefaultIngressClass"

    def __init__(self, objects: Objects) -> None:
        self._objects = objects

    def handles(self, operation: Operation, kind: Kind, subresource: str) -> bool:
        return operation == "CREATE" and kind.is_a("Ingress", "networking.k8s.io") and not subresource

    async def admit(self, attributes: Attributes) -> None:
        if attributes.tree is None:
            return
        spec = attributes.tree.setdefault("spec", {})
        annotations = attributes.tree["metadata"].get("annotations") or {}
        if spec.get("ingressClassName") is not None or OLD_WAY in annotations:
            return
        metadata = [one["metadata"] for one in self._objects.every("networking.k8s.io", "v1", "ingressclasses")]
        marked = [one for one in metadata if (one.get("annotations") or {}).get(MARK) == "true"]
        if marked:
            marked.sort(key=lambda one: one["name"])
            spec["ingressClassName"] = max(marked, key=lambda one: one["creationTimestamp"])["name"]
