"""Requests out: whole answers, streams, WebSockets and upgraded connections, over TCP, TLS or a unix socket.

Never follows a redirect, keeps no cookies, asks for no compression and undoes none. What an answer means, and
whether to try again, is the caller's business.
"""

import asyncio
import socket
import ssl
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp
from multidict import CIMultiDict
from yarl import URL

from bireme.aio.overdue import Overdue
from bireme.http import lines
from bireme.http.answers import Reply
from bireme.http.lines import KEEP_IDLE_S
from bireme.http.plain import plain_request
from bireme.http.upgrades import ClientWebSocket, Upgraded, open_upgraded

Headers = Mapping[str, str | Sequence[str]]
"""What is sent; a name with several values is sent several times."""

CONNECT_S = 10.0


class RequestFailed(Exception):
    """There is no whole answer: the connection failed, broke, or took too long."""


class RequestTimedOut(RequestFailed):
    """The time given to the request ran out."""


@dataclass(frozen=True, slots=True)
class StreamReply:
    """An answer whose body comes in parts, as they arrive. Header names are lower case."""

    status: int
    headers: Mapping[str, str]
    chunks: AsyncIterator[bytes]

    async def read(self) -> bytes:
        """All that is left of the body."""
        return b"".join([chunk async for chunk in self.chunks])


class Session:
    """A pool of connections. `tls` and `headers` go for every request that brings none of its own.

    `may_reach` says of the addresses that names stand for which ones may be connected to.
    With `unix_path` every request goes to that socket, whatever host its URL names. Make it, use it and close
    it in one event loop.
    """

    def __init__(
        self,
        *,
        tls: ssl.SSLContext | None = None,
        headers: Mapping[str, str] | None = None,
        unix_path: str | None = None,
        timeout_s: float = 60.0,
        may_reach: Callable[[str], bool] | None = None,
    ) -> None:
        self._tls = tls
        self._headers = dict(headers or {})
        self._unix_path = unix_path
        self._timeout_s = timeout_s
        self._may_reach = may_reach
        self._client: aiohttp.ClientSession | None = None
        self._lines: lines.Lines | None = None
        self._overdue = Overdue(timeout_s)

    async def request(
        self,
        method: str,
        url: str,
        *,
        headers: Headers | None = None,
        body: bytes | AsyncIterator[bytes] = b"",
        tls: ssl.SSLContext | None = None,
        timeout_s: float | None = None,
        limit: int = 256 * 1024 * 1024,
        server_name: str | None = None,
    ) -> Reply:
        """The whole answer, whatever its status. RequestFailed when it does not come, or is over `limit` bytes.

        `server_name` is what the server's certificate must bear, if that is not the host of the URL.
        """
        said = {**self._headers, **headers} if headers else self._headers
        with _translated(url):
            if isinstance(body, bytes) and not (self._unix_path or self._may_reach):
                plain = plain_request(method, url, said, body, tls=tls or self._tls, server_name=server_name)
                if plain is not None:
                    return await self._ask(plain, timeout_s, limit)
            async with asyncio.timeout(timeout_s or self._timeout_s):
                return await self._gather(method, url, headers, body, tls, server_name, limit)

    async def _ask(self, request: lines.Request, timeout_s: float | None, limit: int) -> Reply:
        """The same on a connection of our own."""
        if self._lines is None:
            self._lines = lines.Lines(connect_s=CONNECT_S)
        if not timeout_s:
            with self._overdue.limit():
                return await self._lines.ask(request, limit=limit)
        async with asyncio.timeout(timeout_s):
            return await self._lines.ask(request, limit=limit)

    async def _gather(
        self,
        method: str,
        url: str,
        headers: Headers | None,
        body: bytes | AsyncIterator[bytes],
        tls: ssl.SSLContext | None,
        server_name: str | None,
        limit: int,
    ) -> Reply:
        """The whole answer by way of the library."""
        async with self._open(method, url, headers, body, tls, server_name) as response:
            if (response.content_length or 0) > limit:
                _hang_up(response)
                raise RequestFailed(f"{url}: answer too large")
            parts: list[bytes] = []
            async for part in response.content.iter_any():
                parts.append(part)
                limit -= len(part)
                if limit < 0:
                    _hang_up(response)
                    raise RequestFailed(f"{url}: answer too large")
            return Reply(response.status, _headers(response), b"".join(parts))

    @asynccontextmanager
    async def stream(
        self,
        method: str,
        url: str,
        *,
        headers: Headers | None = None,
        body: bytes | AsyncIterator[bytes] = b"",
        tls: ssl.SSLContext | None = None,
        timeout_s: float | None = None,
        server_name: str | None = None,
    ) -> AsyncIterator[StreamReply]:
        """The answer once its head has come, within `timeout_s`; its parts may take any time.

        The connection is dropped when the block is left before the end of the body.
        """
        with _translated(url):
            async with asyncio.timeout(timeout_s or self._timeout_s):
                response = await self._open(method, url, headers, body, tls, server_name)
        parts = _parts(url, response)
        try:
            yield StreamReply(response.status, _headers(response), parts)
        finally:
            await parts.aclose()
            if not response.content.at_eof():
                response.close()

    async def websocket(
        self,
        url: str,
        *,
        protocols: Sequence[str] = (),
        headers: Mapping[str, str] | None = None,
        tls: ssl.SSLContext | None = None,
        timeout_s: float | None = None,
        message_limit: int = 4 * 1024 * 1024,
    ) -> ClientWebSocket:
        """A WebSocket that offers `protocols`. RequestFailed when the server does not agree."""
        with _translated(url):
            async with asyncio.timeout(timeout_s or self._timeout_s):
                return ClientWebSocket(
                    await self._session().ws_connect(
                        URL(url, encoded=True),
                        protocols=protocols,
                        headers={**self._headers, **(headers or {})},
                        ssl=tls or self._tls or True,
                        max_msg_size=message_limit,
                    )
                )

    async def upgrade(
        self,
        method: str,
        url: str,
        *,
        headers: Headers | None = None,
        tls: ssl.SSLContext | None = None,
        timeout_s: float | None = None,
        server_name: str | None = None,
    ) -> Upgraded:
        """Ask for an upgrade on a connection of its own, which ends with it, whether it is granted or not.

        `headers` hold all that is sent, Host too where it is not the URL's, so also Connection and Upgrade.
        """
        with _translated(url):
            async with asyncio.timeout(timeout_s or self._timeout_s):
                return await open_upgraded(
                    method,
                    URL(url, encoded=True),
                    {**self._headers, **(headers or {})},
                    tls=tls or self._tls,
                    unix_path=self._unix_path,
                    server_name=server_name,
                )

    async def close(self) -> None:
        """Close every connection."""
        if self._lines is not None:
            self._lines.close()
            self._lines = None
            await asyncio.sleep(0)  # connections are gone in the loop's next turn
        if self._client is not None:
            await self._client.close()
            self._client = None

    async def __aenter__(self) -> "Session":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def _open(
        self,
        method: str,
        url: str,
        headers: Headers | None,
        body: bytes | AsyncIterator[bytes],
        tls: ssl.SSLContext | None,
        server_name: str | None = None,
    ) -> Any:
        return self._session().request(
            method,
            URL(url, encoded=True),
            headers=_spread({**self._headers, **headers}) if headers else self._headers,
            data=body or None,
            ssl=tls or self._tls or True,
            allow_redirects=False,
            server_hostname=server_name,
        )

    def _session(self) -> aiohttp.ClientSession:
        if self._client is None:
            connector: aiohttp.BaseConnector = (
                aiohttp.UnixConnector(self._unix_path, limit=0, keepalive_timeout=KEEP_IDLE_S)
                if self._unix_path
                else aiohttp.TCPConnector(
                    limit=0,
                    keepalive_timeout=KEEP_IDLE_S,
                    resolver=_Sieve(self._may_reach) if self._may_reach else None,
                )
            )
            redirects = aiohttp.TraceConfig()
            redirects.on_request_redirect.append(_refuse_redirect)
            self._client = aiohttp.ClientSession(
                connector=connector,
                cookie_jar=aiohttp.DummyCookieJar(),
                timeout=aiohttp.ClientTimeout(total=None, connect=CONNECT_S),
                skip_auto_headers=("Accept-Encoding", "User-Agent", "Content-Type"),
                auto_decompress=False,
                max_line_size=64 * 1024,
                max_field_size=64 * 1024,
                trace_configs=[redirects],
            )
        return self._client


