"""/v2/tasks and the tasks of apps: what runs, and killing it, with or without scaling down. Source: 2.1 and 2.4."""

from collections import Counter
from collections.abc import Collection, Sequence

from bireme.http.interface import Response
from bireme.marathon import instances, paths, schema, views
from bireme.marathon.calls import Call, json, result, unknown_route, wrong_method
from bireme.marathon.errors import bad_request, no_app, no_task
from bireme.marathon.instances import STAGED, Instance
from bireme.marathon.model import Root
from bireme.marathon.paths import PathId


async def handle(call: Call, rest: str) -> Response:
    """Answer a request under /v2/tasks."""
    rest = rest.strip("/")
    if rest == "delete":
        if call.method != "POST":
            raise wrong_method("POST")
        return await _delete(call)
    if rest:
        raise unknown_route()
    if call.method != "GET":
        raise wrong_method("GET")
    return _list(call)


def _list(call: Call) -> Response:
    query, core = call.request.query, call.core
    if "text/plain" in call.request.headers.get("accept", ""):
        return Response(200, _as_text(call).encode(), {}, "text/plain")
    wanted = {*query.all("status"), *query.all("status[]")}
    if wanted - {"running", "staging"}:
        raise bad_request("status must be running or staging")
    found = [
        views.task(each)
        for each in views.by_age(core.instances.values())
        if not wanted or ("running" in wanted and each.running) or ("staging" in wanted and each.state in STAGED)
    ]
    return json({"tasks": found})


def _as_text(call: Call) -> str:
    """One line for each service port: the app, the port, and host:port of each task."""
    lines = []
    for app in call.core.root.apps_within(paths.ROOT):
        running = [each for each in views.by_age(call.core.of_app(app.id)) if each.running]
        for index, port in enumerate(app.service_ports):
            places = [f"{each.host}:{each.port(index)}" for each in running if each.port(index)]
            lines.append("\t".join([paths.safe(app.id), str(port), *places, ""]))
        if not app.service_ports:
            lines.append("\t".join([paths.safe(app.id), " ", *(each.host for each in running), ""]))
    return "".join(f"{line}\n" for line in lines)


async def _delete(call: Call) -> Response:
    ids = call.body(schema.TASK_IDS)["ids"]
    known = [_find(call, each) for each in ids]
    bad = [each for each in ids if "." not in each]
    if bad:
        raise bad_request(f"task id {bad[0]} is invalid")
    return await _kill(call, [each for each in known if each is not None])


def _find(call: Call, name: str) -> Instance | None:
    found = call.core.instances.get(instances.instance_of(name))
    return found or next((each for each in call.core.instances.values() if each.task_id == name), None)


async def of_app(call: Call, path: PathId) -> Response:
    """/v2/apps/ID/tasks."""
    if path not in call.core.root.apps:
        raise no_app(path)
    members = views.by_age(call.core.of_app(path))
    match call.method:
        case "GET":
            return json({"tasks": [views.task(each) for each in members]})
        case "DELETE":
            host = call.request.query.get("host", "*") or "*"
            return await _kill(call, [each for each in members if host in ("*", each.host)])
    raise wrong_method("GET", "DELETE")


async def one_of_app(call: Call, path: PathId, task_id: str) -> Response:
    """/v2/apps/ID/tasks/TASK."""
    if path not in call.core.root.apps:
        raise no_app(path)
    if call.method != "DELETE":
        raise wrong_method("DELETE")
    instance = _find(call, task_id)
    if instance is None or instance.app_id != path:
        raise no_task(task_id)
    return await _kill(call, [instance], single=True)


async def _kill(call: Call, victims: Sequence[Instance], *, single: bool = False) -> Response:
    """Kill instances; with `scale` there are so many fewer afterwards, else others take their place."""
    core = call.core
    if call.flag("scale") and call.flag("wipe"):
        raise bad_request("You cannot use scale and wipe at the same time.")
    shown = [views.task(each) for each in victims]
    if call.flag("scale"):
        plan = await core.change(lambda root: _fewer(root, victims), force=call.flag("force"))
        core.decommission(victims)
        return result(plan)
    core.decommission(victims)
    return json({"task": shown[0]} if single else {"tasks": shown})


def _fewer(root: Root, victims: Collection[Instance]) -> Root:
    for path, number in Counter(each.app_id for each in victims if each.wanted).items():
        app = root.apps.get(path)
        if app is not None:
            root = root.with_app(app.with_fields(instances=max(0, app.instances - number)))
    return root
