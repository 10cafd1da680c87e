"""The door on 8080: who asks, what for, and the answer. Source: Marathon 1.11's REST API."""

import gzip
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Protocol

from bireme.api.errors import ApiError
from bireme.http.interface import Answer, Identity, Request, Response, Stream
from bireme.marathon import apps_api, groups_api, others_api, tasks_api
from bireme.marathon.calls import Call, failure, unknown_route
from bireme.marathon.core import Core
from bireme.marathon.errors import MarathonError, Unauthorized
from bireme.marathon.framework import Framework

GZIP_FROM = 2048
_Handler = Callable[[Call, str], Awaitable[Response | Stream]]
_RESOURCES: dict[str, _Handler] = {
    "apps": apps_api.handle,
    "groups": groups_api.handle,
    "deployments": others_api.deployments,
    "tasks": tasks_api.handle,
    "queue": others_api.queue,
    "info": others_api.info,
    "leader": others_api.leader,
    "events": others_api.events,
    "plugins": others_api.plugins,
}


class Authenticator(Protocol):
    """Who asks (`http/credentials.py`)."""

    def authenticate(self, request: Request) -> Identity | None: ...


class Api:
    """All routes. With no authenticator, or where settings say `insecure`, anybody may do anything."""

    def __init__(self, core: Core, framework: Framework, authenticator: Authenticator | None) -> None:
        self._core, self._framework, self._authenticator = core, framework, authenticator

    async def handle(self, request: Request) -> Answer:
        """Answer one request."""
        headers = self._headers()
        if request.method == "HEAD":
            answer = await self.handle(replace(request, method="GET"))
            return Response(answer.status, b"", answer.headers) if isinstance(answer, Response) else answer
        try:
            answer = await self._answer(request)
        except Unauthorized as error:
            challenge = {"WWW-Authenticate": f'Basic realm="{self._core.settings.realm}"'}
            return failure(error, headers=headers | challenge)
        except MarathonError as error:
            answer = failure(error)
        except ApiError as error:
            answer = failure(MarathonError(503, f"The state can't be read or written now: {error}"))
        answer.headers = {**headers, **answer.headers}
        return _compressed(request, answer) if isinstance(answer, Response) else answer

    def _headers(self) -> dict[str, str]:
        settings = self._core.settings
        found = {
            "X-Marathon-Leader": f"http://{settings.leader}",
            "X-Frame-Options": "DENY",
            "X-XSS-Protection": "1; mode=block",
            "Cache-Control": "no-cache, no-store, must-revalidate",
        }
        if settings.access_control_allow_origin:
            found["Access-Control-Allow-Origin"] = ", ".join(settings.access_control_allow_origin)
        return found

    async def _answer(self, request: Request) -> Response | Stream:
        path = request.path.rstrip("/") or "/"
        if path == "/ping":
            return Response(200, b"pong", {}, "text/plain")
        if not self._core.settings.insecure and self._identity(request) is None:
            raise Unauthorized
        call = Call(self._core, self._framework, request)
        if path == "/":
            return Response(302, b"", {"Location": "/v2/info"}, "text/plain")
        if path == "/metrics":
            return others_api.metrics(call)
        _, version, name, *_ = [*path.split("/"), "", ""]
        resource = _RESOURCES.get(name)
        if version != "v2" or resource is None:
            raise unknown_route()
        if not self._core.ready.is_set():
            raise MarathonError(503, "Marathon is still reading its state")
        return await resource(call, request.path.removeprefix(f"/v2/{name}"))

    def _identity(self, request: Request) -> Identity | None:
        return self._authenticator.authenticate(request) if self._authenticator is not None else None


def _compressed(request: Request, answer: Response) -> Response:
    if "gzip" not in request.headers.get("accept-encoding", "") or len(answer.body) < GZIP_FROM:
        return answer
    headers = {**answer.headers, "Content-Encoding": "gzip", "Vary": "Accept-Encoding"}
    return Response(answer.status, gzip.compress(answer.body, 1), headers, answer.content_type)
