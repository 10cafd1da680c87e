"""Containers that only claim to run: for simulation by the thousand, and for tests.

Nothing happens by itself and no task runs: how a container stands is worked out from its start and the clock
when somebody looks. What a container does with its life is a `Life`, chosen by a function of its spec.
"""

import asyncio
import ipaddress
import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from bireme.aio.clock import Clock
from bireme.runtime.interface import (
    Container,
    ContainerSpec,
    ContainerStatus,
    Credentials,
    EngineStatus,
    ExecResult,
    Image,
    ImageRefused,
    LinuxResources,
    NoSuchThing,
    RuntimeFault,
    Sandbox,
    SandboxSpec,
    Share,
    State,
    Usage,
)

KILLED = 137
IMAGE_SIZE = 4 << 20


@dataclass(frozen=True, slots=True)
class Life:
    """How a hollow container behaves: how long it runs (None: until stopped), how it ends, how it takes a stop."""

    run_s: float | None = None
    exit_code: int = 0
    stop_s: float = 0.0
    stop_code: int = 0


def forever(spec: ContainerSpec) -> Life:
    """Run until stopped, and stop at once."""
    return Life()


@dataclass(frozen=True, slots=True)
class Delays:
    """Seconds that the engine's calls take."""

    sandbox_s: float = 0.0
    pull_s: float = 0.0
    start_s: float = 0.0


@dataclass(slots=True)
class _Sandbox:
    id: str
    spec: SandboxSpec
    created_at: datetime
    address: str
    ready: bool = True


@dataclass(slots=True)
class _Container:
    id: str
    sandbox_id: str
    spec: ContainerSpec
    life: Life
    created_at: datetime
    pod_uid: str
    started_at: datetime | None = None
    ended: tuple[datetime, int, str] | None = None
    log_reopened: int = 0


@dataclass(slots=True)
class Calls:
    """What was asked of the engine, in order, for tests to look at."""

    made: list[str] = field(default_factory=list)

    def named(self, verb: str) -> list[str]:
        return [call for call in self.made if call.startswith(verb)]