def _spread(headers: Headers) -> Any:
    """The headers, those with several values repeated."""
    if all(isinstance(value, str) for value in headers.values()):
        return headers
    pairs = [
        (name, value)
        for name, values in headers.items()
        for value in ((values,) if isinstance(values, str) else values)
    ]
    return CIMultiDict(pairs)


class _Sieve(aiohttp.ThreadedResolver):
    """Finds only addresses that may be reached."""

    def __init__(self, may_reach: Callable[[str], bool]) -> None:
        super().__init__()
        self._may_reach = may_reach

    async def resolve(self, host: str, port: int = 0, family: Any = socket.AF_INET) -> Any:
        found = await super().resolve(host, port, family)
        kept = [each for each in found if self._may_reach(each["host"])]
        if not kept:
            raise OSError(f"address of {host} not allowed")
        return kept


def _hang_up(response: aiohttp.ClientResponse) -> None:
    """End the connection at once: a polite end of TLS would wait for the rest of the answer."""
    if response.connection is not None and response.connection.transport is not None:
        response.connection.transport.abort()


async def _refuse_redirect(*_: object) -> None:
    """WebSocket handshakes would follow redirects otherwise."""
    raise RequestFailed("redirected")


@contextmanager
def _translated(url: str) -> Iterator[None]:
    try:
        yield
    except TimeoutError as error:
        raise RequestTimedOut(f"{url}: timed out") from error
    except (aiohttp.ClientError, OSError, ValueError) as error:
        # aiohttp's own words for a failed connection show the TLS context by its address in memory.
        reason = error.os_error if isinstance(error, aiohttp.ClientConnectorError) else error
        raise RequestFailed(f"{url}: {reason or type(error).__name__}") from error


async def _parts(url: str, response: aiohttp.ClientResponse) -> AsyncGenerator[bytes, None]:
    with _translated(url):
        async for part in response.content.iter_any():
            yield part


def _headers(response: aiohttp.ClientResponse) -> dict[str, str]:
    return {name.lower(): ", ".join(response.headers.getall(name)) for name in response.headers}
