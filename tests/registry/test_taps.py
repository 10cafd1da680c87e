"""Who is told by calls is told in slices, so that others get their turn between; but the past is had as a whole."""

import asyncio
from collections.abc import Sequence
from random import Random

from bireme.aio.clock import VirtualClock
from bireme.api.kinds import core
from bireme.api.scheme import builtin
from bireme.registry.options import Call, ListOptions
from bireme.registry.selection import Selection
from bireme.registry.taps import Heard, Tap
from bireme.registry.watch_cache import AT_ONCE
from bireme.registry.wiring import build_registry, fill_registry, run_registry
from bireme.store.memory import MemoryStore

MANY = 5 * AT_ONCE


async def test_after_a_restart_the_past_is_there_as_a_whole():
    clock = VirtualClock()
    store = MemoryStore(clock=clock)
    told: list[str] = []
    async with asyncio.TaskGroup() as tasks:
        registry = build_registry(store, builtin(), clock, random=Random(7))
        running = tasks.create_task(run_registry(registry))
        await fill_registry(registry, advertise_address="192.0.2.1", port=6443)
        kind, start = registry.kind("", "v1", "configmaps"), registry.store.revision
        for number in range(MANY):
            await registry.create(kind, "default", {"metadata": {"name": f"c{number}"}}, Call())
        running.cancel()
    async with asyncio.TaskGroup() as tasks:
        registry = build_registry(store, builtin(), clock, random=Random(7))
        running = tasks.create_task(run_registry(registry))
        await registry.cache.wait_fresh(store.revision)
        kind = registry.kind("", "v1", "configmaps")
        cache = registry.cache.of(kind.stored)
        while not cache.history:
            await asyncio.sleep(0)
        tap = Tap(Selection(kind.stored), core.ConfigMap, lambda heard: told.extend(name for _, name, _, _ in heard))
        cache.tap(tap, after=start)
        exactly = ListOptions(resource_version=str(start), match="Exact")
        page = await registry.list(kind, Selection(kind.stored, "default"), exactly)
        running.cancel()
    assert told == [f"c{number}" for number in range(MANY)]
    assert not page.records


async def test_many_writes_at_once_hold_nobody_up(opened):
    async with opened() as registry:
        kind = registry.kind("", "v1", "configmaps")
        turns, told = 0, []

        def hear(heard: Sequence[Heard]) -> None:
            told.extend((turns, revision) for *_, revision in heard)

        async def tick() -> None:
            nonlocal turns
            while len(told) < MANY:
                turns += 1
                await asyncio.sleep(0)

        cache = registry.cache.of(kind.stored)
        await registry.cache.wait_fresh(registry.store.revision)
        cache.tap(Tap(Selection(kind.stored), core.ConfigMap, hear), after=registry.cache.revision)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(tick())
            for number in range(MANY):
                tree = {"metadata": {"name": f"c{number}"}}
                tasks.create_task(registry.create(kind, "default", tree, Call()))
        a_turn = [[revision for at, revision in told if at == turn] for turn in range(turns + 1)]
        assert max(map(len, a_turn)) <= AT_ONCE
        revisions = [revision for _, revision in told]
        assert revisions == sorted(revisions)
        assert len(set(revisions)) == MANY
