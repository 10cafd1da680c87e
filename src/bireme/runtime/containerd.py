"""A containerd of our own: its configuration, its process, and the images put into it.

It never touches one that the machine already runs: root, state, socket and network folders are all handed in.
The engine and its containers outlive the agent; one that still answers is adopted, not started again.
Source: containerd 1.6 `docs/cri/config.md`, `docs/ops.md`.
"""

import asyncio
import json
import os
import shutil
import signal
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import structlog

from bireme.aio.clock import Clock
from bireme.runtime import images, shims
from bireme.runtime.interface import GRACE, Container, EngineAway, Runtime, RuntimeFault, State

log = structlog.get_logger(__name__)

NAMESPACE = shims.NAMESPACE
START_S = 30.0
STOP_S = 15.0
CLEAR_ATTEMPTS = 4
LONGEST_GRACE_S = 3.0
_CAP_SYS_RESOURCE = 24


@dataclass(frozen=True, slots=True)
class ContainerdSettings:
    """Where an engine keeps its things. `root` holds images, `state` what a reboot may lose."""

    root: Path
    state: Path
    socket: Path
    cni_config: Path
    cni_plugins: Path = Path("/usr/lib/cni")
    log: Path | None = None
    program: str = "containerd"
    control: str = "ctr"

    @property
    def config_path(self) -> Path:
        return self.root / "config.toml"

    @property
    def pid_path(self) -> Path:
        return self.state / "containerd.pid"

    @property
    def tasks(self) -> Path:
        """The folder in which each sandbox and container has one of its own."""
        return self.root / "data" / "io.containerd.runtime.v2.task" / NAMESPACE

    @property
    def log_path(self) -> Path:
        return self.log or self.root / "containerd.log"


@dataclass(frozen=True, slots=True)
class Machine:
    """What of this machine the configuration depends on."""

    restrict_oom_score: bool
    apparmor: bool
    snapshotter: str


def look_at_machine(root: Path) -> Machine:
    """Find out what the kernel allows this process and where `root` lies."""
    status = Path("/proc/self/status").read_text()
    effective = next(line.split()[1] for line in status.splitlines() if line.startswith("CapEff:"))
    apparmor = Path("/sys/module/apparmor/parameters/enabled")
    overlay = "\toverlay\n" in Path("/proc/filesystems").read_text()
    return Machine(
        restrict_oom_score=not int(effective, 16) >> _CAP_SYS_RESOURCE & 1,
        apparmor=apparmor.is_file() and apparmor.read_text().strip() == "Y" and bool(shutil.which("apparmor_parser")),
        snapshotter="overlayfs" if overlay and _file_system(root) != "overlay" else "native",
    )


def _file_system(path: Path) -> str:
    """The type of the file system that `path`, or what of it is there, lies on."""
    best, kind = "", ""
    real = os.path.realpath(path)
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        before, _, after = line.partition(" - ")
        point = before.split()[4]
        under = real == point or real.startswith(point.rstrip("/") + "/")
        if under and len(point) >= len(best):
            best, kind = point, after.split()[0]
    return kind


def configuration(settings: ContainerdSettings, machine: Machine) -> str:
    """The engine's config.toml."""
    text = json.dumps  # a JSON string is a TOML string
    unused = ["aufs", "btrfs", "devmapper", "zfs"]
    disabled = [f"io.containerd.snapshotter.v1.{name}" for name in unused] + [
        "io.containerd.tracing.processor.v1.otlp"
    ]
    cri = 'plugins."io.containerd.grpc.v1.cri"'
    return f"""\
version = 2
root = {text(str(settings.root / "data"))}
state = {text(str(settings.state / "containerd"))}
disabled_plugins = {text(disabled)}

[grpc]
  address = {text(str(settings.socket))}
  max_recv_message_size = 16777216
  max_send_message_size = 16777216

[ttrpc]
  address = {text(str(settings.socket) + ".ttrpc")}

[debug]
  level = "warn"

[plugins."io.containerd.internal.v1.opt"]
  path = {text(str(settings.root / "opt"))}

[{cri}]
  sandbox_image = {text(images.PAUSE)}
  restrict_oom_score_adj = {text(machine.restrict_oom_score)}
  disable_apparmor = {text(not machine.apparmor)}
  tolerate_missing_hugetlb_controller = true
  netns_mounts_under_state_dir = true
  stream_server_address = "127.0.0.1"
  stream_server_port = "0"
  stream_idle_timeout = "4h0m0s"

[{cri}.cni]
  bin_dir = {text(str(settings.cni_plugins))}
  conf_dir = {text(str(settings.cni_config))}

[{cri}.containerd]
  snapshotter = {text(machine.snapshotter)}
  default_runtime_name = "runc"

[{cri}.containerd.runtimes.runc]
  runtime_type = "io.containerd.runc.v2"

[{cri}.containerd.runtimes.runc.options]
  SystemdCgroup = false
  Root = {text(str(settings.state / "runc"))}
"""


