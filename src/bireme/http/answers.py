"""What the bytes of an answer say: HTTP/1.1 as it comes in, in pieces of any size (RFC 9112). No I/O.

A generator that is sent what has come, and `b""` for the end of the connection; it returns the whole answer. It is
strict: whatever is not plainly right is `Malformed`, and the connection is then to be closed.
"""

import functools
import re
from collections.abc import Generator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

LONGEST_HEAD = 256 << 10
LONGEST_CHUNK_LINE = 4 << 10
EMPTY = 204
NO_BODY = frozenset((EMPTY, 304))
SWITCHING = 101

_STATUS = re.compile(r"HTTP/1\.([01]) ([1-5]\d\d)(?: [^\r\n]*)?", re.ASCII)
_NAME = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+", re.ASCII)
_CONTROL = re.compile(rb"[\0-\x08\x0b\x0c\x0e-\x1f\x7f]")
_SIZE = re.compile(rb"([0-9A-Fa-f]{1,15})[ \t]*(?:;[^\r\n]*)?")


@dataclass(frozen=True, slots=True)
class Reply:
    """A whole answer. Header names are lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Malformed(ValueError):
    """This is no answer, or one that is too large."""


class AnswerTooLarge(Malformed):
    """The body has more bytes than were asked for."""


class Cut(ConnectionError):
    """The connection ended before the answer did; `heard` tells whether anything had come of it."""

    def __init__(self, *, heard: bool) -> None:
        super().__init__("the connection was lost in the middle of the answer" if heard else "no answer")
        self.heard = heard


class Answered(NamedTuple):
    """An answer, and whether its connection may carry another request."""

    reply: Reply
    keeps: bool


Reading = Generator[None, bytes, Answered]


class _Head(NamedTuple):
    status: int
    headers: Mapping[str, str]
    keeps: bool


def reading(*, bodiless: bool, limit: int) -> Reading:
    """The answer to one request; `bodiless` for those to HEAD. A body over `limit` bytes is Malformed."""
    data = yield
    if not data:
        raise Cut(heard=False)
    while True:
        while (end := data.find(b"\r\n\r\n")) < 0:
            if len(data) > LONGEST_HEAD:
                raise Malformed("answer's head too large")
            data += yield from _more()
        head, data = head_of(data[:end]), data[end + 4 :]
        if head.status >= 200:
            break
        if head.status == SWITCHING:
            raise Malformed("an upgrade that nobody asked for")
    status, headers, keeps = head
    if bodiless or status in NO_BODY:
        body, rest = b"", data
        # A body that may not be there may still come, and would be taken for the beginning of the next answer.
        keeps = keeps and not (status == EMPTY and _tells_of_body(headers))
    elif "transfer-encoding" in headers:
        if headers["transfer-encoding"].lower() != "chunked":
            raise Malformed("unknown transfer encoding")
        if "content-length" in headers:
            raise Malformed("chunks and a length")  # somebody on the way may have read the other (RFC 9112, 6.3)
        body, rest = yield from _chunks(data, limit)
    elif "content-length" in headers:
        body, rest = yield from _exactly(data, _length(headers["content-length"], limit))
    else:
        body, rest, keeps = (yield from _to_the_end(data, limit)), b"", False
    # What was sent unasked is nobody's answer.
    return Answered(Reply(status, headers, body), keeps and not rest)


def head_of(head: bytes) -> _Head:
    """What a head says, without the empty line at its end."""
    first, *lines = head.decode("utf-8", "surrogateescape").split("\r\n")
    said = _STATUS.fullmatch(first)
    broken = head.count(b"\n") != len(lines) or head.count(b"\r") != len(lines) or _CONTROL.search(head)
    if said is None or broken:
        raise Malformed("this is no HTTP")
    headers: dict[str, str] = {}
    for line in lines:
        told, colon, value = line.partition(":")
        if not colon:
            raise Malformed("a header without a colon")
        name, value = _name(told), value.strip(" \t")
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    keeps = said[1] == "1" and ("connection" not in headers or "close" not in headers["connection"].lower())
    return _Head(int(said[2]), headers, keeps)


@functools.lru_cache(1024)
def _name(told: str) -> str:
    if _NAME.fullmatch(told) is None:
        raise Malformed("a header without a name")
    return told.lower()


def _tells_of_body(headers: Mapping[str, str]) -> bool:
    return "transfer-encoding" in headers or headers.get("content-length", "0") != "0"


def _length(told: str, limit: int) -> int:
    """The length of the body; some servers say the same twice."""
    values = {value.strip() for value in told.split(",")}
    value = values.pop()
    if values or not (value.isascii() and value.isdigit()):
        raise Malformed("no length")
    if len(value) > 18 or int(value) > limit:
        raise AnswerTooLarge("answer too large")
    return int(value)


def _more() -> Generator[None, bytes, bytes]:
    data = yield
    if not data:
        raise Cut(heard=True)
    return data


def _exactly(data: bytes, length: int) -> Generator[None, bytes, tuple[bytes, bytes]]:
    """So many bytes, and what came after them."""
    if len(data) == length:
        return data, b""
    parts, left = [data], length - len(data)
    while left > 0:
        parts.append((yield from _more()))
        left -= len(parts[-1])
    whole = b"".join(parts)
    return whole[:length], whole[length:]


def _chunks(data: bytes, limit: int) -> Generator[None, bytes, tuple[bytes, bytes]]:
    """A body in chunks, without its trailers, and what came after it."""
    parts: list[bytes] = []
    while True:
        line, data = yield from _line(data)
        said = _SIZE.fullmatch(line)
        if said is None:
            raise Malformed("no chunk")
        size = int(said[1], 16)
        if not size:
            break
        limit -= size
        if limit < 0:
            raise AnswerTooLarge("answer too large")
        part, data = yield from _exactly(data, size + 2)
        if not part.endswith(b"\r\n"):
            raise Malformed("a chunk of another length")
        parts.append(part[:-2])
    while line:
        line, data = yield from _line(data)
    return b"".join(parts), data


def _line(data: bytes) -> Generator[None, bytes, tuple[bytes, bytes]]:
    while (end := data.find(b"\r\n")) < 0:
        if len(data) > LONGEST_CHUNK_LINE:
            raise Malformed("no end of a line")
        data += yield from _more()
    return data[:end], data[end + 2 :]


def _to_the_end(data: bytes, limit: int) -> Generator[None, bytes, bytes]:
    parts, left = [data], limit - len(data)
    while left >= 0 and (part := (yield)):
        parts.append(part)
        left -= len(part)
    if left < 0:
        raise AnswerTooLarge("answer too large")
    return b"".join(parts)
