"""From a Pod's status to the states of its tasks, and the TaskStatus messages that tell of them.

What the kubelet reports may skip steps (a task that ended before anyone looked); what a framework hears never
does: TASK_STARTING, TASK_RUNNING, then the end. The reasons are those that Mesos' own executors and agent give.
What became of an agent, and who is told, is the master's affair. Source: Mesos 1.11's HTTP API.
"""

import signal
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from bireme.api.kinds import core
from bireme.mesos import task_fetch, tasks
from bireme.mesos.messages import Message

STAGING, STARTING, RUNNING, KILLING = "TASK_STAGING", "TASK_STARTING", "TASK_RUNNING", "TASK_KILLING"
FINISHED, FAILED, KILLED, ERROR, LOST = "TASK_FINISHED", "TASK_FAILED", "TASK_KILLED", "TASK_ERROR", "TASK_LOST"
DROPPED, UNREACHABLE, GONE = "TASK_DROPPED", "TASK_UNREACHABLE", "TASK_GONE"
GONE_BY_OPERATOR, UNKNOWN = "TASK_GONE_BY_OPERATOR", "TASK_UNKNOWN"

TERMINAL = frozenset((FINISHED, FAILED, KILLED, ERROR, LOST, DROPPED, GONE, GONE_BY_OPERATOR))
_PLACE = {STAGING: 0, STARTING: 1, RUNNING: 2, KILLING: 3}

LAUNCH_FAILURES = frozenset(
    (
        *("ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull", "ImageInspectError"),
        *("CreateContainerError", "CreateContainerConfigError", "RunContainerError", "StartError"),
        *("PreCreateHookError", "PreStartHookError", "PostStartHookError", "RegistryUnavailable"),
    )
)
_PROBE_EXITS = (128 + signal.SIGKILL, 128 + signal.SIGTERM)


@dataclass(frozen=True, slots=True)
class Seen:
    """What a pod says of one of its tasks. `fatal` means that it will come to nothing unless it is ended."""

    state: str
    message: str = ""
    source: str = "SOURCE_EXECUTOR"
    reason: str = ""
    ran: bool = False
    healthy: bool | None = None
    fatal: bool = False


def see(pod: core.Pod, container: str, *, gone: bool = False) -> Seen:
    """The state of the task in `container`. `gone` says that the pod is in the API no more."""
    verdict = _verdict(pod)
    if verdict is not None:
        return verdict
    status = next((each for each in pod.status.container_statuses if each.name == container), None)
    state = status.state if status is not None else None
    killed = bool(pod.metadata.deletion_timestamp) or gone
    if state is not None and state.terminated is not None and pod.status.reason != "DeadlineExceeded":
        return _ended(state.terminated, killed=killed, probed=_has_probe(pod, container))
    if pod.status.phase in ("Failed", "Succeeded") or gone or _is_past_grace(pod):
        return _pod_ended(pod, killed=killed)
    if state is not None and state.running is not None:
        return Seen(RUNNING, ran=True, healthy=_healthy(pod, container, status))
    waiting = state.waiting if state is not None else None
    if waiting is not None and waiting.reason in LAUNCH_FAILURES:
        return _not_launched(waiting.message or waiting.reason, fatal=True)
    if waiting is not None or pod.status.start_time:
        return Seen(STARTING)
    return Seen(STAGING)


def _verdict(pod: core.Pod) -> Seen | None:
    """What the master decided of the tasks of this pod, whatever their containers do."""
    text = pod.metadata.annotations.get(tasks.VERDICT)
    if not text:
        return None
    try:
        tree = orjson.loads(text)
        return Seen(tree["state"], tree.get("message", ""), tree.get("source", ""), tree.get("reason", ""))
    except (orjson.JSONDecodeError, KeyError, TypeError, AttributeError):
        return Seen(LOST, "The verdict on this task cannot be read", "SOURCE_MASTER")


def verdict_text(seen: Seen) -> str:
    """The annotation from which `see` reads the same again."""
    tree = {"state": seen.state, "message": seen.message, "source": seen.source, "reason": seen.reason}
    return orjson.dumps(tree).decode()


def _is_past_grace(pod: core.Pod) -> bool:
    """Deleted for good: only our finalizer still holds the object."""
    return bool(pod.metadata.deletion_timestamp) and pod.metadata.deletion_grace_period_seconds == 0


def _not_launched(message: str, *, fatal: bool) -> Seen:
    text = f"Failed to launch container: {message}"
    return Seen(FAILED, text, "SOURCE_AGENT", "REASON_CONTAINER_LAUNCH_FAILED", fatal=fatal)


def _has_probe(pod: core.Pod, container: str) -> bool:
    return any(each.name == container and each.liveness_probe is not None for each in pod.spec.containers)


