"""Nobody gives on what he does not hold: roles, and bindings to them.

A role may be written by who holds all of its rules, or has the verb `escalate` on it; a binding by who holds the
rules of the role that it names, or has the verb `bind` on that. Source: the Kubernetes documentation on RBAC,
"Privilege escalation prevention and bootstrapping".
"""

from typing import Any

from bireme.api.errors import Forbidden
from bireme.http.interface import Identity
from bireme.registry.access import MASTERS, Attempt
from bireme.registry.admission.chain import Attributes, Operation, Plugin
from bireme.registry.kinds import Kind
from bireme.registry.rbac import GROUP, RbacAuthorizer
from bireme.registry.rbac_rules import EVERYTHING, Rule, compiled, told, uncovered
from bireme.registry.reader import Reader

Tree = dict[str, Any]
_ROLES = {"Role": "roles", "ClusterRole": "clusterroles"}
_BINDINGS = {"RoleBinding", "ClusterRoleBinding"}


class RoleEscalation(Plugin):
    """Refuses what would give more than the writer has."""

    name = "RoleEscalation"

    def __init__(self, reader: Reader, roles: RbacAuthorizer) -> None:
        self._reader, self._roles = reader, roles

    def handles(self, operation: Operation, kind: Kind, subresource: str) -> bool:
        return (
            operation in ("CREATE", "UPDATE")
            and kind.resource.group == GROUP
            and not subresource
            and kind.resource.kind in (*_ROLES, *_BINDINGS)
        )

    async def validate(self, attributes: Attributes) -> None:
        user, tree, old = attributes.call.user, attributes.tree, attributes.old
        if not user.name or MASTERS in user.groups or tree is None:
            return
        if attributes.kind.resource.kind in _BINDINGS:
            self._check_binding(attributes, user, tree, old)
        else:
            self._check_role(attributes, user, tree, old)

    def _check_role(self, attributes: Attributes, user: Identity, tree: Tree, old: Tree | None) -> None:
        plural = _ROLES[attributes.kind.resource.kind]
        parts = ("rules", "aggregationRule")
        if old is not None and all(tree.get(part) == old.get(part) for part in parts):
            return
        if self._may(user, "escalate", plural, attributes.namespace, attributes.name):
            return
        wanted = compiled(tree.get("rules"))
        if tree.get("aggregationRule"):  # it may gather anything
            wanted = (*wanted, *EVERYTHING)
        self._refuse_uncovered(attributes, user, wanted)

    def _check_binding(self, attributes: Attributes, user: Identity, tree: Tree, old: Tree | None) -> None:
        if old is not None and all(tree.get(part) == old.get(part) for part in ("roleRef", "subjects")):
            return
        role = tree.get("roleRef") or {}
        plural, name = _ROLES.get(role.get("kind", ""), ""), role.get("name", "")
        if self._may(user, "bind", plural, attributes.namespace, name):
            return
        rules = self._roles.role_rules(role.get("kind", ""), attributes.namespace, name)
        if rules is None:
            raise self._forbidden(attributes, f'{plural.removesuffix("s")}.{GROUP} "{name}" not found')
        self._refuse_uncovered(attributes, user, rules)

    def _refuse_uncovered(self, attributes: Attributes, user: Identity, wanted: tuple[Rule, ...]) -> None:
        held, missing = self._roles.rules_for(user, attributes.namespace)
        lacking = uncovered(held, wanted)
        if not lacking:
            return
        groups = " ".join(f'"{group}"' for group in user.groups)
        text = (
            f'user "{user.name}" (groups=[{groups}]) is attempting to grant RBAC permissions not currently held:\n'
            f"{told(lacking)}"
        )
        if missing:
            text += f"; resolution errors: [{', '.join(missing)}]"
        raise self._forbidden(attributes, text)

    def _may(self, user: Identity, verb: str, plural: str, namespace: str, name: str) -> bool:
        scope = "" if plural == "clusterroles" else namespace
        attempt = Attempt(verb, GROUP, "v1", plural, name=name, namespace=scope)
        if self._reader.authorizer.decide(user, attempt).allowed:
            return True
        local = Attempt(verb, GROUP, "v1", plural, name=name, namespace=namespace)
        return namespace != scope and self._reader.authorizer.decide(user, local).allowed

    @staticmethod
    def _forbidden(attributes: Attributes, text: str) -> Forbidden:
        resource = attributes.kind.resource
        return Forbidden(
            f'{resource.plural}.{resource.group} "{attributes.name}" is forbidden: {text}',
            details={"name": attributes.name, "group": resource.group, "kind": resource.plural},
        )
