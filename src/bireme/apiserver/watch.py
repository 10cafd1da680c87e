"""A watch as a stream of frames: what there is, what follows, bookmarks, and an end at its time.

All frames that came since the last write go out together, so a busy watch costs one write for each commit. A
client that does not read is dropped by the watcher's bound (`registry/watch_cache.py`).
Old clients watch over a WebSocket: there each event is a message. Source: the Kubernetes documentation on reading.
"""

import asyncio
import struct
from collections.abc import AsyncIterator, Iterator, Sequence

import orjson

from bireme.aio.clock import Clock
from bireme.api.codec import protobuf_encoder
from bireme.api.errors import ApiError
from bireme.apiserver.errors import status_of
from bireme.apiserver.negotiation import JSON, PROTOBUF
from bireme.apiserver.views import ObjectView, added
from bireme.http.interface import WebSocketConnection
from bireme.registry.reader import Watching
from bireme.registry.record import Record
from bireme.registry.watch_cache import WatchCache

PIECE_BYTES = 16 * 1024
"""What there is at the beginning goes out in such pieces: each connection keeps the room of its longest write."""
AT_A_TIME = 8
BOOKMARK_EVERY_S = 60.0
BOOKMARK_BEFORE_END_S = 2.0


async def watch_frames(
    watching: Watching,
    view: ObjectView,
    *,
    cache: WatchCache,
    clock: Clock,
    timeout_s: float,
    bookmarks: bool,
    initial_events_end: bool,
    media: str = JSON,
) -> AsyncIterator[bytes]:
    """The frames of one watch, until its time is over or its reader is dropped."""
    watcher = watching.watcher
    try:
        revision = watching.revision
        pieces = beginning(view, watching.initial) if watching.initial else ()
        del watching  # a watch lasts longer than the objects of its beginning
        for piece in pieces:
            yield piece
            del piece
        if initial_events_end:
            yield view.bookmark(revision, initial_events_end=True)
        end = clock.monotonic() + timeout_s
        due = _next_bookmark(clock.monotonic(), end) if bookmarks else end
        cache.nudge_at(due, watcher)
        while not watcher.dropped:
            frames = watcher.take()
            if frames:
                yield frames
                continue
            now = clock.monotonic()
            if now >= due < end:
                yield view.bookmark(cache.revision)
                due = _next_bookmark(now, end)
                cache.nudge_at(due, watcher)
            elif now >= end:
                return
            else:
                await watcher.wait()
        if watcher.failure is not None:
            yield watcher.take() + error_frame(watcher.failure, media)
    finally:
        watcher.close()


def beginning(view: ObjectView, records: Sequence[Record]) -> Iterator[bytes]:
    """The frames of what there is when a watch begins, in pieces."""
    render = added(view)
    frames: list[bytes] = []
    size = 0
    for begin in range(0, len(records), AT_A_TIME):
        for frame in render(list(records[begin : begin + AT_A_TIME])):
            frames.append(frame)
            size += len(frame)
            if size >= PIECE_BYTES:
                yield b"".join(frames)
                frames, size = [], 0
    if frames:
        yield b"".join(frames)


def _next_bookmark(now: float, end: float) -> float:
    """In a minute, or shortly before the end; the end itself once that is past."""
    last = end - BOOKMARK_BEFORE_END_S
    return min(now + BOOKMARK_EVERY_S, last) if now < last else end


async def error_frames(error: ApiError, media: str) -> AsyncIterator[bytes]:
    """The frames of a watch that cannot begin: one that says why."""
    yield error_frame(error, media)


def error_frame(error: ApiError, media: str) -> bytes:
    """The event that says why a watch ends."""
    status = status_of(error)
    if media == PROTOBUF:
        return protobuf_encoder.watch_frame("ERROR", protobuf_encoder.encode(status))
    return orjson.dumps({"type": "ERROR", "object": status}) + b"\n"


async def send_messages(socket: WebSocketConnection, frames: AsyncIterator[bytes], media: str) -> None:
    """Send the frames of a watch as messages, until they end or the client leaves."""

    async def send() -> None:
        async for chunk in frames:
            for message in _messages(chunk, media):
                await socket.send(message)

    async with asyncio.TaskGroup() as tasks:
        sending = tasks.create_task(send())
        listening = tasks.create_task(_until_left(socket))
        sending.add_done_callback(lambda _: listening.cancel())
        listening.add_done_callback(lambda _: sending.cancel())


async def _until_left(socket: WebSocketConnection) -> None:
    while await socket.receive() is not None:
        pass


def _messages(chunk: bytes, media: str) -> Iterator[str | bytes]:
    """Frames one by one: text for JSON, the bytes behind the length for protobuf."""
    if media != PROTOBUF:
        yield from chunk.decode().splitlines()
        return
    position = 0
    while position < len(chunk):
        (size,) = struct.unpack_from(">I", chunk, position)
        yield chunk[position + 4 : position + 4 + size]
        position += 4 + size
