"""SPDY/3.1 frames: bytes to values and back, and nothing else.

Source: the SPDY Protocol drafts 3 and 3.1 (chromium.org). Header blocks are compressed with one zlib context per
direction and connection, primed with a dictionary; its text is given here as the words it consists of.
"""

import struct
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import IntEnum

HEADER_BLOCK_LIMIT = 64 * 1024
CONTROL_LIMIT = 64 * 1024
PIECE = 32 * 1024
FIN = 0x01
MAX_STREAM_ID = 0x7FFFFFFF

_WORDS = """options head post put delete trace accept accept-charset accept-encoding accept-language accept-ranges
age allow authorization cache-control connection content-base content-encoding content-language content-length
content-location content-md5 content-range content-type date etag expect expires from host if-match
if-modified-since if-none-match if-range if-unmodified-since last-modified location max-forwards pragma
proxy-authenticate proxy-authorization range referer retry-after server te trailer transfer-encoding upgrade
user-agent vary via warning www-authenticate method get status 200_OK version HTTP/1.1 url public set-cookie
keep-alive origin"""
_TAIL = (
    "100101201202205206300302303304305306307402405406407408409410411412413414415416417502504505"
    "203 Non-Authoritative Information204 No Content301 Moved Permanently400 Bad Request401 Unauthorized"
    "403 Forbidden404 Not Found500 Internal Server Error501 Not Implemented503 Service Unavailable"
    "Jan Feb Mar Apr May Jun Jul Aug Sept Oct Nov Dec 00:00:00 Mon, Tue, Wed, Thu, Fri, Sat, Sun, GMT"
    "chunked,text/html,image/png,image/jpg,image/gif,application/xml,application/xhtml+xml,text/plain,"
    "text/javascript,publicprivatemax-age=gzip,deflate,sdchcharset=utf-8charset=iso-8859-1,utf-,*,enq=0."
)
DICTIONARY = (
    b"".join(struct.pack(">I", len(word)) + word.replace("_", " ").encode() for word in _WORDS.split())
    + _TAIL.encode()
)


class SpdyError(Exception):
    """The other end broke the protocol; the connection can't go on."""


class Status(IntEnum):
    """Why a stream was reset."""

    PROTOCOL_ERROR = 1
    INVALID_STREAM = 2
    REFUSED_STREAM = 3
    CANCEL = 5
    INTERNAL_ERROR = 6
    FLOW_CONTROL_ERROR = 7
    STREAM_IN_USE = 8


Headers = Mapping[str, str]
"""Header names are lower case; several values of one name are joined by NUL, as on the wire."""


@dataclass(frozen=True, slots=True)
class SynStream:
    stream: int
    headers: Headers
    fin: bool = False


@dataclass(frozen=True, slots=True)
class SynReply:
    stream: int
    headers: Headers
    fin: bool = False


@dataclass(frozen=True, slots=True)
class MoreHeaders:
    stream: int
    headers: Headers
    fin: bool = False


@dataclass(frozen=True, slots=True)
class Data:
    """Some of a stream's bytes; a long frame is given in the pieces in which it arrived."""

    stream: int
    data: bytes
    fin: bool = False


@dataclass(frozen=True, slots=True)
class Reset:
    stream: int
    status: int


@dataclass(frozen=True, slots=True)
class Settings:
    values: tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class Ping:
    number: int


@dataclass(frozen=True, slots=True)
class GoAway:
    last_stream: int
    status: int = 0


@dataclass(frozen=True, slots=True)
class WindowUpdate:
    """`stream` 0 is the whole connection."""

    stream: int
    delta: int


Frame = SynStream | SynReply | MoreHeaders | Data | Reset | Settings | Ping | GoAway | WindowUpdate

_SYN_STREAM, _SYN_REPLY, _RST_STREAM, _SETTINGS, _PING, _GOAWAY, _HEADERS, _WINDOW_UPDATE = 1, 2, 3, 4, 6, 7, 8, 9


