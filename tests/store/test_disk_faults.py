"""The disk fails or fills up: faults that trusted stores are tested with."""

import asyncio
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import apsw
import pytest
from simulated_disk import Disk, Sync, Truncate, Write

from bireme.aio.clock import VirtualClock
from bireme.store.interface import (
    Item,
    KeyConflict,
    Put,
    Revision,
    StoreError,
    StoreFull,
    StoreLocked,
    SyncFailed,
)
from bireme.store.reserve import Reserve
from bireme.store.sqlite import SqliteLog, SqliteStore

PODS = "/registry/core/pods/"


class SmallLog(SqliteLog):
    checkpoint_bytes = 30_000


@dataclass
class Fault:
    """Raises `error` at the n-th operation of a kind, and from then on."""

    kind: type
    at: int
    error: Callable[[], Exception]
    seen: int = 0
    raised: int = 0

    def __call__(self, operation: Any) -> None:
        self.seen += isinstance(operation, self.kind)
        if isinstance(operation, self.kind) and self.seen >= self.at:
            self.raised += 1
            raise self.error()


def io_error(extended: int) -> Callable[[], Exception]:
    def make() -> Exception:
        error = apsw.IOError("injected")
        error.extendedresult = extended
        return error

    return make


@dataclass
class Outcome:
    """What a client was told of each write."""

    acknowledged: dict[str, int] = field(default_factory=dict)
    failed: list[Exception] = field(default_factory=list)
    ends: list[StoreError] = field(default_factory=list)


def opened(path: Path, disk: Disk, ends: list[StoreError]) -> SqliteStore:
    clock = VirtualClock()
    durable = SmallLog(path, clock=clock, reserve_bytes=0, vfs=disk.name)
    return SqliteStore(path, clock=clock, durable=durable, on_failure=ends.append)


async def exercise(store: SqliteStore, outcome: Outcome) -> None:
    async def write(number: int) -> None:
        try:
            for step in range(6):
                key = f"{PODS}a/{number}-{step}"
                outcome.acknowledged[key] = (await store.put(key, b"x" * 2_000, expect=None)).revision
        except StoreError as error:
            outcome.failed.append(error)

    async with asyncio.TaskGroup() as tasks:
        for number in range(5):
            tasks.create_task(write(number))


async def after_fault(path: Path, fault: Fault) -> tuple[Outcome, SqliteStore, Disk]:
    """What clients were told, with the store and its disk."""
    disk, outcome = Disk(), Outcome()
    store = opened(path, disk, outcome.ends)
    disk.fault = fault
    await exercise(store, outcome)
    return outcome, store, disk


FAULTS = [
    pytest.param(Sync, io_error(apsw.SQLITE_IOERR_FSYNC), id="a sync fails"),
    pytest.param(Sync, lambda: OSError(28, "no space"), id="a sync finds no room"),
    pytest.param(Write, io_error(apsw.SQLITE_IOERR_WRITE), id="a write fails"),
    pytest.param(Truncate, io_error(apsw.SQLITE_IOERR_TRUNCATE), id="a truncation fails"),
    pytest.param(Sync, MemoryError, id="there is no memory"),
]


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize(("kind", "error"), FAULTS)
async def test_the_nth_operation_fails(tmp_path: Path, kind: type, error: Callable[[], Exception]) -> None:
    """For each n until no more: nobody is misled, the process is told to end, and what was promised is there."""
    found = 0
    for number in range(1, 200):
        path = tmp_path / f"{number}.db"
        fault = Fault(kind, number, error)
        outcome, store, disk = await after_fault(path, fault)
        if not fault.raised:
            await store.close()
            break
        found += 1
        await settle(lambda ends=outcome.ends: ends)  # type: ignore[misc]
        assert len(outcome.ends) == 1
        assert fault.raised == 1, "a failed operation is not tried again"
        assert isinstance(outcome.ends[0], SyncFailed)
        assert all(isinstance(one, SyncFailed) for one in outcome.failed)
        with pytest.raises(SyncFailed):
            await store.put(PODS + "late", b"", expect=None)
        with pytest.raises(SyncFailed):
            await anext(store.watch(PODS, after=store.revision))
        await store.close()
        assert fault.raised == 1, "nor when the store is closed"
        disk.fault = lambda operation: None
        again = opened(path, disk, [])
        for key, revision in outcome.acknowledged.items():
            item = again.get(key)
            assert item is not None
            assert item.revision == revision
        await again.close()
        disk.unregister()
    assert found or kind is Truncate


async def settle(condition: Callable[[], Any]) -> None:
    """Wait for what the store's thread still tells."""
    async with asyncio.timeout(60):
        while not condition():
            await asyncio.sleep(0.001)


