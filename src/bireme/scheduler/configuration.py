"""Profiles and limits from a KubeSchedulerConfiguration, the file that kube-scheduler takes as `--config`.

Strict: an unknown field, plugin or value is an error that names its place. What has no meaning here (parallelism, a
share of nodes to look at, leader election, connections) is accepted and told of. Which plugins are on is read in
`configuration_plugins.py`. Source: the Kubernetes documentation (kube-scheduler-config.v1).
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from bireme.aio.backoff import Backoff
from bireme.api.codec import yaml
from bireme.api.errors import ApiError
from bireme.scheduler.configuration_arguments import bind_timeout, binding_timeout, with_arguments
from bireme.scheduler.configuration_error import ConfigurationError
from bireme.scheduler.configuration_file import Arguments, File, FileProfile
from bireme.scheduler.configuration_plugins import POINTS, camel, chosen_plugins
from bireme.scheduler.extender_settings import Extender, checked, ignored_resources
from bireme.scheduler.profile import DEFAULT, Profile, Score, Scorer

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
    for share in (file.percentage_of_nodes_to_score, *(each.percentage_of_nodes_to_score for each in file.profiles)):
        if not 0 <= (share or 0) <= 100:
            raise ConfigurationError(f"percentageOfNodesToScore: {share}: not in valid range [0-100]")
    if file.parallelism is not None and file.parallelism <= 0:
        raise ConfigurationError(f"parallelism: {file.parallelism}: should be an integer value greater than zero")
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
    place = f"{place}.pluginConfig"
    profile = Profile(
        name=name,
        weights={score: weights[score.value] for score in Score if score.value in weights},
        scorers=tuple(scorers),
        off=chosen.off,
        ignored=ignored,
    )
    return _Read(
        with_arguments(profile, arguments, place),
        chosen.preempts,
        bind_timeout(arguments, place),
        binding_timeout(arguments, place),
        chosen.warnings,
    )


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


def _converted(tree: Any, kind: type[T], place: str) -> T:
    try:
        return msgspec.convert(tree, kind)
    except msgspec.ValidationError as error:
        raise ConfigurationError(f"{place}: {error}" if place else str(error)) from error
