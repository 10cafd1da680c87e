"""The Kubernetes API over HTTP: one door for sockets and for the parts in this process.

In order: health and version for anybody, who asks and as whom, may they, is there room, then discovery or the
resource.
Left to others: verbs on objects (`resources.py`), the socket (`http/server.py`).
"""

import asyncio
import platform
from collections.abc import Callable
from random import Random

import orjson
import structlog

from bireme.aio.overdue import Overdue
from bireme.api.errors import MethodNotAllowed, NotFound, Timeout, TooLarge, Unauthorized
from bireme.apiserver.authentication import Authenticator
from bireme.apiserver.authorization import Attempt, allows, is_public, refusal
from bireme.apiserver.bodies import read_timeout
from bireme.apiserver.documents import Documents
from bireme.apiserver.errors import as_api_error, response_of
from bireme.apiserver.health import Health
from bireme.apiserver.impersonation import acting
from bireme.apiserver.limits import InFlight
from bireme.apiserver.metrics import Metrics
from bireme.apiserver.negotiation import answer
from bireme.apiserver.resources import ResourceDoor, Tunnels
from bireme.apiserver.reviews import Reviews
from bireme.apiserver.routes import CONNECT_SUBRESOURCES, Route, find_route, is_resource_path
from bireme.http.interface import Answer, Identity, Request, Response, Stream
from bireme.registry.tokens import ServiceAccountTokens
from bireme.registry.verbs import Registry

log = structlog.get_logger(__name__)

BIREME_VERSION = "0.1.0"
REQUEST_S = 60.0
LARGEST_BODY = 3 << 20
LONGEST_AUDIT_ID = 64
READING = frozenset({"get", "list", "watch"})


class ApiServer:
    """The door; `handle` takes every request. Never raises: what goes wrong becomes a Status.

    `address` is where clients find this server, host:port.
    """

    def __init__(
        self,
        registry: Registry,
        *,
        tokens: ServiceAccountTokens | None = None,
        tunnels: Tunnels | None = None,
        health: Health | None = None,
        metrics: Metrics | None = None,
        random: Random | None = None,
        address: str = "",
        uid: Callable[[], str] | None = None,
    ) -> None:
        self.registry = registry
        self.health = health or Health()
        self.metrics = metrics or Metrics()
        self._authenticator = Authenticator(tokens)
        self._documents = Documents(registry.kinds, registry.scheme, tokens, address=address)
        self._in_flight = InFlight(self.metrics)
        self._overdue = Overdue(REQUEST_S)
        self._uid = uid or registry.new_uid
        self._resources = ResourceDoor(
            registry,
            Reviews(self._authenticator),
            tokens=tokens,
            tunnels=tunnels,
            random=random or Random(),
        )

    async def handle(self, request: Request) -> Answer:
        """The answer to `request`."""
        try:
            made = await self._serve(request)
        except Exception as error:
            known = as_api_error(error, method=request.method, path=request.path)
            made = response_of(known, accept=request.headers.get("accept", ""))
        said = request.headers.get("audit-id", "")
        audit_id = said if 0 < len(said) <= LONGEST_AUDIT_ID else self._uid()
        if isinstance(made, Response | Stream):
            made.headers = {**made.headers, "audit-id": audit_id, "cache-control": _caching(made)}
        return made

    async def _serve(self, request: Request) -> Answer:
        path = request.path
        if is_public(path):
            public = self._public(request)
            if public is not None:
                return public
        user = self._authenticator.authenticate(request)
        if user is None:
            raise Unauthorized("Unauthorized")
        user = acting(user, request.headers)
        if not is_resource_path(path):
            return self._document(request, user)
        watching = bool(request.query.pairs) and request.query.flag("watch")
        route = find_route(self.registry.kinds, request.method, path, watching=watching)
        attempt = _attempt(route)
        if not allows(user, attempt):
            raise refusal(user, attempt)
        made = await self._resource(route, request, user)
        code = made.status if isinstance(made, Response | Stream) else 101
        self.metrics.count(route.verb, route.kind.resource.plural, code)
        return made

    def _public(self, request: Request) -> Response | None:
        if request.method != "GET":
            raise MethodNotAllowed("the server does not allow this method on the requested resource")
        if request.path == "/version":
            return answer(request, version_document())
        return self.health.answer(request)

    def _document(self, request: Request, user: Identity) -> Response:
        attempt = Attempt(request.method.lower(), path=request.path)
        if not allows(user, attempt):
            raise refusal(user, attempt)
        if request.method != "GET":
            raise MethodNotAllowed("the server does not allow this method on the requested resource")
        if request.path == "/metrics":
            return self.metrics.answer()
        made = self._documents.answer(request)
        if made is None:
            raise NotFound("the server could not find the requested resource")
        return made

    async def _resource(self, route: Route, request: Request, user: Identity) -> Answer:
        if route.verb == "watch" or route.subresource in CONNECT_SUBRESOURCES:
            return await self._resources.serve(route, request, user)
        if len(request.body) > LARGEST_BODY:
            raise TooLarge(f"Request entity too large: limit is {LARGEST_BODY}")
        with self._in_flight.one(mutating=route.verb not in READING):
            if route.verb == "get":
                return await self._resources.serve(route, request, user)
            try:
                if "timeout" in request.query:
                    async with asyncio.timeout(read_timeout(request.query, most=REQUEST_S)):
                        return await self._resources.serve(route, request, user)
                with self._overdue.limit():
                    return await self._resources.serve(route, request, user)
            except TimeoutError as error:
                raise Timeout("request did not complete within the allotted timeout") from error


def version_document() -> bytes:
    """The body of /version."""
    document = {
        "major": "1",
        "minor": "37",
        "emulationMajor": "1",
        "emulationMinor": "37",
        "minCompatibilityMajor": "1",
        "minCompatibilityMinor": "36",
        "gitVersion": f"v1.37.0+bireme{BIREME_VERSION}",
        "gitCommit": "",
        "gitTreeState": "clean",
        "buildDate": "2026-11-23T00:00:00Z",
        "goVersion": f"python{platform.python_version()}",
        "compiler": platform.python_implementation(),
        "platform": f"{platform.system().lower()}/{_ARCHITECTURES.get(platform.machine(), platform.machine())}",
    }
    return orjson.dumps(document)


_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


def _attempt(route: Route) -> Attempt:
    resource = route.kind.resource
    return Attempt(
        route.verb,
        resource.group,
        resource.version,
        resource.plural,
        route.subresource,
        route.name,
        route.namespace,
    )


def _caching(made: Response | Stream) -> str:
    return made.headers.get("cache-control", "no-cache, private")
