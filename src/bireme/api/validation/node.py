"""The rules of the node group."""

from collections.abc import Mapping

from bireme.api.validation.amounts import check_amounts
from bireme.api.validation.field import Problems, Rules, Tree, check_unchanged
from bireme.api.validation.meta import check_labels
from bireme.api.validation.names import dns_label
from bireme.api.validation.placement import check_tolerations


def check_runtime_class(problems: Problems, tree: Tree) -> None:
    """A RuntimeClass."""
    handler = tree.get("handler") or ""
    problems.invalid_each("handler", handler, dns_label(handler))
    fixed = (tree.get("overhead") or {}).get("podFixed") or {}
    check_amounts(problems, fixed, "overhead.podFixed")
    scheduling = tree.get("scheduling") or {}
    check_labels(problems, scheduling.get("nodeSelector") or {}, "scheduling.nodeSelector")
    check_tolerations(problems, scheduling.get("tolerations") or (), "scheduling.tolerations")


def check_runtime_class_update(problems: Problems, new: Tree, old: Tree) -> None:
    """A RuntimeClass keeps its handler."""
    check_unchanged(problems, new.get("handler"), old.get("handler"), "handler")


RULES: Mapping[str, Rules] = {"RuntimeClass": Rules(check_runtime_class, check_runtime_class_update)}
