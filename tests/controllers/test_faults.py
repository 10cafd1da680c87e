"""The controllers' process dies before and after each of its writes, or hears of changes late: the end is the same.

: faults that trusted stores are tested with; the method is Sieve's (Sun et al., OSDI 2022).
"""

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager
from typing import Any

import pytest
from story import ClaimingKubelet, Story, running
from tests.controllers.test_stories import deployment, set_image

from bireme.aio.clock import RealClock
from bireme.api.kinds import apps, core, meta
from bireme.client.client import Client
from bireme.controllers.controller import Controller
from bireme.controllers.deployment import DeploymentController
from bireme.controllers.garbage_collector import GarbageCollector
from bireme.controllers.pods import is_ready
from bireme.controllers.replicaset import ReplicaSetController
from bireme.controllers.service_account import ServiceAccountController
from support.cluster import Cluster, cluster

KINDS: tuple[type[Controller], ...] = (DeploymentController, ReplicaSetController, GarbageCollector)
WRITES = frozenset(("POST", "PUT", "PATCH", "DELETE"))
CLOCK = RealClock()


class Crash(BaseException):
    """The process is gone."""


class MortalClient(Client):
    """Dies at its `fatal`-th write: before it is sent, or after it was done but before the answer came."""

    def __init__(self, inner: Client, *, fatal: int, after: bool) -> None:
        self.__dict__.update(inner.__dict__)
        self._lane = None  # all goes the usual way
        self.writes = 0
        self.fatal, self.after = fatal, after

    async def request(self, method: str, path: str, **more: Any) -> Any:
        if method not in WRITES or path.endswith("/events") or "/events/" in path:
            return await super().request(method, path, **more)
        self.writes += 1
        number = self.writes
        if number == self.fatal and not self.after:
            raise Crash
        reply = await super().request(method, path, **more)
        if number == self.fatal:
            raise Crash
        return reply


class LateClient(Client):
    """Hears of each change only after a while, of some much later than of others."""

    def __init__(self, inner: Client, *, seed: int) -> None:
        self.__dict__.update(inner.__dict__)
        self._lane = None  # all goes the usual way
        self.dice = random.Random(seed)

    async def watch(self, kind: Any, **more: Any) -> AsyncIterator[Any]:
        async with aclosing(super().watch(kind, **more)) as changes:  # type: ignore[type-var]
            async for change in changes:
                for _ in range(self.dice.choice((0, 0, 5, 50, 400))):
                    await asyncio.sleep(0)
                yield change


class Tally:
    """Pods of the deployment as they are at every revision: how few were ready, how many there were, all in all."""

    def __init__(self) -> None:
        self.least, self.most, self.made = 99, 0, 0

    async def follow(self, client: Client) -> None:
        ready: dict[str, bool] = {}
        async for change in client.watch(core.Pod):
            name = change.object.metadata.name
            self.made += change.type == "ADDED"
            if change.object.metadata.labels.get("app") != "a":
                continue
            if change.type == "DELETED":
                del ready[name]
            else:
                ready[name] = is_ready(change.object)
            if self.least < 99 or sum(ready.values()) == 2:  # from when the first rollout was done
                self.least = min(self.least, sum(ready.values()))
                self.most = max(self.most, len(ready))


async def live_on(client: Client, plain: Client, *, kinds: Sequence[type[Controller]] = KINDS) -> None:
    """The controllers' process; after its death another takes its place."""
    try:
        async with running(client, kinds, clock=CLOCK):
            await asyncio.Event().wait()
    except BaseExceptionGroup as group:
        if group.split(Crash)[1] is not None:
            raise
    own = asyncio.current_task()
    if own is not None and own.cancelling():
        raise asyncio.CancelledError  # the story ended while the process died
    async with running(plain, kinds, clock=CLOCK):
        await asyncio.Event().wait()


@asynccontextmanager
async def stage() -> AsyncIterator[tuple[Cluster, asyncio.TaskGroup]]:
    async with cluster() as there, asyncio.TaskGroup() as tasks:
        kubelet = tasks.create_task(ClaimingKubelet(there.client, CLOCK).run())
        try:
            async with running(there.client, (ServiceAccountController,), clock=CLOCK):
                yield there, tasks
        finally:
            kubelet.cancel()


