"""The steps of a Deployment: how many pods each of its ReplicaSets should have next.

A rolling update makes new pods while there are at most `replicas + surge` pods in all, and removes old ones while
at least `replicas - unavailable` are available; old pods that are not available go first, since nobody misses
them. A resize in the middle of an update shares the change among the sets by their size. Plain functions over
ReplicaSets as they are; each step is decided afresh from what is.

Source: the Kubernetes documentation; Kubernetes' `pkg/controller/deployment` for the order of things.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from bireme.api.kinds import apps
from bireme.api.model import IntOrString
from bireme.controllers.revisions import DESIRED, MAXIMUM, created_order

Sizes = dict[str, int]
"""Wanted replicas by name of ReplicaSet."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """How many pods may be above the wanted number, and how many below it unavailable."""

    surge: int = 0
    unavailable: int = 0


def scaled(value: IntOrString | None, total: int, *, round_up: bool) -> int:
    """A number, or a percentage of `total`; what cannot be read is 0."""
    if value is None or isinstance(value, int):
        return value or 0
    text = value.removesuffix("%")
    if not text.isdecimal():
        return 0
    if text == value:
        return int(text)
    return -(-int(text) * total // 100) if round_up else int(text) * total // 100


def replicas_of(obj: apps.Deployment | apps.ReplicaSet) -> int:
    """`spec.replicas`, 1 when unset."""
    return 1 if obj.spec.replicas is None else obj.spec.replicas


def is_rolling(deployment: apps.Deployment) -> bool:
    """The strategy is RollingUpdate, as it is by default."""
    strategy = deployment.spec.strategy
    return strategy is None or strategy.type != "Recreate"


def bounds(deployment: apps.Deployment) -> Bounds:
    """Surge (rounded up) and unavailability (rounded down) in pods; if both came to 0 no step were possible."""
    if not is_rolling(deployment):
        return Bounds()
    total = replicas_of(deployment)
    strategy = deployment.spec.strategy
    rolling = (strategy.rolling_update if strategy else None) or apps.RollingUpdateDeployment()
    surge = scaled("25%" if rolling.max_surge is None else rolling.max_surge, total, round_up=True)
    down = scaled("25%" if rolling.max_unavailable is None else rolling.max_unavailable, total, round_up=False)
    if not surge and not down:
        down = 1
    return Bounds(surge, min(down, total))


def total(replica_sets: Iterable[apps.ReplicaSet]) -> int:
    """Replicas wanted of all these sets."""
    return sum(replicas_of(item) for item in replica_sets)


def available(replica_sets: Iterable[apps.ReplicaSet]) -> int:
    """Replicas available in all these sets."""
    return sum(available_of(item) for item in replica_sets)


def available_of(item: apps.ReplicaSet) -> int:
    """Replicas available of one set, of those it still wants: its status may be older than its last step."""
    return min(item.status.available_replicas or 0, replicas_of(item))


def new_size(deployment: apps.Deployment, new_replicas: int, all_sets: Sequence[apps.ReplicaSet]) -> int:
    """Wanted replicas of the new set, which now wants `new_replicas`; `all_sets` has it, if it exists."""
    wanted = replicas_of(deployment)
    if not is_rolling(deployment) or new_replicas > wanted:
        return wanted
    room = wanted + bounds(deployment).surge - total(all_sets)
    return new_replicas + max(0, min(room, wanted - new_replicas))


def rolling_step(deployment: apps.Deployment, new: apps.ReplicaSet, old: Sequence[apps.ReplicaSet]) -> Sizes:
    """The next sizes in a rolling update: the new set's, or, if that stays, the old ones'; empty: nothing to do."""
    size = new_size(deployment, replicas_of(new), [new, *old])
    if size != replicas_of(new):
        return {new.metadata.name: size}
    return _shrink_old(deployment, new, sorted(old, key=created_order))


def _shrink_old(deployment: apps.Deployment, new: apps.ReplicaSet, old: Sequence[apps.ReplicaSet]) -> Sizes:
    minimum = replicas_of(deployment) - bounds(deployment).unavailable
    new_missing = replicas_of(new) - available_of(new)
    may_go = total(old) + replicas_of(new) - minimum - new_missing
    if may_go <= 0:
        return {}
    sizes = {item.metadata.name: replicas_of(item) for item in old}
    for item in old:  # those that are not available first
        name = item.metadata.name
        going = min(may_go, sizes[name] - available_of(item))
        sizes[name] -= going
        may_go -= going
    spare = min(may_go, available([new, *old]) - minimum)
    for item in old:
        name = item.metadata.name
        going = max(0, min(sizes[name], spare))
        sizes[name] -= going
        spare -= going
    return {item.metadata.name: size for item in old if (size := sizes[item.metadata.name]) != replicas_of(item)}


def recreate_step(
    deployment: apps.Deployment, new: apps.ReplicaSet | None, old: Sequence[apps.ReplicaSet], *, old_pods_live: bool
) -> Sizes:
    """The next sizes when all old pods must be gone before the first new one starts."""
    shrinking = {item.metadata.name: 0 for item in old if replicas_of(item)}
    if shrinking or old_pods_live or new is None or replicas_of(new) == replicas_of(deployment):
        return shrinking
    return {new.metadata.name: replicas_of(deployment)}


def is_resize(deployment: apps.Deployment, replica_sets: Iterable[apps.ReplicaSet]) -> bool:
    """The wanted number changed since the sets that have pods were last scaled."""
    wanted = str(replicas_of(deployment))
    return any(item.metadata.annotations.get(DESIRED, wanted) != wanted for item in replica_sets if replicas_of(item))


def resize(deployment: apps.Deployment, new: apps.ReplicaSet | None, old: Sequence[apps.ReplicaSet]) -> Sizes:
    """Sizes after the wanted number changed: all the sets that should learn of it, even where the size stays."""
    wanted = replicas_of(deployment)
    single = _only_active(new, old)
    if single is not None:
        return {single.metadata.name: wanted}
    if new is not None and _is_saturated(deployment, new):
        return {item.metadata.name: 0 for item in old if replicas_of(item)}
    active = [item for item in ([new] if new else []) + list(old) if replicas_of(item)]
    return (
        _shared(deployment, active) if is_rolling(deployment) else {i.metadata.name: replicas_of(i) for i in active}
    )


def _only_active(new: apps.ReplicaSet | None, old: Sequence[apps.ReplicaSet]) -> apps.ReplicaSet | None:
    """The one set that has pods; with none, the new set or else the youngest; None where several have."""
    active = [item for item in ([new] if new else []) + list(old) if replicas_of(item)]
    if active:
        return active[0] if len(active) == 1 else None
    return new or max(old, key=created_order, default=None)


def _is_saturated(deployment: apps.Deployment, new: apps.ReplicaSet) -> bool:
    wanted = replicas_of(deployment)
    return (
        new.metadata.annotations.get(DESIRED) == str(wanted)
        and replicas_of(new) == wanted
        and new.status.available_replicas == wanted
    )


def _shared(deployment: apps.Deployment, active: Sequence[apps.ReplicaSet]) -> Sizes:
    wanted = replicas_of(deployment)
    allowed = wanted + bounds(deployment).surge if wanted else 0
    adding = allowed - total(active)
    by_size = sorted(active, key=created_order, reverse=adding > 0)
    by_size.sort(key=replicas_of, reverse=True)
    sizes: Sizes = {}
    added = 0
    for item in by_size:
        share = _share(deployment, item, left=adding - added) if adding else 0
        sizes[item.metadata.name] = replicas_of(item) + share
        added += share
    left = adding - added
    for item in by_size:  # what rounding left over goes to the biggest, and on where that has no more to give
        name = item.metadata.name
        part = max(left, -sizes[name])
        sizes[name] += part
        left -= part
    return sizes


def _share(deployment: apps.Deployment, item: apps.ReplicaSet, *, left: int) -> int:
    """What a set gains or loses of a change, in proportion to its size when the change came."""
    size, wanted = replicas_of(item), replicas_of(deployment)
    if not size or not left:
        return 0
    if not wanted:
        fraction = -size
    else:
        text = item.metadata.annotations.get(MAXIMUM, "")
        before = int(text) if text.isdecimal() else deployment.status.replicas or 0
        if not before:
            return 0
        after = wanted + bounds(deployment).surge
        fraction = math.floor(size * after / before + 0.5) - size
    return min(fraction, left) if left > 0 else max(fraction, left)
