"""What a Deployment's status says: counts, and the conditions Available, Progressing and ReplicaFailure.

Progressing tells whether the rollout moves: each change of the counts for the better renews it, and without one
for `progressDeadlineSeconds` it turns false. Reasons and messages are those of Kubernetes, since `kubectl rollout
status` and many scripts read them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import msgspec

from bireme.api.kinds import apps
from bireme.api.times import parse_time, rfc3339
from bireme.controllers.rollout import available, bounds, replicas_of, total

Conditions = list[apps.DeploymentCondition]

_NO_DEADLINE = 2**31 - 1


@dataclass(frozen=True, slots=True)
class Said:
    """A condition's status, reason and message."""

    type: str
    status: str
    reason: str
    message: str


def find(conditions: Sequence[apps.DeploymentCondition], type: str) -> apps.DeploymentCondition | None:
    """The condition of that type."""
    return next((item for item in conditions if item.type == type), None)


def with_condition(conditions: Conditions, said: Said, *, now: datetime) -> Conditions:
    """The conditions with `said` among them; unchanged where status and reason are the same already."""
    current = find(conditions, said.type)
    if current is not None and (current.status, current.reason) == (said.status, said.reason):
        return conditions
    stamp = rfc3339(now)
    steady = current is not None and current.status == said.status
    fresh = apps.DeploymentCondition(
        type=said.type,
        status=said.status,
        reason=said.reason,
        message=said.message,
        last_update_time=stamp,
        last_transition_time=current.last_transition_time if current and steady else stamp,
    )
    return [*without(conditions, said.type), fresh]


def without(conditions: Conditions, type: str) -> Conditions:
    """The conditions but that of one type."""
    return [item for item in conditions if item.type != type]


def has_deadline(deployment: apps.Deployment) -> bool:
    """A rollout that does not move is to be reported."""
    return deployment.spec.progress_deadline_seconds not in (None, _NO_DEADLINE)


def counted(
    deployment: apps.Deployment, new: apps.ReplicaSet | None, old: Sequence[apps.ReplicaSet], *, now: datetime
) -> apps.DeploymentStatus:
    """The status with fresh counts and Available; the other conditions as they were."""
    every = [*([new] if new else []), *old]
    have = available(every)
    status = apps.DeploymentStatus(
        observed_generation=deployment.metadata.generation,
        replicas=sum(item.status.replicas or 0 for item in every) or None,
        updated_replicas=(new.status.replicas if new else None) or None,
        ready_replicas=sum(item.status.ready_replicas or 0 for item in every) or None,
        available_replicas=have or None,
        unavailable_replicas=max(0, total(every) - have) or None,
        terminating_replicas=sum(item.status.terminating_replicas or 0 for item in every),
        collision_count=deployment.status.collision_count,
        conditions=deployment.status.conditions,
    )
    if have >= replicas_of(deployment) - bounds(deployment).unavailable:
        said = Said("Available", "True", "MinimumReplicasAvailable", "Deployment has minimum availability.")
    else:
        said = Said(
            "Available", "False", "MinimumReplicasUnavailable", "Deployment does not have minimum availability."
        )
    status.conditions = with_condition(status.conditions, said, now=now)
    return status


def is_complete(deployment: apps.Deployment, status: apps.DeploymentStatus) -> bool:
    """Every wanted pod is of the new template and available, and no other is left."""
    wanted = replicas_of(deployment)
    have = (status.updated_replicas or 0, status.replicas or 0, status.available_replicas or 0)
    return have == (wanted, wanted, wanted) and (status.observed_generation or 0) >= (
        deployment.metadata.generation or 0
    )


def has_moved(before: apps.DeploymentStatus, after: apps.DeploymentStatus) -> bool:
    """The rollout got further: more new, ready or available pods, or fewer old ones."""

    def old(status: apps.DeploymentStatus) -> int:
        return (status.replicas or 0) - (status.updated_replicas or 0)

    return (
        (after.updated_replicas or 0) > (before.updated_replicas or 0)
        or old(after) < old(before)
        or (after.ready_replicas or 0) > (before.ready_replicas or 0)
        or (after.available_replicas or 0) > (before.available_replicas or 0)
    )


def deadline(deployment: apps.Deployment, conditions: Sequence[apps.DeploymentCondition]) -> datetime | None:
    """When the rollout will be called stuck, if it goes on as it is."""
    progressing = find(conditions, "Progressing")
    if not has_deadline(deployment) or progressing is None or not progressing.last_update_time:
        return None
    if progressing.reason in ("NewReplicaSetAvailable", "ProgressDeadlineExceeded", "DeploymentPaused"):
        return None
    return parse_time(progressing.last_update_time) + timedelta(
        seconds=deployment.spec.progress_deadline_seconds or 0
    )


def rolled(
    deployment: apps.Deployment, new: apps.ReplicaSet | None, old: Sequence[apps.ReplicaSet], *, now: datetime
) -> apps.DeploymentStatus:
    """The status in the course of a rollout: counts, Available, Progressing, ReplicaFailure."""
    status = counted(deployment, new, old, now=now)
    current = find(deployment.status.conditions, "Progressing")
    if not has_deadline(deployment):
        status.conditions = without(status.conditions, "Progressing")
    elif not (current and current.reason == "NewReplicaSetAvailable" and status.replicas == status.updated_replicas):
        status.conditions = _progress(deployment, status, new, now=now)
    failure = next(
        (
            condition
            for item in [*([new] if new else []), *old]
            for condition in item.status.conditions
            if condition.type == "ReplicaFailure"
        ),
        None,
    )
    if failure is None:
        status.conditions = without(status.conditions, "ReplicaFailure")
    else:
        said = Said("ReplicaFailure", failure.status, failure.reason, failure.message)
        status.conditions = with_condition(status.conditions, said, now=now)
    return status


def _progress(
    deployment: apps.Deployment, status: apps.DeploymentStatus, new: apps.ReplicaSet | None, *, now: datetime
) -> Conditions:
    name = f'ReplicaSet "{new.metadata.name}"' if new else f'Deployment "{deployment.metadata.name}"'
    conditions = status.conditions
    if is_complete(deployment, status):
        said = Said("Progressing", "True", "NewReplicaSetAvailable", f"{name} has successfully progressed.")
        return with_condition(conditions, said, now=now)
    if has_moved(deployment.status, status):
        said = Said("Progressing", "True", "ReplicaSetUpdated", f"{name} is progressing.")
        current = find(conditions, "Progressing")
        fresh = with_condition(without(conditions, "Progressing"), said, now=now)
        if current is not None and current.status == "True":
            *rest, last = fresh
            return [*rest, msgspec.structs.replace(last, last_transition_time=current.last_transition_time)]
        return fresh
    at = deadline(deployment, conditions)
    if at is not None and at < now:
        said = Said("Progressing", "False", "ProgressDeadlineExceeded", f"{name} has timed out progressing.")
        return with_condition(conditions, said, now=now)
    return conditions
