"""One connection to a door: requests parsed, the handler called, its answer written.

Built on the C parser and the flow control of aiohttp's `RequestHandler`, whose request loop is replaced: no task
and no request object of the library's per request. That is not a documented use of it, so the version is pinned,
and this module and `requests.py` are the only ones that know the library.
RFC 9110 and 9112 say what goes over the wire; RFC 6455 for WebSockets.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import suppress
from http import HTTPStatus
from typing import Any, cast
from urllib.parse import unquote

import structlog
from aiohttp import web, web_protocol
from aiohttp.http import HttpVersion11, RawRequestMessage, StreamWriter
from aiohttp.streams import EMPTY_PAYLOAD, StreamReader
from multidict import CIMultiDict, CIMultiDictProxy
from yarl import URL

from bireme.http.door import Door
from bireme.http.heads import PlainRequest, read_plain
from bireme.http.interface import (
    Answer,
    Peer,
    Query,
    Request,
    Response,
    Stream,
    Takeover,
    WebSocketUpgrade,
)
from bireme.http.upgrades import WRITE_AHEAD, RawConnection, ServerWebSocket
from bireme.http.wire import chunk_of, close_stream, header_lines, headers_of, peer_of, watch_for_dead_peer

log = structlog.get_logger(__name__)

PIECE = 512 * 1024
STEP = 64 * 1024
AT_ONCE = 256 * 1024
"""The longest writes: of a stream's chunk, of anything else, and what a stream may send out of turn, in steps. TLS
keeps for each connection the room of its longest write, for as long as it lasts."""

LINGER_BYTES = 1024 * 1024
LINGER_S = 1.0
"""How much of a refused body is read and dropped, so that the client sees the answer before a reset."""

REASONS = {status.value: status.phrase for status in HTTPStatus}
LAST_CHUNK = b"0\r\n\r\n"
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
NO_BODY = frozenset((204, 304))


PLAIN = RawRequestMessage(
    "GET", "/", HttpVersion11, CIMultiDictProxy(CIMultiDict()), (), False, None, False, False, URL("/")
)
"""What the library would have to say of a request that was read without it: nothing out of the ordinary."""


class Refused(Exception):
    """A request that ends here, with `status`, and its connection with it."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


