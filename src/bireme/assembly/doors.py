"""Opening a process's doors: each handler on each address, now or as soon as the address is there."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

import structlog

from bireme.aio.clock import Clock
from bireme.http.interface import Handler, Response
from bireme.http.server import plain_refusal, serve

log = structlog.get_logger(__name__)

RETRY_S = 0.2


@dataclass(frozen=True, slots=True)
class Opening:
    """One door: its handler, its port, how refusals are worded, TLS if any."""

    name: str
    handler: Handler
    port: int
    refuse: Callable[[int, str], Response] = plain_refusal
    tls: ssl.SSLContext | None = None


@asynccontextmanager
async def open_doors(
    openings: Sequence[Opening], hosts: Sequence[str], tasks: asyncio.TaskGroup, *, clock: Clock
) -> AsyncIterator[None]:
    """Keep the doors open on every host until the block is left.

    The first host must be there: OSError otherwise. The others (the bridge, which the node makes) may come later.
    """
    async with AsyncExitStack() as stack:
        for opening in openings:
            await _open(opening, hosts[0], stack)
        later = [
            tasks.create_task(_open_later(opening, host, stack, clock=clock), name=f"door {opening.name} on {host}")
            for host in hosts[1:]
            for opening in openings
        ]
        try:
            yield
        finally:
            for task in later:
                task.cancel()


async def _open(opening: Opening, host: str, stack: AsyncExitStack) -> None:
    server = await serve(
        opening.handler, host=host, port=opening.port, tls=opening.tls, refuse=opening.refuse, name=opening.name
    )
    stack.push_async_callback(server.close, grace_s=1.0)


async def _open_later(opening: Opening, host: str, stack: AsyncExitStack, *, clock: Clock) -> None:
    while True:
        try:
            await _open(opening, host, stack)
        except OSError:
            await clock.sleep(RETRY_S)
        else:
            log.debug("door opened", door=opening.name, host=host)
            return
