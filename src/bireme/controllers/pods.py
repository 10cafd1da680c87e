"""What controllers ask of a pod. Plain functions; the kubelet alone decides a pod's phase and conditions."""

from datetime import datetime, timedelta

from bireme.api.kinds import core
from bireme.api.times import parse_time

ENDED = frozenset(("Succeeded", "Failed"))


def condition(pod: core.Pod, type: str) -> core.PodCondition | None:
    """The condition of that type, if the pod has it."""
    return next((item for item in pod.status.conditions if item.type == type), None)


def is_ended(pod: core.Pod) -> bool:
    """The pod has succeeded or failed: it will never run again."""
    return pod.status.phase in ENDED


def is_active(pod: core.Pod) -> bool:
    """The pod counts as a replica: neither ended nor being deleted."""
    return not is_ended(pod) and not pod.metadata.deletion_timestamp


def is_ready(pod: core.Pod) -> bool:
    """The pod's Ready condition is true."""
    # A plain loop: this is asked of every pod of a set at each look.
    for item in pod.status.conditions:
        if item.type == "Ready":
            return item.status == "True"
    return False


def available_at(pod: core.Pod, *, min_ready_s: int) -> datetime | None:
    """When the pod has been, or will have been, ready for `min_ready_s`; None while it is not ready."""
    ready = condition(pod, "Ready")
    if ready is None or ready.status != "True":
        return None
    return parse_time(ready.last_transition_time) + timedelta(seconds=min_ready_s)


def is_available(pod: core.Pod, *, min_ready_s: int, now: datetime) -> bool:
    """The pod has been ready for at least `min_ready_s`."""
    if not min_ready_s:
        return is_ready(pod)
    at = available_at(pod, min_ready_s=min_ready_s)
    return at is not None and at <= now


def restarts(pod: core.Pod) -> int:
    """The highest restart count of any container, sidecars too."""
    statuses = (*pod.status.container_statuses, *pod.status.init_container_statuses)
    return max((item.restart_count or 0 for item in statuses), default=0)
