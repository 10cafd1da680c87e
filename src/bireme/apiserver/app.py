"""The Kubernetes API over HTTP: one door for sockets and for the parts in this process.

In order: health and version for anybody, who asks and as whom, is it their turn, may they, then discovery or the
resource.
Left to others: verbs on objects (`resources.py`), the socket (`http/server.py`).
"""

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from random import Random

import structlog

from bireme.aio.overdue import Overdue
from bireme.api.errors import ApiError, MethodNotAllowed, NotFound, Timeout, TooLarge, TooManyRequests, Unauthorized
from bireme.apiserver.aggregation import Aggregator, attempt_of_path
from bireme.apiserver.audit import Audit, Record, note_decision
from bireme.apiserver.authentication import ANONYMOUS, Authenticator
from bireme.apiserver.authenticators.usual import usual_authenticator
from bireme.apiserver.authorization import attempt_of, is_public
from bireme.apiserver.bodies import read_timeout
from bireme.apiserver.documents import Documents
from bireme.apiserver.errors import OVERDUE, as_api_error, response_of
from bireme.apiserver.flowcontrol import FlowControl
from bireme.apiserver.health import Health
from bireme.apiserver.impersonation import acting
from bireme.apiserver.lane import Lane
from bireme.apiserver.metrics import Metrics, flows, store_size, stored_and_watched
from bireme.apiserver.negotiation import answer
from bireme.apiserver.process_figures import process_figures
from bireme.apiserver.resources import ResourceDoor, Tunnels
from bireme.apiserver.reviews import Reviews
from bireme.apiserver.routes import CONNECT_SUBRESOURCES, Route, find_route, is_resource_path
from bireme.apiserver.version import build_info, version_document
from bireme.apiserver.widths import width
from bireme.http.interface import Answer, Identity, Request, Response, Stream
from bireme.registry.access import Attempt, refusal
from bireme.registry.api_services import Remote
from bireme.registry.tokens import ServiceAccountTokens
from bireme.registry.verbs import Registry

