"""Defaults of the policy group."""

from collections.abc import Callable, Mapping

from bireme.api.defaults.fill import Tree, default_conditions, section


def default_budget(tree: Tree) -> None:
    """A PodDisruptionBudget."""
    default_conditions(section(tree, "status"))


DEFAULTS: Mapping[str, Callable[[Tree], None]] = {"PodDisruptionBudget": default_budget}
