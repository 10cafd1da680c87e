"""DefaultTolerationSeconds: a pod outlives the loss of its node by five minutes, unless it says otherwise."""

from collections.abc import Sequence
from typing import Any

from bireme.registry.admission.chain import Attributes, Operation, Place, Plugin
from bireme.registry.kinds import Kind

LOST = ("node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable")
SECONDS = 300


class DefaultTolerationSeconds(Plugin):
    """See the module."""

    name = "DefaultTolerationSeconds"

    def handles(self, operation: Operation, kind: Kind, subresource: str) -> bool:
        return operation == "CREATE" and kind.is_a("Pod") and not subresource

    def looks_at(self, attributes: Attributes) -> Sequence[Place] | None:
        return ()

    async def admit(self, attributes: Attributes) -> None:
        if attributes.tree is None:
            return
        tolerations = attributes.tree.setdefault("spec", {}).setdefault("tolerations", [])
        for key in LOST:
            if not any(_covers(toleration, key) for toleration in tolerations):
                added = {"key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": SECONDS}
                tolerations.append(added)


def _covers(toleration: dict[str, Any], key: str) -> bool:
    return toleration.get("key", "") in ("", key) and toleration.get("effect", "") in ("", "NoExecute")
