"""How a client's requests reach the API: over HTTPS, or straight into a door in this process."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import aclosing
from typing import Protocol
from urllib.parse import quote, urlencode

from bireme.api.errors import ServiceUnavailable
from bireme.api.kinds import core
from bireme.api.kinds.meta import Object
from bireme.api.scheme import Resource
from bireme.client.errors import from_answer
from bireme.http.answers import Reply
from bireme.http.interface import Handler, Identity, Peer, Query, Request, Response, Stream
from bireme.http.requests import RequestFailed, Session

Pairs = Sequence[tuple[str, str]]


Heard = tuple[str, str, Object | None, int]
"""Namespace, name, the object (None: gone, or not asked for any more) and the revision of a change."""

Told = Callable[[Sequence[Heard]], None]
"""Hears of changes, oldest first."""


class Transport(Protocol):
    """Two ways to ask: for a whole answer, and for one that comes in parts."""

    async def request(self, method: str, path: str, query: Pairs, headers: Mapping[str, str], body: bytes) -> Reply:
        """The answer, whatever its status. Raises ServiceUnavailable when there is none."""
        ...

    def stream(self, method: str, path: str, query: Pairs, headers: Mapping[str, str]) -> AsyncIterator[bytes]:
        """The parts of the body as they come. Raises the ApiError of an answer that is no success."""
        ...

    async def close(self) -> None: ...


class Lane(Protocol):
    """A short way to the API of this very process, for what is done by the thousand."""

    async def create(
        self, resource: Resource, namespace: str, body: bytes, *, number: int = 1
    ) -> Sequence[Response] | None:
        """The answers to so many POSTs of one object; None where they have to go the usual way."""
        ...

    async def bind(self, bindings: Sequence[core.Binding]) -> Sequence[Response]:
        """The answers to POSTs to pods' bindings."""
        ...

    async def follow(
        self, resource: Resource, namespace: str, query: Pairs, told: Told, *, kind: type[Object], version: str
    ) -> bool:
        """Have `told` hear of each change after `version`, until cancelled. False where that has to be a watch.

        Raises the ApiError that a watch would meet.
        """
        ...


class HttpTransport:
    """Over a socket to `base_url`, with whatever credentials the session and `headers` carry.

    `server_name` is what the server's certificate must bear, if that is not the host of the URL.
    """

    def __init__(
        self,
        session: Session,
        base_url: str,
        *,
        headers: Mapping[str, str] | None = None,
        server_name: str | None = None,
    ) -> None:
        self._session = session
        self._server_name = server_name
        self._base = base_url.rstrip("/")
        self._headers = dict(headers or {})

    def _url(self, path: str, query: Pairs) -> str:
        return self._base + quote(path, safe="/:@") + ("?" + urlencode(query) if query else "")

    async def request(self, method: str, path: str, query: Pairs, headers: Mapping[str, str], body: bytes) -> Reply:
        try:
            return await self._session.request(
                method,
                self._url(path, query),
                headers={**self._headers, **headers},
                body=body,
                server_name=self._server_name,
            )
        except RequestFailed as error:
            raise ServiceUnavailable(f"cannot reach {self._base}: {error}") from error

    async def stream(self, method: str, path: str, query: Pairs, headers: Mapping[str, str]) -> AsyncIterator[bytes]:
        try:
            async with self._session.stream(
                method, self._url(path, query), headers={**self._headers, **headers}, server_name=self._server_name
            ) as answer:
                if answer.status >= 400:
                    raise from_answer(answer.status, await answer.read())
                async for chunk in answer.chunks:
                    yield chunk
        except RequestFailed as error:
            raise ServiceUnavailable(f"lost {self._base}: {error}") from error

    async def close(self) -> None:
        await self._session.close()


class InProcessTransport:
    """Straight into `handler`, as `identity`: no socket, no TLS, the same checks."""

    def __init__(self, handler: Handler, identity: Identity) -> None:
        self._handler = handler
        self._peer = Peer(address="in-process", identity=identity)

    def _ask(self, method: str, path: str, query: Pairs, headers: Mapping[str, str], body: bytes) -> Request:
        raw = quote(path, safe="/:@") + ("?" + urlencode(query) if query else "")
        return Request(method, path, Query(query), headers, body, self._peer, raw)

    async def request(self, method: str, path: str, query: Pairs, headers: Mapping[str, str], body: bytes) -> Reply:
        answer = await self._handler(self._ask(method, path, query, headers, body))
        if isinstance(answer, Stream):
            async with aclosing(answer.chunks) as chunks:  # type: ignore[type-var]
                body = b"".join([chunk async for chunk in chunks])
            return Reply(answer.status, answer.headers, body)
        if not isinstance(answer, Response):
            raise ServiceUnavailable(f"{path} asks for a connection of its own, which this transport has not")
        return Reply(answer.status, answer.headers, answer.body)

    async def stream(self, method: str, path: str, query: Pairs, headers: Mapping[str, str]) -> AsyncIterator[bytes]:
        answer = await self._handler(self._ask(method, path, query, headers, b""))
        if isinstance(answer, Response):
            if answer.status >= 400:
                raise from_answer(answer.status, answer.body)
            yield answer.body
            return
        if not isinstance(answer, Stream):
            raise ServiceUnavailable(f"{path} asks for a connection of its own, which this transport has not")
        async with aclosing(answer.chunks) as chunks:  # type: ignore[type-var]
            async for chunk in chunks:
                yield chunk

    async def close(self) -> None:
        await asyncio.sleep(0)
