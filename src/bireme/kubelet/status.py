"""A pod's status from the state of its containers: phase, conditions, container statuses.

Plain functions: the same pod, state and moment give the same status, and a condition keeps its time until it
changes. Conditions that others set (PodScheduled, readiness gates) are passed on.
Source: Kubernetes, "Pod Lifecycle".
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from bireme.api.kinds import core
from bireme.api.resources import pod_qos
from bireme.kubelet.actual import (
    RUNTIME_SCHEME,
    ContainerView,
    Observed,
    PodActual,
    Stage,
    Trouble,
    ephemeral_containers,
    is_sidecar,
    stamp,
)
from bireme.kubelet.steps import verdict, will_restart

TERMINAL = ("Succeeded", "Failed")


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a status needs that is not the pod's: the node's addresses, and why containers wait."""

    host_ip: str = ""
    waiting: Mapping[str, Trouble] = field(default_factory=dict)


def pod_status(
    pod: core.Pod, actual: PodActual, observed: Observed, now: datetime, around: Surroundings
) -> core.PodStatus:
    """The whole status of `pod` as it is now."""
    ending = observed.ending
    stopped = bool(verdict(pod, actual)) or ending is not None
    maker = _Containers(pod, actual, observed, around.waiting, stopped=stopped)
    inits, apps = maker.all(pod.spec.init_containers, init=True), maker.all(pod.spec.containers)
    phase = _phase(pod, actual, observed, inits, apps)
    addresses = _addresses(pod, actual, around, phase)
    status = core.PodStatus(
        phase=phase,
        reason=(ending.reason if ending else "") or pod.status.reason,
        message=(ending.message if ending else "") or pod.status.message,
        host_ip=around.host_ip,
        host_ips=[core.HostIP(ip=around.host_ip)] if around.host_ip else [],
        pod_ip=addresses[0] if addresses else "",
        pod_ips=[core.PodIP(ip=ip) for ip in addresses],
        start_time=pod.status.start_time or stamp(now),
        qos_class=pod.status.qos_class or pod_qos(pod.spec),
        init_container_statuses=inits,
        container_statuses=apps,
        ephemeral_container_statuses=maker.all(ephemeral_containers(pod)),
        nominated_node_name=pod.status.nominated_node_name,
        resource_claim_statuses=pod.status.resource_claim_statuses,
        extended_resource_claim_status=pod.status.extended_resource_claim_status,
        observed_generation=pod.metadata.generation,
    )
    status.conditions = _conditions(pod, actual, status, now)
    return status


def _phase(
    pod: core.Pod,
    actual: PodActual,
    observed: Observed,
    inits: Sequence[core.ContainerStatus],
    apps: Sequence[core.ContainerStatus],
) -> str:
    if pod.status.phase in TERMINAL:
        return pod.status.phase
    if observed.ending is not None and not actual.live:
        ended = [status.state.terminated for status in apps if status.state and status.state.terminated]
        well = len(ended) == len(apps) and not any(state.exit_code for state in ended)
        return observed.ending.phase or ("Succeeded" if well else "Failed")
    reached = verdict(pod, actual)
    if reached:
        # Sidecars may still be on their way down: the phase must wait for them.
        return reached if not actual.live else "Running"
    waiting = sum(1 for status in apps if _never_ran(status))
    begun = any(actual.current(container.name) for container in pod.spec.containers)
    if waiting or (not begun and not _initialized(pod, inits, begun=False)):
        return "Pending"
    return "Running"


def _never_ran(status: core.ContainerStatus) -> bool:
    state = status.state
    before = status.last_state is not None and status.last_state.terminated is not None
    return state is None or (state.running is None and state.terminated is None and not before)


def _initialized(pod: core.Pod, inits: Sequence[core.ContainerStatus], *, begun: bool) -> bool:
    return begun or not _incomplete(pod, inits)


def _incomplete(pod: core.Pod, inits: Sequence[core.ContainerStatus]) -> list[str]:
    """Init containers whose work isn't done: not ended well or, for sidecars, not started."""
    names = []
    for container, status in zip(pod.spec.init_containers, inits, strict=True):
        ended = status.state.terminated if status.state else None
        done = bool(status.started) if is_sidecar(container) else ended is not None and ended.exit_code == 0
        if not done:
            names.append(container.name)
    return names


def _addresses(pod: core.Pod, actual: PodActual, around: Surroundings, phase: str) -> tuple[str, ...]:
    sandbox = actual.sandbox
    if pod.spec.host_network:
        return (around.host_ip,) if sandbox is not None and around.host_ip else ()
    if sandbox is not None and sandbox.addresses:
        return sandbox.addresses
    # An address is kept in the record while the pod ends, but not carried into a new sandbox.
    known = tuple(item.ip for item in pod.status.pod_ips)
    return known if phase in TERMINAL or pod.metadata.deletion_timestamp else ()


