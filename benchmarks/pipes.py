"""Bare connections for load that goes on by the clock: as little work a request as can be, many at once.

Beside `door.py`, whose connections block, these are for one event loop. A request that finds every connection
busy waits for one; how long an answer took counts from when the request was due.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Self
from urllib.parse import urlsplit

from bireme.client.kubeconfig import Access

HEAD_END = b"\r\n\r\n"
CHUNK = 1 << 20


@dataclass(frozen=True, slots=True)
class Said:
    """Status and body of an answer."""

    status: int
    body: bytes


class Pipe:
    """One connection that is kept, and made anew when it breaks."""

    def __init__(self, where: Access) -> None:
        self._where = where
        self._reader: asyncio.StreamReader
        self._writer: asyncio.StreamWriter

    async def open(self) -> Self:
        """Connect."""
        place = urlsplit(self._where.server)
        self._reader, self._writer = await asyncio.open_connection(
            place.hostname, place.port, ssl=self._where.tls, limit=CHUNK
        )
        return self

    async def ask_or_mend(self, request: bytes) -> Said:
        """As `ask`; status 0 where the connection broke."""
        try:
            return await self.ask(request)
        except (OSError, asyncio.IncompleteReadError):
            self.close()
            await self.open()
            return Said(0, b"")

    async def ask(self, request: bytes) -> Said:
        """The whole answer."""
        self._writer.write(request)
        status, length = await self._head()
        if length is not None:
            return Said(status, await self._reader.readexactly(length) if length else b"")
        return Said(status, b"".join([chunk async for chunk in self._chunks()]))

    async def lines(self, request: bytes) -> AsyncIterator[bytes]:
        """The lines of an answer that goes on."""
        self._writer.write(request)
        await self._head()
        rest = b""
        async for chunk in self._chunks():
            *whole, rest = (rest + chunk).split(b"\n")
            for line in whole:
                yield line

    async def _head(self) -> tuple[int, int | None]:
        head = (await self._reader.readuntil(HEAD_END)).lower()
        at = head.find(b"content-length:")
        return int(head[9:12]), int(head[at + 15 : head.index(b"\r\n", at)]) if at >= 0 else None

    async def _chunks(self) -> AsyncIterator[bytes]:
        while size := int(await self._reader.readline(), 16):
            yield await self._reader.readexactly(size)
            await self._reader.readexactly(2)
        await self._reader.readexactly(2)

    def close(self) -> None:
        self._writer.close()


class Pipes:
    """Connections that take turns."""

    def __init__(self, pipes: list[Pipe]) -> None:
        self._free: asyncio.LifoQueue[Pipe] = asyncio.LifoQueue()
        for pipe in pipes:
            self._free.put_nowait(pipe)

    async def ask(self, request: bytes) -> Said:
        """The answer, by whichever connection is free first."""
        pipe = await self._free.get()
        said = await pipe.ask_or_mend(request)
        self._free.put_nowait(pipe)
        return said


@asynccontextmanager
async def pipes(where: Access, count: int) -> AsyncIterator[Pipes]:
    """So many connections until the block is left."""
    made = [await Pipe(where).open() for _ in range(count)]
    try:
        yield Pipes(made)
    finally:
        for pipe in made:
            pipe.close()


@dataclass(slots=True)
class Pace:
    """Work by the clock: `rate` a second, each a task of its own; how long each took from when it was due."""

    rate: float
    most: int = 4_000
    took_s: list[float] = field(default_factory=list)
    begun: int = 0

    @property
    def missing(self) -> int:
        """How many failed, or were not done in the end."""
        return self.begun - len(self.took_s)

    async def run(self, work: Callable[[int], Awaitable[bool]], seconds: float) -> None:
        """Begin `work` with 0, 1, 2, … as each is due, and wait for the last."""
        loop = asyncio.get_running_loop()
        room = asyncio.Semaphore(self.most)
        began = loop.time()

        async def one(number: int, due: float) -> None:
            try:
                if await work(number):
                    self.took_s.append(loop.time() - due)
            finally:
                room.release()

        async with asyncio.TaskGroup() as tasks:
            for number in range(round(seconds * self.rate)):
                due = began + number / self.rate
                if (wait := due - loop.time()) > 0:
                    await asyncio.sleep(wait)
                await room.acquire()
                self.begun += 1
                tasks.create_task(one(number, due), name="paced")
