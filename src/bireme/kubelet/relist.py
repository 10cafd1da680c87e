"""What the engine holds, pod by pod; who changed is woken.

containerd 1.6 has no stream of events, so all is listed every second, besides the looks that workers take after
what they did themselves. What can't change any more (an ended instance, a sandbox's addresses) is asked for once.
Source: Kubernetes' pod lifecycle event generator ("relist", 1 s, unhealthy after 3 min).
"""

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import structlog

from bireme.aio.clock import Clock
from bireme.kubelet import logs
from bireme.kubelet.actual import ContainerView, PodActual, SandboxView, Stage
from bireme.kubelet.labels import POD_UID, SPEC_HASH, TERMINATION_FILE, TERMINATION_POLICY
from bireme.runtime.interface import Container, ContainerStatus, NoSuchThing, Runtime, RuntimeFault, Sandbox, State

log = structlog.get_logger(__name__)

UNHEALTHY_S = 180.0
# A shim that was being started is killed when the call is given up.
_CUT_SHORT = ("context canceled", "context deadline exceeded", "failed to start shim: start failed: : signal: killed")
_STAGES = {
    State.CREATED: Stage.CREATED,
    State.RUNNING: Stage.RUNNING,
    State.EXITED: Stage.EXITED,
    State.UNKNOWN: Stage.UNKNOWN,
}


@dataclass(frozen=True, slots=True)
class RelistStatistics:
    """Pods that the engine knows, rounds made, seconds since the last that went well."""

    pods: int
    rounds: int
    age_s: float


class Relister:
    """Looks at the engine; see the module. `wake` gets the uid of each pod that changed."""

    def __init__(self, runtime: Runtime, *, clock: Clock, wake: Callable[[str], None], every_s: float = 1.0) -> None:
        self._runtime, self._clock, self._wake, self._every_s = runtime, clock, wake, every_s
        self._seen: dict[str, frozenset[tuple[str, str]]] = {}
        self._addresses: dict[str, tuple[str, ...]] = {}
        self._views: dict[tuple[str, State], ContainerView] = {}
        self._rounds = 0
        self._last = clock.monotonic()

    @property
    def healthy(self) -> bool:
        """The engine was heard of within the last three minutes."""
        return self._clock.monotonic() - self._last < UNHEALTHY_S

    def statistics(self) -> RelistStatistics:
        return RelistStatistics(len(self._seen), self._rounds, self._clock.monotonic() - self._last)

    async def run(self) -> None:
        """List all, again and again, until cancelled."""
        while True:
            try:
                await self.relist()
            except RuntimeFault as fault:
                log.warning("engine can't be listed", error=fault.message)
            await self._clock.sleep(self._every_s)

    async def relist(self) -> None:
        """List all once and wake whose containers changed."""
        sandboxes = await self._runtime.list_sandboxes()
        containers = await self._runtime.list_containers()
        found: defaultdict[str, set[tuple[str, str]]] = defaultdict(set)
        for box in sandboxes:
            found[box.uid].add((box.id, str(box.ready)))
        for container in containers:
            found[container.labels.get(POD_UID, "")].add((container.id, container.state.value))
        self._rounds += 1
        self._last = self._clock.monotonic()
        fresh = {uid: frozenset(marks) for uid, marks in found.items()}
        changed = [uid for uid in fresh.keys() | self._seen.keys() if fresh.get(uid) != self._seen.get(uid)]
        self._seen = fresh
        self._forget({box.id for box in sandboxes}, {container.id for container in containers})
        for uid in changed:
            self._wake(uid)

    def _forget(self, sandboxes: set[str], containers: set[str]) -> None:
        for sandbox_id in [key for key in self._addresses if key not in sandboxes]:
            del self._addresses[sandbox_id]
        for key in [key for key in self._views if key[0] not in containers]:
            del self._views[key]

    async def look(self, pod_uid: str) -> PodActual:
        """All that the engine holds of one pod now. Raises RuntimeFault."""
        boxes = sorted(
            await self._runtime.list_sandboxes(pod_uid=pod_uid), key=lambda box: (box.attempt, box.created_at)
        )
        sandboxes = [await self._sandbox(box, newest=box is boxes[-1]) for box in reversed(boxes)]
        containers = [await self._container(item) for item in await self._runtime.list_containers(pod_uid=pod_uid)]
        views = [view for view in containers if view is not None]
        views.sort(key=lambda view: (view.attempt, view.created_at), reverse=True)
        return PodActual(tuple(sandboxes), tuple(views))

    async def _sandbox(self, box: Sandbox, *, newest: bool) -> SandboxView:
        addresses = self._addresses.get(box.id)
        if addresses is None:
            try:
                addresses = await self._runtime.sandbox_addresses(box.id) if newest and box.ready else ()
            except NoSuchThing:
                addresses = ()
            if box.ready:
                self._addresses[box.id] = addresses
        return SandboxView(box.id, box.attempt, box.ready, box.created_at, addresses)

    async def _container(self, item: Container) -> ContainerView | None:
        view = self._views.get((item.id, item.state))
        if view is None:
            try:
                status = await self._runtime.container_status(item.id)
            except NoSuchThing:
                return None
            view = _view(item, status)
            if status.state in (State.RUNNING, State.EXITED):
                self._views[item.id, status.state] = view
        return view


def _was_cut_short(status: ContainerStatus) -> bool:
    """Whether the container never ran because the one who was starting it, an agent that died, went away."""
    return status.reason == "StartError" and any(word in status.message for word in _CUT_SHORT)


def _view(item: Container, status: ContainerStatus) -> ContainerView:
    ended = status.state is State.EXITED
    return ContainerView(
        id=item.id,
        name=item.name,
        sandbox_id=item.sandbox_id,
        attempt=item.attempt,
        stage=Stage.UNKNOWN if _was_cut_short(status) else _STAGES[status.state],
        created_at=status.created_at,
        started_at=status.started_at,
        finished_at=status.finished_at or (status.created_at if ended else None),
        exit_code=status.exit_code,
        reason=status.reason,
        message=_last_words(status) if ended else "",
        image_ref=status.image_ref,
        spec_hash=item.annotations.get(SPEC_HASH, ""),
    )


def _last_words(status: ContainerStatus) -> str:
    """The termination message: what the container left in its file, else the engine's word, else its log's end."""
    path = status.annotations.get(TERMINATION_FILE, "")
    text = logs.termination_message(Path(path)) if path else ""
    if not text and status.exit_code and status.annotations.get(TERMINATION_POLICY) == "FallbackToLogsOnError":
        text = logs.last_lines(Path(status.log_path)) if status.log_path else ""
    return text or status.message
