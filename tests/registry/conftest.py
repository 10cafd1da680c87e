"""A registry over a store in memory, on a virtual clock, with the objects that every cluster has."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from itertools import count
from random import Random

import pytest

from bireme.aio.clock import VirtualClock
from bireme.api.scheme import builtin
from bireme.registry.options import Call
from bireme.registry.verbs import Registry
from bireme.registry.wiring import build_registry, fill_registry, run_registry
from bireme.store.memory import MemoryStore

Opened = Callable[[], AbstractAsyncContextManager[Registry]]


@asynccontextmanager
async def _registry() -> AsyncIterator[Registry]:
    clock = VirtualClock()
    numbers = count(1)
    registry = build_registry(
        MemoryStore(clock=clock),
        builtin(),
        clock,
        uid=lambda: f"00000000-0000-0000-0000-{next(numbers):012}",
        random=Random(7),
    )
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(run_registry(registry))
        await fill_registry(registry, advertise_address="192.0.2.1", port=6443)
        account = {"metadata": {"name": "default"}}
        await registry.create(registry.kind("", "v1", "serviceaccounts"), "default", account, Call())
        yield registry
        running.cancel()


@pytest.fixture
def opened() -> Opened:
    return _registry


@pytest.fixture(scope="session")
def opened_now() -> Opened:
    """As `opened`, for properties, which may not have a fixture made anew for each test."""
    return _registry