class HttpConnection(web_protocol.RequestHandler):
    """The protocol of one client's connection."""

    __slots__ = ("_door", "_head_bytes", "_head_timer", "_peer", "_plain", "_taken_over", "task")

    def __init__(self, door: Door) -> None:
        limits = door.limits
        super().__init__(
            door,
            loop=asyncio.get_running_loop(),
            keepalive_timeout=limits.idle_s,
            tcp_keepalive=False,
            access_log=None,  # type: ignore[arg-type]
            max_line_size=limits.request_line,
            max_headers=limits.header_count,
            max_field_size=limits.header_line,
            lingering_time=0,
            auto_decompress=False,
        )
        self._door = door
        self._head_timer: asyncio.TimerHandle | None = None
        self._head_bytes = 0
        self._peer: Peer | None = None
        self._taken_over = False
        # The parser has seen nothing, so that it has no beginning of what comes next.
        self._plain = True
        self.task: asyncio.Task[None] | None = None

    # --- the connection's life

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self.task = self._task_handler
        watch_for_dead_peer(transport.get_extra_info("socket"))
        # TLS transports hold half a megabyte before they say stop; uvloop's are no WriteTransport by name
        cast("asyncio.Transport", transport).set_write_buffer_limits(high=WRITE_AHEAD)
        self._head_timer = self._loop.call_later(self._door.limits.header_s, self._head_expired)

    def connection_lost(self, exc: BaseException | None) -> None:
        task = self.task
        self._end_head()
        super().connection_lost(exc)
        if task is None or task.done():
            return
        if self._taken_over:
            # what arrived before the end is still to be read; then a grace, in case the end goes unseen
            self._loop.call_later(self._door.limits.write_s, task.cancel)
        else:
            task.cancel()

    def data_received(self, data: bytes) -> None:
        if self._plain and self._take_plain(data):
            return
        self._plain = False
        super().data_received(data)
        if self._messages or self._request_in_progress or self._taken_over:
            if self._head_timer is not None:
                self._end_head()
            return
        self._head_bytes += len(data)
        if self._head_bytes > self._door.limits.head:
            self._end_head()
            self._give_up(431, "request head too large")
        elif self._head_timer is None and data:
            self._head_timer = self._loop.call_later(self._door.limits.header_s, self._head_expired)

    def _take_plain(self, data: bytes) -> bool:
        """Take a request without the parser, where nothing is under way and it can be read at a glance."""
        waiter = self._waiter
        if waiter is None or waiter.done() or self._messages or self._taken_over or self._close or self._force_close:
            return False
        plain = read_plain(data, self._door.limits)
        if plain is None:
            return False
        self._end_head()
        self._messages.append((plain, EMPTY_PAYLOAD))  # type: ignore[arg-type]  # a kind that the library knows not
        waiter.set_result(None)
        return True

    def _end_head(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None
        self._head_bytes = 0

    def _head_expired(self) -> None:
        self._head_timer = None
        if not (self._messages or self._request_in_progress):
            if self._head_bytes:
                self._give_up(408, "request head took too long")
            else:
                self.force_close()

    def _give_up(self, status: int, message: str) -> None:
        """Refuse a head that never became a request, and close."""
        self._door.refused += 1
        if self.transport is not None:
            refusal = self._door.refuse(status, message)
            self.transport.write(self._head_of_response(refusal, close=True) + refusal.body)
        self.force_close()

    # --- the request loop

    async def start(self) -> None:
        """Answer the requests of this connection one after another."""
        try:
            while not self._force_close:
                message, payload = await self._next_message()
                self._door.requests_count += 1
                self._request_in_progress = True
                try:
                    keep = await self._serve(message, payload)
                finally:
                    self._request_in_progress = False
                if not keep or self._close or self._force_close:
                    break
                self._resume_after_declined_upgrade()
                self._await_idle()
        except ConnectionError:
            self.force_close()
        except asyncio.CancelledError:
            self.force_close()
            raise
        finally:
            if self.transport is not None:
                self.transport.close()

    async def _next_message(self) -> tuple[Any, StreamReader]:
        if not self._messages:
            self._waiter = self._loop.create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        message, payload = self._messages.popleft()
        if self._parser is not None and not isinstance(message, PlainRequest):
            self._parser.message_consumed()
        if self._buffer_paused and len(self._messages) <= self._msg_queue_resume_size:
            self._resume_reading_if_drained()
        return message, payload

    def _resume_after_declined_upgrade(self) -> None:
        """Go on parsing requests after an answer that was not the upgrade the client asked for."""
        if self._upgraded and self._parser is not None and not self._messages:
            self._parser.set_upgraded(False)
            self._upgraded = False
            tail, self._message_tail = self._message_tail, b""
            self.data_received(tail)

    def _await_idle(self) -> None:
        close_time = self._loop.time() + self._keepalive_timeout
        self._next_keepalive_close_time = close_time
        if self._keepalive_handle is None:
            self._keepalive_handle = self._loop.call_at(close_time, self._process_keepalive)

    # --- one request

    async def _serve(self, message: Any, payload: StreamReader) -> bool:
        """Answer one request; true when the connection may carry another."""
        try:
            if isinstance(message, PlainRequest):
                request, message = self._request(message.method, message.target, message.headers, message.body), PLAIN
            elif isinstance(message, RawRequestMessage):
                request = await self._read(message, payload)
            else:
                raise _refusal_of_parser(message)
        except Refused as refused:
            await self._refuse(refused, payload)
            return False
        try:
            answer = await self._door.handler(request)
        except Exception:
            log.exception("request failed", door=self._door.name, method=request.method, path=request.path)
            answer = self._door.refuse(500, "internal error")
        close = message.should_close or message.version != HttpVersion11 or self._close or not payload.is_eof()
        keep = await self._write(request, message, answer, close=close)
        if not payload.is_eof():
            await self._linger(payload)
        return keep

    async def _refuse(self, refused: Refused, payload: StreamReader) -> None:
        self._door.refused += 1
        refusal = self._door.refuse(refused.status, refused.message)
        await self._send(self._head_of_response(refusal, close=True), refusal.body)
        await self._linger(payload)

    async def _linger(self, payload: StreamReader) -> None:
        left = LINGER_BYTES
        with suppress(TimeoutError, web_protocol.RequestPayloadError):
            async with asyncio.timeout(LINGER_S):
                while left > 0 and not payload.at_eof():
                    left -= len(await payload.readany())

    async def _read(self, message: RawRequestMessage, payload: StreamReader) -> Request:
        """The request that the parser read, with its body or with a stream of that."""
        target = message.path
        if not target.startswith("/"):
            if message.method == "CONNECT" or not message.url.absolute:
                raise Refused(400, "request target must be a path")
            target = message.url.raw_path_qs
        if not target.isascii():
            try:
                target.encode()
            except UnicodeEncodeError:
                raise Refused(400, "request target is not UTF-8") from None
        request = self._request(message.method, target, headers_of(message))
        if not await self._collect_body(request, message, payload):
            request.stream = self._parts(request, payload)
        return request

    def _request(self, method: str, target: str, headers: Mapping[str, str], body: bytes = b"") -> Request:
        path, _, query = target.partition("?")
        return Request(
            method,
            unquote(path) if "%" in path else path,
            Query.parse(query),
            headers,
            body,
            peer=self._peer or self._meet_peer(),
            raw_path=target,
        )

    def _meet_peer(self) -> Peer:
        self._peer = peer = peer_of(self.transport)
        return peer

    async def _collect_body(self, request: Request, message: RawRequestMessage, payload: StreamReader) -> bool:
        """Fill `request.body`; false when the handler wants it as a stream."""
        if payload.is_eof() and not (self._door.streams_body and message.chunked):
            request.body = payload.read_nowait()
            if len(request.body) > self._door.limits.body:
                raise self._too_large()
            return True
        streamed = self._door.streams_body is not None and self._door.streams_body(request)
        if not streamed and int(request.headers.get("content-length", 0)) > self._door.limits.body:
            raise self._too_large()
        self._invite(request)
        if streamed:
            return False
        request.body = await self._read_whole(payload)
        return True

    def _too_large(self) -> Refused:
        return Refused(413, f"Request entity too large: limit is {self._door.limits.body}")

    def _invite(self, request: Request) -> None:
        """Tell a client that asked first to send its body."""
        expect = request.headers.get("expect")
        if expect is None or self.transport is None:
            return
        if expect.lower() != "100-continue":
            raise Refused(417, "unknown expectation")
        self.transport.write(CONTINUE)

    async def _read_whole(self, payload: StreamReader) -> bytes:
        parts: list[bytes] = []
        left = self._door.limits.body
        try:
            async with asyncio.timeout(self._door.limits.body_s):
                while part := await payload.readany():
                    left -= len(part)
                    if left < 0:
                        raise self._too_large()
                    parts.append(part)
        except TimeoutError:
            raise Refused(408, "request body took too long") from None
        except web_protocol.RequestPayloadError:
            raise Refused(400, "malformed request body") from None
        return b"".join(parts)

    async def _parts(self, request: Request, payload: StreamReader) -> AsyncIterator[bytes]:
        if request.body:
            yield request.body
        while part := await payload.readany():
            yield part

    # --- answers

    async def _write(self, request: Request, message: RawRequestMessage, answer: Answer, *, close: bool) -> bool:
        match answer:
            case Response():
                head = self._head_of_response(answer, close=close)
                await self._send(head, b"" if request.method == "HEAD" else answer.body)
                return not close
            case Stream():
                await self._send_stream(request, message, answer, close=close)
                return not close
            case Takeover():
                await self._hand_over(answer)
            case WebSocketUpgrade():
                await self._web_socket(message, answer)
        return False

    def _head_of_response(self, response: Response, *, close: bool) -> bytes:
        lines = self._head_lines(response.status, response.headers, response.content_type, close=close)
        if response.status not in NO_BODY and "content-length" not in response.headers:
            lines.append(f"content-length: {len(response.body)}\r\n")
        lines.append("\r\n")
        return "".join(lines).encode()

    def _head_lines(
        self, status: int, headers: Mapping[str, str], content_type: str, *, close: bool = False
    ) -> list[str]:
        lines = [
            f"HTTP/1.1 {status} {REASONS.get(status, '')}\r\n",
            f"date: {self._door.date(self._loop.time())}\r\n",
        ]
        if content_type and status not in NO_BODY:
            lines.append(f"content-type: {content_type}\r\n")
        lines += header_lines(headers.items())
        if close:
            lines.append("connection: close\r\n")
        return lines

    async def _send(self, head: bytes, body: bytes, *, step: int = STEP) -> None:
        if len(body) <= step:
            await self._put(head + body)
            return
        await self._put(head)
        view = memoryview(body)
        for start in range(0, len(body), step):
            await self._put(view[start : start + step])

    async def _put(self, data: bytes | memoryview) -> None:
        """Write `data` and wait while the client is slow; ConnectionError once it is gone or too slow."""
        transport = self.transport
        if transport is None or transport.is_closing():
            raise ConnectionResetError("client left")
        transport.write(data)
        if self._paused:
            try:
                async with asyncio.timeout(self._door.limits.write_s):
                    await self._drain_helper()
            except TimeoutError:
                self._door.slow_readers += 1
                transport.abort()
                raise ConnectionAbortedError("client reads too slowly") from None

    async def _send_stream(
        self, request: Request, message: RawRequestMessage, stream: Stream, *, close: bool
    ) -> None:
        chunked = message.version == HttpVersion11
        lines = self._head_lines(stream.status, stream.headers, stream.content_type, close=close)
        lines.append("transfer-encoding: chunked\r\n\r\n" if chunked else "\r\n")
        try:
            await self._put("".join(lines).encode())
            if request.method == "HEAD":
                return
            if stream.attach is not None and chunked:
                stream.attach(self._send_now)
            async for chunk in stream.chunks:
                await self._put_chunk(chunk, chunked=chunked)
                del chunk  # the next may be long in coming
            if chunked:
                await self._put(LAST_CHUNK)
        except ConnectionError:
            raise
        except Exception as error:
            # the head is out: only a cut tells the client that the rest is missing
            log.exception("stream failed", door=self._door.name, method=request.method, path=request.path)
            if self.transport is not None:
                self.transport.abort()
            raise ConnectionAbortedError("stream failed") from error
        finally:
            await close_stream(stream)

    async def _put_chunk(self, chunk: bytes, *, chunked: bool) -> None:
        if not chunk:
            return
        if not chunked:
            await self._send(b"", chunk)
        elif len(chunk) <= PIECE:
            await self._put(chunk_of(chunk))
        else:
            await self._send(b"%x\r\n" % len(chunk), chunk, step=PIECE)
            await self._put(b"\r\n")

    def _send_now(self, chunk: bytes) -> bool:
        """Send a chunk of a stream out of turn; false when the client is slow or gone, or the chunk is long."""
        transport = self.transport
        if self._paused or transport is None or transport.is_closing() or len(chunk) > AT_ONCE:
            return False
        framed = self._door.chunk(chunk)
        if len(framed) <= STEP:
            transport.write(framed)
            return True
        view = memoryview(framed)
        for start in range(0, len(framed), STEP):
            transport.write(view[start : start + STEP])
        return True

    # --- upgrades

    async def _hand_over(self, takeover: Takeover) -> None:
        self._taken_over = True
        self.keep_alive(False)
        connection = RawConnection(self)
        self.set_parser(connection)  # type: ignore[arg-type]
        if self.transport is not None:
            lines = self._head_lines(101, {"connection": "Upgrade", **takeover.headers}, "")
            self.transport.write("".join([*lines, "\r\n"]).encode())
        try:
            await self._run_upgraded(takeover.run(connection))
        finally:
            await connection.close()

    async def _web_socket(self, message: RawRequestMessage, upgrade: WebSocketUpgrade) -> None:
        response = web.WebSocketResponse(
            protocols=(upgrade.protocol,) if upgrade.protocol else (),
            compress=False,
            max_msg_size=self._door.limits.message,
            timeout=LINGER_S,
        )
        task = asyncio.current_task()
        assert task is not None
        payload = EMPTY_PAYLOAD
        request = web.BaseRequest(message, payload, self, StreamWriter(self, self._loop), task, self._loop)
        self._taken_over = True
        try:
            await response.prepare(request)
        except web.HTTPException:
            self._taken_over = False
            raise_refusal = Refused(400, "not a WebSocket request")
            await self._refuse(raise_refusal, payload)
            return
        connection = ServerWebSocket(response)
        try:
            await self._run_upgraded(upgrade.run(connection))
        finally:
            await connection.close()

    async def _run_upgraded(self, run: Any) -> None:
        try:
            await run
        except* ConnectionError:
            pass
        except* Exception:
            log.exception("upgraded connection failed", door=self._door.name)


def _refusal_of_parser(error: Any) -> Refused:
    message = str(error.message)
    if "too long" in message or "more than" in message or "Too many headers" in message:
        return Refused(431, "request head too large")
    return Refused(error.status, "malformed request")
