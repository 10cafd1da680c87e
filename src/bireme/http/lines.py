"""Kept connections, each with one request under way: what whole answers are asked for on.

No task, no stream and no timer belongs to a request: its bytes are written at once, and whoever waits is told by the
call that read the last of its answer. ADR 0033 has the figures. What an answer says stands in `answers.py`; who asks
what, under which limit of time, in `requests.py`.
"""

import asyncio
import ssl
from collections import deque
from collections.abc import Callable
from typing import NamedTuple, cast

from bireme.http.answers import Answered, Cut, Malformed, Reading, Reply, reading

KEEP_IDLE_S = 60.0
"""How long an idle connection is kept: well below the time after which our servers close it."""

Done = Callable[[Answered | Exception], None]


class Origin(NamedTuple):
    """Who is asked. `server_name` is what the certificate must bear, if that is not the host."""

    host: str
    port: int
    tls: ssl.SSLContext | None = None
    server_name: str = ""


class Request(NamedTuple):
    """What is sent; `bodiless` if the answer has no body, `again` if it may be sent twice."""

    origin: Origin
    data: bytes
    bodiless: bool = False
    again: bool = False


class Line(asyncio.Protocol):
    """One connection. `since` is when it was last given back."""

    def __init__(self) -> None:
        self.transport: asyncio.Transport | None = None
        self.since = 0.0
        self._heard = False
        self._reading: Reading | None = None
        self._done: Done | None = None

    @property
    def is_open(self) -> bool:
        """Whether it can be asked."""
        return self.transport is not None and not self.transport.is_closing()

    @property
    def has_sent_all(self) -> bool:
        """Whether nothing of what was asked waits to be sent."""
        return self.transport is not None and not self.transport.get_write_buffer_size()

    def ask(self, request: bytes, done: Done, *, bodiless: bool = False, limit: int) -> None:
        """Send a request; `done` is told of the answer, or of what came in its place. One at a time."""
        assert self.transport is not None
        self._reading, self._done, self._heard = reading(bodiless=bodiless, limit=limit), done, False
        next(self._reading)
        self.transport.write(request)

    def abort(self) -> None:
        """Nothing more is awaited of it."""
        self._reading = self._done = None
        if self.transport is not None:
            self.transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)  # uvloop's is none by its class

    def data_received(self, data: bytes) -> None:
        if self._reading is None:
            self.abort()  # nobody asked
            return
        self._heard = True
        self._read(data)

    def connection_lost(self, error: Exception | None) -> None:
        self.transport = None
        if self._reading is None:
            return
        if error is None:
            self._read(b"")
        else:
            self._settle(Cut(heard=self._heard))  # no end of a body, though one without a length goes on to the end

    def _read(self, data: bytes) -> None:
        assert self._reading is not None
        try:
            self._reading.send(data)
        except StopIteration as answered:
            self._settle(answered.value)
        except (Malformed, Cut) as error:
            self._settle(error)

    def _settle(self, outcome: Answered | Exception) -> None:
        done, self._reading, self._done = self._done, None, None
        if not (isinstance(outcome, Answered) and outcome.keeps) and self.transport is not None:
            self.transport.abort()
        if done is not None:
            done(outcome)


async def connect(origin: Origin) -> Line:
    """A new connection. Raises OSError."""
    _, line = await asyncio.get_running_loop().create_connection(
        Line,
        origin.host,
        origin.port,
        ssl=origin.tls,
        server_hostname=(origin.server_name or origin.host).rstrip(".") if origin.tls else None,
    )
    return line


class Lines:
    """Connections to any number of servers, kept for a while after their last use."""

    def __init__(self, *, connect_s: float) -> None:
        self._connect_s = connect_s
        self._idle: dict[Origin, deque[Line]] = {}
        self._sweep: asyncio.TimerHandle | None = None
        self._closed = False

    async def ask(self, request: Request, *, limit: int) -> Reply:
        """The whole answer. Raises OSError and Malformed.

        A kept connection may have been closed by the server just then: a request that may be sent twice is, on a
        new one.
        """
        line = self._kept(request.origin)
        if line is not None:
            try:
                return await self._through(line, request, limit)
            except Cut as cut:
                if cut.heard or not request.again:
                    raise
        async with asyncio.timeout(self._connect_s):
            line = await connect(request.origin)
        return await self._through(line, request, limit)

    def close(self) -> None:
        """Close every connection, those that are in use once they have their answer."""
        self._closed = True
        if self._sweep is not None:
            self._sweep.cancel()
            self._sweep = None
        for lines in self._idle.values():
            for line in lines:
                line.abort()
        self._idle.clear()

    async def _through(self, line: Line, request: Request, limit: int) -> Reply:
        answer: asyncio.Future[Answered] = asyncio.get_running_loop().create_future()

        def done(outcome: Answered | Exception) -> None:
            if answer.done():
                return
            if isinstance(outcome, Exception):
                answer.set_exception(outcome)
            else:
                answer.set_result(outcome)

        line.ask(request.data, done, bodiless=request.bodiless, limit=limit)
        try:
            reply, keeps = await answer
        except asyncio.CancelledError:
            line.abort()
            raise
        if keeps and line.is_open:
            if line.has_sent_all:
                self._keep(request.origin, line)
            else:
                line.abort()  # who answers early may never read the rest, nor what would come behind it
        return reply

    def _kept(self, origin: Origin) -> Line | None:
        """The connection that was used last, which is the likeliest to be open still."""
        lines = self._idle.get(origin)
        while lines:
            line = lines.pop()
            if line.is_open:
                return line
        return None

    def _keep(self, origin: Origin, line: Line) -> None:
        if self._closed:
            line.abort()
            return
        loop = asyncio.get_running_loop()
        line.since = loop.time()
        self._idle.setdefault(origin, deque()).append(line)
        if self._sweep is None:
            self._sweep = loop.call_later(KEEP_IDLE_S, self._close_old)

    def _close_old(self) -> None:
        """Close what was idle for long, and forget servers of whom nothing is left."""
        loop = asyncio.get_running_loop()
        oldest = loop.time() - KEEP_IDLE_S
        for origin, lines in list(self._idle.items()):
            while lines and (lines[0].since <= oldest or not lines[0].is_open):
                lines.popleft().abort()
            if not lines:
                del self._idle[origin]
        self._sweep = loop.call_later(KEEP_IDLE_S / 2, self._close_old) if self._idle else None
