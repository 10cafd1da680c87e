"""Files of sandboxes, opened beneath their root.

A path is walked from the root by file descriptor, segment by segment, and no symbolic link is followed, so what
a task leaves in its sandbox cannot lead anyone out of it. All calls block briefly; callers run them in threads.
"""

import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

MAX_READ = 16 * 4096
MAX_ENTRIES = 10_000


@dataclass(frozen=True, slots=True)
class Entry:
    """A file as `ls -l` would show it."""

    name: str
    links: int
    size: int
    modified_s: float
    mode: int
    uid: int
    gid: int

    @property
    def mode_text(self) -> str:
        return stat.filemode(self.mode)


def segments(path: str) -> list[str] | None:
    """The parts of a relative path; None if it tries to leave its root or cannot be a path."""
    parts = [part for part in path.split("/") if part not in ("", ".")]
    return None if ".." in parts or "\0" in path or len(parts) > 64 else parts


@contextmanager
def opened(root: Path, parts: Sequence[str], *, flags: int = os.O_RDONLY) -> Iterator[int]:
    """A descriptor of the file or folder at `parts` beneath `root`. Raises OSError."""
    descriptor = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for place, part in enumerate(parts):
            last = place == len(parts) - 1
            wanted = flags | os.O_NONBLOCK if last else os.O_RDONLY | os.O_DIRECTORY
            below = os.open(part, wanted | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644, dir_fd=descriptor)
            os.close(descriptor)
            descriptor = below
        yield descriptor
    finally:
        os.close(descriptor)


def browse(root: Path, parts: Sequence[str]) -> list[Entry]:
    """What is in a folder, by name. Raises OSError."""
    found = []
    with opened(root, parts, flags=os.O_RDONLY | os.O_DIRECTORY) as folder:
        for name in sorted(os.listdir(folder))[:MAX_ENTRIES]:
            try:
                found.append(_entry(name, os.stat(name, dir_fd=folder, follow_symlinks=False)))
            except FileNotFoundError:
                continue
    return found


def _entry(name: str, info: os.stat_result) -> Entry:
    return Entry(name, info.st_nlink, info.st_size, info.st_mtime, info.st_mode, info.st_uid, info.st_gid)


def read(root: Path, parts: Sequence[str], *, offset: int, length: int) -> tuple[bytes, int]:
    """Some bytes of a plain file, and the file's size. Raises OSError."""
    with opened(root, parts) as descriptor:
        info = os.fstat(descriptor)
        if not stat.S_ISREG(info.st_mode):
            raise IsADirectoryError("not a plain file")
        wanted = MAX_READ if length < 0 else min(length, MAX_READ)
        return (os.pread(descriptor, wanted, offset) if 0 <= offset < info.st_size else b""), info.st_size


def make_folders(root: Path, parts: Sequence[str], *, mode: int = 0o755) -> None:
    """Make a folder and those above it, down from `root`. Raises OSError."""
    root.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for part in parts:
            try:
                os.mkdir(part, mode, dir_fd=descriptor)
            except FileExistsError:
                pass
            below = os.open(part, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=descriptor)
            os.close(descriptor)
            descriptor = below
    finally:
        os.close(descriptor)
