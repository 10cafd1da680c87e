"""From what a pod should be and what is there of it: the next steps.

A plan holds only what can be done now; the worker carries it out, looks again and plans anew, so that a plan
made twice from the same state is the same, and one that was cut short does no harm.
Order: sandbox; ephemeral containers, as soon as they are asked for; init containers one by one, sidecars among
them staying; then all app containers. The way down:
app containers together, sidecars from the last to the first, the sandbox.
Source: Kubernetes, concepts "Pod Lifecycle" and "Sidecar Containers".
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from bireme.api.kinds import core
from bireme.kubelet.actual import (
    ContainerView,
    Observed,
    PodActual,
    RestartBackoff,
    Stage,
    Trouble,
    ephemeral_containers,
    is_sidecar,
)

FIRST_DELAY_S = 10.0
LONGEST_DELAY_S = 300.0
FORGIVEN_AFTER = timedelta(minutes=10)
KEPT_DEAD = 1


@dataclass(frozen=True, slots=True)
class StartSandbox:
    """Make the pod's sandbox."""

    attempt: int


@dataclass(frozen=True, slots=True)
class StartContainer:
    """Pull its image if need be, make the container and start it. `ended` is the instance that it follows."""

    container: core.Container
    attempt: int
    init: bool = False
    ended: ContainerView | None = None


@dataclass(frozen=True, slots=True)
class StopContainer:
    """End a container; `why` is told in the event. The pod's grace applies unless the worker says less."""

    view: ContainerView
    why: str


@dataclass(frozen=True, slots=True)
class RemoveContainer:
    """Forget an instance that was made but never started, or that has been dead for long."""

    container_id: str


@dataclass(frozen=True, slots=True)
class StopSandbox:
    """Stop a sandbox and give back its network."""

    sandbox_id: str


@dataclass(frozen=True, slots=True)
class RemoveSandbox:
    """Forget an old sandbox."""

    sandbox_id: str


Step = StartSandbox | StartContainer | StopContainer | RemoveContainer | StopSandbox | RemoveSandbox


@dataclass(frozen=True, slots=True)
class Plan:
    """What to do now, why containers wait (by name), when to look again if nothing happens; `over`: all is down."""

    steps: tuple[Step, ...] = ()
    waiting: Mapping[str, Trouble] = field(default_factory=dict)
    look_again: datetime | None = None
    over: bool = False


def plan(pod: core.Pod, actual: PodActual, observed: Observed, now: datetime) -> Plan:
    """The next steps for `pod`."""
    if observed.ending is not None or verdict(pod, actual):
        return _plan_end(pod, actual)
    draft = _Draft(pod, actual, observed, now)
    sandbox = actual.sandbox
    if sandbox is None or not sandbox.ready:
        draft.replace_sandbox()
        return draft.plan()
    for container in ephemeral_containers(pod):
        draft.keep_once(container)
    if draft.initialized():
        for container in pod.spec.containers:
            draft.keep(container)
    return draft.plan()


def verdict(pod: core.Pod, actual: PodActual) -> str:
    """Succeeded or Failed once nothing of the pod runs or will run again; "" before."""
    for container in pod.spec.init_containers:
        view = actual.newest(container.name)
        failed = view is not None and view.stage is Stage.EXITED and view.exit_code != 0
        if view and failed and not is_sidecar(container) and not will_restart(pod, container, view, init=True):
            return "Failed"
    ends = [_end(pod, actual, container) for container in pod.spec.containers]
    if not ends or None in ends:
        return ""
    return "Failed" if any(ends) else "Succeeded"


def _end(pod: core.Pod, actual: PodActual, container: core.Container) -> int | None:
    """The exit code that an app container ended with for good."""
    view = actual.newest(container.name)
    if view is None or view.stage is not Stage.EXITED or will_restart(pod, container, view):
        return None
    return view.exit_code


def will_restart(pod: core.Pod, container: core.Container, view: ContainerView, *, init: bool = False) -> bool:
    """Whether a container that ended as `view` did is started again."""
    for rule in container.restart_policy_rules:
        codes = rule.exit_codes
        if codes is not None and (view.exit_code in codes.values) == (codes.operator == "In"):
            return rule.action.startswith("Restart")
    policy = container.restart_policy or pod.spec.restart_policy or "Always"
    if policy == "Always" and not (init and not is_sidecar(container)):
        return True
    return policy != "Never" and view.exit_code != 0


def restart_due(backoff: RestartBackoff | None, finished_at: datetime | None) -> datetime | None:
    """When a container that ended at `finished_at` may start again; None for at once."""
    if backoff is None or finished_at is None or finished_at - backoff.since > FORGIVEN_AFTER:
        return None
    return finished_at + timedelta(seconds=backoff.delay_s)


def next_backoff(backoff: RestartBackoff | None, finished_at: datetime | None, now: datetime) -> RestartBackoff:
    """The back-off after a restart at `now`: twice the last, or the first if it ran long enough."""
    if backoff is None or (finished_at is not None and finished_at - backoff.since > FORGIVEN_AFTER):
        return RestartBackoff(FIRST_DELAY_S, now)
    return RestartBackoff(min(backoff.delay_s * 2, LONGEST_DELAY_S), now)


