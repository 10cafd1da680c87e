"""Liveness, readiness and startup: asking each container, again and again, how it is.

One task per probe and container instance. A probe that is due before the container has ever answered is also
asked early, with growing pauses, so that a program that is up in a blink need not wait out a whole period;
such early questions count only when they succeed.
Source: Kubernetes, "Configure Liveness, Readiness and Startup Probes".
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import dataclass, field

import structlog

from bireme.aio.clock import Clock
from bireme.api.kinds import core
from bireme.kubelet import reach
from bireme.kubelet.actual import RUNTIME_SCHEME, ContainerView, PodActual, Stage, is_sidecar
from bireme.kubelet.reach import Answer, Target
from bireme.runtime.interface import Runtime, RuntimeFault, TookTooLong

log = structlog.get_logger(__name__)

EARLY_S = 0.2
LIVENESS, READINESS, STARTUP = "Liveness", "Readiness", "Startup"


@dataclass(slots=True)
class Counter:
    """Answers in a row, against a probe's thresholds; `verdict` is None until one is reached."""

    success_threshold: int = 1
    failure_threshold: int = 3
    verdict: bool | None = None
    _run: int = 0
    _last: bool | None = None

    def count(self, well: bool) -> bool | None:
        """One more answer; returns the verdict."""
        self._run = self._run + 1 if well is self._last else 1
        self._last = well
        if self._run >= (self.success_threshold if well else self.failure_threshold):
            self.verdict = well
        return self.verdict


async def ask(
    probe: core.Probe, container: core.Container, container_id: str, address: str, runtime: Runtime
) -> Answer:
    """One question, within the probe's time."""
    timeout_s = probe.timeout_seconds or 1
    try:
        async with asyncio.timeout(timeout_s):
            if probe.exec is not None:
                return await _exec(probe.exec.command, container_id, runtime, timeout_s)
            if probe.http_get is not None:
                return await reach.http_get(http_target(probe.http_get, container, address))
            if probe.tcp_socket is not None:
                port = port_number(probe.tcp_socket.port, container)
                return await reach.tcp_connect(probe.tcp_socket.host or address, port)
            if probe.grpc is not None:
                return await reach.grpc_health(address, probe.grpc.port or 0, probe.grpc.service)
    except TimeoutError:
        return Answer(False, f"timed out after {timeout_s}s")
    except ValueError as error:
        return Answer(False, str(error))
    return Answer(True)


async def _exec(command: list[str], container_id: str, runtime: Runtime, timeout_s: float) -> Answer:
    try:
        result = await runtime.exec_sync(container_id, command, timeout_s=timeout_s)
    except TookTooLong:
        return Answer(False, f"command timed out after {timeout_s}s")
    except RuntimeFault as fault:
        return Answer(False, fault.message)
    text = (result.stdout + result.stderr)[: reach.BODY_LIMIT].decode(errors="replace")
    return Answer(result.exit_code == 0, text)


def http_target(action: core.HTTPGetAction, container: core.Container, address: str) -> Target:
    """Where an httpGet leads. Raises ValueError for a port that has no number."""
    path = action.path if action.path.startswith("/") else f"/{action.path}"
    return Target(
        host=action.host or address,
        port=port_number(action.port, container),
        path=path,
        scheme=(action.scheme or "HTTP").lower(),
        headers=tuple((header.name, header.value) for header in action.http_headers),
    )


def port_number(port: int | str | None, container: core.Container) -> int:
    """A port by number, or by its name among the container's. Raises ValueError."""
    if isinstance(port, int):
        return port
    for item in container.ports:
        if item.name and item.name == port and item.container_port:
            return item.container_port
    if port and port.isdecimal():
        return int(port)
    raise ValueError(f"container {container.name} has no port named {port!r}")


@dataclass(slots=True)
class _Watched:
    tasks: list[asyncio.Task[None]] = field(default_factory=list)
    begun: asyncio.Event = field(default_factory=asyncio.Event)


