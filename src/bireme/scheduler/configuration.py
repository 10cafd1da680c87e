"""Profiles and limits from a KubeSchedulerConfiguration, the file that kube-scheduler takes as `--config`.

Strict: an unknown field, plugin or value is an error that names its place. What has no meaning here (parallelism, a
share of nodes to look at, leader election, connections) is accepted and told of. Which plugins are on is read in
`configuration_plugins.py`. Source: the Kubernetes documentation (kube-scheduler-config.v1).
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from bireme.aio.backoff import Backoff
from bireme.api.cel.coercion import parse_duration
from bireme.api.cel.errors import CelError
from bireme.api.codec import yaml
from bireme.api.errors import ApiError
from bireme.scheduler.configuration_error import ConfigurationError
from bireme.scheduler.configuration_file import Arguments, File, FileProfile
from bireme.scheduler.configuration_plugins import POINTS, camel, chosen_plugins
from bireme.scheduler.extender_settings import Extender, checked, ignored_resources
from bireme.scheduler.profile import DEFAULT, Candidates, Fit, Profile, Score, Scorer, Spreading, Strategy

IGNORED = {
    "parallelism": "placements are decided one after the other",
    "percentage_of_nodes_to_score": "every node is scored",
    "leader_election": "one scheduler runs in the core",
    "client_connection": "the scheduler speaks to the API in its own process",
    "enable_profiling": "there is no profiling door",
    "enable_contention_profiling": "there is no profiling door",
    "delay_cache_until_active": "one scheduler runs in the core",
}
BACKOFF = Backoff(initial_s=1.0, limit_s=10.0)
T = TypeVar("T")
API_VERSION, KIND = "kubescheduler.config.k8s.io/v1", "KubeSchedulerConfiguration"


@dataclass(frozen=True, slots=True)
class Settings:
    """What the scheduler is set to. `preempting` names the profiles that may evict pods for others."""

    profiles: tuple[Profile, ...] = (DEFAULT,)
    preempting: frozenset[str] = frozenset((DEFAULT.name,))
    backoff: Backoff = BACKOFF
    bind_timeout_s: float = 600.0
    binding_timeout_s: float = 600.0
    extenders: tuple[Extender, ...] = ()
    warnings: tuple[str, ...] = ()


def default_settings(scorers: Iterable[Scorer] = ()) -> Settings:
    """Without a file: one profile, with every scorer that there is."""
    return Settings(profiles=(replace(DEFAULT, scorers=tuple(scorers)),))


def read_settings(path: Path, scorers: Iterable[Scorer] = ()) -> Settings:
    """The settings in a file, YAML or JSON. `scorers` are those that it may name. Raises ConfigurationError."""
    try:
        tree = yaml.parse(path.read_bytes())
    except (OSError, ValueError, ApiError) as error:
        raise ConfigurationError(f"cannot read {path}: {error}") from error
    try:
        return settings_of(tree, scorers)
    except ConfigurationError as error:
        raise ConfigurationError(f"{path}: {error}") from error


def settings_of(tree: Any, scorers: Iterable[Scorer] = ()) -> Settings:
    """The settings that the file's tree says. Raises ConfigurationError."""
    if not isinstance(tree, dict) or tree.get("kind") != KIND or tree.get("apiVersion") != API_VERSION:
        raise ConfigurationError(f"expected apiVersion: {API_VERSION}, kind: {KIND}")
    file = _converted(tree, File, "")
    known = {scorer.name: scorer for scorer in scorers}
    if clash := sorted(known.keys() & POINTS.keys()):
        raise ConfigurationError(f"plugin {clash[0]} bears the name of a built-in one")
    if not 0 < file.pod_initial_backoff_seconds <= file.pod_max_backoff_seconds:
        raise ConfigurationError("podInitialBackoffSeconds: must be more than 0 and at most podMaxBackoffSeconds")
    profiles = file.profiles or (FileProfile(),)
    extenders = checked(file.extenders)
    alone, ignored = len(profiles) == 1, ignored_resources(extenders)
    read = [_profile(each, known, f"profiles[{n}]", alone=alone, ignored=ignored) for n, each in enumerate(profiles)]
    names = [each.profile.name for each in read]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ConfigurationError(f"profiles: schedulerName {twice[0]!r} stands twice")
    asked = [field for field in IGNORED if getattr(file, field) is not None]
    return Settings(
        profiles=tuple(each.profile for each in read),
        preempting=frozenset(each.profile.name for each in read if each.preempts),
        backoff=Backoff(float(file.pod_initial_backoff_seconds), float(file.pod_max_backoff_seconds)),
        bind_timeout_s=max(each.bind_timeout_s for each in read),
        binding_timeout_s=max(each.binding_timeout_s for each in read),
        extenders=extenders,
        warnings=(
            *(f"{camel(field)} is ignored: {IGNORED[field]}" for field in asked),
            *(f"profile {each.profile.name}: {text}" for each in read for text in each.warnings),
        ),
    )


