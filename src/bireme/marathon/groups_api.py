"""/v2/groups: groups, what they hold, and how they were. Source: Marathon 1.11's REST API."""

import uuid

from bireme.http.interface import Response
from bireme.marathon import changes, deployment, paths, records, schema, views
from bireme.marathon.calls import Call, json, result, wrong_method
from bireme.marathon.core import steps_tree
from bireme.marathon.errors import MarathonError, Problem, invalid, no_group, unprocessable
from bireme.marathon.model import App, Group, Root, Tree
from bireme.marathon.paths import ROOT, PathId

_PARTS = frozenset(("groups", "apps", "pods"))


async def handle(call: Call, rest: str) -> Response:
    """Answer a request under /v2/groups."""
    words = [word for word in rest.split("/") if word]
    match words:
        case [*path, "versions"]:
            return _versions(call, _path(path))
        case [*path, "versions", version]:
            return _show(call, _path(path), _as_of(call, _path(path), version))
        case [*path, "apps"] if call.method == "GET":
            return _apps(call, _path(path))
    path_id = _path(words)
    match call.method:
        case "GET":
            return _show(call, path_id, call.core.root)
        case "POST":
            return await _create(call, path_id)
        case "PUT":
            return await _put(call, path_id)
        case "PATCH":
            return await _patch(call, path_id)
        case "DELETE":
            _known(call.core.root, path_id)
            return result(await call.core.change(lambda root: root.without(path_id), force=call.flag("force")))
    raise wrong_method("GET", "POST", "PUT", "PATCH", "DELETE")


def _path(words: list[str]) -> PathId:
    return paths.absolute("/".join(words))


def _known(root: Root, path: PathId) -> None:
    if not root.has_group(path):
        raise no_group(path)


def _show(call: Call, path: PathId, root: Root) -> Response:
    _known(root, path)
    given = call.request.query.all("embed")
    parts = {each.removeprefix("group.") for each in given if each in ("group.groups", "group.apps", "group.pods")}
    apps = views.embeds(given, ("group.apps", "groups.apps"))
    if apps:
        parts |= {"apps"}
    return json(views.group_info(call.core, root, path, embed=parts or _PARTS, apps=apps | {"counts"}))


def _apps(call: Call, path: PathId) -> Response:
    _known(call.core.root, path)
    embed = views.ALWAYS_OF_LIST | views.embeds(call.request.query.all("embed"), ("apps", "app", "group.apps"))
    return json([views.app_info(call.core, app, embed) for app in call.core.root.apps_within(path)])


def _versions(call: Call, path: PathId) -> Response:
    if call.method != "GET":
        raise wrong_method("GET")
    _known(call.core.root, path)
    stamps = {
        at for (_, name), entries in call.core.past.stamps().items() if paths.is_within(name, path) for at in entries
    }
    return json(sorted(stamps, reverse=True))


def _as_of(call: Call, path: PathId, version: str) -> Root:
    """Everything as it was at a version. Raises MarathonError if there was no such version of the group."""
    past = call.core.past
    stamps = {at for (_, name), entries in past.stamps().items() if paths.is_within(name, path) for at in entries}
    if version not in stamps:
        raise no_group(path, version)
    apps = {name: App(tree) for name, tree in past.as_of("App", version).items()}
    groups = {name: records.read_group_tree(tree) for name, tree in past.as_of("Group", version).items()}
    return Root(apps, groups)


async def _create(call: Call, base: PathId) -> Response:
    update = call.body(schema.GROUP_UPDATE)
    path = paths.absolute(update["id"], base) if "id" in update else base
    root = call.core.root
    if path in root.apps:
        raise MarathonError(409, f"An app with the path {path} already exists.")
    if root.has_group(path):
        raise MarathonError(409, f"Group {path} is already created. Use PUT to change this group.")
    plan = await call.core.change(lambda now: _updated(call, now, path, update), force=call.flag("force"))
    return result(plan, status=201, headers={"Location": path})


async def _put(call: Call, base: PathId) -> Response:
    update = call.body(schema.GROUP_UPDATE)
    path = paths.absolute(update["id"], base) if "id" in update and base == ROOT else base
    core = call.core
    if path in core.root.apps:
        raise MarathonError(409, f"An app with the path {path} already exists.")
    if call.flag("dryRun"):
        version = core.next_version()
        wanted = _updated(call, core.root, path, update)
        new = changes.settle(core.root, wanted, version=version, policy=core.settings.policy)
        plan = deployment.plan(core.root, new, id=str(uuid.UUID(int=0)), version=version)
        return json({"steps": steps_tree(plan)})
    plan = await core.change(lambda root: _updated(call, root, path, update), force=call.flag("force"))
    return result(plan)


def _updated(call: Call, root: Root, path: PathId, update: Tree) -> Root:
    if "version" not in update:
        return changes.update_group(root, path, update, call.core.settings.policy)
    if set(update) - {"id", "version"}:
        raise invalid([Problem("/version", "version may only be combined with id")])
    try:
        old = _as_of(call, path, update["version"])
    except MarathonError as error:
        raise unprocessable(f"Group {path} not available in version {update['version']}") from error
    kept = root.without(path) if path != ROOT else Root()
    skip = ("version", "versionInfo")
    apps = {
        app.id: App({name: of for name, of in app.tree.items() if name not in skip}) for app in old.apps_within(path)
    }
    groups = {name: group for name, group in old.groups.items() if paths.is_within(name, path)}
    return Root({**kept.apps, **apps}, {**kept.groups, **groups})


async def _patch(call: Call, path: PathId) -> Response:
    update = call.body(schema.GROUP_PATCH)
    _known(call.core.root, path)
    if path == ROOT or paths.parent(path) != ROOT:
        raise invalid([Problem("/enforceRole", "enforceRole can only be changed on top-level groups")])
    group = call.core.root.group(path) or Group(path)
    if "enforceRole" in update:
        new = Group(path, group.version, group.dependencies, update["enforceRole"])
        await call.core.change(lambda root: root.with_group(new), force=call.flag("force"))
    return json({})
