"""The DNS server of a node: UDP and TCP on one address, from memory; what is not ours goes upstream.

It answers from the last records it knew while the API is away. Bounded everywhere: questions under way,
connections, time. Source: RFC 1035; the Kubernetes documentation.
"""

import asyncio
import random
import struct
from collections.abc import Sequence
from dataclasses import dataclass

import structlog

from bireme.aio.clock import Clock
from bireme.api.kinds import core, discovery
from bireme.api.kinds.meta import Object
from bireme.client.informer import Informer
from bireme.dns.answers import Answer, Answers, Malformed, failure, joined, question
from bireme.dns.records import TASK_ID, Records, build
from bireme.dns.upstream import PORT, Upstream

log = structlog.get_logger(__name__)

GATHER_S = 0.05
IDLE_S = 10.0
FORWARDS = 200
CONNECTIONS = 200


@dataclass(frozen=True, slots=True)
class DnsStatistics:
    """Questions answered from memory, sent upstream, and refused or malformed; names known."""

    answered: int
    forwarded: int
    failed: int
    names: int


class DnsServer:
    """Listens on `address`:53. `upstream` are the servers for every other name, tried in order."""

    def __init__(
        self,
        *,
        address: str,
        domain: str,
        upstream: Sequence[str],
        services: Informer[core.Service],
        slices: Informer[discovery.EndpointSlice],
        tasks: Informer[core.Pod],
        clock: Clock,
        chance: random.Random,
        master: str = "",
        port: int = PORT,
    ) -> None:
        self._address, self._port, self._domain = address, port, domain
        self._upstream = Upstream(upstream, clock=clock)
        self._services, self._slices, self._tasks = services, slices, tasks
        self._clock, self._chance, self._master = clock, chance, master
        self._records = Records(zones=(domain,))
        self._answers = Answers(self._records, chance=chance)
        self._dirty = asyncio.Event()
        self._room = asyncio.Semaphore(FORWARDS)
        self._connections = 0
        self._answered = self._forwarded = self._failed = 0
        self._requests: asyncio.TaskGroup | None = None
        self._datagrams: asyncio.DatagramTransport | None = None
        for informer in (services, slices, tasks):
            informer.on_change(self._changed)

    async def run(self) -> None:
        """Serve until cancelled. Raises OSError if the address cannot be listened on."""
        for informer in (self._services, self._slices, self._tasks):
            await informer.wait_synced()
        self._rebuild()
        loop = asyncio.get_running_loop()
        async with asyncio.TaskGroup() as self._requests:
            self._datagrams, _ = await loop.create_datagram_endpoint(
                lambda: _Datagrams(self), local_addr=(self._address, self._port)
            )
            server = await asyncio.start_server(self._serve_tcp, self._address, self._port)
            try:
                async with server:
                    await self._follow()
            finally:
                self._datagrams.close()

    def statistics(self) -> DnsStatistics:
        return DnsStatistics(self._answered, self._forwarded, self._failed, len(self._records.names))

    def received(self, wire: bytes, sender: tuple[str, int]) -> None:
        """A datagram came: answer it now if it is ours."""
        try:
            answer = self._answers.answer(wire, tcp=False)
        except Malformed:
            self._failed += 1
            return
        assert self._datagrams is not None
        assert self._requests is not None
        if not answer.needs_others:
            self._answered += 1
            self._datagrams.sendto(answer.wire, sender)
        elif self._room.locked():
            self._failed += 1
            self._datagrams.sendto(failure(wire, 2), sender)
        else:
            self._requests.create_task(self._relay(wire, answer, sender))

    async def _relay(self, wire: bytes, answer: Answer, sender: tuple[str, int]) -> None:
        reply = await self._completed(wire, answer, tcp=False)
        if self._datagrams is not None and not self._datagrams.is_closing():
            self._datagrams.sendto(reply, sender)

    async def _completed(self, wire: bytes, answer: Answer, *, tcp: bool) -> bytes:
        """The whole answer, of which our part is `answer`: all of it from upstream, or where an alias leads to."""
        if not answer.needs_others:
            self._answered += 1
            return answer.wire
        asked = wire if answer.forward else question(wire, answer.alias)
        async with self._room:
            reply = await self._upstream.ask(asked, tcp=tcp)
        if reply is None:
            self._failed += 1
            return failure(wire, 2)
        self._forwarded += 1
        return reply if answer.forward else joined(wire, answer.wire, reply, tcp=tcp)

    async def _serve_tcp(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._connections >= CONNECTIONS:
            writer.close()
            return
        self._connections += 1
        try:
            while True:
                async with asyncio.timeout(IDLE_S):
                    (length,) = struct.unpack("!H", await reader.readexactly(2))
                    wire = await reader.readexactly(length)
                answer = self._answers.answer(wire, tcp=True)
                reply = await self._completed(wire, answer, tcp=True)
                writer.write(struct.pack("!H", len(reply)) + reply)
                await writer.drain()
        except (OSError, TimeoutError, asyncio.IncompleteReadError, Malformed):
            self._failed += 1
        finally:
            self._connections -= 1
            writer.close()

    async def _follow(self) -> None:
        while True:
            await self._dirty.wait()
            await self._clock.sleep(GATHER_S)
            self._dirty.clear()
            self._rebuild()

    def _rebuild(self) -> None:
        self._records = build(
            services=self._services.items(),
            slices=self._slices.items(),
            tasks=(pod for pod in self._tasks.items() if TASK_ID in pod.metadata.annotations),
            domain=self._domain,
            master=self._master,
        )
        self._answers.replace(self._records)

    def _changed(self, old: Object | None, new: Object | None) -> None:
        self._dirty.set()


class _Datagrams(asyncio.DatagramProtocol):
    def __init__(self, server: DnsServer) -> None:
        self._server = server

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self._server.received(data, addr)
