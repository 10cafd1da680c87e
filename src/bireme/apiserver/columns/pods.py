"""The row of a pod. Source: the Kubernetes documentation, Pod Status."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from bireme.apiserver.columns.column import (
    NONE,
    Cells,
    Printer,
    Tree,
    age_of,
    columns,
    has_condition,
    human_duration,
    name_of,
    time_of,
)

COMPLETED = {"Succeeded": "The pod has completed successfully.", "Failed": "The pod failed."}


@dataclass(slots=True)
class _Count:
    """What is summed over containers."""

    ready: int = 0
    restarts: int = 0
    last_restart: datetime | None = None

    def restarted(self, container: Tree) -> None:
        self.restarts += container.get("restartCount") or 0
        ended = ((container.get("lastState") or {}).get("terminated") or {}).get("finishedAt")
        moment = time_of(ended)
        if moment and (self.last_restart is None or moment > self.last_restart):
            self.last_restart = moment


def pod_cells(tree: Tree, now: datetime) -> Cells:
    """The cells of a pod."""
    spec, status = tree.get("spec") or {}, tree.get("status") or {}
    sidecars = {
        each.get("name") for each in spec.get("initContainers") or () if each.get("restartPolicy") == "Always"
    }
    total = len(spec.get("containers") or ()) + len(sidecars)
    text, count = _status(tree, spec, status, sidecars)
    restarts: int | str = count.restarts
    if count.restarts and count.last_restart:
        restarts = f"{count.restarts} ({human_duration((now - count.last_restart).total_seconds())} ago)"
    addresses = [each.get("ip") for each in status.get("podIPs") or ()]
    return [
        name_of(tree),
        f"{count.ready}/{total}",
        text,
        str(restarts),
        age_of(tree, now),
        (addresses[0] if addresses else status.get("podIP")) or NONE,
        spec.get("nodeName") or NONE,
        status.get("nominatedNodeName") or NONE,
        _gates(spec, status),
    ]


def _gates(spec: Tree, status: Tree) -> str:
    gates = spec.get("readinessGates") or ()
    if not gates:
        return NONE
    return f"{sum(has_condition(status, gate.get('conditionType') or '') for gate in gates)}/{len(gates)}"


def _status(tree: Tree, spec: Tree, status: Tree, sidecars: set[str | None]) -> tuple[str, _Count]:
    """The one word for the pod's state, and the counts of its containers."""
    phase = status.get("phase") or ""
    reason = status.get("reason") or phase
    conditions = status.get("conditions") or ()
    if any(each.get("type") == "PodScheduled" and each.get("reason") == "SchedulingGated" for each in conditions):
        reason = "SchedulingGated"
    inits = status.get("initContainerStatuses") or ()
    init_reason, count = _init_stage(inits, len(spec.get("initContainers") or ()), sidecars)
    if init_reason and not has_condition(status, "Initialized"):
        reason = init_reason
    else:
        reason = _app_stage(reason, status, (each for each in inits if each.get("name") in sidecars), count)
    if (tree.get("metadata") or {}).get("deletionTimestamp"):
        if status.get("reason") == "NodeLost":
            reason = "Unknown"
        elif phase not in ("Succeeded", "Failed"):
            reason = "Terminating"
    return reason, count


def _init_stage(inits: Iterable[Tree], total: int, sidecars: set[str | None]) -> tuple[str, _Count]:
    """What the first init container that isn't done is at; "" when all are."""
    count = _Count()
    for index, container in enumerate(inits):
        count.restarted(container)
        state = container.get("state") or {}
        terminated, waiting = state.get("terminated"), state.get("waiting")
        if terminated is not None and not terminated.get("exitCode"):
            continue
        if container.get("name") in sidecars and container.get("started"):
            count.ready += bool(container.get("ready"))
            continue
        if terminated is not None:
            return f"Init:{_ended(terminated)}", count
        waits_for = (waiting or {}).get("reason")
        if waits_for and waits_for != "PodInitializing":
            return f"Init:{waits_for}", count
        return f"Init:{index}/{total}", count
    return "", count


def _app_stage(reason: str, status: Tree, sidecars: Iterable[Tree], count: _Count) -> str:
    """The state of the app containers: the first that has something to tell wins."""
    count.restarts, count.last_restart = 0, None
    for container in sidecars:
        count.restarted(container)
    running, failure = False, ""
    for container in reversed(status.get("containerStatuses") or ()):
        count.restarted(container)
        state = container.get("state") or {}
        terminated = state.get("terminated")
        waits_for = (state.get("waiting") or {}).get("reason")
        if waits_for:
            reason = waits_for
        elif terminated is not None:
            reason = _ended(terminated)
            failure = reason if terminated.get("exitCode") else failure
        elif container.get("ready") and state.get("running") is not None:
            running = True
            count.ready += 1
    if reason == "Completed":
        if running and has_condition(status, "Ready"):
            return "Running"
        return failure or ("NotReady" if running else reason)
    return reason


def _ended(terminated: Tree) -> str:
    if terminated.get("reason"):
        return str(terminated["reason"])
    if terminated.get("signal"):
        return f"Signal:{terminated['signal']}"
    return f"ExitCode:{terminated.get('exitCode') or 0}"


POD = Printer(
    columns(
        "Ready",
        "Status",
        "Restarts",
        "Age",
        wide=("IP", "Node", "Nominated Node", "Readiness Gates"),
    ),
    pod_cells,
)
