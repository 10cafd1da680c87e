"""What requests do to the groups: each a function from one root to the next, checked and stamped at the end.

`settle` closes every change: it gives roles and service ports, finds what breaks rules, and stamps what really
changed with the new version. Source: Marathon 1.11's REST API.
"""

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace

from bireme.marathon import paths, rules
from bireme.marathon.deployment import levels
from bireme.marathon.errors import MarathonError, Problem, app_exists, invalid, unprocessable
from bireme.marathon.model import App, Group, Root, Tree
from bireme.marathon.normalize import Defaults, complete, merge, modern
from bireme.marathon.paths import PathId


@dataclass(frozen=True, slots=True)
class Policy:
    """What Marathon was told about the apps that it takes."""

    role: str = "*"
    ports: range = range(10_000, 20_000)
    max_apps: int = 0
    defaults: Defaults = field(default_factory=Defaults)


def create_app(root: Root, tree: Tree, policy: Policy) -> tuple[Root, PathId]:
    """A new app. Raises MarathonError if there is one of that id."""
    app = App(complete(modern(tree), policy.defaults))
    if app.id in root.apps:
        raise app_exists(app.id)
    return root.with_app(app), app.id


def update_app(root: Root, path: PathId, update: Tree, policy: Policy, *, partial: bool = True) -> Root:
    """An app with the fields of an update, or if not `partial` as the update says; made if it is not there."""
    new = modern(update)
    if "id" in new and new["id"] != path:
        raise invalid([Problem("/id", f"the id {new['id']} differs from the path {path}")])
    if "version" in new:
        if set(new) - {"id", "version"}:
            raise invalid([Problem("/version", "The 'version' field may only be combined with the 'id' field.")])
        raise unprocessable("the version to go back to is not known")
    new["id"] = path
    existing = root.apps.get(path)
    if existing is not None:
        if partial:
            new = merge(existing.tree, new)
        elif "role" in existing.tree:
            new.setdefault("role", existing.role)
    return root.with_app(App(complete(new, policy.defaults)))


def update_group(root: Root, path: PathId, update: Tree, policy: Policy) -> Root:
    """A group as an update says: lists that are there replace, those that are not leave things be."""
    if "scaleBy" in update:
        if set(update) - {"id", "scaleBy"}:
            raise invalid([Problem("/scaleBy", "scaleBy may only be combined with id")])
        return scale_group(root, path, update["scaleBy"])
    group = root.group(path) or Group(path)
    if "dependencies" in update:
        needs = tuple(paths.absolute(each, path) for each in update["dependencies"])
        group = replace(group, dependencies=needs)
    if "enforceRole" in update:
        group = replace(group, enforce_role=update["enforceRole"])
    root = root.with_group(group)
    if "apps" in update:
        root = _replace_apps(root, path, update["apps"], policy)
    if "groups" in update:
        root = _replace_groups(root, path, update["groups"], policy)
    return root


def _replace_apps(root: Root, path: PathId, trees: list[Tree], policy: Policy) -> Root:
    old = {app.id: app for app in root.apps_in(path)}
    for name in old:
        root = root.without_app(name)
    for place, tree in enumerate(trees):
        new = modern(tree, base=path)
        new.pop("version", None)
        if paths.parent(new["id"]) != path or new["id"] == paths.ROOT:
            text = f"Identifier {new['id']} is not child of '{path}'"
            raise invalid([Problem(f"/apps({place})/id", text)])
        if new["id"] in root.apps:
            raise invalid([Problem(f"/apps({place})/id", f"the id {new['id']} is given twice")])
        if new["id"] in old and "role" in old[new["id"]].tree:
            new.setdefault("role", old[new["id"]].role)
        root = root.with_app(App(complete(new, policy.defaults)))
    return root


def _replace_groups(root: Root, path: PathId, updates: list[Tree], policy: Policy) -> Root:
    ids = [paths.absolute(each["id"], path) for each in updates]
    for place, each in enumerate(ids):
        if paths.parent(each) != path or each == paths.ROOT:
            raise invalid([Problem(f"/groups({place})/id", f"Identifier {each} is not child of '{path}'")])
    for gone in set(root.groups_in(path)) - set(ids):
        root = root.without(gone)
    for each, update in zip(ids, updates, strict=True):
        root = update_group(root, each, update, policy)
    return root


def scale_group(root: Root, path: PathId, factor: float) -> Root:
    """Every app of a group with so many times its instances, rounded up."""
    for app in list(root.apps_within(path)):
        root = root.with_app(app.with_fields(instances=math.ceil(app.instances * factor - 1e-9)))
    return root


