"""RuntimeClass: a pod's class adds its overhead, its node selector and its tolerations."""

from collections.abc import Sequence
from typing import Any

from bireme.api.amounts import read
from bireme.registry.admission.chain import Attributes, Objects, Operation, Place, Plugin
from bireme.registry.admission.refusals import refused
from bireme.registry.kinds import Kind

Tree = dict[str, Any]


class RuntimeClass(Plugin):
    """See the module."""

    name = "RuntimeClass"

    def __init__(self, objects: Objects) -> None:
        self._objects = objects

    def handles(self, operation: Operation, kind: Kind, subresource: str) -> bool:
        return operation == "CREATE" and kind.is_a("Pod") and not subresource

    def looks_at(self, attributes: Attributes) -> Sequence[Place] | None:
        return (("node.k8s.io", "v1", "runtimeclasses"),)

    async def admit(self, attributes: Attributes) -> None:
        spec = (attributes.tree or {}).get("spec") or {}
        chosen = self._class_of(spec, attributes)
        if chosen is None:
            return
        fixed = _overhead(chosen)
        if fixed:
            if spec.get("overhead") and read(spec["overhead"]) != read(fixed):
                raise refused(attributes, MISMATCH)
            spec["overhead"] = dict(fixed)
        scheduling = chosen.get("scheduling") or {}
        _select(spec, scheduling.get("nodeSelector") or {}, attributes)
        _tolerate(spec, scheduling.get("tolerations") or [])

    async def validate(self, attributes: Attributes) -> None:
        spec = (attributes.tree or {}).get("spec") or {}
        said = spec.get("overhead")
        if not said and not spec.get("runtimeClassName"):
            return
        chosen = self._class_of(spec, attributes)
        fixed = _overhead(chosen) if chosen else {}
        if said and not fixed:
            raise refused(
                attributes, "pod rejected: Pod Overhead set without corresponding RuntimeClass defined Overhead"
            )
        if fixed and read(said) != read(fixed):
            raise refused(attributes, MISMATCH)

    def _class_of(self, spec: Tree, attributes: Attributes) -> Tree | None:
        name = spec.get("runtimeClassName")
        if not name:
            return None
        found = self._objects.find("node.k8s.io", "v1", "runtimeclasses", "", name)
        if found is None:
            raise refused(attributes, f'pod rejected: RuntimeClass "{name}" not found')
        return found


MISMATCH = "pod rejected: Pod's Overhead doesn't match RuntimeClass's defined Overhead"


def _overhead(runtime_class: Tree) -> Tree:
    return (runtime_class.get("overhead") or {}).get("podFixed") or {}


def _select(spec: Tree, wanted: Tree, attributes: Attributes) -> None:
    said = spec.get("nodeSelector") or {}
    for key, value in wanted.items():
        if said.get(key, value) != value:
            raise refused(
                attributes,
                f"conflict: runtimeClass.scheduling.nodeSelector[{key}] = {value}; "
                f"pod.spec.nodeSelector[{key}] = {said[key]}",
            )
    if wanted:
        spec["nodeSelector"] = {**said, **wanted}


def _tolerate(spec: Tree, wanted: list[Tree]) -> None:
    tolerations = spec.setdefault("tolerations", []) if wanted else []
    tolerations.extend(dict(toleration) for toleration in wanted if toleration not in tolerations)
