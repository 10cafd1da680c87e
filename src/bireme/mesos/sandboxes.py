"""The sandboxes of tasks that are over: found on the disk, kept for a week, or less when the disk runs full.

The folders themselves are the record, so nothing is lost with the process. A sandbox's time is when it was last
changed, and that is also set when its task ends. All calls block briefly; callers run them in threads.
Source: Mesos, `--gc_delay`, `--gc_disk_headroom`; Mesos 1.11's HTTP API.
"""

import contextlib
import os
import shutil
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

GC_DELAY_S = 7 * 86400.0
GC_DISK_HEADROOM = 0.1
MAX_SHOWN = 150
_RUNS = "slaves/*/frameworks/*/executors/*/runs/*"


@dataclass(frozen=True, slots=True)
class Sandbox:
    """The folder of one run of an executor."""

    directory: Path
    agent_id: str
    framework_id: str
    executor_id: str
    container_id: str
    changed_s: float


def keep_s(used: float) -> float:
    """For how long sandboxes are kept when this part of the disk is used."""
    return GC_DELAY_S * max(0.0, 1.0 - GC_DISK_HEADROOM - used)


def disk_used(root: Path) -> float:
    """Which part of the disk below `root` is used. Raises OSError."""
    disk = os.statvfs(root)
    return 1.0 - disk.f_bfree / disk.f_blocks if disk.f_blocks else 0.0


class Sandboxes:
    """All sandboxes below an agent's folder."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._held: frozenset[str] = frozenset()

    def past(self, held: Collection[str]) -> list[Sandbox]:
        """Those whose container is not in `held`, newest first."""
        found = [sandbox for path in self._root.glob(_RUNS) if path.name not in held for sandbox in _read(path)]
        return sorted(found, key=lambda sandbox: sandbox.changed_s, reverse=True)

    def collect(self, held: Collection[str], *, now_s: float, used: float) -> list[Sandbox]:
        """Remove those that are old enough; what was removed."""
        ended, self._held = self._held.difference(held), frozenset(held)
        removed = []
        for sandbox in self.past(held):
            if sandbox.container_id in ended:
                with contextlib.suppress(OSError):
                    os.utime(sandbox.directory, (now_s, now_s), follow_symlinks=False)
            elif now_s - sandbox.changed_s >= keep_s(used):
                shutil.rmtree(sandbox.directory, ignore_errors=True)
                _remove_empty(sandbox.directory.parent, self._root)
                removed.append(sandbox)
        return removed


def _read(path: Path) -> list[Sandbox]:
    try:
        if path.is_symlink() or not path.is_dir():
            return []
        changed_s = max(each.lstat().st_mtime for each in (path, path / "stdout", path / "stderr") if each.exists())
    except (OSError, ValueError):
        return []
    parts = path.parts
    return [Sandbox(path, parts[-7], parts[-5], parts[-3], parts[-1], changed_s)]


def _remove_empty(folder: Path, root: Path) -> None:
    """Remove folders upwards as long as they are empty."""
    with contextlib.suppress(OSError):
        while folder != root:
            folder.rmdir()
            folder = folder.parent
