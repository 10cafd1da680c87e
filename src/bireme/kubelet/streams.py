"""Exec and attach: the client's protocol on one side, the container engine's streaming server on the other.

A SPDY client speaks the engine's own protocol, so its bytes pass through. A WebSocket client speaks of channels,
which become SPDY streams: only those can end stdin alone, which v5 of the protocol asks for.
Source: Kubernetes' remote command protocols (reference, section 9); k8s.io/kubelet, cri streaming.
"""

import asyncio
import base64
import binascii
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

import msgspec

from bireme.api.errors import ApiError, BadRequest, Forbidden
from bireme.http.interface import (
    Answer,
    Connection,
    Request,
    Response,
    Takeover,
    WebSocketConnection,
    WebSocketUpgrade,
)
from bireme.http.requests import RequestFailed, Session
from bireme.http.spdy import Session as SpdySession
from bireme.http.spdy import Stream as SpdyStream
from bireme.http.upgrades import splice

STDIN, STDOUT, STDERR, ERROR, RESIZE, CLOSE = 0, 1, 2, 3, 4, 255
SPDY = "SPDY/3.1"
STATUS_PROTOCOL = "v4.channel.k8s.io"
"""The SPDY protocol whose error stream carries a Status; containerd and CRI-O both have it."""

STATUS_LIMIT = 64 * 1024


@dataclass(frozen=True, slots=True)
class Streams:
    """Which streams a client of exec or attach wants. With a `tty`, stderr comes through stdout."""

    stdin: bool = False
    stdout: bool = False
    stderr: bool = False
    tty: bool = False


@dataclass(frozen=True, slots=True)
class ChannelProtocol:
    """One of the WebSocket protocols: how channels are marked, and what goes over the error channel."""

    name: str
    base64: bool = False
    status: bool = False
    half_close: bool = False


CHANNEL_PROTOCOLS: Mapping[str, ChannelProtocol] = {
    protocol.name: protocol
    for protocol in (
        ChannelProtocol("v5.channel.k8s.io", status=True, half_close=True),
        ChannelProtocol("v4.channel.k8s.io", status=True),
        ChannelProtocol("v4.base64.channel.k8s.io", base64=True, status=True),
        ChannelProtocol("channel.k8s.io"),
        ChannelProtocol("base64.channel.k8s.io", base64=True),
        ChannelProtocol(""),
    )
}


class _Status(msgspec.Struct):
    status: str = ""
    message: str = ""


def wanted_upgrade(request: Request) -> str:
    """What the client asks to upgrade to: "websocket", "spdy/3.1" or another, in lower case; "" for nothing."""
    connection = request.headers.get("connection", "").lower()
    return request.headers.get("upgrade", "").strip().lower() if "upgrade" in connection else ""


def offered(request: Request, header: str) -> list[str]:
    """The protocols that a client offers in `header`, in its order."""
    return [name for part in request.headers.get(header, "").split(",") if (name := part.strip())]


def chosen_protocol(request: Request, known: Mapping[str, object] | Sequence[str]) -> str:
    """The first WebSocket protocol of the client's that is `known`; "" when it names none. Else BadRequest."""
    names = offered(request, "sec-websocket-protocol")
    if not names:
        return ""
    for name in names:
        if name in known:
            return name
    raise BadRequest(f"none of the offered protocols is known: {', '.join(names)}")


class Bridge:
    """Joins clients to the engine's streaming server, which `session` reaches."""

    def __init__(self, session: Session) -> None:
        self._session = session

    async def join(self, request: Request, url: str, streams: Streams) -> Answer:
        """The answer to `request`, whose streams wait at `url` for whoever comes first."""
        match wanted_upgrade(request):
            case "websocket":
                return await self._join_websocket(request, url, streams)
            case "spdy/3.1":
                return await self._join_spdy(request, url)
        raise BadRequest("you must use SPDY or WebSocket to stream: the request asks for no upgrade")

    async def _join_spdy(self, request: Request, url: str) -> Answer:
        connection, headers = await self._upgraded(url, offered(request, "x-stream-protocol-version"))

        async def run(client: Connection) -> None:
            await splice(client, connection)

        return Takeover(run, {"upgrade": SPDY, **headers})

    async def _join_websocket(self, request: Request, url: str, streams: Streams) -> Answer:
        protocol = CHANNEL_PROTOCOLS[chosen_protocol(request, CHANNEL_PROTOCOLS)]
        connection, _ = await self._upgraded(url, [STATUS_PROTOCOL])

        async def run(client: WebSocketConnection) -> None:
            await Channels(client, protocol, streams).run(connection)

        return WebSocketUpgrade(run, protocol.name)

    async def _upgraded(self, url: str, protocols: Sequence[str]) -> tuple[Connection, dict[str, str]]:
        headers = {"connection": "Upgrade", "upgrade": SPDY, "content-length": "0"}
        if protocols:
            headers["x-stream-protocol-version"] = ", ".join(protocols)
        try:
            upgraded = await self._session.upgrade("POST", url, headers=headers, timeout_s=30.0)
        except RequestFailed as error:
            raise ApiError(f"the container engine's streams can't be reached: {error}") from error
        if upgraded.connection is None:
            message = upgraded.body.decode(errors="replace").strip() or f"status {upgraded.status}"
            raise (Forbidden if upgraded.status == 403 else ApiError)(f"the container engine refused: {message}")
        agreed = upgraded.headers.get("x-stream-protocol-version")
        return upgraded.connection, {"x-stream-protocol-version": agreed} if agreed else {}


