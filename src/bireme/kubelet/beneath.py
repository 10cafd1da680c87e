"""System calls that Python lacks: mounting, and opening a path that must not lead out of its folder.

A container can swap a folder for a link between our look and our use of it, so a path inside a volume is opened
beneath the volume's root by the kernel (openat2, RESOLVE_BENEATH) and then used by descriptor, never by name.
Sources: openat2(2), mount(2), umount2(2); CVE-2017-1002101, CVE-2021-25741.
"""

import contextlib
import ctypes
import errno
import os
import shutil
import stat
import struct
from collections.abc import Iterator
from pathlib import Path

_OPENAT2 = 437
_RESOLVE_NO_MAGICLINKS = 0x02
_RESOLVE_BENEATH = 0x08
MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_REMOUNT, MS_BIND, MS_REC = 1, 2, 4, 8, 32, 4096, 16384
_MNT_DETACH = 2
_UMOUNT_NOFOLLOW = 8

_libc = ctypes.CDLL(None, use_errno=True)


@contextlib.contextmanager
def opened(root: Path, path: str, *, folder: bool = False) -> Iterator[int]:
    """A descriptor for `path` beneath `root`, for use as a place (O_PATH). Raises OSError if it leads out."""
    flags = os.O_PATH | os.O_CLOEXEC | (os.O_DIRECTORY if folder else 0)
    top = os.open(root, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        how = struct.pack("<QQQ", flags, 0, _RESOLVE_BENEATH | _RESOLVE_NO_MAGICLINKS)
        found = _libc.syscall(_OPENAT2, top, os.fsencode(path or "."), how, len(how))
        if found < 0:
            raise _error(path)
    finally:
        os.close(top)
    try:
        yield found
    finally:
        os.close(found)


def make_folders(root: Path, path: str, *, mode: int = 0o750) -> None:
    """Make each missing folder of `path` beneath `root`, never through a link that leads out."""
    done: list[str] = []
    for part in Path(path).parts:
        with opened(root, "/".join(done), folder=True) as parent:
            try:
                os.mkdir(part, mode, dir_fd=parent)
            except FileExistsError:
                pass
            else:
                os.chmod(part, mode, dir_fd=parent)  # whatever the umask says
        done.append(part)


def bind(source: int, target: Path) -> None:
    """Mount what the descriptor stands for at `target`, which must be there and of the same kind."""
    _mount(f"/proc/self/fd/{source}", target, "", MS_BIND | MS_REC, "")


def mount_tmpfs(target: Path, *, mode: int, size: int = 0) -> None:
    """An empty file system in memory at `target`; `size` bytes at most, 0 for the kernel's half of memory."""
    data = f"mode={mode:o}" + (f",size={size}" if size else "")
    _mount("tmpfs", target, "tmpfs", MS_NOSUID | MS_NODEV, data)


def unmount(target: Path) -> None:
    """Take a mount away; it vanishes for those who still use it once they are done."""
    if _libc.umount2(os.fsencode(target), _MNT_DETACH | _UMOUNT_NOFOLLOW) != 0:
        error = _error(str(target))
        if error.errno not in (errno.EINVAL, errno.ENOENT):
            raise error


def mounts_under(path: Path) -> list[Path]:
    """The mounts at `path` and below it, innermost first."""
    top = os.path.realpath(path)
    points = []
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as lines:
        for line in lines:
            point = line.split(" ", 5)[4].encode("utf-8", "surrogateescape").decode("unicode_escape")
            if point == top or point.startswith(top + "/"):
                points.append(Path(point))
    return sorted(points, key=lambda point: len(point.parts), reverse=True)


def is_shared(path: Path) -> bool:
    """Whether mounts made below `path` later can reach a container at all."""
    top = os.path.realpath(path)
    best, shared = "", False
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        before = line.partition(" - ")[0].split()
        point = before[4]
        if (top == point or top.startswith(point.rstrip("/") + "/")) and len(point) >= len(best):
            best, shared = point, any(word.startswith(("shared:", "master:")) for word in before[6:])
    return shared


def remove_tree(path: Path) -> None:
    """Delete a folder that containers wrote to: unmount first, follow no link, cross into no mount.

    Raises OSError if something is still mounted below it: then nothing is deleted.
    """
    for point in mounts_under(path):
        unmount(point)
    left = mounts_under(path)
    if left:
        raise OSError(errno.EBUSY, "still mounted", str(left[0]))
    if os.path.islink(path):
        raise OSError(errno.ELOOP, "is a link", str(path))
    if path.exists():
        # rmtree works by descriptors here, so a link put in its way is removed, not followed.
        shutil.rmtree(path)


def is_folder(descriptor: int) -> bool:
    return stat.S_ISDIR(os.fstat(descriptor).st_mode)


def _mount(source: str, target: Path, kind: str, flags: int, data: str) -> None:
    names = (os.fsencode(source), os.fsencode(target), kind.encode() or None)
    if _libc.mount(*names, ctypes.c_ulong(flags), data.encode() or None) != 0:
        raise _error(str(target))


def _error(path: str) -> OSError:
    number = ctypes.get_errno()
    return OSError(number, os.strerror(number), path)
