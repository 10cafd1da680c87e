"""/v2/apps: apps, their versions and tasks. Source: Marathon 1.11's REST API."""

from bireme.http.interface import Response
from bireme.marathon import changes, label_query, paths, schema, tasks_api, views
from bireme.marathon.calls import Call, json, result, wrong_method
from bireme.marathon.errors import MarathonError, bad_request, no_app
from bireme.marathon.model import App, Root, Tree
from bireme.marathon.paths import PathId


async def handle(call: Call, rest: str) -> Response:
    """Answer a request under /v2/apps."""
    words = [word for word in rest.split("/") if word]
    if not words:
        return await _all(call)
    if words[-1] == "*" or words[-2:] == ["*", "tasks"]:
        return _of_group(call, words)
    match words:
        case [*path, "restart"] if path and call.method == "POST":
            return await _restart(call, _path(path))
        case [*path, "versions"] if path:
            return _versions(call, _path(path))
        case [*path, "versions", version] if path:
            return _version(call, _path(path), version)
        case [*path, "tasks"] if path:
            return await tasks_api.of_app(call, _path(path))
        case [*path, "tasks", task_id] if path:
            return await tasks_api.one_of_app(call, _path(path), task_id)
    return await _one(call, _path(words))


def _path(words: list[str]) -> PathId:
    return paths.absolute("/".join(words))


async def _all(call: Call) -> Response:
    match call.method:
        case "GET":
            return _list(call)
        case "POST":
            return await _create(call)
        case "PUT":
            return await _update_many(call, partial=call.flag("partialUpdate", default=True), create=True)
        case "PATCH":
            return await _update_many(call, partial=True, create=False)
    raise wrong_method("GET", "POST", "PUT", "PATCH")


def _list(call: Call) -> Response:
    core, query = call.core, call.request.query
    embed = views.ALWAYS_OF_LIST | views.embeds(query.all("embed"), ("apps", "app"))
    selects = label_query.parse(query.get("label")) if query.get("label") else None
    found = [
        views.app_info(core, app, embed)
        for app in core.root.apps_within(paths.ROOT)
        if query.get("cmd") in app.tree.get("cmd", "")
        and query.get("id") in app.id
        and (selects is None or selects(app.labels))
    ]
    return json({"apps": found})


def _of_group(call: Call, words: list[str]) -> Response:
    if call.method != "GET":
        raise wrong_method("GET")
    group = _path(words[: words.index("*")])
    apps = list(call.core.root.apps_within(group))
    if words[-1] == "tasks":
        found = {app.id: [views.task(each) for each in views.by_age(call.core.of_app(app.id))] for app in apps}
        return json({"tasks": found})
    embed = views.ALWAYS_OF_LIST | views.embeds(call.request.query.all("embed"), ("apps", "app"))
    return json({"*": [views.app_info(call.core, app, embed) for app in apps]})


async def _create(call: Call) -> Response:
    core = call.core
    tree = call.body(schema.APP)
    tree.pop("version", None)
    made: list[PathId] = []

    def make(root: Root) -> Root:
        new, path = changes.create_app(root, tree, core.settings.policy)
        made.append(path)
        return new

    plan = await core.change(make, force=call.flag("force"))
    app = core.root.apps[made[-1]]
    _tell(call, app.tree)
    headers = {"Location": app.id, "Marathon-Deployment-Id": plan.id}
    return json(views.new_app(core, app), status=201, headers=headers)


def _tell(call: Call, tree: Tree) -> None:
    request = call.request
    call.core.bus.post("api_post_event", clientIp=request.peer.address, uri=request.path, appDefinition=tree)


async def _update_many(call: Call, *, partial: bool, create: bool) -> Response:
    core = call.core
    updates = call.body(schema.APP_UPDATES)

    def make(root: Root) -> Root:
        for update in updates:
            path = paths.absolute(update["id"])
            if not create and path not in root.apps:
                raise no_app(path)
            root = _updated(call, root, path, update, partial=partial)
        return root

    plan = await core.change(make, force=call.flag("force"))
    for update in updates:
        _tell(call, core.root.apps[paths.absolute(update["id"])].tree)
    return result(plan)


def _updated(call: Call, root: Root, path: PathId, update: Tree, *, partial: bool) -> Root:
    core = call.core
    if set(update) <= {"id", "version"} and "version" in update:
        old = core.past.at("App", path, update["version"])
        if old is None or path not in root.apps:
            raise no_app(path, update["version"])
        return root.with_app(App({name: of for name, of in old.items() if name not in ("version", "versionInfo")}))
    return changes.update_app(root, path, update, core.settings.policy, partial=partial)


async def _one(call: Call, path: PathId) -> Response:
    core = call.core
    match call.method:
        case "GET":
            app = _known(call, path)
            embed = views.ALWAYS_OF_ONE | views.embeds(call.request.query.all("embed"), ("app", "apps"))
            return json({"app": views.app_info(core, app, embed)})
        case "PUT":
            return await _put(call, path, partial=call.flag("partialUpdate", default=True))
        case "PATCH":
            _known(call, path)
            return await _put(call, path, partial=True)
        case "DELETE":
            _known(call, path)
            plan = await core.change(lambda root: root.without_app(path), force=call.flag("force", default=True))
            return result(plan)
    raise wrong_method("GET", "PUT", "PATCH", "DELETE")


def _known(call: Call, path: PathId) -> App:
    app = call.core.root.apps.get(path)
    if app is None:
        raise no_app(path)
    return app


async def _put(call: Call, path: PathId, *, partial: bool) -> Response:
    core = call.core
    update = call.body(schema.APP_UPDATE)
    fresh = path not in core.root.apps
    plan = await core.change(
        lambda root: _updated(call, root, path, update, partial=partial), force=call.flag("force")
    )
    _tell(call, core.root.apps[path].tree)
    headers = {"Location": path} if fresh else None
    return result(plan, status=201 if fresh else 200, headers=headers)


async def _restart(call: Call, path: PathId) -> Response:
    _known(call, path)
    plan = await call.core.change(lambda root: root, force=call.flag("force"), restart=(path,))
    return result(plan)


def _versions(call: Call, path: PathId) -> Response:
    if call.method != "GET":
        raise wrong_method("GET")
    app = _known(call, path)
    return json({"versions": call.core.past.versions("App", path) or [app.version]})


def _version(call: Call, path: PathId, version: str) -> Response:
    if call.method != "GET":
        raise wrong_method("GET")
    try:
        schema.read(schema.moment, version)
    except MarathonError as error:
        raise bad_request(f"Invalid timestamp provided '{version}'. Expecting ISO-8601 datetime string.") from error
    found = call.core.past.at("App", path, version)
    if found is None:
        raise no_app(path, version) if path in call.core.root.apps else no_app(path)
    return json(found)
