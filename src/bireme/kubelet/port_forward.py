"""Port-forward: the client's streams joined to sockets inside a pod's network namespace.

Three forms of one thing: SPDY streams, the same SPDY tunnelled in WebSocket messages, and plain WebSocket channels
for ports named in the query. Source: Kubernetes' `portforward.k8s.io` protocol (reference, section 9); setns(2).
"""

import asyncio
import contextlib
import ctypes
import os
import socket
import struct
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from bireme.api.errors import BadRequest, Forbidden
from bireme.http.interface import Answer, Connection, Request, Takeover, WebSocketConnection, WebSocketUpgrade
from bireme.http.spdy import MessageConnection
from bireme.http.spdy import Session as SpdySession
from bireme.http.spdy import Stream as SpdyStream
from bireme.http.upgrades import StreamConnection
from bireme.kubelet.streams import SPDY, chosen_protocol, decode_message, encode_message, offered, wanted_upgrade

PROTOCOL = "portforward.k8s.io"
TUNNEL = f"{SPDY}+{PROTOCOL}"
CHANNELS: Mapping[str, bool] = {"v4.channel.k8s.io": False, "v4.base64.channel.k8s.io": True, "": False}
"""The plain WebSocket protocols; true for those in base64."""

PAIR_S = 30.0
CONNECT_S = 10.0
_CLONE_NEWNET = 0x40000000
_LOOPBACKS = ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1"))


@dataclass(slots=True)
class _Pair:
    """The two streams of one connection; the client opens them one after the other."""

    error: SpdyStream | None = None
    data: SpdyStream | None = None
    complete: asyncio.Event = field(default_factory=asyncio.Event)


class PortForward:
    """Forwards to the ports of one pod, whose network namespace is at `namespace` ("" for the node's own)."""

    def __init__(self, pod: str, namespace: str) -> None:
        self._pod = pod
        self._namespace = namespace

    def join(self, request: Request) -> Answer:
        """The answer to `request`. BadRequest or Forbidden when it asks in no form that is known."""
        match wanted_upgrade(request):
            case "spdy/3.1":
                names = offered(request, "x-stream-protocol-version")
                if names and PROTOCOL not in names:
                    raise Forbidden(f"none of the offered protocols is {PROTOCOL}: {', '.join(names)}")
                return Takeover(self.serve_spdy, {"upgrade": SPDY, "x-stream-protocol-version": PROTOCOL})
            case "websocket":
                protocol = chosen_protocol(request, [TUNNEL, *CHANNELS])
                if protocol == TUNNEL:
                    return WebSocketUpgrade(self._serve_tunnel, TUNNEL)
                forward = _Channels(self, _ports(request), base64_form=CHANNELS[protocol])
                return WebSocketUpgrade(forward.run, protocol)
        raise BadRequest("you must use SPDY or WebSocket to forward ports: the request asks for no upgrade")

    async def _serve_tunnel(self, client: WebSocketConnection) -> None:
        await self.serve_spdy(MessageConnection(client))

    async def serve_spdy(self, connection: Connection) -> None:
        """Serve the streams that the client opens, until it leaves."""
        session = SpdySession(connection, server=True)
        pairs: dict[str, _Pair] = {}
        async with asyncio.TaskGroup() as tasks:
            reading = tasks.create_task(session.run(), name="port-forward: session")
            running: set[asyncio.Task[None]] = set()
            async for stream in session.streams():
                key, pair = _pair_of(pairs, stream)
                if pair is None:
                    await stream.reset()
                elif not pair.complete.is_set() and (pair.error is None) != (pair.data is None):
                    running.add(task := tasks.create_task(self._serve_pair(pairs, key, pair), name="port-forward"))
                    task.add_done_callback(running.discard)
                else:
                    pair.complete.set()
            for task in running:
                task.cancel()
            await session.close()
            reading.cancel()

    async def _serve_pair(self, pairs: dict[str, _Pair], key: str, pair: _Pair) -> None:
        try:
            async with asyncio.timeout(PAIR_S):
                await pair.complete.wait()
        except TimeoutError:
            for stream in (pair.error, pair.data):
                if stream is not None:
                    await stream.reset()
            return
        finally:
            pairs.pop(key, None)
        assert pair.error is not None
        assert pair.data is not None
        with contextlib.suppress(ConnectionError):
            await self._forward(pair.data, pair.error, int(pair.data.headers["port"]))

    async def _forward(self, data: SpdyStream, error: SpdyStream, port: int) -> None:
        try:
            target = await self.connect(port)
        except OSError as failure:
            await error.write(self.failure(port, failure).encode())
            await error.finish()
            await data.reset()
            return
        try:
            await _join(data, target)
        finally:
            await target.close()
            await error.finish()

    async def connect(self, port: int) -> StreamConnection:
        """A connection to `port` on the pod's loopback, IPv4 first. OSError when there is none."""
        failure: OSError | None = None
        for family, address in _LOOPBACKS:
            made = await asyncio.get_running_loop().run_in_executor(None, socket_in, self._namespace, family)
            try:
                async with asyncio.timeout(CONNECT_S):
                    await asyncio.get_running_loop().sock_connect(made, (address, port))
                    return StreamConnection(*await asyncio.open_connection(sock=made))
            except OSError as error:
                made.close()
                failure = failure or error
            except BaseException:
                made.close()
                raise
        raise failure or OSError("no address")

    def failure(self, port: int, error: OSError) -> str:
        """What the client is told when a port does not answer."""
        reason = os.strerror(error.errno) if error.errno else str(error) or "timed out"
        return f"error forwarding port {port} to pod {self._pod}: {reason.lower()}"


