"""How Marathon reaches the Mesos master: the v1 scheduler API in JSON, over HTTP or straight into a door here."""

import base64
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager
from dataclasses import dataclass
from typing import Any, Protocol
from urllib.parse import urljoin

import orjson

from bireme.http.interface import Handler, Identity, Peer, Request, Response, Stream
from bireme.http.requests import RequestFailed, Session
from bireme.mesos import recordio

PATH = "/api/v1/scheduler"
STREAM_ID = "mesos-stream-id"
MAX_REDIRECTS = 3
_JSON = {"content-type": "application/json", "accept": "application/json"}


class MasterLost(Exception):
    """The master can't be reached, or doesn't want this call; `status` is 0 when there was no answer."""

    def __init__(self, message: str, *, status: int = 0) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True, slots=True)
class Events:
    """An open subscription."""

    stream_id: str
    chunks: AsyncIterator[bytes]

    async def read(self) -> AsyncGenerator[dict[str, Any], None]:
        """The events as they come. Raises MasterLost when the stream is broken."""
        reader = recordio.Reader()
        async for chunk in self.chunks:
            try:
                records = reader.feed(chunk)
            except recordio.Broken as error:
                raise MasterLost(str(error)) from error
            for record in records:
                yield orjson.loads(record)


class MasterTransport(Protocol):
    """The two ways to call the master."""

    def subscribe(self, call: dict[str, Any]) -> AbstractAsyncContextManager[Events]:
        """Open the stream of events. Raises MasterLost."""
        ...

    async def call(self, call: dict[str, Any], *, stream_id: str) -> None:
        """Make a call. Raises MasterLost unless it is accepted."""
        ...


def basic(name: str, password: str) -> dict[str, str]:
    """The header that proves who asks."""
    return {"authorization": "Basic " + base64.b64encode(f"{name}:{password}".encode()).decode()}


class InProcessMaster:
    """A master's door in this process, entered as `identity` or with `headers` that prove one."""

    def __init__(
        self, handler: Handler, *, identity: Identity | None = None, headers: Mapping[str, str] | None = None
    ) -> None:
        self._handler = handler
        self._peer = Peer(address="in-process", identity=identity)
        self._headers = {**_JSON, **(headers or {})}

    def _request(self, call: dict[str, Any], **headers: str) -> Request:
        every = {**self._headers, **headers}
        return Request("POST", PATH, headers=every, body=orjson.dumps(call), peer=self._peer, raw_path=PATH)

    @asynccontextmanager
    async def subscribe(self, call: dict[str, Any]) -> AsyncIterator[Events]:
        answer = await self._handler(self._request(call))
        if not isinstance(answer, Stream):
            raise _refused(answer.status if isinstance(answer, Response) else 500, getattr(answer, "body", b""))
        async with aclosing(answer.chunks) as chunks:  # type: ignore[type-var]
            yield Events(_header(answer.headers, STREAM_ID), chunks)

    async def call(self, call: dict[str, Any], *, stream_id: str) -> None:
        answer = await self._handler(self._request(call, **{STREAM_ID: stream_id}))
        if not isinstance(answer, Response) or answer.status >= 300:
            raise _refused(getattr(answer, "status", 500), getattr(answer, "body", b""))


class HttpMaster:
    """A master at a URL; follows it to the leader."""

    def __init__(self, session: Session, url: str, *, headers: Mapping[str, str] | None = None) -> None:
        self._session = session
        self._url = url.rstrip("/") + PATH
        self._headers = {**_JSON, **(headers or {})}

    @asynccontextmanager
    async def subscribe(self, call: dict[str, Any]) -> AsyncIterator[Events]:
        try:
            for _ in range(MAX_REDIRECTS):
                async with self._session.stream(
                    "POST", self._url, headers=self._headers, body=orjson.dumps(call)
                ) as answer:
                    if answer.status == 307:
                        self._url = urljoin(self._url, answer.headers.get("location", self._url))
                        continue
                    if answer.status != 200:
                        raise _refused(answer.status, await answer.read())
                    yield Events(_header(answer.headers, STREAM_ID), answer.chunks)
                    return
            raise MasterLost("the master redirects in circles")
        except RequestFailed as error:
            raise MasterLost(str(error)) from error

    async def call(self, call: dict[str, Any], *, stream_id: str) -> None:
        headers = {**self._headers, STREAM_ID: stream_id}
        try:
            reply = await self._session.request("POST", self._url, headers=headers, body=orjson.dumps(call))
        except RequestFailed as error:
            raise MasterLost(str(error)) from error
        if reply.status >= 300:
            raise _refused(reply.status, reply.body)


def _refused(status: int, body: bytes) -> MasterLost:
    return MasterLost(f"{status}: {body.decode('utf-8', 'replace')[:500]}", status=status)


def _header(headers: Mapping[str, str], name: str) -> str:
    return next((value for key, value in headers.items() if key.lower() == name), "")
