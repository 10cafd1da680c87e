"""Containers' logs and last words, as files.

`LOG_ROOT/NAMESPACE_POD_UID/CONTAINER/N.log`, in CRI's format, written by the engine; here they are rotated, read
from the end, and removed. No link is ever followed: a log folder is a place that others might write to.
Source: Kubernetes, "Logging Architecture"; CRI log format.
"""

import os
import shutil
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path

from bireme.api.kinds import core

MESSAGE_LIMIT = 4096
FALLBACK_BYTES, FALLBACK_LINES = 2048, 80


def pod_folder(pod: core.Pod) -> str:
    """The name of a pod's log folder."""
    return f"{pod.metadata.namespace}_{pod.metadata.name}_{pod.metadata.uid}"


def container_log(container: str, attempt: int) -> str:
    """A container's log, in its pod's folder."""
    return f"{container}/{attempt}.log"


def read_end(path: Path, limit: int) -> bytes:
    """The last `limit` bytes of a plain file; nothing for what is no plain file."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return b""
    with os.fdopen(descriptor, "rb") as file:
        try:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - limit))
            return file.read(limit)
        except OSError:
            return b""


def termination_message(path: Path) -> str:
    """What a container wrote to its termination file, cut to 4 KiB."""
    return read_end(path, MESSAGE_LIMIT).decode(errors="replace")


def last_lines(path: Path) -> str:
    """The end of a log without CRI's marks: at most 2 KiB and 80 lines."""
    lines = read_end(path, FALLBACK_BYTES * 2).split(b"\n")
    text = b"\n".join(line.split(b" ", 3)[3] for line in lines[-FALLBACK_LINES - 1 :] if line.count(b" ") >= 3)
    return text[-FALLBACK_BYTES:].decode(errors="replace")


def rotate(path: Path, *, max_bytes: int, max_files: int, now: datetime) -> bool:
    """Move a log aside once it is too long and drop the oldest; True if the engine must open it anew."""
    try:
        if path.is_symlink() or path.stat().st_size < max_bytes:
            return False
    except OSError:
        return False
    old = sorted(_rotated(path))
    # The live file counts as one of them, and the one made now as another.
    for extra in old[: max(0, len(old) - (max_files - 2))]:
        extra.unlink(missing_ok=True)
    path.rename(f"{path}.{now:%Y%m%d-%H%M%S%f}")
    return True


def _rotated(path: Path) -> Iterable[Path]:
    return (other for other in path.parent.iterdir() if other.name.startswith(path.name + "."))


def remove_attempt(folder: Path, container: str, attempt: int) -> None:
    """Drop the logs of one dead instance."""
    path = folder / container_log(container, attempt)
    if path.parent.is_dir():
        for other in [path, *_rotated(path)]:
            other.unlink(missing_ok=True)


def known(root: Path) -> list[str]:
    """The uids of pods that have logs."""
    return [path.name.rpartition("_")[2] for path in root.iterdir()] if root.is_dir() else []


def remove_uid(root: Path, pod_uid: str) -> None:
    """Drop all logs of a pod of which only the uid is known."""
    for path in list(root.iterdir()) if root.is_dir() else []:
        if path.name.endswith(f"_{pod_uid}"):
            remove_pod(root, path.name)


def remove_pod(root: Path, folder: str) -> None:
    """Drop all logs of a pod."""
    path = root / folder
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
