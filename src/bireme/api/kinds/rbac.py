"""The kinds of rbac, as the published schema gives them. Made by tools/generate_kinds.py: do not edit."""

from __future__ import annotations

from msgspec import field

from bireme.api.kinds import meta
from bireme.api.kinds.meta import Object
from bireme.api.model import Model


class AggregationRule(Model):
    cluster_role_selectors: list[meta.LabelSelector] = []


class ClusterRole(Object):
    __gvk__ = ("rbac.authorization.k8s.io", "v1", "ClusterRole")
    aggregation_rule: AggregationRule | None = None
    rules: list[PolicyRule] = []


class ClusterRoleBinding(Object):
    __gvk__ = ("rbac.authorization.k8s.io", "v1", "ClusterRoleBinding")
    role_ref: RoleRef = field(default_factory=lambda: RoleRef())
    subjects: list[Subject] = []


class PolicyRule(Model):
    api_groups: list[str] = []
    non_resource_urls: list[str] = field(default_factory=list, name="nonResourceURLs")
    resource_names: list[str] = []
    resources: list[str] = []
    verbs: list[str] = []


class Role(Object):
    __gvk__ = ("rbac.authorization.k8s.io", "v1", "Role")
    rules: list[PolicyRule] = []


class RoleBinding(Object):
    __gvk__ = ("rbac.authorization.k8s.io", "v1", "RoleBinding")
    role_ref: RoleRef = field(default_factory=lambda: RoleRef())
    subjects: list[Subject] = []


class RoleRef(Model):
    api_group: str = ""
    kind: str = ""
    name: str = ""


class Subject(Model):
    api_group: str = ""
    kind: str = ""
    name: str = ""
    namespace: str = ""
