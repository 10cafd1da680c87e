"""Groups that other servers serve: requests for them passed on, and whether those servers can be reached.

An APIService that names a service stands for a server behind this one. Who asks, and whether they may, is settled
here; the server is told whom it answers, by a certificate that it knows. Redirects are not followed and not handed
on, and a connection whose upgrade was refused is closed. Left to others: the APIServices themselves
(`registry/api_services.py`), what is passed on (`front_proxy.py`), discovery and schemas (`remote_documents.py`).
Source: the Kubernetes documentation on the aggregation layer.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from random import Random
from ssl import SSLContext
from urllib.parse import unquote

import structlog

from bireme.api.errors import AlreadyExists, ApiError, NotFound, ServiceUnavailable, error_of
from bireme.apiserver.front_proxy import (
    CONFIG_MAP,
    FrontProxyTrust,
    context,
    passed_on,
    speaking_for,
    upgrading,
)
from bireme.apiserver.kubelets import PASSED_BACK, ReplyChunks
from bireme.apiserver.proxy import NOT_PASSED_BACK
from bireme.apiserver.remote_documents import RemoteDocuments
from bireme.http.answers import Reply
from bireme.http.exposition import family, sample
from bireme.http.interface import Answer, Connection, Identity, Request, Stream, Takeover
from bireme.http.requests import RequestFailed, Session
from bireme.http.upgrades import splice
from bireme.registry.access import Attempt
from bireme.registry.api_services import PASSED, ApiServices, Condition, Remote
from bireme.registry.options import Call
from bireme.registry.service_routes import is_address, may_be_reached, resolve
from bireme.registry.verbs import Registry

log = structlog.get_logger(__name__)

HEAD_S = 60.0
CHECK_S = 5.0
LOOK_S = 0.5
AGAIN_S = 2.0
STEADY_S = 30.0
LARGEST_DOCUMENT = 32 << 20
OURSELVES = Identity("system:kube-aggregator", ("system:masters",))
_VERBS = {"GET": "get", "HEAD": "get", "POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}


class Aggregator:
    """Keep `run` running. `trust` is the certificate to show; without it the servers can't believe whom we name."""

    def __init__(self, registry: Registry, dice: Random, trust: FrontProxyTrust | None = None) -> None:
        self._registry = registry
        self._dice = dice
        self._trust = trust
        self._session = Session(may_reach=may_be_reached)
        self._contexts: dict[tuple[str, bool], SSLContext] = {}
        self.services = ApiServices(registry)
        self.documents = RemoteDocuments()

    def find(self, path: str) -> Remote | None:
        """The server behind this one that serves a path, if one does."""
        remotes = self.services.remotes
        if not remotes or not path.startswith("/apis/"):
            return None
        parts = path.split("/", 4)  # "", apis, group, version, what follows
        return remotes.get((parts[2], parts[3])) if len(parts) > 3 else None

    def figures(self) -> str:
        """Which servers behind this one can't be reached, for the page of metrics."""
        name = "aggregator_unavailable_apiservice"
        lines = [
            sample(name, {"name": f"{version}.{group}"}, 0 if remote.available else 1)
            for (group, version), remote in self.services.remotes.items()
        ]
        return "\n".join(family(name, "gauge", "APIServices that are marked as unavailable.", lines))

    # Requests

    async def serve(self, request: Request, user: Identity, remote: Remote) -> Answer:
        """The answer of the server that `remote` is."""
        check_path(request.raw_path)
        if not remote.available:
            raise ServiceUnavailable("the server is currently unable to handle the request")
        url = self._base(remote) + request.raw_path
        if request.headers.get("upgrade"):
            return await self._upgrade(request, user, remote, url)
        headers = passed_on(request, user) | {"host": _host(remote)}
        body: bytes | AsyncIterator[bytes] = request.body
        if not body and request.headers.get("content-length", "0") != "0":
            body = request.stream
        async with AsyncExitStack() as stack:
            try:
                reply = await stack.enter_async_context(
                    self._session.stream(
                        request.method,
                        url,
                        headers=headers,
                        body=body,
                        tls=self._tls(remote),
                        timeout_s=HEAD_S,
                        server_name=_name(remote),
                    )
                )
            except RequestFailed as error:
                raise _away(remote, error) from error
            if 300 <= reply.status < 400 and "location" in reply.headers:
                raise error_of(502, "the backend attempted to redirect this request, which is not permitted")
            back = {name: value for name, value in reply.headers.items() if name not in NOT_PASSED_BACK}
            chunks = ReplyChunks(stack.pop_all(), reply)
            return Stream(chunks, reply.status, back, reply.headers.get("content-type", ""))

    async def _upgrade(self, request: Request, user: Identity, remote: Remote, url: str) -> Answer:
        headers = {**upgrading(request, user), "host": _host(remote)}
        try:
            upgraded = await self._session.upgrade(
                request.method,
                url,
                headers=headers,
                tls=self._tls(remote),
                timeout_s=HEAD_S,
                server_name=_name(remote),
            )
        except RequestFailed as error:
            raise _away(remote, error) from error
        upstream = upgraded.connection
        if upstream is None:
            raise error_of(
                upgraded.status if upgraded.status >= 400 else 502, "the server behind this one refused the upgrade"
            )

        async def run(client: Connection) -> None:
            await splice(client, upstream)

        return Takeover(run, {name: upgraded.headers[name] for name in PASSED_BACK if name in upgraded.headers})

    def _base(self, remote: Remote) -> str:
        place = resolve(self._registry, remote.namespace, remote.service, remote.port, self._dice)
        if is_address(place.host) and not may_be_reached(place.host):
            raise ServiceUnavailable("address not allowed")
        return f"https://{place}"

    def _tls(self, remote: Remote) -> SSLContext:
        key = (remote.bundle, remote.insecure)
        if key not in self._contexts:
            pair = self._trust.pair if self._trust is not None else None
            self._contexts[key] = context(remote.bundle, insecure=remote.insecure, pair=pair)
        return self._contexts[key]

    async def ask(self, remote: Remote, path: str, *, accept: str, timeout_s: float = CHECK_S) -> Reply:
        """A document of a server, for ourselves. Raises ApiError."""
        headers = {**speaking_for(OURSELVES), "host": _host(remote), "accept": accept}
        try:
            return await self._session.request(
                "GET",
                self._base(remote) + path,
                headers=headers,
                tls=self._tls(remote),
                timeout_s=timeout_s,
                limit=LARGEST_DOCUMENT,
                server_name=_name(remote),
            )
        except RequestFailed as error:
            raise _away(remote, error) from error

    # Whether they can be reached

    async def run(self) -> None:
        """Keep the APIServices, and what is known of the servers behind them, as they should be, until cancelled."""
        clock = self._registry.clock
        due: dict[str, float] = {}
        seen: tuple[int, ...] = ()
        try:
            await self._publish()
            while True:
                if self._registry.find("", "v1", "configmaps", "kube-system", CONFIG_MAP) is None:
                    await self._publish()
                now = (self._registry.kinds.generation, *self._written())
                if now != seen:
                    await self.services.settle()
                    due.clear()
                    seen = (self._registry.kinds.generation, *self._written())
                ripe = [
                    remote
                    for remote in self.services.remotes.values()
                    if due.get(remote.name, 0.0) <= clock.monotonic()
                ]
                if ripe:
                    async with asyncio.TaskGroup() as tasks:  # one that hangs keeps no other waiting for its turn
                        for remote in ripe:
                            tasks.create_task(self._look_at(remote, due), name=f"check of {remote.name}")
                    seen = (self._registry.kinds.generation, *self._written())
                self.documents.keep({remote.path for remote in self.services.remotes.values()})
                await clock.sleep(LOOK_S)
        finally:
            await self._session.close()

    async def _look_at(self, remote: Remote, due: dict[str, float]) -> None:
        found = await self.check(remote)
        due[remote.name] = self._registry.clock.monotonic() + (STEADY_S if found is PASSED else AGAIN_S)
        await self.services.tell(remote.name, found)

    def _written(self) -> tuple[int, ...]:
        """What changes when an answer may have."""
        store, kind = self._registry.store, self._registry.kind
        if not self.services.remotes:
            return (self.services.written,)
        places = (("", "v1", "services"), ("discovery.k8s.io", "v1", "endpointslices"))
        return (self.services.written, *(store.written(kind(*place).key_prefix) for place in places))

    async def _publish(self) -> None:
        """Tell the servers behind this one whom to believe."""
        if self._trust is None:
            return
        kind = self._registry.kind("", "v1", "configmaps")
        tree = self._trust.published()
        call = Call(field_manager="kube-apiserver")
        try:
            await self._registry.create(kind, "kube-system", tree, call)
        except AlreadyExists:
            data = tree["data"]
            await self._registry.patch(kind, "kube-system", CONFIG_MAP, lambda old: {**old, "data": data}, call)

    async def check(self, remote: Remote) -> Condition:
        """Whether a server can be reached, and its documents if it can."""
        fault = self._service_fault(remote)
        if fault is not None:
            return fault
        try:
            reply = await self.ask(remote, remote.path, accept="application/json")
            if not 200 <= reply.status < 300:
                raise ApiError(f"bad status from https://{_host(remote)}{remote.path}: {reply.status}")
        except ApiError as error:
            text = f"failing or missing response from https://{_host(remote)}{remote.path}: {error.message}"
            return Condition("False", "FailedDiscoveryCheck", text)
        await self.documents.fetch(remote, reply.body, self.ask)
        return PASSED

    def _service_fault(self, remote: Remote) -> Condition | None:
        find, place = self._registry.find, f'service/{remote.service} in "{remote.namespace}"'
        service = find("", "v1", "services", remote.namespace, remote.service)
        if service is None:
            return Condition("False", "ServiceNotFound", f"{place} is not present")
        spec = service.get("spec") or {}
        if spec.get("type") == "ExternalName":
            return None
        if not any(port.get("port") == remote.port for port in spec.get("ports") or ()):
            return Condition("False", "ServicePortError", f"{place} is not listening on port {remote.port}")
        try:
            resolve(self._registry, remote.namespace, remote.service, remote.port, self._dice)
        except ServiceUnavailable as error:
            return Condition("False", "EndpointsNotFound", f"cannot find endpoints for {place}: {error.message}")
        return None