async def test_watchers_hear_of_a_failed_sync(tmp_path: Path) -> None:
    disk, outcome = Disk(), Outcome()
    store = opened(tmp_path / "store.db", disk, outcome.ends)
    watch = store.watch(PODS, after=Revision(0))
    await store.put(PODS + "a", b"", expect=None)
    disk.fault = Fault(Sync, 1, io_error(apsw.SQLITE_IOERR_FSYNC))
    with pytest.raises(SyncFailed):
        await store.put(PODS + "b", b"", expect=None)
    assert [event.key for event in await anext(watch)] == [PODS + "a"]
    with pytest.raises(SyncFailed):
        await anext(watch)
    await store.close()
    disk.unregister()


def test_by_default_the_process_ends(tmp_path: Path) -> None:
    code = """
import asyncio, sys
from pathlib import Path
from simulated_disk import Disk, Sync
from bireme.aio.clock import RealClock
from bireme.store.sqlite import SqliteLog, SqliteStore

async def main():
    disk, path = Disk(), Path(sys.argv[1])
    store = SqliteStore(path, durable=SqliteLog(path, clock=RealClock(), reserve_bytes=0, vfs=disk.name))
    def fault(operation):
        if isinstance(operation, Sync):
            raise OSError(5, "injected")
    disk.fault = fault
    try:
        await store.put("/a/b/c/d", b"", expect=None)
    finally:
        print("still here")

asyncio.run(main())
"""
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent)}
    run = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "store.db")],
        capture_output=True, text=True, env=environment, timeout=30, check=False,
    )  # fmt: skip
    assert run.returncode == 74
    assert "still here" not in run.stdout
    assert "the store cannot go on" in run.stdout + run.stderr


async def fill(store: SqliteStore, size: int) -> list[Item]:
    """Write until the disk is full; what was acknowledged."""
    acknowledged: list[Item] = []
    try:
        while True:
            acknowledged.append(await store.put(f"{PODS}a/{len(acknowledged):04}", b"x" * size, expect=None))
    except StoreFull:
        return acknowledged


async def python(code: str, path: Path) -> subprocess.CompletedProcess[str]:
    """Run `code` with `path` as its argument."""
    command = [sys.executable, "-c", code, str(path)]
    return await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, timeout=30, check=False)


class TestFull:
    """The disk has no room."""

    async def test_puts_are_refused_and_deletes_go_on(self, tmp_path: Path) -> None:
        disk, clock, ends = Disk(), VirtualClock(), []
        store = await self.filled(tmp_path, disk, clock, ends)
        held = {item.key for item in store.range(PODS)}
        revision = store.revision
        for _ in range(3):
            with pytest.raises(StoreFull):
                await store.put(PODS + "more", b"x" * 5_000, expect=None)
        assert store.revision == revision
        gone = sorted(held)[:5]
        assert [(await store.delete(key, expect=None)).revision - revision for key in gone] == [1, 2, 3, 4, 5]
        assert {item.key for item in store.range(PODS)} == held - set(gone)
        assert not ends
        await store.close()
        disk.room = None
        again = opened(tmp_path / "store.db", disk, ends)
        assert {item.key for item in again.range(PODS)} == held - set(gone)
        await again.close()
        disk.unregister()

    async def test_it_recovers_by_itself(self, tmp_path: Path) -> None:
        disk, clock, ends = Disk(), VirtualClock(), []
        store = await self.filled(tmp_path, disk, clock, ends)
        revision = store.revision
        disk.room = None
        await clock.advance(2)
        item = await store.put(PODS + "more", b"x" * 5_000, expect=Revision(0))
        assert item.revision == revision + 1
        assert not ends
        await store.close()
        disk.unregister()

    async def test_a_mixed_batch_is_sorted_out(self, tmp_path: Path) -> None:
        """What rests on a refused put is refused; what stands by itself is done; revisions leave no hole."""
        disk, clock, ends = Disk(), VirtualClock(), []
        store = await self.filled(tmp_path, disk, clock, ends)
        watch = store.watch(PODS, after=store.revision)
        revision = store.revision
        first, second, *_ = store.range(PODS)

        async def outcome(call: Any) -> Any:
            try:
                return await call
            except StoreError as error:
                return type(error)

        async with asyncio.TaskGroup() as tasks:
            started = [
                tasks.create_task(outcome(call))
                for call in (
                    store.put(PODS + "more", b"", expect=Revision(0)),
                    store.put(PODS + "more", b"", expect=Revision(0)),
                    store.delete(PODS + "more", expect=Revision(revision + 1)),
                    store.put(first.key, b"", expect=first.revision),
                    store.delete(first.key, expect=first.revision),
                    store.delete(second.key, expect=second.revision),
                    store.put(second.key, b"", expect=Revision(0)),
                    store.put_all([Put(PODS + "one", b"", None), Put(PODS + "two", b"", Revision(0))]),
                )
            ]
        told = [task.result() for task in started]
        assert told[:4] == [StoreFull] * 4
        assert told[4] in (StoreFull, KeyConflict)
        assert told[5].revision == revision + 1
        assert told[6:] == [StoreFull] * 2
        assert store.get(first.key) == first
        assert [event.revision for event in await anext(watch)] == [revision + 1]
        assert not ends
        await store.close()
        disk.unregister()

    async def test_it_can_be_closed_while_writes_are_refused(self, tmp_path: Path) -> None:
        disk, clock, ends = Disk(), VirtualClock(), []
        store = await self.filled(tmp_path, disk, clock, ends)
        async with asyncio.TaskGroup() as tasks:
            filling = tasks.create_task(fill(store, 2_000))
            await asyncio.sleep(0)
            await store.close()
        assert filling.result() == []
        disk.unregister()

    async def filled(self, path: Path, disk: Disk, clock: VirtualClock, ends: list[StoreError]) -> SqliteStore:
        """A store on a disk that has just run full, with the reserve spent."""
        durable = SmallLog(path / "store.db", clock=clock, reserve_bytes=0, vfs=disk.name)
        durable._reserve = SimulatedReserve(disk, 200_000)
        store = SqliteStore(path / "store.db", clock=clock, durable=durable, on_failure=ends.append)
        disk.room = 600_000
        assert len(await fill(store, 2_000)) > 20
        return store