def _ended(ended: core.ContainerStateTerminated, *, killed: bool, probed: bool) -> Seen:
    """How a container's end reads. One with a health check that dies of a signal was ended for being unhealthy."""
    ran = bool(ended.started_at)
    code = ended.exit_code or 0
    if ended.reason == "OOMKilled":
        reason = "REASON_CONTAINER_LIMITATION_MEMORY"
        return Seen(FAILED, "Memory limit exceeded", "SOURCE_AGENT", reason, ran=ran)
    if ended.reason in LAUNCH_FAILURES or ended.reason == "ContainerCannotRun":
        return _not_launched(ended.message or ended.reason, fatal=False)
    text = exit_text(code, ended.signal)
    unhealthy = probed and not killed and code in _PROBE_EXITS
    if killed or unhealthy:
        return Seen(KILLED, text, ran=ran, healthy=False if unhealthy else None)
    return Seen(FINISHED if code == 0 else FAILED, text, ran=ran)


def exit_text(code: int, number: int | None = None) -> str:
    """How Mesos words an exit: by status, or by signal as shells number it (128 and up)."""
    number = number or (code - 128 if 128 < code < 128 + 65 else 0)
    words = signal.strsignal(number) if 0 < number < 65 else None
    return f"Command terminated with signal {words}" if words else f"Command exited with status {code}"


def _pod_ended(pod: core.Pod, *, killed: bool) -> Seen:
    reason, message = pod.status.reason, pod.status.message
    if reason == "DeadlineExceeded":
        text = "Task has exceeded its maximum completion time"
        return Seen(FAILED, text, reason="REASON_MAX_COMPLETION_TIME_REACHED", ran=True)
    if reason == "Evicted":
        return Seen(FAILED, message, "SOURCE_AGENT", "REASON_CONTAINER_LIMITATION", ran=bool(pod.status.start_time))
    if killed:
        return Seen(KILLED, message, "SOURCE_AGENT")
    if pod.status.phase == "Succeeded":
        return Seen(FINISHED, exit_text(0), ran=True)
    fetched = next((each.state for each in pod.status.init_container_statuses if each.name == task_fetch.NAME), None)
    if fetched is not None and fetched.terminated is not None and fetched.terminated.exit_code:
        return _not_launched(f"Failed to fetch all URIs: {exit_text(fetched.terminated.exit_code)}", fatal=False)
    return _not_launched(message or reason or "the pod failed", fatal=False)


def _healthy(pod: core.Pod, container: str, status: core.ContainerStatus | None) -> bool | None:
    """Readiness, for tasks with a health check; None before the first success."""
    spec = next((each for each in pod.spec.containers if each.name == container), None)
    if spec is None or spec.readiness_probe is None or status is None:
        return None
    return True if status.ready else (False if status.started else None)


def steps(last: str, last_healthy: bool | None, seen: Seen) -> list[Seen]:
    """What is to be told after `last`, in order; empty if nothing is new.

    A task is never said to be unhealthy before it was healthy once: readiness starts false.
    """
    if last in TERMINAL:
        return []
    told: list[Seen] = []
    place = _PLACE.get(last, 0)
    target = _PLACE.get(seen.state)
    if place < 1 and (seen.ran or (target is not None and target >= 1)):
        told.append(Seen(STARTING))
    if place < 2 and seen.ran:
        healthy = True if seen.state == RUNNING and seen.healthy else None
        told.append(Seen(RUNNING, ran=True, healthy=healthy))
        last_healthy = healthy
    if seen.state in TERMINAL:
        told.append(seen)
    elif seen.state == RUNNING and place <= 2 and seen.healthy not in (None, last_healthy):
        reason = "REASON_TASK_HEALTH_CHECK_STATUS_UPDATED"
        told.append(Seen(RUNNING, reason=reason, ran=True, healthy=seen.healthy))
    return [each for each in told if each.healthy is not False or last_healthy or each.state != RUNNING]


def container_status(pod: core.Pod | None, container_id: str) -> Message:
    """The ContainerStatus that goes with each update: the container's id and the addresses of its network."""
    found: dict[str, Any] = {"container_id": {"value": container_id}}
    addresses = []
    if pod is not None:
        addresses = [ip.ip for ip in pod.status.pod_ips] or ([pod.status.pod_ip] if pod.status.pod_ip else [])
    if addresses:
        pairs = [{"protocol": "IPv6" if ":" in ip else "IPv4", "ip_address": ip} for ip in addresses]
        found["network_infos"] = [{"ip_addresses": pairs}]
    return found


def acknowledged_text(told: Mapping[str, tuple[str, bool | None]]) -> str:
    """The annotation that notes, for each container, state and health of the update acknowledged last."""
    tree = {name: {"state": state, "healthy": healthy} for name, (state, healthy) in told.items()}
    return orjson.dumps(tree).decode()


def acknowledged(annotations: Mapping[str, str]) -> dict[str, tuple[str, bool | None]]:
    """What `acknowledged_text` noted; empty if nothing was acknowledged or someone spoilt the note."""
    try:
        tree = orjson.loads(annotations.get(tasks.ACKNOWLEDGED, "{}"))
        return {name: (str(each["state"]), each["healthy"]) for name, each in tree.items()}
    except (orjson.JSONDecodeError, AttributeError, KeyError, TypeError):
        return {}