def check_path(raw_path: str) -> None:
    """Refuse a path that the other server may read in another way than it was read for authorization."""
    path = raw_path.partition("?")[0]
    segments = unquote(path).rstrip("/").split("/")[1:]
    if "%2f" in path.lower() or "\\" in path or any(segment in ("", ".", "..") for segment in segments):
        raise NotFound("the server could not find the requested resource")


def attempt_of_path(method: str, path: str, *, watching: bool) -> Attempt:
    """What a request for another server's resource attempts; the path says it all, whatever kinds there are."""
    parts = [part for part in path.split("/") if part][1:]
    group, version, rest = parts[0], parts[1], parts[2:]
    if not rest:
        return Attempt(method.lower(), path=path)
    if rest[0] == "watch" and len(rest) > 1:
        rest, watching = rest[1:], True
    namespace = ""
    if rest[0] == "namespaces" and len(rest) > 2:
        namespace, rest = rest[1], rest[2:]
    verb = _VERBS.get(method, method.lower())
    name = rest[1] if len(rest) > 1 else ""
    if watching and verb == "get":
        verb = "watch"
    elif not name:
        verb = {"get": "list", "delete": "deletecollection"}.get(verb, verb)
    return Attempt(verb, group, version, rest[0], "/".join(rest[2:3]), name, namespace)


def _name(remote: Remote) -> str:
    return f"{remote.service}.{remote.namespace}.svc"


def _host(remote: Remote) -> str:
    return f"{_name(remote)}:{remote.port}"


def _away(remote: Remote, error: RequestFailed) -> ServiceUnavailable:
    log.warning("a server behind this one did not answer", api_service=remote.name, error=str(error))
    return ServiceUnavailable("the server is currently unable to handle the request")
