"""Names that are not ours: asked of the machine's own name servers, within a bound.

A server that stays silent again and again is left alone for a while, so that a dead one costs its askers nothing:
they are told SERVFAIL at once. Source: RFC 1035, section 7.2; RFC 5452 for ports and ids.
"""

import asyncio
import socket
import struct
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from bireme.aio.clock import Clock

PORT = 53
UPSTREAM_S = 2.0
SILENCES = 3
REST_S = 5.0

Ask = Callable[[str, bytes], Awaitable[bytes]]


@dataclass(slots=True)
class _Standing:
    """How a server did of late: questions in a row that it left unanswered, and until when it is left alone."""

    silences: int = 0
    rests_until: float = 0.0


class Upstream:
    """Asks `servers` in turn. `udp` and `tcp` carry one question to one server."""

    def __init__(
        self, servers: Sequence[str], *, clock: Clock, udp: Ask | None = None, tcp: Ask | None = None
    ) -> None:
        self._servers = {server: _Standing() for server in servers}
        self._clock = clock
        self._udp, self._tcp = udp or ask_udp, tcp or ask_tcp

    async def ask(self, wire: bytes, *, tcp: bool) -> bytes | None:
        """The first answer; None when nobody answers in time."""
        now = self._clock.monotonic()
        awake = [(server, standing) for server, standing in self._servers.items() if now >= standing.rests_until]
        for server, standing in awake:
            try:
                async with asyncio.timeout(UPSTREAM_S / len(awake)):
                    reply = await (self._tcp if tcp else self._udp)(server, wire)
            except (OSError, TimeoutError, asyncio.IncompleteReadError):
                standing.silences += 1
                if standing.silences >= SILENCES:
                    standing.rests_until = self._clock.monotonic() + REST_S
                continue
            standing.silences = 0
            return reply
        return None


class Reply(asyncio.DatagramProtocol):
    """Sends the question and waits for the answer that carries its id."""

    def __init__(self, wire: bytes, answer: asyncio.Future[bytes]) -> None:
        self._wire, self._answer = wire, answer

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        cast("asyncio.DatagramTransport", transport).sendto(self._wire)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        if data[:2] == self._wire[:2] and not self._answer.done():
            self._answer.set_result(data)

    def error_received(self, exc: Exception) -> None:
        if not self._answer.done():
            self._answer.set_exception(exc)


async def ask_udp(server: str, wire: bytes, *, port: int = PORT) -> bytes:
    """From a fresh, random port, so that answers cannot be guessed."""
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[bytes] = loop.create_future()
    transport, _ = await loop.create_datagram_endpoint(
        lambda: Reply(wire, answer), remote_addr=(server, port), family=socket.AF_INET
    )
    try:
        return await answer
    finally:
        transport.close()


async def ask_tcp(server: str, wire: bytes, *, port: int = PORT) -> bytes:
    """Over a connection of its own."""
    reader, writer = await asyncio.open_connection(server, port)
    try:
        writer.write(struct.pack("!H", len(wire)) + wire)
        (length,) = struct.unpack("!H", await reader.readexactly(2))
        return await reader.readexactly(length)
    finally:
        writer.close()


def upstream_servers(path: Path, *, ours: str) -> list[str]:
    """The machine's own name servers, without ourselves: a loop would answer nobody."""
    try:
        lines = path.read_text().splitlines()
    except OSError:
        return []
    named = [words[1] for line in lines if (words := line.split())[:1] == ["nameserver"] and len(words) > 1]
    return [address for address in named if address != ours and ":" not in address]
