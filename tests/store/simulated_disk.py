"""A disk for SQLite that can lose power, fill up and fail.

Every operation is noted in `trace`, beside what the test notes there itself (such as acknowledged writes), so
that afterwards the power can be cut at any place of it. A crash model keeps what was synced, and of each file's
later writes nothing, a beginning, any part, or a beginning whose last write is torn at a multiple of 512 bytes.
Names are files' names in a directory: creating one is durable with the first sync of the file (as SQLite's unix
layer does it), removing one when the directory is synced, and in between it may or may not have happened.
"""

import copy
import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from random import Random
from typing import Any

import apsw

SECTOR = 512
numbers = itertools.count()


@dataclass(frozen=True, slots=True)
class Write:
    name: str
    offset: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Truncate:
    name: str
    size: int


@dataclass(frozen=True, slots=True)
class Sync:
    name: str


@dataclass(frozen=True, slots=True)
class Create:
    name: str


@dataclass(frozen=True, slots=True)
class Delete:
    name: str
    synced: bool


class Crash(Enum):
    """What becomes of what was not synced."""

    NOTHING = "nothing of it is there"
    PREFIX = "a beginning of it is there"
    SUBSET = "any part of it is there"
    TORN = "a beginning of it is there, the last write torn"
    KILLED = "all of it is there, since only the process died"


class File:
    """A file's bytes as a process sees them, as they are on the platter, and what lies between."""

    def __init__(self, content: bytes = b"") -> None:
        self.present = bytearray(content)
        self.durable = bytes(content)
        self.unsynced: list[Write | Truncate] = []

    def apply(self, change: Write | Truncate) -> None:
        change_bytes(self.present, change)
        self.unsynced.append(change)

    def sync(self) -> None:
        self.durable = bytes(self.present)
        self.unsynced.clear()

    def after(self, crash: Crash, random: Random) -> bytes:
        """What a reader finds after `crash`."""
        content = bytearray(self.durable)
        changes: Sequence[Write | Truncate] = self.unsynced
        if crash is Crash.NOTHING:
            changes = ()
        elif crash is Crash.SUBSET:
            changes = [change for change in changes if random.random() < 0.5]
        elif crash in (Crash.PREFIX, Crash.TORN):
            changes = changes[: random.randint(0, len(changes))]
        for change in changes[:-1] if crash is Crash.TORN else changes:
            change_bytes(content, change)
        if crash is Crash.TORN and changes:
            change_bytes(content, torn(changes[-1], random))
        return bytes(content)


def change_bytes(content: bytearray, change: Write | Truncate) -> None:
    if isinstance(change, Truncate):
        del content[change.size :]
        content.extend(bytes(change.size - len(content)))
        return
    content.extend(bytes(max(0, change.offset - len(content))))
    content[change.offset : change.offset + len(change.data)] = change.data


def torn(change: Write | Truncate, random: Random) -> Write | Truncate:
    """A write that got some way only, up to the end of a sector."""
    if isinstance(change, Truncate):
        return change
    first = SECTOR - change.offset % SECTOR
    ends = range(first, len(change.data) + 1, SECTOR)
    return Write(change.name, change.offset, change.data[: random.choice([0, *ends])])


@dataclass
class Directory:
    """The files by name, now, and under which names they would be found after a crash."""

    files: dict[str, File] = field(default_factory=dict)
    durable: dict[str, File] = field(default_factory=dict)
    pending: list[tuple[str, File | None]] = field(default_factory=list)

    def apply(self, operation: Any) -> None:
        match operation:
            case Create(name):
                self.files[name] = File()
                self.pending.append((name, self.files[name]))
            case Delete(name, synced):
                self.files.pop(name, None)
                self.pending.append((name, None))
                if synced:
                    self._sync_names()
            case Sync(name):
                self.files[name].sync()
                if self.durable.get(name) is not self.files[name]:
                    self._sync_names()
            case Write(name) | Truncate(name):
                self.files[name].apply(operation)

    def _sync_names(self) -> None:
        for name, file in self.pending:
            if file is None:
                self.durable.pop(name, None)
            else:
                self.durable[name] = file
        self.pending.clear()

    def after(self, crash: Crash, random: Random) -> "Directory":
        """What a reader finds after `crash`; only after the death of a process is any of it still unsynced."""
        if crash is Crash.KILLED:
            return copy.deepcopy(self)
        names = dict(self.durable)
        happened = 0 if crash is Crash.NOTHING else random.randint(0, len(self.pending))
        for name, file in self.pending[:happened]:
            if file is None:
                names.pop(name, None)
            else:
                names[name] = file
        found = {name: File(file.after(crash, random)) for name, file in names.items()}
        return Directory(found, dict(found))


class Disk(apsw.VFS):  # type: ignore[misc]
    """A VFS over a `Directory`. `fault` is asked before each operation and may raise; `room` bounds all bytes."""

    def __init__(self, directory: Directory | None = None, *, room: int | None = None) -> None:
        self.name = f"simulated-{next(numbers)}"
        self.directory = directory or Directory()
        self.trace: list[Any] = []
        self.fault: Callable[[Any], None] = lambda operation: None
        self.room = room
        super().__init__(self.name, "")

    def do(self, operation: Any) -> None:
        self.fault(operation)
        if self.room is not None and isinstance(operation, Write):
            file = self.directory.files[operation.name]
            grows = operation.offset + len(operation.data) - len(file.present)
            if grows > 0 and grows + sum(len(one.present) for one in self.directory.files.values()) > self.room:
                raise apsw.FullError("no room")
        self.trace.append(operation)
        self.directory.apply(operation)

    def xOpen(self, name: Any, flags: list[int]) -> "OpenFile":
        path = name.filename() if isinstance(name, apsw.URIFilename) else name
        path = Path(path).name if path else f"temporary-{next(numbers)}"
        if path not in self.directory.files:
            if not flags[0] & apsw.SQLITE_OPEN_CREATE:
                raise apsw.CantOpenError(path)
            self.do(Create(path))
        flags[1] = flags[0]
        return OpenFile(self, path)

    def xDelete(self, filename: str, syncdir: bool) -> None:
        self.do(Delete(Path(filename).name, bool(syncdir)))

    def xAccess(self, pathname: str, flags: int) -> bool:
        return Path(pathname).name in self.directory.files

    def xFullPathname(self, name: str) -> str:
        return name


class OpenFile:
    """A file as SQLite holds it."""

    def __init__(self, disk: Disk, name: str) -> None:
        self._disk = disk
        self._name = name
        self._file = disk.directory.files[name]

    def xRead(self, amount: int, offset: int) -> bytes:
        return bytes(self._file.present[offset : offset + amount])

    def xWrite(self, data: bytes, offset: int) -> None:
        self._disk.do(Write(self._name, offset, bytes(data)))

    def xTruncate(self, newsize: int) -> None:
        self._disk.do(Truncate(self._name, newsize))

    def xSync(self, flags: int) -> None:
        self._disk.do(Sync(self._name))

    def xFileSize(self) -> int:
        return len(self._file.present)

    def xSectorSize(self) -> int:
        return SECTOR

    def xDeviceCharacteristics(self) -> int:
        return int(apsw.SQLITE_IOCAP_POWERSAFE_OVERWRITE)  # as SQLite's unix layer says

    def xLock(self, level: int) -> None:
        pass

    def xUnlock(self, level: int) -> None:
        pass

    def xCheckReservedLock(self) -> bool:
        return False

    def xFileControl(self, op: int, ptr: int) -> bool:
        return False

    def xClose(self) -> None:
        pass
