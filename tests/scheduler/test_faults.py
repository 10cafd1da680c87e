"""Schedulers that are killed in the middle, and two at once: no pod is bound twice, no node gets more than it has.

Reliability case F-C-4. Every binding is seen in the watch of pods; amounts are added up from what the API holds.
SCHEDULER_KILLS=50 makes 10,000 bindings of it.
"""

import asyncio
import os
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from random import Random

import pytest
from tests.scheduler.scheduling import Scheduling, account_of_pods, node, pod, scheduling_in
from tests.support.cluster import Cluster

from bireme.api.kinds import core
from bireme.client.informer import Informer, Key, key_of
from bireme.ledger.ledger import Ledger

PODS = 300
NODES = 10
ROOM = 20
"""Pods of one core that a node takes: all nodes together take fewer than there are."""


class Witness:
    """Where each pod was bound, as watchers saw it."""

    def __init__(self, pods: Informer[core.Pod]) -> None:
        self.nodes: dict[str, str] = {}
        self.twice: list[Key] = []
        pods.on_change(self._saw)
        self._pods = pods

    def _saw(self, old: core.Pod | None, new: core.Pod | None) -> None:
        if new is None or not new.spec.node_name:
            return
        if self.nodes.setdefault(new.metadata.uid, new.spec.node_name) != new.spec.node_name:
            self.twice.append(key_of(new))

    def on_nodes(self) -> Mapping[str, int]:
        """How many pods are on each node."""
        return Counter(each.spec.node_name for each in self._pods.items() if each.spec.node_name)


@asynccontextmanager
async def crowd(pods: int, nodes: int) -> AsyncIterator[tuple[Cluster, Witness]]:
    """A cluster with more pods than room, and nobody who places them."""
    async with account_of_pods() as c, asyncio.TaskGroup() as tasks:
        scheduling = Scheduling(c, None, Ledger())  # type: ignore[arg-type]
        await scheduling.register(*(node(f"n{number}", cpu=str(ROOM), pods="1000") for number in range(nodes)))
        await scheduling.create(*(pod(f"p{number}") for number in range(pods)))
        watched = Informer(c.client, core.Pod, clock=c.clock)
        witness = Witness(watched)
        watching = tasks.create_task(watched.run())
        await watched.wait_synced()
        yield c, witness
        watching.cancel()


async def until_full(witness: Witness, nodes: int) -> None:
    """Return once the nodes have all that they can have."""
    async with asyncio.timeout(60):
        while len(witness.nodes) < nodes * ROOM:
            await asyncio.sleep(0.02)
    await asyncio.sleep(0.1)  # for one binding too many, if there is one


@pytest.mark.parametrize("seed", range(int(os.environ.get("SCHEDULER_KILLS", "3"))))
async def test_schedulers_killed_while_they_bind(seed: int) -> None:
    random, ledger = Random(seed), Ledger()
    async with crowd(PODS, NODES) as (c, witness):
        for _ in range(8):
            before = len(witness.nodes)
            async with scheduling_in(c, ledger):
                wanted = min(before + random.randrange(1, 30), NODES * ROOM)
                async with asyncio.timeout(30):
                    while len(witness.nodes) < wanted:
                        await asyncio.sleep(0)
        async with scheduling_in(c, ledger):
            await until_full(witness, NODES)
        assert witness.twice == []
        assert set(witness.on_nodes().values()) == {ROOM}
        assert {ledger.free(f"n{number}")["cpu"] for number in range(NODES)} == {0}


@pytest.mark.parametrize("count", [2, 3])
async def test_several_schedulers_on_one_ledger(count: int) -> None:
    ledger = Ledger()
    async with crowd(PODS, NODES) as (c, witness), AsyncExitStack() as stack:
        for _ in range(count):
            await stack.enter_async_context(scheduling_in(c, ledger))
        await until_full(witness, NODES)
        assert witness.twice == []
        assert set(witness.on_nodes().values()) == {ROOM}


async def test_what_a_dead_scheduler_knew_is_looked_at_again() -> None:
    ledger = Ledger()
    async with crowd(0, 1) as (c, witness):
        async with scheduling_in(c, ledger) as s:
            await s.create(pod("p"))
            await s.placed("p")
        await c.client.delete(core.Pod, "p", namespace="default", grace_period_s=0)
        async with scheduling_in(c, ledger) as s:
            await s.create(pod("q"))
            await s.placed("q")
            assert ledger.free("n0")["cpu"] == (ROOM - 1) * 1000
        assert witness.twice == []