class _Channels:
    """The plain WebSocket form: channel 2n is the data and 2n + 1 the errors of the n-th port."""

    def __init__(self, forward: PortForward, ports: Sequence[int], *, base64_form: bool) -> None:
        self._forward = forward
        self._ports = ports
        self._base64 = base64_form

    async def run(self, client: WebSocketConnection) -> None:
        """Serve the ports until the client leaves, or the last of them has closed."""
        loop = asyncio.get_running_loop()
        targets: list[asyncio.Future[StreamConnection | None]] = [loop.create_future() for _ in self._ports]
        async with asyncio.TaskGroup() as tasks:
            pumps = []
            for number, port in enumerate(self._ports):
                mark = struct.pack("<H", port)
                await self._send(client, 2 * number, mark)
                await self._send(client, 2 * number + 1, mark)
                pumps.append(
                    tasks.create_task(self._serve(client, number, targets[number]), name="port-forward: port")
                )
            listening = tasks.create_task(self._listen(client, targets), name="port-forward: client")
            ending = tasks.create_task(asyncio.wait(pumps), name="port-forward: ports")
            await asyncio.wait((listening, ending), return_when=asyncio.FIRST_COMPLETED)
            for task in (listening, ending, *pumps):
                task.cancel()

    async def _serve(
        self, client: WebSocketConnection, number: int, connected: asyncio.Future[StreamConnection | None]
    ) -> None:
        port = self._ports[number]
        try:
            target = await self._forward.connect(port)
        except OSError as error:
            connected.set_result(None)
            await self._send(client, 2 * number + 1, self._forward.failure(port, error).encode())
            return
        connected.set_result(target)
        try:
            with contextlib.suppress(ConnectionError):
                while data := await target.read():
                    await self._send(client, 2 * number, data)
        finally:
            await target.close()

    async def _listen(
        self, client: WebSocketConnection, targets: Sequence[asyncio.Future[StreamConnection | None]]
    ) -> None:
        while (message := await client.receive()) is not None:
            channel, data = decode_message(message, base64_form=self._base64)
            if channel % 2 or not data or not 0 <= channel < 2 * len(targets):
                continue
            target = await targets[channel // 2]
            if target is not None:
                with contextlib.suppress(ConnectionError):
                    await target.write(data)

    async def _send(self, client: WebSocketConnection, channel: int, data: bytes) -> None:
        await client.send(encode_message(channel, data, base64_form=self._base64))


async def _join(data: SpdyStream, target: StreamConnection) -> None:
    """Copy both ways; each direction ends on its own, as TCP's do."""

    async def there() -> None:
        with contextlib.suppress(ConnectionError):
            while part := await data.read():
                await target.write(part)
        await target.finish()

    async def back() -> None:
        with contextlib.suppress(ConnectionError):
            while part := await target.read():
                await data.write(part)
        await data.finish()

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(there(), name="port-forward: there")
        tasks.create_task(back(), name="port-forward: back")


def _pair_of(pairs: dict[str, _Pair], stream: SpdyStream) -> tuple[str, _Pair | None]:
    """The pair that `stream` belongs to, now with it; None when it belongs to none."""
    kind, port = stream.headers.get("streamtype", ""), stream.headers.get("port", "")
    if kind not in ("error", "data") or not port.isdecimal() or not 0 < int(port) < 65536:
        return "", None
    # clients of before 2015 send no request id: theirs is the number of the error stream
    key = stream.headers.get("requestid") or f"stream {stream.number - 2 * (kind == 'data')}"
    pair = pairs.setdefault(key, _Pair())
    if getattr(pair, kind) is not None:
        return key, None
    setattr(pair, kind, stream)
    return key, pair


def _ports(request: Request) -> list[int]:
    texts = [text for name in ("ports", "port") for value in request.query.all(name) for text in value.split(",")]
    if not texts or not all(text.isdecimal() and 0 < int(text) < 65536 for text in texts):
        raise BadRequest("query parameter `ports` must name ports from 1 to 65535")
    return [int(text) for text in texts]


def socket_in(namespace: str, family: int) -> socket.socket:
    """A TCP socket, ready for asyncio, that belongs to the network namespace at the path `namespace`.

    A thread of its own enters the namespace and ends, so no other code ever runs in there.
    """
    if not namespace:
        return _new_socket(family)
    made: list[socket.socket | OSError] = []

    def enter() -> None:
        try:
            descriptor = os.open(namespace, os.O_RDONLY | os.O_CLOEXEC)
            try:
                if ctypes.CDLL(None, use_errno=True).setns(descriptor, _CLONE_NEWNET) != 0:
                    number = ctypes.get_errno()
                    raise OSError(number, os.strerror(number), namespace)
            finally:
                os.close(descriptor)
            made.append(_new_socket(family))
        except OSError as error:
            made.append(error)

    thread = threading.Thread(target=enter, name="port-forward: namespace")
    thread.start()
    thread.join()
    if isinstance(made[0], OSError):
        raise made[0]
    return made[0]


def _new_socket(family: int) -> socket.socket:
    made = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    made.setblocking(False)
    return made
