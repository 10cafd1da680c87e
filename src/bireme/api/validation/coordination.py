"""The rules of the coordination group."""

from collections.abc import Mapping

from bireme.api.validation.field import NOT_NEGATIVE, Problems, Rules, Tree


def check_lease(problems: Problems, tree: Tree) -> None:
    """A Lease."""
    spec = tree.get("spec") or {}
    duration, transitions = spec.get("leaseDurationSeconds"), spec.get("leaseTransitions")
    if duration is not None and duration <= 0:
        problems.invalid("spec.leaseDurationSeconds", duration, "must be greater than 0")
    if transitions is not None and transitions < 0:
        problems.invalid("spec.leaseTransitions", transitions, NOT_NEGATIVE)


RULES: Mapping[str, Rules] = {"Lease": Rules(check_lease)}
