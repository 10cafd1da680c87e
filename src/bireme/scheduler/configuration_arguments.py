"""What the arguments of plugins in a KubeSchedulerConfiguration mean, checked. Each raises ConfigurationError.

Source: the Kubernetes documentation (kube-scheduler-config.v1).
"""

from dataclasses import replace
from itertools import pairwise

from bireme.api.cel.coercion import parse_duration
from bireme.api.cel.errors import CelError
from bireme.api.codec.json import to_tree
from bireme.api.kinds import core
from bireme.api.validation.field import Problems
from bireme.api.validation.placement import check_affinity
from bireme.scheduler.configuration_error import ConfigurationError
from bireme.scheduler.configuration_file import (
    AffinityArgs,
    Arguments,
    BalanceArgs,
    DevicesArgs,
    FitArgs,
    NodeAffinityArgs,
    PreemptionArgs,
    SpreadArgs,
    VolumeArgs,
)
from bireme.scheduler.profile import DEFAULT, NO_AFFINITY, Candidates, Fit, Profile, Spreading, Strategy


def with_arguments(profile: Profile, given: Arguments, place: str) -> Profile:
    """The profile as the arguments of its plugins make it."""
    fit, spread, affinity = given.fit or FitArgs(), given.spread or SpreadArgs(), given.affinity or AffinityArgs()
    return replace(
        profile,
        fit=_fit(fit, f"{place}: NodeResourcesFit"),
        balanced=_balanced(given.balance or BalanceArgs(), f"{place}: NodeResourcesBalancedAllocation"),
        spreading=_spreading(spread, f"{place}: PodTopologySpread"),
        system_spreading=spread.defaulting_type == "System",
        hard_affinity_weight=_hard_weight(affinity, f"{place}: InterPodAffinity"),
        ignores_preferences=affinity.ignore_preferred_terms_of_existing_pods,
        added_affinity=_added_affinity(given.node_affinity or NodeAffinityArgs(), f"{place}: NodeAffinity"),
        candidates=_candidates(given.preemption or PreemptionArgs(), f"{place}: DefaultPreemption"),
        ignored=profile.ignored | {*fit.ignored_resources, *fit.ignored_resource_groups},
    )


def _fit(args: FitArgs, place: str) -> Fit:
    wanted = args.scoring_strategy
    resources = tuple((each.name, each.weight or 1) for each in wanted.resources) or Fit().resources
    if any(not 1 <= weight <= 100 for _, weight in resources):
        raise ConfigurationError(f"{place}: the weight of a resource is a number from 1 to 100")
    strategy = Strategy(wanted.type)
    if strategy is not Strategy.SHAPE:
        return Fit(strategy, resources)
    points = wanted.requested_to_capacity_ratio.shape if wanted.requested_to_capacity_ratio else ()
    shape = tuple((point.utilization, point.score) for point in points)
    if not shape:
        raise ConfigurationError(f"{place}: requestedToCapacityRatio.shape: at least one point must be specified")
    if any(not 0 <= used <= 100 or not 0 <= score <= 10 for used, score in shape):
        raise ConfigurationError(f"{place}: shape: utilization is from 0 to 100, score from 0 to 10")
    if any(after[0] <= before[0] for before, after in pairwise(shape)):
        raise ConfigurationError(f"{place}: shape: utilization values must be sorted in increasing order")
    return Fit(Strategy.SHAPE, resources, shape)


def _balanced(args: BalanceArgs, place: str) -> tuple[str, ...]:
    if any(each.weight not in (0, 1) for each in args.resources):
        raise ConfigurationError(f"{place}: the weight of a resource can only be 1")
    return tuple(each.name for each in args.resources) or DEFAULT.balanced


def _spreading(args: SpreadArgs, place: str) -> tuple[Spreading, ...]:
    if args.defaulting_type == "System":
        if args.default_constraints:
            raise ConfigurationError(f"{place}: defaultConstraints need defaultingType: List")
        return DEFAULT.spreading
    seen: set[tuple[str, str]] = set()
    for each in args.default_constraints:
        if each.max_skew < 1 or not each.topology_key:
            raise ConfigurationError(f"{place}: a constraint needs a topologyKey and a maxSkew above 0")
        if (both := (each.topology_key, each.when_unsatisfiable)) in seen:
            raise ConfigurationError(f"{place}: {{{', '.join(both)}}}: Duplicate value")
        seen.add(both)
    return tuple(
        Spreading(each.topology_key, each.max_skew, hard=each.when_unsatisfiable == "DoNotSchedule")
        for each in args.default_constraints
    )


def _hard_weight(args: AffinityArgs, place: str) -> int:
    weight = args.hard_pod_affinity_weight
    if not 0 <= weight <= 100:
        raise ConfigurationError(f"{place}: hardPodAffinityWeight is a number from 0 to 100")
    return weight


def _added_affinity(args: NodeAffinityArgs, place: str) -> core.NodeAffinity:
    added = args.added_affinity
    if added is None:
        return NO_AFFINITY
    required = added.required_during_scheduling_ignored_during_execution
    preferred = added.preferred_during_scheduling_ignored_during_execution
    if required is None and not preferred:
        raise ConfigurationError(f"{place}: addedAffinity: must specify at least one of its terms")
    problems = Problems()
    check_affinity(problems, {"nodeAffinity": to_tree(added)}, "addedAffinity")
    if problems:
        raise ConfigurationError(f"{place}: {problems[0].field}: {problems[0].message}")
    return added


def _candidates(args: PreemptionArgs, place: str) -> Candidates:
    percentage, absolute = args.min_candidate_nodes_percentage, args.min_candidate_nodes_absolute
    if not 0 <= percentage <= 100:
        raise ConfigurationError(f"{place}: minCandidateNodesPercentage: {percentage}: not in valid range [0, 100]")
    if absolute < 0:
        raise ConfigurationError(f"{place}: minCandidateNodesAbsolute: {absolute}: not in valid range [0, inf)")
    if not percentage and not absolute:
        raise ConfigurationError(
            f"{place}: either minCandidateNodesPercentage or minCandidateNodesAbsolute must be > 0"
        )
    return Candidates(percentage, absolute)


def bind_timeout(given: Arguments, place: str) -> float:
    """How long volumes may take to be bound, in seconds."""
    seconds = (given.volumes or VolumeArgs()).bind_timeout_seconds
    if seconds < 0:
        raise ConfigurationError(f"{place}: VolumeBinding: bindTimeoutSeconds: {seconds}: must not be below 0")
    return float(seconds)


def binding_timeout(given: Arguments, place: str) -> float:
    """How long devices may take to be ready, in seconds."""
    said, place = (given.devices or DevicesArgs()).binding_timeout, f"{place}: DynamicResources"
    try:
        seconds = parse_duration(said).total_seconds()
    except CelError as error:
        raise ConfigurationError(f"{place}: bindingTimeout: {error}") from error
    if seconds < 1:
        raise ConfigurationError(f"{place}: bindingTimeout: {said}: must be at least 1 second")
    return seconds
