"""Defaults of the scheduling group."""

from collections.abc import Callable, Mapping

from bireme.api.defaults.fill import Tree, fill_text


def default_priority_class(tree: Tree) -> None:
    """A PriorityClass: its pods may push others out."""
    fill_text(tree, "preemptionPolicy", "PreemptLowerPriority")


DEFAULTS: Mapping[str, Callable[[Tree], None]] = {"PriorityClass": default_priority_class}
