"""SPDY sessions: two ends of ours on a pipe in memory, and one end against bytes."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bireme.http.spdy import (
    FRAME_SIZE,
    INITIAL_WINDOW,
    READ_AHEAD,
    Engine,
    Event,
    Opened,
    Received,
    Replied,
    Session,
    Stream,
    WasReset,
)
from bireme.http.spdy_frames import Data, FrameReader, FrameWriter, Ping, Settings, SynStream, WindowUpdate


class Pipe:
    """One end of a connection in memory; `peer` is the other."""

    def __init__(self) -> None:
        self.queue: asyncio.Queue[bytes] = asyncio.Queue()
        self.peer: Pipe | None = None
        self.written = 0
        self.closed = False

    async def read(self) -> bytes:
        return b"" if self.closed else await self.queue.get()

    async def write(self, data: bytes) -> None:
        assert self.peer is not None
        if self.closed:
            raise ConnectionResetError
        self.written += len(data)
        self.peer.queue.put_nowait(data)

    async def close(self) -> None:
        if not self.closed:
            self.closed = True
            self.queue.put_nowait(b"")
            assert self.peer is not None
            self.peer.queue.put_nowait(b"")


@asynccontextmanager
async def sessions() -> AsyncIterator[tuple[Session, Session, Pipe]]:
    left, right = Pipe(), Pipe()
    left.peer, right.peer = right, left
    client, server = Session(left, server=False), Session(right, server=True)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(client.run())
        tasks.create_task(server.run())
        yield client, server, left
        await client.close()
        await server.close()


async def accept(session: Session) -> Stream:
    return await anext(session.streams())


async def read_all(stream: Stream) -> bytes:
    received = bytearray()
    while data := await stream.read():
        received += data
    return bytes(received)


async def test_bytes_both_ways() -> None:
    async with sessions() as (client, server, _):
        mine = await client.open({"streamtype": "stdin"})
        theirs = await accept(server)
        assert theirs.headers == {"streamtype": "stdin"}
        await mine.write(b"question")
        assert await theirs.read() == b"question"
        await theirs.write(b"answer")
        await theirs.finish()
        assert await mine.read() == b"answer"
        assert await mine.read() == b""
        await mine.finish()
        assert await theirs.read() == b""


async def test_one_direction_can_end_before_the_other() -> None:
    async with sessions() as (client, server, _):
        mine = await client.open({})
        theirs = await accept(server)
        await mine.finish()
        assert await theirs.read() == b""
        await theirs.write(b"late")
        assert await mine.read() == b"late"
        with pytest.raises(ConnectionError):
            await mine.write(b"more")


async def test_much_data_on_many_streams_at_once() -> None:
    body = bytes(range(256)) * 3000
    async with sessions() as (client, server, _):
        async with asyncio.TaskGroup() as tasks:
            ends = []
            for _ in range(5):
                mine = await client.open({})
                ends.append(tasks.create_task(read_all(await accept(server))))
                tasks.create_task(mine.write(body)).add_done_callback(lambda _, s=mine: tasks.create_task(s.finish()))
        assert [end.result() for end in ends] == [body] * 5


async def test_a_stream_that_nobody_reads_stops_the_connection() -> None:
    async with sessions() as (client, server, pipe):
        mine = await client.open({})
        theirs = await accept(server)
        for _ in range(40):
            await mine.write(b"x" * FRAME_SIZE)
        for _ in range(100):
            await asyncio.sleep(0)
        assert sum(map(len, theirs.waiting)) <= READ_AHEAD + 2 * FRAME_SIZE
        await mine.finish()
        assert len(await read_all(theirs)) == 40 * FRAME_SIZE
        assert pipe.written > 40 * FRAME_SIZE


async def test_a_reset_stream_ends_on_both_sides() -> None:
    async with sessions() as (client, server, _):
        mine = await client.open({})
        theirs = await accept(server)
        await theirs.reset()
        with pytest.raises(ConnectionError):
            await mine.read()
        with pytest.raises(ConnectionError):
            await mine.write(b"x")
        again = await client.open({})
        await again.write(b"fine")
        assert await (await accept(server)).read() == b"fine"


async def test_what_came_before_a_reset_is_still_read() -> None:
    async with sessions() as (client, server, _):
        mine = await client.open({})
        theirs = await accept(server)
        await theirs.write(b"status")
        await theirs.reset()
        await client.open({})
        assert await mine.read() == b"status"
        with pytest.raises(ConnectionError):
            await mine.read()


async def test_streams_end_with_their_session() -> None:
    async with sessions() as (client, server, _):
        mine = await client.open({})
        theirs = await accept(server)
        await mine.write(b"last")
        await client.close()
        assert await theirs.read() == b"last"
        with pytest.raises(ConnectionError):
            await theirs.read()
        with pytest.raises(ConnectionError):
            await client.open({})
        with pytest.raises(StopAsyncIteration):
            await accept(server)


def exchange(one: Engine, other: Engine) -> tuple[list[Event], list[Event]]:
    """Pass bytes until both are silent: what each has heard."""
    heard: tuple[list[Event], list[Event]] = ([], [])
    while True:
        there, back = one.take_output(), other.take_output()
        if not there and not back:
            return heard
        heard[1].extend(other.receive(there))
        heard[0].extend(one.receive(back))


def test_a_stream_is_replied_to_at_once() -> None:
    client, server = Engine(server=False), Engine(server=True)
    number = client.open({"a": "b"})
    assert client.sendable(number) == 0
    assert exchange(client, server) == ([Replied(number)], [Opened(number, {"a": "b"})])
    assert client.sendable(number) == FRAME_SIZE


def test_a_peer_without_flow_control_is_not_waited_for() -> None:
    client, server = Engine(server=False), Engine(server=True)
    number = client.open({})
    exchange(client, server)
    for _ in range(10):
        client.send(number, b"x" * client.sendable(number))
    assert client.sendable(number) == FRAME_SIZE


def test_a_peer_with_flow_control_is_waited_for() -> None:
    client, server = Engine(server=False), Engine(server=True)
    client.receive(FrameWriter().encode(Settings(((7, 40_000),))))
    number = client.open({})
    exchange(client, server)
    sent = 0
    while size := client.sendable(number):
        client.send(number, b"x" * size)
        sent += size
    assert sent == 40_000
    client.receive(FrameWriter().encode(WindowUpdate(number, 100_000)))
    while size := client.sendable(number):
        client.send(number, b"x" * size)
        sent += size
    assert sent == INITIAL_WINDOW
    client.receive(FrameWriter().encode(WindowUpdate(0, 10)))
    assert client.sendable(number) == 10


def test_what_was_used_may_be_sent_again() -> None:
    server = Engine(server=True)
    writer = FrameWriter()
    server.receive(writer.encode(Settings(())) + writer.encode(SynStream(1, {})))
    server.receive(writer.encode(Data(1, b"x" * 40_000)))
    server.take_output()
    server.consumed(1, 40_000)
    assert FrameReader().feed(server.take_output()) == [WindowUpdate(0, 40_000), WindowUpdate(1, 40_000)]


def test_pings_are_answered() -> None:
    server = Engine(server=True)
    server.receive(FrameWriter().encode(Ping(3)) + FrameWriter().encode(Ping(4)))
    assert FrameReader().feed(server.take_output()) == [Ping(3)]


def test_streams_by_wrong_numbers_are_reset() -> None:
    client, server = FrameWriter(), Engine(server=True)
    for number in (3, 3, 1, 4):
        server.receive(client.encode(SynStream(number, {})))
    assert [type(frame).__name__ for frame in FrameReader().feed(server.take_output())] == [
        "SynReply",
        "Reset",
        "Reset",
        "Reset",
    ]


def test_no_new_streams_after_good_bye() -> None:
    client, server = Engine(server=False), Engine(server=True)
    server.go_away()
    number = client.open({})
    assert exchange(client, server) == ([WasReset(number)], [])


steps = st.lists(
    st.tuples(st.booleans(), st.integers(0, 3), st.sampled_from(["open", "send", "fin", "reset", "use"])), max_size=40
)


@given(steps)
def test_two_ends_agree_whatever_is_done(script: list[tuple[bool, int, str]]) -> None:
    """What one end sends on a stream, the other hears, in order and once, until the stream is reset."""
    ends = (Engine(server=False), Engine(server=True))
    opened: list[int] = []
    sent: dict[tuple[bool, int], bytes] = {}
    heard: dict[tuple[bool, int], bytes] = {}
    reset: set[int] = set()
    for by_server, which, action in script:
        end = ends[by_server]
        if action == "open":
            opened.append(end.open({}))
        elif opened:
            number = opened[which % len(opened)]
            try:
                if action == "send" and end.sendable(number):
                    end.send(number, b"%d" % which)
                    sent[by_server, number] = sent.get((by_server, number), b"") + b"%d" % which
                elif action == "fin" and end.sendable(number):
                    end.send(number, b"", fin=True)
            except ConnectionResetError:
                pass
            if action == "reset":
                end.reset(number)
                reset.add(number)
            elif action == "use":
                end.consumed(number, 1)
        for by, events in zip((True, False), exchange(*ends), strict=True):
            for event in events:
                if isinstance(event, Received):
                    heard[by, event.stream] = heard.get((by, event.stream), b"") + event.data
    for key, data in sent.items():
        assert heard.get(key, b"") == data or key[1] in reset
