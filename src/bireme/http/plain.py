"""Plain requests as bytes: a whole body or none, to a host by its name, with nothing said about the connection.

These are asked on kept connections of our own (`lines.py`); for what is not plain `plain_request` gives None, and the
library sends it. What a part of Bireme says in its headers is always the same, so their text is made once.
"""

import functools
import re
import ssl
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from bireme.http.lines import Origin, Request

IDEMPOTENT = frozenset({"GET", "HEAD", "OPTIONS", "PUT", "DELETE"})
WITHOUT_BODY = frozenset({"GET", "HEAD", "OPTIONS"})
METHODS = IDEMPOTENT | {"POST", "PATCH"}
OF_CONNECTIONS = frozenset(
    {"connection", "content-length", "expect", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade"}
)
PORTS = {"http": 80, "https": 443}

_SERVER = re.compile(r"(https?)://((?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::(\d{1,5}))?)", re.ASCII)
_TARGET = re.compile(r'/[!"$-~]*', re.ASCII)
_NAME = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+", re.ASCII)


class _Server(NamedTuple):
    scheme: str
    host: str
    port: int
    authority: str


class _Told(NamedTuple):
    text: str
    names_host: bool


def plain_request(
    method: str,
    url: str,
    headers: Mapping[str, str | Sequence[str]],
    body: bytes,
    *,
    tls: ssl.SSLContext | None,
    server_name: str | None = None,
) -> Request | None:
    """The request, if it is plain. Raises ValueError for headers that would break out of their line."""
    begin = url.find("/", len("https://"))
    base, target = (url[:begin], url[begin:]) if begin > 0 else (url, "/")
    server = _server(base)
    if server is None or _TARGET.fullmatch(target) is None or method not in METHODS:
        return None
    if server.scheme == "http":
        tls = None
    elif tls is None:
        return None
    try:
        told = _told(tuple(headers.items()))
    except TypeError:  # several values of one name
        return None
    if told is None:
        return None
    host = "" if told.names_host else f"host: {server.authority}\r\n"
    length = f"content-length: {len(body)}\r\n" if body or method not in WITHOUT_BODY else ""
    head = f"{method} {target} HTTP/1.1\r\n{host}{told.text}{length}\r\n".encode()
    origin = Origin(server.host, server.port, tls, (server_name or "") if tls else "")
    return Request(origin, head + body, method == "HEAD", method in IDEMPOTENT)


@functools.lru_cache(1024)
def _server(base: str) -> _Server | None:
    found = _SERVER.fullmatch(base)
    if found is None:
        return None
    scheme, authority, port = found.groups()
    host = authority.removesuffix(f":{port}") if port else authority
    number = int(port) if port else PORTS[scheme]
    if not 0 < number < 1 << 16:
        return None
    return _Server(scheme, host.strip("[]"), number, host if number == PORTS[scheme] else authority)


@functools.lru_cache(256)
def _told(headers: tuple[tuple[str, str | Sequence[str]], ...]) -> _Told | None:
    """The lines of the headers; None for those that are not plain. Raises ValueError."""
    names = {name.lower() for name, _ in headers}
    if names & OF_CONNECTIONS or not all(isinstance(value, str) for _, value in headers):
        return None
    lines = [f"{name}: {value}\r\n" for name, value in headers]
    if "accept" not in names:
        lines.append("accept: */*\r\n")
    text = "".join(lines)
    if text.count("\n") != len(lines) or text.count("\r") != len(lines) or "\0" in text:
        raise ValueError("a header holds a line break")
    if not all(_NAME.fullmatch(name) for name, _ in headers):
        raise ValueError("a header without a name")
    return _Told(text, "host" in names)
