"""What the API server counts of itself, under the names that dashboards for Kubernetes know.

Feeding costs a look into a dictionary and one count for each request; everything else is made when the page is asked
for. Left to others: the page's form (`exposition.py`), figures of other parts (`add`).
Source: the Kubernetes metrics reference.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

from bireme.apiserver.fair_queues import Level
from bireme.apiserver.flowcontrol import WAIT_BUCKETS, Flow, FlowControl
from bireme.apiserver.routes import Route
from bireme.apiserver.warnings import deprecation_of
from bireme.http.exposition import MEDIA, Histogram, family, sample
from bireme.http.interface import Response
from bireme.registry.kinds import Kinds
from bireme.registry.verbs import Registry
from bireme.registry.watch_cache import WatchCache

Source = Callable[[], str]

BYTES = (1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9)
SECONDS = (0.005, 0.025, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0, 1.25, 1.5, 2, 3, 4, 5, 6, 8, 10, 15, 20, 30, 45, 60)
_VERBS = {"create": "POST", "update": "PUT"}


class _What(NamedTuple):
    """What requests were for. Names, not kinds: those that users bring come and go."""

    verb: str
    group: str
    version: str
    resource: str
    subresource: str
    scope: str
    dry_run: bool


class _Served:
    """Requests for one thing: how many by code, how long they took, and how large what was read is."""

    __slots__ = ("by_code", "seconds", "sizes")

    def __init__(self) -> None:
        self.by_code: dict[int, int] = {}
        self.seconds = Histogram(SECONDS)
        self.sizes = Histogram(BYTES)


class Metrics:
    """Requests by what they were for, and what other parts add."""

    def __init__(self) -> None:
        self._served: dict[_What, _Served] = {}
        self._sources: list[Source] = []
        self._turned_away: Counter[tuple[_What, int]] = Counter()
        self.in_flight = {"mutating": 0, "readOnly": 0}
        self._deprecated: set[_What] = set()

    def add(self, source: Source) -> None:
        """Have `source` give further lines at each look."""
        self._sources.append(source)

    def remove(self, source: Source) -> None:
        """Ask `source` no more."""
        self._sources.remove(source)

    def count(
        self, route: Route, code: int, seconds: float, *, dry_run: bool = False, size: int = 0, times: int = 1
    ) -> None:
        """One more request was answered, or so many alike, with a body of so many bytes."""
        key = _what(route, dry_run=dry_run)
        served = self._served.get(key)
        if served is None:
            served = self._served[key] = _Served()
            if deprecation_of(route.kind):
                self._deprecated.add(key)
        served.by_code[code] = served.by_code.get(code, 0) + times
        if route.verb != "watch":
            served.seconds.observe(seconds, times=times)
        if size and route.verb in ("get", "list"):
            served.sizes.observe(size)

    def turned_away(self, route: Route, code: int, *, times: int = 1) -> None:
        """A request, or so many alike, was refused or cut off for the sake of the others."""
        self._turned_away[_what(route), code] += times

    @contextmanager
    def under_way(self, *, mutating: bool, requests: int = 1) -> Iterator[None]:
        """Count a request, or so many, while it is served."""
        kind = "mutating" if mutating else "readOnly"
        self.in_flight[kind] += requests
        try:
            yield
        finally:
            self.in_flight[kind] -= requests

    def answer(self) -> Response:
        """The page."""
        lines = [*self._requests(), *self._durations(), *self._in_flight(), *self._deprecations()]
        lines += [*self._response_sizes(), *self._terminations()]
        lines += [source().rstrip("\n") for source in self._sources]
        return Response(200, ("\n".join(line for line in lines if line) + "\n").encode(), {}, MEDIA)

    def _requests(self) -> list[str]:
        name = "apiserver_request_total"
        text = "Counter of apiserver requests broken out for each verb, resource and HTTP response code."
        lines = [
            sample(name, {"code": code, "component": "apiserver", **_labels(key, dry_run=True)}, count)
            for key, served in self._served.items()
            for code, count in served.by_code.items()
        ]
        return family(name, "counter", text, lines)

    def _durations(self) -> list[str]:
        name = "apiserver_request_duration_seconds"
        text = "Response latency distribution in seconds for each verb, resource and scope."
        timed = [(key, served.seconds) for key, served in self._served.items() if served.seconds.total]
        lines = [
            line
            for key, seconds in timed
            for line in seconds.samples(name, {"component": "apiserver", **_labels(key, dry_run=True)})
        ]
        sli = "apiserver_request_sli_duration_seconds"
        told = [
            line
            for key, seconds in timed
            for line in seconds.samples(sli, {"component": "apiserver", **_labels(key, dry_run=False)})
            if not key.dry_run
        ]
        about = "Response latency distribution in seconds, not counting webhook duration and waiting in queues."
        return [*family(name, "histogram", text, lines), *family(sli, "histogram", about, told)]

    def _in_flight(self) -> list[str]:
        name = "apiserver_current_inflight_requests"
        text = "Maximal number of currently used inflight request limit of this apiserver per request kind."
        return family(name, "gauge", text, [sample(name, {"request_kind": k}, n) for k, n in self.in_flight.items()])

    def _response_sizes(self) -> list[str]:
        name = "apiserver_response_sizes"
        lines = [
            line
            for key, served in self._served.items()
            if served.sizes.total
            for line in served.sizes.samples(name, {"component": "apiserver", **_labels(key, dry_run=False)})
        ]
        return family(name, "histogram", "Response size distribution in bytes, of reads.", lines)

    def _terminations(self) -> list[str]:
        name = "apiserver_request_terminations_total"
        lines = [
            sample(name, {"code": code, "component": "apiserver", **_labels(key, dry_run=False)}, count)
            for (key, code), count in self._turned_away.items()
        ]
        return family(name, "counter", "Requests which the apiserver terminated in self-defense.", lines)

    def _deprecations(self) -> list[str]:
        name = "apiserver_requested_deprecated_apis"
        text = "Gauge of deprecated APIs that have been requested, broken out by API group, version and resource."
        lines = [
            sample(name, {**dict(labels), "removed_release": ""}, 1)
            for labels in sorted({tuple(_resource(what).items()) for what in self._deprecated})
        ]
        return family(name, "gauge", text, lines)


def _what(route: Route, *, dry_run: bool = False) -> _What:
    scope = "resource" if route.name else "namespace" if route.namespace else "cluster"
    kind = route.kind.resource
    return _What(route.verb, kind.group, kind.version, kind.plural, route.subresource, scope, dry_run)


def _labels(what: _What, *, dry_run: bool) -> dict[str, str]:
    said = {"dry_run": "All" if what.dry_run else ""} if dry_run else {}
    return {**said, **_resource(what), "scope": what.scope, "verb": _VERBS.get(what.verb, what.verb.upper())}


def _resource(what: _What) -> dict[str, str]:
    return {
        "group": what.group,
        "version": what.version,
        "resource": what.resource,
        "subresource": what.subresource,
    }


def store_size(registry: Registry) -> str:
    """How much of the disk is taken."""
    name = "apiserver_storage_size_bytes"
    line = sample(name, {"storage_cluster_id": "etcd-0"}, registry.store.statistics().size_bytes)
    return "\n".join(
        family(name, "gauge", "Size of the storage database file physically allocated in bytes.", [line])
    )


def stored_and_watched(cache: WatchCache, kinds: Kinds) -> str:
    """How much is kept, who watches, and what they were told."""
    lines: dict[str, list[str]] = {"objects": [], "stored": [], "watching": [], "events": []}
    seen = set()
    for kind in kinds.all():
        if kind.is_alias or kind.key_prefix in seen:
            continue
        seen.add(kind.key_prefix)
        resource, held = kind.resource, cache.of(kind.resource)
        names = {"group": resource.group, "resource": resource.plural}
        whole = {"group": resource.group, "version": resource.version, "resource": resource.plural}
        lines["objects"].append(sample("apiserver_resource_objects", names, len(held.records)))
        lines["stored"].append(sample("apiserver_storage_objects", {"resource": resource.title}, len(held.records)))
        watchers = len(held.watchers())
        if watchers:
            said = {"component": "apiserver", **whole, "scope": "cluster", "subresource": "", "verb": "WATCH"}
            lines["watching"].append(sample("apiserver_longrunning_requests", said, watchers))
        if held.told:
            lines["events"].append(sample("apiserver_watch_events_total", whole, held.told))
    made = [
        *family("apiserver_resource_objects", "gauge", "Number of stored objects by kind.", lines["objects"]),
        *family("apiserver_storage_objects", "gauge", "Number of stored objects by kind.", lines["stored"]),
        *family("apiserver_longrunning_requests", "gauge", "Active long-running requests.", lines["watching"]),
        *family("apiserver_watch_events_total", "counter", "Events sent to watch clients.", lines["events"]),
    ]
    return "\n".join(made)


def flows(control: FlowControl) -> str:
    """What priority and fairness did."""
    found = list(control.flows())
    made = [
        *_by_flow("current_executing_requests", "gauge", "Requests being served.", found, lambda one: one.executing),
        *_by_flow("current_inqueue_requests", "gauge", "Requests waiting.", found, lambda one: one.in_queue),
        *_by_flow("dispatched_requests_total", "counter", "Requests served.", found, lambda one: one.dispatched),
        *_rejected(found),
        *_waits(found),
        *_by_level("current_executing_seats", "Seats in use.", control, lambda one: one.in_use),
        *_by_level("nominal_limit_seats", "Seats of a level by its shares.", control, lambda one: one.nominal),
        *_by_level("lower_limit_seats", "Seats that a level keeps.", control, lambda one: one.nominal - one.lendable),
        *_by_level("current_limit_seats", "Seats that a level has now.", control, lambda one: one.limit),
    ]
    return "\n".join(made)


def _by_flow(name: str, kind: str, text: str, found: Iterable[Flow], value: Callable[[Flow], int]) -> list[str]:
    full = f"apiserver_flowcontrol_{name}"
    return family(full, kind, text, [sample(full, _flow(one), value(one)) for one in found])


def _by_level(name: str, text: str, control: FlowControl, value: Callable[[Level], int]) -> list[str]:
    full = f"apiserver_flowcontrol_{name}"
    lines = [sample(full, {"priority_level": one.spec.name}, value(one)) for one in control.levels()]
    return family(full, "gauge", text, lines)


def _rejected(found: Iterable[Flow]) -> list[str]:
    name = "apiserver_flowcontrol_rejected_requests_total"
    lines = [
        sample(name, {**_flow(one), "reason": reason}, count)
        for one in found
        for reason, count in sorted(one.rejected.items())
    ]
    return family(name, "counter", "Requests refused.", lines)


def _waits(found: Iterable[Flow]) -> list[str]:
    name = "apiserver_flowcontrol_request_wait_duration_seconds"
    lines: list[str] = []
    for one in found:
        if one.dispatched:
            waits = Histogram(WAIT_BUCKETS)
            for seconds in one.waits:
                waits.observe(seconds)
            waits.counts[0] += max(0, one.dispatched - len(one.waits))
            lines += waits.samples(name, {"execute": "true", **_flow(one)})
    return family(name, "histogram", "Time that requests waited for a seat.", lines)


def _flow(one: Flow) -> dict[str, object]:
    return {"flow_schema": one.schema.name, "priority_level": one.schema.level}
