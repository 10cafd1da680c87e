"""What SQLite's errors mean for a store: the one place where they are translated."""

import errno
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import apsw

from bireme.store.interface import StoreDamaged, StoreError, StoreFull, StoreLocked, SyncFailed

NO_ROOM = (errno.ENOSPC, errno.EDQUOT)


def is_full(error: apsw.Error, connection: apsw.Connection) -> bool:
    """Whether the disk, or its quota, had no room for a write. A sync that fails for want of room is not this."""
    if isinstance(error, apsw.FullError):
        return True
    extended = getattr(error, "extendedresult", 0)  # not in apsw's stubs
    return extended == apsw.SQLITE_IOERR_WRITE and connection.system_errno in NO_ROOM


@contextmanager
def translated(path: Path) -> Iterator[None]:
    """Turn what SQLite says while a file is opened and read into the store's own errors."""
    try:
        yield
    except (apsw.CorruptError, apsw.NotADBError) as error:
        raise StoreDamaged(f"{path} is not a whole SQLite file: {error}") from error
    except apsw.BusyError as error:
        raise StoreLocked(f"{path} is in use by another program: {error}") from error
    except apsw.FullError as error:
        raise StoreFull(f"no room on the disk to open {path}: {error}") from error
    except apsw.Error as error:
        raise StoreError(f"{path} cannot be opened: {error}") from error


def fatal(error: Exception) -> SyncFailed:
    """The end of the log's thread, as those hear of it who wait."""
    failed = SyncFailed(f"the disk would not confirm a write: {type(error).__name__}: {error}")
    failed.__cause__ = error
    return failed


def lock(path: Path) -> int:
    """A descriptor that holds the store at `path` for this process alone. Raises StoreLocked."""
    try:
        descriptor = os.open(path.with_name(path.name + ".lock"), os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise StoreError(f"{path} cannot be locked: {error}") from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        holder = os.pread(descriptor, 20, 0).decode("ascii", "replace").strip()
        os.close(descriptor)
        raise StoreLocked(f"another server (process {holder or 'unknown'}) has {path}") from error
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
    return descriptor