@dataclass(frozen=True, slots=True)
class _Read:
    profile: Profile
    preempts: bool
    bind_timeout_s: float
    binding_timeout_s: float
    warnings: tuple[str, ...]


def _profile(
    file: FileProfile, known: Mapping[str, Scorer], place: str, *, alone: bool, ignored: frozenset[str]
) -> _Read:
    name = file.scheduler_name or (DEFAULT.name if alone else "")
    if not name:
        raise ConfigurationError(f"{place}: schedulerName is required where there are several profiles")
    chosen = chosen_plugins(file.plugins, known, name, f"{place}.plugins")
    weights = chosen.weights
    arguments = _arguments(file, POINTS.keys() | known.keys(), f"{place}.pluginConfig")
    scorers = [
        replace(
            scorer,
            weight=float(weights.get(plugin, 0)),
            score=scorer.score if plugin in weights else None,
            filter=scorer.filter if plugin in chosen.filters else None,
        )
        for plugin, scorer in known.items()
        if plugin in weights or plugin in chosen.filters
    ]
    fit, balance, spread = arguments.fit, arguments.balance, arguments.spread
    profile = Profile(
        name=name,
        weights={score: weights[score.value] for score in Score if score.value in weights},
        fit=_fit(fit, f"{place}.pluginConfig: NodeResourcesFit") if fit is not None else Fit(),
        balanced=tuple(each.name for each in balance.resources) or ("cpu", "memory")
        if balance is not None
        else ("cpu", "memory"),
        spreading=_spreading(spread, f"{place}.pluginConfig: PodTopologySpread"),
        system_spreading=spread is None or spread.defaulting_type == "System",
        hard_affinity_weight=_hard_weight(arguments, f"{place}.pluginConfig: InterPodAffinity"),
        scorers=tuple(scorers),
        off=chosen.off,
        candidates=_candidates(arguments, f"{place}.pluginConfig: DefaultPreemption"),
        ignored=ignored
        | frozenset((*fit.ignored_resources, *fit.ignored_resource_groups) if fit is not None else ()),
    )
    binding_s = _binding_timeout(arguments, f"{place}.pluginConfig: DynamicResources")
    return _Read(profile, chosen.preempts, _bind_timeout(arguments), binding_s, chosen.warnings)


def _arguments(file: FileProfile, names: Iterable[str], place: str) -> Arguments:
    found: dict[str, Any] = {}
    fields = {field.encode_name: field for field in msgspec.structs.fields(Arguments)}
    seen: set[str] = set()
    for position, entry in enumerate(file.plugin_config):
        if entry.name not in names:
            raise ConfigurationError(f"{place}[{position}]: plugin {entry.name!r} does not exist")
        if entry.name in seen:
            raise ConfigurationError(f"{place}[{position}]: {entry.name} is configured twice")
        seen.add(entry.name)
        args = {key: value for key, value in entry.args.items() if key not in ("apiVersion", "kind")}
        kind = entry.args.get("kind", f"{entry.name}Args")
        if kind != f"{entry.name}Args":
            raise ConfigurationError(f"{place}[{position}].args: kind {kind!r} is not {entry.name}Args")
        field = fields.get(entry.name)
        if field is None:
            if args:
                raise ConfigurationError(f"{place}[{position}]: {entry.name} takes no arguments here")
            continue
        found[entry.name] = args
    return _converted(found, Arguments, place)


