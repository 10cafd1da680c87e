"""What every home of the state promises; one suite over all of them."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any

import pytest

from bireme.aio.clock import VirtualClock
from bireme.store import watching
from bireme.store.core import Retention
from bireme.store.interface import Compacted, Event, Item, KeyConflict, Put, Revision, Store, StoreClosed, Watch
from bireme.store.memory import MemoryStore
from bireme.store.sqlite import SqliteLog, SqliteStore

PODS = "/registry/core/pods/"
RETENTION = Retention(keep_s=300, events=50, past_bytes=10_000)


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


@pytest.fixture(params=["memory", "sqlite"])
async def store(request: pytest.FixtureRequest, clock: VirtualClock, tmp_path: Path) -> AsyncIterator[Store]:
    made: Store
    if request.param == "memory":
        made = MemoryStore(clock=clock, retention=RETENTION)
    else:
        durable = SqliteLog(tmp_path / "store.db", clock=clock, reserve_bytes=0)
        made = SqliteStore(tmp_path / "store.db", clock=clock, retention=RETENTION, durable=durable)
    yield made
    await made.close()


async def fill(store: Store, *keys: str, value: bytes = b"{}") -> list[Item]:
    return [await store.put(key, value, expect=None) for key in keys]


def keys(items: Sequence[Item]) -> list[str]:
    return [item.key for item in items]


async def outcomes(*calls: Coroutine[Any, Any, Any]) -> list[Any]:
    """What concurrent calls return or raise."""

    async def outcome(call: Coroutine[Any, Any, Any]) -> Any:
        try:
            return await call
        except Exception as error:
            return error

    async with asyncio.TaskGroup() as tasks:
        started = [tasks.create_task(outcome(call)) for call in calls]
    return [task.result() for task in started]


async def next_batch(watch: Watch) -> list[Event]:
    async with asyncio.timeout(60):
        return list(await anext(watch))


async def turn() -> None:
    """Let what is on the loop's list run."""
    for _ in range(5):
        await asyncio.sleep(0)