async def play(there: Story) -> tuple[Any, ...]:
    """A deployment's life, and what is left of it at the end."""
    await there.client.create(deployment(2))
    await there.rolled_out()
    await set_image(there, "two")
    await there.rolled_out()
    await there.client.patch(apps.Deployment, "d", {"spec": {"replicas": 3}}, namespace="default")
    await there.rolled_out()
    other = deployment(1)
    other.metadata = meta.ObjectMeta(name="short", namespace="default")
    other.spec.selector = meta.LabelSelector(match_labels={"app": "b"})
    other.spec.template.metadata.labels = {"app": "b"}
    await there.client.create(other)
    await there.rolled_out("short")
    await there.client.delete(apps.Deployment, "short", namespace="default", propagation="Foreground")

    async def gone() -> bool:
        names = [item.metadata.name for item in (await there.client.list(apps.Deployment)).items]
        return names == ["d"] and not [pod for pod in await there.pods() if pod.metadata.labels["app"] == "b"]

    await there.until(gone)
    last: list[Any] = []

    async def at_rest() -> Any:
        """The end state, once it has been the same for a while."""
        for _ in range(300):
            await asyncio.sleep(0)
        last.append(await remains(there))
        return last[-1] if len(last) > 3 and last[-4:] == [last[-1]] * 4 else None

    found: tuple[Any, ...] = await there.until(at_rest)
    return found


async def remains(there: Story) -> tuple[Any, ...]:
    found = await there.deployment()
    sets = await there.sets()
    names = {item.metadata.uid: item.metadata.name for item in sets}
    pods = Counter(
        (names.get(pod.metadata.owner_references[0].uid, "orphan"), bool(pod.metadata.deletion_timestamp))
        for pod in await there.pods()
    )
    conditions = sorted((item.type, item.status, item.reason) for item in found.status.conditions)
    status = found.status
    counts = (status.replicas, status.updated_replicas, status.available_replicas, status.collision_count)
    annotations = sorted(
        (item.metadata.name, item.spec.replicas, *sorted(item.metadata.annotations.items())) for item in sets
    )
    return conditions, counts, sorted(found.metadata.annotations.items()), annotations, sorted(pods.items())


async def played(*, fatal: int = 0, after: bool = False) -> tuple[tuple[Any, ...], int]:
    async with stage() as (there, tasks):
        client = MortalClient(there.client, fatal=fatal, after=after)
        tally = Tally()
        started = [tasks.create_task(live_on(client, there.client)), tasks.create_task(tally.follow(there.client))]
        try:
            found = await play(Story(there.client))
        finally:
            for task in started:
                task.cancel()
        assert tally.least >= 2, "fewer pods were ready than the rollout promised"
        assert tally.most <= 4, "there were more pods than the rollout allowed"
        return found, client.writes


SHARDS = 4


@pytest.mark.parametrize("shard", range(SHARDS))
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
async def test_death_at_any_write_changes_nothing_in_the_end(after: bool, shard: int) -> None:
    expected, writes = await played()
    assert writes > 20
    for fatal in range(1 + shard, writes + 1, SHARDS):
        found, _ = await played(fatal=fatal, after=after)
        assert found == expected, f"death {'after' if after else 'before'} write {fatal}"


@pytest.mark.parametrize("seed", range(8))
async def test_late_news_changes_nothing_in_the_end_and_makes_no_pod_in_vain(seed: int) -> None:
    expected, _ = await played()
    async with stage() as (there, tasks):
        tally = Tally()

        async def live() -> None:
            async with running(LateClient(there.client, seed=seed), KINDS, clock=CLOCK):
                await asyncio.Event().wait()

        started = [tasks.create_task(live()), tasks.create_task(tally.follow(there.client))]
        try:
            found = await play(Story(there.client))
        finally:
            for task in started:
                task.cancel()
        assert found == expected
        assert tally.made == 6  # two, two more of the new template, one by scaling, one of the short-lived
        assert tally.least >= 2
        assert tally.most <= 4
