"""What there is of a pod on this node, and what was seen of it: the plain records that decisions read.

`PodActual` is the engine's word (sandboxes, containers); `Observed` is the agent's own (probes, back-offs,
troubles). Both are frozen; `relist.py` makes the one and the pod's worker the other.
"""

import functools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import Enum

from bireme.api.kinds import core

RUNTIME_SCHEME = "containerd://"


class Stage(Enum):
    """How far a container has come."""

    CREATED = "created"
    RUNNING = "running"
    EXITED = "exited"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class ContainerView:
    """One instance of a container. `attempt` counts the instances before it; `message` is its last word."""

    id: str
    name: str
    sandbox_id: str
    attempt: int
    stage: Stage
    created_at: datetime
    started_at: datetime | None = None
    finished_at: datetime | None = None
    exit_code: int = 0
    reason: str = ""
    message: str = ""
    image_ref: str = ""
    spec_hash: str = ""


@dataclass(frozen=True, slots=True)
class SandboxView:
    """One sandbox of the pod."""

    id: str
    attempt: int
    ready: bool
    created_at: datetime
    addresses: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class PodActual:
    """All sandboxes and container instances of one pod, newest first."""

    sandboxes: tuple[SandboxView, ...] = ()
    containers: tuple[ContainerView, ...] = ()

    @property
    def sandbox(self) -> SandboxView | None:
        """The newest sandbox; older ones only hold history."""
        return self.sandboxes[0] if self.sandboxes else None

    def newest(self, name: str) -> ContainerView | None:
        """The newest instance of a container, in whichever sandbox."""
        for view in self.containers:
            if view.name == name:
                return view
        return None

    def current(self, name: str) -> ContainerView | None:
        """The newest instance in the newest sandbox."""
        sandbox = self.sandbox
        view = self.newest(name)
        return view if view is not None and sandbox is not None and view.sandbox_id == sandbox.id else None

    def previous(self, view: ContainerView) -> ContainerView | None:
        """The last instance before `view` that has ended."""
        return next(
            (
                other
                for other in self.containers
                if other.name == view.name and other.attempt < view.attempt and other.stage is Stage.EXITED
            ),
            None,
        )

    @property
    def live(self) -> tuple[ContainerView, ...]:
        """Instances that have, or may still get, a process."""
        return tuple(view for view in self.containers if view.stage is not Stage.EXITED)


@dataclass(frozen=True, slots=True)
class Trouble:
    """Why something can't go on now, in the API's words, and when to try again."""

    reason: str
    message: str
    retry_at: datetime


@dataclass(frozen=True, slots=True)
class RestartBackoff:
    """How long a container that fails is left alone: `delay_s`, counted since its last restart."""

    delay_s: float
    since: datetime


@dataclass(frozen=True, slots=True)
class Ending:
    """The pod is to stop. With `phase` it stays in the API as a record (Failed, with reason and message)."""

    phase: str = ""
    reason: str = ""
    message: str = ""


@dataclass(frozen=True, slots=True)
class Observed:
    """What the agent has seen of a pod besides the engine's word. Sets and `doomed` hold container ids."""

    started: frozenset[str] = frozenset()
    ready: frozenset[str] = frozenset()
    doomed: Mapping[str, str] = field(default_factory=dict)
    troubles: Mapping[str, Trouble] = field(default_factory=dict)
    restarts: Mapping[str, RestartBackoff] = field(default_factory=dict)
    sandbox_trouble: Trouble | None = None
    ending: Ending | None = None


@functools.lru_cache(256)
def stamp(moment: datetime | None) -> str:
    """A metav1.Time; "" for what has not happened."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ") if moment else ""


def moment_of(text: str) -> datetime | None:
    """The time that `stamp` wrote; None for "" and for what is no time."""
    try:
        return datetime.fromisoformat(text) if text else None
    except ValueError:
        return None


def is_sidecar(container: core.Container) -> bool:
    """Whether an init container stays for the pod's whole life."""
    return container.restart_policy == "Always"


def ephemeral_containers(pod: core.Pod) -> list[core.Container]:
    """The containers that were put into the running pod for a look, as plain ones that never run twice."""
    return [_as_plain(container) for container in pod.spec.ephemeral_containers]


def _as_plain(ephemeral: core.EphemeralContainer) -> core.Container:
    shared = [name for name in ephemeral.__struct_fields__ if name in core.Container.__struct_fields__]
    plain = core.Container(**{name: getattr(ephemeral, name) for name in shared})
    plain.restart_policy = "Never"
    return plain


def every_container(pod: core.Pod) -> Iterator[core.Container]:
    """All containers of a pod, of whichever sort."""
    yield from pod.spec.containers
    yield from pod.spec.init_containers
    yield from ephemeral_containers(pod)


def every_status(status: core.PodStatus) -> Iterator[core.ContainerStatus]:
    """The statuses of all containers of a pod."""
    yield from status.container_statuses
    yield from status.init_container_statuses
    yield from status.ephemeral_container_statuses


def with_lost(actual: PodActual, pod: core.Pod) -> PodActual:
    """`actual` and, for each container that the API knows and the engine has forgotten, an ended instance.

    So a wiped engine neither runs a `Never` container twice nor starts counting restarts from nothing.
    """
    known = {view.name for view in actual.containers}
    lost = [_lost(status) for status in every_status(pod.status) if status.name not in known and status.container_id]
    return PodActual(actual.sandboxes, (*actual.containers, *lost)) if lost else actual


def _lost(status: core.ContainerStatus) -> ContainerView:
    state = status.state or core.ContainerState()
    ended = state.terminated
    if ended is None and state.running is None and status.last_state is not None:
        ended = status.last_state.terminated
    if ended is None:
        ended = core.ContainerStateTerminated(
            exit_code=137,
            reason="ContainerStatusUnknown",
            message="The container could not be located when the pod was looked at.",
            started_at=state.running.started_at if state.running else "",
        )
    return ContainerView(
        id=status.container_id.removeprefix(RUNTIME_SCHEME),
        name=status.name,
        sandbox_id="",
        attempt=status.restart_count or 0,
        stage=Stage.EXITED,
        created_at=moment_of(ended.started_at) or datetime.fromtimestamp(0, UTC),
        started_at=moment_of(ended.started_at),
        finished_at=moment_of(ended.finished_at),
        exit_code=ended.exit_code or 0,
        reason=ended.reason,
        message=ended.message,
        image_ref=status.image_id,
    )