class _Containers:
    """Makes container statuses; `stopped` says that nothing will be started again."""

    def __init__(
        self,
        pod: core.Pod,
        actual: PodActual,
        observed: Observed,
        waiting: Mapping[str, Trouble],
        *,
        stopped: bool,
    ) -> None:
        self._pod, self._actual, self._observed = pod, actual, observed
        self._waiting, self._stopped = waiting, stopped

    def all(self, containers: Sequence[core.Container], *, init: bool = False) -> list[core.ContainerStatus]:
        return [self._one(container, init=init) for container in containers]

    def _one(self, container: core.Container, *, init: bool) -> core.ContainerStatus:
        view = self._actual.newest(container.name)
        status = core.ContainerStatus(
            name=container.name, image=container.image, ready=False, started=False, restart_count=0
        )
        if view is None:
            status.state = self._absent(container, init=init)
            return status
        status.restart_count = view.attempt
        if view.stage in (Stage.RUNNING, Stage.EXITED):
            # One that was only made may yet be made anew, and must not be missed then.
            status.container_id = RUNTIME_SCHEME + view.id
        status.image_id = view.image_ref
        previous = self._actual.previous(view)
        if previous is not None:
            status.last_state = core.ContainerState(terminated=_terminated(previous))
        self._fill(status, container, view, init=init)
        return status

    def _fill(
        self, status: core.ContainerStatus, container: core.Container, view: ContainerView, *, init: bool
    ) -> None:
        if view.stage is Stage.RUNNING:
            status.state = core.ContainerState(running=core.ContainerStateRunning(started_at=stamp(view.started_at)))
            status.started = view.id in self._observed.started
            status.ready = view.id in self._observed.ready and (not init or is_sidecar(container))
            status.resources = container.resources
            status.allocated_resources = dict(container.resources.requests) if container.resources else {}
        elif view.stage is Stage.EXITED:
            again = not self._stopped and self._returns(container, view, init=init)
            trouble = self._waiting.get(container.name)
            if again and trouble is not None:
                status.state = _waits(trouble.reason, trouble.message)
                status.last_state = core.ContainerState(terminated=_terminated(view))
            else:
                status.state = core.ContainerState(terminated=_terminated(view))
                status.ready = init and not is_sidecar(container) and view.exit_code == 0
        else:
            status.state = _waits("ContainerCreating")

    def _returns(self, container: core.Container, view: ContainerView, *, init: bool) -> bool:
        if init and not is_sidecar(container) and view.exit_code == 0:
            return False
        return will_restart(self._pod, container, view, init=init)

    def _absent(self, container: core.Container, *, init: bool) -> core.ContainerState:
        trouble = self._waiting.get(container.name)
        if trouble is not None:
            return _waits(trouble.reason, trouble.message)
        return _waits("PodInitializing" if self._pod.spec.init_containers else "ContainerCreating")


def _waits(reason: str, message: str = "") -> core.ContainerState:
    return core.ContainerState(waiting=core.ContainerStateWaiting(reason=reason, message=message))


def _terminated(view: ContainerView) -> core.ContainerStateTerminated:
    return core.ContainerStateTerminated(
        container_id=RUNTIME_SCHEME + view.id,
        exit_code=view.exit_code,
        reason=view.reason or ("Error" if view.exit_code else "Completed"),
        message=view.message,
        started_at=stamp(view.started_at),
        finished_at=stamp(view.finished_at),
    )


def _conditions(pod: core.Pod, actual: PodActual, status: core.PodStatus, now: datetime) -> list[core.PodCondition]:
    """Ours, then those of others; each keeps its transition time until its status changes."""
    old = {condition.type: condition for condition in pod.status.conditions}
    sandbox = actual.sandbox
    network = sandbox is not None and sandbox.ready
    begun = any(_ran(container) for container in status.container_statuses)
    incomplete = [] if begun or status.phase in TERMINAL[:1] else _incomplete(pod, status.init_container_statuses)
    fresh = [
        _condition("PodReadyToStartContainers", network),
        _condition(
            "Initialized", not incomplete, "ContainersNotInitialized", _listed("incomplete status", incomplete)
        ),
        *_readiness(pod, status, old),
        _condition("PodScheduled", True),
    ]
    if "PodScheduled" in old:
        fresh.pop()
    for condition in fresh:
        before = old.get(condition.type)
        same = before is not None and before.status == condition.status and before.last_transition_time
        condition.last_transition_time = before.last_transition_time if same and before else stamp(now)
        condition.observed_generation = pod.metadata.generation
    ours = {condition.type for condition in fresh}
    return [*fresh, *(condition for condition in pod.status.conditions if condition.type not in ours)]


def _ran(status: core.ContainerStatus) -> bool:
    return not _never_ran(status)


def _readiness(
    pod: core.Pod, status: core.PodStatus, old: Mapping[str, core.PodCondition]
) -> Iterable[core.PodCondition]:
    """ContainersReady and Ready."""
    sidecars = {container.name for container in pod.spec.init_containers if is_sidecar(container)}
    counted = [s for s in status.init_container_statuses if s.name in sidecars] + status.container_statuses
    unready = [container.name for container in counted if not container.ready]
    if status.phase in TERMINAL:
        reason = "PodCompleted" if status.phase == "Succeeded" else "PodFailed"
        yield _condition("ContainersReady", False, reason)
        yield _condition("Ready", False, reason)
        return
    message = _listed("unready", unready)
    yield _condition("ContainersReady", not unready, "ContainersNotReady", message)
    gates = [gate.condition_type for gate in pod.spec.readiness_gates]
    shut = [name for name in gates if name not in old or old[name].status != "True"]
    if unready or not shut:
        yield _condition("Ready", not unready, "ContainersNotReady", message)
    else:
        text = "; ".join(f'corresponding condition of pod readiness gate "{name}" does not exist.' for name in shut)
        yield _condition("Ready", False, "ReadinessGatesNotReady", text)


def _listed(what: str, names: Sequence[str]) -> str:
    return f"containers with {what} status: [{' '.join(names)}]" if names else ""


def _condition(type: str, holds: bool, reason: str = "", message: str = "") -> core.PodCondition:
    if holds:
        return core.PodCondition(type=type, status="True")
    return core.PodCondition(type=type, status="False", reason=reason, message=message)