class TestWrites:
    async def test_a_put_makes_a_key_at_the_next_revision(self, store: Store) -> None:
        item = await store.put(PODS + "a/x", b"1", expect=Revision(0))
        assert item == Item(PODS + "a/x", b"1", Revision(1), Revision(1))
        assert store.get(PODS + "a/x") == item
        assert store.revision == 1

    async def test_an_update_keeps_the_revision_of_creation(self, store: Store) -> None:
        first, _ = await fill(store, PODS + "a/x", PODS + "a/y")
        item = await store.put(PODS + "a/x", b"2", expect=first.revision)
        assert (item.revision, item.created) == (3, 1)

    async def test_a_key_that_was_deleted_is_created_anew(self, store: Store) -> None:
        await fill(store, PODS + "a/x")
        await store.delete(PODS + "a/x", expect=None)
        item = await store.put(PODS + "a/x", b"2", expect=Revision(0))
        assert (item.revision, item.created) == (3, 3)

    @pytest.mark.parametrize("expect", [0, 1, 7])
    async def test_a_put_conflicts_unless_the_key_is_at_the_expected_revision(
        self, store: Store, expect: int
    ) -> None:
        await fill(store, PODS + "a/x", PODS + "a/x")
        with pytest.raises(KeyConflict) as caught:
            await store.put(PODS + "a/x", b"2", expect=Revision(expect))
        assert caught.value.actual == store.get(PODS + "a/x")
        assert store.revision == 2

    async def test_a_put_over_nothing_conflicts_when_it_expects_something(self, store: Store) -> None:
        with pytest.raises(KeyConflict) as caught:
            await store.put(PODS + "a/x", b"2", expect=Revision(3))
        assert caught.value.actual is None

    async def test_a_delete_tells_what_was_there(self, store: Store) -> None:
        await fill(store, PODS + "a/x", value=b"old")
        event = await store.delete(PODS + "a/x", expect=Revision(1))
        assert event == Event(Revision(2), PODS + "a/x", None, b"old", Revision(1))
        assert store.get(PODS + "a/x") is None
        assert store.count("") == 0

    @pytest.mark.parametrize("expect", [None, 0, 1])
    async def test_a_delete_of_nothing_conflicts(self, store: Store, expect: Revision | None) -> None:
        with pytest.raises(KeyConflict):
            await store.delete(PODS + "a/x", expect=expect)

    async def test_a_delete_conflicts_when_the_key_moved_on(self, store: Store) -> None:
        await fill(store, PODS + "a/x", PODS + "a/x")
        with pytest.raises(KeyConflict):
            await store.delete(PODS + "a/x", expect=Revision(1))

    async def test_of_concurrent_writers_one_wins(self, store: Store) -> None:
        results = await outcomes(*(store.put(PODS + "a/x", b"%d" % n, expect=Revision(0)) for n in range(20)))
        winners = [one for one in results if isinstance(one, Item)]
        assert winners == [store.get(PODS + "a/x")]
        assert sum(isinstance(one, KeyConflict) and one.actual == winners[0] for one in results) == 19

    async def test_a_conflict_is_told_only_when_its_reason_is_durable(self, store: Store) -> None:
        async def loser() -> Item | None:
            with pytest.raises(KeyConflict):
                await store.put(PODS + "a/x", b"2", expect=Revision(0))
            return store.get(PODS + "a/x")

        winner, seen = await outcomes(store.put(PODS + "a/x", b"1", expect=Revision(0)), loser())
        assert seen == winner

    async def test_writes_that_build_on_writes_under_way_succeed(self, store: Store) -> None:
        results = await outcomes(
            store.put(PODS + "a/x", b"1", expect=Revision(0)),
            store.put(PODS + "a/x", b"2", expect=Revision(1)),
            store.delete(PODS + "a/x", expect=Revision(2)),
            store.put(PODS + "a/x", b"4", expect=Revision(0)),
        )
        assert [one.revision for one in results] == [1, 2, 3, 4]
        assert store.get(PODS + "a/x") == Item(PODS + "a/x", b"4", Revision(4), Revision(4))

    async def test_nothing_is_shown_before_it_is_durable(self, store: Store) -> None:
        watch = store.watch(PODS, after=Revision(0))
        async with asyncio.TaskGroup() as tasks:
            put = tasks.create_task(store.put(PODS + "a/x", b"1", expect=None))
            await asyncio.sleep(0)
            assert not put.done()
            assert store.get(PODS + "a/x") is None
            assert (store.revision, store.count(""), watch.revision) == (0, 0, 0)
        assert store.revision == 1

    async def test_a_cancelled_writer_leaves_the_others_alone(self, store: Store) -> None:
        async with asyncio.TaskGroup() as tasks:
            first = tasks.create_task(store.put(PODS + "a/x", b"1", expect=None))
            second = tasks.create_task(store.put(PODS + "a/y", b"1", expect=None))
            await asyncio.sleep(0)
            first.cancel()
        assert second.result() == store.get(PODS + "a/y")
        assert store.revision == 2, "the write was on its way"

    async def test_keys_must_be_text(self, store: Store) -> None:
        with pytest.raises(ValueError, match="surrogates"):
            await store.put(PODS + "\ud800", b"", expect=None)
        assert (await fill(store, PODS + "after"))[0].revision == 1

    async def test_many_revisions_leave_no_hole(self, store: Store) -> None:
        calls = [store.put(f"{PODS}a/{n % 7}", b"%d" % n, expect=None) for n in range(600)]
        assert [item.revision for item in await outcomes(*calls)] == list(range(1, 601))


