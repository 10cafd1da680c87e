"""Plain requests on kept connections of our own, against the library's way and against servers that hang up."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bireme.http.answers import Answered, Cut
from bireme.http.interface import Answer, Request, Response
from bireme.http.lines import Line
from bireme.http.plain import plain_request
from bireme.http.requests import RequestFailed, RequestTimedOut, Session
from bireme.http.server import serve

words = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), max_size=8)
names = st.sampled_from(["x-a", "X-B", "accept", "user-agent", "content-type", "authorization"])
methods = st.sampled_from(["GET", "POST", "PUT", "PATCH", "DELETE"])
targets = st.sampled_from(["", "/", "/apis/apps/v1?a=%2F&b", "/api/v1/pods/x:log/y@z"])


@given(methods, targets, st.dictionaries(names, words, max_size=4), st.binary(max_size=40))
@settings(max_examples=40, deadline=None)
def test_a_request_arrives_as_the_library_sends_it(
    method: str, target: str, headers: dict[str, str], body: bytes
) -> None:
    body = b"" if method == "GET" else body
    seen: list[tuple[object, ...]] = []

    async def handle(request: Request) -> Answer:
        seen.append((request.method, request.raw_path, dict(request.headers), request.body))
        return Response(200, b"seen")

    async def run() -> None:
        server = await serve(handle, host="127.0.0.1")
        url = f"http://127.0.0.1:{server.port}{target}"
        assert plain_request(method, url, headers, body, tls=None) is not None
        # Where it matters which address is reached, the library is asked.
        async with Session() as ours, Session(may_reach=lambda address: True) as theirs:
            replies = [await each.request(method, url, headers=headers, body=body) for each in (ours, theirs)]
        await server.close(grace_s=0.1)
        assert [reply.body for reply in replies] == [b"seen", b"seen"]

    asyncio.run(run())
    assert seen[0] == seen[1]


@pytest.mark.parametrize(
    ("method", "url", "headers"),
    [
        pytest.param("GET", "https://a.example/", {}, id="without a context for TLS"),
        pytest.param("GET", "http://user:secret@a.example/", {}, id="a user in the address"),
        pytest.param("GET", "http://a.example?b", {}, id="no path"),
        pytest.param("GET", "http://a.example/a b", {}, id="a space"),
        pytest.param("GET", "http://a.example/ä", {}, id="a letter that is to be quoted"),
        pytest.param("GET", "http://a.example/#b", {}, id="a fragment"),
        pytest.param("GET", "http://a.example:99999/", {}, id="no port"),
        pytest.param("CONNECT", "http://a.example/", {}, id="another method"),
        pytest.param("POST", "http://a.example/", {"Transfer-Encoding": "chunked"}, id="framed by the caller"),
        pytest.param("GET", "http://a.example/", {"upgrade": "x"}, id="an upgrade"),
        pytest.param("GET", "http://a.example/", {"x-a": ["1", "2"]}, id="several values"),
    ],
)
def test_what_is_not_plain_is_left_to_the_library(method: str, url: str, headers: dict[str, str | list[str]]) -> None:
    assert plain_request(method, url, headers, b"", tls=None) is None


@pytest.mark.parametrize("headers", [{"x-a": "1\r\nx-b: 2"}, {"x-a": "1\n"}, {"x a": "1"}, {"x-a": "\0"}])
async def test_headers_cannot_break_out_of_their_line(headers: dict[str, str]) -> None:
    async with Session() as session:
        with pytest.raises(RequestFailed):
            await session.request("GET", "http://127.0.0.1:1/", headers=headers)


Talk = Callable[[int, int], bytes | None]
"""What a server says to the so-many-th request of the so-many-th connection; None: it hangs up."""


@asynccontextmanager
async def talking(talk: Talk) -> AsyncIterator[tuple[str, list[bytes]]]:
    """A server, and the first lines of what it heard."""
    heard: list[bytes] = []
    connections = iter(range(100))

    async def meet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = next(connections)
        try:
            for turn in range(100):
                head = await reader.readuntil(b"\r\n\r\n")
                heard.append(head.split(b"\r\n")[0])
                said = talk(connection, turn)
                if said is None:
                    break
                writer.write(said)
        except asyncio.IncompleteReadError:
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(meet, "127.0.0.1")
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", heard


OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"


def hangs_up_on_the_second(connection: int, turn: int) -> bytes | None:
    return OK if (connection, turn) != (0, 1) else None


async def test_a_connection_is_kept() -> None:
    async with (
        talking(lambda connection, turn: OK if connection == 0 else None) as (url, heard),
        Session() as session,
    ):
        for _ in range(3):
            assert (await session.request("PATCH", url + "/")).body == b"ok"
    assert len(heard) == 3


async def test_what_may_be_sent_twice_is_when_a_kept_connection_was_closed() -> None:
    async with talking(hangs_up_on_the_second) as (url, heard), Session() as session:
        await session.request("GET", url + "/1")
        assert (await session.request("GET", url + "/2")).body == b"ok"
    assert heard == [b"GET /1 HTTP/1.1", b"GET /2 HTTP/1.1", b"GET /2 HTTP/1.1"]


async def test_what_may_not_be_sent_twice_fails_then() -> None:
    async with talking(hangs_up_on_the_second) as (url, heard), Session() as session:
        await session.request("PATCH", url + "/1")
        with pytest.raises(RequestFailed):
            await session.request("PATCH", url + "/2")
    assert heard == [b"PATCH /1 HTTP/1.1", b"PATCH /2 HTTP/1.1"]


async def test_a_new_connection_that_is_closed_is_not_tried_again() -> None:
    async with talking(lambda connection, turn: None) as (url, heard), Session() as session:
        with pytest.raises(RequestFailed):
            await session.request("GET", url + "/")
    assert len(heard) == 1


async def test_a_connection_whose_answer_was_not_awaited_is_not_used_again() -> None:
    def talk(connection: int, turn: int) -> bytes | None:
        return b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nto" if connection == 0 else OK

    async with talking(talk) as (url, heard), Session() as session:
        with pytest.raises(RequestTimedOut):
            await session.request("GET", url + "/1", timeout_s=0.05)
        assert (await session.request("GET", url + "/2")).body == b"ok"
    assert heard == [b"GET /1 HTTP/1.1", b"GET /2 HTTP/1.1"]


async def test_a_connection_whose_server_has_not_read_all_is_not_used_again() -> None:
    over, connections = asyncio.Event(), 0

    async def answer_early(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        await reader.readuntil(b"\r\n\r\n")
        writer.write(OK)
        await over.wait()  # of the body no more is read than the reader holds
        writer.close()

    server = await asyncio.start_server(answer_early, "127.0.0.1")
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
    async with server, Session(timeout_s=20) as session:
        try:
            for body in (b"x" * (64 << 20), b""):
                assert (await session.request("PATCH", url, body=body)).body == b"ok"
        finally:
            over.set()
    assert connections == 2


async def test_a_server_that_speaks_unasked_is_left() -> None:
    async with talking(lambda connection, turn: OK + OK) as (url, heard), Session() as session:
        for _ in range(2):
            assert (await session.request("PATCH", url + "/")).body == b"ok"
    assert len(heard) == 2


async def test_requests_at_once_have_a_connection_each() -> None:
    async with talking(lambda connection, turn: OK if turn == 0 else None) as (url, heard), Session() as session:
        async with asyncio.TaskGroup() as tasks:
            asked = [tasks.create_task(session.request("PATCH", url + "/")) for _ in range(5)]
    assert [task.result().body for task in asked] == [b"ok"] * 5
    assert len(heard) == 5


class Wire(asyncio.Transport):
    """Takes what is written, which goes nowhere."""

    def write(self, data: bytes | bytearray | memoryview) -> None:
        pass

    def abort(self) -> None:
        pass


@pytest.mark.parametrize(
    ("said", "heard"),
    [
        pytest.param(b"", False, id="before the answer"),
        pytest.param(b"HTTP/1.1 200 OK\r\n\r\nthe beginn", True, id="in a body that goes on to the end"),
    ],
)
def test_a_connection_that_is_reset_has_not_come_to_its_end(said: bytes, *, heard: bool) -> None:
    outcomes: list[Answered | Exception] = []
    line = Line()
    line.connection_made(Wire())
    line.ask(b"", outcomes.append, limit=100)
    if said:
        line.data_received(said)
    line.connection_lost(ConnectionResetError())
    (outcome,) = outcomes
    assert isinstance(outcome, Cut)
    assert outcome.heard == heard


async def test_no_time_given_is_the_time_of_the_session() -> None:
    async with talking(lambda connection, turn: OK) as (url, _), Session() as session:
        assert (await session.request("GET", url + "/", timeout_s=0)).body == b"ok"
