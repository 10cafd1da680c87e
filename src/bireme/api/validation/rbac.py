"""The rules of the rbac group. Whether the user may grant what a role holds is authorization's to say."""

from collections.abc import Mapping

from bireme.api.validation.field import Problems, Rules, Tree
from bireme.api.validation.names import dns_label, dns_subdomain
from bireme.api.validation.selectors import check_selector

_GROUP = "rbac.authorization.k8s.io"


def check_role(problems: Problems, tree: Tree) -> None:
    """A Role: rules on resources."""
    _check_rules(problems, tree, namespaced=True)


def check_cluster_role(problems: Problems, tree: Tree) -> None:
    """A ClusterRole: rules on resources and on paths, or the sum of others."""
    _check_rules(problems, tree, namespaced=False)
    aggregation = tree.get("aggregationRule")
    if aggregation is not None:
        selectors = aggregation.get("clusterRoleSelectors") or ()
        if not selectors:
            problems.required("aggregationRule.clusterRoleSelectors", "at least one clusterRoleSelector required")
        for index, selector in enumerate(selectors):
            check_selector(problems, selector, f"aggregationRule.clusterRoleSelectors[{index}]")


def _check_rules(problems: Problems, tree: Tree, *, namespaced: bool) -> None:
    for index, rule in enumerate(tree.get("rules") or ()):
        path = f"rules[{index}]"
        if not rule.get("verbs"):
            problems.required(f"{path}.verbs", "verbs must contain at least one value")
        if rule.get("nonResourceURLs"):
            if namespaced:
                fault = "namespaced rules cannot apply to non-resource URLs"
                problems.invalid(f"{path}.nonResourceURLs", rule["nonResourceURLs"], fault)
            if rule.get("apiGroups") or rule.get("resources") or rule.get("resourceNames"):
                fault = "rules cannot apply to both regular resources and non-resource URLs"
                problems.invalid(f"{path}.nonResourceURLs", rule["nonResourceURLs"], fault)
            continue
        if not rule.get("apiGroups"):
            problems.required(f"{path}.apiGroups", "resource rules must supply at least one api group")
        if not rule.get("resources"):
            problems.required(f"{path}.resources", "resource rules must supply at least one resource")


def check_role_binding(problems: Problems, tree: Tree) -> None:
    """A RoleBinding."""
    _check_binding(problems, tree, ("Role", "ClusterRole"))


def check_cluster_role_binding(problems: Problems, tree: Tree) -> None:
    """A ClusterRoleBinding."""
    _check_binding(problems, tree, ("ClusterRole",))


def _check_binding(problems: Problems, tree: Tree, roles: tuple[str, ...]) -> None:
    role = tree.get("roleRef") or {}
    if role.get("apiGroup") != _GROUP:
        problems.unsupported("roleRef.apiGroup", role.get("apiGroup") or "", (_GROUP,))
    if role.get("kind") not in roles:
        problems.unsupported("roleRef.kind", role.get("kind") or "", roles)
    if not role.get("name"):
        problems.required("roleRef.name")
    for index, subject in enumerate(tree.get("subjects") or ()):
        _check_subject(problems, subject, f"subjects[{index}]", namespaced="Role" in roles)


def _check_subject(problems: Problems, subject: Tree, path: str, *, namespaced: bool) -> None:
    kind, name, group = subject.get("kind") or "", subject.get("name") or "", subject.get("apiGroup") or ""
    if not name:
        problems.required(f"{path}.name")
    if kind == "ServiceAccount":
        problems.invalid_each(f"{path}.name", name, dns_subdomain(name) if name else ())
        if group:
            problems.unsupported(f"{path}.apiGroup", group, ("",))
        namespace = subject.get("namespace") or ""
        if namespace:
            problems.invalid_each(f"{path}.namespace", namespace, dns_label(namespace))
        elif not namespaced:
            problems.required(f"{path}.namespace")
    elif kind in ("User", "Group"):
        if group != _GROUP:
            problems.unsupported(f"{path}.apiGroup", group, (_GROUP,))
    else:
        problems.unsupported(f"{path}.kind", kind, ("ServiceAccount", "User", "Group"))


def check_binding_update(problems: Problems, new: Tree, old: Tree) -> None:
    """A binding keeps its role."""
    if new.get("roleRef") != old.get("roleRef"):
        problems.invalid("roleRef", new.get("roleRef"), "cannot change roleRef")


RULES: Mapping[str, Rules] = {
    "ClusterRole": Rules(check_cluster_role),
    "ClusterRoleBinding": Rules(check_cluster_role_binding, check_binding_update),
    "Role": Rules(check_role),
    "RoleBinding": Rules(check_role_binding, check_binding_update),
}
