"""The door over real loopback sockets: what goes over the wire, byte by byte."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from bireme.http.interface import Answer, Connection, Handler, Request, Response, Stream, Takeover
from bireme.http.limits import Limits
from bireme.http.server import Server, serve

Wire = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@asynccontextmanager
async def door(
    handler: Handler, limits: Limits | None = None, *, streams_body: Callable[[Request], bool] | None = None
) -> AsyncIterator[Server]:
    server = await serve(handler, host="127.0.0.1", limits=limits, streams_body=streams_body)
    try:
        yield server
    finally:
        await server.close(grace_s=0.2)


async def talk(server: Server, sent: bytes) -> bytes:
    """Send everything, read to the end."""
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(sent)
    received = await asyncio.wait_for(reader.read(), 20)
    writer.close()
    await writer.wait_closed()
    return received


def answering(response: Answer) -> Callable[[Request], Awaitable[Answer]]:
    async def handle(_: Request) -> Answer:
        return response

    return handle


async def echo(request: Request) -> Answer:
    lines = [request.method, request.path, repr(request.query.pairs), request.headers.get("x-many", "")]
    return Response(body="|".join(lines).encode() + b"|" + request.body, content_type="text/plain")


def body_of(received: bytes) -> bytes:
    return received.partition(b"\r\n\r\n")[2]


async def test_a_request_reaches_the_handler_whole() -> None:
    async with door(echo) as server:
        received = await talk(
            server,
            b"POST /a%20b/c?x=1&y&x=2 HTTP/1.1\r\nHost: h\r\nX-Many: 1\r\nX-Many: 2\r\n"
            b"Content-Length: 4\r\nConnection: close\r\n\r\nbody",
        )
    assert received.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"content-type: text/plain\r\n" in received
    assert body_of(received) == b"POST|/a b/c|(('x', '1'), ('y', ''), ('x', '2'))|1, 2|body"


async def test_requests_are_answered_in_order_on_one_connection() -> None:
    async with door(echo) as server:
        received = await talk(
            server,
            b"GET /1 HTTP/1.1\r\nHost: h\r\n\r\nGET /2 HTTP/1.1\r\nHost: h\r\n\r\n"
            b"GET /3 HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n",
        )
    assert [part[:7] for part in received.split(b"GET|")[1:]] == [b"/1|()||", b"/2|()||", b"/3|()||"]


async def test_a_chunked_body_is_collected() -> None:
    async with door(echo) as server:
        received = await talk(
            server,
            b"PUT /x HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
            b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n",
        )
    assert body_of(received).endswith(b"|abcde")


async def test_a_stream_is_chunked_even_when_the_connection_closes() -> None:
    async def parts() -> AsyncIterator[bytes]:
        yield b"one"
        yield b"two"

    async with door(answering(Stream(parts(), content_type="text/plain"))) as server:
        received = await talk(server, b"GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
    assert b"transfer-encoding: chunked\r\n" in received
    assert body_of(received) == b"3\r\none\r\n3\r\ntwo\r\n0\r\n\r\n"


async def test_http_1_0_gets_a_stream_unchunked() -> None:
    async def parts() -> AsyncIterator[bytes]:
        yield b"one"

    async with door(answering(Stream(parts()))) as server:
        received = await talk(server, b"GET / HTTP/1.0\r\n\r\n")
    assert b"chunked" not in received
    assert body_of(received) == b"one"


async def test_a_head_request_has_no_body() -> None:
    async with door(answering(Response(body=b"12345"))) as server:
        received = await talk(server, b"HEAD / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
    assert b"content-length: 5\r\n" in received
    assert body_of(received) == b""


async def test_a_big_answer_arrives_whole() -> None:
    body = bytes(range(256)) * 20_000
    async with door(answering(Response(body=body))) as server:
        received = await talk(server, b"GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
    assert body_of(received) == body


@pytest.mark.parametrize(
    "head",
    [
        pytest.param(b"Content-Length: 11\r\n\r\n", id="announced"),
        pytest.param(b"Content-Length: 11\r\nExpect: 100-continue\r\n\r\n", id="announced, waiting to be told"),
        pytest.param(b"Transfer-Encoding: chunked\r\n\r\n6\r\nabcdef\r\n6\r\nabcdef\r\n", id="chunk by chunk"),
    ],
)
async def test_a_body_over_the_limit_is_refused_before_it_is_read(head: bytes) -> None:
    async with door(echo, Limits(body=10)) as server:
        received = await talk(server, b"POST / HTTP/1.1\r\nHost: h\r\n" + head)
    assert received.startswith(b"HTTP/1.1 413 ")
    assert b"connection: close\r\n" in received
    assert b"100 Continue" not in received


async def test_a_body_at_the_limit_passes() -> None:
    async with door(echo, Limits(body=10)) as server:
        received = await talk(
            server, b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\nConnection: close\r\n\r\n0123456789"
        )
    assert body_of(received).endswith(b"|0123456789")


async def test_a_client_that_asks_is_told_to_continue() -> None:
    async with door(echo) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n")
        assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        writer.write(b"ok")
        assert (await reader.readuntil(b"|ok")).startswith(b"HTTP/1.1 200 OK\r\n")
        writer.close()
        await writer.wait_closed()


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        pytest.param(b"nonsense\r\n\r\n", b"400", id="not HTTP"),
        pytest.param(b"GET / HTTP/1.1\r\nHost: h\r\n" + b"A: b\r\n" * 200 + b"\r\n", b"431", id="many headers"),
        pytest.param(b"GET / HTTP/1.1\r\nA: " + b"x" * 5000 + b"\r\n\r\n", b"431", id="long header"),
        pytest.param(b"GET /" + b"x" * 5000 + b" HTTP/1.1\r\n\r\n", b"431", id="long request line"),
        pytest.param(b"GET /\xff HTTP/1.1\r\nHost: h\r\n\r\n", b"400", id="target that is not UTF-8"),
        pytest.param(b"CONNECT h:1 HTTP/1.1\r\nHost: h\r\n\r\n", b"400", id="a proxy's request"),
        pytest.param(
            b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            b"400",
            id="two lengths",
        ),
        pytest.param(
            b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", b"400", id="a bad chunk"
        ),
    ],
)
async def test_malformed_requests_are_refused(sent: bytes, status: bytes) -> None:
    async with door(echo, Limits(header_line=2000, request_line=2000)) as server:
        received = await talk(server, sent)
        assert received.split(b" ")[1] == status
        assert server.statistics().refused == 1


async def test_a_slow_head_is_given_up() -> None:
    async with door(echo, Limits(header_s=0.05)) as server:
        assert (await talk(server, b"GET / HTTP/1.1\r\nHos")).startswith(b"HTTP/1.1 408 ")
        assert await talk(server, b"") == b""


async def test_a_slow_body_is_given_up() -> None:
    async with door(echo, Limits(body_s=0.05)) as server:
        received = await talk(server, b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\nabc")
    assert received.startswith(b"HTTP/1.1 408 ")


async def test_an_idle_connection_is_closed() -> None:
    async with door(echo, Limits(idle_s=0.05)) as server:
        assert (await talk(server, b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")).startswith(b"HTTP/1.1 200 ")


async def test_an_unexpected_error_is_a_plain_500() -> None:
    async def broken(_: Request) -> Answer:
        raise RuntimeError("secret")

    async with door(broken) as server:
        received = await talk(server, b"GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
    assert received.startswith(b"HTTP/1.1 500 ")
    assert b"secret" not in received


async def test_a_header_cannot_break_out_of_its_line() -> None:
    async with door(answering(Response(headers={"x": "a\r\nset-cookie: b"}))) as server:
        received = await talk(server, b"GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
    assert b"set-cookie" not in received


async def test_the_generator_is_closed_when_the_client_leaves() -> None:
    closed = asyncio.Event()

    async def endless() -> AsyncIterator[bytes]:
        try:
            yield b"first"
            await asyncio.Event().wait()
        finally:
            closed.set()

    async with door(answering(Stream(endless()))) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
        await reader.readuntil(b"first\r\n")
        writer.close()
        await asyncio.wait_for(closed.wait(), 5)
        await writer.wait_closed()


async def test_a_reader_that_never_reads_is_cut_off() -> None:
    closed = asyncio.Event()
    yielded = 0

    async def flood() -> AsyncIterator[bytes]:
        nonlocal yielded
        try:
            while True:
                yielded += 1
                yield b"x" * 65536
        finally:
            closed.set()

    async with door(answering(Stream(flood())), Limits(write_s=0.1)) as server:
        _, writer = await asyncio.open_connection("127.0.0.1", server.port, limit=1024)
        writer.write(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
        await asyncio.wait_for(closed.wait(), 20)
        assert yielded * 65536 < 32 * 1024 * 1024
        assert server.statistics().slow_readers == 1
        writer.transport.abort()


class Attached:
    """A stream whose chunks are sent out of turn while its next one is waited for."""

    def __init__(self) -> None:
        self.send: Callable[[bytes], bool] = lambda _: False
        self.waits = asyncio.Event()
        self.go_on = asyncio.Event()

    def attach(self, send: Callable[[bytes], bool]) -> None:
        self.send = send

    async def parts(self) -> AsyncIterator[bytes]:
        yield b"first"
        self.waits.set()
        await self.go_on.wait()
        yield b"last"

    def stream(self) -> Stream:
        return Stream(self.parts(), attach=self.attach)


async def test_a_chunk_may_be_sent_while_the_next_is_waited_for() -> None:
    one = Attached()
    async with door(answering(one.stream())) as server, asyncio.TaskGroup() as tasks:
        head = b"GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"
        talking = tasks.create_task(talk(server, head))
        await one.waits.wait()
        assert one.send(b"between")
        assert not one.send(b"x" * 300_000), "a long one comes in pieces, at the reader's pace"
        one.go_on.set()
        received = await talking
    assert body_of(received) == b"5\r\nfirst\r\n7\r\nbetween\r\n4\r\nlast\r\n0\r\n\r\n"


async def test_nothing_is_sent_out_of_turn_to_http_1_0() -> None:
    one = Attached()
    one.go_on.set()
    async with door(answering(one.stream())) as server:
        received = await talk(server, b"GET / HTTP/1.0\r\n\r\n")
    assert not one.send(b"between")
    assert body_of(received) == b"firstlast"


async def test_a_slow_client_is_sent_nothing_out_of_turn() -> None:
    one = Attached()
    async with door(answering(one.stream()), Limits(write_s=0.1)) as server:
        _, writer = await asyncio.open_connection("127.0.0.1", server.port, limit=1024)
        writer.write(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
        await one.waits.wait()
        for _ in range(1_000):
            if not one.send(b"x" * 65_536):
                break
            await asyncio.sleep(0)
        else:
            raise AssertionError("sixty megabytes are too much ahead")
        one.go_on.set()
        async with asyncio.timeout(20):
            while not server.statistics().slow_readers:
                await asyncio.sleep(0.01)
        assert not one.send(b"gone")
        writer.transport.abort()


async def test_a_body_may_be_streamed() -> None:
    async def handle(request: Request) -> Answer:
        size = 0
        async for part in request.stream:
            size += len(part)
        return Response(body=str(size).encode())

    async with door(handle, Limits(body=10), streams_body=lambda request: request.path == "/big") as server:
        received = await talk(
            server,
            b"POST /big HTTP/1.1\r\nHost: h\r\nContent-Length: 500000\r\nConnection: close\r\n\r\n" + b"x" * 500000,
        )
    assert body_of(received) == b"500000"


async def test_a_connection_can_be_taken_over() -> None:
    async def run(connection: Connection) -> None:
        while data := await connection.read():
            await connection.write(data.upper())
            if b"end" in data:
                return

    answer = Takeover(run, {"upgrade": "SPDY/3.1"})
    async with door(answering(answer)) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(b"POST /x HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n\r\n")
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 101 Switching Protocols\r\n")
        assert b"upgrade: SPDY/3.1\r\n" in head
        writer.write(b"\x80\x03 not http")
        assert await reader.readexactly(11) == b"\x80\x03 NOT HTTP"
        writer.write(b"the end")
        assert await reader.read() == b"THE END"
        writer.close()
        await writer.wait_closed()


async def test_what_a_client_sent_before_it_left_is_still_read() -> None:
    got = bytearray()
    done = asyncio.Event()

    async def run(connection: Connection) -> None:
        await asyncio.sleep(0.05)
        while data := await connection.read():
            got.extend(data)
        done.set()

    async with door(answering(Takeover(run, {"upgrade": "websocket"}))) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(b"GET /x HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nearly")
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b" and late")
        writer.close()
        await asyncio.wait_for(done.wait(), 5)
        await writer.wait_closed()
    assert got == b"early and late"


async def test_a_unix_socket_is_its_owners_alone(tmp_path: Path) -> None:
    path = tmp_path / "door.sock"
    server = await serve(echo, unix_path=str(path))
    assert path.stat().st_mode & 0o777 == 0o600
    reader, writer = await asyncio.open_unix_connection(str(path))
    writer.write(b"GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
    assert (await reader.read()).startswith(b"HTTP/1.1 200 ")
    writer.close()
    await writer.wait_closed()
    await server.close()
    assert not path.exists()


async def test_closing_lets_a_request_under_way_end() -> None:
    async def slow(_: Request) -> Answer:
        started.set()
        await release.wait()
        return Response(body=b"done")

    started, release = asyncio.Event(), asyncio.Event()
    server = await serve(slow, host="127.0.0.1")
    async with asyncio.TaskGroup() as tasks:
        answer = tasks.create_task(talk(server, b"GET / HTTP/1.1\r\nHost: h\r\n\r\n"))
        await started.wait()
        tasks.create_task(server.close())
        await asyncio.sleep(0)
        release.set()
    assert answer.result().endswith(b"done")