def _fit(args: Any, place: str) -> Fit:
    wanted = args.scoring_strategy
    resources = tuple((each.name, each.weight or 1) for each in wanted.resources) or Fit().resources
    if any(not 1 <= weight <= 100 for _, weight in resources):
        raise ConfigurationError(f"{place}: the weight of a resource is a number from 1 to 100")
    if wanted.type != Strategy.SHAPE:
        return Fit(Strategy(wanted.type), resources)
    points = wanted.requested_to_capacity_ratio.shape if wanted.requested_to_capacity_ratio else ()
    shape = tuple((point.utilization, point.score) for point in points)
    if not shape:
        raise ConfigurationError(f"{place}: requestedToCapacityRatio.shape: at least one point must be specified")
    if any(not 0 <= used <= 100 or not 0 <= score <= 10 for used, score in shape):
        raise ConfigurationError(f"{place}: shape: utilization is from 0 to 100, score from 0 to 10")
    if any(after[0] <= before[0] for before, after in pairwise(shape)):
        raise ConfigurationError(f"{place}: shape: utilization values must be sorted in increasing order")
    return Fit(Strategy.SHAPE, resources, shape)


def _spreading(args: Any, place: str) -> tuple[Spreading, ...]:
    if args is None or args.defaulting_type == "System":
        if args is not None and args.default_constraints:
            raise ConfigurationError(f"{place}: defaultConstraints need defaultingType: List")
        return DEFAULT.spreading
    for each in args.default_constraints:
        if each.max_skew < 1 or not each.topology_key:
            raise ConfigurationError(f"{place}: a constraint needs a topologyKey and a maxSkew above 0")
        if each.when_unsatisfiable != "ScheduleAnyway":
            raise ConfigurationError(f"{place}: default constraints can only be ScheduleAnyway here")
    return tuple(Spreading(each.topology_key, each.max_skew) for each in args.default_constraints)


def _hard_weight(arguments: Arguments, place: str) -> int:
    if arguments.affinity is None:
        return DEFAULT.hard_affinity_weight
    weight = arguments.affinity.hard_pod_affinity_weight
    if not 0 <= weight <= 100:
        raise ConfigurationError(f"{place}: hardPodAffinityWeight is a number from 0 to 100")
    return weight


def _candidates(arguments: Arguments, place: str) -> Candidates:
    if arguments.preemption is None:
        return Candidates()
    percentage = arguments.preemption.min_candidate_nodes_percentage
    absolute = arguments.preemption.min_candidate_nodes_absolute
    if not 0 <= percentage <= 100:
        raise ConfigurationError(f"{place}: minCandidateNodesPercentage: {percentage}: not in valid range [0, 100]")
    if absolute < 0:
        raise ConfigurationError(f"{place}: minCandidateNodesAbsolute: {absolute}: not in valid range [0, inf)")
    if not percentage and not absolute:
        raise ConfigurationError(
            f"{place}: either minCandidateNodesPercentage or minCandidateNodesAbsolute must be > 0"
        )
    return Candidates(percentage, absolute)


def _bind_timeout(arguments: Arguments) -> float:
    return float(arguments.volumes.bind_timeout_seconds) if arguments.volumes is not None else 600.0


def _binding_timeout(arguments: Arguments, place: str) -> float:
    """How long devices may take to be ready, for whoever is slowest."""
    said = arguments.devices.binding_timeout if arguments.devices is not None else "600s"
    try:
        seconds = parse_duration(said).total_seconds()
    except CelError as error:
        raise ConfigurationError(f"{place}: bindingTimeout: {error}") from error
    if seconds < 1:
        raise ConfigurationError(f"{place}: bindingTimeout: {said}: must be at least 1 second")
    return seconds


def _converted(tree: Any, kind: type[T], place: str) -> T:
    try:
        return msgspec.convert(tree, kind)
    except msgspec.ValidationError as error:
        raise ConfigurationError(f"{place}: {error}" if place else str(error)) from error
