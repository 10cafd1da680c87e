"""Serving: a `Handler` on a TCP port or a unix socket, with TLS and with limits on everything a client may send.

Parsing and writing stand in `connection.py`; this module opens and closes the door. What a request means, who
may make it and how long it may take is the handler's business.
"""

import asyncio
import contextlib
import os
import ssl
import stat
from collections.abc import Callable
from dataclasses import dataclass, field

from bireme.http.connection import HttpConnection
from bireme.http.door import Door, DoorStatistics
from bireme.http.interface import Handler, Request, Response
from bireme.http.limits import Limits

__all__ = ["Limits", "Server", "plain_refusal", "serve"]


def plain_refusal(status: int, message: str) -> Response:
    """The answer to what never reached the handler, as one line of text."""
    return Response(status, f"{message}\n".encode(), content_type="text/plain; charset=utf-8")


@dataclass(slots=True)
class Server:
    """An open door. `port` is the one that was bound, 0 for a unix socket."""

    port: int
    door: Door
    listener: asyncio.Server
    unix_path: str = ""
    _closed: bool = field(default=False)

    async def close(self, *, grace_s: float = 5.0) -> None:
        """Stop listening, let requests under way end within `grace_s`, then cut what is left."""
        if self._closed:
            return
        self._closed = True
        self.listener.close()
        await self.door.close(grace_s)
        if self.unix_path:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self.unix_path)

    def statistics(self) -> DoorStatistics:
        """Connections and requests so far, and how many clients were refused or cut off."""
        return self.door.statistics()


async def serve(
    handler: Handler,
    *,
    host: str = "",
    port: int = 0,
    tls: ssl.SSLContext | None = None,
    limits: Limits | None = None,
    unix_path: str | None = None,
    name: str = "",
    refuse: Callable[[int, str], Response] = plain_refusal,
    streams_body: Callable[[Request], bool] | None = None,
) -> Server:
    """Open a door for `handler` on `host` and `port`, or on a unix socket that its owner alone may use.

    `refuse` words the answers made before or instead of the handler's (400, 413, 431, 500...). A request for
    whose head `streams_body` is true comes with its body as `stream`, unlimited in size. `name` is for the logs.
    """
    loop = asyncio.get_running_loop()
    limits = limits or Limits()
    door = Door(handler, limits, refuse=refuse, streams_body=streams_body, name=name)

    def factory() -> HttpConnection:
        return HttpConnection(door)

    if unix_path is not None:
        _remove_stale_socket(unix_path)
        listener = await loop.create_unix_server(factory, unix_path, backlog=limits.backlog)
        os.chmod(unix_path, stat.S_IRUSR | stat.S_IWUSR)
        return Server(0, door, listener, unix_path)
    listener = await loop.create_server(
        factory,
        host or None,
        port,
        ssl=tls,
        backlog=limits.backlog,
        reuse_address=True,
        ssl_handshake_timeout=limits.handshake_s if tls else None,
        ssl_shutdown_timeout=limits.farewell_s if tls else None,
    )
    return Server(listener.sockets[0].getsockname()[1], door, listener)


def _remove_stale_socket(path: str) -> None:
    with contextlib.suppress(FileNotFoundError):
        if stat.S_ISSOCK(os.stat(path, follow_symlinks=False).st_mode):
            os.unlink(path)
