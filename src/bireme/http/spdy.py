"""SPDY/3.1 sessions: many streams on one connection, as `kubectl exec` and `port-forward` open them.

`Engine` is the protocol without I/O: bytes in, events and bytes out. `Session` runs one over a connection.
What the streams mean is the caller's business.

Flow control, and why it is lopsided: the peers that matter (moby/spdystream, under every Kubernetes client) know
none, and drop data for a stream that has no reply yet. So a stream is replied to at once; windows count, both ways,
only from a peer's first WINDOW_UPDATE or SETTINGS on (one that arrives while the peer closes would turn its end
into a reset of the connection); and a stream that nobody reads stops the reading of its connection, which bounds
memory whatever the peer does.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field

from bireme.http.interface import Connection, WebSocketConnection
from bireme.http.spdy_frames import (
    Data,
    Frame,
    FrameReader,
    FrameWriter,
    GoAway,
    Headers,
    MoreHeaders,
    Ping,
    Reset,
    Settings,
    SpdyError,
    Status,
    SynReply,
    SynStream,
    WindowUpdate,
)

INITIAL_WINDOW = 64 * 1024
INITIAL_WINDOW_SETTING = 7
FRAME_SIZE = 32 * 1024
READ_AHEAD = 64 * 1024
MAX_STREAMS = 1024


@dataclass(slots=True)
class _State:
    """What the engine knows of one stream."""

    window: int
    replied: bool
    sent_fin: bool = False
    received_fin: bool = False
    consumed: int = 0


@dataclass(frozen=True, slots=True)
class Opened:
    """The peer opened a stream; it has been replied to. With `fin` the peer will send nothing on it."""

    stream: int
    headers: Headers
    fin: bool = False


@dataclass(frozen=True, slots=True)
class Replied:
    """The peer has taken a stream of ours."""

    stream: int


@dataclass(frozen=True, slots=True)
class Received:
    """Data of a stream; with `fin`, its last."""

    stream: int
    data: bytes
    fin: bool = False


@dataclass(frozen=True, slots=True)
class WasReset:
    """The stream is over, both ways."""

    stream: int


@dataclass(frozen=True, slots=True)
class WindowOpened:
    """More may be sent, on one stream or on several."""


Event = Opened | Replied | Received | WasReset | WindowOpened


class Engine:
    """One end of a session: what came in as events, what is to go out as bytes.

    Call `take_output` after every other call, and send what it gives.
    """

    def __init__(self, *, server: bool) -> None:
        self._reader = FrameReader()
        self._writer = FrameWriter()
        self._server = server
        self._next_stream = 2 if server else 1
        self._last_received = 0
        self._streams: dict[int, _State] = {}
        self._output = bytearray()
        self._flow_controlled = False
        self._window = INITIAL_WINDOW
        self._initial_window = INITIAL_WINDOW
        self._consumed = 0
        self._going_away = False

    def take_output(self) -> bytes:
        """The bytes that wait to be sent."""
        output = bytes(self._output)
        self._output.clear()
        return output

    def receive(self, data: bytes) -> list[Event]:
        """What `data` means. SpdyError when the session can't go on."""
        events: list[Event] = []
        for frame in self._reader.feed(data):
            event = self._handle(frame)
            if event is not None:
                events.append(event)
        return events

    def open(self, headers: Headers, *, fin: bool = False) -> int:
        """Open a stream; its number. Data must wait for `Replied`."""
        stream, self._next_stream = self._next_stream, self._next_stream + 2
        self._streams[stream] = _State(self._initial_window, replied=False, sent_fin=fin)
        self._send(SynStream(stream, headers, fin))
        return stream

    def sendable(self, stream: int) -> int:
        """How many bytes may be sent on a stream now; 0 when it must wait. ConnectionResetError when it is over."""
        state = self._streams.get(stream)
        if state is None or state.sent_fin:
            raise ConnectionResetError("stream is closed")
        if not state.replied:
            return 0
        return max(0, min(self._window, state.window, FRAME_SIZE)) if self._flow_controlled else FRAME_SIZE

    def send(self, stream: int, data: bytes, *, fin: bool = False) -> None:
        """Send at most `sendable` bytes; with `fin`, the last."""
        state = self._streams[stream]
        state.window -= len(data)
        self._window -= len(data)
        state.sent_fin = fin
        self._send(Data(stream, data, fin))
        self._forget_finished(stream, state)

    def consumed(self, stream: int, size: int) -> None:
        """`size` bytes of what was received have been used: let the peer send as many more."""
        if not self._flow_controlled:
            return
        self._consumed += size
        if self._consumed >= INITIAL_WINDOW // 2:
            self._send(WindowUpdate(0, self._consumed))
            self._consumed = 0
        state = self._streams.get(stream)
        if state is None or state.received_fin:
            return
        state.consumed += size
        if state.consumed >= INITIAL_WINDOW // 2:
            self._send(WindowUpdate(stream, state.consumed))
            state.consumed = 0

    def reset(self, stream: int, status: Status = Status.CANCEL) -> None:
        """End a stream both ways. Nothing happens when it is over."""
        if self._streams.pop(stream, None) is not None:
            self._send(Reset(stream, status))

    def go_away(self) -> None:
        """Say that no new streams are taken."""
        if not self._going_away:
            self._going_away = True
            self._send(GoAway(self._last_received))

    def _send(self, frame: Frame) -> None:
        self._output += self._writer.encode(frame)

    def _handle(self, frame: Frame) -> Event | None:
        match frame:
            case SynStream():
                return self._opened(frame)
            case SynReply():
                return self._replied(frame)
            case Data():
                return self._received(frame)
            case MoreHeaders(stream, _, True):
                return self._received(Data(stream, b"", fin=True))
            case Reset():
                return WasReset(frame.stream) if self._streams.pop(frame.stream, None) else None
            case Settings():
                return self._settle(frame)
            case WindowUpdate():
                return self._widen(frame)
            case Ping() if frame.number % 2 == self._server:
                self._send(frame)
        return None

    def _opened(self, frame: SynStream) -> Event | None:
        stream = frame.stream
        if stream % 2 != self._server or stream <= self._last_received:
            self._send(Reset(stream, Status.PROTOCOL_ERROR))
            return None
        self._last_received = stream
        if self._going_away or len(self._streams) >= MAX_STREAMS:
            self._send(Reset(stream, Status.REFUSED_STREAM))
            return None
        self._streams[stream] = _State(self._initial_window, replied=True, received_fin=frame.fin)
        self._send(SynReply(stream, {}))
        return Opened(stream, frame.headers, frame.fin)

    def _replied(self, frame: SynReply) -> Event | None:
        state = self._streams.get(frame.stream)
        if state is None or state.replied:
            return None
        state.replied = True
        return self._received(Data(frame.stream, b"", fin=True)) if frame.fin else Replied(frame.stream)

    def _received(self, frame: Data) -> Event | None:
        state = self._streams.get(frame.stream)
        if state is None or state.received_fin:
            # of a stream that is over: the bytes still count for the connection's window
            self.consumed(frame.stream, len(frame.data))
            return None
        if frame.fin:
            state.received_fin = True
            self._forget_finished(frame.stream, state)
        return Received(frame.stream, frame.data, frame.fin)

    def _settle(self, frame: Settings) -> Event | None:
        self._flow_controlled = True
        for number, value in frame.values:
            if number == INITIAL_WINDOW_SETTING:
                for state in self._streams.values():
                    state.window += value - self._initial_window
                self._initial_window = value
        return WindowOpened()

    def _widen(self, frame: WindowUpdate) -> Event | None:
        self._flow_controlled = True
        if not frame.stream:
            self._window += frame.delta
        elif state := self._streams.get(frame.stream):
            state.window += frame.delta
        return WindowOpened()

    def _forget_finished(self, stream: int, state: _State) -> None:
        if state.sent_fin and state.received_fin:
            self._streams.pop(stream, None)


