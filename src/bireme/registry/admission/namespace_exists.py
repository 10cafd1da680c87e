"""NamespaceExists: nothing is written or deleted in a namespace that is missing. Off unless asked for.

What NamespaceLifecycle refuses of new objects, of the others too. Source: the Kubernetes documentation on admission
control.
"""

from collections.abc import Sequence

from bireme.api.errors import not_found
from bireme.registry.admission.chain import Attributes, Objects, Operation, Place, Plugin
from bireme.registry.kinds import Kind


class NamespaceExists(Plugin):
    """See the module."""

    name = "NamespaceExists"

    def __init__(self, objects: Objects) -> None:
        self._objects = objects

    def handles(self, operation: Operation, kind: Kind, subresource: str) -> bool:
        return operation in ("CREATE", "UPDATE", "DELETE") and kind.resource.namespaced

    def looks_at(self, attributes: Attributes) -> Sequence[Place] | None:
        return (("", "v1", "namespaces"),)

    async def validate(self, attributes: Attributes) -> None:
        if self._objects.find("", "v1", "namespaces", "", attributes.namespace) is None:
            raise not_found("namespaces", attributes.namespace)
