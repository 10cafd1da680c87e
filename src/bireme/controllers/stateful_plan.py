"""Which pods of a StatefulSet to make and to delete next. Plain functions.

In order, each pod waits until all before it are available; those that are too many go from the last; then those of an
old revision, from the last down to the partition. In parallel nobody waits but the update.
Source: the Kubernetes documentation, StatefulSets.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from bireme.api.kinds import apps, core
from bireme.controllers import pods
from bireme.controllers.histories import HASH


@dataclass(frozen=True, slots=True)
class View:
    """A StatefulSet as it is: pods by their ordinal, revisions by name."""

    spec: apps.StatefulSetSpec
    pods: Mapping[int, core.Pod]
    current: str
    update: str
    now: datetime

    @property
    def ordinals(self) -> range:
        """The ordinals that should have pods."""
        start = (self.spec.ordinals.start if self.spec.ordinals else 0) or 0
        return range(start, start + (1 if self.spec.replicas is None else self.spec.replicas))

    @property
    def is_ordered(self) -> bool:
        """Each pod waits for the one before it."""
        return self.spec.pod_management_policy != "Parallel"

    @property
    def rolling(self) -> apps.RollingUpdateStatefulSetStrategy | None:
        """How an update goes on by itself; None where users delete old pods."""
        strategy = self.spec.update_strategy
        if strategy is not None and strategy.type == "OnDelete":
            return None
        return (strategy.rolling_update if strategy else None) or apps.RollingUpdateStatefulSetStrategy()

    @property
    def condemned(self) -> list[core.Pod]:
        """Pods that are too many, the last first."""
        wanted = self.ordinals
        return [self.pods[ordinal] for ordinal in sorted(self.pods, reverse=True) if ordinal not in wanted]

    def is_healthy(self, pod: core.Pod) -> bool:
        """The pod runs, has been ready for long enough, and stays."""
        if pod.metadata.deletion_timestamp or pod.status.phase != "Running":
            return False
        return pods.is_available(pod, min_ready_s=self.spec.min_ready_seconds or 0, now=self.now)


@dataclass(slots=True)
class Plan:
    """Ordinals to make, pods to delete."""

    create: list[int] = field(default_factory=list)
    delete: list[core.Pod] = field(default_factory=list)


def plan(view: View) -> Plan:
    """What to do next."""
    wanted = Plan()
    if _fill(view, wanted) and _shrink(view, wanted) and not wanted.create:
        _update(view, wanted)
    return wanted


def _fill(view: View, wanted: Plan) -> bool:
    """Make what is missing, delete what has ended; whether to go on."""
    for ordinal in view.ordinals:
        pod = view.pods.get(ordinal)
        if pod is None:
            wanted.create.append(ordinal)
        elif pods.is_ended(pod):
            if not pod.metadata.deletion_timestamp:
                wanted.delete.append(pod)
        elif view.is_healthy(pod):
            continue
        if view.is_ordered:
            return False
    return True


def _shrink(view: View, wanted: Plan) -> bool:
    """Delete what is too many; whether to go on."""
    for pod in view.condemned:
        if not pod.metadata.deletion_timestamp:
            wanted.delete.append(pod)
        if view.is_ordered:
            return False
    return True


def _update(view: View, wanted: Plan) -> None:
    """Delete pods of an old revision, from the last, as many as may be away at once."""
    rolling = view.rolling
    if rolling is None:
        return
    there = [(ordinal, view.pods[ordinal]) for ordinal in view.ordinals if ordinal in view.pods]
    away = sum(not view.is_healthy(pod) for _, pod in there)
    budget = max_unavailable(rolling, len(view.ordinals)) - away
    first = view.ordinals.start + (rolling.partition or 0)
    for ordinal, pod in reversed(there):
        if ordinal < first:
            return
        if revision_of(pod) == view.update or pod.metadata.deletion_timestamp:
            continue
        if view.is_healthy(pod):
            if budget <= 0:
                return
            budget -= 1
        if pod not in wanted.delete:
            wanted.delete.append(pod)


def max_unavailable(rolling: apps.RollingUpdateStatefulSetStrategy, replicas: int) -> int:
    """How many pods an update may take away at once; at least one."""
    said = rolling.max_unavailable
    if isinstance(said, str):
        return max(1, math.ceil(int(said.removesuffix("%")) * replicas / 100))
    return max(1, said or 1)


def revision_of(pod: core.Pod) -> str:
    """The name of the revision that the pod was made from."""
    return pod.metadata.labels.get(HASH, "")


def revision_for(view: View, ordinal: int, *, current_replicas: int) -> str:
    """The revision of which a new pod is made: the old one below the partition of an update."""
    rolling = view.rolling
    if rolling is None:
        return view.update
    place = ordinal - view.ordinals.start
    below = place < rolling.partition if rolling.partition is not None else place < current_replicas
    return view.current if below else view.update


def status(view: View, set_: apps.StatefulSet, owned: Sequence[core.Pod]) -> apps.StatefulSetStatus:
    """What the status should say."""
    staying = [pod for pod in owned if not pod.metadata.deletion_timestamp]
    ready = sum(pod.status.phase == "Running" and pods.is_ready(pod) for pod in owned)
    updated = sum(revision_of(pod) == view.update for pod in staying)
    done = view.rolling is not None and updated == ready == len(owned) == len(view.ordinals)
    current = view.update if done else view.current
    return apps.StatefulSetStatus(
        replicas=len(owned),
        ready_replicas=ready or None,
        available_replicas=sum(view.is_healthy(pod) for pod in owned),
        current_replicas=sum(revision_of(pod) == current for pod in staying) or None,
        updated_replicas=updated or None,
        current_revision=current,
        update_revision=view.update,
        observed_generation=set_.metadata.generation,
        collision_count=set_.status.collision_count or 0,
        conditions=set_.status.conditions,
    )


def look_again(view: View, owned: Sequence[core.Pod]) -> timedelta | None:
    """When the next ready pod becomes available by the mere passing of time."""
    least = view.spec.min_ready_seconds
    if not least:
        return None
    times = [at for pod in owned if (at := pods.available_at(pod, min_ready_s=least)) and at > view.now]
    return min(times) - view.now if times else None
