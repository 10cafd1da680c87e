"""NamespaceLifecycle: nothing new in a namespace that is missing or going; the first namespaces stay."""

from collections.abc import Sequence

from bireme.api.errors import Cause, Forbidden, not_found
from bireme.registry.admission.chain import Attributes, Objects, Operation, Place, Plugin
from bireme.registry.kinds import Kind

IMMORTAL = frozenset({"default", "kube-system", "kube-public"})


class NamespaceLifecycle(Plugin):
    """See the module."""

    name = "NamespaceLifecycle"

    def __init__(self, objects: Objects) -> None:
        self._objects = objects

    def handles(self, operation: Operation, kind: Kind, subresource: str) -> bool:
        if operation == "DELETE":
            return kind.is_a("Namespace")
        return operation == "CREATE" and kind.resource.namespaced

    def looks_at(self, attributes: Attributes) -> Sequence[Place] | None:
        return (("", "v1", "namespaces"),)

    async def admit(self, attributes: Attributes) -> None:
        if attributes.operation == "DELETE":
            _refuse_immortal(attributes.name)
            return
        namespace = self._objects.find("", "v1", "namespaces", "", attributes.namespace)
        if namespace is None:
            raise not_found("namespaces", attributes.namespace)
        if "deletionTimestamp" in namespace["metadata"]:
            raise _terminating(attributes)


def _refuse_immortal(name: str) -> None:
    if name in IMMORTAL:
        raise Forbidden(
            f'namespaces "{name}" is forbidden: this namespace may not be deleted',
            details={"name": name, "kind": "namespaces"},
        )


def _terminating(attributes: Attributes) -> Forbidden:
    resource, namespace = attributes.kind.resource, attributes.namespace
    return Forbidden(
        f'{resource.title} "{attributes.name}" is forbidden: unable to create new content in namespace {namespace} '
        "because it is being terminated",
        details={"name": attributes.name, "group": resource.group, "kind": resource.plural},
        causes=(Cause("NamespaceTerminating", f"namespace {namespace} is being terminated", "metadata.namespace"),),
    )
