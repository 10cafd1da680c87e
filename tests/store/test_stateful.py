"""Any sequence of calls, against a plain model: a dict and a list."""

import asyncio
import tempfile
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from bireme.aio.clock import VirtualClock
from bireme.store.core import Core
from bireme.store.interface import Compacted, Event, Item, KeyConflict, Put, Revision
from bireme.store.memory import MemoryStore
from bireme.store.sqlite import SqliteLog, SqliteStore
from bireme.store.watching import Watcher

NAMES = [
    "/registry/core/pods/a/x",
    "/registry/core/pods/a/y",
    "/registry/core/pods/b/x",
    "/registry/core/nodes/x",
    "z",
]
keys = st.sampled_from(NAMES)
prefixes = st.sampled_from(["", "/", "/registry/core/", "/registry/core/pods/", "/registry/core/pods/a/", *NAMES])
expectations = st.sampled_from(["any", "none", "held", "wrong"])
changes = st.tuples(st.sampled_from(["put", "delete"]), keys, expectations)


class Model:
    """What a store should hold after the writes that were taken so far."""

    def __init__(self) -> None:
        self.items: dict[str, Item] = {}
        self.events: list[Event] = []
        self.compacted = 0

    def expected(self, key: str, how: str) -> Revision | None:
        held = self.items[key].revision if key in self.items else 0
        return {"any": None, "none": Revision(0), "held": Revision(held), "wrong": Revision(held + 7)}[how]

    def change(self, verb: str, key: str, how: str, value: bytes) -> Item | Event | None:
        """The answer to a write; None for a conflict."""
        held = self.items.get(key)
        expect = self.expected(key, how)
        if expect not in (None, held.revision if held else 0) or (verb == "delete" and not held):
            return None
        revision = Revision(len(self.events) + 1)
        created = held.created if held else revision
        previous = held.value if held else None
        if verb == "delete":
            del self.items[key]
            self.events.append(Event(revision, key, None, previous, created))
            return self.events[-1]
        self.items[key] = Item(key, value, revision, created)
        self.events.append(Event(revision, key, value, previous, created))
        return self.items[key]


class StoreMachine(RuleBasedStateMachine):
    """Over the store in memory; `SqliteMachine` also closes and opens again."""

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.model = Model()
        self.watchers: list[tuple[Watcher, str, int]] = []  # with how far each has read
        self.count = 0

    def open(self) -> Core:
        return MemoryStore(clock=VirtualClock())

    @initialize()
    def begin(self) -> None:
        self.store = self.open()

    @rule(batch=st.lists(changes, min_size=1, max_size=5))
    def write(self, batch: list[tuple[str, str, str]]) -> None:
        """Writes that are under way together."""
        calls: list[Coroutine[Any, Any, Item | Event]] = []
        answers = []
        for verb, key, how in batch:
            self.count += 1
            value, expect = b"%d" % self.count, self.model.expected(key, how)
            store = self.store
            calls.append(store.put(key, value, expect=expect) if verb == "put" else store.delete(key, expect=expect))
            answers.append(self.model.change(verb, key, how, value))
        assert self.runner.run(together(calls)) == answers

    @rule(batch=st.lists(st.tuples(keys, expectations), max_size=5))
    def write_all(self, batch: list[tuple[str, str]]) -> None:
        """Writes that are handed over together."""
        puts, answers = [], []
        for key, how in batch:
            self.count += 1
            put = Put(key, b"%d" % self.count, self.model.expected(key, how))
            puts.append(put)
            answers.append(self.model.change("put", key, how, put.value))
        outcomes = self.runner.run(self.store.put_all(puts))
        assert [None if isinstance(each, KeyConflict) else each for each in outcomes] == answers

    @rule(prefix=prefixes, back=st.integers(0, 12))
    def watch(self, prefix: str, back: int) -> None:
        after = max(0, len(self.model.events) - back)
        if after < self.model.compacted:
            with pytest.raises(Compacted):
                self.store.watch(prefix, after=Revision(after))
        else:
            self.watchers.append((self.store.watch(prefix, after=Revision(after)), prefix, after))

    @rule()
    def read(self) -> None:
        """Every watcher reads all that there is for it."""
        self.watchers = [self.runner.run(self.caught_up(*each)) for each in self.watchers]

    async def caught_up(self, watcher: Watcher, prefix: str, after: int) -> tuple[Watcher, str, int]:
        due = [event for event in self.model.events[after:] if event.key.startswith(prefix)]
        seen: list[Event] = []
        while len(seen) < len(due):
            try:
                seen += await anext(watcher)
            except Compacted:
                assert due[0].revision <= self.model.compacted
                watcher = self.store.watch(prefix, after=self.store.revision)
                return watcher, prefix, len(self.model.events)
        assert seen == due
        assert watcher.revision == max(after, self.store.revision)
        return watcher, prefix, len(self.model.events)

    @rule(back=st.integers(0, 12))
    def compact(self, back: int) -> None:
        revision = max(0, len(self.model.events) - back)
        self.runner.run(self.store.compact(Revision(revision)))
        self.model.compacted = max(self.model.compacted, revision)

    @rule(prefix=prefixes, after=st.sampled_from(["", *NAMES]), limit=st.integers(0, 3))
    def page(self, prefix: str, after: str, limit: int) -> None:
        found = [item for key, item in sorted(self.model.items.items()) if key.startswith(prefix) and key > after]
        assert self.store.count(prefix, after=after) == len(found)
        assert list(self.store.range(prefix, after=after, limit=limit)) == (found[:limit] if limit else found)

    @invariant()
    def agrees(self) -> None:
        if hasattr(self, "store"):
            found = self.store.statistics()
            assert found.revision == self.store.revision == len(self.model.events)
            assert (found.keys, found.compacted) == (len(self.model.items), self.model.compacted)

    def teardown(self) -> None:
        self.watchers.clear()
        if hasattr(self, "store"):
            self.runner.run(self.store.close())
        self.runner.close()


async def together(calls: list[Coroutine[Any, Any, Item | Event]]) -> list[Item | Event | None]:
    async def answer(call: Coroutine[Any, Any, Item | Event]) -> Item | Event | None:
        try:
            return await call
        except KeyConflict:
            return None

    async with asyncio.TaskGroup() as tasks:
        started = [tasks.create_task(answer(call)) for call in calls]
    return [task.result() for task in started]


class SqliteMachine(StoreMachine):
    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()

    def open(self) -> Core:
        clock, path = VirtualClock(), Path(self.folder.name) / "store.db"
        return SqliteStore(path, clock=clock, durable=SqliteLog(path, clock=clock, reserve_bytes=0))

    @rule()
    def open_again(self) -> None:
        """Watchers end, and go on where they were."""
        self.runner.run(self.store.close())
        self.store = self.open()
        resumed = []
        for _, prefix, after in self.watchers:
            if after >= self.model.compacted:
                resumed.append((self.store.watch(prefix, after=Revision(after)), prefix, after))
        self.watchers = resumed

    def teardown(self) -> None:
        super().teardown()
        self.folder.cleanup()


class TestMemory(StoreMachine.TestCase):  # type: ignore[name-defined, misc]
    settings = settings(max_examples=60, stateful_step_count=40, deadline=None, derandomize=True)


class TestSqlite(SqliteMachine.TestCase):  # type: ignore[name-defined, misc]
    settings = settings(
        max_examples=40, stateful_step_count=40, deadline=None, derandomize=True,
        suppress_health_check=[HealthCheck.too_slow],
    )  # fmt: skip
