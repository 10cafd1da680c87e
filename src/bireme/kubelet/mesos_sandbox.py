"""What a Mesos task's pod gets besides: its sandbox folder, the host's root, stdout and stderr as files.

A pod asks by annotation (`mesos.bireme.dev/sandbox`, `.../host-root`), and is heard only in the namespaces of
Mesos roles and for folders below the agent's own. Source: Mesos, "Sandboxes".
"""

import os
from dataclasses import dataclass
from pathlib import Path

from bireme.api.kinds import core
from bireme.kubelet import beneath
from bireme.kubelet.settings import MESOS_PREFIX
from bireme.runtime.interface import Mount, Propagation

NAMESPACE_PREFIX = "mesos-"
HOST_AT = "/host"
SANDBOX_AT = "/mnt/mesos/sandbox"
CHUNK = 1 << 20


class SandboxProblem(Exception):
    """The pod asks for a folder that it may not have."""


def wants_host_root(pod: core.Pod) -> bool:
    """Whether the pod's containers enter the host's file system."""
    mine = pod.metadata.namespace.startswith(NAMESPACE_PREFIX)
    return mine and pod.metadata.annotations.get(f"{MESOS_PREFIX}host-root") == "true"


def sandbox_of(pod: core.Pod, allowed: Path | None) -> Path | None:
    """The sandbox folder that a pod asks for. Raises SandboxProblem when it lies elsewhere than it may."""
    asked = pod.metadata.annotations.get(f"{MESOS_PREFIX}sandbox", "")
    if not asked or not pod.metadata.namespace.startswith(NAMESPACE_PREFIX):
        return None
    path = Path(asked)
    if allowed is None or ".." in path.parts or not path.is_relative_to(allowed) or path == allowed:
        raise SandboxProblem(f"sandbox {asked!r} is not beneath the agent's folder")
    return path


def make_sandbox(path: Path, allowed: Path) -> None:
    """Make the folder, never through a link. Raises OSError."""
    allowed.mkdir(parents=True, exist_ok=True)
    inner = str(path.relative_to(allowed))
    beneath.make_folders(allowed, inner, mode=0o755)
    for name in ("stdout", "stderr"):
        (path / name).touch()


def mounts(pod: core.Pod, sandbox: Path | None) -> list[Mount]:
    """The host's root and the sandbox, as far as the pod has them."""
    found = []
    if wants_host_root(pod):
        shared = beneath.is_shared(Path("/"))
        found.append(
            Mount(HOST_AT, "/", propagation=Propagation.HOST_TO_CONTAINER if shared else Propagation.PRIVATE)
        )
    elif sandbox is not None:
        found.append(Mount(SANDBOX_AT, str(sandbox)))
    return found


@dataclass(slots=True)
class LogCopier:
    """Carries a container's log into `stdout` and `stderr` of its sandbox, a step at a time."""

    source: Path
    sandbox: Path
    offset: int = 0
    partial: bytes = b""

    def step(self) -> bool:
        """Carry over what is new; False if there was nothing."""
        try:
            descriptor = os.open(self.source, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError:
            return False
        with os.fdopen(descriptor, "rb") as file:
            file.seek(self.offset)
            data = file.read(CHUNK)
        if not data:
            return False
        self.offset += len(data)
        *lines, self.partial = (self.partial + data).split(b"\n")
        self._write(lines)
        return True

    def _write(self, lines: list[bytes]) -> None:
        out: dict[bytes, bytearray] = {b"stdout": bytearray(), b"stderr": bytearray()}
        for line in lines:
            words = line.split(b" ", 3)
            if len(words) == 4 and words[1] in out:
                out[words[1]] += words[3] + (b"" if words[2].startswith(b"P") else b"\n")
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        for name, text in out.items():
            if text:
                descriptor = os.open(self.sandbox / name.decode(), flags, 0o644)
                try:
                    os.write(descriptor, text)
                finally:
                    os.close(descriptor)

    def skip_copied(self) -> None:
        """After a restart: begin where `stdout` and `stderr` end, by counting what the log gives."""
        have = sum(_size(self.sandbox / name) for name in ("stdout", "stderr"))
        if have:
            self.offset = _offset_after(self.source, have)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _offset_after(path: Path, text_bytes: int) -> int:
    """How far into a log its lines have given `text_bytes` of text."""
    offset = given = 0
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return 0
    with os.fdopen(descriptor, "rb") as file:
        for line in file:
            if given >= text_bytes:
                break
            words = line.rstrip(b"\n").split(b" ", 3)
            offset += len(line)
            given += len(words[3]) + (0 if words[2].startswith(b"P") else 1) if len(words) == 4 else 0
    return offset
