"""What a handler holds after an upgrade: a raw connection or a WebSocket on the server's side."""

import asyncio
from typing import Any

from aiohttp import WSMsgType, web, web_protocol

READ_AHEAD = 256 * 1024


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
            self._protocol.pause_reading()
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
            self._protocol.resume_reading(resume_parser=False)
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
