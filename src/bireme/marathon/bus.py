"""Events for /v2/events: each client has a bounded queue, and who reads too slowly is cut off.

Nothing is replayed; clients read /v2 after they attach. Source: Marathon 1.11's REST API.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Collection
from typing import Any

import orjson

from bireme.aio.clock import Clock
from bireme.aio.waiting import wait_any
from bireme.marathon.versions import stamp

MAX_OUTSTANDING = 50
KEEP_ALIVE_S = 10.0
ALIVE = b"\r\n"


class Bus:
    """Whoever listens hears what is posted."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._listeners: set[Listener] = set()

    def post(self, kind: str, **fields: Any) -> None:
        """Tell all listeners; `kind` must be one of the original's, since clients refuse others."""
        event = {"eventType": kind, "timestamp": stamp(self._clock.now()), **fields}
        record: bytes | None = None
        for listener in list(self._listeners):
            if not listener.kinds or kind in listener.kinds:
                record = record or frame(kind, event)
                listener.put(record)

    def attach(self, address: str, kinds: Collection[str]) -> "Listener":
        """A new listener; its first event is that it is attached."""
        listener = Listener(self._clock, frozenset(kinds), self._detach)
        event = {
            "eventType": "event_stream_attached",
            "timestamp": stamp(self._clock.now()),
            "remoteAddress": address,
        }
        self.post("event_stream_attached", remoteAddress=address)
        listener.address = address
        listener.put(frame("event_stream_attached", event))
        self._listeners.add(listener)
        return listener

    def _detach(self, listener: "Listener") -> None:
        if listener in self._listeners:
            self._listeners.discard(listener)
            self.post("event_stream_detached", remoteAddress=listener.address)

    def close(self) -> None:
        """Send everybody away; clients attach again."""
        for listener in list(self._listeners):
            listener.end()

    def statistics(self) -> int:
        """How many listen."""
        return len(self._listeners)


def frame(kind: str, event: dict[str, Any]) -> bytes:
    """One event as it goes over the wire."""
    return b"event: %b\r\ndata: %b\r\n\r\n" % (kind.encode(), orjson.dumps(event))


class Listener(AsyncIterator[bytes]):
    """The frames for one client, and a sign of life when nothing happens."""

    def __init__(self, clock: Clock, kinds: frozenset[str], on_close: Callable[["Listener"], None]) -> None:
        self.kinds = kinds
        self.address = ""
        self._clock = clock
        self._on_close = on_close
        self._queue: deque[bytes] = deque()
        self._wake = asyncio.Event()
        self._closed = False

    def put(self, record: bytes) -> None:
        """Queue a frame, or end the stream if its reader is too slow."""
        if len(self._queue) >= MAX_OUTSTANDING:
            self.end()
            return
        self._queue.append(record)
        self._wake.set()

    async def __anext__(self) -> bytes:
        if not self._queue and not self._closed:
            self._wake.clear()
            await wait_any(self._wake.wait(), self._clock.sleep(KEEP_ALIVE_S))
        if self._queue:
            return self._queue.popleft()
        if self._closed:
            raise StopAsyncIteration
        return ALIVE

    async def aclose(self) -> None:
        """The client has gone."""
        self._queue.clear()
        self.end()

    def end(self) -> None:
        """Nothing comes after what is queued."""
        self._closed = True
        self._wake.set()
        self._on_close(self)
