"""Taints and tolerations: who is kept off a node, and for how long one may stay on it."""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

from bireme.api.kinds import core
from bireme.api.times import parse_time

NO_SCHEDULE = "NoSchedule"
NO_EXECUTE = "NoExecute"

PREFIX = "node.kubernetes.io/"
NOT_READY = f"{PREFIX}not-ready"
UNREACHABLE = f"{PREFIX}unreachable"
OUT_OF_SERVICE = f"{PREFIX}out-of-service"
UNSCHEDULABLE = f"{PREFIX}unschedulable"
OF_CONDITIONS = {
    "MemoryPressure": f"{PREFIX}memory-pressure",
    "DiskPressure": f"{PREFIX}disk-pressure",
    "PIDPressure": f"{PREFIX}pid-pressure",
    "NetworkUnavailable": f"{PREFIX}network-unavailable",
}


def tolerates(toleration: core.Toleration, taint: core.Taint) -> bool:
    """The toleration is about this taint."""
    if toleration.effect and toleration.effect != taint.effect:
        return False
    if toleration.key and toleration.key != taint.key:
        return False
    if toleration.operator == "Exists":
        return True
    return bool(toleration.key) and toleration.value == taint.value


def stays_until(
    taints: Iterable[core.Taint], tolerations: Sequence[core.Toleration], *, since: datetime
) -> datetime | None:
    """When a pod must leave because of the NoExecute taints: None for never, `since` for at once.

    Times count from when a taint was added, but from `since` (when the pod came) if that was later.
    """
    leaves: datetime | None = None
    for taint in taints:
        if taint.effect != NO_EXECUTE:
            continue
        about = [item for item in tolerations if tolerates(item, taint)]
        if not about:
            return since
        seconds = [item.toleration_seconds for item in about if item.toleration_seconds is not None]
        if not seconds:
            continue
        added = max(parse_time(taint.time_added), since) if taint.time_added else since
        until = added + timedelta(seconds=max(0, min(seconds)))
        leaves = until if leaves is None or until < leaves else leaves
    return leaves