class HollowRuntime:
    """A `Runtime` without processes. `missing` images can't be pulled; others are `present` or pulled."""

    def __init__(
        self,
        clock: Clock,
        *,
        life: Callable[[ContainerSpec], Life] = forever,
        pod_cidr: str = "10.244.0.0/16",
        delays: Delays = Delays(),
        present: Sequence[str] = (),
        missing: Sequence[str] = (),
    ) -> None:
        self.calls = Calls()
        self.missing = set(missing)
        self.answer: Callable[[str, Sequence[str]], ExecResult] = lambda _id, _command: ExecResult(b"", b"", 0)
        self._clock = clock
        self._life = life
        self._delays = delays
        self._images = set(present)
        self._sandboxes: dict[str, _Sandbox] = {}
        self._containers: dict[str, _Container] = {}
        self._ids = itertools.count(1)
        self._addresses: Iterator[ipaddress.IPv4Address | ipaddress.IPv6Address] = iter(
            ipaddress.ip_network(pod_cidr).hosts()
        )

    async def status(self) -> EngineStatus:
        return EngineStatus(name="hollow", version="1", ready=True, network_ready=True)

    async def close(self) -> None:
        return

    async def list_sandboxes(self, *, pod_uid: str = "") -> list[Sandbox]:
        return [
            Sandbox(
                id=box.id,
                name=box.spec.name,
                namespace=box.spec.namespace,
                uid=box.spec.uid,
                attempt=box.spec.attempt,
                ready=box.ready,
                created_at=box.created_at,
                labels=dict(box.spec.labels),
                annotations=dict(box.spec.annotations),
            )
            for box in self._sandboxes.values()
            if not pod_uid or box.spec.uid == pod_uid
        ]

    async def sandbox_addresses(self, sandbox_id: str) -> tuple[str, ...]:
        address = self._sandbox(sandbox_id).address
        return (address,) if address else ()

    async def network_namespace(self, sandbox_id: str) -> str:
        self._sandbox(sandbox_id)
        return ""

    async def run_sandbox(self, spec: SandboxSpec) -> str:
        await self._clock_sleep(self._delays.sandbox_s)
        key = (spec.namespace, spec.name, spec.uid, spec.attempt)
        if any((b.spec.namespace, b.spec.name, b.spec.uid, b.spec.attempt) == key for b in self._sandboxes.values()):
            raise RuntimeFault(f"sandbox name {spec.name}_{spec.attempt} is reserved")
        on_node = spec.namespaces.network is Share.NODE
        address = "" if on_node else str(next(self._addresses))
        box = _Sandbox(self._id(), spec, self._clock.now(), address)
        self._sandboxes[box.id] = box
        self.calls.made.append(f"sandbox {spec.name}")
        return box.id

    async def stop_sandbox(self, sandbox_id: str) -> None:
        box = self._sandboxes.get(sandbox_id)
        if box is None or not box.ready:
            return
        self.calls.made.append(f"stop-sandbox {box.spec.name}")
        box.ready = False
        for container in self._containers.values():
            if container.sandbox_id == sandbox_id:
                self._end(container, KILLED, "Error")

    async def remove_sandbox(self, sandbox_id: str) -> None:
        await self.stop_sandbox(sandbox_id)
        self._sandboxes.pop(sandbox_id, None)
        for container in [c for c in self._containers.values() if c.sandbox_id == sandbox_id]:
            del self._containers[container.id]

    async def list_containers(self, *, pod_uid: str = "") -> list[Container]:
        return [
            Container(
                id=c.id,
                sandbox_id=c.sandbox_id,
                name=c.spec.name,
                attempt=c.spec.attempt,
                state=self._state(c),
                image=c.spec.image,
                created_at=c.created_at,
                labels=dict(c.spec.labels),
                annotations=dict(c.spec.annotations),
            )
            for c in self._containers.values()
            if not pod_uid or c.pod_uid == pod_uid
        ]

    async def container_status(self, container_id: str) -> ContainerStatus:
        c = self._container(container_id)
        state = self._state(c)
        finished, code, reason = c.ended or (None, 0, "")
        return ContainerStatus(
            id=c.id,
            name=c.spec.name,
            attempt=c.spec.attempt,
            state=state,
            image=c.spec.image,
            image_ref=f"sha256:{c.spec.image}",
            created_at=c.created_at,
            started_at=c.started_at,
            finished_at=finished,
            exit_code=code,
            reason=reason,
            message="",
            log_path=c.spec.log_path,
            labels=dict(c.spec.labels),
            annotations=dict(c.spec.annotations),
        )

    async def create_container(self, sandbox_id: str, spec: ContainerSpec, sandbox: SandboxSpec) -> str:
        box = self._sandbox(sandbox_id)
        if not box.ready:
            raise RuntimeFault(f"sandbox {sandbox_id} is not running")
        if spec.image not in self._images:
            raise NoSuchThing(f"image {spec.image} not found")
        taken = {(c.sandbox_id, c.spec.name, c.spec.attempt) for c in self._containers.values()}
        if (sandbox_id, spec.name, spec.attempt) in taken:
            raise RuntimeFault(f"container name {spec.name}_{spec.attempt} is reserved")
        c = _Container(self._id(), sandbox_id, spec, self._life(spec), self._clock.now(), box.spec.uid)
        self._containers[c.id] = c
        self.calls.made.append(f"create {spec.name}")
        return c.id

    async def start_container(self, container_id: str) -> None:
        await self._clock_sleep(self._delays.start_s)
        c = self._container(container_id)
        if self._state(c) is not State.CREATED:
            raise RuntimeFault(f"container {container_id} was started before")
        c.started_at = self._clock.now()
        self.calls.made.append(f"start {c.spec.name}")

    async def stop_container(self, container_id: str, *, grace_s: float) -> None:
        c = self._containers.get(container_id)
        if c is None or self._state(c) is not State.RUNNING:
            return
        self.calls.made.append(f"stop {c.spec.name}")
        await self._clock_sleep(min(c.life.stop_s, grace_s))
        if c.life.stop_s > grace_s:
            self._end(c, KILLED, "Error")
        else:
            self._end(c, c.life.stop_code, "Error" if c.life.stop_code else "Completed")

    async def remove_container(self, container_id: str) -> None:
        c = self._containers.pop(container_id, None)
        if c is not None:
            self.calls.made.append(f"remove {c.spec.name}")

    async def update_resources(self, container_id: str, resources: LinuxResources) -> None:
        c = self._container(container_id)
        c.spec = replace(c.spec, resources=resources)

    async def reopen_log(self, container_id: str) -> None:
        self._container(container_id).log_reopened += 1

    async def exec_sync(self, container_id: str, command: Sequence[str], *, timeout_s: float) -> ExecResult:
        c = self._container(container_id)
        if self._state(c) is not State.RUNNING:
            raise RuntimeFault(f"container {container_id} is not running")
        self.calls.made.append(f"exec {c.spec.name} {' '.join(command)}")
        return self.answer(container_id, command)

    async def exec_url(
        self, container_id: str, command: Sequence[str], *, stdin: bool, stdout: bool, stderr: bool, tty: bool
    ) -> str:
        raise RuntimeFault("hollow containers have no streams")

    async def attach_url(self, container_id: str, *, stdin: bool, stdout: bool, stderr: bool, tty: bool) -> str:
        raise RuntimeFault("hollow containers have no streams")

    async def usage(self) -> list[Usage]:
        now = self._clock.now()
        return [
            Usage(
                container_id=c.id,
                labels=dict(c.spec.labels),
                at=now,
                cpu_ns=int((now - c.started_at) / timedelta(microseconds=1)) * 10 if c.started_at else 0,
                memory_working_set=1 << 20,
                memory_usage=1 << 20,
                written=0,
            )
            for c in self._containers.values()
            if self._state(c) is State.RUNNING
        ]

    async def list_images(self) -> list[Image]:
        return [self._image(name) for name in sorted(self._images)]

    async def image(self, reference: str) -> Image | None:
        return self._image(reference) if reference in self._images else None

    async def pull_image(self, reference: str, *, credentials: Credentials | None = None) -> str:
        self.calls.made.append(f"pull {reference}")
        await self._clock_sleep(self._delays.pull_s)
        if reference in self.missing:
            raise ImageRefused(f"{reference}: not found")
        self._images.add(reference)
        return self._image(reference).id

    async def remove_image(self, reference: str) -> None:
        self._images.discard(reference)

    def exit(self, name: str, code: int = 1, *, reason: str = "") -> None:
        """Let the newest running container of that name end, as if by itself."""
        running = [c for c in self._containers.values() if c.spec.name == name and self._state(c) is State.RUNNING]
        self._end(running[-1], code, reason or ("Error" if code else "Completed"))

    def kill_sandbox(self, pod_uid: str) -> None:
        """Let a pod's sandbox die with all in it, as after a reboot."""
        for box in self._sandboxes.values():
            if box.spec.uid == pod_uid:
                box.ready = False
                for c in self._containers.values():
                    if c.sandbox_id == box.id:
                        self._end(c, KILLED, "Error")

    def spec(self, name: str) -> ContainerSpec:
        """What the newest container of that name was made from."""
        return [c.spec for c in self._containers.values() if c.spec.name == name][-1]

    def _id(self) -> str:
        return f"{next(self._ids):064x}"

    async def _clock_sleep(self, seconds: float) -> None:
        if seconds > 0:
            await self._clock.sleep(seconds)
        else:
            await asyncio.sleep(0)

    def _image(self, name: str) -> Image:
        return Image(id=f"sha256:{name}", tags=(name,), digests=(), size=IMAGE_SIZE)

    def _sandbox(self, sandbox_id: str) -> _Sandbox:
        try:
            return self._sandboxes[sandbox_id]
        except KeyError as error:
            raise NoSuchThing(f"sandbox {sandbox_id} not found") from error

    def _container(self, container_id: str) -> _Container:
        try:
            return self._containers[container_id]
        except KeyError as error:
            raise NoSuchThing(f"container {container_id} not found") from error

    def _state(self, c: _Container) -> State:
        """How `c` stands now; notes its end when its time has run out."""
        if c.started_at is None:
            return State.EXITED if c.ended else State.CREATED
        if c.ended is None and c.life.run_s is not None:
            end = c.started_at + timedelta(seconds=c.life.run_s)
            if end <= self._clock.now():
                c.ended = (end, c.life.exit_code, "Error" if c.life.exit_code else "Completed")
        return State.EXITED if c.ended else State.RUNNING

    def _end(self, c: _Container, code: int, reason: str) -> None:
        if self._state(c) in (State.RUNNING, State.CREATED):
            c.ended = (self._clock.now(), code, reason)
