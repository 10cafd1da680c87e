"""PodResizeValidator: a pod on a node grows to what the node can give at all, and on Linux only.

Whether there is room now is for the kubelet to say; what could never be is refused at once. Source: the behaviour of
Kubernetes 1.37; KEP-1287.
"""

from typing import Any

from bireme.api import amounts
from bireme.api.amounts import ZERO
from bireme.api.quantity import NANOS
from bireme.registry.admission.chain import Attributes, Objects, Operation, Plugin
from bireme.registry.admission.refusals import refused
from bireme.registry.kinds import Kind
from bireme.registry.pod_amounts import requests_of

Tree = dict[str, Any]
OS = "kubernetes.io/os"
# Nanos to one of the units in which the amounts are told.
UNITS = {"cpu": NANOS // 1000, "memory": NANOS}


class PodResizeValidator(Plugin):
    """See the module."""

    name = "PodResizeValidator"

    def __init__(self, objects: Objects) -> None:
        self._objects = objects

    def handles(self, operation: Operation, kind: Kind, subresource: str) -> bool:
        return operation == "UPDATE" and kind.is_a("Pod") and subresource == "resize"

    async def validate(self, attributes: Attributes) -> None:
        spec, old = ((tree or {}).get("spec") or {} for tree in (attributes.tree, attributes.old))
        name = spec.get("nodeName")
        if not name or spec == old:
            return
        node = self._objects.find("", "v1", "nodes", "", name)
        if node is None:
            raise refused(attributes, f'node "{name}" not found')
        if faults := _too_much(spec, node):
            raise refused(attributes, f"Node didn't have enough allocatable resources: {'; '.join(faults)}")
        system = (node["metadata"].get("labels") or {}).get(OS) or ""
        if system != "linux":
            raise refused(attributes, f'pod resize is only supported on linux nodes, node "{name}" is "{system}"')


def _too_much(spec: Tree, node: Tree) -> list[str]:
    """What the pod asks for beyond all that the node has for pods."""
    wanted, held = requests_of(spec), amounts.read((node.get("status") or {}).get("allocatable"))
    faults = []
    for name, unit in UNITS.items():
        asked, allocatable = (-(-of.get(name, ZERO).nanos // unit) for of in (wanted, held))
        if asked > allocatable:
            faults.append(f"{name}, requested: {asked}, allocatable: {allocatable}")
    return faults
