"""TaintNodesByCondition: a new node takes no pods until it has said that it is ready."""

from bireme.registry.admission.chain import Attributes, Operation, Plugin
from bireme.registry.kinds import Kind

NOT_READY = "node.kubernetes.io/not-ready"


class TaintNodesByCondition(Plugin):
    """See the module."""

    name = "TaintNodesByCondition"

    def handles(self, operation: Operation, kind: Kind, subresource: str) -> bool:
        return operation == "CREATE" and kind.is_a("Node")

    async def admit(self, attributes: Attributes) -> None:
        if attributes.tree is None:
            return
        taints = attributes.tree.setdefault("spec", {}).setdefault("taints", [])
        if not any(taint.get("key") == NOT_READY and taint.get("effect") == "NoSchedule" for taint in taints):
            taints.append({"key": NOT_READY, "effect": "NoSchedule"})
