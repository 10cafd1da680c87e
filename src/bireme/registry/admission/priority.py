"""Priority: the class of a pod or pod group becomes its number, and what it may do to lesser ones."""

from collections.abc import Sequence
from typing import Any

from bireme.api.errors import Forbidden
from bireme.registry.admission.chain import Attributes, Objects, Operation, Place, Plugin
from bireme.registry.kinds import Kind

Tree = dict[str, Any]
SYSTEM_CLASSES = {"system-cluster-critical": 2_000_000_000, "system-node-critical": 2_000_001_000}


class Priority(Plugin):
    """See the module."""

    name = "Priority"

    def __init__(self, objects: Objects) -> None:
        self._objects = objects

    def handles(self, operation: Operation, kind: Kind, subresource: str) -> bool:
        if kind.is_a("PriorityClass", "scheduling.k8s.io"):
            return operation in ("CREATE", "UPDATE")
        ranked = kind.is_a("Pod") or kind.is_a("PodGroup", "scheduling.k8s.io")
        return operation == "CREATE" and ranked and not subresource

    def looks_at(self, attributes: Attributes) -> Sequence[Place] | None:
        return (("scheduling.k8s.io", "v1", "priorityclasses"),)

    async def admit(self, attributes: Attributes) -> None:
        kind = attributes.kind
        if attributes.tree is None or kind.is_a("PriorityClass", "scheduling.k8s.io"):
            return
        what, whose = ("pods", "pod") if kind.is_a("Pod") else ("podgroups.scheduling.k8s.io", "podgroup")
        spec = attributes.tree.setdefault("spec", {})
        chosen = self._class_of(spec, what, attributes.name)
        value = int(chosen.get("value", 0)) if chosen else 0
        said = spec.get("priority")
        if said is not None and said != value:
            raise _refusal(
                what,
                attributes.name,
                f"the integer value of priority ({said}) must not be provided in {whose} spec; "
                "priority admission controller computed "
                f"{value} from the given PriorityClass name",
            )
        spec["priority"] = value
        policy = (chosen or {}).get("preemptionPolicy") or "PreemptLowerPriority"
        said = spec.setdefault("preemptionPolicy", policy)
        if said != policy:
            raise _refusal(
                what,
                attributes.name,
                f"the string value of PreemptionPolicy ({said}) must not be provided in {whose} spec; "
                f"priority admission controller computed {policy} from the given PriorityClass name",
            )

    async def validate(self, attributes: Attributes) -> None:
        tree = attributes.tree
        if tree is None or not tree.get("globalDefault"):
            return
        for other in self._objects.every("scheduling.k8s.io", "v1", "priorityclasses"):
            if other.get("globalDefault") and other["metadata"]["name"] != attributes.name:
                raise _refusal(
                    "priorityclasses.scheduling.k8s.io",
                    attributes.name,
                    f"PriorityClass {other['metadata']['name']} is already marked as default. "
                    "Only one default can exist",
                )

    def _class_of(self, spec: Tree, what: str, whose: str) -> Tree | None:
        name = spec.get("priorityClassName")
        if name:
            chosen = self._objects.find("scheduling.k8s.io", "v1", "priorityclasses", "", name)
            if chosen is None:
                raise _refusal(what, whose, f"no PriorityClass with name {name} was found")
            return chosen
        classes = self._objects.every("scheduling.k8s.io", "v1", "priorityclasses")
        defaults = [one for one in classes if one.get("globalDefault")]
        if not defaults:
            return None
        chosen = min(defaults, key=lambda one: int(one["value"]))
        spec["priorityClassName"] = chosen["metadata"]["name"]
        return chosen


def _refusal(resource: str, name: str, why: str) -> Forbidden:
    return Forbidden(f'{resource} "{name}" is forbidden: {why}', details={"name": name, "kind": resource})
