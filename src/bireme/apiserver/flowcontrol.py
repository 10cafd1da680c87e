"""API priority and fairness: each request is of a flow, each flow has a priority level, each level has seats.

A request that finds a seat costs one look into a table of flows that were met before; only without a seat does it
wait its turn, or is refused. Schemas and levels follow the objects at once. Left to others: which flow (`flows.py`),
how many seats (`widths.py`), whose turn (`fair_queues.py`), the objects themselves (`registry/flow_defaults.py`).
Source: the Kubernetes documentation on API priority and fairness.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar

import structlog

from bireme.api.errors import TooManyRequests
from bireme.apiserver import flows
from bireme.apiserver.fair_queues import Level, level_spec, share_out
from bireme.apiserver.flows import FlowSchema
from bireme.http.interface import Identity
from bireme.registry.access import Attempt
from bireme.registry.flow_defaults import GROUP, LEVELS, SCHEMAS, VERSION, default_levels, default_schemas
from bireme.registry.resource_cache import ResourceCache
from bireme.registry.verbs import Registry

log = structlog.get_logger(__name__)

T = TypeVar("T")
Tree = Mapping[str, Any]
SEATS = 600
LONGEST_WAIT_S = 15.0
KNOWN_FLOWS = 8192
WAIT_BUCKETS = (0.005, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 15.0, 30.0)


class Flow:
    """Requests of one schema at its level, and what is counted of them."""

    __slots__ = ("dispatched", "executing", "headers", "in_queue", "level", "rejected", "schema", "waits")

    def __init__(self, schema: FlowSchema, level: Level) -> None:
        self.schema = schema
        self.level = level
        self.headers: Mapping[str, str] = {
            "x-kubernetes-pf-flowschema-uid": schema.uid,
            "x-kubernetes-pf-prioritylevel-uid": level.spec.uid,
        }
        self.dispatched = 0
        self.executing = 0
        self.in_queue = 0
        self.rejected: Counter[str] = Counter()
        self.waits: list[float] = []


class FlowControl:
    """The flows of one server; see the module."""

    def __init__(self, registry: Registry, *, seats: int = SEATS) -> None:
        self._registry = registry
        self._seats = seats
        self._caches = [
            registry.cache.of(registry.kind(GROUP, VERSION, plural).stored) for plural in (SCHEMAS, LEVELS)
        ]
        self._seen = (-1, -1)
        self._levels: dict[str, Level] = {}
        self._flows: list[Flow] = []
        self._known: dict[tuple[object, ...], Flow] = {}

    def flow(self, user: Identity, attempt: Attempt) -> Flow:
        """The flow of a request."""
        schemas, levels = self._caches
        if (schemas.writes, levels.writes) != self._seen:
            self._configure()
        key = (
            user.name,
            user.groups,
            attempt.verb,
            attempt.group,
            attempt.resource,
            attempt.subresource,
            attempt.namespace,
            attempt.path,
        )
        found = self._known.get(key)
        if found is None:
            if len(self._known) >= KNOWN_FLOWS:
                self._known.clear()
            found = self._known[key] = self._classify(user, attempt)
        return found

    async def enter(self, flow: Flow, user: Identity, attempt: Attempt, seats: int = 1, *, requests: int = 1) -> None:
        """Return once the request has its seats; `leave` gives them back. Raises TooManyRequests.

        Several `requests` that are done as one are counted each.
        """
        if not flow.level.take(seats):
            await self._wait(flow, user, attempt, seats)
        flow.dispatched += requests
        flow.executing += requests

    def leave(self, flow: Flow, seats: int = 1, *, requests: int = 1) -> None:
        """The request is served."""
        flow.executing -= requests
        flow.level.give_back(seats)

    def flows(self) -> Iterator[Flow]:
        """All flows, for those who count."""
        if not self._flows:
            self._configure()
        return iter(self._flows)

    def levels(self) -> Iterator[Level]:
        """All levels, for those who count."""
        return iter(self._levels.values())

    async def _wait(self, flow: Flow, user: Identity, attempt: Attempt, seats: int) -> None:
        level = flow.level
        turn = asyncio.Event()
        name = f"{flow.schema.name}/{flows.flow_of(flow.schema, user, attempt)}"
        waiting = level.join(name, seats, turn.set)
        if waiting is None:
            flow.rejected["queue-full" if level.spec.queues else "concurrency-limit"] += 1
            raise _too_many()
        began = self._registry.clock.monotonic()
        flow.in_queue += 1
        try:
            async with asyncio.timeout(LONGEST_WAIT_S):
                await turn.wait()
        except TimeoutError:
            if level.leave(waiting):
                flow.rejected["time-out"] += 1
                raise _too_many() from None
        except asyncio.CancelledError:
            if not level.leave(waiting):
                level.give_back(seats)
            flow.rejected["cancelled"] += 1
            raise
        finally:
            flow.in_queue -= 1
        if len(flow.waits) < KNOWN_FLOWS:
            flow.waits.append(self._registry.clock.monotonic() - began)

    def _classify(self, user: Identity, attempt: Attempt) -> Flow:
        return next((flow for flow in self._flows if flow.schema.matches(user, attempt)), self._flows[-1])

    def _configure(self) -> None:
        """Take the objects as they are now; those that must be there stand in for themselves until they are."""
        schemas, levels = self._caches
        self._seen = (schemas.writes, levels.writes)
        specs = {
            spec.name: spec for spec in map(level_spec, default_levels()) if spec.name in ("exempt", "catch-all")
        }
        specs |= {spec.name: spec for spec in _readable(level_spec, levels)}
        for name in self._levels.keys() - specs.keys():
            del self._levels[name]
        for name, spec in specs.items():
            known = self._levels.setdefault(name, Level(spec, self._levels.values()))
            known.configure(spec)
        share_out(self._levels.values(), self._seats)
        last = {
            one.name: one for one in map(flows.compiled, default_schemas()) if one.name in ("exempt", "catch-all")
        }
        last |= {one.name: one for one in _readable(flows.compiled, schemas)}
        before = {flow.schema.name: flow for flow in self._flows}
        self._flows = [
            _continued(Flow(one, self._levels[one.level]), before.get(one.name))
            for one in flows.in_order(last.values())
            if one.level in self._levels
        ]
        self._known.clear()


def _readable(read: Callable[[Tree], T], cache: ResourceCache) -> Iterator[T]:
    """The objects of a kind, but for those that no server of this age wrote: one may not stop all requests."""
    for record in cache.records.values():
        try:
            yield read(record.tree())
        except (KeyError, TypeError, ValueError):
            log.exception("flow control object cannot be read", name=record.name)


def _continued(flow: Flow, before: Flow | None) -> Flow:
    """A flow that goes on counting where the one before it stopped."""
    if before is not None:
        flow.dispatched, flow.rejected, flow.waits = before.dispatched, before.rejected, before.waits
    return flow


def _too_many() -> TooManyRequests:
    return TooManyRequests("too many requests, please try again later", retry_after_s=1)