class TestWritesOfOneCall:
    async def test_a_conflict_concerns_no_other(self, store: Store) -> None:
        (held,) = await fill(store, PODS + "a/x")
        puts = [
            Put(PODS + "a/x", b"1", Revision(0)),
            Put(PODS + "a/y", b"2", Revision(0)),
            Put(PODS + "a/y", b"3", Revision(0)),
            Put(PODS + "a/x", b"4", held.revision),
        ]
        lost, made, late, changed = await store.put_all(puts)
        assert isinstance(lost, KeyConflict)
        assert lost.actual == held
        assert isinstance(late, KeyConflict)
        assert late.actual == made == store.get(PODS + "a/y")
        assert changed == store.get(PODS + "a/x")
        assert store.revision == 3

    async def test_they_are_one_commit(self, store: Store) -> None:
        before, watch = store.statistics().commits, store.watch(PODS, after=Revision(0))
        await store.put_all([Put(f"{PODS}a/{n}", b"", None) for n in range(30)])
        assert store.statistics().commits == before + 1
        assert [event.revision for event in await next_batch(watch)] == list(range(1, 31))

    async def test_a_conflict_is_told_only_when_its_reason_is_durable(self, store: Store) -> None:
        async def loser() -> Item | None:
            (outcome,) = await store.put_all([Put(PODS + "a/x", b"2", Revision(0))])
            assert isinstance(outcome, KeyConflict)
            return store.get(PODS + "a/x")

        winner, seen = await outcomes(store.put(PODS + "a/x", b"1", expect=Revision(0)), loser())
        assert seen == winner

    async def test_they_are_written_though_the_caller_goes_away(self, store: Store) -> None:
        async with asyncio.TaskGroup() as tasks:
            gone = tasks.create_task(store.put_all([Put(PODS + "a/x", b"1", None), Put(PODS + "a/y", b"1", None)]))
            stays = tasks.create_task(store.put(PODS + "a/z", b"1", expect=None))
            await asyncio.sleep(0)
            gone.cancel()
        assert (stays.result().revision, store.count(PODS)) == (3, 3)

    async def test_nothing_is_written_where_a_key_is_no_text(self, store: Store) -> None:
        with pytest.raises(ValueError, match="surrogates"):
            await store.put_all([Put(PODS + "a/x", b"", None), Put(PODS + "\ud800", b"", None)])
        assert await store.put_all([]) == []
        assert store.revision == 0


async def test_a_write_whose_caller_went_away_is_waited_for(store: Store) -> None:
    assert await store.settled(PODS + "a") is None
    async with asyncio.TaskGroup() as tasks:
        writing = tasks.create_task(store.put(PODS + "a", b"1", expect=Revision(0)))
        await asyncio.sleep(0)
        writing.cancel()
    found = await store.settled(PODS + "a")
    assert found is not None
    assert found == store.get(PODS + "a")
    assert found.value == b"1"


class TestReads:
    async def test_a_range_is_in_the_order_of_utf8(self, store: Store) -> None:
        names = ["b", "a/b", "a-b", "a", "Z", "\U0001f6a3", "\uffff", "ä"]
        await fill(store, *(PODS + name for name in names))
        found = keys(store.range(PODS))
        assert found == sorted((PODS + name for name in names), key=lambda key: key.encode())

    async def test_a_range_pages_through_all_keys(self, store: Store) -> None:
        made = [f"{PODS}ns{n % 3}/{n:04}" for n in range(2_000)]
        await outcomes(*(store.put(key, b"", expect=None) for key in made))
        found, after = [], ""
        while page := store.range(PODS, after=after, limit=300):
            found += keys(page)
            after = found[-1]
            assert store.count(PODS, after=after) == 2_000 - len(found)
        assert found == sorted(made)

    @pytest.mark.parametrize(
        ("prefix", "found"),
        [
            pytest.param(PODS, ["a/x", "a/y", "ab/x"], id="a resource"),
            pytest.param(PODS + "a/", ["a/x", "a/y"], id="a namespace"),
            pytest.param(PODS + "a/x", ["a/x"], id="a key"),
            pytest.param(PODS + "a", ["a/x", "a/y", "ab/x"], id="the beginning of a name"),
            pytest.param(PODS + "b", [], id="nothing"),
        ],
    )
    async def test_a_prefix(self, store: Store, prefix: str, found: list[str]) -> None:
        await fill(store, PODS + "ab/x", PODS + "a/y", "/registry/core/podsets/a/x", PODS + "a/x")
        assert keys(store.range(prefix)) == [PODS + name for name in found]
        assert store.count(prefix) == len(found)

    async def test_a_prefix_may_span_resources(self, store: Store) -> None:
        made = [
            "/registry/apps/deployments/a/x",
            PODS + "a/x",
            "/registry/core/services/a/x",
            "/registry/core/q",
            "x",
        ]
        await fill(store, *reversed(made))
        assert keys(store.range("")) == sorted(made)
        assert keys(store.range("/registry/core/")) == sorted(made[1:4])
        assert keys(store.range("/registry/", after=PODS, limit=2)) == sorted(made[1:4])[:2]
        assert store.count("/registry/", after=PODS) == 3

    async def test_an_unknown_prefix_is_empty(self, store: Store) -> None:
        assert list(store.range("/no/such/thing/")) == []
        assert store.count("/no/such/thing/") == 0
        assert store.get("/no/such/thing/x") is None

    async def test_statistics(self, store: Store) -> None:
        await fill(store, PODS + "a/x", PODS + "a/x", value=b"x" * 100)
        watch = store.watch(PODS, after=Revision(0))
        found = store.statistics()
        assert (found.keys, found.revision, found.compacted, found.commits, found.watchers) == (1, 2, 0, 2, 1)
        assert found.size_bytes >= 100
        watch.close()
        assert store.statistics().watchers == 0


