"""Requests that are read at a glance: those of clients that say the same every time, whole in one piece.

What kubelets and controllers send differs in its first line and its body; the rest of its head is known from the
request before. `read_plain` is strict in what it takes: nothing that says how the connection or the body is framed
but one length. For everything else it gives None, and the library's parser reads it. The test holds it to that one.
Tokens are taken out of a head before it is remembered: they are kept no longer than their request.
"""

import functools
import re
from collections.abc import Mapping
from typing import NamedTuple

from bireme.http.limits import Limits

LONGEST_HEAD = 4096
MOST_HEADERS = 32
MOST_REMEMBERED = 1024
WITHOUT_BODY = frozenset((b"GET", b"DELETE"))
# A request that says any of these is for the library.
FRAMING = frozenset(
    {
        "connection",
        "content-encoding",
        "expect",
        "keep-alive",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
    }
    | {"upgrade", "http2-settings", "sec-websocket-key", "sec-websocket-version", "sec-websocket-protocol"}
)

_FIRST = re.compile(rb'(GET|POST|PUT|PATCH|DELETE) (/[!"$-~]*) HTTP/1\.1')
_LINES = re.compile(rb"(?:\r\n[A-Za-z0-9-]+: ?[!-~]+(?: [!-~]+)*)*")
_SECRET = re.compile(rb"\r\n(?:(authorization)|cookie|sec-websocket-protocol):([^\r\n]*)", re.IGNORECASE)
_LENGTH = re.compile(r"0|[1-9]\d{0,9}", re.ASCII)


class PlainRequest(NamedTuple):
    """What such a request says. `headers` are shared: not to be changed."""

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes


class _Known(NamedTuple):
    headers: Mapping[str, str]
    length: int | None


def read_plain(data: bytes, limits: Limits) -> PlainRequest | None:
    """The request that `data` is, if it is a plain one and nothing besides."""
    end = data.find(b"\r\n\r\n", 0, LONGEST_HEAD)
    line = data.find(b"\r\n", 0, end + 2)
    first = _FIRST.fullmatch(data, 0, max(line, 0))
    if end < 0 or first is None or end > min(limits.head, limits.header_line, limits.request_line):
        return None
    known = _read(data[line:end])
    if known is None or len(known.headers) > limits.header_count:
        return None
    length = known.length
    if length is None:
        length = 0 if first[1] in WITHOUT_BODY else -1
    if len(data) - end - 4 != length or length > limits.body:
        return None
    return PlainRequest(first[1].decode(), first[2].decode(), known.headers, data[end + 4 :])


def _read(lines: bytes) -> _Known | None:
    """What the lines of a head say, each begun by the end of the one before."""
    secret = _SECRET.search(lines)
    if secret is None:
        return _known(lines)
    begin, end = secret.span()
    if secret[1] is None or _SECRET.search(lines, end) or _LINES.fullmatch(lines, begin, end) is None:
        return None
    known = _known(lines[:begin] + lines[end:])
    if known is None:
        return None
    return _Known({**known.headers, "authorization": secret[2].decode().strip()}, known.length)


@functools.lru_cache(MOST_REMEMBERED)
def _known(lines: bytes) -> _Known | None:
    """The same for lines without a secret, remembered."""
    if _LINES.fullmatch(lines) is None:
        return None
    pairs = [line.partition(":") for line in lines.decode().split("\r\n")[1:]]
    headers = {name.lower(): value.strip() for name, _, value in pairs}
    if len(headers) != len(pairs) or len(pairs) > MOST_HEADERS or "host" not in headers or headers.keys() & FRAMING:
        return None
    length = headers.get("content-length")
    if length is None:
        return _Known(headers, None)
    return _Known(headers, int(length)) if _LENGTH.fullmatch(length) else None
