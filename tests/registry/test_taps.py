"""Who is told by calls is told in slices: however many writes came at once, others get their turn between."""

import asyncio

from bireme.api.kinds import core
from bireme.registry.options import Call
from bireme.registry.selection import Selection
from bireme.registry.taps import Tap
from bireme.registry.watch_cache import AT_ONCE

MANY = 5 * AT_ONCE


async def test_many_writes_at_once_hold_nobody_up(opened):
    async with opened() as registry:
        kind = registry.kind("", "v1", "configmaps")
        turns, told = 0, []

        def hear(namespace: str, name: str, obj: object, revision: int) -> None:
            told.append((turns, revision))

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
