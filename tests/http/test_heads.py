"""Requests that are read at a glance, against the library's parser; and a door that gets them among others."""

import asyncio
from collections.abc import Sequence

import pytest
from aiohttp.base_protocol import BaseProtocol
from aiohttp.http import HttpRequestParser, HttpVersion11, RawRequestMessage
from aiohttp.http_exceptions import HttpProcessingError
from hypothesis import given
from hypothesis import strategies as st

from bireme.http import heads
from bireme.http.heads import PlainRequest, read_plain
from bireme.http.interface import Answer, Request, Response
from bireme.http.limits import Limits
from bireme.http.server import serve
from bireme.http.wire import headers_of

LIMITS = Limits()

names = st.sampled_from(["User-Agent", "accept", "Authorization", "X-A", "Connection", "Upgrade", "Expect", "Te"])
values = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), max_size=10)
targets = st.sampled_from(["/", "/api/v1/pods?limit=5&x=%2F", "/a%20b", "//a", "*", "http://h/x", "/a#b", "/a?b#c"])


def request(method: str, target: str, headers: Sequence[tuple[str, str]], body: bytes, *, sized: bool) -> bytes:
    told = [("host", "h"), *headers, *([("content-length", str(len(body)))] if sized else [])]
    head = f"{method} {target} HTTP/1.1\r\n" + "".join(f"{name}: {value}\r\n" for name, value in told)
    return head.encode() + b"\r\n" + body


requests = st.builds(
    request,
    st.sampled_from(["GET", "POST", "PATCH", "PUT", "DELETE", "HEAD", "OPTIONS"]),
    targets,
    st.lists(st.tuples(names, values), max_size=3),
    st.binary(max_size=12),
    sized=st.booleans(),
)


def read_by_library(data: bytes) -> PlainRequest | None:
    """The one request that the library finds there, whole and with nothing out of the ordinary; None for all else."""

    async def run() -> PlainRequest | None:
        loop = asyncio.get_running_loop()
        parser = HttpRequestParser(BaseProtocol(loop), loop, 2**16, max_line_size=2**16, max_field_size=2**16)
        try:
            messages, upgraded, tail = parser.feed_data(data)
        except HttpProcessingError:
            return None
        if len(messages) != 1 or upgraded or tail:
            return None
        message, payload = messages[0]
        assert isinstance(message, RawRequestMessage)
        ordinary = message.version == HttpVersion11 and not (
            message.should_close or message.upgrade or message.chunked
        )
        if not ordinary or not payload.is_eof():
            return None
        return PlainRequest(message.method, message.path, headers_of(message), payload.read_nowait())

    return asyncio.run(run())


@given(requests)
def test_what_is_read_at_a_glance_is_what_the_library_reads(data: bytes) -> None:
    plain = read_plain(data, LIMITS)
    if plain is not None:
        assert plain == read_by_library(data)


@given(requests, st.integers(min_value=0), st.binary(max_size=3), st.integers(min_value=0, max_value=3))
def test_the_same_with_bytes_changed(data: bytes, place: int, put: bytes, taken: int) -> None:
    place %= len(data)
    data = data[:place] + put + data[place + taken :]
    plain = read_plain(data, LIMITS)
    if plain is not None:
        assert plain == read_by_library(data)


@given(requests, st.integers(min_value=0))
def test_a_part_is_not_taken_for_the_whole(data: bytes, length: int) -> None:
    part = data[: length % len(data)]
    if read_plain(data, LIMITS) is not None:
        assert read_plain(part, LIMITS) is None


PATCH = request("PATCH", "/a?b=c", [("User-Agent", "kubelet")], b"{}", sized=True)


