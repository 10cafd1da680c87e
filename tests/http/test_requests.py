"""Requests out, against our own door and against servers that misbehave."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from bireme.http.interface import (
    Answer,
    Connection,
    Request,
    Response,
    Stream,
    Takeover,
    WebSocketConnection,
    WebSocketUpgrade,
)
from bireme.http.requests import RequestFailed, RequestTimedOut, Session
from bireme.http.server import serve


async def echo_messages(connection: WebSocketConnection) -> None:
    while (message := await connection.receive()) is not None:
        await connection.send(message)
        if message == "bye":
            return


async def shout(connection: Connection) -> None:
    while data := await connection.read():
        await connection.write(data.upper())


async def slow_parts() -> AsyncIterator[bytes]:
    yield b"one"
    yield b"two"
    await asyncio.Event().wait()


async def handle(request: Request) -> Answer:
    match request.path:
        case "/echo":
            return Response(
                202, request.body, {"x-path": request.raw_path, "x-agent": request.headers.get("x-a", "")}
            )
        case "/stream":
            return Stream(slow_parts())
        case "/socket":
            return WebSocketUpgrade(echo_messages, "b.example")
        case "/raw":
            return Takeover(shout, {"upgrade": "SPDY/3.1"})
        case "/moved":
            return Response(302, headers={"location": "/echo"})
        case "/never":
            await asyncio.Event().wait()
    return Response(404, b"no such path")


@asynccontextmanager
async def session() -> AsyncIterator[tuple[Session, str]]:
    server = await serve(handle, host="127.0.0.1")
    async with Session(headers={"x-a": "mine"}) as made:
        try:
            yield made, f"http://127.0.0.1:{server.port}"
        finally:
            await server.close(grace_s=0.1)


@asynccontextmanager
async def misbehaving(answer: bytes) -> AsyncIterator[str]:
    """A server that sends `answer` whatever it hears, and counts what it hears afterwards."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_server(talk, "127.0.0.1")
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


async def test_a_request_is_answered() -> None:
    async with session() as (client, url):
        reply = await client.request("POST", url + "/echo?a=%2F&b", body=b"hello")
    assert (reply.status, reply.body) == (202, b"hello")
    assert reply.headers["x-path"] == "/echo?a=%2F&b"
    assert reply.headers["x-agent"] == "mine"


async def test_a_stream_gives_its_parts_as_they_come() -> None:
    async with session() as (client, url):
        async with client.stream("GET", url + "/stream") as reply:
            received = b""
            async for chunk in reply.chunks:
                received += chunk
                if received == b"onetwo":
                    break
    assert reply.status == 200


async def test_redirects_are_not_followed() -> None:
    async with session() as (client, url):
        assert (await client.request("GET", url + "/moved")).status == 302
        with pytest.raises(RequestFailed):
            await client.websocket(url.replace("http", "ws") + "/moved")


async def test_a_request_may_take_so_long() -> None:
    async with session() as (client, url):
        with pytest.raises(RequestTimedOut):
            await client.request("GET", url + "/never", timeout_s=0.05)


async def test_an_answer_may_be_so_large() -> None:
    async with session() as (client, url):
        with pytest.raises(RequestFailed):
            await client.request("POST", url + "/echo", body=b"x" * 100, limit=99)


async def test_nobody_there() -> None:
    async with Session() as client:
        with pytest.raises(RequestFailed):
            await client.request("GET", "http://127.0.0.1:1/")
        with pytest.raises(RequestFailed):
            await client.upgrade("GET", "http://127.0.0.1:1/")
        with pytest.raises(RequestFailed) as failed:
            await client.request("GET", "https://127.0.0.1:1/")
        assert "SSLContext" not in str(failed.value)


async def test_a_cut_answer_fails() -> None:
    async with misbehaving(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nabc") as url, Session() as client:
        with pytest.raises(RequestFailed):
            await client.request("GET", url)
        with pytest.raises(RequestFailed):
            async with client.stream("GET", url) as reply:
                await reply.read()


async def test_messages_on_a_websocket() -> None:
    async with session() as (client, url):
        socket = await client.websocket(url.replace("http", "ws") + "/socket", protocols=["a.example", "b.example"])
        assert socket.protocol == "b.example"
        for message in (b"\x00binary", "text", "bye"):
            await socket.send(message)
            assert await socket.receive() == message
        assert await socket.receive() is None
        await socket.close()


async def test_an_upgrade_gives_the_raw_connection() -> None:
    async with session() as (client, url):
        upgraded = await client.upgrade(
            "POST", url + "/raw", headers={"connection": "Upgrade", "upgrade": "SPDY/3.1"}
        )
        assert upgraded.status == 101
        assert upgraded.headers["upgrade"] == "SPDY/3.1"
        assert upgraded.connection is not None
        await upgraded.connection.write(b"abc")
        assert await upgraded.connection.read() == b"ABC"
        await upgraded.connection.close()


@pytest.mark.parametrize(
    ("answer", "status", "body"),
    [
        pytest.param(b"HTTP/1.1 403 No\r\ncontent-length: 2\r\n\r\nnoXX", 403, b"no", id="refused"),
        pytest.param(b"HTTP/1.1 302 Go\r\nlocation: http://127.0.0.1:1/\r\n\r\n", 302, b"", id="redirected"),
        pytest.param(
            b"HTTP/1.1 400 No\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n1\r\nd\r\n0\r\n\r\n",
            400,
            b"abcd",
            id="refused in chunks",
        ),
    ],
)
async def test_a_refused_upgrade_leaves_no_connection(answer: bytes, status: int, body: bytes) -> None:
    async with misbehaving(answer) as url, Session() as client:
        upgraded = await client.upgrade("GET", url + "/x", headers={"connection": "Upgrade", "upgrade": "x"})
    assert (upgraded.status, upgraded.body, upgraded.connection) == (status, body, None)


@pytest.mark.parametrize("answer", [b"", b"SSH-2.0-x\r\n\r\n", b"HTTP/1.1 101 x\r\n" + b"a" * 100_000])
async def test_an_answer_that_is_no_http_fails(answer: bytes) -> None:
    async with misbehaving(answer) as url, Session() as client:
        with pytest.raises(RequestFailed):
            await client.upgrade("GET", url + "/x")


async def test_headers_cannot_smuggle_a_request() -> None:
    async with session() as (client, url):
        with pytest.raises(RequestFailed):
            await client.upgrade("GET", url + "/raw", headers={"upgrade": "x\r\n\r\nGET /echo HTTP/1.1"})


async def test_over_a_unix_socket(tmp_path: Path) -> None:
    path = str(tmp_path / "s")
    server = await serve(handle, unix_path=path)
    async with Session(unix_path=path) as client:
        assert (await client.request("GET", "http://anything/echo")).status == 202
        upgraded = await client.upgrade(
            "GET", "http://anything/raw", headers={"connection": "Upgrade", "upgrade": "x"}
        )
        assert upgraded.connection is not None
        await upgraded.connection.close()
    await server.close()
