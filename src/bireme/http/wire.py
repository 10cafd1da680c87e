"""Small things between HTTP on the wire and the values of `interface.py`."""

import asyncio
import socket
from collections.abc import Iterable

from aiohttp.http import RawRequestMessage

from bireme.http.interface import Peer, Stream

UID_OID = "1.3.6.1.4.1.57683.2"
"""The part of a certificate's subject that holds a user's uid."""


def peer_of(transport: asyncio.BaseTransport | None) -> Peer:
    """The peer's address and what its verified certificate says."""
    if transport is None:
        return Peer()
    name = transport.get_extra_info("peername")
    address, port = (name[0], name[1]) if isinstance(name, tuple) else ("", 0)
    tls = transport.get_extra_info("sslcontext") is not None
    certificate = transport.get_extra_info("peercert") if tls else None
    if not certificate:
        return Peer(address, port, tls=tls)
    subject = [pair for names in certificate.get("subject", ()) for pair in names]
    common_name = next((value for key, value in subject if key == "commonName"), "")
    organizations = tuple(value for key, value in subject if key == "organizationName")
    uid = next((value for key, value in subject if key == UID_OID), "")
    issuer = next(
        (value for names in certificate.get("issuer", ()) for key, value in names if key == "commonName"), ""
    )
    return Peer(address, port, common_name, organizations, uid, issuer, tls=True)


def header_lines(headers: Iterable[tuple[str, str]]) -> list[str]:
    """Headers as they go over the wire. ValueError for one that would break out of its line."""
    lines = [f"{name}: {value}\r\n" for name, value in headers]
    text = "".join(lines)
    if text.count("\n") != len(lines) or text.count("\r") != len(lines):
        raise ValueError("a header holds a line break")
    return lines


def chunk_of(data: bytes) -> bytes:
    """`data` as one chunk of a chunked body."""
    return b"%x\r\n%b\r\n" % (len(data), data)


async def close_stream(stream: Stream) -> None:
    """Close the generator behind `stream`, if it is one."""
    close = getattr(stream.chunks, "aclose", None)
    if close is not None:
        await close()


def headers_of(message: RawRequestMessage) -> dict[str, str]:
    headers = {name.lower(): value for name, value in message.headers.items()}
    if len(headers) != len(message.headers):
        for name in headers:
            headers[name] = ", ".join(message.headers.getall(name))
    return headers


def watch_for_dead_peer(connection: socket.socket | None) -> None:
    if connection is None or connection.family not in (socket.AF_INET, socket.AF_INET6):
        return
    for level, option, value in (
        (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
        (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 60),
        (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 15),
        (socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 4),
    ):
        connection.setsockopt(level, option, value)
