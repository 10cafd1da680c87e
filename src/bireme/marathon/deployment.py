"""From two versions of the groups to ordered steps: what a deployment is to do.

First what is gone is stopped, then what is new is started with no instances; then the changed apps follow, those
first on which others depend: one step for each level of the dependency graph. Source: Marathon 1.11's REST API.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from functools import cached_property

from bireme.marathon import paths
from bireme.marathon.errors import unprocessable
from bireme.marathon.model import App, Group, Root
from bireme.marathon.paths import PathId

START, SCALE, RESTART, STOP = "StartApplication", "ScaleApplication", "RestartApplication", "StopApplication"


@dataclass(frozen=True, slots=True)
class Action:
    """One thing to do to one app."""

    kind: str
    app: PathId


@dataclass(frozen=True, slots=True)
class Side:
    """What changes, as it is on one side of the change; None where there is nothing."""

    apps: Mapping[PathId, App | None] = field(default_factory=dict)
    groups: Mapping[PathId, Group | None] = field(default_factory=dict)


@dataclass(frozen=True)
class Plan:
    """A deployment: from `original` to `target` in steps."""

    id: str
    version: str
    original: Side
    target: Side
    steps: tuple[tuple[Action, ...], ...]

    @cached_property
    def actions(self) -> Mapping[PathId, tuple[tuple[int, str], ...]]:
        """What is done to each app that something is done to: (step, kind) in order, steps counted from 0."""
        found: dict[PathId, tuple[tuple[int, str], ...]] = {}
        for place, step in enumerate(self.steps):
            for action in step:
                found[action.app] = (*found.get(action.app, ()), (place, action.kind))
        return found

    @property
    def affected(self) -> Collection[PathId]:
        """The apps that it does something to."""
        return self.actions.keys()


def difference(old: Root, new: Root) -> tuple[Side, Side]:
    """What changes between two roots, as it was and as it will be."""
    apps = [path for path in sorted({*old.apps, *new.apps}) if old.apps.get(path) != new.apps.get(path)]
    groups = [path for path in sorted({*old.groups, *new.groups}) if old.groups.get(path) != new.groups.get(path)]
    before, after = (
        Side({path: root.apps.get(path) for path in apps}, {path: root.groups.get(path) for path in groups})
        for root in (old, new)
    )
    return before, after


def plan(old: Root, new: Root, *, id: str, version: str) -> Plan:
    """The deployment that turns `old` into `new`. Raises MarathonError if dependencies go in circles."""
    before, after = difference(old, new)
    depth = levels(new)
    gone = [path for path, app in after.apps.items() if app is None]
    fresh = [path for path, app in after.apps.items() if app is not None and before.apps.get(path) is None]
    steps = [tuple(Action(STOP, path) for path in gone), tuple(Action(START, path) for path in fresh)]
    changed = {path: kind for path, app in after.apps.items() if (kind := _change(before.apps.get(path), app))}
    steps += (
        tuple(Action(kind, path) for path, kind in changed.items() if depth[path] == level)
        for level in sorted({depth[path] for path in changed})
    )
    return Plan(id, version, before, after, tuple(step for step in steps if step))


def _change(old: App | None, new: App | None) -> str:
    if new is None:
        return ""
    if old is None:
        return SCALE
    if old.config_version == new.config_version or new.instances == 0:
        return SCALE if old.instances != new.instances or old.config_version != new.config_version else ""
    return RESTART


def needs(root: Root, app: App) -> set[PathId]:
    """The apps that must be there before this one: its own dependencies and those of the groups around it."""
    named = {*app.dependencies}
    for group in paths.ancestors(app.id):
        named.update(root.groups[group].dependencies if group in root.groups else ())
    return {other.id for path in named for other in root.apps_within(path) if other.id != app.id}


def levels(root: Root) -> dict[PathId, int]:
    """How deep each app stands: 0 needs nothing, others one more than the deepest they need."""
    graph = {path: needs(root, app) for path, app in root.apps.items()}
    depth: dict[PathId, int] = {}
    left = dict(graph)
    level = 0
    while left:
        free = [path for path, others in left.items() if all(other in depth for other in others)]
        if not free:
            raise unprocessable("Dependency graph has cyclic dependencies.")
        depth.update(dict.fromkeys(free, level))
        for path in free:
            del left[path]
        level += 1
    return depth


def revert(current: Root, plan: Plan) -> Root:
    """The groups without what a plan changed, later changes of other apps kept."""
    apps = {path: app for path, app in current.apps.items() if path not in plan.target.apps}
    groups = {path: group for path, group in current.groups.items() if path not in plan.target.groups}
    apps |= {path: app for path, app in plan.original.apps.items() if app is not None}
    groups |= {path: group for path, group in plan.original.groups.items() if group is not None}
    return Root(apps, groups)


def apply(current: Root, side: Side) -> Root:
    """The groups with one side of a plan put in."""
    apps = {**current.apps, **side.apps}
    groups = {**current.groups, **side.groups}
    return Root(
        {path: app for path, app in apps.items() if app is not None},
        {path: group for path, group in groups.items() if group is not None},
    )
