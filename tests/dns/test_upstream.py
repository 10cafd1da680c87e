"""Other servers' names: who is asked, for how long, and who is left alone."""

import asyncio
from pathlib import Path

import dns.message
import dns.rcode
import dns.rrset
import pytest

from bireme.aio.clock import VirtualClock
from bireme.dns.answers import failure, joined, question
from bireme.dns.upstream import REST_S, SILENCES, Upstream, ask_tcp, ask_udp, upstream_servers

WIRE = dns.message.make_query("example.org", "A", id=77).to_wire()


class Echo(asyncio.DatagramProtocol):
    """A server that answers every question with itself."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self.transport.sendto(data + b"!", addr)  # type: ignore[attr-defined]


async def test_a_question_really_goes_out_over_udp() -> None:
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(Echo, local_addr=("127.0.0.1", 0))
    port = transport.get_extra_info("sockname")[1]
    async with asyncio.timeout(60):
        assert await ask_udp("127.0.0.1", WIRE, port=port) == WIRE + b"!"
    transport.close()


async def test_a_question_really_goes_out_over_tcp() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readexactly(2)
        writer.write(head + await reader.readexactly(int.from_bytes(head)))
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server, asyncio.timeout(60):
        assert await ask_tcp("127.0.0.1", WIRE, port=server.sockets[0].getsockname()[1]) == WIRE


async def test_the_next_server_is_asked_when_one_refuses() -> None:
    async def ask(server: str, wire: bytes) -> bytes:
        if server == "dead":
            raise OSError("refused")
        return b"answer"

    assert await Upstream(["dead", "well"], clock=VirtualClock(), udp=ask).ask(WIRE, tcp=False) == b"answer"


async def test_a_server_that_stays_silent_is_left_alone_for_a_while() -> None:
    clock, asked = VirtualClock(), 0

    async def ask(server: str, wire: bytes) -> bytes:
        nonlocal asked
        asked += 1
        raise TimeoutError

    upstream = Upstream(["dead"], clock=clock, udp=ask)
    for _ in range(SILENCES + 5):
        assert await upstream.ask(WIRE, tcp=False) is None
    assert asked == SILENCES
    await clock.advance(REST_S)
    await upstream.ask(WIRE, tcp=False)
    assert asked == SILENCES + 1


def test_a_failure_repeats_its_question() -> None:
    answer = dns.message.from_wire(failure(WIRE, 2))
    assert answer.rcode() == dns.rcode.SERVFAIL
    assert dns.message.from_wire(WIRE).is_response(answer)


@pytest.mark.parametrize("wire", [WIRE[:14], WIRE[:12] + b"\xff" * 9, WIRE[:12]])
def test_a_failure_leaves_out_a_broken_question(wire: bytes) -> None:
    assert dns.message.from_wire(failure(wire, 2)).question == []


def test_an_alias_is_joined_with_what_its_target_has() -> None:
    ask = dns.message.make_query("out.default.svc.cluster.local", "A", id=5)
    ours = dns.message.make_response(ask)
    ours.answer.append(dns.rrset.from_text("out.default.svc.cluster.local.", 5, "IN", "CNAME", "example.org."))
    asked = dns.message.from_wire(question(ask.to_wire(), "example.org"))
    assert (asked.id, str(asked.question[0].name)) == (5, "example.org.")
    theirs = dns.message.make_response(asked)
    theirs.answer.append(dns.rrset.from_text("example.org.", 60, "IN", "A", "192.0.2.80"))
    answer = dns.message.from_wire(joined(ask.to_wire(), ours.to_wire(), theirs.to_wire(), tcp=False))
    assert [each.to_text() for rrset in answer.answer for each in rrset] == ["example.org.", "192.0.2.80"]
    failed = dns.message.from_wire(joined(ask.to_wire(), ours.to_wire(), b"junk", tcp=False))
    assert failed.rcode() == dns.rcode.SERVFAIL


def test_the_machines_servers_without_ourselves(tmp_path: Path) -> None:
    file = tmp_path / "resolv.conf"
    file.write_text("nameserver 10.96.0.10\nnameserver 192.0.2.53 # x\nnameserver ::1\nsearch a\n")
    assert upstream_servers(file, ours="10.96.0.10") == ["192.0.2.53"]
    assert upstream_servers(tmp_path / "none", ours="") == []
