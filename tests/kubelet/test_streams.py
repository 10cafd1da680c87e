"""Exec and attach: WebSocket and SPDY clients against a stand-in for the engine's streaming server."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from bireme.api.errors import ApiError
from bireme.http.interface import Answer, Connection, Request, Response, Takeover
from bireme.http.requests import Session
from bireme.http.server import serve
from bireme.http.spdy import Session as SpdySession
from bireme.http.spdy import Stream
from bireme.kubelet.streams import Bridge, Streams, decode_message, encode_message, plain_status, refusal

SUCCESS = b'{"metadata":{},"status":"Success"}'
FAILURE = json.dumps(
    {
        "metadata": {},
        "status": "Failure",
        "message": "command terminated with non-zero exit code: exit 3",
        "reason": "NonZeroExitCode",
        "details": {"causes": [{"reason": "ExitCode", "message": "3"}]},
    }
).encode()


class Engine:
    """Runs a pretended `cat`: stdin comes back on stdout until it ends, then the status comes."""

    def __init__(self) -> None:
        self.status = SUCCESS
        self.resized: list[bytes] = []
        self.expected: set[str] = set()
        self.ended = asyncio.Event()

    async def handle(self, request: Request) -> Answer:
        if request.path == "/gone":
            return Response(404, b"expired", content_type="text/plain")
        names = request.headers["x-stream-protocol-version"].split(", ")
        return Takeover(self.run, {"upgrade": "SPDY/3.1", "x-stream-protocol-version": names[0]})

    async def run(self, connection: Connection) -> None:
        session = SpdySession(connection, server=True)
        async with asyncio.TaskGroup() as tasks:
            reading = tasks.create_task(session.run())
            streams: dict[str, Stream] = {}
            async for stream in session.streams():
                streams[stream.headers["streamtype"]] = stream
                if set(streams) == self.expected:
                    break
            if set(streams) == self.expected:
                await self.cat(streams)
            await session.close()
            reading.cancel()
        self.ended.set()

    async def cat(self, streams: dict[str, Stream]) -> None:
        try:
            if "resize" in streams:
                self.resized.append(await streams["resize"].read())
            while "stdin" in streams and (data := await streams["stdin"].read()):
                await streams["stdout"].write(data)
            if "stderr" in streams:
                await streams["stderr"].write(b"oops")
                await streams["stderr"].finish()
            await streams["stdout"].finish()
            await streams["error"].write(self.status)
            await streams["error"].finish()
        except ConnectionError:
            pass


@asynccontextmanager
async def joined(engine: Engine, streams: Streams, path: str = "/exec/token") -> AsyncIterator[tuple[Session, str]]:
    """A door that joins its clients to `engine`; and a session to speak to it."""
    back = await serve(engine.handle, host="127.0.0.1")
    async with Session() as session:
        bridge = Bridge(session)

        async def handle(request: Request) -> Answer:
            try:
                return await bridge.join(request, f"http://127.0.0.1:{back.port}{path}", streams)
            except ApiError as error:
                return refusal(error)

        front = await serve(handle, host="127.0.0.1")
        try:
            yield session, f"http://127.0.0.1:{front.port}/exec/ns/pod/c"
        finally:
            await front.close(grace_s=1)
            await back.close(grace_s=1)


async def conversation(
    engine: Engine, streams: Streams, protocol: str, sent: list[bytes | str]
) -> list[bytes | str | None]:
    async with joined(engine, streams) as (session, url):
        socket = await session.websocket(url, protocols=[protocol] if protocol else [])
        assert socket.protocol == protocol
        for message in sent:
            await socket.send(message)
        heard = []
        while (message := await asyncio.wait_for(socket.receive(), 5)) is not None:
            heard.append(message)
        await socket.close()
    return heard


async def test_v5_can_end_stdin_alone() -> None:
    engine = Engine()
    engine.expected = {"error", "stdin", "stdout", "stderr"}
    heard = await conversation(
        engine, Streams(stdin=True, stdout=True, stderr=True), "v5.channel.k8s.io", [b"\x00hello", b"\xff\x00"]
    )
    assert heard[0] == b"\x01"
    assert sorted(heard[1:-1]) == [b"\x01hello", b"\x02oops"]
    assert heard[-1] == b"\x03" + SUCCESS


async def test_a_failure_comes_as_a_status_in_v4() -> None:
    engine = Engine()
    engine.status = FAILURE
    engine.expected = {"error", "stdout"}
    assert await conversation(engine, Streams(stdout=True), "v4.channel.k8s.io", []) == [b"\x01", b"\x03" + FAILURE]


@pytest.mark.parametrize("protocol", ["channel.k8s.io", ""])
async def test_a_failure_comes_as_text_in_the_first_protocol(protocol: str) -> None:
    engine = Engine()
    engine.status = FAILURE
    engine.expected = {"error", "stdout"}
    heard = await conversation(engine, Streams(stdout=True), protocol, [])
    assert heard == [b"\x01", b"\x03command terminated with non-zero exit code: exit 3"]


async def test_base64_with_a_terminal() -> None:
    engine = Engine()
    engine.expected = {"error", "stdin", "stdout", "resize"}
    async with joined(engine, Streams(stdin=True, stdout=True, tty=True)) as (session, url):
        socket = await session.websocket(url, protocols=["v4.base64.channel.k8s.io"])
        await socket.send(encode_message(4, b'{"Width":80,"Height":24}', base64_form=True))
        await socket.send(encode_message(0, b"ls\n", base64_form=True))
        assert await socket.receive() == "1"
        assert decode_message(await socket.receive() or "", base64_form=True) == (1, b"ls\n")
        await socket.close()
        await asyncio.wait_for(engine.ended.wait(), 5)
    assert engine.resized == [b'{"Width":80,"Height":24}']


async def test_the_engine_hears_when_the_client_leaves() -> None:
    engine = Engine()
    engine.expected = {"error", "stdin", "stdout"}
    async with joined(engine, Streams(stdin=True, stdout=True)) as (session, url):
        socket = await session.websocket(url, protocols=["v4.channel.k8s.io"])
        await socket.receive()
        await socket.close()
        await asyncio.wait_for(engine.ended.wait(), 5)


async def test_a_spdy_client_speaks_to_the_engine_itself() -> None:
    engine = Engine()
    engine.expected = {"error", "stdin", "stdout"}
    async with joined(engine, Streams(stdin=True, stdout=True)) as (session, url):
        headers = {"connection": "Upgrade", "upgrade": "SPDY/3.1"}
        headers["x-stream-protocol-version"] = "v4.channel.k8s.io, v3.channel.k8s.io"
        upgraded = await session.upgrade("POST", url, headers=headers)
        assert upgraded.headers["x-stream-protocol-version"] == "v4.channel.k8s.io"
        assert upgraded.connection is not None
        spdy = SpdySession(upgraded.connection, server=False)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(spdy.run())
            error, stdin, stdout = [await spdy.open({"streamtype": name}) for name in ("error", "stdin", "stdout")]
            await stdin.write(b"x" * 100_000)
            await stdin.finish()
            size = 0
            while data := await stdout.read():
                size += len(data)
            assert size == 100_000
            assert await error.read() == SUCCESS
            await spdy.close()


@pytest.mark.parametrize("upgrade", ["websocket", "SPDY/3.1"])
async def test_a_refusal_of_the_engine_reaches_the_client(upgrade: str) -> None:
    async with joined(Engine(), Streams(stdout=True), "/gone") as (session, url):
        refused = await session.upgrade("GET", url, headers={"connection": "Upgrade", "upgrade": upgrade})
    assert (refused.status, refused.body) == (500, b"the container engine refused: expired")


async def test_a_plain_request_is_refused() -> None:
    async with joined(Engine(), Streams(stdout=True)) as (session, url):
        assert (await session.request("POST", url)).status == 400


async def test_an_unknown_protocol_is_refused() -> None:
    headers = {"connection": "Upgrade", "upgrade": "websocket", "sec-websocket-protocol": "v9.channel.k8s.io"}
    async with joined(Engine(), Streams(stdout=True)) as (session, url):
        assert (await session.upgrade("GET", url, headers=headers)).status == 400


@pytest.mark.parametrize(
    ("message", "base64", "expected"),
    [
        (b"\x00abc", False, (0, b"abc")),
        (b"", False, (-1, b"")),
        ("0YWJj", True, (0, b"abc")),
        (b"1", True, (1, b"")),
        ("", True, (-1, b"")),
        ("xYWJj", True, (-1, b"")),
        ("0!", True, (-1, b"")),
    ],
)
def test_messages(message: bytes | str, base64: bool, expected: tuple[int, bytes]) -> None:
    assert decode_message(message, base64_form=base64) == expected


@pytest.mark.parametrize(("status", "text"), [(SUCCESS, b""), (b"no json", b"no json"), (b"", b"")])
def test_plain_status(status: bytes, text: bytes) -> None:
    assert plain_status(status) == text
