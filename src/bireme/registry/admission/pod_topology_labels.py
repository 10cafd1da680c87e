"""PodTopologyLabels: a pod on a node carries the zone and the region of that node as labels (KEP-4742)."""

from collections.abc import Sequence
from typing import Any

from bireme.registry.admission.chain import Attributes, Objects, Operation, Place, Plugin
from bireme.registry.kinds import Kind

Tree = dict[str, Any]
COPIED = ("topology.kubernetes.io/zone", "topology.kubernetes.io/region")


class PodTopologyLabels(Plugin):
    """Sees pods that are born on a node, and bindings, whose labels the pod takes over."""

    name = "PodTopologyLabels"

    def __init__(self, objects: Objects) -> None:
        self._objects = objects

    def handles(self, operation: Operation, kind: Kind, subresource: str) -> bool:
        return operation == "CREATE" and kind.is_a("Pod") and subresource in ("", "binding")

    def looks_at(self, attributes: Attributes) -> Sequence[Place] | None:
        return (("", "v1", "nodes"),) if _node_name(attributes) else ()

    async def admit(self, attributes: Attributes) -> None:
        tree = attributes.tree
        if tree is None:
            return
        name = _node_name(attributes)
        labels = (self._objects.labels("", "v1", "nodes", "", name) if name else None) or {}
        copied = {label: labels[label] for label in COPIED if label in labels}
        if copied:
            metadata = tree.setdefault("metadata", {})
            metadata["labels"] = {**(metadata.get("labels") or {}), **copied}


def _node_name(attributes: Attributes) -> Any:
    tree = attributes.tree or {}
    where = tree.get("target") or {} if attributes.subresource else tree.get("spec") or {}
    return where.get("name" if attributes.subresource else "nodeName")
