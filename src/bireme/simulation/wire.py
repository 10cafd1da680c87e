"""Lease renewals on bare connections: bytes that are made once, a time that is stamped in, an answer barely read.

A thousand requests a second through a client would cost a good part of a core; here one costs little more than its
encryption. Some HTTP/1.1 connections take names from one queue, each with one request under way. Of an answer
only the status and the length are read (RFC 9112).
"""

import asyncio
import re
from collections import deque
from collections.abc import Callable, Sequence
from typing import cast
from urllib.parse import urlsplit

from bireme.api.errors import ApiError, ServiceUnavailable
from bireme.client.client import Patch
from bireme.client.errors import from_answer
from bireme.client.kubeconfig import Access
from bireme.simulation.leases import PATH, patch_of

LINES = 64
ANSWER_S = 15.0
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_CHUNKED = re.compile(rb"\r\ntransfer-encoding: *chunked", re.IGNORECASE)
_CLOSE = re.compile(rb"\r\nconnection: *close", re.IGNORECASE)
_LAST_CHUNK = b"0\r\n\r\n"


class Line(asyncio.Protocol):
    """One connection, with one request under way at most. `done(name, status, body)` hears of each answer."""

    def __init__(self, head: tuple[bytes, bytes], done: Callable[["Line", int, bytes], None]) -> None:
        self._before, self._after = head
        self._done = done
        self._read = b""
        self.name = ""
        self.transport: asyncio.Transport | None = None

    @property
    def is_open(self) -> bool:
        return self.transport is not None and not self.transport.is_closing()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)  # uvloop's is none by its class

    def connection_lost(self, error: Exception | None) -> None:
        self.transport = None
        if self.name:
            self._answer(0, b"")

    def send(self, name: str, body: bytes) -> None:
        """Have the lease patched."""
        self.name = name
        assert self.transport is not None
        self.transport.write(b"%s%s%s%d\r\n\r\n%s" % (self._before, name.encode(), self._after, len(body), body))

    def data_received(self, data: bytes) -> None:
        read = self._read = self._read + data if self._read else data
        end = read.find(b"\r\n\r\n")
        if end < 0:
            return
        head = read[: end + 2]
        length = _LENGTH.search(head)
        if length is not None:
            if len(read) < end + 4 + int(length[1]):
                return
        elif _CHUNKED.search(head) and not read.endswith(_LAST_CHUNK):
            return
        self._read = b""
        if _CLOSE.search(head) and self.transport is not None:
            self.transport.close()
        self._answer(int(read[9:12]), read[end + 4 :])

    def abort(self) -> None:
        """Nothing more is awaited of it."""
        if self.transport is not None:
            self.transport.abort()

    def _answer(self, status: int, body: bytes) -> None:
        self._done(self, status, body)


class WireRenewer:
    """Renews leases of one cluster. See `leases.Renewer`."""

    def __init__(self, access: Access, *, lines: int = LINES) -> None:
        self._access = access
        url = urlsplit(access.server.rstrip("/"))
        self._host, self._port = url.hostname or "", url.port or 443
        headers = {"Host": url.netloc, "User-Agent": "bireme-hollow", "Accept": "application/json", **access.headers}
        headers["Content-Type"] = Patch.MERGE.value
        told = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        self._head = (
            f"PATCH {url.path}{PATH}".encode(),
            f" HTTP/1.1\r\n{told}Content-Length: ".encode(),
        )
        self._lines = [Line(self._head, self._answered) for _ in range(lines)]
        self._turn = asyncio.Lock()
        self._names: deque[str] = deque()
        self._failed: dict[str, ApiError] = {}
        self._body = b""
        self._left = 0
        self._all: asyncio.Future[None] | None = None

    async def renew(self, names: Sequence[str], moment: str) -> dict[str, ApiError]:
        """See `leases.Renewer`."""
        async with self._turn:
            return await self._renew(names, moment)

    async def _renew(self, names: Sequence[str], moment: str) -> dict[str, ApiError]:
        self._names.extend(names)
        self._failed, self._body, self._left = {}, patch_of(moment), len(names)
        self._all = asyncio.get_running_loop().create_future()
        try:
            await self._open_lines(min(len(names), len(self._lines)))
            for line in self._lines:
                self._next(line)
            async with asyncio.timeout(ANSWER_S):
                await self._all
        except (OSError, TimeoutError) as error:
            self._give_up(error)
        return self._failed

    async def close(self) -> None:
        """Close every connection."""
        for line in self._lines:
            line.name = ""
            line.abort()

    async def _open_lines(self, count: int) -> None:
        loop, access = asyncio.get_running_loop(), self._access
        for line in self._lines[:count]:
            if not line.is_open:
                async with asyncio.timeout(ANSWER_S):
                    await loop.create_connection(
                        lambda line=line: line,  # type: ignore[misc]
                        self._host,
                        self._port,
                        ssl=access.tls,
                        server_hostname=access.server_name or self._host,
                    )

    def _next(self, line: Line) -> None:
        if self._names and line.is_open and not line.name:
            line.send(self._names.popleft(), self._body)

    def _answered(self, line: Line, status: int, body: bytes) -> None:
        name, line.name = line.name, ""
        if not 200 <= status < 300:
            self._failed[name] = (
                from_answer(status, body) if status else ServiceUnavailable("the connection was lost")
            )
        self._left -= 1
        if not self._left and self._all is not None and not self._all.done():
            self._all.set_result(None)
            return
        self._next(line)
        if self._names and not any(each.is_open for each in self._lines):
            self._give_up(ConnectionError("every connection was lost"))

    def _give_up(self, error: Exception) -> None:
        """Nothing more is to be had of this round: what is under way is cut, what waits has failed."""
        waiting, self._names = list(self._names), deque()
        for line in self._lines:
            if line.name:
                waiting.append(line.name)
                line.name = ""
                line.abort()
        reason = ServiceUnavailable(f"cannot reach {self._access.server}: {error or type(error).__name__}")
        self._failed.update(dict.fromkeys(waiting, reason))
        if self._all is not None and not self._all.done():
            self._all.set_result(None)