class TestWatches:
    async def test_a_watch_gives_what_was_and_what_comes(self, store: Store) -> None:
        await fill(store, PODS + "a/x", "/registry/core/services/a/x", PODS + "a/y")
        watch = store.watch(PODS, after=Revision(1))
        assert [event.revision for event in await next_batch(watch)] == [3]
        await store.put(PODS + "a/x", b"new", expect=None)
        await store.delete(PODS + "a/y", expect=None)
        assert await next_batch(watch) == [
            Event(Revision(4), PODS + "a/x", b"new", b"{}", Revision(1)),
            Event(Revision(5), PODS + "a/y", None, b"{}", Revision(3)),
        ]

    async def test_a_waiting_reader_is_woken(self, store: Store) -> None:
        watch = store.watch(PODS + "a/", after=Revision(0))
        async with asyncio.TaskGroup() as tasks:
            batch = tasks.create_task(next_batch(watch))
            await turn()
            await fill(store, PODS + "b/x", PODS + "a/x")
        assert [event.key for event in batch.result()] == [PODS + "a/x"]

    @pytest.mark.parametrize("prefix", ["", "/registry/", "/registry/core/", PODS, PODS + "a/", PODS + "a/x"])
    async def test_any_prefix_can_be_watched(self, store: Store, prefix: str) -> None:
        made = [PODS + "a/x", PODS + "a/xy", PODS + "b/x", "/registry/apps/deployments/a/x", "loose"]
        before = store.watch(prefix, after=Revision(0))
        await fill(store, *made)
        later = store.watch(prefix, after=Revision(0))
        expected = [key for key in made if key.startswith(prefix)]
        assert [event.key for event in await next_batch(before)] == expected
        assert [event.key for event in await next_batch(later)] == expected

    async def test_prefixes_longer_than_a_key_are_none_of_its_beginnings(self, store: Store) -> None:
        short, long = store.watch("z", after=Revision(0)), store.watch("zzz", after=Revision(0))
        pod, longer = store.watch(PODS + "a", after=Revision(0)), store.watch(PODS + "a/b", after=Revision(0))
        await fill(store, "z", PODS + "a")
        assert [event.revision for event in await next_batch(short)] == [1]
        assert [event.revision for event in await next_batch(pod)] == [2]
        assert long.revision == longer.revision == 2, "they have nothing to give out"

    async def test_readers_from_anywhere_see_the_same_without_gap_or_repeat(self, store: Store) -> None:
        async def read(after: int) -> list[int]:
            seen: list[int] = []
            async for batch in store.watch(PODS, after=Revision(after)):
                seen += [event.revision for event in batch]
                if seen[-1] == 45:
                    break
            return seen

        async with asyncio.TaskGroup() as tasks:
            readers = []
            for number in range(45):
                await store.put(f"{PODS}a/{number % 5}", b"", expect=None)
                readers.append(tasks.create_task(read(number // 2)))
        for number, reader in enumerate(readers):
            assert reader.result() == list(range(number // 2 + 1, 46))

    async def test_events_of_one_commit_come_together(self, store: Store) -> None:
        watch = store.watch(PODS, after=Revision(0))
        await outcomes(*(store.put(f"{PODS}a/{n}", b"", expect=None) for n in range(30)))
        assert len(await next_batch(watch)) == 30

    async def test_a_watch_may_begin_in_the_future(self, store: Store) -> None:
        watch = store.watch(PODS, after=Revision(2))
        await fill(store, PODS + "a/1", PODS + "a/2", PODS + "a/3")
        assert [event.revision for event in await next_batch(watch)] == [3]

    async def test_a_bookmark_says_what_was_given_out(self, store: Store) -> None:
        watch = store.watch(PODS, after=Revision(0))
        await fill(store, PODS + "a/x", "/registry/core/services/a/x")
        assert watch.revision == 0
        await next_batch(watch)
        assert watch.revision == 2, "the service is none of its events, and has passed"
        await fill(store, PODS + "a/x")
        assert watch.revision == 1, "at least what was given out"
        await fill(store, "/registry/core/services/a/x")
        await next_batch(watch)
        assert watch.revision == 4

    async def test_a_reader_that_gives_up_waiting_misses_nothing(self, store: Store) -> None:
        watch = store.watch(PODS, after=Revision(0))
        for _ in range(3):
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0):
                    await anext(watch)
        await fill(store, PODS + "a/x")
        assert [event.revision for event in await next_batch(watch)] == [1]

    async def test_a_closed_watch_ends(self, store: Store) -> None:
        watch = store.watch(PODS, after=Revision(0))
        async with asyncio.TaskGroup() as tasks:
            ended = tasks.create_task(drained(watch))
            await turn()
            watch.close()
        assert ended.result() == []
        assert store.statistics().watchers == 0

    async def test_a_watch_that_nobody_holds_is_gone(self, store: Store) -> None:
        await fill(store, PODS + "a/x")
        async for _ in store.watch(PODS, after=Revision(0)):
            break
        assert store.statistics().watchers == 0

    async def test_a_slow_reader_is_cut_and_holds_nobody_up(
        self, store: Store, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(watching, "BACKLOG", 10)
        slow, fast = store.watch(PODS, after=Revision(0)), store.watch(PODS, after=Revision(0))
        seen: list[int] = []
        for number in range(25):
            await store.put(f"{PODS}a/{number}", b"", expect=None)
            seen += [event.revision for event in await next_batch(fast)]
        assert seen == list(range(1, 26))
        with pytest.raises(Compacted) as caught:
            await next_batch(slow)
        assert (caught.value.asked, caught.value.oldest) == (0, 11)
        assert await drained(slow) == []

    async def test_ten_thousand_watchers_of_other_keys_cost_a_write_nothing(self, store: Store) -> None:
        others = [store.watch(f"{PODS}ns{number}/", after=Revision(0)) for number in range(10_000)]
        watch = store.watch(PODS + "ns77/", after=Revision(0))
        clock = asyncio.get_running_loop().time
        began = clock()
        await outcomes(*(store.put(f"{PODS}ns77/{n}", b"", expect=None) for n in range(40)))
        assert clock() - began < 1
        assert len(await next_batch(watch)) == 40
        assert len(await next_batch(others[77])) == 40


class TestCompaction:
    async def test_older_history_is_gone_and_items_stay(self, store: Store) -> None:
        await fill(store, *(f"{PODS}a/{n}" for n in range(5)))
        await store.compact(Revision(3))
        with pytest.raises(Compacted) as caught:
            store.watch(PODS, after=Revision(2))
        assert (caught.value.asked, caught.value.oldest) == (2, 3)
        assert [event.revision for event in await next_batch(store.watch(PODS, after=Revision(3)))] == [4, 5]
        assert store.count(PODS) == 5
        assert store.statistics().compacted == 3

    @pytest.mark.parametrize("revision", [-1, 0, 2])
    async def test_compacting_twice_or_back_changes_nothing(self, store: Store, revision: int) -> None:
        await fill(store, *(f"{PODS}a/{n}" for n in range(4)))
        await store.compact(Revision(2))
        await store.compact(Revision(revision))
        assert store.statistics().compacted == 2

    async def test_the_future_cannot_be_compacted(self, store: Store) -> None:
        await fill(store, PODS + "a/x")
        await store.compact(Revision(99))
        assert store.statistics().compacted == 1
        assert (await fill(store, PODS + "a/x"))[0].revision == 2

    async def test_a_reader_of_what_is_compacted_is_cut(self, store: Store) -> None:
        behind = store.watch(PODS, after=Revision(0))
        await fill(store, PODS + "a/x", PODS + "a/y")
        await store.compact(Revision(1))
        with pytest.raises(Compacted):
            await next_batch(behind)

    async def test_a_reader_that_has_read_all_is_not_cut(self, store: Store) -> None:
        watch = store.watch(PODS, after=Revision(0))
        await fill(store, PODS + "a/x")
        await next_batch(watch)
        await fill(store, "/registry/core/services/a/x", "/registry/core/services/a/y")
        await store.compact(Revision(3))
        await fill(store, PODS + "a/y")
        assert [event.revision for event in await next_batch(watch)] == [4]

    async def test_history_is_kept_for_five_minutes(self, store: Store, clock: VirtualClock) -> None:
        for _ in range(40):
            await fill(store, PODS + "a/x")
            await clock.advance(14)
        assert store.statistics().compacted == 0
        for _ in range(8):
            await fill(store, PODS + "a/x")
            await clock.advance(14)
        found = store.statistics()
        assert 0 < found.compacted <= found.revision - 300 // 14

    @pytest.mark.parametrize(("size", "kept"), [(1, 50), (1_000, 10)])
    async def test_history_is_bounded_by_events_and_bytes(self, store: Store, size: int, kept: int) -> None:
        for _ in range(200):
            await fill(store, PODS + "a/x", value=b"x" * size)
        found = store.statistics()
        assert found.revision == 200
        assert kept * 0.6 <= found.revision - found.compacted <= kept + 2


class TestClosing:
    async def test_writes_under_way_are_finished(self, store: Store) -> None:
        async with asyncio.TaskGroup() as tasks:
            puts = [tasks.create_task(store.put(f"{PODS}a/{n}", b"", expect=None)) for n in range(10)]
            await asyncio.sleep(0)
            await store.close()
        assert [put.result().revision for put in puts] == list(range(1, 11))

    @pytest.mark.parametrize(
        "call",
        [
            pytest.param(lambda store: store.put(PODS + "a/y", b"", expect=None), id="put"),
            pytest.param(lambda store: store.delete(PODS + "a/x", expect=None), id="delete"),
            pytest.param(lambda store: store.compact(Revision(1)), id="compact"),
        ],
    )
    async def test_a_closed_store_takes_no_writes(
        self, store: Store, call: Callable[[Store], Coroutine[Any, Any, Any]]
    ) -> None:
        await fill(store, PODS + "a/x")
        await store.close()
        with pytest.raises(StoreClosed):
            await call(store)
        await store.close()

    async def test_watches_end_with_the_store(self, store: Store) -> None:
        watch = store.watch(PODS, after=Revision(0))
        async with asyncio.TaskGroup() as tasks:
            seen = tasks.create_task(drained(watch))
            await turn()
            await fill(store, PODS + "a/x")
            await store.close()
        assert [event.revision for event in seen.result()] == [1]
        assert await drained(store.watch(PODS, after=Revision(1))) == []


async def drained(watch: Watch) -> list[Event]:
    """What a watch still gives until it ends."""
    seen: list[Event] = []
    async with asyncio.timeout(60):
        async for batch in watch:
            seen += batch
    return seen
