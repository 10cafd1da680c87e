"""Which plugins a profile has at which extension point, from what its file enables and disables.

As in the original, the defaults stand under `multiPoint` and reach every point that they have; what a profile says of
one point goes before what it says of all. Several points of one plugin are one here (a rule looks, reserves and
prepares, or does nothing of that), so those that prepare a filter can't be off while it is on; a plugin whose filter
is off does nothing but score. Source: the Kubernetes documentation (scheduler configuration).
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from bireme.scheduler.configuration_error import ConfigurationError
from bireme.scheduler.configuration_file import Plugin, Plugins
from bireme.scheduler.profile import WEIGHTS, Score, Scorer

POINTS: Mapping[str, tuple[str, ...]] = {
    "SchedulingGates": ("pre_enqueue",),
    "PrioritySort": ("queue_sort",),
    "NodeUnschedulable": ("filter",),
    "NodeName": ("filter",),
    "TaintToleration": ("filter", "pre_score", "score"),
    "NodeAffinity": ("pre_filter", "filter", "pre_score", "score"),
    "NodePorts": ("pre_filter", "filter"),
    "NodeResourcesFit": ("pre_filter", "filter", "pre_score", "score"),
    "NodeDeclaredFeatures": ("pre_filter", "filter"),
    "VolumeRestrictions": ("pre_filter", "filter"),
    "NodeVolumeLimits": ("pre_filter", "filter"),
    "VolumeBinding": ("pre_filter", "filter", "reserve", "pre_bind", "pre_score", "score"),
    "VolumeZone": ("pre_filter", "filter"),
    "PodTopologySpread": ("pre_filter", "filter", "pre_score", "score"),
    "InterPodAffinity": ("pre_filter", "filter", "pre_score", "score"),
    "DynamicResources": ("pre_enqueue", "pre_filter", "filter", "post_filter", "reserve", "pre_bind", "score"),
    "GangScheduling": ("pre_enqueue", "reserve", "permit"),
    "DefaultPreemption": ("pre_enqueue", "post_filter"),
    "NodeResourcesBalancedAllocation": ("pre_score", "score"),
    "ImageLocality": ("score",),
    "DefaultBinder": ("bind",),
}
"""The built-in plugins with their extension points; all are on by default."""
DECIDING = ("filter", "permit")
"""The points at which it is decided whether a plugin has a say about nodes."""
PREPARING = ("pre_enqueue", "pre_filter", "reserve", "pre_bind")
GATES = "SchedulingGates"
WORDS = {
    "pre_enqueue": "PreEnqueue",
    "queue_sort": "QueueSort",
    "pre_filter": "PreFilter",
    "post_filter": "PostFilter",
}


@dataclass(frozen=True, slots=True)
class Chosen:
    """What a profile has: the weights of what scores, the names of the built-in plugins that have no say about
    nodes, of users' filters that have, and whether pods may be evicted. `warnings`: what was asked for in vain."""

    weights: Mapping[str, int]
    off: frozenset[str]
    filters: frozenset[str]
    preempts: bool
    warnings: tuple[str, ...] = ()


def chosen_plugins(plugins: Plugins, known: Mapping[str, Scorer], profile: str, place: str) -> Chosen:
    """What the profile of this name has, `known` being users' plugins. Raises ConfigurationError."""
    points = {**POINTS, **{name: _points_of(scorer) for name, scorer in known.items()}}
    _check_names(plugins, points, place)
    on = {
        point: _enabled(plugins, point, points, place)
        for point in plugins.__struct_fields__
        if point != "multi_point"
    }
    if len(on["queue_sort"]) != 1:
        text = f"only one queue sort plugin required for profile with scheduler name {profile!r}"
        raise ConfigurationError(f"{place}: {text}, but got {len(on['queue_sort'])}")
    if not on["bind"]:
        raise ConfigurationError(
            f"{place}: at least one bind plugin is needed for profile with scheduler name {profile!r}"
        )
    _check_whole(on, place)
    deciding = {name for point in DECIDING for name in on[point]}
    return Chosen(
        weights=on["score"],
        off=frozenset(name for name, at in POINTS.items() if set(at) & set(DECIDING)) - deciding,
        filters=frozenset(on["filter"].keys() & known.keys()),
        preempts="DefaultPreemption" in on["post_filter"],
        warnings=() if GATES in on["pre_enqueue"] else (f"{GATES} stays on: a pod with gates cannot be bound",),
    )


def _points_of(scorer: Scorer) -> tuple[str, ...]:
    return (*(["filter"] if scorer.filter is not None else []), *(["score"] if scorer.score is not None else []))


def _check_names(plugins: Plugins, points: Mapping[str, tuple[str, ...]], place: str) -> None:
    for point in plugins.__struct_fields__:
        named = getattr(plugins, point)
        for plugin in (*named.enabled, *named.disabled):
            if plugin.name not in points and not (plugin.name == "*" and plugin in named.disabled):
                raise ConfigurationError(f"{place}.{camel(point)}: plugin {plugin.name!r} does not exist")
        for plugin in named.enabled:
            if point != "multi_point" and point not in points[plugin.name]:
                raise ConfigurationError(
                    f"{place}.{camel(point)}: plugin {plugin.name!r} does not extend {_word(point)} plugin"
                )
        names = [plugin.name for plugin in named.enabled]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ConfigurationError(f"{place}.{camel(point)}: plugin {twice[0]!r} already registered")


def _enabled(plugins: Plugins, point: str, points: Mapping[str, tuple[str, ...]], place: str) -> Mapping[str, int]:
    """The plugins at one point with their weights, 1 where none is given."""
    everywhere = {name: WEIGHTS.get(Score(name), 1) if name in set(Score) else 1 for name in POINTS}
    off = {plugin.name for plugin in plugins.multi_point.disabled}
    everywhere = {} if "*" in off else {name: weight for name, weight in everywhere.items() if name not in off}
    everywhere |= {plugin.name: _weight(plugin, place) for plugin in plugins.multi_point.enabled}
    own = getattr(plugins, point)
    off = {plugin.name for plugin in own.disabled}
    reached = {} if "*" in off else {name: weight for name, weight in everywhere.items() if name not in off}
    reached |= {plugin.name: _weight(plugin, place) for plugin in own.enabled}
    return {name: weight for name, weight in reached.items() if point in points[name]}


def _weight(plugin: Plugin, place: str) -> int:
    if plugin.weight < 0:
        raise ConfigurationError(f"{place}: the weight of {plugin.name} is below 0")
    return plugin.weight or 1


def _check_whole(on: Mapping[str, Mapping[str, int]], place: str) -> None:
    """Raises ConfigurationError where a filter or a score would be left without what prepares it."""
    for name, needed, by in _needs():
        if name in on[by] and name not in on[needed]:
            raise ConfigurationError(
                f"{place}.{camel(needed)}: {name} cannot be switched off there alone, but together with {camel(by)}"
            )


def _needs() -> Iterator[tuple[str, str, str]]:
    for name, points in POINTS.items():
        for by in DECIDING:
            if by in points:
                yield from ((name, needed, by) for needed in PREPARING if needed in points)
        if "pre_score" in points and "score" in points:
            yield name, "pre_score", "score"


def camel(field: str) -> str:
    """A field as the file spells it."""
    first, *rest = field.split("_")
    return first + "".join(word.capitalize() for word in rest)


def _word(point: str) -> str:
    return WORDS.get(point, "".join(part.capitalize() for part in point.split("_")))
