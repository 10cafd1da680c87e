"""What a pod says of how it is to be spread, or its profile for it, read."""

from dataclasses import dataclass

from bireme.api.kinds import core
from bireme.api.selectors import LabelSelector
from bireme.scheduler.placed import LabelSet
from bireme.scheduler.profile import Profile
from bireme.scheduler.terms import selector_of, with_own_labels


@dataclass(frozen=True, slots=True)
class Constraint:
    """One constraint, read. `self_matches`: the pod itself will count."""

    topology_key: str
    max_skew: int
    hard: bool
    selector: LabelSelector
    self_matches: bool
    min_domains: int = 1
    honours_affinity: bool = True
    honours_taints: bool = False


def constraints_of(
    spec: core.PodSpec, labels: LabelSet, profile: Profile, default_selector: LabelSelector | None
) -> tuple[Constraint, ...]:
    """What the pod states, or else what the profile gives to pods that `default_selector` picks."""
    if spec.topology_spread_constraints:
        return tuple(_stated(each, labels) for each in spec.topology_spread_constraints)
    if default_selector is None or default_selector.nothing or default_selector.everything:
        return ()
    matches = default_selector.matches(labels.labels)
    return tuple(
        Constraint(each.topology_key, each.max_skew, hard=each.hard, selector=default_selector, self_matches=matches)
        for each in profile.spreading
    )


def _stated(each: core.TopologySpreadConstraint, labels: LabelSet) -> Constraint:
    selector = with_own_labels(selector_of(each.label_selector), labels.labels, same=each.match_label_keys)
    return Constraint(
        topology_key=each.topology_key,
        max_skew=each.max_skew or 1,
        hard=each.when_unsatisfiable != "ScheduleAnyway",
        selector=selector,
        self_matches=selector.matches(labels.labels),
        min_domains=each.min_domains or 1,
        honours_affinity=each.node_affinity_policy != "Ignore",
        honours_taints=each.node_taints_policy == "Honor",
    )
