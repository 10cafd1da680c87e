"""What is left of HTTP after an upgrade: raw connections and WebSockets, on the server's side and on ours.

Asking for an upgrade is here too, over a connection of its own: one whose upgrade was refused must not carry
another request, whoever sends it (CVE-2018-1002105).
"""

import asyncio
import ssl
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from aiohttp import ClientWebSocketResponse, WSMsgType, web, web_protocol
from yarl import URL

from bireme.http.interface import Connection

PIECE = 32 * 1024
READ_AHEAD = 64 * 1024
WRITE_AHEAD = 64 * 1024
REFUSAL_LIMIT = 64 * 1024
REFUSAL_S = 5.0


class RawConnection:
    """A connection taken over from the HTTP parser; reading pauses the client while too much waits.

    To the library this is the parser that gets every byte from now on (`feed_data`, `feed_eof`).
    """

    def __init__(self, protocol: web_protocol.RequestHandler) -> None:
        self._protocol = protocol
        self._parts: list[bytes] = []
        self._waiting = 0
        self._paused = False
        self._ended = protocol.transport is None
        self._wake = asyncio.Event()

    def feed_data(self, data: bytes) -> tuple[bool, bytes]:
        """Take `data` from the wire. Called by the library."""
        self._parts.append(data)
        self._waiting += len(data)
        self._wake.set()
        if self._waiting > READ_AHEAD and not self._paused:
            self._paused = True
            _set_reading(self._protocol.transport, on=False)
        return False, b""

    def feed_eof(self) -> None:
        """The client has left. Called by the library."""
        self._ended = True
        self._wake.set()

    async def read(self) -> bytes:
        """Some bytes; b"" when the client has finished."""
        while not self._parts and not self._ended:
            self._wake.clear()
            await self._wake.wait()
        data = b"".join(self._parts)
        self._parts.clear()
        self._waiting = 0
        if self._paused:
            self._paused = False
            _set_reading(self._protocol.transport, on=True)
        return data

    async def write(self, data: bytes) -> None:
        """Send `data`, waiting while the client is slow; ConnectionError once it has left."""
        transport = self._protocol.transport
        if transport is None or transport.is_closing():
            raise ConnectionResetError("client left")
        transport.write(data)
        await self._protocol._drain_helper()

    async def close(self) -> None:
        """Send what waits, and close."""
        self._ended = True
        self._wake.set()
        if self._protocol.transport is not None:
            self._protocol.transport.close()


def _set_reading(transport: asyncio.Transport | None, *, on: bool) -> None:
    """Pause or resume at the socket itself: the library's own switch speaks to its HTTP parser too."""
    if transport is not None and not transport.is_closing():
        if on:
            transport.resume_reading()
        else:
            transport.pause_reading()


class ServerWebSocket:
    """Messages both ways with the client."""

    def __init__(self, response: web.WebSocketResponse) -> None:
        self._response: Any = response

    @property
    def protocol(self) -> str:
        """The subprotocol that was agreed."""
        return self._response.ws_protocol or ""

    async def receive(self) -> bytes | str | None:
        """The next message; None once the client has closed or left."""
        message = await self._response.receive()
        return message.data if message.type in (WSMsgType.BINARY, WSMsgType.TEXT) else None

    async def send(self, message: bytes | str) -> None:
        """Send `message`, waiting while the client is slow; ConnectionError once it has left."""
        if isinstance(message, str):
            await self._response.send_str(message)
        else:
            await self._response.send_bytes(message)

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """Close, with a code of RFC 6455."""
        await self._response.close(code=code, message=reason.encode())


class ClientWebSocket:
    """Messages both ways with a server; close it when done."""

    def __init__(self, response: ClientWebSocketResponse[Any]) -> None:
        self._response = response

    @property
    def protocol(self) -> str:
        """The subprotocol that the server chose, "" for none."""
        return self._response.protocol or ""

    async def receive(self) -> bytes | str | None:
        """The next message; None once the server has closed or left."""
        message = await self._response.receive()
        return message.data if message.type in (WSMsgType.BINARY, WSMsgType.TEXT) else None

    async def send(self, message: bytes | str) -> None:
        """Send `message`, waiting while the server is slow; ConnectionError once it has left."""
        if isinstance(message, str):
            await self._response.send_str(message)
        else:
            await self._response.send_bytes(message)

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """Close, with a code of RFC 6455."""
        await self._response.close(code=code, message=reason.encode())


class StreamConnection:
    """A connection opened by us, as a byte stream."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def read(self) -> bytes:
        """Some bytes; b"" when the other end has finished."""
        try:
            return await self._reader.read(PIECE)
        except ConnectionError:
            return b""

    async def write(self, data: bytes) -> None:
        """Send `data`, waiting while the other end is slow; ConnectionError once it has left."""
        if self._writer.is_closing():
            raise ConnectionResetError("the other end left")
        self._writer.write(data)
        await self._writer.drain()

    async def finish(self) -> None:
        """Tell the other end that nothing more will come, where the connection can say so."""
        if self._writer.can_write_eof():
            with suppress(OSError):
                self._writer.write_eof()

    async def close(self) -> None:
        """Close both ways."""
        self._writer.close()
        with suppress(OSError):
            await self._writer.wait_closed()


@dataclass(frozen=True, slots=True)
class Upgraded:
    """The answer to an upgrade: with status 101 an open `connection`, else the refusal's `body`.

    Header names are lower case.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes = b""
    connection: StreamConnection | None = None