class Channels:
    """One WebSocket client's channels as the streams of a SPDY session with the engine."""

    def __init__(self, client: WebSocketConnection, protocol: ChannelProtocol, streams: Streams) -> None:
        self._client = client
        self._protocol = protocol
        self._streams = streams
        self._sending = asyncio.Lock()

    async def run(self, connection: Connection) -> None:
        """Pass everything on until the command has ended or the client has left."""
        session = SpdySession(connection, server=False)
        async with asyncio.TaskGroup() as tasks:
            reading = tasks.create_task(session.run(), name="exec: session")
            try:
                await self._pass_on(session)
            except* ConnectionError:
                pass
            finally:
                await session.close()
                reading.cancel()

    async def _pass_on(self, session: SpdySession) -> None:
        error, stdin, outputs, resize = await self._open(session)
        await self._send(outputs[0][0] if outputs else ERROR, b"")
        async with asyncio.TaskGroup() as tasks:
            listening = tasks.create_task(self._listen(stdin, resize), name="exec: from client")
            ending = tasks.create_task(self._until_end(error, outputs), name="exec: to client")
            await asyncio.wait((listening, ending), return_when=asyncio.FIRST_COMPLETED)
            listening.cancel()
            ending.cancel()

    async def _open(
        self, session: SpdySession
    ) -> tuple[SpdyStream, SpdyStream | None, list[tuple[int, SpdyStream]], SpdyStream | None]:
        wanted = self._streams
        error = await session.open({"streamtype": "error"})
        stdin = await session.open({"streamtype": "stdin"}) if wanted.stdin else None
        outputs = [(STDOUT, await session.open({"streamtype": "stdout"}))] if wanted.stdout else []
        if wanted.stderr and not wanted.tty:
            outputs.append((STDERR, await session.open({"streamtype": "stderr"})))
        resize = await session.open({"streamtype": "resize"}) if wanted.tty else None
        return error, stdin, outputs, resize

    async def _listen(self, stdin: SpdyStream | None, resize: SpdyStream | None) -> None:
        """Pass on what the client sends, until it closes."""
        targets = {STDIN: stdin, RESIZE: resize}
        while (message := await self._client.receive()) is not None:
            channel, data = decode_message(message, base64_form=self._protocol.base64)
            target = targets.get(channel)
            if channel == CLOSE and self._protocol.half_close and data[:1] == b"\0":
                target, data = stdin, b""
                if stdin is not None:
                    await stdin.finish()
            # a command may stop reading its input and go on
            with suppress(ConnectionError):
                if target is not None and data:
                    await target.write(data)

    async def _until_end(self, error: SpdyStream, outputs: Sequence[tuple[int, SpdyStream]]) -> None:
        async with asyncio.TaskGroup() as tasks:
            status = tasks.create_task(read_limited(error, STATUS_LIMIT), name="exec: status")
            for channel, stream in outputs:
                tasks.create_task(self._pump(channel, stream), name="exec: output")
        text = status.result() if self._protocol.status else plain_status(status.result())
        if text:
            await self._send(ERROR, text)
        await self._client.close()

    async def _pump(self, channel: int, stream: SpdyStream) -> None:
        with suppress(ConnectionResetError):
            while data := await stream.read():
                await self._send(channel, data)

    async def _send(self, channel: int, data: bytes) -> None:
        async with self._sending:
            await self._client.send(encode_message(channel, data, base64_form=self._protocol.base64))


def encode_message(channel: int, data: bytes, *, base64_form: bool) -> bytes | str:
    """A WebSocket message for `channel`."""
    return f"{channel}{base64.b64encode(data).decode()}" if base64_form else bytes((channel,)) + data


def decode_message(message: bytes | str, *, base64_form: bool) -> tuple[int, bytes]:
    """The channel and content of a WebSocket message; channel -1 for one that is malformed."""
    if not base64_form:
        data = message.encode() if isinstance(message, str) else message
        return (data[0], data[1:]) if data else (-1, b"")
    text = message if isinstance(message, str) else message.decode("ascii", errors="replace")
    try:
        return (int(text[0]), base64.b64decode(text[1:], validate=True)) if text[:1].isdecimal() else (-1, b"")
    except (binascii.Error, ValueError):
        return -1, b""


def plain_status(status: bytes) -> bytes:
    """What the older protocols send at the end: the message of a failure, nothing for success."""
    try:
        decoded = msgspec.json.decode(status, type=_Status)
    except msgspec.MsgspecError:
        return status
    return b"" if decoded.status == "Success" else decoded.message.encode()


async def read_limited(stream: SpdyStream, limit: int) -> bytes:
    """All of a stream up to `limit` bytes; what is more is dropped, what is cut off counts as it is."""
    received = bytearray()
    with suppress(ConnectionError):
        while data := await stream.read():
            received += data[: limit - len(received)]
    return bytes(received)


def refusal(error: ApiError) -> Response:
    """The kubelet's way to say no: the message as text; the API server makes a Status of it."""
    return Response(error.code, error.message.encode(), content_type="text/plain; charset=utf-8")
