"""The short way in for parts of this process: what they do to pods by the thousand, without the forms of HTTP.

A create or a binding from the scheduler or a controller waits its turn, is authorized, admitted and counted as any
other (`app.py`), and answered in the same bytes; a watch is told by calls (`registry/taps.py`). What it is spared is
being told in a path, headers and a query, and being read from them again: half of what a binding cost. Many that are
alike come by one call: they wait for one turn and are one write of the store, and one that fails does so alone. All
else goes the usual way, and everything does where requests are audited.
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import orjson

from bireme.aio.overdue import Overdue
from bireme.aio.side_by_side import side_by_side
from bireme.api.errors import Forbidden, Timeout, TooManyRequests
from bireme.api.kinds import core
from bireme.api.kinds.meta import Object
from bireme.api.scheme import Resource
from bireme.apiserver import bodies
from bireme.apiserver.authentication import authenticated
from bireme.apiserver.authorization import attempt_of
from bireme.apiserver.errors import OVERDUE, as_api_error, response_of
from bireme.apiserver.flowcontrol import FlowControl
from bireme.apiserver.metrics import Metrics
from bireme.apiserver.routes import Route
from bireme.apiserver.widths import width
from bireme.http.interface import Identity, Query, Response
from bireme.registry import conversion, pods
from bireme.registry.access import refusal
from bireme.registry.apart import LARGE
from bireme.registry.kinds import Kind
from bireme.registry.moulds import Moulds
from bireme.registry.options import Call
from bireme.registry.record import Document
from bireme.registry.taps import Tap, Told
from bireme.registry.verbs import Registry

Tree = dict[str, Any]
Pairs = Sequence[tuple[str, str]]
Outcome = bytes | Exception
"""The body of an answer that is good, or what went wrong."""
Deed = Callable[[Route], Awaitable[Sequence[Outcome]]]
_NO_QUERY = Query(())
MOST_BEHIND = 256
"""So many writes may wait to be told of before parts of this process write more."""
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
        overdue: Overdue,
        user: Identity,
        agent: str,
        asks: Callable[[Kind], bool],
    ) -> None:
        self._registry, self._flows, self._metrics, self._moulds = registry, flows, metrics, moulds
        self._user, self._agent, self._asks = authenticated(user), agent, asks
        self._overdue, self._pods = overdue, registry.kind("", "v1", "pods")

    async def create(
        self, resource: Resource, namespace: str, body: bytes, *, number: int = 1
    ) -> list[Response] | None:
        """The answers to so many POSTs of one object's JSON; None where that has to go the usual way."""
        kind = self._registry.kinds.at(resource.group, resource.version, resource.plural)
        if kind is None or kind.custom is not None or bool(namespace) is not kind.resource.namespaced:
            return None
        if "create" not in kind.resource.verbs or self._asks(kind) or kind.is_a("Binding"):
            return None
        return await self._answered(Route(kind, "create", namespace), number, partial(self._create, body, number))

    async def bind(self, bindings: Sequence[core.Binding]) -> list[Response]:
        """The answers to POSTs to pods' bindings; those of one namespace are one turn and one write."""
        spaces: dict[str, list[int]] = {}
        for number, binding in enumerate(bindings):
            spaces.setdefault(binding.metadata.namespace, []).append(number)
        answers: dict[int, Response] = {}

        async def bind(namespace: str, numbers: Sequence[int]) -> None:
            some = [bindings[number] for number in numbers]
            route = Route(self._pods, "create", namespace, some[0].metadata.name, "binding")
            answers.update(
                zip(numbers, await self._answered(route, len(some), partial(self._bind, some)), strict=True)
            )

        if len(spaces) == 1:
            await bind(*next(iter(spaces.items())))
        else:
            async with asyncio.TaskGroup() as tasks:
                for space in spaces.items():
                    tasks.create_task(bind(*space))
        return [answers[number] for number in range(len(bindings))]

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

    async def _create(self, body: bytes, number: int, route: Route) -> list[Outcome]:
        kind, namespace = route.kind, route.namespace
        if (error := self._refusal(route)) is not None:
            return [error] * number
        call = Call(user=self._user, large=len(body) > LARGE, field_manager=self._agent)
        read = partial(orjson.loads, body)
        made: Sequence[Document | Exception]
        if self._moulds.takes(kind, body, call):
            made = await self._moulds.create_all(kind, namespace, body, number, call, read)
        elif number == 1:
            made = [await self._registry.create(kind, namespace, read(), call)]
        else:
            made = await side_by_side(self._registry.create(kind, namespace, read(), call) for _ in range(number))
        return [conversion.body(kind, each) if isinstance(each, Document) else each for each in made]

    async def _bind(self, bindings: Sequence[core.Binding], route: Route) -> list[Outcome]:
        outcomes: list[Outcome] = [_BOUND] * len(bindings)
        allowed: dict[int, pods.Bind] = {}
        for number, binding in enumerate(bindings):
            about = binding.metadata
            if (error := self._refusal(replace(route, name=about.name))) is not None:
                outcomes[number] = error
            else:
                allowed[number] = pods.Bind(about.namespace, about.name, _tree(binding))
        call = Call(user=self._user, field_manager=self._agent)
        for number, failed in zip(
            allowed, await pods.bind_all(self._registry, self._pods, list(allowed.values()), call), strict=True
        ):
            if failed is not None:
                outcomes[number] = failed
        return outcomes

    def _refusal(self, route: Route) -> Forbidden | None:
        """Why the part may not do that."""
        attempt = attempt_of(route, _NO_QUERY)
        decision = self._registry.authorizer.decide(self._user, attempt)
        return None if decision.allowed else refusal(self._user, attempt, decision.reason)

    async def _answered(self, route: Route, number: int, deed: Deed) -> list[Response]:
        """The answers to so many writes that are alike, which are counted one by one."""
        clock = self._registry.clock
        began = clock.monotonic()
        try:
            outcomes: Sequence[Outcome] = await self._in_turn(route, number, deed)
        except Exception as error:
            outcomes = [error] * number
        seconds = clock.monotonic() - began
        answers = [_answer(route, outcome) for outcome in outcomes]
        for status, times in Counter(answer.status for answer in answers).items():
            self._metrics.count(route, status, seconds, times=times)
        return answers

    async def _in_turn(self, route: Route, number: int, deed: Deed) -> Sequence[Outcome]:
        """Do it when it is its turn, as one request that is as wide as all of them.

        Not while those who listen are far behind: what is made faster than it can be told of is looked up as lost.
        """
        cache = self._registry.cache
        await cache.wait_fresh(self._registry.store.revision - MOST_BEHIND)
        attempt = attempt_of(route, _NO_QUERY)
        flow = self._flows.flow(self._user, attempt)
        seats = width(route, _NO_QUERY, cache, flow.level, writes=number)
        try:
            await self._flows.enter(flow, self._user, attempt, seats, requests=number)
        except TooManyRequests as error:
            self._metrics.turned_away(route, error.code, times=number)
            raise
        try:
            with self._metrics.under_way(mutating=True, requests=number), self._overdue.limit():
                return await deed(route)
        except TimeoutError as error:
            self._metrics.turned_away(route, Timeout.code, times=number)
            raise Timeout(OVERDUE) from error
        finally:
            self._flows.leave(flow, seats, requests=number)


def _answer(route: Route, outcome: Outcome) -> Response:
    if isinstance(outcome, bytes):
        return Response(201, outcome)
    path = f"{route.kind.resource.plural}/{route.name}"
    return response_of(as_api_error(outcome, method="POST", path=path))


def _tree(binding: core.Binding) -> Tree:
    """The binding as it would be read from a request."""
    about, target = binding.metadata, binding.target
    metadata = {
        "name": about.name,
        "namespace": about.namespace,
        "uid": about.uid,
        "labels": about.labels,
        "annotations": about.annotations,
    }
    return {
        "apiVersion": "v1",
        "kind": "Binding",
        "metadata": {name: value for name, value in metadata.items() if value},
        "target": {"kind": target.kind, "name": target.name},
    }
