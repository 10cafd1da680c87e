"""Roles that are the sum of others: each holds the rules of those that its selectors choose.

Source: the Kubernetes documentation on RBAC, "Aggregated ClusterRoles".
"""

from collections.abc import Iterable, Iterator
from datetime import timedelta
from typing import Any

import msgspec

from bireme.api.kinds import rbac
from bireme.api.selectors import LabelSelector
from bireme.client.informer import Key
from bireme.controllers.controller import Controller, Watch
from bireme.controllers.informers import Informers


def gathered(role: rbac.ClusterRole, roles: Iterable[rbac.ClusterRole]) -> list[rbac.PolicyRule]:
    """The rules of the roles that `role` chooses, each once, by the roles' names."""
    if role.aggregation_rule is None:
        return role.rules
    selectors = [LabelSelector.from_struct(each) for each in role.aggregation_rule.cluster_role_selectors]
    chosen = [
        other
        for other in sorted(roles, key=lambda one: one.metadata.name)
        if other.metadata.name != role.metadata.name
        and any(selector.matches(other.metadata.labels) for selector in selectors)
    ]
    rules: list[rbac.PolicyRule] = []
    for other in chosen:
        rules += [rule for rule in other.rules if rule not in rules]
    return rules


def sums(informers: Informers, old: rbac.ClusterRole | None, new: rbac.ClusterRole | None) -> Iterator[Key]:
    """Any role may be a part of any sum."""
    for role in informers.items(rbac.ClusterRole):
        if role.aggregation_rule is not None:
            yield Key("", role.metadata.name)


class ClusterRoleAggregationController(Controller):
    """Keep aggregated ClusterRoles up to date. Reads and patches ClusterRoles."""

    name = "clusterrole-aggregation-controller"
    watches = (Watch(rbac.ClusterRole, keys=sums),)

    async def reconcile(self, key: Key) -> timedelta | None:
        role = self.cache.get(rbac.ClusterRole, key)
        if role is None or role.aggregation_rule is None:
            return None
        wanted = gathered(role, self.cache.items(rbac.ClusterRole))
        if wanted != role.rules:
            patch: dict[str, Any] = {"rules": msgspec.to_builtins(wanted)}
            await self.client.patch(rbac.ClusterRole, key.name, patch)
        return None