@dataclass(eq=False, slots=True)
class Stream:
    """One stream of a session; a byte stream each way."""

    session: "Session"
    number: int
    headers: Mapping[str, str]
    waiting: deque[bytes] = field(default_factory=deque)
    ended: bool = False
    was_reset: bool = False
    wake: asyncio.Event = field(default_factory=asyncio.Event)

    async def read(self) -> bytes:
        """Some bytes; b"" when the other end has finished. ConnectionResetError when the stream was reset."""
        while not self.waiting and not self.ended:
            self.wake.clear()
            await self.wake.wait()
        if not self.waiting:
            if self.was_reset:
                raise ConnectionResetError("stream was reset")
            return b""
        # piece by piece: a slow reader must not have all that waits copied into its next write
        data = self.waiting.popleft()
        await self.session.used(self, len(data))
        return data

    async def write(self, data: bytes) -> None:
        """Send `data`, waiting while the other end is slow. ConnectionError when the stream is over."""
        await self.session.send(self, data)

    async def finish(self) -> None:
        """Say that nothing more will come. Nothing happens when the stream is over."""
        with suppress(ConnectionError):
            await self.session.send(self, b"", fin=True)

    async def reset(self) -> None:
        """End the stream both ways."""
        await self.session.reset(self)

    async def close(self) -> None:
        """What `finish` does: a session outlives its streams."""
        await self.finish()


