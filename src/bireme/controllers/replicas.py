"""How many pods a replica set should make or delete, which ones go first, and what its status says.

The same for ReplicaSets and ReplicationControllers; plain functions over pods as they are. Ranking for deletion
as in the Kubernetes documentation: what costs its users least goes first.
"""

import heapq
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from bireme.api.kinds import core, meta
from bireme.api.times import parse_time
from bireme.controllers import pods as pod_facts

BURST = 500
DELETION_COST = "controller.kubernetes.io/pod-deletion-cost"
_PHASES = {"Pending": 0, "Unknown": 1}
_LAST_PHASE = 2


@dataclass(frozen=True, slots=True)
class Plan:
    """How many pods to make, and which to delete."""

    create: int = 0
    delete: tuple[core.Pod, ...] = ()


@dataclass(frozen=True, slots=True)
class Counts:
    """Pods by what can be said of them; `soon` is when the next ready pod becomes available."""

    replicas: int = 0
    fully_labeled: int = 0
    ready: int = 0
    available: int = 0
    terminating: int = 0
    soon: datetime | None = None


def plan(wanted: int, active: Sequence[core.Pod], *, siblings: Iterable[core.Pod] = (), now: datetime) -> Plan:
    """What to do so that `wanted` of the active pods remain; at most `BURST` at once.

    `siblings` are active pods that do the same work under the same owner, these among them.
    """
    missing = wanted - len(active)
    if missing >= 0:
        return Plan(create=min(missing, BURST))
    return Plan(delete=tuple(first_to_go(active, min(-missing, BURST), siblings=siblings, now=now)))


def first_to_go(
    active: Sequence[core.Pod], number: int, *, siblings: Iterable[core.Pod] = (), now: datetime
) -> list[core.Pod]:
    """The `number` pods to delete first."""
    if number >= len(active):
        return list(active)
    crowd = Counter(pod.spec.node_name for pod in siblings if pod.spec.node_name and pod_facts.is_active(pod))
    return heapq.nsmallest(number, active, key=lambda pod: _rank(pod, crowd, now))


def _rank(pod: core.Pod, crowd: Mapping[str, int], now: datetime) -> tuple[Any, ...]:
    ready = pod_facts.is_ready(pod)
    ready_at = pod_facts.available_at(pod, min_ready_s=0) if ready else None
    created = pod.metadata.creation_timestamp
    return (
        bool(pod.spec.node_name),
        _PHASES.get(pod.status.phase, _LAST_PHASE),
        ready,
        deletion_cost(pod),
        -crowd.get(pod.spec.node_name, 0),
        _age(ready_at, now),
        -pod_facts.restarts(pod),
        _age(parse_time(created) if created else None, now),
        pod.metadata.uid,
    )


def _age(since: datetime | None, now: datetime) -> int:
    """The power of two that the seconds since then reach: pods of about one age are equals."""
    if since is None:
        return -1
    seconds = (now - since).total_seconds()
    return int(math.log2(seconds)) if seconds >= 1 else 0


def deletion_cost(pod: core.Pod) -> int:
    """What the pod's annotation says its deletion costs; 0 when it says nothing sensible."""
    text = pod.metadata.annotations.get(DELETION_COST, "")
    return int(text) if text.removeprefix("-").isdecimal() and len(text) <= 11 else 0


def count(
    owned: Iterable[core.Pod], *, template_labels: Mapping[str, str], min_ready_s: int, now: datetime
) -> Counts:
    """What the status says of the pods that a replica set owns."""
    replicas = fully_labeled = ready = available = terminating = 0
    soon: datetime | None = None
    labels = template_labels.items()
    for pod in owned:
        if pod_facts.is_ended(pod):
            continue
        metadata = pod.metadata
        if metadata.deletion_timestamp:
            terminating += 1
            continue
        replicas += 1
        fully_labeled += labels <= metadata.labels.items()
        if not pod_facts.is_ready(pod):
            continue
        ready += 1
        at = pod_facts.available_at(pod, min_ready_s=min_ready_s) if min_ready_s else None
        if at is None or at <= now:
            available += 1
        elif soon is None or at < soon:
            soon = at
    return Counts(replicas, fully_labeled, ready, available, terminating, soon)


def look_again(counts: Counts, *, now: datetime) -> timedelta | None:
    """When the next pod becomes available by the mere passing of time."""
    if counts.soon is None:
        return None
    return max(counts.soon - now, timedelta(milliseconds=1))


def pod_from(template: core.PodTemplateSpec, *, owner_name: str, namespace: str) -> core.Pod:
    """A pod of the template, named at random after its owner. It shares the template's parts: only encode it."""
    return core.Pod(
        metadata=meta.ObjectMeta(
            namespace=namespace,
            generate_name=f"{owner_name}-",
            labels=template.metadata.labels,
            annotations=template.metadata.annotations,
            finalizers=template.metadata.finalizers,
        ),
        spec=template.spec,
    )
