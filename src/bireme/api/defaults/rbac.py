"""Defaults of the rbac group: to whose API a name belongs."""

from collections.abc import Callable, Mapping

from bireme.api.defaults.fill import Tree, fill_text, section

_GROUP = "rbac.authorization.k8s.io"


def default_binding(tree: Tree) -> None:
    """A RoleBinding or ClusterRoleBinding."""
    fill_text(section(tree, "roleRef"), "apiGroup", _GROUP)
    for subject in tree.get("subjects") or ():
        if subject.get("kind") in ("User", "Group"):
            fill_text(subject, "apiGroup", _GROUP)


DEFAULTS: Mapping[str, Callable[[Tree], None]] = {
    "ClusterRoleBinding": default_binding,
    "RoleBinding": default_binding,
}
