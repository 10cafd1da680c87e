"""A control plane in the test's own process: the real API over a store in memory, real controllers if asked."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from bireme.aio.clock import Clock, RealClock
from bireme.assembly.api import Api, serve_api
from bireme.client.client import Client
from bireme.controllers.all import controllers, run
from bireme.controllers.controller import Context
from bireme.controllers.informers import Informers
from bireme.controllers.settings import FAST
from bireme.store.memory import MemoryStore


@dataclass(frozen=True, slots=True)
class Cluster:
    """The cluster: `client` speaks as the admin."""

    api: Api
    client: Client
    clock: Clock


@asynccontextmanager
async def cluster(*, clock: Clock | None = None, with_controllers: bool = False) -> AsyncIterator[Cluster]:
    """A fresh cluster until the block is left. With a VirtualClock nothing happens by itself."""
    clock = clock or RealClock()
    store = MemoryStore(clock=clock)
    async with serve_api(store, clock=clock) as api, asyncio.TaskGroup() as tasks:
        running: list[asyncio.Task[None]] = []
        if with_controllers:
            client = api.client("system:kube-controller-manager")
            context = Context(client, Informers(client, clock=clock), clock, FAST)
            running.append(tasks.create_task(run(context, controllers(context))))
        try:
            yield Cluster(api, api.admin(), clock)
        finally:
            for task in running:
                task.cancel()
    await store.close()