class Containerd:
    """The engine's process. `start` before use; `stop` leaves the containers running under their shims."""

    def __init__(self, settings: ContainerdSettings, *, clock: Clock) -> None:
        self.settings = settings
        self._clock = clock

    @property
    def pid(self) -> int | None:
        """The process id of the engine of these settings, if it runs."""
        try:
            pid = int(self.settings.pid_path.read_text())
            command = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        except (OSError, ValueError):
            return None
        return pid if str(self.settings.config_path).encode() in command else None

    async def start(self) -> bool:
        """Adopt the engine that runs, or start one, and wait until it answers. True when it was started anew."""
        fresh = self.pid is None
        if fresh:
            self._prepare()
            self._spawn()
        await self._wait_answer()
        return fresh

    def _prepare(self) -> None:
        settings = self.settings
        for folder in (settings.root, settings.state, settings.cni_config, settings.socket.parent):
            folder.mkdir(parents=True, exist_ok=True, mode=0o711)
        settings.log_path.parent.mkdir(parents=True, exist_ok=True)
        settings.config_path.write_text(configuration(settings, look_at_machine(settings.root)))

    def _spawn(self) -> None:
        settings = self.settings
        program = shutil.which(settings.program)
        if program is None:
            raise RuntimeFault(f"{settings.program} is not installed")
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
        output = os.open(settings.log_path, flags, 0o640)
        try:
            # A session of its own and no pipe to us: it lives on when this process is killed.
            pid = os.posix_spawn(
                program,
                [program, "--config", str(settings.config_path)],
                os.environ,
                file_actions=[
                    (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                    (os.POSIX_SPAWN_DUP2, output, 1),
                    (os.POSIX_SPAWN_DUP2, output, 2),
                ],
                setsid=True,
            )
        finally:
            os.close(output)
        settings.pid_path.write_text(str(pid))
        log.info("containerd started", pid=pid, socket=str(settings.socket))

    async def _wait_answer(self) -> None:
        deadline = self._clock.monotonic() + START_S
        while self._clock.monotonic() < deadline:
            if not _alive(int(self.settings.pid_path.read_text())):
                raise RuntimeFault(f"containerd ended at once; see {self.settings.log_path}")
            try:
                _, writer = await asyncio.open_unix_connection(str(self.settings.socket))
            except OSError:
                await self._clock.sleep(0.05)
                continue
            writer.close()
            return
        raise RuntimeFault(f"containerd does not answer on {self.settings.socket}")

    async def stop(self) -> None:
        """End the engine's process; what it runs goes on. Ending what does not run is no error."""
        pid = self.pid
        if pid is None:
            return
        os.kill(pid, signal.SIGTERM)
        deadline = self._clock.monotonic() + STOP_S
        while self.pid == pid:
            if not _alive(pid):
                break
            if self._clock.monotonic() > deadline:
                os.kill(pid, signal.SIGKILL)
            await self._clock.sleep(0.05)
        self.settings.pid_path.unlink(missing_ok=True)

    async def import_archive(self, path: Path) -> None:
        """Put the images of a docker or OCI archive into the engine. Raises RuntimeFault with the tool's words."""
        settings = self.settings
        process = await asyncio.create_subprocess_exec(
            *(settings.control, "--address", str(settings.socket), "-n", NAMESPACE),
            *("images", "import", "--snapshotter", look_at_machine(settings.root).snapshotter, str(path)),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        output, _ = await process.communicate()
        if process.returncode:
            raise RuntimeFault(f"import of {path}: {output.decode(errors='replace').strip()}")

    async def import_builtin(self, runtime: Runtime, *, busybox: Path = Path("/bin/busybox")) -> None:
        """Put the pause and demo images into the engine, unless they are there, and wait until it shows them."""
        await self.wait_ready(runtime)
        architecture = images.ARCHITECTURES[os.uname().machine]
        wanted = [(images.PAUSE, lambda: images.pause_archive(architecture))]
        if os.access(busybox, os.X_OK):
            wanted.append((images.BUSYBOX, lambda: images.busybox_archive(busybox, architecture=architecture)))
        for name, make in wanted:
            if await runtime.image(name) is not None:
                continue
            path = self.settings.root / "import.tar"
            try:
                path.write_bytes(await asyncio.to_thread(make))
                await self.import_archive(path)
            finally:
                path.unlink(missing_ok=True)
            await self.wait_image(runtime, name)

    async def wait_ready(self, runtime: Runtime) -> None:
        """Return once the engine's CRI side serves; it opens its socket a moment before. Raises EngineAway."""
        deadline = self._clock.monotonic() + START_S
        while True:
            try:
                await runtime.status()
            except EngineAway:
                if self._clock.monotonic() > deadline:
                    raise
                await self._clock.sleep(0.05)
            else:
                return

    async def wait_image(self, runtime: Runtime, name: str) -> None:
        """Return once the engine's CRI side has seen an image that was imported behind its back."""
        deadline = self._clock.monotonic() + START_S
        while await runtime.image(name) is None:
            if self._clock.monotonic() > deadline:
                raise RuntimeFault(f"image {name} was imported but does not appear")
            await self._clock.sleep(0.02)


async def clear(runtime: Runtime, *, clock: Clock, longest_s: float = LONGEST_GRACE_S) -> list[str]:
    """Stop and remove every sandbox and container of an engine; the ids of the sandboxes that would not go.

    All stop at once, each with the grace that its pod was promised but no more than `longest_s`.
    """
    containers: defaultdict[str, list[Container]] = defaultdict(list)
    for container in await runtime.list_containers():
        containers[container.sandbox_id].append(container)
    for attempt in range(CLEAR_ATTEMPTS):
        left = await runtime.list_sandboxes()
        if not left:
            break
        await clock.sleep(attempt * 0.5)
        async with asyncio.TaskGroup() as tasks:
            for sandbox in left:
                tasks.create_task(_discard(runtime, sandbox.id, containers.pop(sandbox.id, []), longest_s))
    return [sandbox.id for sandbox in await runtime.list_sandboxes()]


def _grace(container: Container) -> float:
    try:
        return float(container.annotations[GRACE])
    except (KeyError, ValueError):
        return LONGEST_GRACE_S


async def _stop(runtime: Runtime, container_id: str, grace_s: float) -> None:
    try:
        await runtime.stop_container(container_id, grace_s=grace_s)
    except RuntimeFault as fault:
        log.info("container not stopped", container=container_id, error=fault.message)


async def _discard(runtime: Runtime, sandbox_id: str, containers: list[Container], longest_s: float) -> None:
    try:
        async with asyncio.TaskGroup() as tasks:
            for container in containers:
                if container.state is not State.EXITED:
                    tasks.create_task(_stop(runtime, container.id, min(longest_s, _grace(container))))
        await runtime.stop_sandbox(sandbox_id)
        await runtime.remove_sandbox(sandbox_id)
    except RuntimeFault as fault:
        log.info("sandbox not removed", sandbox=sandbox_id, error=fault.message)


def _alive(pid: int) -> bool:
    """Whether `pid` runs; collects it if it is a child of ours that has ended.

    Its command line can't tell just after the start: it is empty until the new program is in place.
    """
    try:
        ended, _ = os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:
        return Path(f"/proc/{pid}").exists()
    return not ended
