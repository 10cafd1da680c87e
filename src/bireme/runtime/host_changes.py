"""What Bireme changes on this machine, written down before it is done, so that it can be undone.

Each change is a line of JSON in one file that only grows: a kind, a name, and what was there before. A purge
undoes them in reverse order and then asks of each whether anything is left. Nothing here needs the cluster
to run. Docker's and the machine's own things are never touched: only what the file names.
"""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from bireme.runtime import shims

END_S = 5.0

Kind = Literal[
    "link", "route", "nft-table", "netns", "mount", "cgroup", "sysctl", "file", "directory", "process", "shims"
]


@dataclass(frozen=True, slots=True)
class Change:
    """One change: `name` is a link, a path, a route's destination, a sysctl, a process id; `before` what it was.

    For the shims of an engine `name` is its socket, `before` the folder that has a folder for each of its tasks.
    """

    kind: Kind
    name: str
    before: str = ""


class HostChanges:
    """The changes of one cluster on this machine, kept in `path`. Several processes may append."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._known = set(self.entries())

    def record(self, kind: Kind, name: str, *, before: str = "") -> None:
        """Write the change down, durably; call it before making the change. Twice the same is once."""
        change = Change(kind, name, before)
        if _place(change) in {_place(known) for known in self._known}:
            return
        self._path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            os.write(descriptor, json.dumps(asdict(change)).encode() + b"\n")
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        self._known.add(change)

    def entries(self) -> list[Change]:
        """The changes in the order they were made. A line that a crash cut short is passed over."""
        changes: dict[tuple[str, ...], Change] = {}
        try:
            lines = self._path.read_text().splitlines()
        except FileNotFoundError:
            return []
        for line in lines:
            try:
                change = Change(**json.loads(line))
            except (ValueError, TypeError):
                continue
            changes.setdefault(_place(change), change)
        return list(changes.values())

    def undo(self) -> list[Change]:
        """Undo everything, the last first; the changes that could not be undone are given back."""
        return [change for change in reversed(self.entries()) if not undo(change)]

    def left(self) -> list[Change]:
        """What is still there."""
        return [change for change in self.entries() if is_left(change)]


def _place(change: Change) -> tuple[str, ...]:
    """What a change is about: a process id is used again, by a process that began at another time."""
    return (change.kind, change.name, change.before) if change.kind == "process" else (change.kind, change.name)


def undo(change: Change) -> bool:
    """Take one change back; true when nothing of it is left."""
    with contextlib.suppress(OSError, ValueError):
        UNDO[change.kind](change)
    return not is_left(change)


def is_left(change: Change) -> bool:
    """Is the change still to be seen on this machine? A sysctl counts only while it differs from before."""
    return LEFT[change.kind](change)


def set_sysctl(changes: HostChanges, name: str, value: str) -> None:
    """Set `net.ipv4.ip_forward`-like `name`, remembering what it was. A setting this kernel lacks is left out."""
    path = _sysctl(name)
    try:
        before = path.read_text().strip()
    except FileNotFoundError:
        return
    if before != value:
        changes.record("sysctl", name, before=before)
        path.write_text(value)


def _sysctl(name: str) -> Path:
    return Path("/proc/sys") / name.replace(".", "/")


def _run(*command: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(command, check=False, capture_output=True, timeout=30)


def mounts_under(path: str) -> list[str]:
    """Mount points at or below `path`, the deepest first."""
    points = [
        line.split()[1].encode().decode("unicode_escape") for line in Path("/proc/mounts").read_text().splitlines()
    ]
    below = path.rstrip("/") + "/"
    return sorted((point for point in points if (point + "/").startswith(below)), key=len, reverse=True)


def _unmount(change: Change) -> None:
    for point in mounts_under(change.name):
        _run("umount", "-l", point)


def _remove_tree(change: Change) -> None:
    _unmount(change)
    if not mounts_under(change.name):
        shutil.rmtree(change.name, ignore_errors=True)


def cgroup_folders(name: str) -> list[Path]:
    """The folders of cgroup `name` in every hierarchy, the deepest first."""
    root = Path("/sys/fs/cgroup")
    roots = (
        [root, *(path for path in root.iterdir() if path.is_dir() and not path.is_symlink())] if root.is_dir() else []
    )
    tops = {top / name.strip("/") for top in roots if (top / name.strip("/")).is_dir()}
    found = {folder for top in tops for folder in (top, *(path for path in top.rglob("*") if path.is_dir()))}
    return sorted(found, key=lambda path: len(path.parts), reverse=True)


def _remove_cgroup(change: Change) -> None:
    for folder in cgroup_folders(change.name):
        with contextlib.suppress(OSError):
            folder.rmdir()


def _end_process(change: Change) -> None:
    """`before` is the process's start time in ticks, so that a reused id is left alone."""
    if is_left(change):
        os.kill(int(change.name), signal.SIGKILL)
    deadline = time.monotonic() + END_S
    while is_left(change) and time.monotonic() < deadline:
        time.sleep(0.01)


def process_start(pid: int) -> str:
    """When the process began, in clock ticks since boot; "" when there is none."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return ""


def _process_left(change: Change) -> bool:
    start = process_start(int(change.name))
    return bool(start) and start == change.before and not _is_zombie(int(change.name))


def _is_zombie(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


UNDO: dict[str, Callable[[Change], object]] = {
    "link": lambda change: _run("ip", "link", "delete", change.name),
    "route": lambda change: _run("ip", "route", "delete", *change.name.split()),
    "nft-table": lambda change: _run("nft", "delete", "table", *change.name.split()),
    "netns": lambda change: _run("ip", "netns", "delete", change.name),
    "mount": _unmount,
    "cgroup": _remove_cgroup,
    "sysctl": lambda change: _sysctl(change.name).write_text(change.before),
    "file": lambda change: Path(change.name).unlink(missing_ok=True),
    "directory": _remove_tree,
    "process": _end_process,
    "shims": lambda change: shims.sweep(change.name, shims.known_tasks(Path(change.before))),
}

LEFT: dict[str, Callable[[Change], bool]] = {
    "link": lambda change: Path("/sys/class/net", change.name).exists(),
    "route": lambda change: bool(_run("ip", "route", "show", *change.name.split()).stdout.strip()),
    "nft-table": lambda change: _run("nft", "list", "table", *change.name.split()).returncode == 0,
    "netns": lambda change: Path("/run/netns", change.name).exists(),
    "mount": lambda change: bool(mounts_under(change.name)),
    "cgroup": lambda change: bool(cgroup_folders(change.name)),
    "sysctl": lambda change: (
        _sysctl(change.name).exists() and _sysctl(change.name).read_text().strip() != change.before
    ),
    "file": lambda change: Path(change.name).exists(),
    "directory": lambda change: Path(change.name).exists(),
    "process": _process_left,
    "shims": lambda change: bool(shims.left(change.name, shims.known_tasks(Path(change.before)))),
}
