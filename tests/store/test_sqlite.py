"""What is particular to the home in SQLite: opening again, tidying up, and finding damage."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import apsw
import pytest

from bireme.aio.clock import VirtualClock
from bireme.store.interface import Compacted, Revision, StoreDamaged, StoreError
from bireme.store.sqlite import SqliteLog, SqliteStore

PODS = "/registry/core/pods/"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "store.db"


def opened(path: Path, *, clock: VirtualClock | None = None, set_aside_damaged: bool = False) -> SqliteStore:
    clock = clock or VirtualClock()
    durable = SqliteLog(path, clock=clock, reserve_bytes=0)
    return SqliteStore(path, clock=clock, durable=durable, set_aside_damaged=set_aside_damaged)


async def write(store: SqliteStore, *changes: str) -> None:
    """`x` puts a key, `-x` deletes it."""
    for number, change in enumerate(changes):
        if change.startswith("-"):
            await store.delete(PODS + change[1:], expect=None)
        else:
            await store.put(PODS + change, b"%d" % number, expect=None)


def rows(path: Path) -> list[int]:
    connection = apsw.Connection(str(path))
    try:
        return [revision for (revision,) in connection.execute("SELECT revision FROM log ORDER BY revision")]
    finally:
        connection.close()


def change(path: Path, statement: str) -> None:
    connection = apsw.Connection(str(path))
    connection.execute(statement)
    connection.close()


class TestOpeningAgain:
    async def test_everything_is_as_it_was(self, path: Path) -> None:
        store = opened(path)
        await write(store, "a", "b", "a", "-b", "c", "-a", "a", "ä\0🚣")
        items = list(store.range(""))
        events = list(await anext(store.watch("", after=Revision(0))))
        await store.close()
        again = opened(path)
        assert list(again.range("")) == items
        assert list(await anext(again.watch("", after=Revision(0)))) == events
        assert again.revision == 8
        await again.close()

    async def test_a_large_batch_is_one_commit(self, path: Path) -> None:
        store = opened(path)
        batch = [store._join(store._put(*put_of(store, f"{PODS}{n:04}"))) for n in range(1_300)]
        for future in batch:
            await future
        assert store.statistics().commits == 1
        await store.close()
        again = opened(path)
        assert [item.revision for item in again.range(PODS)] == list(range(1, 1_301))
        await again.close()

    async def test_no_revision_is_used_twice_though_no_row_is_left(self, path: Path) -> None:
        store = opened(path)
        await write(store, "a", "b", "-a", "-b")
        await store.compact(Revision(4))
        await write(store, "c", "-c")
        await store.compact(Revision(6))
        await store.close()
        assert rows(path) == []
        again = opened(path)
        assert again.revision == 6
        await write(again, "d")
        assert again.revision == 7
        await again.close()
        assert rows(path) == [7]
        again = opened(path)
        assert (again.revision, again.statistics().compacted) == (7, 6)
        await again.close()

    async def test_superseded_rows_go_and_deleted_keys_do_not_come_back(self, path: Path) -> None:
        store = opened(path)
        for number in range(300):
            await write(store, f"{number % 7}", f"-{number % 7}", "kept")
        await store.compact(Revision(890))
        for _ in range(4):
            await write(store, "kept")  # each takes some of them along
        await store.close()
        assert len(rows(path)) < 20
        again = opened(path)
        assert [item.key for item in again.range(PODS)] == [PODS + "kept"]
        with pytest.raises(Compacted):
            again.watch(PODS, after=Revision(889))
        await again.close()

    async def test_history_lives_five_minutes_after_opening_too(self, path: Path) -> None:
        store = opened(path)
        await write(store, "a", "b", "c")
        await store.close()
        clock = VirtualClock()
        again = opened(path, clock=clock)
        for _ in range(25):
            await clock.advance(14)
            await write(again, "a")
        assert again.statistics().compacted == 0
        await again.close()

    async def test_a_file_of_a_later_program_is_refused(self, path: Path) -> None:
        change(path, "PRAGMA user_version = 9")
        with pytest.raises(StoreError, match="format 9"):
            opened(path)

    async def test_a_file_that_is_no_store_is_refused(self, path: Path) -> None:
        path.write_bytes(b"hello" * 1_000)
        with pytest.raises(StoreDamaged, match="not a whole SQLite file"):
            opened(path)

    async def test_a_place_that_is_not_there_is_named(self, path: Path) -> None:
        with pytest.raises(StoreError, match="cannot be locked"):
            opened(path / "no" / "such" / "folder")


def put_of(store: SqliteStore, key: str) -> tuple[Any, str, bytes, None, None]:
    return store._state.bucket(key), key, b"", None, None


DAMAGE = [
    pytest.param("UPDATE log SET value = x'00' WHERE revision = 4", id="a value"),
    pytest.param("UPDATE log SET value = NULL WHERE revision = 4", id="a value lost"),
    pytest.param("UPDATE log SET created = 'x' WHERE revision = 4", id="a number"),
    pytest.param("UPDATE log SET keys = 77 WHERE revision = 4", id="a count"),
    pytest.param("UPDATE log SET checksum = checksum + 1 WHERE revision = 4", id="a checksum"),
]


class TestDamage:
    async def made(self, path: Path) -> None:
        store = opened(path)
        await write(store, "a", "b", "c", "b")
        await store.close()

    @pytest.mark.parametrize("damage", DAMAGE)
    async def test_a_damaged_row_is_named(self, path: Path, damage: str) -> None:
        await self.made(path)
        change(path, damage)
        with pytest.raises(StoreDamaged, match=f"checksum is wrong for {PODS}b") as caught:
            opened(path)
        assert caught.value.keys == (PODS + "b",)

    async def test_damage_to_a_key_is_found(self, path: Path) -> None:
        await self.made(path)
        change(path, "UPDATE log SET key = CAST(x'ff2f62' AS TEXT) WHERE revision = 4")
        with pytest.raises(StoreDamaged):
            opened(path)

    @pytest.mark.parametrize("damage", DAMAGE)
    async def test_damaged_rows_can_be_set_aside(self, path: Path, damage: str) -> None:
        """The key has its last good value; history begins after the damage, so that nobody resumes across it."""
        await self.made(path)
        change(path, damage)
        store = opened(path, set_aside_damaged=True)
        assert store.damaged == (PODS + "b",)
        assert [(item.key[-1], item.revision) for item in store.range(PODS)] == [("a", 1), ("b", 2), ("c", 3)]
        assert (store.revision, store.statistics().compacted) == (4, 4)
        await write(store, "d")
        assert store.revision == 5
        await store.close()
        again = opened(path)
        assert again.damaged == ()
        assert again.count(PODS) == 4
        await again.close()

    async def test_a_damaged_old_row_costs_its_history_only(self, path: Path) -> None:
        await self.made(path)
        change(path, "UPDATE log SET value = x'00' WHERE revision = 2")
        store = opened(path, set_aside_damaged=True)
        assert store.damaged == ()
        held = store.get(PODS + "b")
        assert held is not None
        assert (held.value, held.revision) == (b"3", 4)
        await store.close()

    @pytest.mark.parametrize(
        ("loss", "message"),
        [
            pytest.param("DELETE FROM log WHERE revision = 2", "of the revisions 1 to 4 there are 3", id="recent"),
            pytest.param("UPDATE meta SET compacted = -1", "of the revisions 0 to 4 there are 4", id="the count"),
        ],
    )
    async def test_a_lost_row_is_found(self, path: Path, loss: str, message: str) -> None:
        await self.made(path)
        change(path, loss)
        with pytest.raises(StoreDamaged, match=message):
            opened(path)
        store = opened(path, set_aside_damaged=True)
        assert store.revision == 4
        await store.close()

    async def test_a_lost_row_of_an_old_item_is_found(self, path: Path) -> None:
        store = opened(path)
        await write(store, "a", "b", "c")
        await store.compact(Revision(3))
        await write(store, "d")
        await store.close()
        change(path, "DELETE FROM log WHERE revision = 1")
        with pytest.raises(StoreDamaged, match="of 4 keys there are 3"):
            opened(path)

    @pytest.mark.parametrize("place", [lambda size: 20, lambda size: size - 5_000, lambda size: size // 2])
    async def test_a_torn_file_is_refused_or_whole(self, path: Path, place: Callable[[int], int]) -> None:
        """Bytes overwritten anywhere: what opens holds nothing that was not written."""
        store = opened(path)
        for number in range(60):
            await store.put(f"{PODS}{number}", b"%d" % number * 300, expect=None)
        items = {item.key: item for item in store.range(PODS)}
        await store.close()
        content = bytearray(path.read_bytes())
        at = place(len(content))
        content[at : at + 64] = bytes(64)
        path.write_bytes(content)
        try:
            again = opened(path)
        except StoreError:
            return
        assert {item.key: item for item in again.range(PODS)} == items
        await again.close()
