"""HTTP as the rest of Bireme sees it: a request in, one of four answers out.

The HTTP library stays behind this seam (`connection.py`, `requests.py`, `upgrades.py` know it), so a door
(Kubernetes, Mesos, Marathon, kubelet) is a plain `Handler`, and runs over sockets or straight in this process
(`client/transport.py`).
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol
from urllib.parse import parse_qsl


@dataclass(frozen=True, slots=True)
class Identity:
    """Who asks, once that is proven. The names are Kubernetes': user name, groups, uid, extra."""

    name: str
    groups: tuple[str, ...] = ()
    uid: str = ""
    extra: Mapping[str, Sequence[str]] = field(default_factory=dict, hash=False)


@dataclass(frozen=True, slots=True)
class Peer:
    """The other end of the connection: its address and what its verified client certificate says.

    `common_name` is "" when no certificate was shown; `issuer` is the common name of who signed it, `uid` the
    user's where the certificate has one. `identity` is set only by the in-process transport, which has no
    certificate to show.
    """

    address: str = ""
    port: int = 0
    common_name: str = ""
    organizations: tuple[str, ...] = ()
    uid: str = ""
    issuer: str = ""
    tls: bool = False
    identity: Identity | None = None


class Query:
    """The query string: names in the order they came, any of them repeated. Most requests have none."""

    __slots__ = ("pairs",)

    def __init__(self, pairs: Sequence[tuple[str, str]] = ()) -> None:
        self.pairs = tuple(pairs)

    @classmethod
    def parse(cls, text: str) -> "Query":
        return cls(parse_qsl(text, keep_blank_values=True)) if text else cls()

    def get(self, name: str, default: str = "") -> str:
        """The first value of `name`."""
        if not self.pairs:
            return default
        return next((value for key, value in self.pairs if key == name), default)

    def all(self, name: str) -> list[str]:
        if not self.pairs:
            return []
        return [value for key, value in self.pairs if key == name]

    def flag(self, name: str) -> bool:
        """True for `name=true`, `name=1` and a bare `name`."""
        return any(key == name and value.lower() in ("", "1", "true") for key, value in self.pairs)

    def __contains__(self, name: str) -> bool:
        return bool(self.pairs) and any(key == name for key, _ in self.pairs)


async def _no_body() -> AsyncIterator[bytes]:
    nothing: tuple[bytes, ...] = ()
    for part in nothing:
        yield part


@dataclass(slots=True)
class Request:
    """One request. `path` is percent-decoded, `raw_path` as it came (with the query); header names are lower case.

    A header that came several times has its values joined by ", ". `body` is the whole body, read under the
    server's limit and never decompressed, unless the door's `streams_body` asked for a stream: then it is empty
    and `stream` yields the parts, whatever their sum.
    """

    method: str
    path: str
    query: Query = field(default_factory=Query)
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    peer: Peer = field(default_factory=Peer)
    raw_path: str = ""
    stream: AsyncIterator[bytes] = field(default_factory=_no_body)


@dataclass(slots=True)
class Response:
    """A whole answer. `content-length` is added; everything else in `headers` is sent as given.

    An empty `content_type` sends none.
    """

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    content_type: str = "application/json"


@dataclass(slots=True)
class Stream:
    """An answer in parts, sent chunked as they come and paced by the reader.

    `chunks` is closed (`aclose`, where it has one) in the end, also when the client goes away or was never sent
    any. A client that takes nothing for the door's `write_s` is cut off.

    `attach`, where there is one, is given a function that sends a chunk at once. It may be called only while the
    next of `chunks` is waited for; where it says false nothing was sent, and the chunk has to come by `chunks`.
    """

    chunks: AsyncIterator[bytes]
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    content_type: str = "application/json"
    attach: Callable[[Callable[[bytes], bool]], None] | None = None


class Connection(Protocol):
    """A byte stream that a handler has taken over (SPDY, a raw tunnel)."""

    async def read(self) -> bytes:
        """Some bytes; b"" when the other end has finished."""
        ...

    async def write(self, data: bytes) -> None:
        """Send `data`, waiting while the other end is slow."""
        ...

    async def close(self) -> None: ...


class WebSocketConnection(Protocol):
    """Messages both ways on a WebSocket."""

    @property
    def protocol(self) -> str:
        """The subprotocol that was agreed."""
        ...

    async def receive(self) -> bytes | str | None:
        """The next message (bytes for binary, str for text); None when the other end has closed."""
        ...

    async def send(self, message: bytes | str) -> None: ...

    async def close(self, code: int = 1000, reason: str = "") -> None: ...


@dataclass(slots=True)
class Takeover:
    """Answer 101 with `headers` (Connection is added) and give the raw connection to `run`.

    It is closed when `run` returns. When the client leaves, `read` gives what had come and then b"".
    """

    run: Callable[[Connection], Awaitable[None]]
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class WebSocketUpgrade:
    """Agree to `protocol` (one that the client offered) and give the WebSocket to `run`."""

    run: Callable[[WebSocketConnection], Awaitable[None]]
    protocol: str = ""


Answer = Response | Stream | Takeover | WebSocketUpgrade
Handler = Callable[[Request], Awaitable[Answer]]
"""A door: whatever it raises that is not its own error form becomes a plain 500, logged."""