def settle(
    old: Root,
    new: Root,
    *,
    version: str,
    policy: Policy,
    restart: Collection[PathId] = (),
    known: Mapping[PathId, App | None] | None = None,
) -> Root:
    """`new` with roles, service ports and stamps. Raises MarathonError for what it may not be.

    An app that is again what `known` says it was keeps the stamp it had then, so that its tasks of that time stay.
    """
    new = _with_roles(old, new, policy)
    new = _with_service_ports(old, new, policy.ports)
    changed = [app for path, app in new.apps.items() if path not in old.apps or not app.same_as(old.apps[path])]
    _check(new, changed, policy)
    levels(new)
    apps = dict(new.apps)
    for path, app in new.apps.items():
        before = old.apps.get(path)
        if app in changed or path in restart:
            apps[path] = _stamped(app, before, version, restart=path in restart, once=(known or {}).get(path))
        elif before is not None:
            apps[path] = before
    groups = {
        path: group
        if (before_group := old.groups.get(path)) is not None
        and replace(group, version=before_group.version) == before_group
        else replace(group, version=version)
        for path, group in new.groups.items()
    }
    return Root(apps, groups)


def _stamped(app: App, before: App | None, version: str, *, restart: bool, once: App | None = None) -> App:
    info: Mapping[str, str] = {"lastScalingAt": version, "lastConfigChangeAt": version}
    for like in (before, once):
        if like is not None and not restart and app.same_as(like, but=frozenset(("instances",))):
            info = {"lastScalingAt": version, "lastConfigChangeAt": like.config_version}
            break
    return app.with_fields(version=version, versionInfo=dict(info))


def _with_roles(old: Root, new: Root, policy: Policy) -> Root:
    apps = dict(new.apps)
    for path, app in new.apps.items():
        top = paths.top_group(path)
        group = new.groups.get(top)
        if group is not None and top != paths.ROOT and group.enforce_role:
            wanted = top[1:]
            if app.tree.get("role") is not None and app.role != wanted and path not in old.apps:
                text = f"the role must be {wanted}: the group {top} enforces its role"
                raise invalid([Problem("/role", text)])
            apps[path] = app.with_fields(role=wanted)
        elif app.tree.get("role") is None:
            apps[path] = app.with_fields(role=policy.role)
    return replace(new, apps=apps)


def _with_service_ports(old: Root, new: Root, numbers: range) -> Root:
    taken = {port for app in new.apps.values() for port in app.service_ports if port}
    taken |= {port for path, app in old.apps.items() if path in new.apps for port in app.service_ports}
    free = iter([port for port in numbers if port not in taken] if _lacking(new) else ())
    apps = dict(new.apps)
    for path, app in new.apps.items():
        if 0 not in app.service_ports:
            continue
        known = old.apps[path].service_ports if path in old.apps else []
        given = list(app.service_ports)
        kept = [port for port in known if port not in given]
        for place, port in enumerate(given):
            if port == 0:
                again = known[place] if place < len(known) and known[place] in kept else 0
                given[place] = again or _next(free, numbers)
        apps[path] = _with_numbers(app, given)
    return replace(new, apps=apps)


def _lacking(root: Root) -> bool:
    return any(0 in app.service_ports for app in root.apps.values())


def _next(free: "object", numbers: range) -> int:
    port = next(free, None)  # type: ignore[call-overload]
    if port is None:
        text = f"All ports in the range [{numbers.start}-{numbers.stop}) are already in use"
        raise unprocessable(text)
    return int(port)


def _with_numbers(app: App, numbers: list[int]) -> App:
    if app.mode == "host":
        pairs = zip(app.definitions, numbers, strict=True)
        return app.with_fields(portDefinitions=[{**tree, "port": port} for tree, port in pairs])
    mappings = [{**tree, "servicePort": port} for tree, port in zip(app.mappings, numbers, strict=True)]
    return app.with_fields(container={**app.container, "portMappings": mappings})


def _check(root: Root, changed: Collection[App], policy: Policy) -> None:
    if policy.max_apps and len(root.apps) > policy.max_apps:
        raise MarathonError(403, f"Max number ({policy.max_apps}) of apps is reached.")
    for path in root.apps:
        if path in root.paths:
            raise MarathonError(409, f"An app with the path {path} already exists.")
    found = [problem for app in changed for problem in rules.problems(app)]
    if found:
        raise invalid(found)
    for group in root.groups.values():
        reason = paths.problem(group.id) if group.id != paths.ROOT else None
        if reason or (group.id != paths.ROOT and paths.is_reserved(group.id)):
            raise invalid([Problem("/id", reason or f"{group.id} ends with a reserved word")])
