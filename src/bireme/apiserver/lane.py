"""The short way in for parts of this process: what they do to pods by the thousand, without the forms of HTTP.

A create or a binding from the scheduler or a controller waits its turn, is authorized, admitted and counted as any
other (`app.py`), and answered in the same bytes; a watch is told by calls (`registry/taps.py`). What it is spared is
being told in a path, headers and a query, and being read from them again: half of what a binding cost. All else goes
the usual way, and everything does where requests are audited.
"""

from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any

import orjson

from bireme.api.kinds import core
from bireme.api.kinds.meta import Object
from bireme.api.scheme import Resource
from bireme.apiserver import bodies
from bireme.apiserver.authentication import authenticated
from bireme.apiserver.authorization import attempt_of
from bireme.apiserver.errors import as_api_error, response_of
from bireme.apiserver.flowcontrol import FlowControl
from bireme.apiserver.metrics import Metrics
from bireme.apiserver.routes import Route
from bireme.http.interface import Identity, Query, Response
from bireme.registry import conversion, pods
from bireme.registry.access import Attempt, refusal
from bireme.registry.apart import LARGE
from bireme.registry.kinds import Kind
from bireme.registry.moulds import Moulds
from bireme.registry.options import Call
from bireme.registry.taps import Tap, Told
from bireme.registry.verbs import Registry

Tree = dict[str, Any]
Pairs = Sequence[tuple[str, str]]
_BOUND = orjson.dumps({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201})
"""What the usual way answers to a binding that stands."""


class Lane:
    """The way in of one part, which speaks as `user` under the name `agent`."""

    def __init__(
        self,
        registry: Registry,
        flows: FlowControl,
        metrics: Metrics,
        moulds: Moulds,
        *,
        user: Identity,
        agent: str,
        asks: Callable[[Kind], bool],
    ) -> None:
        self._registry, self._flows, self._metrics, self._moulds = registry, flows, metrics, moulds
        self._user, self._agent, self._asks = authenticated(user), agent, asks
        self._pods = registry.kind("", "v1", "pods")

    async def create(self, resource: Resource, namespace: str, body: bytes) -> Response | None:
        """The answer to a POST of an object's JSON; None where that has to go the usual way."""
        kind = self._registry.kinds.at(resource.group, resource.version, resource.plural)
        if kind is None or kind.custom is not None or bool(namespace) is not kind.resource.namespaced:
            return None
        if "create" not in kind.resource.verbs or self._asks(kind) or kind.is_a("Binding"):
            return None
        return await self._answered(Route(kind, "create", namespace), partial(self._create, kind, namespace, body))

    async def bind(self, binding: core.Binding) -> Response:
        """The answer to a POST to a pod's binding."""
        about = binding.metadata
        route = Route(self._pods, "create", about.namespace, about.name, "binding")
        return await self._answered(route, partial(self._bind, binding))

    async def follow(
        self, resource: Resource, namespace: str, query: Pairs, told: Told, *, kind: type[Object], version: str
    ) -> bool:
        """Have `told` hear of each change after `version`, until cancelled. False where that has to go the usual way.

        Raises Expired and Forbidden as a watch does.
        """
        served = self._registry.kinds.at(resource.group, resource.version, resource.plural)
        if served is None or served.custom is not None or served.is_alias or "watch" not in served.resource.verbs:
            return False
        asked, cache = Query(query), self._registry.cache.of(served.stored)
        selection = bodies.read_selection(served, namespace, asked)
        if cache.is_narrow(selection) or not version.isdecimal():
            return False
        route = Route(served, "watch", namespace)
        attempt = attempt_of(route, asked)
        decision = self._registry.authorizer.decide(self._user, attempt)
        if not decision.allowed:
            raise refusal(self._user, attempt, decision.reason)
        self._metrics.count(route, 200, 0.0)
        await self._registry.cache.wait_fresh(self._registry.store.revision)
        tap = Tap(selection, kind, told)
        cache.tap(tap, after=int(version))
        try:
            await tap.ended
        finally:
            cache.untap(tap)
        raise AssertionError("a tap ends with an error")

    async def _create(self, kind: Kind, namespace: str, body: bytes) -> bytes:
        call = Call(user=self._user, large=len(body) > LARGE, field_manager=self._agent)
        if self._moulds.takes(kind, body, call):
            document = await self._moulds.create(kind, namespace, body, call, partial(orjson.loads, body))
        else:
            document = await self._registry.create(kind, namespace, orjson.loads(body), call)
        return conversion.body(kind, document)

    async def _bind(self, binding: core.Binding) -> bytes:
        about, target = binding.metadata, binding.target
        metadata = {"name": about.name, "namespace": about.namespace, "uid": about.uid}
        tree: Tree = {
            "apiVersion": "v1",
            "kind": "Binding",
            "metadata": {name: value for name, value in metadata.items() if value},
            "target": {"kind": target.kind, "name": target.name},
        }
        call = Call(user=self._user, field_manager=self._agent)
        await pods.bind(self._registry, self._pods, about.namespace, about.name, tree, call)
        return _BOUND

    async def _answered(self, route: Route, deed: Callable[[], Awaitable[bytes]]) -> Response:
        """Do it when it is its turn and it is allowed, and count it."""
        clock, resource = self._registry.clock, route.kind.resource
        began = clock.monotonic()
        attempt = Attempt(
            "create",
            resource.group,
            resource.version,
            resource.plural,
            route.subresource,
            route.name,
            route.namespace,
        )
        try:
            flow = self._flows.flow(self._user, attempt)
            await self._flows.enter(flow, self._user, attempt)
            try:
                decision = self._registry.authorizer.decide(self._user, attempt)
                if not decision.allowed:
                    raise refusal(self._user, attempt, decision.reason)
                made = Response(201, await deed())
            finally:
                self._flows.leave(flow)
        except Exception as error:
            made = response_of(as_api_error(error, method="POST", path=f"{resource.plural}/{route.name}"))
        self._metrics.count(route, made.status, clock.monotonic() - began)
        return made
