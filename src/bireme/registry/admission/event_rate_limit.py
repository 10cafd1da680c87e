"""EventRateLimit: no flood of events, of the whole server, a namespace, a user, or a source about one object.

Each limit fills a bucket of `burst` events at `qps` a second, for each key that it tells apart; of the keys those
that spoke last are kept. Events of both groups count. Off unless asked for. Source: the Kubernetes documentation on
admission control.
"""

from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bireme.api.errors import TooManyRequests
from bireme.registry.admission.chain import Attributes, Operation, Plugin
from bireme.registry.kinds import Kind

Tree = dict[str, Any]
EVENTS = (("Event", ""), ("Event", "events.k8s.io"))
USUAL_KEYS = 4096


@dataclass(frozen=True, slots=True)
class EventLimit:
    """So many events at once and so many a second, for each `kind` of key; the server has one key alone."""

    kind: str
    qps: int
    burst: int
    keys: int = USUAL_KEYS


class EventRateLimit(Plugin):
    """See the module."""

    name = "EventRateLimit"

    def __init__(self, limits: Sequence[EventLimit], monotonic: Callable[[], float]) -> None:
        self._limits = [_Limit(limit, monotonic) for limit in limits]

    def handles(self, operation: Operation, kind: Kind, subresource: str) -> bool:
        return operation in ("CREATE", "UPDATE") and any(kind.is_a(*event) for event in EVENTS)

    async def validate(self, attributes: Attributes) -> None:
        if attributes.call.dry_run:
            return
        reached = [limit.fault(attributes) for limit in self._limits]  # each counts, whatever the others say
        if faults := [fault for fault in reached if fault]:
            raise TooManyRequests(faults[0] if len(faults) == 1 else f"[{', '.join(faults)}]")


class _Limit:
    """One limit: by key, when its bucket was looked at last and what was in it then."""

    def __init__(self, limit: EventLimit, monotonic: Callable[[], float]) -> None:
        self._limit, self._monotonic = limit, monotonic
        self._key_of = KEYS[limit.kind]
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def fault(self, attributes: Attributes) -> str:
        """Take one from the bucket; what to say where there is none."""
        limit, key, now = self._limit, self._key_of(attributes), self._monotonic()
        then, held = self._buckets.pop(key, (now, float(limit.burst)))
        held = min(limit.burst, held + (now - then) * limit.qps)
        has_one = held >= 1
        self._buckets[key] = (now, held - has_one)
        if len(self._buckets) > limit.keys:
            self._buckets.popitem(last=False)
        return "" if has_one else f"limit reached on type {limit.kind} for key {key}"


def _source_and_object(attributes: Attributes) -> str:
    tree = attributes.tree or {}
    source, about = tree.get("source") or tree.get("deprecatedSource") or {}, tree.get("involvedObject")
    about = about or tree.get("regarding") or {}
    parts = [source.get("component"), source.get("host")]
    parts += [about.get(field) for field in ("kind", "namespace", "name", "uid", "apiVersion")]
    return "".join(part or "" for part in parts)


KEYS: Mapping[str, Callable[[Attributes], str]] = {
    "Server": lambda attributes: "",
    "Namespace": lambda attributes: attributes.namespace,
    "User": lambda attributes: attributes.call.user.name,
    "SourceAndObject": _source_and_object,
}
