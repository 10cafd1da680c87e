"""What hollow pods answer: a log of a few words, and commands that end well without having run.

The words are the pod's own annotations `hollow.bireme.dev/log` and `hollow.bireme.dev/exec`, if it has them. Other
ways into pods are refused; proxies to services go where their endpoints are.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import datetime
from typing import Any

import orjson

from bireme.aio.clock import Clock
from bireme.api.errors import BadRequest, ServiceUnavailable
from bireme.apiserver.kubelets import check_phase, chosen_container
from bireme.apiserver.resources import Tunnels
from bireme.http.interface import Answer, Request, Stream, WebSocketConnection, WebSocketUpgrade
from bireme.kubelet.log_stream import Formatter, LogOptions, read_options
from bireme.simulation.scripts import PREFIX

Tree = dict[str, Any]
TEXT = "text/plain"
PROTOCOLS = ("v5.channel.k8s.io", "v4.channel.k8s.io")
STDOUT, ERROR = b"\x01", b"\x03"


class HollowTunnels:
    """Answers for pods; everything else goes to `others`."""

    def __init__(self, others: Tunnels, *, clock: Clock) -> None:
        self._others, self._clock = others, clock

    async def handle(self, request: Request, obj: Tree, subresource: str, *, rest: str = "") -> Answer:
        """See `apiserver.resources.Tunnels`."""
        if obj.get("kind") != "Pod":
            return await self._others.handle(request, obj, subresource, rest=rest)
        if subresource == "log":
            options = read_options(request.query, self._clock.now())
            container = chosen_container(obj, request.query.get("container"))
            return Stream(_once(log_of(obj, container, options)), content_type=TEXT)
        if subresource == "exec":
            check_phase(obj, subresource)
            chosen_container(obj, request.query.get("container"))
            return _exec(request, obj)
        if subresource == "proxy":
            raise ServiceUnavailable(f"error trying to reach pod {obj['metadata']['name']}: nothing runs in it")
        raise BadRequest(f"nothing runs in the hollow pod {obj['metadata']['name']}")


def log_of(pod: Tree, container: str, options: LogOptions) -> bytes:
    """The log of a container as the reader wants it, each line written when the container started."""
    metadata, status = pod["metadata"], pod.get("status") or {}
    states = {each["name"]: each.get("state") or {} for each in status.get("containerStatuses") or ()}
    state = states.get(container, {})
    started = (state.get("running") or state.get("terminated") or {}).get("startedAt")
    if not started:
        reason = (state.get("waiting") or {}).get("reason", "ContainerCreating")
        raise BadRequest(f'container "{container}" in pod "{metadata["name"]}" is waiting to start: {reason}')
    words = _annotation(pod, "log") or f"{metadata['namespace']}/{metadata['name']}/{container} is hollow"
    lines = words.rstrip("\n").split("\n")
    if options.tail is not None:
        lines = lines[len(lines) - min(options.tail, len(lines)) :]
    written = _written(started)
    return Formatter(options).feed(b"".join(f"{written} stdout F {line}\n".encode() for line in lines))


def _written(started: str) -> str:
    return datetime.fromisoformat(started).strftime("%Y-%m-%dT%H:%M:%S.%f000Z")


def _annotation(pod: Tree, name: str) -> str:
    return str((pod["metadata"].get("annotations") or {}).get(PREFIX + name, ""))


async def _once(data: bytes) -> AsyncIterator[bytes]:
    yield data


def _exec(request: Request, pod: Tree) -> WebSocketUpgrade:
    offered = [each.strip() for each in request.headers.get("sec-websocket-protocol", "").split(",")]
    chosen = next((protocol for protocol in PROTOCOLS if protocol in offered), None)
    if request.headers.get("upgrade", "").lower() != "websocket" or chosen is None:
        raise BadRequest("hollow pods take commands over WebSockets alone")
    return WebSocketUpgrade(_runner(_annotation(pod, "exec")), protocol=chosen)


def _runner(words: str) -> Callable[[WebSocketConnection], Awaitable[None]]:
    async def run(socket: WebSocketConnection) -> None:
        if words:
            await socket.send(STDOUT + words.encode())
        await socket.send(ERROR + orjson.dumps({"metadata": {}, "status": "Success"}))
        await socket.close()

    return run
