"""Answers as they come in, against the library's parser: whole, cut anywhere, and with bytes changed."""

import asyncio
import itertools
from collections.abc import Sequence

import pytest
from aiohttp.base_protocol import BaseProtocol
from aiohttp.client_exceptions import ClientError
from aiohttp.http import HttpResponseParser
from aiohttp.http_exceptions import HttpProcessingError
from hypothesis import given
from hypothesis import strategies as st

from bireme.http.answers import Answered, Cut, Malformed, Reply, reading

LIMIT = 1 << 20

values = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), max_size=12)
names = st.sampled_from(["x-a", "X-A", "date", "audit-id", "Content-Type"])
bodies = st.binary(max_size=60)


def framed(status: int, headers: Sequence[tuple[str, str]], parts: Sequence[bytes], *, chunked: bool) -> bytes:
    """An answer with its body in chunks, or whole."""
    told = [*headers, ("transfer-encoding", "chunked") if chunked else ("Content-Length", str(len(b"".join(parts))))]
    head = f"HTTP/1.1 {status} Fine\r\n" + "".join(f"{name}: {value}\r\n" for name, value in told) + "\r\n"
    if not chunked:
        return head.encode() + b"".join(parts)
    chunks = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts if part)
    return head.encode() + chunks + b"0\r\n\r\n"


answers = st.builds(
    framed,
    st.sampled_from([200, 201, 404, 409, 500]),
    st.lists(st.tuples(names, values), max_size=4),
    st.lists(bodies, max_size=3),
    chunked=st.booleans(),
)


def read(data: bytes, cuts: Sequence[int] = (), *, bodiless: bool = False) -> Answered:
    """What comes of it when it arrives in such pieces, and then the end."""
    places = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    generator = reading(bodiless=bodiless, limit=LIMIT)
    next(generator)
    pieces = [data[begin:end] for begin, end in itertools.pairwise(places)]
    try:
        for piece in [*pieces, b""]:
            generator.send(piece)
    except StopIteration as done:
        answered: Answered = done.value
        return answered
    raise AssertionError("the end of the connection is the end of the answer")


def read_by_library(data: bytes) -> Reply | None:
    """The same by the library; None where it refuses, or waits for more."""

    async def run() -> Reply | None:
        loop = asyncio.get_running_loop()
        parser = HttpResponseParser(
            BaseProtocol(loop),
            loop,
            2**16,
            payload_exception=ClientError,
            response_with_body=True,
            read_until_eof=True,
            auto_decompress=False,
        )
        try:
            messages, _, _ = parser.feed_data(data)
            if not messages:
                return None
            message, payload = messages[0]
            parser.feed_eof()
            body = await payload.read()
        except (HttpProcessingError, ClientError):
            return None
        headers: dict[str, str] = {}
        for name in message.headers:
            headers[name.lower()] = ", ".join(message.headers.getall(name))
        return Reply(message.code, headers, body)

    return asyncio.run(run())


@given(answers, st.lists(st.integers(min_value=0, max_value=1000), max_size=5))
def test_an_answer_is_read_as_the_library_reads_it_however_it_is_cut(data: bytes, cuts: list[int]) -> None:
    assert read(data, cuts) == Answered(read_by_library(data), keeps=True)  # type: ignore[arg-type]


@given(answers, st.integers(min_value=0), st.binary(max_size=3), st.integers(min_value=0, max_value=3))
def test_whatever_is_taken_is_what_the_library_takes(data: bytes, place: int, put: bytes, taken: int) -> None:
    place %= len(data)
    data = data[:place] + put + data[place + taken :]
    try:
        reply, keeps = read(data)
    except (Malformed, Cut):
        return
    if keeps:  # else nothing is asked on the connection again
        assert reply == read_by_library(data)


@given(answers, st.integers(min_value=0))
def test_a_part_of_an_answer_is_none(data: bytes, length: int) -> None:
    with pytest.raises(Cut) as cut:
        read(data[: length % len(data)])
    assert cut.value.heard == (length % len(data) > 0)


