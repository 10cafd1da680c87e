"""Asking an instance over the network whether it is well: HTTP and TCP, certificates not verified."""

import asyncio
import ssl
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol
from urllib.parse import urljoin, urlsplit

from bireme.http.requests import RequestFailed, Session

MAX_REDIRECTS = 5
MAX_ANSWER = 1 << 20


class ProbeFailed(Exception):
    """There was no answer; the text says why."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What an HTTP probe found."""

    status: int
    content_type: str = ""
    body: bytes = b""


class Prober(Protocol):
    """The two questions."""

    async def get(self, url: str, *, timeout_s: float) -> Answer:
        """The answer to a GET, redirects followed. Raises ProbeFailed."""
        ...

    async def tcp(self, host: str, port: int, *, timeout_s: float) -> None:
        """Return if a connection can be made. Raises ProbeFailed."""
        ...


class NetworkProber:
    """Over real sockets."""

    def __init__(self) -> None:
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        self._session = Session(tls=context)

    async def get(self, url: str, *, timeout_s: float) -> Answer:
        try:
            async with asyncio.timeout(timeout_s):
                return await self._follow(url, timeout_s)
        except TimeoutError as error:
            raise ProbeFailed(f"{url}: no answer within {timeout_s:g} s") from error
        except RequestFailed as error:
            raise ProbeFailed(str(error)) from error

    async def _follow(self, url: str, timeout_s: float) -> Answer:
        for _ in range(MAX_REDIRECTS):
            reply = await self._session.request("GET", url, timeout_s=timeout_s, limit=MAX_ANSWER)
            target = urljoin(url, reply.headers.get("location", ""))
            if reply.status not in (301, 302, 303, 307, 308) or not reply.headers.get("location"):
                return Answer(reply.status, reply.headers.get("content-type", ""), reply.body)
            # a task may not send the leader to other machines' doors
            if urlsplit(target).hostname != urlsplit(url).hostname:
                return Answer(reply.status)
            url = target
        raise ProbeFailed(f"{url}: too many redirects")

    async def tcp(self, host: str, port: int, *, timeout_s: float) -> None:
        try:
            async with asyncio.timeout(timeout_s):
                _, writer = await asyncio.open_connection(host, port)
        except TimeoutError as error:
            raise ProbeFailed(f"{host}:{port}: no connection within {timeout_s:g} s") from error
        except OSError as error:
            raise ProbeFailed(f"{host}:{port}: {error}") from error
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()

    async def close(self) -> None:
        """Close every connection."""
        await self._session.close()
