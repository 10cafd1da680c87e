"""The store on one machine: one table, one log.

Each write is a row of `log`, numbered by its revision; the newest row of a key is what the key holds. So a
write appends and nothing else, and the state is read back by going through the table once. Rows that a later
one has superseded stay as long as history is kept, and are then deleted along with later batches.

SQLite in WAL mode with synchronous=FULL syncs the WAL in each commit. Checkpoints are made by us, since SQLite
overlooks errors of its automatic ones; but a sync that failed there must end the process too, for the kernel
reports it once and then forgets the pages (Rebello et al., Can Applications Recover from fsync Failures?,
ATC 2020). Only "no room" is survived: SQLite meets it while writing, before any sync, and rolls back whole.
Opening the file makes a checkpoint as well: what a killed process wrote and never synced would otherwise be
shown, and could still be lost.

A batch is one INSERT. Each call into SQLite gives up the interpreter's lock and must wait to have it again, up
to 5 ms while the event loop is busy: a call for each row made a batch of 64 take 107 ms instead of 7 (ADR 0002).

Each row has a checksum and the number of keys after it, and revisions leave no holes: so rows that were changed
or lost are found when the file is opened.
"""

import asyncio
import functools
import os
import queue
import threading
from collections import deque
from collections.abc import Callable
from pathlib import Path
from zlib import crc32

import apsw
import structlog

from bireme.aio.clock import Clock, RealClock
from bireme.store.core import Core, Retention, end_process
from bireme.store.faults import fatal, is_full, lock, translated
from bireme.store.interface import Event, Item, Revision, StoreDamaged, StoreError
from bireme.store.log import Batch, NoRoom, Write
from bireme.store.reserve import Reserve
from bireme.store.state import State

log = structlog.get_logger(__name__)

VERSION = 1
PAGE = 8192
CHECKPOINT_BYTES = 2 * 2**20  # p99 of 64 writers 6 ms; with 16 MB it is 22 ms, at no more throughput
RESERVE_BYTES = 16 * 2**20
PURGE = 256  # superseded rows that a batch takes along, besides two for each write of its own
ROWS = 512  # in one statement

SCHEMA = f"""
CREATE TABLE log (
    revision INTEGER PRIMARY KEY,
    key TEXT NOT NULL,
    value BLOB,  -- NULL: deleted
    created INTEGER NOT NULL,
    keys INTEGER NOT NULL,  -- how many there are after this write
    checksum INTEGER NOT NULL
);
CREATE TABLE damaged (revision INTEGER PRIMARY KEY, key, value, created, keys, checksum);
CREATE TABLE meta (id INTEGER PRIMARY KEY, revision INTEGER, compacted INTEGER, keys INTEGER);  -- at the last purge
INSERT INTO meta VALUES (1, 0, 0, 0);
PRAGMA user_version = {VERSION};
"""
COLUMNS = 6
# cast, since damage may have changed a type, or the text
READ = "SELECT revision, CAST(key AS BLOB), CAST(value AS BLOB), created, keys, checksum FROM log ORDER BY revision"
DELETE = "DELETE FROM log WHERE revision IN (SELECT value FROM json_each(?))"
SET_ASIDE = "INSERT OR REPLACE INTO damaged SELECT * FROM log WHERE revision IN (SELECT value FROM json_each(?))"
META = "UPDATE meta SET revision = ?, compacted = ?, keys = ?"


@functools.cache
def insert(rows: int) -> str:
    """The statement that appends so many rows."""
    return "INSERT INTO log VALUES " + ",".join([f"({','.join('?' * COLUMNS)})"] * rows)


def checksum(revision: int, key: bytes, value: bytes | None, created: int, keys: int) -> int:
    """CRC-32 over all that a row says."""
    head = b"%d/%d/%d/%d/" % (revision, created, keys, -1 if value is None else len(value))
    return crc32(value or b"", crc32(key, crc32(head)))


