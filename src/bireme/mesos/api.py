"""The master's door: one handler for the scheduler API, the operator API and the classic endpoints.

A path is served by the longest handler that begins it (walk-up routing), with `/master` in front or not, and with
an old `.json` at its end or not. `/health`, `/version` and `/redirect` are open; all else needs credentials,
unless the door is set to be insecure. Source: Mesos 1.11's HTTP API.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs

import orjson

from bireme.http.interface import Answer, Identity, Request, Response
from bireme.mesos import answers, classic, json_form, metrics, quota_calls
from bireme.mesos.answers import Authenticator, Refused, method_not_allowed, text
from bireme.mesos.master import Master
from bireme.mesos.messages import message
from bireme.mesos.operator_api import OperatorApi, flags, teardown, update_weights
from bireme.mesos.scheduler_api import SchedulerApi

READ_ONLY, READ_WRITE, SCHEDULER = "mesos-master-readonly", "mesos-master-readwrite", "mesos-master-scheduler"
OPEN = ""
_QUOTA_STATUS, _QUOTA_REQUEST = "mesos.v1.quota.QuotaStatus", "mesos.v1.quota.QuotaRequest"


@dataclass(frozen=True, slots=True)
class _Route:
    """A handler and the realm whose credentials it asks for."""

    realm: str
    handle: Callable[[Request, Identity | None], Awaitable[Answer]]


class MesosMaster:
    """The handler for port 5050. `authenticator` None lets everyone in, as does `insecure`."""

    def __init__(self, master: Master, *, authenticator: Authenticator | None = None, insecure: bool = False) -> None:
        self.master = master
        self._authenticator = authenticator
        self._insecure = insecure or master.settings.insecure
        self._routes = self._table()

    async def run(self) -> None:
        """The master itself, until cancelled."""
        await self.master.run()

    async def handle(self, request: Request) -> Answer:
        """Answer a request. Whatever the request, the answer is one that the original could give."""
        try:
            route = self._routes.get(_walk_up(request.path, self._routes))
            if route is None:
                return Response(404, b"", {}, "")
            identity = self._identity(request, route.realm)
            return await route.handle(request, identity)
        except Refused as refused:
            return refused.response()

    def _identity(self, request: Request, realm: str) -> Identity | None:
        if realm == OPEN or self._insecure:
            return None
        identity = request.peer.identity
        if identity is None and self._authenticator is not None:
            identity = self._authenticator.authenticate(request)
        if identity is None:
            raise answers.unauthorized(realm)
        return identity

    def _table(self) -> dict[str, _Route]:
        master = self.master
        found = {
            "/api/v1/scheduler": _Route(SCHEDULER, SchedulerApi(master).handle),
            "/api/v1": _Route(READ_WRITE, OperatorApi(master).handle),
            "/health": _Route(OPEN, _plain(lambda request: text(""))),
            "/version": _Route(OPEN, _reading(lambda request: classic.version())),
            "/redirect": _Route(OPEN, _plain(self._redirect)),
            "/teardown": _Route(READ_WRITE, _plain(self._teardown)),
            "/weights": _Route(READ_WRITE, _plain(self._weights)),
            "/quota": _Route(READ_WRITE, self._quota),
        }
        reads: dict[str, Callable[[Request], Any]] = {
            "/state": lambda request: classic.state(master),
            "/state-summary": lambda request: classic.state_summary(master),
            "/slaves": lambda request: classic.slaves(master, request.query.get("slave_id")),
            "/frameworks": lambda request: classic.frameworks(master, request.query.get("framework_id")),
            "/tasks": self._tasks,
            "/roles": lambda request: classic.roles(master),
            "/flags": lambda request: {"flags": flags(master)},
            "/metrics/snapshot": lambda request: metrics.snapshot(master),
            "/system/stats": lambda request: _system(),
            "/maintenance/schedule": lambda request: {},
            "/maintenance/status": lambda request: {},
        }
        found |= {path: _Route(READ_ONLY, _reading(self._once_ready(read))) for path, read in reads.items()}
        for path in ("/reserve", "/unreserve", "/create-volumes", "/destroy-volumes", "/machine/down", "/machine/up"):
            found[path] = _Route(READ_WRITE, _plain(_unsupported))
        return found

    def _once_ready(self, read: Callable[[Request], Any]) -> Callable[[Request], Any]:
        def guarded(request: Request) -> Any:
            if not self.master.ready.is_set():
                raise Refused(503, "Master has not finished recovery")
            return read(request)

        return guarded

    def _redirect(self, request: Request) -> Response:
        if request.path.rstrip("/").rpartition("/")[2] != "redirect":
            return Response(404, b"", {}, "")
        settings = self.master.settings
        return text("", status=307, headers={"Location": f"//{settings.hostname}:{settings.port}"})

    def _tasks(self, request: Request) -> Any:
        query = request.query
        return classic.tasks(
            self.master,
            limit=_number(query.get("limit"), 100),
            offset=_number(query.get("offset"), 0),
            ascending=query.get("order") == "asc",
            framework_id=query.get("framework_id"),
            task_id=query.get("task_id"),
        )

    def _teardown(self, request: Request) -> Response:
        if request.method != "POST":
            raise method_not_allowed(request, "POST")
        form = parse_qs(request.body.decode("utf-8", "replace"))
        framework_id = form.get("frameworkId")
        if not framework_id:
            raise Refused(400, "Missing 'frameworkId' query parameter")
        teardown(self.master, framework_id[0])
        return text("")

    async def _quota(self, request: Request, identity: Identity | None) -> Answer:
        """All quotas; POST sets one, DELETE of `/quota/ROLE` removes it."""
        master = self.master
        if not master.ready.is_set():
            raise Refused(503, "Master has not finished recovery")
        if request.method == "GET":
            return answers.json(json_form.write(quota_calls.status(master.quotas), message(_QUOTA_STATUS)), request)
        if request.method == "POST":
            try:
                wanted = json_form.parse(request.body, message(_QUOTA_REQUEST))
            except json_form.Malformed as error:
                raise Refused(400, f"Failed to parse set quota request JSON: {error}") from error
            await quota_calls.set_guarantee(master, wanted)
            return text("")
        if request.method == "DELETE":
            await quota_calls.remove(master, request.path.rstrip("/").partition("/quota/")[2])
            return text("")
        raise method_not_allowed(request, "GET", "POST", "DELETE")

    def _weights(self, request: Request) -> Response:
        weights = self.master.weights
        if request.method == "GET":
            return answers.json([{"role": role, "weight": weights[role]} for role in sorted(weights)], request)
        if request.method != "PUT":
            raise method_not_allowed(request, "GET", "PUT")
        try:
            infos = orjson.loads(request.body)
            infos = [{"role": str(each["role"]), "weight": float(each["weight"])} for each in infos]
        except (ValueError, TypeError, KeyError) as error:
            reason = f"Failed to parse update weights request JSON '{error}'"
            raise Refused(400, reason) from error
        update_weights(self.master, infos)
        return text("")


def _walk_up(path: str, routes: dict[str, _Route]) -> str:
    """The route that serves a path: segments are cut from the right until one matches; "" if none does."""
    path = path.rstrip("/")
    if path == "/master" or path.startswith("/master/"):
        path = path.removeprefix("/master")
    while path:
        for candidate in (path, path.removesuffix(".json")):
            if candidate in routes:
                return candidate
        path = path.rpartition("/")[0]
    return ""


def _plain(handle: Callable[[Request], Response]) -> Callable[[Request, Identity | None], Awaitable[Answer]]:
    async def answer(request: Request, identity: Identity | None) -> Answer:
        return handle(request)

    return answer


def _reading(read: Callable[[Request], Any]) -> Callable[[Request, Identity | None], Awaitable[Answer]]:
    async def answer(request: Request, identity: Identity | None) -> Answer:
        if request.method not in ("GET", "HEAD"):
            raise method_not_allowed(request, "GET")
        return answers.json(read(request), request)

    return answer


def _unsupported(request: Request) -> Response:
    if request.method != "POST":
        raise method_not_allowed(request, "POST")
    raise Refused(501, "Reservations, volumes and maintenance are not supported by this master")


def _number(given: str, default: int) -> int:
    return int(given) if given.isdecimal() and len(given) < 10 else default


def _system() -> dict[str, float]:
    found = metrics.system()
    return {
        "avg_load_1min": found["system/load_1min"],
        "avg_load_5min": found["system/load_5min"],
        "avg_load_15min": found["system/load_15min"],
        "cpus_total": found["system/cpus_total"],
        "mem_total_bytes": found["system/mem_total_bytes"],
        "mem_free_bytes": found["system/mem_free_bytes"],
    }
