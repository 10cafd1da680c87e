"""A control plane with chosen controllers and a kubelet that only claims to run pods, for stories."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

from bireme.aio.clock import Clock, RealClock
from bireme.aio.workqueue import WorkQueue
from bireme.api.errors import ApiError
from bireme.api.kinds import apps, core
from bireme.api.times import rfc3339
from bireme.client.client import Client
from bireme.client.informer import Informer, Key, key_of
from bireme.controllers import all as every
from bireme.controllers.controller import Context, Controller
from bireme.controllers.informers import Informers
from bireme.controllers.settings import FAST, Settings
from support.cluster import cluster

GIVE_UP_S = 60


class ClaimingKubelet:
    """Says of each pod that it runs and is ready, unless its image is `broken`."""

    def __init__(self, client: Client, clock: Clock) -> None:
        self._client = client
        self._queue: WorkQueue[Key] = WorkQueue(clock)
        self._clock = clock
        self._pods = Informer(client, core.Pod, clock=clock)
        self._pods.on_change(lambda old, new: self._queue.add(key_of(new)) if new is not None else None)

    async def run(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._pods.run())
            tasks.create_task(self._queue.run())
            for _ in range(8):
                tasks.create_task(self._work())

    async def _work(self) -> None:
        while True:
            key = await self._queue.take()
            try:
                await self._claim(key)
            except ApiError:
                self._queue.retry(key)
            finally:
                self._queue.done(key)

    async def _claim(self, key: Key) -> None:
        pod = self._pods.get(key)
        if pod is None or pod.status.phase != "Pending" or pod.metadata.deletion_timestamp:
            return
        ready = all(container.image != "broken" for container in pod.spec.containers)
        stamp = rfc3339(self._clock.now())
        status = {
            "phase": "Running",
            "podIP": f"10.244.0.{1 + hash(pod.metadata.uid) % 250}",
            "conditions": [{"type": "Ready", "status": str(ready), "lastTransitionTime": stamp}],
        }
        patch = {"metadata": {"uid": pod.metadata.uid}, "status": status}
        await self._client.patch(core.Pod, key.name, patch, namespace=key.namespace, subresource="status")


class Story:
    """The cluster as a story sees it."""

    def __init__(self, client: Client) -> None:
        self.client = client

    async def until(self, claim: Callable[[], Awaitable[Any]]) -> Any:
        """What `claim` gives once it gives something true; fails after ten seconds."""
        async with asyncio.timeout(GIVE_UP_S):
            while True:
                found = await claim()
                if found:
                    return found
                for _ in range(20):
                    await asyncio.sleep(0)

    async def pods(self, namespace: str = "default") -> list[core.Pod]:
        return (await self.client.list(core.Pod, namespace=namespace)).items

    async def sets(self, namespace: str = "default") -> list[apps.ReplicaSet]:
        return (await self.client.list(apps.ReplicaSet, namespace=namespace)).items

    async def deployment(self, name: str = "d") -> apps.Deployment:
        return await self.client.get(apps.Deployment, name, namespace="default")

    async def rolled_out(self, name: str = "d") -> apps.Deployment:
        """The deployment, once `kubectl rollout status` would say that it is rolled out."""

        async def claim() -> apps.Deployment | None:
            there = await self.deployment(name)
            status = there.status
            wanted = there.spec.replicas or 0
            counts = {status.replicas or 0, status.updated_replicas or 0, status.available_replicas or 0}
            done = status.observed_generation == there.metadata.generation and counts == {wanted}
            return there if done else None

        found: apps.Deployment = await self.until(claim)
        return found


@asynccontextmanager
async def running(
    client: Client, kinds: Sequence[type[Controller]], *, clock: Clock, settings: Settings = FAST
) -> AsyncIterator[list[Controller]]:
    """Controllers with caches of their own, until the block is left: a process that lives and dies."""
    context = Context(client, Informers(client, clock=clock), clock, settings)
    made = [kind(context) for kind in kinds]
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(every.run(context, made))
        try:
            yield made
        finally:
            task.cancel()


@asynccontextmanager
async def story(
    *kinds: type[Controller], clock: Clock | None = None, settings: Settings = FAST
) -> AsyncIterator[Story]:
    """A cluster with those controllers (all, if none are named) and the claiming kubelet."""
    async with cluster() as there, asyncio.TaskGroup() as tasks:
        kubelet = tasks.create_task(ClaimingKubelet(there.client, RealClock()).run())
        try:
            async with running(there.client, kinds or every.KINDS, clock=clock or RealClock(), settings=settings):
                yield Story(there.client)
        finally:
            kubelet.cancel()
