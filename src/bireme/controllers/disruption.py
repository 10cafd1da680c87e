"""Keep the status of each PodDisruptionBudget: how many of its pods may be evicted now.

The eviction verb spends what is written here (`registry/pods.py`). A pod that was evicted and is not gone yet
stays in `disruptedPods` and counts as unhealthy for two minutes. Source: the Kubernetes documentation on
disruption budgets.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import msgspec

from bireme.api.errors import NotFound
from bireme.api.kinds import apps, core, meta, policy
from bireme.api.model import IntOrString
from bireme.api.selectors import LabelSelector
from bireme.api.times import parse_time, rfc3339
from bireme.client.client import object_path
from bireme.client.informer import Key, key_of
from bireme.controllers.changes import Update
from bireme.controllers.controller import Context, Controller, Watch
from bireme.controllers.informers import Informers
from bireme.controllers.ownership import controller_of
from bireme.controllers.pods import is_ready
from bireme.controllers.rollout import scaled
from bireme.controllers.selecting import SELECTS, filed_selector, may_select

ALLOWED = "DisruptionAllowed"

Sized = apps.Deployment | apps.ReplicaSet | apps.StatefulSet | core.ReplicationController

# Of these the cache knows the size; others are asked for their scale.
_SIZED: Mapping[tuple[str, str], type[Sized]] = {
    ("apps", "Deployment"): apps.Deployment,
    ("apps", "ReplicaSet"): apps.ReplicaSet,
    ("apps", "StatefulSet"): apps.StatefulSet,
    ("", "ReplicationController"): core.ReplicationController,
}
DELETION_TIMEOUT = timedelta(minutes=2)


@dataclass(frozen=True, slots=True)
class Expected:
    """How many pods there should be, and how many of them healthy."""

    pods: int
    healthy: int


class NotScalable(Exception):
    """A pod's controller does not say how many pods it wants."""


def needs_scale(budget: policy.PodDisruptionBudget) -> bool:
    """Whether the budget counts against what controllers want, not against the pods that there are."""
    return budget.spec.max_unavailable is not None or isinstance(budget.spec.min_available, str)


def expected(budget: policy.PodDisruptionBudget, total: int) -> Expected:
    """What `budget` asks of `total` pods; shares are rounded up."""
    if budget.spec.max_unavailable is not None:
        return Expected(total, max(0, total - scaled(budget.spec.max_unavailable, total, round_up=True)))
    least: IntOrString = budget.spec.min_available if budget.spec.min_available is not None else 0
    return Expected(total, scaled(least, total, round_up=True))


def disrupted(
    budget: policy.PodDisruptionBudget, pods: Iterable[core.Pod], *, now: datetime
) -> tuple[dict[str, str], timedelta | None]:
    """The evicted pods that are still to go, and when the first of them will count again."""
    waiting: dict[str, str] = {}
    rest: timedelta | None = None
    known = budget.status.disrupted_pods
    for pod in pods:
        since = known.get(pod.metadata.name)
        if since is None or pod.metadata.deletion_timestamp:
            continue
        left = parse_time(since) + DELETION_TIMEOUT - now
        if left > timedelta():
            waiting[pod.metadata.name] = since
            rest = left if rest is None else min(rest, left)
    return waiting, rest


def healthy(pods: Iterable[core.Pod], waiting: dict[str, str]) -> int:
    """How many pods are ready and stay."""
    return sum(
        is_ready(pod) for pod in pods if not pod.metadata.deletion_timestamp and pod.metadata.name not in waiting
    )


def status(
    budget: policy.PodDisruptionBudget, wanted: Expected, current: int, waiting: dict[str, str], *, now: datetime
) -> policy.PodDisruptionBudgetStatus:
    """The status to write. A budget without pods allows nothing."""
    spare = max(0, current - wanted.healthy) if wanted.pods > 0 else 0
    reason = "SufficientPods" if spare else "InsufficientPods"
    return policy.PodDisruptionBudgetStatus(
        current_healthy=current,
        desired_healthy=wanted.healthy,
        disruptions_allowed=spare,
        expected_pods=wanted.pods,
        disrupted_pods=waiting,
        observed_generation=budget.metadata.generation,
        conditions=_conditions(budget, spare > 0, reason, "", budget.metadata.generation, now),
    )


def failed(budget: policy.PodDisruptionBudget, message: str, *, now: datetime) -> policy.PodDisruptionBudgetStatus:
    """The status when nothing can be counted: no pod may be evicted."""
    seen = budget.status.observed_generation
    conditions = _conditions(budget, False, "SyncFailed", message, seen, now)
    return msgspec.structs.replace(budget.status, disruptions_allowed=0, conditions=conditions)


def _conditions(
    budget: policy.PodDisruptionBudget, holds: bool, reason: str, message: str, seen: int | None, now: datetime
) -> list[meta.Condition]:
    said = "True" if holds else "False"
    old = next((item for item in budget.status.conditions if item.type == ALLOWED), None)
    since = old.last_transition_time if old is not None and old.status == said else rfc3339(now)
    made = meta.Condition(
        type=ALLOWED,
        status=said,
        reason=reason,
        message=message,
        observed_generation=seen,
        last_transition_time=since,
    )
    return [*(item for item in budget.status.conditions if item.type != ALLOWED), made]


