"""Asking something whether it is there: HTTP, TCP and gRPC health, as probes and hooks do.

Deliberately bare: one connection an answer, no cookies, no reuse, certificates not checked, at most 10 KiB read.
Sources: Kubernetes, "Configure Probes"; RFC 9112; grpc.health.v1.
"""

import asyncio
import ssl
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import urljoin, urlsplit

USER_AGENT = "kube-probe/1.37"
BODY_LIMIT = 10 << 10
REDIRECTS = 10


@dataclass(frozen=True, slots=True)
class Answer:
    """Whether it went well, and what there is to say of it."""

    well: bool
    message: str = ""


@dataclass(frozen=True, slots=True)
class Target:
    """Where to ask, over HTTP."""

    host: str
    port: int
    path: str = "/"
    scheme: str = "http"
    headers: tuple[tuple[str, str], ...] = ()

    @property
    def url(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}{self.path}"


async def http_get(target: Target) -> Answer:
    """GET; any status from 200 to 399 is well. A redirect to another host is well and not followed."""
    try:
        return await _follow(target)
    except (OSError, ValueError, EOFError, asyncio.LimitOverrunError) as error:
        return Answer(False, f'Get "{target.url}": {_words(error)}')


async def tcp_connect(host: str, port: int) -> Answer:
    """Open a connection and close it."""
    try:
        _, writer = await asyncio.open_connection(host, port)
    except OSError as error:
        return Answer(False, f"dial tcp {host}:{port}: {_words(error)}")
    writer.close()
    return Answer(True)


async def grpc_health(host: str, port: int, service: str) -> Answer:
    """Ask a gRPC server's health service; SERVING is well."""
    import grpc.aio  # heavy, and rarely asked for

    name = service.encode()
    request = bytes([0x0A, len(name)]) + name if name else b""
    async with grpc.aio.insecure_channel(f"{host}:{port}") as channel:
        check = channel.unary_unary("/grpc.health.v1.Health/Check")
        try:
            answer = await check(request)
        except grpc.aio.AioRpcError as error:
            return Answer(False, f"error: health rpc failed: {error.details()}")
    # The only field is the status, a varint: 1 is SERVING.
    return Answer(True) if answer == b"\x08\x01" else Answer(False, "service unhealthy (responded with NOT_SERVING)")


async def _follow(target: Target) -> Answer:
    for _ in range(REDIRECTS):
        status, location, body = await _get(target)
        if not 300 <= status < 400 or not location:
            break
        onward = urlsplit(urljoin(target.url, location))
        if onward.hostname != target.host:
            return Answer(True, f"Probe terminated redirects, Response body: {body[:200]!r}")
        port = onward.port or (443 if onward.scheme == "https" else 80)
        path = (onward.path or "/") + (f"?{onward.query}" if onward.query else "")
        target = Target(target.host, port, path, onward.scheme, target.headers)
    else:
        return Answer(False, f"stopped after {REDIRECTS} redirects")
    if 200 <= status < 400:
        return Answer(True)
    return Answer(False, f"HTTP probe failed with statuscode: {status}")


async def _get(target: Target) -> tuple[int, str, bytes]:
    """Status, Location and the start of the body."""
    request = _request(target)
    context = _unverified() if target.scheme == "https" else None
    reader, writer = await asyncio.open_connection(target.host, target.port, ssl=context, limit=BODY_LIMIT * 4)
    try:
        writer.write(request)
        await writer.drain()
        line = await reader.readline()
        words = line.split(None, 2)
        if len(words) < 2 or not words[0].startswith(b"HTTP/"):
            raise ValueError("malformed HTTP response")
        location = ""
        while header := (await reader.readline()).strip():
            name, _, text = header.partition(b":")
            if name.strip().lower() == b"location":
                location = text.strip().decode("latin-1")
        return int(words[1]), location, await _start_of_body(reader)
    finally:
        writer.close()


async def _start_of_body(reader: asyncio.StreamReader) -> bytes:
    """What has come of the body so far; a probe does not wait for all of it."""
    try:
        async with asyncio.timeout(0.05):
            return await reader.read(BODY_LIMIT)
    except TimeoutError:
        return b""


def _request(target: Target) -> bytes:
    host = f"[{target.host}]" if ":" in target.host else target.host
    default = {"http": 80, "https": 443}[target.scheme]
    headers = {"Host": host if target.port == default else f"{host}:{target.port}"}
    headers |= {"User-Agent": USER_AGENT, "Accept": "*/*", "Connection": "close"}
    headers |= _titled(target.headers)
    lines = [f"GET {target.path or '/'} HTTP/1.1", *(f"{name}: {text}" for name, text in headers.items()), "", ""]
    if any("\r" in line or "\n" in line for line in lines):
        raise ValueError("line break in a header or path")
    return "\r\n".join(lines).encode("latin-1")


def _titled(headers: Iterable[tuple[str, str]]) -> dict[str, str]:
    return {name.title(): text for name, text in headers}


def _unverified() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def _words(error: BaseException) -> str:
    """What went wrong, as Go's programs say it: `connect: connection refused`."""
    if isinstance(error, ConnectionError) and error.strerror:
        return f"connect: {error.strerror.lower()}"
    return (error.strerror if isinstance(error, OSError) and error.strerror else str(error)) or type(error).__name__
