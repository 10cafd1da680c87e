"""The power fails at any moment: faults that trusted stores are tested with.

A store is written to on a simulated disk whose every operation is noted. Then the power is cut at random places
of that record, a disk is made of what would be left, and a store is opened on it. It must hold exactly the
writes up to some revision, that of the last acknowledged or shown write at least; revisions must go on from
there; a watch must resume without gap or repeat; and what is shown now must survive a second loss of power.
The same harness must catch stores that are weaker on purpose.
"""

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

import pytest
from simulated_disk import Crash, Directory, Disk

from bireme.aio.clock import VirtualClock
from bireme.store.interface import Compacted, Event, Item, KeyConflict, Revision, StoreError
from bireme.store.sqlite import SqliteLog, SqliteStore

IMAGES = 1_000
SESSIONS = 10
WEAK_IMAGES = 300


@dataclass(frozen=True, slots=True)
class Acknowledged:
    revision: int


@dataclass(frozen=True, slots=True)
class Shown:
    revision: int


@dataclass(frozen=True, slots=True)
class CompactionAsked:
    revision: int


@dataclass(frozen=True, slots=True)
class CompactionDone:
    revision: int


class SmallLog(SqliteLog):
    """Writes back often, so that there is much to interrupt."""

    checkpoint_bytes = 60_000


class NormalLog(SmallLog):
    """Weak: commits are not synced."""

    synchronous = "NORMAL"


class HastyLog(SmallLog):
    """Weak: acknowledges before the sync."""

    def _work(self, tell: Any) -> None:
        while (batch := self._queue.get()) is not None:
            tell(None)
            self._commit(batch)
            self._checkpoint_if_due()


class TrustingLog(SmallLog):
    """Weak: shows what it finds when it is opened, synced or not."""

    def _write_back(self, connection: Any) -> None:
        pass


@dataclass
class Session:
    """What was done to a store, in the order of the disk's operations, and all events of it by revision."""

    trace: list[Any]
    truth: list[Event] = field(default_factory=list)

    def items(self, revision: int) -> dict[str, Item]:
        """What there is at `revision`."""
        found: dict[str, Item] = {}
        for event in self.truth[:revision]:
            if event.value is None:
                del found[event.key]
            else:
                found[event.key] = Item(event.key, event.value, event.revision, event.created)
        return found


def opened(path: Path, disk: Disk, log_type: type[SqliteLog]) -> SqliteStore:
    clock = VirtualClock()
    durable = log_type(path, clock=clock, reserve_bytes=0, vfs=disk.name)
    return SqliteStore(path, clock=clock, durable=durable)


async def record(path: Path, log_type: type[SqliteLog], random: Random) -> Session:
    """Open a store, write, close, open it again, write on."""
    disk = Disk()
    session = Session(disk.trace)
    for _ in range(2):
        store = opened(path, disk, log_type)
        async with asyncio.TaskGroup() as tasks:
            reading = tasks.create_task(read(store, session))
            async with asyncio.TaskGroup() as writers:
                for _ in range(random.choice([1, 3, 8])):
                    writers.create_task(write(store, session, Random(random.random())))
            await store.close()
        assert reading.done()
    disk.unregister()
    return session


async def read(store: SqliteStore, session: Session) -> None:
    async for batch in store.watch("", after=Revision(len(session.truth))):
        session.truth += batch
        session.trace.append(Shown(batch[-1].revision))


async def write(store: SqliteStore, session: Session, random: Random) -> None:
    for _ in range(40):
        key = f"/registry/core/pods/ns/{random.randrange(12)}"
        try:
            if random.random() < 0.25:
                revision = (await store.delete(key, expect=None)).revision
            else:
                value = random.randbytes(random.choice([0, 10, 700, 3_000, 20_000]))
                revision = (await store.put(key, value, expect=None)).revision
        except KeyConflict:
            continue
        session.trace.append(Acknowledged(revision))
        if random.random() < 0.1:
            until = Revision(max(0, store.revision - random.randrange(30)))
            session.trace.append(CompactionAsked(until))
            await store.compact(until)
            session.trace.append(CompactionDone(until))


@dataclass(frozen=True, slots=True)
class Known:
    """What had been told to others when the power failed."""

    told: int  # the newest revision that was acknowledged or shown
    shown: int
    asked: int
    compacted: int


