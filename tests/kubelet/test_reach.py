"""Asking something whether it is there, over loopback."""

import asyncio
from contextlib import asynccontextmanager

import pytest

from bireme.kubelet.reach import Target, http_get, tcp_connect


@asynccontextmanager
async def answering(*answers: bytes):
    """A server that gives each connection the next answer; yields its port and what it was asked."""
    asked: list[bytes] = []
    left = list(answers)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            asked.append(await reader.readuntil(b"\r\n\r\n"))
            writer.write(left.pop(0) if len(left) > 1 else left[0])
            await writer.drain()
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1], asked


@pytest.mark.parametrize(
    ("answer", "well"),
    [
        (b"HTTP/1.1 200 OK\r\n\r\nfine", True),
        (b"HTTP/1.1 399 Odd\r\n\r\n", True),
        (b"HTTP/1.1 404 No\r\n\r\n", False),
        (b"HTTP/1.1 500 No\r\n\r\n", False),
        (b"garbage\r\n", False),
        (b"", False),
        (b"HTTP/1.1 302 Go\r\nLocation: http://elsewhere.example/\r\n\r\n", True),
        (b"x" * 100_000, False),
    ],
)
async def test_what_counts_as_well(answer, well):
    async with answering(answer) as (port, _):
        assert (await http_get(Target("127.0.0.1", port))).well is well


async def test_redirects_on_the_same_host_are_followed():
    async with answering(b"HTTP/1.1 301 Go\r\nLocation: /next\r\n\r\n", b"HTTP/1.1 503 No\r\n\r\n") as (port, asked):
        assert not (await http_get(Target("127.0.0.1", port))).well
        assert asked[1].startswith(b"GET /next HTTP/1.1\r\n")
    async with answering(b"HTTP/1.1 301 Go\r\nLocation: /again\r\n\r\n") as (port, asked):
        answer = await http_get(Target("127.0.0.1", port))
        assert (answer.message, len(asked)) == ("stopped after 10 redirects", 10)


async def test_the_request_is_a_probes():
    async with answering(b"HTTP/1.1 200 OK\r\n\r\n") as (port, asked):
        await http_get(Target("127.0.0.1", port, "/x?y=1", headers=(("host", "me"), ("X-A", "b"))))
        assert asked[0].startswith(b"GET /x?y=1 HTTP/1.1\r\nHost: me\r\nUser-Agent: kube-probe/")
        assert b"X-A: b\r\n" in asked[0]


async def test_c20_headers_cannot_be_smuggled():
    async with answering(b"HTTP/1.1 200 OK\r\n\r\n") as (port, asked):
        assert not (await http_get(Target("127.0.0.1", port, headers=(("A", "b\r\nC: d"),)))).well
        assert asked == []


async def test_tcp():
    async with answering(b"") as (port, _):
        assert (await tcp_connect("127.0.0.1", port)).well
    assert not (await tcp_connect("127.0.0.1", port)).well
