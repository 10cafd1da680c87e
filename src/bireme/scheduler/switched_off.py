"""What is left of a pod's spreading when its profile has filters switched off."""

from collections.abc import Iterable
from dataclasses import replace

from bireme.scheduler.spread_constraints import Constraint


def constraints_left(constraints: Iterable[Constraint], off: frozenset[str]) -> tuple[Constraint, ...]:
    """The constraints that still count. A filter that is off keeps no node from counting as a domain either."""
    return tuple(
        replace(
            each,
            honours_affinity=each.honours_affinity and "NodeAffinity" not in off,
            honours_taints=each.honours_taints and not {"TaintToleration", "NodeUnschedulable"} & off,
        )
        for each in constraints
        if not each.hard or "PodTopologySpread" not in off
    )