class SqliteLog:
    """A `Log` in one SQLite file, written by a thread of its own."""

    synchronous = "FULL"
    checkpoint_bytes = CHECKPOINT_BYTES

    def __init__(
        self, path: Path, *, clock: Clock, reserve_bytes: int = RESERVE_BYTES, vfs: str | None = None
    ) -> None:
        self._path = path
        self._clock = clock
        self._lock = lock(path)
        try:
            self._reserve = Reserve(path.with_name(path.name + ".reserve"), reserve_bytes)
            self._reserve.regain(clock.monotonic())
            with translated(path):
                self._connection = self._open(vfs)
        except BaseException:
            os.close(self._lock)
            raise
        self._superseded: deque[tuple[int, int]] = deque()  # by which revision, which one
        self._revision = self._compacted = self._keys = 0  # as of the last commit
        self._unwritten = 0  # bytes of the WAL that no checkpoint has written back, about
        self._queue: queue.SimpleQueue[Batch | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._broken = False

    # -- opening

    def _open(self, vfs: str | None) -> apsw.Connection:
        connection = apsw.Connection(str(self._path), vfs=vfs)
        try:
            self._prepare(connection)
        except BaseException:
            connection.close(True)
            raise
        return connection

    def _prepare(self, connection: apsw.Connection) -> None:
        # a close that fails to sync would go unnoticed
        connection.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
        connection.wal_autocheckpoint(0)
        connection.pragma("page_size", PAGE)
        # the lock is held as long as the file is open, and the WAL's index lies in memory
        connection.pragma("locking_mode", "EXCLUSIVE")
        connection.pragma("journal_mode", "WAL")
        connection.pragma("synchronous", self.synchronous)
        connection.pragma("journal_size_limit", 16 * self.checkpoint_bytes)
        connection.pragma("cell_size_check", True)
        version = connection.pragma("user_version")
        if version not in (0, VERSION):
            raise StoreError(f"{self._path} has format {version}; this program knows {VERSION}")
        if version == 0:
            connection.execute(f"BEGIN IMMEDIATE; {SCHEMA} COMMIT")
        self._write_back(connection)

    def _write_back(self, connection: apsw.Connection) -> None:
        """Sync what the WAL holds before anybody is shown it."""
        try:
            connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
        except apsw.Error as error:
            if not is_full(error, connection):
                raise
            log.warning("no room to write the store's WAL back", path=str(self._path))

    def load(self, state: State, *, set_aside_damaged: bool) -> tuple[str, ...]:
        """Read the file into `state`; the keys whose newest value was damaged and set aside.

        Raises StoreDamaged, unless damaged rows may be set aside: then a key has its last good value, or none,
        and history begins after the damage.
        """
        with translated(self._path):
            damaged, lost = self._replay(state)
            if damaged or lost:
                keys = sorted(set(damaged.values()))
                what = [f"the checksum is wrong for {', '.join(keys)}"] if keys else []
                if not set_aside_damaged:
                    raise StoreDamaged(f"{self._path} is damaged: {'; '.join(what + lost)}", keys)
                log.error("damaged rows are set aside", path=str(self._path), keys=keys, lost=lost)
                self._set_aside(state, damaged)
        self._revision, self._compacted, self._keys = state.revision, state.compacted, state.keys
        return tuple(sorted({key for revision, key in damaged.items() if is_newest(state, key, revision)}))

    def _replay(self, state: State) -> tuple[dict[int, str], list[str]]:
        """Put all rows into `state`; the keys of damaged rows by revision, and what the counts say is lost."""
        revision, compacted, keys = next(self._connection.execute("SELECT revision, compacted, keys FROM meta"))
        state.revision, state.compacted = Revision(revision), Revision(compacted)
        damaged: dict[int, str] = {}
        recent = 0  # rows that history needs
        for number, key, value, created, keys_after, check in self._connection.execute(READ):
            recent += number > compacted
            if not sound((number, key, value, created, keys_after), check):
                damaged[number] = key.decode(errors="replace")
            else:
                self._replay_row(state, Revision(number), key.decode(), value, Revision(created))
            if number > revision:
                revision, keys = number, keys_after
        state.revision = Revision(max(revision, state.revision))
        lost = []
        if recent != revision - compacted:
            lost.append(f"of the revisions {compacted + 1} to {revision} there are {recent}")
        elif keys != state.keys and not damaged:
            lost.append(f"of {keys} keys there are {state.keys}")
        return damaged, lost

    def _replay_row(self, state: State, revision: Revision, key: str, value: bytes | None, created: Revision) -> None:
        bucket = state.bucket(key)
        held = bucket.items.get(key)
        if held is not None:
            self._superseded.append((revision, held.revision))
        if value is None:
            self._superseded.append((revision, revision))
        item = None if value is None else Item(key, value, revision, created)
        if revision <= state.compacted:
            state.restore(bucket, key, item)
        elif item is not None or held is not None:  # else a delete of what was damaged
            previous = None if held is None else held.value
            state.apply(bucket, item, Event(revision, key, value, previous, created), {})

    def _set_aside(self, state: State, damaged: dict[int, str]) -> None:
        state.compact(state.revision)
        revisions = as_json(damaged)
        with self._connection:
            self._connection.execute(SET_ASIDE, (revisions,))
            self._connection.execute(DELETE, (revisions,))
            self._connection.execute(META, (state.revision, state.compacted, state.keys))

    # -- the thread

    def start(self, settled: Callable[[StoreError | None], None]) -> None:
        """See `Log.start`."""
        loop = asyncio.get_running_loop()

        def tell(error: StoreError | None) -> None:
            if not loop.is_closed():
                loop.call_soon_threadsafe(settled, error)

        self._thread = threading.Thread(target=self._work, args=(tell,), name="store", daemon=True)
        self._thread.start()

    def submit(self, batch: Batch) -> None:
        """See `Log.submit`."""
        self._queue.put(batch)

    def size_bytes(self) -> int:
        """The file and its WAL."""
        wal = self._path.with_name(self._path.name + "-wal")
        return sum(path.stat().st_size for path in (self._path, wal) if path.exists())

    async def close(self) -> None:
        """See `Log.close`; the WAL is written back to the file."""
        if self._thread is not None:
            self._queue.put(None)
            await asyncio.to_thread(self._thread.join)
        if not self._broken:
            try:
                await asyncio.to_thread(self._connection.wal_checkpoint, mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
            except apsw.Error as error:  # the WAL has it all and is read when the file is next opened
                log.warning("the store's WAL could not be written back", path=str(self._path), error=str(error))
        self.abandon()

    def abandon(self) -> None:
        """Let go of the file as it is."""
        self._connection.close(True)
        os.close(self._lock)

    def _work(self, tell: Callable[[StoreError | None], None]) -> None:
        try:
            while (batch := self._queue.get()) is not None:
                try:
                    self._commit(batch)
                except NoRoom as error:
                    tell(error)
                else:
                    tell(None)
                    self._checkpoint_if_due()
        except Exception as error:
            self._broken = True
            tell(fatal(error))

    # -- a batch

    def _commit(self, batch: Batch) -> None:
        """Make `batch` durable. Raises NoRoom; any other error is the end."""
        if not batch.writes and batch.compact <= self._compacted:
            return
        grows = any(write.item is not None for write in batch.writes)
        now = self._clock.monotonic()
        if grows and not self._reserve.held and not self._reserve.regain(now):
            raise NoRoom("the reserve is in use")
        try:
            self._transact(batch)
        except apsw.Error as error:
            self._roll_back(error)
            if not self._reserve.spend(now) or grows:
                raise NoRoom(str(error)) from error
            self._transact_or_refuse(batch)  # deletes alone, in the space of the reserve

    def _transact_or_refuse(self, batch: Batch) -> None:
        try:
            self._transact(batch)
        except apsw.Error as error:
            self._roll_back(error)
            raise NoRoom(str(error)) from error

    def _roll_back(self, error: apsw.Error) -> None:
        """Undo a transaction that found no room. Raises `error` when it is of another kind."""
        if not is_full(error, self._connection):
            raise error
        if self._connection.in_transaction:
            self._connection.execute("ROLLBACK")

    def _transact(self, batch: Batch) -> None:
        """Commit `batch`: one statement by itself, when there is nothing to purge."""
        compacted = max(self._compacted, batch.compact)
        purged = self._purgeable(compacted, PURGE + 2 * len(batch.writes))
        revision = batch.writes[-1].event.revision if batch.writes else self._revision
        execute = self._connection.execute
        together = bool(purged) or compacted > self._compacted or len(batch.writes) > ROWS
        if together:
            execute("BEGIN IMMEDIATE")
        keys = self._insert(batch.writes)
        if purged:
            execute(DELETE, (as_json(purged),))
        if purged or compacted > self._compacted:
            execute(META, (revision, compacted, keys))
        if together:
            execute("COMMIT")
        self._revision, self._compacted, self._keys = revision, compacted, keys
        self._unwritten += batch.size + PAGE * (1 + len(batch.writes) // 8)
        for _ in purged:
            self._superseded.popleft()
        self._note_superseded(batch.writes)

    def _insert(self, writes: list[Write]) -> int:
        """Append a row for each of `writes`; how many keys there are then."""
        keys = self._keys
        values: list[int | str | bytes | None] = []
        for write in writes:
            event = write.event
            keys += (event.previous is None) - (event.value is None)
            values += event.revision, event.key, event.value, event.created, keys
            values.append(checksum(event.revision, event.key.encode(), event.value, event.created, keys))
        for start in range(0, len(values), ROWS * COLUMNS):
            some = values[start : start + ROWS * COLUMNS]
            self._connection.execute(insert(len(some) // COLUMNS), some)
        return keys

    def _purgeable(self, compacted: int, limit: int) -> list[int]:
        """The next superseded rows that no history needs: oldest first, so that no deleted key comes back."""
        found: list[int] = []
        for by, revision in self._superseded:
            if by > compacted or len(found) == limit:
                break
            found.append(revision)
        return found

    def _note_superseded(self, writes: list[Write]) -> None:
        for write in writes:
            revision = write.event.revision
            if write.replaced:
                self._superseded.append((revision, write.replaced))
            if write.item is None:
                self._superseded.append((revision, revision))

    def _checkpoint_if_due(self) -> None:
        if self._unwritten < self.checkpoint_bytes:
            return
        self._unwritten = 0
        try:
            self._connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_PASSIVE)
        except apsw.Error as error:
            if not is_full(error, self._connection):
                raise
            log.warning("no room to write the store's WAL back", path=str(self._path))


def sound(row: tuple[int, bytes, bytes | None, int, int], check: int) -> bool:
    """Whether a row that was read is the one that was written; damage may also have changed its types."""
    return all(isinstance(part, int) for part in (*row[3:], check)) and checksum(*row) == check


def as_json(revisions: "list[int] | dict[int, str]") -> str:
    """`[1,2]`, the form in which SQLite takes a list."""
    return f"[{','.join(map(str, revisions))}]"


def is_newest(state: State, key: str, revision: int) -> bool:
    """Whether `state` has nothing of `key` that is newer than `revision`."""
    held = state.get(key)
    return held is None or held.revision < revision


class SqliteStore(Core):
    """A `Store` in one SQLite file; opening reads all of it, and takes about a second for 100,000 keys.

    Raises StoreLocked when another server has it, StoreDamaged when it does not hold what was written (unless
    damaged rows may be set aside: see `SqliteLog.load`; `damaged` has the keys concerned), StoreFull, StoreError.
    """

    def __init__(
        self,
        path: Path,
        *,
        clock: Clock | None = None,
        retention: Retention | None = None,
        on_failure: Callable[[StoreError], None] = end_process,
        set_aside_damaged: bool = False,
        durable: SqliteLog | None = None,
    ) -> None:
        clock = clock or RealClock()
        durable = durable or SqliteLog(path, clock=clock)
        state = State()
        try:
            self.damaged = durable.load(state, set_aside_damaged=set_aside_damaged)
        except BaseException:
            durable.abandon()
            raise
        super().__init__(state, durable, clock=clock, retention=retention, on_failure=on_failure)
