"""The API server's door over a store in memory, on a virtual clock."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from random import Random
from typing import Any

import pytest

from bireme.aio.clock import VirtualClock
from bireme.api.scheme import builtin
from bireme.apiserver.app import ApiServer
from bireme.http.interface import Answer, Identity, Peer, Query, Request, Response, Stream
from bireme.registry.verbs import Registry
from bireme.registry.wiring import build_registry, fill_registry, run_registry
from bireme.store.memory import MemoryStore

tests = str(Path(__file__).parent.parent)  # lets the tests here import what stands in `tests/support`
if tests not in sys.path:
    sys.path.insert(0, tests)

ADMIN = Identity("admin", ("system:masters",))


@dataclass
class Reply:
    """An answer with its body read."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def tree(self) -> Any:
        return json.loads(self.body)


class Door:
    """Asks the server as somebody."""

    def __init__(self, server: ApiServer, registry: Registry, clock: VirtualClock) -> None:
        self.server = server
        self.registry = registry
        self.clock = clock

    async def raw(
        self, method: str, path: str, body: Any = None, *, user: Identity | None = ADMIN, **headers: str
    ) -> Answer:
        path, _, query = path.partition("?")
        data = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return await self.server.handle(
            Request(method, path, Query.parse(query), named, data, Peer(identity=user), path)
        )

    async def ask(
        self, method: str, path: str, body: Any = None, *, user: Identity | None = ADMIN, **headers: str
    ) -> Reply:
        answer = await self.raw(method, path, body, user=user, **headers)
        if isinstance(answer, Stream):
            return Reply(answer.status, dict(answer.headers), b"".join([chunk async for chunk in answer.chunks]))
        assert isinstance(answer, Response)
        return Reply(answer.status, dict(answer.headers), answer.body)

    async def make(self, path: str, body: Any) -> Any:
        """Create an object that must be accepted."""
        reply = await self.ask("POST", path, body)
        assert reply.status == 201, reply.tree
        return reply.tree

    async def watch(self, path: str) -> AsyncIterator[Any]:
        """The events of a watch."""
        answer = await self.raw("GET", path)
        assert isinstance(answer, Stream), answer
        async for chunk in answer.chunks:
            for line in chunk.splitlines():
                yield json.loads(line)


Opened = Callable[[], AbstractAsyncContextManager[Door]]


@asynccontextmanager
async def _door() -> AsyncIterator[Door]:
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
        door = Door(ApiServer(registry, random=Random(7)), registry, clock)
        await door.make("/api/v1/namespaces/default/serviceaccounts", {"metadata": {"name": "default"}})
        yield door
        running.cancel()


@pytest.fixture
def opened() -> Opened:
    return _door


@pytest.fixture(scope="session")
def opened_now() -> Opened:
    """As `opened`, for properties, which may not have a fixture made anew for each test."""
    return _door
