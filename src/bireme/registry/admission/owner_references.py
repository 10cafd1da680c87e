"""OwnerReferencesPermissionEnforcement: owners are set by those who may delete the object.

And only who may set the finalizers of an owner may have it wait for the object (`blockOwnerDeletion`). Off unless
asked for, as in the original. Source: the Kubernetes documentation on admission.
"""

from typing import Any

from bireme.registry.access import Attempt
from bireme.registry.admission.chain import Attributes, Judges, Operation, Plugin
from bireme.registry.admission.refusals import refused
from bireme.registry.kinds import Kind, Kinds

Tree = dict[str, Any]


class OwnerReferencesPermissionEnforcement(Plugin):
    """See the module."""

    name = "OwnerReferencesPermissionEnforcement"

    def __init__(self, judges: Judges, kinds: Kinds) -> None:
        self._judges = judges
        self._kinds = kinds

    def handles(self, operation: Operation, kind: Kind, subresource: str) -> bool:
        if operation not in ("CREATE", "UPDATE") or (kind.is_a("Pod") and subresource == "status"):
            return False
        return not (kind.is_a("Pod") and subresource in ("binding", "eviction"))

    def is_quiet(self, attributes: Attributes) -> bool:
        return True

    async def validate(self, attributes: Attributes) -> None:
        new, old = _owners(attributes.tree), _owners(attributes.old)
        if new == old:
            return
        if not self._may(attributes, self._deletion(attributes)):
            raise refused(attributes, "cannot set an ownerRef on a resource you can't delete")
        for owner in _blocked(new, old):
            for attempt in self._finalizing(attributes, owner):
                if not self._may(attributes, attempt):
                    raise refused(
                        attributes,
                        "cannot set blockOwnerDeletion if an ownerReference refers to a resource you can't set "
                        "finalizers on",
                    )

    def _may(self, attributes: Attributes, attempt: Attempt) -> bool:
        return self._judges.authorizer.decide(attributes.call.user, attempt).allowed

    def _deletion(self, attributes: Attributes) -> Attempt:
        resource = attributes.kind.resource
        name = "" if attributes.operation == "CREATE" else attributes.name
        return Attempt(
            "delete",
            resource.group,
            resource.version,
            resource.plural,
            name=name,
            namespace=attributes.namespace,
        )

    def _finalizing(self, attributes: Attributes, owner: Tree) -> list[Attempt]:
        group, _, version = str(owner.get("apiVersion", "")).rpartition("/")
        found = [
            kind.resource
            for kind in self._kinds.all()
            if kind.is_a(owner.get("kind", ""), group) and kind.resource.version == version
        ]
        if not found:
            raise refused(
                attributes,
                f"cannot set blockOwnerDeletion in this case because cannot find RESTMapping for APIVersion "
                f"{owner.get('apiVersion')} Kind {owner.get('kind')}",
            )
        return [
            Attempt(
                "update",
                resource.group,
                resource.version,
                resource.plural,
                "finalizers",
                owner.get("name", ""),
                attributes.namespace if resource.namespaced else "",
            )
            for resource in found
        ]


def _owners(tree: Tree | None) -> list[Tree]:
    return ((tree or {}).get("metadata") or {}).get("ownerReferences") or []


def _blocked(new: list[Tree], old: list[Tree]) -> list[Tree]:
    """The owners that are newly made to wait."""
    before = {owner.get("uid") for owner in old if owner.get("blockOwnerDeletion")}
    return [owner for owner in new if owner.get("blockOwnerDeletion") and owner.get("uid") not in before]
