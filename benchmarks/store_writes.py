"""How many durable writes a second does the store take, and how soon is it back after a restart?

Writers put values of 3 KB in closed loops, each at the revision that it last wrote, over 2,000 keys; every put
returns after the sync. A second set of figures takes the loop's and the log's CPU apart, and repeats 64 writers
while the event loop is kept busy with other work, as it is in a server.
"""

import argparse
import asyncio
import os
import shutil
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import uvloop
from report import Figure, report

from bireme.store.interface import Revision, Store
from bireme.store.memory import MemoryStore
from bireme.store.sqlite import SqliteStore

SIZE = 3_000
ITEMS = 100_000
SECONDS = 3.0


@dataclass(frozen=True, slots=True)
class Run:
    """One measurement."""

    rate: float
    loop_us: float  # CPU of the event loop's thread for a put
    other_us: float  # CPU of all other threads
    median_ms: float
    p99_ms: float
    batch: float


async def put_for(store: Store, writers: int, seconds: float) -> Run:
    """Let `writers` put for some time."""
    values = [os.urandom(SIZE) for _ in range(64)]
    waits: list[float] = []
    deadline = time.perf_counter() + seconds
    commits = store.statistics().commits

    async def writer(number: int) -> None:
        revisions: dict[str, Revision] = {}
        count = number
        while (began := time.perf_counter()) < deadline:
            count += 1
            key = f"/registry/core/pods/ns{number % 10}/pod-{number}-{count % max(4, 2_000 // writers)}"
            item = await store.put(key, values[count % 64], expect=revisions.get(key))
            revisions[key] = item.revision
            waits.append(time.perf_counter() - began)

    began, process, loop = time.perf_counter(), time.process_time(), time.thread_time()
    async with asyncio.TaskGroup() as tasks:
        for number in range(writers):
            tasks.create_task(writer(number))
    took, loop = time.perf_counter() - began, time.thread_time() - loop
    process, count = time.process_time() - process, len(waits)
    waits.sort()
    batch = count / (store.statistics().commits - commits)
    micro, milli = 1e6 / count, 1e3
    return Run(
        rate=count / took,
        loop_us=loop * micro,
        other_us=(process - loop) * micro,
        median_ms=waits[count // 2] * milli,
        p99_ms=waits[count * 99 // 100] * milli,
        batch=batch,
    )


async def occupied(share: float) -> None:
    """Keep the event loop busy for a share of the time, in pieces of 2 ms."""
    while True:
        until = time.perf_counter() + 0.002
        while time.perf_counter() < until:
            pass
        await asyncio.sleep(0.002 * (1 - share) / share)


def measure(folder: Path, make: Callable[[Path], Store], writers: int, seconds: float, *, busy: float = 0) -> Run:
    """Put into a new store."""

    async def run() -> Run:
        place = Path(tempfile.mkdtemp(dir=folder))
        store = make(place / "store.db")
        await store.put("/registry/core/pods/first", b"", expect=None)  # starts the thread
        try:
            async with asyncio.TaskGroup() as tasks:
                other = tasks.create_task(occupied(busy)) if busy else None
                found = await put_for(store, writers, seconds)
                if other:
                    other.cancel()
            return found
        finally:
            await store.close()
            shutil.rmtree(place)

    return uvloop.run(run())


def reload_seconds(folder: Path, repeats: int) -> list[float]:
    """How long opening a store of 100,000 items takes."""

    async def fill(path: Path) -> None:
        store = SqliteStore(path)
        value = os.urandom(SIZE)
        for start in range(0, ITEMS, 1_000):
            async with asyncio.TaskGroup() as tasks:
                for number in range(start, start + 1_000):
                    tasks.create_task(store.put(f"/registry/core/pods/ns/{number:06}", value, expect=None))
        await store.close()

    async def reopen(path: Path) -> float:
        began = time.perf_counter()
        store = SqliteStore(path)
        took = time.perf_counter() - began
        assert store.count("/registry/") == ITEMS
        await store.close()
        return took

    path = folder / "large.db"
    uvloop.run(fill(path))
    return [uvloop.run(reopen(path)) for _ in range(repeats)]


def sync_ms(folder: Path) -> float:
    """What this disk needs to make 8 KB durable: the floor of any put."""
    took = []
    with (folder / "sync").open("wb", buffering=0) as file:
        for _ in range(200):
            began = time.perf_counter()
            file.write(bytes(8_192))
            os.fdatasync(file.fileno())
            took.append(time.perf_counter() - began)
    return sorted(took)[100] * 1e3


def figures(folder: Path, repeats: int, seconds: float) -> list[Figure]:
    """All of them, the writers' in turns so that a busy neighbour falls on each."""
    cases: dict[str, tuple[Callable[[Path], Store], int, float]] = {
        "durable writes, 1 writer": (SqliteStore, 1, 0),
        "durable writes, 64 writers": (SqliteStore, 64, 0),
        "durable writes, 512 writers": (SqliteStore, 512, 0),
        "durable writes, 64 writers, loop half busy": (SqliteStore, 64, 0.5),
        "writes in memory, 64 writers": (lambda path: MemoryStore(), 64, 0),
    }
    runs: dict[str, list[Run]] = {name: [] for name in cases}
    syncs = []
    for _ in range(repeats):
        syncs.append(sync_ms(folder))
        for name, (make, writers, busy) in cases.items():
            runs[name].append(measure(folder, make, writers, seconds, busy=busy))
    found = [Figure("sync of 8 KB, median", "ms", syncs)]
    for name, each in runs.items():
        target = "at least 8,000" if name.endswith(" 64 writers") and "durable" in name else ""
        batch = {"batch": round(sum(run.batch for run in each) / len(each), 1)}
        found.append(Figure(name, "writes/s", [run.rate for run in each], target, batch))
        found.append(Figure(f"{name}: until acknowledged, median", "ms", [run.median_ms for run in each]))
        found.append(Figure(f"{name}: until acknowledged, p99", "ms", [run.p99_ms for run in each]))
        found.append(Figure(f"{name}: CPU of the loop", "us/write", [run.loop_us for run in each]))
        if "durable" in name:
            found.append(Figure(f"{name}: CPU of the log's thread", "us/write", [run.other_us for run in each]))
    found.append(Figure("reload of 100,000 items of 3 KB", "s", reload_seconds(folder, repeats)))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=SECONDS)
    parser.add_argument("--folder", type=Path, help="where to write (default: the temporary folder)")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        report("The store", figures(Path(folder), arguments.repeats, arguments.seconds))


if __name__ == "__main__":
    main()