def crashes(
    session: Session, number: int, kinds: Sequence[Crash], random: Random
) -> list[tuple[Crash, Directory, Known]]:
    """Images of the disk at `number` places of the session, and what was known by then."""
    directory, images = Directory(), []
    newest: Counter[type] = Counter()
    places = Counter(random.randrange(len(session.trace)) for _ in range(number))
    for place, entry in enumerate(session.trace):
        for _ in range(places[place]):
            crash = random.choice(kinds)
            acknowledged, shown = newest[Acknowledged], newest[Shown]
            known = Known(max(acknowledged, shown), shown, newest[CompactionAsked], newest[CompactionDone])
            images.append((crash, directory.after(crash, random), known))
        if isinstance(entry, Acknowledged | Shown | CompactionAsked | CompactionDone):
            newest[type(entry)] = max(newest[type(entry)], entry.revision)
        else:
            directory.apply(entry)
    return images


async def violation(path: Path, session: Session, image: Directory, known: Known, log_type: type[SqliteLog]) -> str:
    """What is wrong with the store that is opened on `image`; empty when all is well."""
    disk = Disk(image)
    try:
        store = opened(path, disk, log_type)
    except StoreError as error:
        disk.unregister()
        return f"does not open: {error}"
    try:
        return (
            judge(store, session, known)
            or await misled_reader(store, session, known)
            or second_crash(path, session, disk, store, log_type)
            or await lost_counter(store)
        )
    finally:
        await store.close()
        disk.unregister()


def judge(store: SqliteStore, session: Session, known: Known) -> str:
    """The state is that of one revision, and nothing that was told is lost."""
    revision = store.revision
    if revision < known.told:
        return f"revision {known.told} was told, {revision} is there"
    if {item.key: item for item in store.range("")} != session.items(revision):
        return f"the items are not those of revision {revision}"
    if not known.compacted <= store.statistics().compacted <= known.asked:
        return f"history begins at {store.statistics().compacted}, not in {known.compacted}..{known.asked}"
    return ""


async def misled_reader(store: SqliteStore, session: Session, known: Known) -> str:
    """A watch resumes after the last event that it was shown."""
    try:
        watch = store.watch("", after=Revision(known.shown))
    except Compacted:
        return "" if known.shown < store.statistics().compacted else "the watch cannot resume"
    missed = session.truth[known.shown : store.revision]
    return "" if not missed or list(await anext(watch)) == missed else "the watch resumes with other events"


def second_crash(path: Path, session: Session, disk: Disk, store: SqliteStore, log_type: type[SqliteLog]) -> str:
    """What the opened store shows survives, though nothing was written since."""
    again = Disk(disk.directory.after(Crash.NOTHING, Random(0)))
    try:
        reopened = opened(path.with_name("again") / path.name, again, log_type)
    except StoreError as error:
        return f"does not open after a second crash: {error}"
    revision, items = reopened.revision, {item.key: item for item in reopened.range("")}
    reopened._log.abandon()  # type: ignore[attr-defined]
    again.unregister()
    if revision != store.revision or items != session.items(revision):
        return f"showed revision {store.revision}, and has {revision} after a second crash"
    return ""


async def lost_counter(store: SqliteStore) -> str:
    """The next write has the next revision, and is shown."""
    revision = store.revision
    watch = store.watch("/registry/core/pods/", after=revision)
    item = await store.put("/registry/core/pods/ns/next", b"", expect=None)
    if item.revision != revision + 1 or [event.revision for event in await anext(watch)] != [revision + 1]:
        return f"the write after {revision} has revision {item.revision}"
    return ""


async def violations(
    path: Path, log_type: type[SqliteLog], *, images: int, sessions: int, kinds: Sequence[Crash] = tuple(Crash)
) -> Counter[str]:
    random = Random(7)
    path.with_name("again").mkdir()
    found: Counter[str] = Counter()
    for _ in range(sessions):
        session = await record(path, log_type, random)
        assert [event.revision for event in session.truth] == list(range(1, len(session.truth) + 1))
        for crash, image, known in crashes(session, images // sessions, kinds, random):
            what = await violation(path, session, image, known, log_type)
            if what:
                found[f"{crash.value}: {what}"] += 1
    return found


async def test_no_acknowledged_write_is_lost(tmp_path: Path) -> None:
    assert not await violations(tmp_path / "store.db", SmallLog, images=IMAGES, sessions=SESSIONS)


@pytest.mark.parametrize(
    ("weak", "kinds", "share"),
    [
        pytest.param(NormalLog, tuple(Crash), 0.2, id="commits are not synced"),
        pytest.param(HastyLog, tuple(Crash), 0.2, id="writes are acknowledged before the sync"),
        pytest.param(TrustingLog, (Crash.KILLED,), 0.003, id="what was found is not synced"),
    ],
)
async def test_the_harness_catches_a_weaker_store(
    tmp_path: Path, weak: type[SqliteLog], kinds: Sequence[Crash], share: float
) -> None:
    found = await violations(tmp_path / "store.db", weak, images=WEAK_IMAGES, sessions=5, kinds=kinds)
    assert found.total() >= share * WEAK_IMAGES
