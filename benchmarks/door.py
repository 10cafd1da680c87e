"""A bare HTTP client on one kept connection: as little work as can be, so that the server is what is measured."""

import http.client
import json
import socket
import ssl
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any, Self

from cluster import FLAGS, NAME, ROOT

HEAD_END = b"\r\n\r\n"
PIECE = 64 * 1024


class Door:
    """One connection. Requests are bytes made beforehand by `message`."""

    def __init__(self, port: int, *, tls: ssl.SSLContext | None = None, timeout_s: float = 30) -> None:
        plain = socket.create_connection(("127.0.0.1", port), timeout=timeout_s)
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket = tls.wrap_socket(plain, server_hostname="localhost") if tls else plain
        self._rest = bytearray()
        self._piece = memoryview(bytearray(PIECE))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def ask(self, request: bytes) -> bytes:
        """The body of the answer. Raises RuntimeError for any but a 2xx."""
        self._socket.sendall(request)
        head = self._until(HEAD_END)
        at = head.lower().find(b"content-length:")
        length = int(head[at + 15 : head.index(b"\r\n", at)]) if at >= 0 else 0
        body = self._take(length) if at >= 0 else b"".join(self._chunks())
        if head[9:10] != b"2":
            raise RuntimeError(f"{head[:12].decode()}: {body[:300].decode(errors='replace')}")
        return body

    def size_of(self, request: bytes) -> int:
        """How long the body of a chunked answer is, which is read and not kept. RuntimeError for any but a 2xx."""
        self._socket.sendall(request)
        head = self._until(HEAD_END)
        if head[9:10] != b"2" or b"chunked" not in head.lower():
            raise RuntimeError(head.decode(errors="replace"))
        whole = 0
        while size := int(self._until(b"\r\n"), 16):
            whole += size
            left = size + 2 - len(self._rest)
            if left <= 0:
                del self._rest[: size + 2]
                continue
            self._rest.clear()
            while (left := left - self._read(min(left, PIECE))) > 0:
                pass
        self._take(2)
        return whole

    def stream(self, path: str) -> Generator[dict[str, Any], None, None]:
        """The JSON lines of a chunked answer, until the connection ends."""
        self._socket.sendall(message("GET", path))
        self._until(HEAD_END)
        line = b""
        for chunk in self._chunks():
            line += chunk
            *whole, line = line.split(b"\n")
            yield from (json.loads(each) for each in whole)

    def _chunks(self) -> Iterator[bytes]:
        """The parts of a chunked body."""
        while size := int(self._until(b"\r\n"), 16):
            yield self._take(size)
            self._take(2)
        self._take(2)

    def _take(self, length: int) -> bytes:
        while len(self._rest) < length:
            self._more()
        taken = bytes(memoryview(self._rest)[:length])
        del self._rest[:length]
        return taken

    def _until(self, mark: bytes) -> bytes:
        while (at := self._rest.find(mark)) < 0:
            self._more()
        return self._take(at + len(mark))

    def _more(self) -> None:
        self._rest += self._piece[: self._read(PIECE)]

    def _read(self, most: int) -> int:
        size = self._socket.recv_into(self._piece, most)
        if not size:
            raise http.client.RemoteDisconnected("the server closed the connection")
        return size


def message(method: str, path: str, body: Any = None, *, media: str = "application/json") -> bytes:
    """A request as it goes over the wire; `body` becomes JSON."""
    content = b"" if body is None else json.dumps(body).encode()
    lines = [f"{method} {path} HTTP/1.1", "host: localhost", "accept: application/json", "user-agent: benchmark"]
    if content:
        lines += [f"content-type: {media}", f"content-length: {len(content)}"]
    return "\r\n".join(lines).encode() + HEAD_END + content


def client_tls(pki: Path) -> ssl.SSLContext:
    """The admin's side of the API's TLS."""
    context = ssl.create_default_context(cafile=str(pki / "ca.crt"))
    context.load_cert_chain(pki / "admin.crt", pki / "admin.key")
    return context


def api_door(*, timeout_s: float = 30) -> Door:
    """A connection to the API of the cluster that runs."""
    return Door(int(FLAGS["--api-port"]), tls=client_tls(ROOT / NAME / "pki"), timeout_s=timeout_s)
