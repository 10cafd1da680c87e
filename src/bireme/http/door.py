"""What the connections of one server share: the handler, the limits, the counts; and how they all end."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from email.utils import formatdate

from aiohttp import web

from bireme.http.interface import Handler, Request, Response
from bireme.http.limits import Limits
from bireme.http.wire import chunk_of


@dataclass(frozen=True, slots=True)
class DoorStatistics:
    """How a door stands: connections open now, requests so far, and clients refused or cut off."""

    connections: int
    requests: int
    refused: int
    slow_readers: int


class Door(web.Server):
    """What the connections of one server share."""

    def __init__(
        self,
        handler: Handler,
        limits: Limits,
        *,
        refuse: Callable[[int, str], Response],
        streams_body: Callable[[Request], bool] | None = None,
        name: str = "",
    ) -> None:
        super().__init__(_unused, handler_cancellation=False)
        self.handler = handler
        self.limits = limits
        self.refuse = refuse
        self.streams_body = streams_body
        self.name = name
        self.refused = 0
        self.slow_readers = 0
        self._date = ""
        self._date_until = 0.0
        self._data = self._chunk = b""

    def date(self, now: float) -> str:
        """The Date header, made anew each second of the loop's time `now`."""
        if now >= self._date_until:
            self._date = formatdate(usegmt=True)
            self._date_until = now + 1.0
        return self._date

    def chunk(self, data: bytes) -> bytes:
        """`data` as a chunk, made once for all connections that send the same object one after another."""
        if data is not self._data:
            self._data, self._chunk = data, chunk_of(data)
        return self._chunk

    async def close(self, grace_s: float) -> None:
        """End idle connections now, busy ones after their request, all of them after `grace_s`."""
        connections = self.connections
        running = [task for connection in connections if (task := connection._task_handler) and not task.done()]
        for connection in connections:
            connection.close()
        if running:
            await asyncio.wait(running, timeout=grace_s)
        for task in running:
            task.cancel()
        if running:
            await asyncio.wait(running, timeout=grace_s)
        for connection in connections:
            connection.force_close()

    def statistics(self) -> DoorStatistics:
        return DoorStatistics(len(self._connections), self.requests_count, self.refused, self.slow_readers)


async def _unused(_: web.BaseRequest) -> web.StreamResponse:
    raise AssertionError("requests don't pass through the library's handler")