def test_without_a_length_the_body_goes_to_the_end() -> None:
    answered = read(b"HTTP/1.1 200 OK\r\n\r\nab" + b"c" * 9, [21, 23])
    assert answered == Answered(Reply(200, {}, b"ab" + b"c" * 9), keeps=False)


@pytest.mark.parametrize(
    ("data", "bodiless"),
    [
        pytest.param(b"HTTP/1.1 204 No Content\r\n\r\n", False, id="no content"),
        pytest.param(b"HTTP/1.1 204 No Content\r\ncontent-length: 0\r\n\r\n", False, id="no content, as it says"),
        pytest.param(b"HTTP/1.1 304 Not Modified\r\ncontent-length: 7\r\n\r\n", False, id="not modified"),
        pytest.param(b"HTTP/1.1 200 OK\r\ncontent-length: 7\r\n\r\n", True, id="to HEAD"),
    ],
)
def test_some_answers_have_no_body(data: bytes, *, bodiless: bool) -> None:
    answered = read(data, bodiless=bodiless)
    assert (answered.reply.body, answered.keeps) == (b"", True)


def test_what_comes_before_the_answer_is_passed_over() -> None:
    early = b"HTTP/1.1 103 Early Hints\r\nlink: </style.css>\r\n\r\n"
    assert read(early + b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nab").reply == Reply(
        200, {"content-length": "2"}, b"ab"
    )


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"HTTP/1.1 200 OK\r\nconnection: Close\r\ncontent-length: 0\r\n\r\n", id="said so"),
        pytest.param(b"HTTP/1.0 200 OK\r\ncontent-length: 0\r\n\r\n", id="of an old version"),
        pytest.param(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\nHTTP/1.1 200 OK\r\n", id="with more behind it"),
        pytest.param(b"HTTP/1.1 204 No Content\r\ntransfer-encoding: chunked\r\n\r\n", id="empty, in chunks"),
        pytest.param(b"HTTP/1.1 204 No Content\r\ncontent-length: 2\r\n\r\n", id="empty, of some length"),
    ],
)
def test_some_connections_carry_no_more(data: bytes) -> None:
    assert not read(data).keeps


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"SSH-2.0-x\r\n\r\n", id="no HTTP"),
        pytest.param(b"HTTP/2 200\r\n\r\n", id="another version"),
        pytest.param(b"HTTP/1.1 200 OK\r\ncontent-length: 5, 6\r\n\r\nabcdef", id="two lengths"),
        pytest.param(b"HTTP/1.1 200 OK\r\ncontent-length: -5\r\n\r\nabcdef", id="no length"),
        pytest.param(b"HTTP/1.1 200 OK\r\ncontent-length: 2000000\r\n\r\n", id="too long"),
        pytest.param(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n200000\r\n", id="too long a chunk"),
        pytest.param(b"HTTP/1.1 200 OK\r\ntransfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n", id="another coding"),
        pytest.param(
            b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
            id="chunks and a length",
        ),
        pytest.param(
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nabc\r\n0\r\n\r\n", id="a wrong chunk"
        ),
        pytest.param(b"HTTP/1.1 200 OK\r\nx: a\r\n b\r\ncontent-length: 0\r\n\r\n", id="a folded header"),
        pytest.param(b"HTTP/1.1 200 OK\r\nx : a\r\ncontent-length: 0\r\n\r\n", id="a space behind a name"),
        pytest.param(b"HTTP/1.1 200 OK\nx: a\r\ncontent-length: 0\r\n\r\n", id="a bare line feed"),
        pytest.param(b"HTTP/1.1 200 OK\r\nx: a\0b\r\ncontent-length: 0\r\n\r\n", id="a control character"),
        pytest.param(b"HTTP/1.1 101 Switching\r\nupgrade: x\r\n\r\n", id="an upgrade"),
        pytest.param(b"HTTP/1.1 200 OK\r\nx: " + b"a" * (300 << 10), id="an endless head"),
    ],
)
def test_what_is_no_answer_is_refused(data: bytes) -> None:
    with pytest.raises(Malformed):
        read(data, [len(data) // 2])