def remains(actual: PodActual) -> list[Step]:
    """Dead instances and old sandboxes that nobody needs: all but the last dead one of each container."""
    steps: list[Step] = []
    dead: dict[str, int] = {}
    kept: set[str] = set()
    for view in actual.containers:
        if view.stage is Stage.EXITED and view.sandbox_id:
            dead[view.name] = dead.get(view.name, 0) + 1
            if dead[view.name] > KEPT_DEAD:
                steps.append(RemoveContainer(view.id))
                continue
        kept.add(view.sandbox_id)
    steps += [RemoveSandbox(box.id) for box in actual.sandboxes[1:] if box.id not in kept]
    return steps


def _plan_end(pod: core.Pod, actual: PodActual) -> Plan:
    """The way down, from whatever runs."""
    sidecars = [container.name for container in pod.spec.init_containers if is_sidecar(container)]
    live = actual.live
    first = [view for view in live if view.name not in sidecars]
    if first:
        return Plan(tuple(_down(first)))
    last = next((view for name in reversed(sidecars) for view in live if view.name == name), None)
    if last is not None:
        return Plan(tuple(_down([last])))
    up = tuple(StopSandbox(box.id) for box in actual.sandboxes if box.ready)
    return Plan(up, over=not up)


def _down(views: Iterable[ContainerView]) -> list[Step]:
    return [
        StopContainer(view, f"Stopping container {view.name}")
        if view.stage is Stage.RUNNING
        else RemoveContainer(view.id)
        for view in views
    ]


class _Draft:
    """A plan while it is being made."""

    def __init__(self, pod: core.Pod, actual: PodActual, observed: Observed, now: datetime) -> None:
        self._pod, self._actual, self._observed, self._now = pod, actual, observed, now
        self._steps: list[Step] = []
        self._waiting: dict[str, Trouble] = {}
        self._look_again: datetime | None = None

    def plan(self) -> Plan:
        return Plan(tuple(self._steps), self._waiting, self._look_again)

    def replace_sandbox(self) -> None:
        """Clear away what ran in the last sandbox, then make the next."""
        live = self._actual.live
        if live:
            self._steps += _down(live)
            return
        trouble = self._observed.sandbox_trouble
        if trouble is not None and trouble.retry_at > self._now:
            self._at(trouble.retry_at)
            return
        attempts = [box.attempt for box in self._actual.sandboxes]
        self._steps.append(StartSandbox(max(attempts, default=-1) + 1))

    def initialized(self) -> bool:
        """See to the init containers; True once the app containers' turn has come."""
        begun = any(self._actual.current(container.name) for container in self._pod.spec.containers)
        for container in self._pod.spec.init_containers:
            view = self._actual.current(container.name)
            if is_sidecar(container):
                self.keep(container, init=True)
                up = view is not None and view.stage is Stage.RUNNING and view.id in self._observed.started
                if not begun and not up:
                    return False
            elif not begun and not self._done(container, view):
                return False
        return True

    def _done(self, container: core.Container, view: ContainerView | None) -> bool:
        if view is not None and view.stage is Stage.EXITED and view.exit_code == 0:
            return True
        if view is None or view.stage is not Stage.RUNNING:
            self.keep(container, init=True)
        return False

    def keep(self, container: core.Container, *, init: bool = False) -> None:
        """Have `container` run, as its restart policy says."""
        view = self._actual.current(container.name)
        if view is None:
            older = self._actual.newest(container.name)
            if older is None or init or will_restart(self._pod, container, older, init=init):
                self._start(container, older, init=init)
        elif view.stage is Stage.RUNNING:
            why = self._observed.doomed.get(view.id)
            if why is not None:
                self._steps.append(StopContainer(view, why))
        elif view.stage is not Stage.EXITED:
            self._steps.append(RemoveContainer(view.id))
            self._at(self._now)
        elif will_restart(self._pod, container, view, init=init):
            self._start(container, view, init=init)

    def keep_once(self, container: core.Container) -> None:
        """Have an ephemeral container run, once in the pod's life and in whichever sandbox."""
        view = self._actual.newest(container.name)
        if view is None or view.stage in (Stage.CREATED, Stage.UNKNOWN):
            self.keep(container)

    def _start(self, container: core.Container, ended: ContainerView | None, *, init: bool) -> None:
        trouble = self._observed.troubles.get(container.name)
        if trouble is not None:
            self._waiting[container.name] = trouble
            if trouble.retry_at > self._now:
                self._at(trouble.retry_at)
                return
        due = self._due(container, ended)
        if due is not None and due > self._now:
            backoff = self._observed.restarts[container.name]
            name = f"{self._pod.metadata.name}_{self._pod.metadata.namespace}({self._pod.metadata.uid})"
            message = f"back-off {_go(backoff.delay_s)} restarting failed container={container.name} pod={name}"
            self._waiting[container.name] = Trouble("CrashLoopBackOff", message, due)
            self._at(due)
            return
        attempt = ended.attempt + 1 if ended is not None else 0
        self._steps.append(StartContainer(container, attempt, init, ended))

    def _due(self, container: core.Container, ended: ContainerView | None) -> datetime | None:
        if ended is None:
            return None
        return restart_due(self._observed.restarts.get(container.name), ended.finished_at)

    def _at(self, moment: datetime) -> None:
        self._look_again = min(self._look_again or moment, moment)


def _go(seconds: float) -> str:
    """A whole number of seconds as Go prints it: 10s, 1m20s, 5m0s."""
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes}m{rest}s" if minutes else f"{rest}s"
