"""What to do now, so that an app's instances become what they should be.

Each decision looks at the instances as they are, not at what was done before, so a restart of Marathon in the
middle of a deployment loses nothing. While an app is replaced by a new version, at least `minHealthy` instances
serve and at most `maxCapacity` hold resources, those that are being killed among them:
minHealthy = ceil(instances * minimumHealthCapacity), maxCapacity = floor(instances * (1 + maximumOverCapacity));
where both are equal, one instance more is allowed, else nothing could move. Source: Marathon 1.11's REST API.
"""

import math
from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime

from bireme.marathon.instances import STAGED, Instance
from bireme.marathon.model import App
from bireme.marathon.placement import Site, value_at


@dataclass(frozen=True, slots=True)
class Todo:
    """Instances to kill, how many to launch, and whether nothing more is to come."""

    kill: tuple[Instance, ...] = ()
    launch: int = 0
    done: bool = False


def stop(instances: Collection[Instance]) -> Todo:
    """End them all."""
    return Todo(tuple(each for each in instances if each.wanted), 0, not instances)


def keep(app: App, instances: Collection[Instance]) -> Todo:
    """As many as wanted, of whatever version; done once all of them count."""
    wanted = [each for each in instances if each.wanted]
    surplus = len(wanted) - app.instances
    if surplus > 0:
        return Todo(tuple(victims(app, wanted, surplus)))
    dying = len(wanted) < len([each for each in instances if not _inactive(each)])
    done = surplus == 0 and not dying and all(each.counts for each in wanted)
    return Todo((), -surplus, done)


def shrink(app: App, instances: Collection[Instance]) -> Todo:
    """As `keep`, but done once no more than wanted are left, whatever state they are in."""
    todo = keep(app, instances)
    left = [each for each in instances if not _inactive(each)]
    return Todo(todo.kill, todo.launch, not todo.kill and len(left) <= app.instances)


def bounds(app: App, serving: int) -> tuple[int, int]:
    """(minHealthy, maxCapacity) while this many instances serve."""
    least = math.ceil(app.instances * app.minimum_health_capacity - 1e-9)
    most = math.floor(app.instances * (1 + app.maximum_over_capacity) + 1e-9)
    return least, most + 1 if least == most <= serving else most


def replace(app: App, instances: Collection[Instance]) -> Todo:
    """Instances of this version instead of older ones, step by step."""
    live = [each for each in instances if not _inactive(each)]
    fresh = [each for each in live if each.wanted and each.app.config_version == app.config_version]
    old = [each for each in live if each.wanted and each.app.config_version != app.config_version]
    serving = sum(each.serving for each in old) + sum(each.counts for each in fresh)
    least, most = bounds(app, serving)
    missing = max(0, app.instances - len(fresh))
    room = most - len(live)
    kill = victims(app, fresh, len(fresh) - app.instances)
    idle = [each for each in old if not each.serving]
    complete = sum(each.counts for each in fresh) >= app.instances
    kill += victims(app, idle, len(idle) if complete else max(serving - least, missing - room))
    kill += victims(app, [each for each in old if each.serving], serving - least)
    done = complete and len(fresh) == app.instances and len(live) == len(fresh)
    return Todo(tuple(kill), max(0, min(missing, room)), done)


def victims(app: App, instances: Iterable[Instance], number: int) -> list[Instance]:
    """Whom to kill: first out of reach, staging, unhealthy, where a GROUP_BY has most; then by killSelection."""
    left = sorted(instances, key=lambda each: (each.staged_at, each.id))
    if app.tree.get("killSelection", "YOUNGEST_FIRST") == "YOUNGEST_FIRST":
        left.reverse()
    left.sort(key=_worth)
    fields = [name for name, operator, *_ in app.constraints if operator == "GROUP_BY"]
    chosen: list[Instance] = []
    while left and len(chosen) < number:
        worst = [each for each in left if _worth(each) == _worth(left[0])]
        for name in fields:
            counts = Counter(value_at(site_of(each), name) for each in left)
            most = max(counts[value_at(site_of(each), name)] for each in worst)
            worst = [each for each in worst if counts[value_at(site_of(each), name)] == most]
        chosen.append(worst[0])
        left.remove(worst[0])
    return chosen


def _worth(instance: Instance) -> int:
    if instance.state == "TASK_UNREACHABLE":
        return 0
    if instance.state in STAGED:
        return 1
    return 3 if instance.serving else 2


def _inactive(instance: Instance) -> bool:
    """Out of reach and replaced: it holds no place any more."""
    return instance.state == "TASK_UNREACHABLE" and not instance.wanted


def site_of(instance: Instance) -> Site:
    """Where an instance is, for constraints."""
    return Site(instance.host, instance.region, instance.zone, instance.attributes)


def overdue(instance: Instance, now: datetime) -> str:
    """What is due for an instance out of reach: "expunge", "inactivate", or "" for nothing yet."""
    strategy = instance.app.unreachable
    if instance.state != "TASK_UNREACHABLE":
        return ""
    seconds = instance.unreachable_for(now).total_seconds()
    if strategy is None:
        return "" if instance.wanted or instance.goal == "Running" else "expunge"
    inactive, expunge = strategy
    if seconds >= expunge:
        return "expunge"
    return "inactivate" if seconds >= inactive and instance.wanted else ""