def test_what_kubelets_send_is_read_at_a_glance() -> None:
    expected = PlainRequest("PATCH", "/a?b=c", {"host": "h", "user-agent": "kubelet", "content-length": "2"}, b"{}")
    assert read_plain(PATCH, LIMITS) == expected


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(PATCH + b"G", id="the beginning of another"),
        pytest.param(PATCH[:-1], id="a part of its body"),
        pytest.param(PATCH.replace(b"HTTP/1.1", b"HTTP/1.0"), id="an older version"),
        pytest.param(PATCH.replace(b"host: h\r\n", b""), id="no host"),
        pytest.param(PATCH.replace(b"h\r\n", b"h\r\nhost: i\r\n", 1), id="two hosts"),
        pytest.param(
            PATCH.replace(b"content-length: 2", b"content-length: 2\r\ncontent-length: 2"), id="two lengths"
        ),
        pytest.param(PATCH.replace(b"content-length: 2", b"content-length: +2"), id="a length with a sign"),
        pytest.param(PATCH.replace(b"content-length: 2", b"content-length: 02"), id="a length with a zero"),
        pytest.param(PATCH.replace(b"content-length: 2\r\n", b""), id="no length"),
        pytest.param(PATCH.replace(b"content-length: 2", b"transfer-encoding: chunked"), id="chunks"),
        pytest.param(PATCH.replace(b"User-Agent: kubelet", b"Connection: close"), id="the last of its connection"),
        pytest.param(PATCH.replace(b"User-Agent: kubelet", b"Expect: 100-continue"), id="one that asks first"),
        pytest.param(PATCH.replace(b"User-Agent:", b"User-Agent :"), id="a space before the colon"),
        pytest.param(PATCH.replace(b"kubelet", b"kube\xc3\xa4t"), id="letters beyond ASCII"),
        pytest.param(PATCH.replace(b"kubelet\r\n", b"kubelet\n"), id="a bare line feed"),
        pytest.param(PATCH.replace(b"kubelet", b"a" * 5000), id="a long head"),
    ],
)
def test_everything_else_is_left_to_the_library(data: bytes) -> None:
    assert read_plain(data, LIMITS) is None


def test_tokens_are_not_remembered() -> None:
    heads._known.cache_clear()
    for token in ("one", "two"):
        data = PATCH.replace(b"User-Agent", b"AUTHORIZATION: Bearer " + token.encode() + b"\r\nUser-Agent")
        plain = read_plain(data, LIMITS)
        assert plain is not None
        assert plain.headers == {
            "host": "h",
            "user-agent": "kubelet",
            "content-length": "2",
            "authorization": f"Bearer {token}",
        }
    for name in (b"cookie", b"Sec-WebSocket-Protocol", b"authorization: Bearer three\r\nauthorization"):
        assert read_plain(PATCH.replace(b"User-Agent", name), LIMITS) is None
    assert heads._known.cache_info().currsize == 1


@pytest.mark.parametrize(
    "limits",
    [
        Limits(body=1),
        Limits(head=20),
        Limits(header_line=20),
        Limits(request_line=20),
        Limits(header_count=2),
    ],
)
def test_limits_hold(limits: Limits) -> None:
    assert read_plain(PATCH, limits) is None


@pytest.mark.parametrize(
    "pieces",
    [
        pytest.param([PATCH, PATCH], id="one after the other"),
        pytest.param([PATCH + PATCH[:30], PATCH[30:]], id="one and a half at once"),
        pytest.param([PATCH[:30], PATCH[30:] + PATCH], id="one in pieces"),
        pytest.param([PATCH + PATCH], id="two at once"),
        pytest.param([PATCH, PATCH[:-1], b"}"], id="a body in pieces"),
    ],
)
async def test_a_door_gets_the_same_requests_however_they_come(pieces: list[bytes]) -> None:
    seen: list[tuple[str, str, bytes]] = []
    both = asyncio.Event()

    async def handle(request: Request) -> Answer:
        seen.append((request.method, request.raw_path, request.body))
        if len(seen) == 2:
            both.set()
        return Response(200, b"%d" % len(seen))

    server = await serve(handle, host="127.0.0.1")
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    for number, piece in enumerate(pieces):
        writer.write(piece)
        if number == 0 and piece.startswith(PATCH):
            assert (await reader.readuntil(b"\r\n\r\n1")).startswith(b"HTTP/1.1 200")
    await both.wait()
    assert (await reader.readuntil(b"\r\n\r\n2")).startswith(b"HTTP/1.1 200")
    writer.close()
    await server.close(grace_s=0.1)
    assert seen == [("PATCH", "/a?b=c", b"{}")] * 2