class FrameReader:
    """Frames from bytes, however these are cut."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._inflate = zlib.decompressobj(zdict=DICTIONARY)
        self._data_stream = 0
        self._data_left = 0
        self._data_fin = False

    def feed(self, data: bytes) -> list[Frame]:
        """The frames that `data` completes. SpdyError for what is not SPDY/3.1, or is over a limit."""
        self._buffer += data
        return list(self._frames())

    def _frames(self) -> Iterator[Frame]:
        buffer = self._buffer
        while True:
            if self._data_left:
                if not buffer:
                    return
                yield self._piece()
                continue
            if len(buffer) < 8:
                return
            word, flags_and_length = struct.unpack_from(">II", buffer)
            flags, length = flags_and_length >> 24, flags_and_length & 0xFFFFFF
            if not word >> 31:
                del buffer[:8]
                if word == 0:
                    raise SpdyError("data on stream 0")
                self._data_stream, self._data_left, self._data_fin = word, length, bool(flags & FIN)
                if not length:
                    yield Data(word, b"", fin=self._data_fin)
                continue
            if word >> 16 != 0x8003:
                raise SpdyError(f"not SPDY/3: {word:#010x}")
            if length > CONTROL_LIMIT:
                raise SpdyError("control frame too long")
            if len(buffer) < 8 + length:
                return
            payload = bytes(buffer[8 : 8 + length])
            del buffer[: 8 + length]
            frame = self._control(word & 0xFFFF, flags, payload)
            if frame is not None:
                yield frame

    def _piece(self) -> Data:
        piece = bytes(self._buffer[: min(self._data_left, PIECE)])
        del self._buffer[: len(piece)]
        self._data_left -= len(piece)
        return Data(self._data_stream, piece, fin=self._data_fin and not self._data_left)

    def _control(self, kind: int, flags: int, payload: bytes) -> Frame | None:
        fin = bool(flags & FIN)
        try:
            if kind == _SYN_STREAM:
                return SynStream(_stream_id(payload), self._headers(payload[10:]), fin)
            if kind == _SYN_REPLY:
                return SynReply(_stream_id(payload), self._headers(payload[4:]), fin)
            if kind == _HEADERS:
                return MoreHeaders(_stream_id(payload), self._headers(payload[4:]), fin)
            return _plain_frame(kind, payload)
        except struct.error as error:
            raise SpdyError("truncated control frame") from error

    def _headers(self, block: bytes) -> dict[str, str]:
        try:
            text = self._inflate.decompress(block, HEADER_BLOCK_LIMIT)
        except zlib.error as error:
            raise SpdyError("damaged header block") from error
        if self._inflate.unconsumed_tail:
            raise SpdyError("header block too long")
        return parse_headers(text)


class FrameWriter:
    """Frames to bytes. They must be sent in the order in which they were made, since headers are compressed."""

    def __init__(self) -> None:
        self._deflate = zlib.compressobj(wbits=15, zdict=DICTIONARY)

    def encode(self, frame: Frame) -> bytes:
        match frame:
            case Data():
                return struct.pack(">II", frame.stream, frame.fin << 24 | len(frame.data)) + frame.data
            case SynStream():
                head = struct.pack(">IIBB", frame.stream, 0, 0, 0)
                return _control(_SYN_STREAM, head + self._block(frame.headers), flags=int(frame.fin))
            case SynReply():
                payload = struct.pack(">I", frame.stream) + self._block(frame.headers)
                return _control(_SYN_REPLY, payload, flags=int(frame.fin))
            case MoreHeaders():
                payload = struct.pack(">I", frame.stream) + self._block(frame.headers)
                return _control(_HEADERS, payload, flags=int(frame.fin))
            case Reset():
                return _control(_RST_STREAM, struct.pack(">II", frame.stream, frame.status))
            case Settings():
                entries = b"".join(struct.pack(">II", number, value) for number, value in frame.values)
                return _control(_SETTINGS, struct.pack(">I", len(frame.values)) + entries)
            case Ping():
                return _control(_PING, struct.pack(">I", frame.number))
            case GoAway():
                return _control(_GOAWAY, struct.pack(">II", frame.last_stream, frame.status))
            case WindowUpdate():
                return _control(_WINDOW_UPDATE, struct.pack(">II", frame.stream, frame.delta))

    def _block(self, headers: Headers) -> bytes:
        return self._deflate.compress(encode_headers(headers)) + self._deflate.flush(zlib.Z_SYNC_FLUSH)


def encode_headers(headers: Headers) -> bytes:
    """A header block before compression."""
    parts = [struct.pack(">I", len(headers))]
    for name, value in headers.items():
        for text in (name.lower(), value):
            encoded = text.encode()
            parts += [struct.pack(">I", len(encoded)), encoded]
    return b"".join(parts)


def parse_headers(block: bytes) -> dict[str, str]:
    """The headers of an uncompressed block. SpdyError when it is cut short or not text."""
    try:
        (count,) = struct.unpack_from(">I", block)
        position, texts = 4, []
        # each text takes four bytes at least, so a false count ends in struct.error before long
        for _ in range(2 * count):
            (length,) = struct.unpack_from(">I", block, position)
            end = position + 4 + length
            if end > len(block):
                raise SpdyError("truncated header block")
            texts.append(block[position + 4 : end].decode())
            position = end
    except (struct.error, UnicodeDecodeError) as error:
        raise SpdyError("malformed header block") from error
    return {name.lower(): value for name, value in zip(texts[::2], texts[1::2], strict=True)}


def _plain_frame(kind: int, payload: bytes) -> Frame | None:
    """A control frame without headers; None for one of a kind that may be ignored."""
    if kind == _RST_STREAM:
        return Reset(_stream_id(payload), struct.unpack_from(">I", payload, 4)[0])
    if kind == _SETTINGS:
        (count,) = struct.unpack_from(">I", payload)
        if len(payload) < 4 + 8 * count:
            raise SpdyError("truncated settings")
        entries = struct.iter_unpack(">II", payload[4 : 4 + 8 * count])
        return Settings(tuple((number & 0xFFFFFF, value) for number, value in entries))
    if kind == _PING:
        return Ping(struct.unpack_from(">I", payload)[0])
    if kind == _GOAWAY:
        last, status = struct.unpack_from(">II", payload)
        return GoAway(last & MAX_STREAM_ID, status)
    if kind == _WINDOW_UPDATE:
        stream, delta = struct.unpack_from(">II", payload)
        return WindowUpdate(stream & MAX_STREAM_ID, delta & MAX_STREAM_ID)
    return None


def _stream_id(payload: bytes) -> int:
    stream: int = struct.unpack_from(">I", payload)[0] & MAX_STREAM_ID
    if not stream:
        raise SpdyError("stream 0")
    return stream


def _control(kind: int, payload: bytes, *, flags: int = 0) -> bytes:
    return struct.pack(">HHI", 0x8003, kind, flags << 24 | len(payload)) + payload