class SimulatedReserve(Reserve):
    """Takes room on a simulated disk."""

    def __init__(self, disk: Disk, size: int) -> None:
        super().__init__(Path("/nonexistent"), 0)
        self._disk, self._room = disk, size

    def regain(self, now: float) -> bool:
        if not self.held and self._disk.room is None:
            self.held = True
        return self.held

    def spend(self, now: float) -> bool:
        held, self.held = self.held, False
        if held and self._disk.room is not None:
            self._disk.room += self._room
        return held


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 8 MB."""
    place = tmp_path / "small"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(place)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("needs the right to mount")
    yield place
    subprocess.run(["umount", "--lazy", str(place)], check=True)


async def test_a_real_disk_runs_full_and_is_emptied(small_disk: Path) -> None:
    path, clock = small_disk / "store.db", VirtualClock()
    durable = SqliteLog(path, clock=clock, reserve_bytes=2 * 2**20)
    store = SqliteStore(path, clock=clock, durable=durable)
    (small_disk / "others").write_bytes(b"x" * 3 * 2**20)
    acknowledged = await fill(store, 20_000)
    assert not path.with_name("store.db.reserve").exists()
    for item in acknowledged[:20]:
        await store.delete(item.key, expect=item.revision)
    with pytest.raises(StoreFull):
        await store.put(PODS + "more", b"", expect=None)
    (small_disk / "others").unlink()
    with pytest.raises(StoreFull):
        await store.put(PODS + "more", b"", expect=None)
    await clock.advance(2)
    await store.put(PODS + "more", b"", expect=None)
    assert path.with_name("store.db.reserve").stat().st_size == 2 * 2**20
    assert {item.key for item in store.range(PODS + "a/")} == {item.key for item in acknowledged[20:]}
    await store.close()


def test_a_full_disk_at_the_start_is_named(small_disk: Path) -> None:
    (small_disk / "others").write_bytes(b"x" * (os.statvfs(small_disk).f_bavail * 4096 - 4096))
    with pytest.raises(StoreFull, match="no room on the disk"):
        SqliteStore(small_disk / "store.db")


class TestTwoServers:
    async def test_the_second_is_refused(self, tmp_path: Path) -> None:
        path = tmp_path / "store.db"
        store = SqliteStore(path)
        with pytest.raises(StoreLocked, match=f"process {os.getpid()}"):
            SqliteStore(path)
        await store.put(PODS + "a", b"", expect=None)
        await store.close()
        again = SqliteStore(path)
        assert again.count(PODS) == 1
        await again.close()

    async def test_another_process_is_refused(self, tmp_path: Path) -> None:
        path = tmp_path / "store.db"
        store = SqliteStore(path)
        code = "import sys, pathlib, bireme.store.sqlite as s; s.SqliteStore(pathlib.Path(sys.argv[1]))"
        for _ in range(3):
            run = await python(code, path)
            assert f"StoreLocked: another server (process {os.getpid()}) has {path}" in run.stderr
        await store.close()

    async def test_sqlite_itself_refuses_as_well(self, tmp_path: Path) -> None:
        path = tmp_path / "store.db"
        store = SqliteStore(path)
        await store.put(PODS + "a", b"", expect=None)
        code = "import apsw, sys; apsw.Connection(sys.argv[1]).execute('DELETE FROM log')"
        run = await python(code, path)
        assert "BusyError" in run.stderr
        await store.close()
