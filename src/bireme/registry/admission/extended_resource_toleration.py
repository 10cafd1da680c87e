"""ExtendedResourceToleration: a pod that asks for a device tolerates the taint named after it. Off unless asked for.

So nodes with devices may be tainted `example.com/gpu:NoSchedule` and be left to those who need them. Source: the
Kubernetes documentation on admission control.
"""

from collections.abc import Sequence
from typing import Any

from bireme.api.validation.names import qualified_name
from bireme.registry.admission.chain import Attributes, Operation, Place, Plugin
from bireme.registry.kinds import Kind

Tree = dict[str, Any]
OWN_DOMAIN = "kubernetes.io/"
QUOTA_PREFIX = "requests."


class ExtendedResourceToleration(Plugin):
    """See the module."""

    name = "ExtendedResourceToleration"

    def handles(self, operation: Operation, kind: Kind, subresource: str) -> bool:
        return operation in ("CREATE", "UPDATE") and kind.is_a("Pod") and not subresource

    def looks_at(self, attributes: Attributes) -> Sequence[Place] | None:
        return ()

    async def admit(self, attributes: Attributes) -> None:
        spec = (attributes.tree or {}).get("spec") or {}
        for name in sorted(_extended(spec)):
            wanted = {"key": name, "operator": "Exists", "effect": "NoSchedule"}
            tolerations = spec.setdefault("tolerations", [])
            if not any(_is_alike(said, wanted) for said in tolerations):
                tolerations.append(wanted)


def is_extended(name: str) -> bool:
    """Whether a resource is one that a node's owner made up, of a domain of their own."""
    if "/" not in name or OWN_DOMAIN in name or name.startswith(QUOTA_PREFIX):
        return False
    return not qualified_name(QUOTA_PREFIX + name)


def _extended(spec: Tree) -> set[str]:
    containers = (*(spec.get("containers") or ()), *(spec.get("initContainers") or ()))
    asked = ((container.get("resources") or {}).get("requests") or {} for container in containers)
    return {name for requests in asked for name in requests if is_extended(name)}


def _is_alike(said: Tree, wanted: Tree) -> bool:
    return all((said.get(field) or "") == wanted.get(field, "") for field in ("key", "operator", "effect", "value"))