class Prober:
    """The probes of one pod. Its sets hold container ids; `wake` is called when one changes."""

    def __init__(
        self,
        runtime: Runtime,
        tasks: asyncio.TaskGroup,
        *,
        clock: Clock,
        wake: Callable[[], None],
        tell: Callable[[core.Container, str, str, str], None],
    ) -> None:
        self.started: set[str] = set()
        self.ready: set[str] = set()
        self.doomed: dict[str, str] = {}
        self._runtime, self._tasks, self._clock = runtime, tasks, clock
        self._wake, self._tell = wake, tell
        self._watched: dict[str, _Watched] = {}

    def adopt(self, pod: core.Pod) -> None:
        """Believe what the API last said of containers that ran before this agent did."""
        for status in [*pod.status.init_container_statuses, *pod.status.container_statuses]:
            container_id = status.container_id.removeprefix(RUNTIME_SCHEME)
            if container_id and status.started:
                self.started.add(container_id)
            if container_id and status.ready:
                self.ready.add(container_id)

    def follow(self, pod: core.Pod, actual: PodActual, *, ending: bool) -> None:
        """Ask those that run, and stop asking those that don't. An ending pod is only asked for readiness."""
        inits = [container for container in pod.spec.init_containers if is_sidecar(container)]
        plain = [container for container in pod.spec.init_containers if not is_sidecar(container)]
        address = _address(pod, actual)
        running: set[str] = set()
        for container in [*inits, *pod.spec.containers]:
            view = actual.current(container.name)
            if view is not None and view.stage is Stage.RUNNING:
                running.add(view.id)
                if view.id not in self._watched:
                    self._begin(container, view, address, ending=ending)
        for container in plain:
            view = actual.current(container.name)
            if view is not None and view.stage is Stage.RUNNING:
                self.started.add(view.id)
        for container_id in [key for key in self._watched if key not in running]:
            self._end(container_id)
        if ending:
            self.doomed.clear()

    def stop(self) -> None:
        """Ask nobody any more."""
        for container_id in list(self._watched):
            self._end(container_id)

    def _begin(self, container: core.Container, view: ContainerView, address: str, *, ending: bool) -> None:
        watched = self._watched[view.id] = _Watched()
        if container.startup_probe is None or view.id in self.started:
            self.started.add(view.id)
            watched.begun.set()
        elif not ending:
            self._task(watched, self._startup(container, view, address, watched), f"startup {container.name}")
        if container.readiness_probe is not None:
            self._task(watched, self._readiness(container, view, address, watched), f"readiness {container.name}")
        elif watched.begun.is_set():
            self.ready.add(view.id)
        if container.liveness_probe is not None and not ending:
            self._task(watched, self._liveness(container, view, address, watched), f"liveness {container.name}")

    def _task(self, watched: _Watched, work: Coroutine[None, None, None], name: str) -> None:
        watched.tasks.append(self._tasks.create_task(_guarded(work), name=name))

    def _end(self, container_id: str) -> None:
        watched = self._watched.pop(container_id)
        for task in watched.tasks:
            task.cancel()
        self.started.discard(container_id)
        self.ready.discard(container_id)
        self.doomed.pop(container_id, None)

    async def _startup(self, container: core.Container, view: ContainerView, address: str, watched: _Watched) -> None:
        probe = container.startup_probe or core.Probe()
        counter = _counter(probe)
        async for answer in self._answers(probe, container, view, address, early=True):
            well = counter.count(answer.well)
            if not answer.well:
                self._unhealthy(container, STARTUP, answer)
            if well is False:
                self._doom(container, view, STARTUP)
                return
            if well:
                self.started.add(view.id)
                watched.begun.set()
                if container.readiness_probe is None:
                    self.ready.add(view.id)
                self._wake()
                return

    async def _readiness(
        self, container: core.Container, view: ContainerView, address: str, watched: _Watched
    ) -> None:
        probe = container.readiness_probe or core.Probe()
        counter = _counter(probe)
        if view.id in self.ready:
            counter.verdict = True
        await watched.begun.wait()
        async for answer in self._answers(probe, container, view, address, early=view.id not in self.ready):
            well = counter.count(answer.well)
            if not answer.well:
                self._unhealthy(container, READINESS, answer)
            if bool(well) != (view.id in self.ready):
                (self.ready.add if well else self.ready.discard)(view.id)
                self._wake()

    async def _liveness(
        self, container: core.Container, view: ContainerView, address: str, watched: _Watched
    ) -> None:
        probe = container.liveness_probe or core.Probe()
        counter = _counter(probe)
        await watched.begun.wait()
        async for answer in self._answers(probe, container, view, address, early=False):
            well = counter.count(answer.well)
            if not answer.well:
                self._unhealthy(container, LIVENESS, answer)
            if well is False:
                self._doom(container, view, LIVENESS)
                return

    async def _answers(
        self, probe: core.Probe, container: core.Container, view: ContainerView, address: str, *, early: bool
    ) -> AsyncIterator[Answer]:
        """The answers that count, one each period; with `early`, a first success may come before its time."""
        period_s = float(probe.period_seconds or 10)
        age_s = (self._clock.now() - (view.started_at or view.created_at)).total_seconds()
        await self._clock.sleep(max(0.0, (probe.initial_delay_seconds or 0) - age_s))
        early = early and (probe.success_threshold or 1) == 1
        while True:
            answer = await ask(probe, container, view.id, address, self._runtime)
            yield answer
            early = early and not answer.well
            waited, pause = 0.0, EARLY_S
            while early and waited + pause < period_s:
                await self._clock.sleep(pause)
                waited, pause = waited + pause, pause * 2
                answer = await ask(probe, container, view.id, address, self._runtime)
                if answer.well:
                    early = False
                    yield answer
            await self._clock.sleep(period_s - waited)

    def _unhealthy(self, container: core.Container, kind: str, answer: Answer) -> None:
        self._tell(container, "Warning", "Unhealthy", f"{kind} probe failed: {answer.message}")

    def _doom(self, container: core.Container, view: ContainerView, kind: str) -> None:
        self.doomed[view.id] = f"Container {container.name} failed {kind.lower()} probe, will be restarted"
        self._wake()


async def _guarded(work: Coroutine[None, None, None]) -> None:
    """A probe that breaks must not take its pod's worker with it."""
    try:
        await work
    except Exception:
        log.exception("probe broke")


def _counter(probe: core.Probe) -> Counter:
    return Counter(probe.success_threshold or 1, probe.failure_threshold or 3)


def _address(pod: core.Pod, actual: PodActual) -> str:
    sandbox = actual.sandbox
    if sandbox is not None and sandbox.addresses:
        return sandbox.addresses[0]
    return pod.status.host_ip or "127.0.0.1"
