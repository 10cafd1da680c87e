"""What a node's silence means: its conditions, its taints, and how fast a zone may be cleared.

A node is heard of when its lease is renewed or its Ready condition beats; the time is that of our own clock at
the moment we see it, so that nodes' clocks don't matter. Where most of a zone falls silent, it is likelier that
we are cut off than that the nodes are dead: clearing slows down, and stops when every zone is silent.

Source: the Kubernetes documentation; Kubernetes' `pkg/controller/nodelifecycle`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import Enum

import msgspec

from bireme.api.kinds import core
from bireme.api.times import rfc3339
from bireme.controllers import taints
from bireme.controllers.settings import Settings

ZONE_LABELS = ("topology.kubernetes.io/region", "topology.kubernetes.io/zone")
_WATCHED = ("Ready", "MemoryPressure", "DiskPressure", "PIDPressure")
_OURS = frozenset((taints.NOT_READY, taints.UNREACHABLE, taints.UNSCHEDULABLE, *taints.OF_CONDITIONS.values()))


class Zone(Enum):
    """How a zone stands."""

    NORMAL = "normal"
    PARTIAL = "many of its nodes are silent"
    FULL = "all of its nodes are silent"


def ready_condition(node: core.Node) -> core.NodeCondition | None:
    """The node's Ready condition."""
    return next((item for item in node.status.conditions if item.type == "Ready"), None)


def readiness(node: core.Node) -> str:
    """True, False or Unknown; "" before the node has ever said."""
    ready = ready_condition(node)
    return ready.status if ready else ""


def zone_of(node: core.Node) -> str:
    """The region and zone that the node's labels name."""
    return "/".join(node.metadata.labels.get(label, "") for label in ZONE_LABELS)


def silenced(node: core.Node, *, now: datetime) -> core.Node:
    """The node with every condition that its kubelet should keep turned to Unknown."""
    stamp = rfc3339(now)
    there = {item.type: item for item in node.status.conditions}
    for type in _WATCHED:
        old = there.get(type)
        if old is None:
            there[type] = core.NodeCondition(
                type=type,
                status="Unknown",
                reason="NodeStatusNeverUpdated",
                message="Kubelet never posted node status.",
                last_heartbeat_time=node.metadata.creation_timestamp,
                last_transition_time=stamp,
            )
        elif old.status != "Unknown":
            there[type] = msgspec.structs.replace(
                old,
                status="Unknown",
                reason="NodeStatusUnknown",
                message="Kubelet stopped posting node status.",
                last_transition_time=stamp,
            )
    conditions = list(there.values())
    return msgspec.structs.replace(node, status=msgspec.structs.replace(node.status, conditions=conditions))


def wanted_taints(node: core.Node, *, evict: bool, now: datetime) -> list[core.Taint]:
    """The node's taints as its conditions demand; those of others stay. `evict` lets pods be driven off."""
    ready = readiness(node)
    health = {"False": taints.NOT_READY, "": taints.NOT_READY, "Unknown": taints.UNREACHABLE}.get(ready)
    keys = [(health, taints.NO_SCHEDULE)] if health else []
    if health and ready and evict:
        keys.append((health, taints.NO_EXECUTE))
    if node.spec.unschedulable:
        keys.append((taints.UNSCHEDULABLE, taints.NO_SCHEDULE))
    for condition in node.status.conditions:
        key = taints.OF_CONDITIONS.get(condition.type)
        if key and condition.status == "True":
            keys.append((key, taints.NO_SCHEDULE))
    there = {(item.key, item.effect): item for item in node.spec.taints}
    kept = [item for item in node.spec.taints if item.key not in _OURS or (item.key, item.effect) in keys]
    stamp = rfc3339(now)
    added = [
        core.Taint(key=key, effect=effect, time_added=stamp) for key, effect in keys if (key, effect) not in there
    ]
    return kept + added


def is_driven_off(node: core.Node) -> bool:
    """The node bears one of our NoExecute taints."""
    return any(
        item.effect == taints.NO_EXECUTE and item.key in (taints.NOT_READY, taints.UNREACHABLE)
        for item in node.spec.taints
    )


def zone_state(ready: int, silent: int, settings: Settings) -> Zone:
    """How a zone of so many ready and silent nodes stands."""
    if not ready and silent:
        return Zone.FULL
    if silent > 2 and silent / (ready + silent) >= settings.zone_unhealthy:
        return Zone.PARTIAL
    return Zone.NORMAL


def eviction_rate(zones: Sequence[tuple[int, int]], zone: tuple[int, int], settings: Settings) -> float:
    """Nodes a second that may be cleared in `zone`; each zone is given as (ready, silent)."""
    if all(zone_state(*item, settings) is Zone.FULL for item in zones):
        return 0.0
    if zone_state(*zone, settings) is not Zone.PARTIAL:
        return settings.node_eviction_rate
    return settings.node_eviction_rate_disrupted if sum(zone) > settings.zone_large else 0.0


@dataclass(slots=True)
class Turnstile:
    """Lets one through, then the next after the interval that the rate gives."""

    passed_at: float = float("-inf")

    def wait(self, rate: float, *, now: float) -> float | None:
        """Seconds until one may pass; 0 lets it pass and turns; None: nobody passes at this rate."""
        if rate <= 0:
            return None
        left = self.passed_at + 1 / rate - now
        if left > 0:
            return left
        self.passed_at = now
        return 0.0