class Session:
    """An engine on a connection. `run` must be running for anything else to move."""

    def __init__(self, connection: Connection, *, server: bool) -> None:
        self._connection = connection
        self._engine = Engine(server=server)
        self._streams: dict[int, Stream] = {}
        self._accepted: asyncio.Queue[Stream | None] = asyncio.Queue()
        self._lock = asyncio.Lock()
        self._moved = asyncio.Condition()
        self._waiting = 0
        self._room = asyncio.Event()
        self._over = False

    async def run(self) -> None:
        """Read the connection to its end. All streams end with it."""
        try:
            while data := await self._connection.read():
                for event in self._engine.receive(data):
                    self._handle(event)
                await self._flush()
                async with self._moved:
                    self._moved.notify_all()
                await self._wait_for_room()
        except (SpdyError, ConnectionError):
            pass
        finally:
            self._end()
        async with self._moved:
            self._moved.notify_all()

    async def streams(self) -> AsyncIterator[Stream]:
        """The streams that the peer opens, until the session is over."""
        while (stream := await self._accepted.get()) is not None:
            yield stream

    async def open(self, headers: Mapping[str, str]) -> Stream:
        """Open a stream, and wait until the peer has taken it. ConnectionError when it refuses."""
        if self._over:
            raise ConnectionResetError("session is over")
        async with self._lock:
            stream = Stream(self, self._engine.open(headers), headers)
            self._streams[stream.number] = stream
            await self._connection.write(self._engine.take_output())
        await self._wait_until_sendable(stream)
        return stream

    async def close(self) -> None:
        """Say good-bye, and close the connection."""
        if not self._over:
            self._engine.go_away()
            with suppress(ConnectionError):
                await self._flush()
        self._end()
        await self._connection.close()

    async def send(self, stream: Stream, data: bytes, *, fin: bool = False) -> None:
        """Send `data` on `stream`, in pieces, as far as its window is open; `Stream.write` is the way to it."""
        view = memoryview(data)
        if not view and not fin:
            return
        while True:
            if view:
                await self._wait_until_sendable(stream)
            async with self._lock:
                size = min(self._engine.sendable(stream.number), len(view))
                if view and not size:
                    continue  # another stream took the room
                last = size == len(view)
                self._engine.send(stream.number, bytes(view[:size]), fin=fin and last)
                await self._connection.write(self._engine.take_output())
            if last:
                return
            view = view[size:]

    async def used(self, stream: Stream, size: int) -> None:
        """`size` bytes of `stream` have been read by the one who uses it."""
        self._waiting -= size
        if self._waiting <= READ_AHEAD:
            self._room.set()
        self._engine.consumed(stream.number, size)
        with suppress(ConnectionError):
            await self._flush()

    async def reset(self, stream: Stream) -> None:
        """End `stream` both ways; `Stream.reset` is the way to it."""
        self._engine.reset(stream.number)
        self._drop(stream)
        with suppress(ConnectionError):
            await self._flush()

    async def _flush(self) -> None:
        async with self._lock:
            if output := self._engine.take_output():
                await self._connection.write(output)

    async def _wait_until_sendable(self, stream: Stream) -> int:
        async with self._moved:
            while True:
                if self._over or stream.was_reset:
                    raise ConnectionResetError("stream is over")
                if size := self._engine.sendable(stream.number):
                    return size
                await self._moved.wait()

    async def _wait_for_room(self) -> None:
        while self._waiting > READ_AHEAD and not self._over:
            self._room.clear()
            await self._room.wait()

    def _handle(self, event: Event) -> None:
        match event:
            case Opened():
                stream = Stream(self, event.stream, event.headers, ended=event.fin)
                if not event.fin:
                    self._streams[event.stream] = stream
                self._accepted.put_nowait(stream)
            case Received():
                self._deliver(event)
            case WasReset():
                if known := self._streams.pop(event.stream, None):
                    # what came before the reset still counts: servers end a session by resetting its streams
                    known.was_reset = known.ended = True
                    known.wake.set()

    def _deliver(self, event: Received) -> None:
        stream = self._streams.get(event.stream)
        if stream is None:
            self._engine.consumed(event.stream, len(event.data))
            return
        if event.data:
            stream.waiting.append(event.data)
            self._waiting += len(event.data)
        if event.fin:
            stream.ended = True
            del self._streams[event.stream]
        stream.wake.set()

    def _drop(self, stream: Stream) -> None:
        """A stream is over: what waits in it is forgotten."""
        self._streams.pop(stream.number, None)
        size = sum(map(len, stream.waiting))
        stream.waiting.clear()
        self._waiting -= size
        if size:
            self._engine.consumed(stream.number, size)
            self._room.set()
        stream.was_reset = stream.ended = True
        stream.wake.set()

    def _end(self) -> None:
        self._over = True
        for stream in self._streams.values():
            stream.was_reset = stream.ended = True
            stream.wake.set()
        self._streams.clear()
        self._accepted.put_nowait(None)
        self._room.set()


class MessageConnection:
    """The binary messages of a WebSocket as one byte stream: how SPDY is tunnelled through one."""

    def __init__(self, socket: WebSocketConnection) -> None:
        self._socket = socket

    async def read(self) -> bytes:
        """The content of the next message; b"" when the other end has closed."""
        while True:
            message = await self._socket.receive()
            if message is None:
                return b""
            if message:
                return message.encode() if isinstance(message, str) else message

    async def write(self, data: bytes) -> None:
        """Send `data` as one message."""
        await self._socket.send(data)

    async def close(self) -> None:
        await self._socket.close()
