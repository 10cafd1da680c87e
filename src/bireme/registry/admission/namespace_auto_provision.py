"""NamespaceAutoProvision: a namespace is made when something is first created in it. Off unless asked for.

Whoever may create anything in a namespace may so have it made. Source: the Kubernetes documentation on admission
control.
"""

from collections.abc import Awaitable, Callable, Sequence

from bireme.api.errors import AlreadyExists
from bireme.registry.admission.chain import Attributes, Objects, Operation, Place, Plugin
from bireme.registry.kinds import Kind

NAMESPACES: Place = ("", "v1", "namespaces")


class NamespaceAutoProvision(Plugin):
    """`make` makes the namespace of that name."""

    name = "NamespaceAutoProvision"

    def __init__(self, objects: Objects, make: Callable[[str], Awaitable[object]]) -> None:
        self._objects, self._make = objects, make

    def handles(self, operation: Operation, kind: Kind, subresource: str) -> bool:
        return operation == "CREATE" and kind.resource.namespaced and not subresource

    def looks_at(self, attributes: Attributes) -> Sequence[Place] | None:
        return (NAMESPACES,)

    async def admit(self, attributes: Attributes) -> None:
        name = attributes.namespace
        if attributes.call.dry_run or self._objects.find(*NAMESPACES, "", name) is not None:
            return
        try:
            await self._make(name)
        except AlreadyExists:
            return
