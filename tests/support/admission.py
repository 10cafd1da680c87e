"""One admission plugin before objects that the test lays out."""

from typing import Any

from bireme.api.scheme import builtin
from bireme.http.interface import Identity
from bireme.registry.admission.chain import Attributes, Operation, Plugin
from bireme.registry.kinds import Kind, Kinds
from bireme.registry.options import Call

Tree = dict[str, Any]
KINDS = Kinds(builtin())


class Lookup:
    """Knows the objects that it is given, by plural."""

    def __init__(self, **objects: list[Tree]) -> None:
        self.objects = objects

    def find(self, group: str, version: str, plural: str, namespace: str, name: str) -> Tree | None:
        for tree in self.every(group, version, plural, namespace):
            if tree["metadata"]["name"] == name:
                return tree
        return None

    def labels(self, group: str, version: str, plural: str, namespace: str, name: str) -> dict[str, str] | None:
        tree = self.find(group, version, plural, namespace, name)
        return None if tree is None else tree["metadata"].get("labels") or {}

    def every(self, group: str, version: str, plural: str, namespace: str = "") -> list[Tree]:
        found = self.objects.get(plural, [])
        return [tree for tree in found if not namespace or tree["metadata"].get("namespace", namespace) == namespace]


def kind_at(path: str) -> Kind:
    """The kind at `pods` or `networking.k8s.io/v1/ingresses`."""
    group, version, plural = path.split("/") if "/" in path else ("", "v1", path)
    kind = KINDS.at(group, version, plural)
    assert kind is not None, path
    return kind


async def put_before(
    plugin: Plugin,
    path: str,
    tree: Tree | None,
    *,
    old: Tree | None = None,
    operation: Operation | None = None,
    subresource: str = "",
    user: Identity | None = None,
    namespace: str = "default",
) -> list[str]:
    """Let the plugin fill in `tree` and refuse; gives back the warnings."""
    attributes = attributes_of(
        path, tree, old=old, operation=operation, subresource=subresource, user=user, namespace=namespace
    )
    if plugin.handles(attributes.operation, attributes.kind, subresource):
        await plugin.admit(attributes)
        await plugin.validate(attributes)
    return attributes.call.warnings


def attributes_of(
    path: str,
    tree: Tree | None,
    *,
    old: Tree | None = None,
    operation: Operation | None = None,
    subresource: str = "",
    user: Identity | None = None,
    namespace: str = "default",
) -> Attributes:
    """What a plugin is shown of a request."""
    kind = kind_at(path)
    operation = operation or ("UPDATE" if old is not None else "CREATE")
    call = Call(user or Identity("admin", ("system:masters",)))
    name = ((tree or old or {}).get("metadata") or {}).get("name", "")
    scope = namespace if kind.resource.namespaced else ""
    return Attributes(operation, kind, scope, name, tree, old, call, subresource)
