"""One open event stream: records queued for a reader that takes them at its own pace.

The queue is bounded in records and bytes; a reader that falls so far behind is cut off, since the master waits
for nobody. What it missed it gets again when it subscribes anew.
"""

import asyncio
from collections import deque
from collections.abc import Callable

from bireme.mesos import protocol
from bireme.mesos.messages import Message
from bireme.mesos.protocol import ContentType

MAX_RECORDS = 4096
MAX_BYTES = 32 * 1024 * 1024


class Subscription:
    """The chunks of a streamed answer. `on_close` is called once, whoever ends it."""

    def __init__(
        self,
        content_type: ContentType,
        *,
        event: str,
        stream_id: str = "",
        on_close: Callable[["Subscription"], None] = lambda _: None,
    ) -> None:
        self.content_type = content_type
        self.stream_id = stream_id
        self._event = event
        self._on_close = on_close
        self._queue: deque[bytes] = deque()
        self._bytes = 0
        self._wake = asyncio.Event()
        self._ending = False
        self._closed = False

    @property
    def open(self) -> bool:
        """Whether events may still reach the reader."""
        return not self._ending and not self._closed

    def send(self, event: Message) -> bool:
        """Queue an event; False if the stream is over, or just became so because its reader is too slow."""
        if not self.open:
            return False
        record = protocol.record(event, self._event, self.content_type)
        if len(self._queue) >= MAX_RECORDS or self._bytes + len(record) > MAX_BYTES:
            self._queue.clear()
            self.finish()
            return False
        self._queue.append(record)
        self._bytes += len(record)
        self._wake.set()
        return True

    def finish(self) -> None:
        """End the stream once what is queued has been read."""
        if not self._ending:
            self._ending = True
            self._wake.set()
            self._close()

    def _close(self) -> None:
        if not self._closed:
            self._closed = True
            self._on_close(self)

    def __aiter__(self) -> "Subscription":
        return self

    async def __anext__(self) -> bytes:
        while not self._queue:
            if self._ending:
                raise StopAsyncIteration
            self._wake.clear()
            await self._wake.wait()
        chunk = b"".join(self._queue)
        self._queue.clear()
        self._bytes = 0
        return chunk

    async def aclose(self) -> None:
        """The reader has gone."""
        self._ending = True
        self._queue.clear()
        self._wake.set()
        self._close()
