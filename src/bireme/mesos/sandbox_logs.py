"""stdout and stderr in sandboxes: what a task's container logged, split into the two files that Mesos' users read.

The kubelet keeps the log of each container in CRI's format; here its new lines are copied, twice a second, for
the pods of tasks on this node. After a restart a log is copied anew from its beginning.
"""

import asyncio
import os
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from pathlib import Path

import structlog

from bireme.aio.clock import Clock
from bireme.api.kinds import core
from bireme.mesos import json_form, sandbox_files, tasks

log = structlog.get_logger(__name__)

INTERVAL_S = 0.5
_CHUNK = 1 << 20


@dataclass(slots=True)
class _Log:
    """How far one container's log was copied; `rest` is a line that was not whole yet."""

    source: Path
    folder: list[str]
    offset: int = 0
    inode: int = 0
    rest: bytes = b""
    fresh: bool = True


@dataclass(slots=True)
class SandboxLogs:
    """Copies logs for the pods that `pods` gives. `log_folder` is where the kubelet puts a pod's logs."""

    pods: Callable[[], Collection[core.Pod]]
    log_folder: Callable[[core.Pod], Path]
    root: Path
    clock: Clock
    _logs: dict[tuple[str, str], _Log] = field(default_factory=dict)

    async def run(self) -> None:
        """Copy until cancelled."""
        while True:
            await asyncio.to_thread(self.copy)
            await self.clock.sleep(INTERVAL_S)

    def copy(self) -> None:
        """Copy what is new now."""
        seen: set[tuple[str, str]] = set()
        for pod in list(self.pods()):
            for container, folder in folders(pod, self.root).items():
                key = (pod.metadata.uid, container)
                seen.add(key)
                held = self._logs.setdefault(key, _Log(self.log_folder(pod) / container, folder))
                try:
                    self._copy_one(held)
                except OSError as error:
                    log.warning("a sandbox's log cannot be written", pod=pod.metadata.name, error=str(error))
        for key in self._logs.keys() - seen:
            del self._logs[key]

    def _copy_one(self, held: _Log) -> None:
        newest = _newest(held.source)
        if held.fresh:
            sandbox_files.make_folders(self.root, held.folder)
            for name in ("stdout", "stderr"):
                _append(self.root, [*held.folder, name], b"", truncate=True)
            held.fresh = False
        if newest is None:
            return
        with newest.open("rb") as source:
            inode = os.fstat(source.fileno()).st_ino
            if inode != held.inode:
                held.inode, held.offset, held.rest = inode, 0, b""
            source.seek(held.offset)
            while chunk := source.read(_CHUNK):
                held.offset += len(chunk)
                *lines, held.rest = (held.rest + chunk).split(b"\n")
                for name, data in split(lines).items():
                    _append(self.root, [*held.folder, name], data)


def folders(pod: core.Pod, root: Path) -> dict[str, list[str]]:
    """Where beneath `root` each container of a task's pod has its stdout and stderr; empty for other pods."""
    sandbox = pod.metadata.annotations.get(tasks.SANDBOX, "")
    if not sandbox.startswith(f"{root}/"):
        return {}
    parts = sandbox_files.segments(sandbox.removeprefix(f"{root}/"))
    if parts is None:
        return {}
    if tasks.EXECUTOR not in pod.metadata.annotations:
        return {tasks.container_name(0, group=False): parts}
    try:
        infos = tasks.infos_of(pod)
    except json_form.Malformed:
        return {}
    return {
        tasks.container_name(place, group=True): [*parts, "tasks", info["task_id"]["value"]]
        for place, info in enumerate(infos)
    }


def split(lines: list[bytes]) -> dict[str, bytes]:
    """CRI log lines (`time stream P|F text`) as the bytes of each stream."""
    found: dict[str, list[bytes]] = {}
    for line in lines:
        _, _, rest = line.partition(b" ")
        stream, _, rest = rest.partition(b" ")
        tag, _, content = rest.partition(b" ")
        if stream in (b"stdout", b"stderr"):
            found.setdefault(stream.decode(), []).append(content if tag.startswith(b"P") else content + b"\n")
    return {name: b"".join(parts) for name, parts in found.items()}


def _newest(folder: Path) -> Path | None:
    """The log in use: N.log with the highest N."""
    try:
        names = [name for name in os.listdir(folder) if name.endswith(".log")]
    except FileNotFoundError:
        return None
    numbered = [(int(name[:-4]), name) for name in names if name[:-4].isdecimal()]
    return folder / max(numbered)[1] if numbered else None


def _append(root: Path, parts: list[str], data: bytes, *, truncate: bool = False) -> None:
    flags = os.O_WRONLY | os.O_CREAT | (os.O_TRUNC if truncate else os.O_APPEND)
    with sandbox_files.opened(root, parts, flags=flags) as descriptor:
        while data:
            data = data[os.write(descriptor, data) :]