log = structlog.get_logger(__name__)

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
        authenticator: Authenticator | None = None,
        tunnels: Tunnels | None = None,
        health: Health | None = None,
        metrics: Metrics | None = None,
        random: Random | None = None,
        address: str = "",
        audit: Audit | None = None,
        uid: Callable[[], str] | None = None,
        aggregator: Aggregator | None = None,
    ) -> None:
        self.registry = registry
        self._audit = audit
        self.health = health or Health()
        self.metrics = metrics or Metrics()
        self._authenticator = authenticator or usual_authenticator(registry, tokens)
        self._aggregator = aggregator
        self._documents = Documents(registry.kinds, registry.scheme, tokens, address=address, aggregator=aggregator)
        self._flows = FlowControl(registry)
        self.metrics.add(partial(stored_and_watched, registry.cache, registry.kinds))
        self.metrics.add(partial(flows, self._flows))
        self.metrics.add(partial(store_size, registry))
        self.metrics.add(process_figures)
        self.metrics.add(build_info)
        if audit is not None:
            self.metrics.add(audit.figures)
        for source in registry.figures:
            self.metrics.add(source)
        if aggregator is not None:
            self.metrics.add(aggregator.figures)
        self._overdue = Overdue(REQUEST_S)
        self._uid = uid or registry.new_uid
        self._resources = ResourceDoor(
            registry,
            Reviews(self._authenticator, registry.authorizer, registry.roles),
            tokens=tokens,
            tunnels=tunnels,
            random=random or Random(),
        )

    def lane(self, user: Identity, agent: str) -> Lane | None:
        """The short way in for a part of this process; None where requests are audited."""
        if self._audit is not None:
            return None
        resources = self._resources
        return Lane(
            self.registry,
            self._flows,
            self.metrics,
            resources.moulds,
            overdue=self._overdue,
            user=user,
            agent=agent,
            asks=resources.asks,
        )

    async def handle(self, request: Request) -> Answer:
        """The answer to `request`."""
        progress = Progress(self.registry.clock.monotonic())
        try:
            made = await self._serve(request, progress)
        except Exception as error:
            known = as_api_error(error, method=request.method, path=request.path)
            made = response_of(known, accept=request.headers.get("accept", ""))
        if self._audit is not None:
            record = progress.record or self._begin(request, ANONYMOUS, progress)
            made = record.answered(made) if record is not None else made
        audit_id = progress.audit_id or self._audit_id(request)
        if isinstance(made, Response | Stream):
            made.headers = {**made.headers, **progress.headers, "audit-id": audit_id, "cache-control": _caching(made)}
        if progress.route is not None:
            self._count(progress.route, progress.began, request, made)
        return made

    def _audit_id(self, request: Request) -> str:
        said = request.headers.get("audit-id", "")
        return said if 0 < len(said) <= LONGEST_AUDIT_ID else self._uid()

    def _begin(self, request: Request, user: Identity, progress: "Progress") -> Record | None:
        """Begin the request's record in the audit log, once; None where it is not to be told of."""
        if self._audit is None or progress.audit_id:
            return progress.record
        progress.audit_id = self._audit_id(request)
        attempt = Attempt(request.method.lower(), path=request.path)
        watching = request.query.flag("watch")
        if self._aggregator is not None and self._aggregator.find(request.path) is not None:
            attempt = attempt_of_path(request.method, request.path, watching=watching)
        elif is_resource_path(request.path):
            with suppress(ApiError):
                route = find_route(self.registry.kinds, request.method, request.path, watching=watching)
                attempt = attempt_of(route, request.query)
        progress.record = self._audit.begin(request, user, attempt, progress.audit_id)
        return progress.record

    def _count(self, route: Route, began: float, request: Request, made: Answer) -> None:
        code = made.status if isinstance(made, Response | Stream) else 101
        dry_run = bool(request.query.pairs) and "dryRun" in request.query
        size = len(made.body) if isinstance(made, Response) else 0
        self.metrics.count(route, code, self.registry.clock.monotonic() - began, dry_run=dry_run, size=size)

    async def _serve(self, request: Request, progress: "Progress") -> Answer:
        path = request.path
        if is_public(path):
            public = self._public(request)
            if public is not None:
                return public
        user = await self._authenticator.authenticate(request)
        if user is None:
            raise Unauthorized("Unauthorized")
        record = self._begin(request, user, progress) if self._audit is not None else None
        asked, user = user, acting(user, request.headers, self.registry.authorizer)
        if record is not None and asked is not user:
            record.acts_as(user)
        remote = self._aggregator.find(path) if self._aggregator is not None else None
        if remote is not None:
            return await self._pass_on(request, user, remote, progress)
        if not is_resource_path(path):
            return await self._document(request, user, progress)
        watching = bool(request.query.pairs) and request.query.flag("watch")
        route = find_route(self.registry.kinds, request.method, path, watching=watching)
        progress.route = route
        attempt = attempt_of(route, request.query)
        if route.subresource in CONNECT_SUBRESOURCES:
            self._authorize(user, attempt)
            return await self._resources.serve(route, request, user)
        flow = self._flows.flow(user, attempt)
        progress.headers = flow.headers
        seats = 1 if route.verb == "get" else width(route, request.query, self.registry.cache, flow.level)
        try:
            await self._flows.enter(flow, user, attempt, seats)
        except TooManyRequests as error:
            self.metrics.turned_away(route, error.code)
            raise
        try:
            self._authorize(user, attempt)
            return await self._resource(route, request, user)
        finally:
            self._flows.leave(flow, seats)

    async def _pass_on(self, request: Request, user: Identity, remote: Remote, progress: "Progress") -> Answer:
        """Let the server behind this one answer; its watches and upgrades count for no seat."""
        assert self._aggregator is not None
        watching = bool(request.query.pairs) and request.query.flag("watch")
        attempt = attempt_of_path(request.method, request.path, watching=watching)
        self._authorize(user, attempt)
        if len(request.body) > LARGEST_BODY:
            raise TooLarge(f"Request entity too large: limit is {LARGEST_BODY}")
        if attempt.verb == "watch" or request.headers.get("upgrade"):
            return await self._aggregator.serve(request, user, remote)
        flow = self._flows.flow(user, attempt)
        progress.headers = flow.headers
        await self._flows.enter(flow, user, attempt)
        try:
            return await self._aggregator.serve(request, user, remote)
        finally:
            self._flows.leave(flow)

    def _authorize(self, user: Identity, attempt: Attempt) -> None:
        decision = self.registry.authorizer.decide(user, attempt)
        if self._audit is not None:
            note_decision(allowed=decision.allowed, reason=decision.reason)
        if not decision.allowed:
            raise refusal(user, attempt, decision.reason)

    def _public(self, request: Request) -> Response | None:
        if request.method not in ("GET", "HEAD"):
            raise MethodNotAllowed("the server does not allow this method on the requested resource")
        if request.path.rstrip("/") == "/version":
            return answer(request, version_document())
        return self.health.answer(request)

    async def _document(self, request: Request, user: Identity, progress: "Progress") -> Response:
        attempt = Attempt(request.method.lower(), path=request.path)
        flow = self._flows.flow(user, attempt)
        progress.headers = flow.headers
        await self._flows.enter(flow, user, attempt)
        try:
            return await self._described(request, user, attempt)
        finally:
            self._flows.leave(flow)

    async def _described(self, request: Request, user: Identity, attempt: Attempt) -> Response:
        self._authorize(user, attempt)
        if request.method != "GET":
            raise MethodNotAllowed("the server does not allow this method on the requested resource")
        if request.path == "/metrics":
            return self.metrics.answer()
        if request.path == "/metrics/slis":
            return self.health.figures()
        made = await self._documents.answer(request)
        if made is None:
            raise NotFound("the server could not find the requested resource")
        return made

    async def _resource(self, route: Route, request: Request, user: Identity) -> Answer:
        if route.verb == "watch":
            return await self._resources.serve(route, request, user)
        if len(request.body) > LARGEST_BODY:
            raise TooLarge(f"Request entity too large: limit is {LARGEST_BODY}")
        with self.metrics.under_way(mutating=route.verb not in READING):
            if route.verb == "get":
                return await self._resources.serve(route, request, user)
            try:
                if "timeout" in request.query:
                    async with asyncio.timeout(read_timeout(request.query, most=REQUEST_S)):
                        return await self._resources.serve(route, request, user)
                with self._overdue.limit():
                    return await self._resources.serve(route, request, user)
            except TimeoutError as error:
                self.metrics.turned_away(route, Timeout.code)
                raise Timeout(OVERDUE) from error


class Progress:
    """How far a request has come: when it began, what it is for, and what headers its answer has in any case."""

    __slots__ = ("audit_id", "began", "headers", "record", "route")

    def __init__(self, began: float) -> None:
        self.began = began
        self.headers: Mapping[str, str] = {}
        self.route: Route | None = None
        self.record: Record | None = None
        self.audit_id = ""


def _caching(made: Response | Stream) -> str:
    return made.headers.get("cache-control", "no-cache, private")