def _selector(budget: policy.PodDisruptionBudget) -> LabelSelector:
    return LabelSelector.from_struct(budget.spec.selector)


def _filed(budget: policy.PodDisruptionBudget) -> Iterable[str]:
    return filed_selector(budget.metadata.namespace, budget.spec.selector)


def budgets_of(cache: Informers, old: core.Pod | None, new: core.Pod | None) -> Iterable[Key]:
    """The budgets that a changed pod counts for, or did."""
    there = [pod for pod in (old, new) if pod is not None]
    return {
        key_of(budget)
        for budget in may_select(cache, policy.PodDisruptionBudget, old, new)
        if any(_selector(budget).matches(pod.metadata.labels) for pod in there)
    }


def budgets_of_owner(cache: Informers, old: meta.Object | None, new: meta.Object | None) -> Iterable[Key]:
    """The budgets in the namespace of a set that was resized."""
    obj = new or old
    sizes = [getattr(getattr(item, "spec", None), "replicas", None) for item in (old, new)]
    if obj is None or (old is not None and new is not None and sizes[0] == sizes[1]):
        return ()
    return [key_of(budget) for budget in cache.within(policy.PodDisruptionBudget, obj.metadata.namespace)]


class DisruptionController(Controller):
    """Keep the status of each PodDisruptionBudget.

    Reads budgets, Pods and the scale of what controls the pods; writes the status of budgets.
    """

    name = "disruption-controller"
    watches = (
        Watch(policy.PodDisruptionBudget),
        Watch(core.Pod, keys=budgets_of),
        Watch(apps.ReplicaSet, keys=budgets_of_owner),
        Watch(apps.Deployment, keys=budgets_of_owner),
        Watch(core.ReplicationController, keys=budgets_of_owner),
        Watch(apps.StatefulSet, keys=budgets_of_owner),
    )

    def __init__(self, context: Context) -> None:
        context.informers.index(policy.PodDisruptionBudget, SELECTS, _filed)
        super().__init__(context)

    async def reconcile(self, key: Key) -> timedelta | None:
        budget = self.cache.get(policy.PodDisruptionBudget, key)
        if budget is None:
            return None
        selector, now = _selector(budget), self.clock.now()
        pods = [pod for pod in self.cache.within(core.Pod, key.namespace) if selector.matches(pod.metadata.labels)]
        if not pods:
            self.events.event(budget, "Normal", "NoPods", "No matching pods found")
        waiting, rest = disrupted(budget, pods, now=now)
        try:
            total = await self._scale(pods) if needs_scale(budget) else len(pods)
        except NotScalable as error:
            self.events.event(
                budget,
                "Warning",
                "CalculateExpectedPodCountFailed",
                f"Failed to calculate the number of expected pods: {error}",
            )
            made = failed(budget, str(error), now=now)
        else:
            made = status(budget, expected(budget, total), healthy(pods, waiting), waiting, now=now)
        if made != budget.status:
            await self.carry_out((Update(msgspec.structs.replace(budget, status=made), subresource="status"),))
        return timedelta(seconds=math.ceil(rest.total_seconds())) if rest is not None else None

    async def _scale(self, pods: Sequence[core.Pod]) -> int:
        """How many pods the controllers of `pods` want together; pods that nobody controls don't count."""
        sizes: dict[str, int] = {}
        for pod in pods:
            reference = controller_of(pod)
            if reference is None:
                continue
            owner, uid = reference, reference.uid
            replica_set = self.cache.get(apps.ReplicaSet, Key(pod.metadata.namespace, reference.name))
            if reference.kind == "ReplicaSet" and replica_set is not None and replica_set.metadata.uid == uid:
                owner = controller_of(replica_set) or reference
            if owner.uid not in sizes:
                size = await self._size_of(owner, pod.metadata.namespace)
                if size is not None:
                    sizes[owner.uid] = size
        return sum(sizes.values())

    async def _size_of(self, owner: meta.OwnerReference, namespace: str) -> int | None:
        """The replicas that the owner asks for; None where it is gone. Raises NotScalable."""
        group, _, version = owner.api_version.rpartition("/")
        kind = _SIZED.get((group, owner.kind))
        known = self.cache.get(kind, Key(namespace, owner.name)) if kind is not None else None
        if known is not None and known.metadata.uid == owner.uid:
            return 1 if known.spec.replicas is None else known.spec.replicas
        resource = self.scheme.of_kind(group, version, owner.kind)
        if resource is None or resource.subresource("scale") is None:
            title = resource.title if resource is not None else owner.kind
            raise NotScalable(f"{title} does not implement the scale subresource")
        try:
            path = object_path(resource, namespace, owner.name, "scale")
            scale = msgspec.json.decode((await self.client.request("GET", path)).body, type=_Scale)
        except NotFound:
            return None
        return scale.spec.replicas if scale.metadata.uid == owner.uid else None


class _ScaleSpec(msgspec.Struct):
    replicas: int = 0


class _ScaleMetadata(msgspec.Struct):
    uid: str = ""


class _Scale(msgspec.Struct):
    metadata: _ScaleMetadata
    spec: _ScaleSpec = msgspec.field(default_factory=_ScaleSpec)