async def open_upgraded(
    method: str,
    url: URL,
    headers: Mapping[str, str | Sequence[str]],
    *,
    tls: ssl.SSLContext | None,
    unix_path: str | None = None,
    server_name: str | None = None,
) -> Upgraded:
    """Ask `url` for an upgrade on a new connection. It stays open only when the answer is 101."""
    reader, writer = await _connect(url, tls, unix_path, server_name)
    try:
        host = url.raw_host if url.is_default_port() else f"{url.raw_host}:{url.port}"
        lines = [] if "host" in headers else [f"host: {host}"]
        for name, said in headers.items():
            lines += [f"{name}: {value}" for value in ((said,) if isinstance(said, str) else said)]
        head = "\r\n".join([f"{method} {url.raw_path_qs} HTTP/1.1", *lines, "", ""])
        if head.count("\n") != len(lines) + 2:
            raise ValueError("a header holds a line break")
        writer.write(head.encode())
        await writer.drain()
        status, answered = parse_head(await reader.readuntil(b"\r\n\r\n"))
        if status == 101:
            return Upgraded(status, answered, connection=StreamConnection(reader, writer))
        body = await _refusal_body(reader, answered)
    except (asyncio.IncompleteReadError, asyncio.LimitOverrunError) as error:
        writer.transport.abort()
        raise ConnectionResetError("no answer to the upgrade") from error
    except BaseException:
        writer.transport.abort()
        raise
    writer.transport.abort()
    return Upgraded(status, answered, body)


class _Reader(asyncio.StreamReader):
    """A reader that gives what it has before it tells of a broken connection, which to us is just an end."""

    def set_exception(self, exc: BaseException) -> None:
        self.feed_eof()


async def _connect(
    url: URL, tls: ssl.SSLContext | None, unix_path: str | None, server_name: str | None
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    loop = asyncio.get_running_loop()
    reader = _Reader(limit=PIECE, loop=loop)
    protocol = asyncio.StreamReaderProtocol(reader, loop=loop)
    transport: asyncio.Transport
    if unix_path is not None:
        transport, _ = await loop.create_unix_connection(lambda: protocol, unix_path)
    else:
        secure = url.scheme in ("https", "wss")
        context = (tls or ssl.create_default_context()) if secure else None
        transport, _ = await loop.create_connection(
            lambda: protocol,
            url.raw_host or "",
            url.port or 80,
            ssl=context,
            server_hostname=server_name if secure else None,
        )
    transport.set_write_buffer_limits(high=WRITE_AHEAD)
    return reader, asyncio.StreamWriter(transport, protocol, reader, loop)


async def _refusal_body(reader: asyncio.StreamReader, headers: Mapping[str, str]) -> bytes:
    length = headers.get("content-length", "")
    size = min(int(length), REFUSAL_LIMIT) if length.isdecimal() else REFUSAL_LIMIT
    body = bytearray()
    with suppress(TimeoutError, ConnectionError):
        async with asyncio.timeout(REFUSAL_S):
            while len(body) < size and (part := await reader.read(size - len(body))):
                body += part
    return dechunked(bytes(body)) if "chunked" in headers.get("transfer-encoding", "").lower() else bytes(body)


def dechunked(data: bytes) -> bytes:
    """The content of a chunked body, as far as it is there."""
    content = bytearray()
    while True:
        line, found, data = data.partition(b"\r\n")
        try:
            size = int(line.partition(b";")[0], 16)
        except ValueError:
            return bytes(content)
        if not found or size <= 0:
            return bytes(content)
        content += data[:size]
        data = data[size + 2 :]


def parse_head(head: bytes) -> tuple[int, dict[str, str]]:
    """The status and the headers, lower case, of a response's head. ValueError for what is none."""
    first, *rest = head.decode("latin-1").rstrip("\r\n").split("\r\n")
    version, _, status = first.partition(" ")
    if not version.startswith("HTTP/1.") or not status[:3].isdecimal():
        raise ValueError("not an HTTP answer")
    headers: dict[str, str] = {}
    for line in rest:
        name, _, value = line.partition(":")
        name, value = name.strip().lower(), value.strip()
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    return int(status[:3]), headers


async def splice(left: Connection, right: Connection) -> None:
    """Copy bytes both ways until either end has finished, then close both."""
    try:
        async with asyncio.TaskGroup() as tasks:
            there = tasks.create_task(copy(left, right), name="splice: there")
            back = tasks.create_task(copy(right, left), name="splice: back")
            await asyncio.wait((there, back), return_when=asyncio.FIRST_COMPLETED)
            there.cancel()
            back.cancel()
    finally:
        await right.close()
        await left.close()


async def copy(source: Connection, target: Connection) -> None:
    """Copy bytes until `source` has finished or either end is gone."""
    with suppress(ConnectionError):
        while data := await source.read():
            await target.write(data)
