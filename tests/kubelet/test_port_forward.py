"""Port-forward in its three forms, to a server of ours on the loopback."""

import asyncio
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from bireme.api.errors import ApiError
from bireme.http.interface import Answer, Connection, Request
from bireme.http.requests import Session
from bireme.http.server import serve
from bireme.http.spdy import MessageConnection
from bireme.http.spdy import Session as SpdySession
from bireme.kubelet.port_forward import TUNNEL, PortForward, socket_in
from bireme.kubelet.streams import decode_message, encode_message, refusal

SPDY_HEADERS = {
    "connection": "Upgrade",
    "upgrade": "SPDY/3.1",
    "x-stream-protocol-version": "portforward.k8s.io",
}


class Shouter:
    """A server that gives back what it hears in capitals; `quiet` is set while it has no clients."""

    def __init__(self) -> None:
        self.clients = 0
        self.quiet = asyncio.Event()
        self.quiet.set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.clients += 1
        self.quiet.clear()
        while data := await reader.read(65536):
            writer.write(data.upper())
            await writer.drain()
        writer.close()
        await writer.wait_closed()
        self.clients -= 1
        if not self.clients:
            self.quiet.set()


@asynccontextmanager
async def forwarded() -> AsyncIterator[tuple[Session, str, int]]:
    async def handle(request: Request) -> Answer:
        try:
            return PortForward("ns/pod", "").join(request)
        except ApiError as error:
            return refusal(error)

    shouter = Shouter()
    target = await asyncio.start_server(shouter.serve, "127.0.0.1")
    front = await serve(handle, host="127.0.0.1")
    async with target, Session() as session:
        try:
            yield session, f"http://127.0.0.1:{front.port}/portForward/ns/pod", target.sockets[0].getsockname()[1]
        finally:
            await front.close(grace_s=1)
            await asyncio.wait_for(shouter.quiet.wait(), 5)


async def ask(spdy: SpdySession, port: int, number: int, question: bytes) -> tuple[bytes, bytes]:
    """What comes back on the data stream, and on the error stream."""
    headers = {"port": str(port), "requestid": str(number)}
    error = await spdy.open({**headers, "streamtype": "error"})
    await error.finish()
    data = await spdy.open({**headers, "streamtype": "data"})
    answers = []
    try:
        await data.write(question)
        await data.finish()
        parts = b""
        while part := await data.read():
            parts += part
        answers.append(parts)
    except ConnectionError:
        answers.append(b"")
    failure = b""
    while part := await error.read():
        failure += part
    return answers[0], failure


async def open_and_read(spdy: SpdySession, headers: dict[str, str]) -> bytes:
    return await (await spdy.open(headers)).read()


async def several(connection: Connection, port: int) -> list[tuple[bytes, bytes]]:
    spdy = SpdySession(connection, server=False)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(spdy.run())
        asking = [tasks.create_task(ask(spdy, port, number, b"abc" * 50_000)) for number in range(3)]
        await asyncio.wait(asking)
        asking.append(tasks.create_task(ask(spdy, 1, 9, b"x")))
        await asyncio.wait(asking)
        await spdy.close()
    return [task.result() for task in asking]


def check(answers: list[tuple[bytes, bytes]]) -> None:
    assert answers[:3] == [(b"ABC" * 50_000, b"")] * 3
    assert answers[3] == (b"", b"error forwarding port 1 to pod ns/pod: connection refused")


async def test_over_spdy() -> None:
    async with forwarded() as (session, url, port):
        upgraded = await session.upgrade("POST", url, headers=SPDY_HEADERS)
        assert upgraded.headers["x-stream-protocol-version"] == "portforward.k8s.io"
        assert upgraded.connection is not None
        check(await several(upgraded.connection, port))


async def test_over_spdy_in_a_websocket() -> None:
    async with forwarded() as (session, url, port):
        socket = await session.websocket(url, protocols=[TUNNEL])
        assert socket.protocol == TUNNEL
        check(await several(MessageConnection(socket), port))


@pytest.mark.parametrize(("protocol", "base64"), [("v4.channel.k8s.io", False), ("v4.base64.channel.k8s.io", True)])
async def test_over_websocket_channels(protocol: str, base64: bool) -> None:
    async with forwarded() as (session, url, port):
        socket = await session.websocket(f"{url}?ports={port}&ports=1", protocols=[protocol])
        heard: dict[int, bytes] = {}
        await socket.send(encode_message(0, b"hello", base64_form=base64))
        while heard.get(0, b"")[2:] != b"HELLO" or len(heard.get(3, b"")) < 3:
            message = await asyncio.wait_for(socket.receive(), 5)
            assert message is not None
            channel, data = decode_message(message, base64_form=base64)
            heard[channel] = heard.get(channel, b"") + data
        await socket.close()
    mark, other = struct.pack("<H", port), struct.pack("<H", 1)
    assert heard[0] == mark + b"HELLO"
    assert heard[1] == mark
    assert heard[2] == other
    assert heard[3] == other + b"error forwarding port 1 to pod ns/pod: connection refused"


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param({}, id="no port"),
        pytest.param({"port": "0"}, id="port 0"),
        pytest.param({"port": "http"}, id="port by name"),
        pytest.param({"port": "80", "streamtype": "other"}, id="a stream of another kind"),
    ],
)
async def test_streams_that_make_no_sense_are_reset(headers: dict[str, str]) -> None:
    async with forwarded() as (session, url, _):
        upgraded = await session.upgrade("POST", url, headers=SPDY_HEADERS)
        assert upgraded.connection is not None
        spdy = SpdySession(upgraded.connection, server=False)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(spdy.run())
            with pytest.raises(ConnectionError):
                await open_and_read(spdy, {"streamtype": "data", "requestid": "1", **headers})
            await spdy.close()


@pytest.mark.parametrize("query", ["", "?ports=0", "?ports=x", "?ports=70000", "?ports=80,"])
async def test_channels_need_ports(query: str) -> None:
    headers = {"connection": "Upgrade", "upgrade": "websocket", "sec-websocket-protocol": "v4.channel.k8s.io"}
    async with forwarded() as (session, url, _):
        assert (await session.upgrade("GET", url + query, headers=headers)).status == 400


async def test_other_protocols_are_refused() -> None:
    async with forwarded() as (session, url, _):
        headers = SPDY_HEADERS | {"x-stream-protocol-version": "other"}
        assert (await session.upgrade("POST", url, headers=headers)).status == 403
        assert (await session.request("POST", url)).status == 400


def test_a_missing_namespace_is_an_error() -> None:
    with pytest.raises(OSError):
        socket_in("/nowhere/netns", 2)
