"""The kubelet's HTTPS door: what the API server asks of a node (logs, exec, attach, port-forward, figures).

Only the API server and administrators get in, by their client certificates. Pods and their containers are known
to a `PodBackend`, the streams' protocols to `streams.py` and `port_forward.py`, log files to `log_stream.py`.
Paths and query parameters are those of Kubernetes' kubelet; errors are text, which the API server makes a Status.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import msgspec
import structlog

from bireme.aio.clock import Clock
from bireme.api.codec.json import encode
from bireme.api.errors import ApiError, BadRequest, Forbidden, MethodNotAllowed, NotFound, Unauthorized
from bireme.api.kinds import core
from bireme.http.interface import Answer, Peer, Request, Response, Stream
from bireme.http.requests import Session
from bireme.kubelet.figures import Usage, measure_node, resource_metrics, summary
from bireme.kubelet.log_stream import LogStream, read_options
from bireme.kubelet.port_forward import PortForward
from bireme.kubelet.streams import Bridge, Streams, refusal

__all__ = ["KubeletDoor", "LogFile", "PodBackend", "Streams", "Target", "Usage"]

log = structlog.get_logger(__name__)

API_SERVER = "kube-apiserver"
ADMINISTRATORS = "system:masters"
RUN_S = 60.0
TEXT = "text/plain; charset=utf-8"


@dataclass(frozen=True, slots=True)
class Target:
    """A container as a request names it. `uid` is "" when the request does not say."""

    namespace: str
    pod: str
    container: str = ""
    uid: str = ""


@dataclass(frozen=True, slots=True)
class LogFile:
    """Where a container's log is: beneath the log root, as "NAMESPACE_POD_UID/CONTAINER/0.log"."""

    path: str
    container_id: str


class PodBackend(Protocol):
    """The node's pods, as this door needs them; `kubelet/agent.py` is the real one.

    Each method raises an ApiError: NotFound for a pod or container that is not here, BadRequest for one that
    can't be asked now (`container "c" in pod "p" is waiting to start: ContainerCreating`). An empty container
    name stands for the pod's only one.
    """

    def pods(self) -> Sequence[core.Pod]:
        """The pods of this node, with their status."""
        ...

    async def exec_url(self, target: Target, command: Sequence[str], streams: Streams) -> str:
        """Where to reach the streams of a new `command` in a container: the URL of a CRI Exec."""
        ...

    async def attach_url(self, target: Target, streams: Streams) -> str:
        """Where to reach the streams of the container's own process: the URL of a CRI Attach."""
        ...

    async def run(self, target: Target, command: Sequence[str], timeout_s: float) -> bytes:
        """What `command` wrote to stdout and stderr: a CRI ExecSync."""
        ...

    async def log_file(self, target: Target, *, previous: bool) -> LogFile:
        """The log of the container that runs, or ran last; or, with `previous`, of the one before."""
        ...

    async def is_running(self, container_id: str) -> bool:
        """Whether more may come into that container's log."""
        ...

    async def network_namespace(self, target: Target) -> str:
        """The path of the pod's network namespace; "" for a pod on the node's own network."""
        ...

    async def usage(self) -> Sequence[Usage]:
        """What the running containers have used."""
        ...


class KubeletDoor:
    """Answers the API server; `handle` is the handler to serve.

    `engine` reaches the container engine's streaming server; `metrics` gives the text of /metrics.
    """

    def __init__(
        self,
        backend: PodBackend,
        *,
        node_name: str,
        log_root: Path,
        engine: Session,
        clock: Clock,
        metrics: Callable[[], bytes] = lambda: b"",
    ) -> None:
        self._backend = backend
        self._node_name = node_name
        self._log_root = log_root
        self._bridge = Bridge(engine)
        self._clock = clock
        self._metrics = metrics
        self._routes: dict[str, Callable[[Request, list[str]], Awaitable[Answer]]] = {
            "healthz": self._healthz,
            "pods": self._pods,
            "containerLogs": self._logs,
            "exec": self._exec,
            "attach": self._attach,
            "portForward": self._port_forward,
            "run": self._run,
            "metrics": self._metrics_of,
            "stats": self._stats,
        }

    async def handle(self, request: Request) -> Answer:
        """The answer to `request`."""
        try:
            check_peer(request.peer)
            first, *rest = request.path.lstrip("/").split("/")
            route = self._routes.get(first)
            if route is None:
                raise NotFound("404 page not found")
            return await route(request, rest)
        except ApiError as error:
            return refusal(error)

    # Figures

    async def _healthz(self, request: Request, rest: list[str]) -> Answer:
        return Response(200, b"ok", content_type=TEXT)

    async def _pods(self, request: Request, rest: list[str]) -> Answer:
        items = b",".join(map(encode, self._backend.pods()))
        return Response(200, b'{"kind":"PodList","apiVersion":"v1","metadata":{},"items":[%b]}' % items)

    async def _metrics_of(self, request: Request, rest: list[str]) -> Answer:
        if rest == ["resource"]:
            body = resource_metrics(measure_node(), await self._backend.usage(), self._clock.now())
        elif not rest:
            body = self._metrics()
        else:
            raise NotFound("404 page not found")
        return Response(200, body, content_type="text/plain; version=0.0.4; charset=utf-8")

    async def _stats(self, request: Request, rest: list[str]) -> Answer:
        if rest != ["summary"]:
            raise NotFound("404 page not found")
        usage = await self._backend.usage()
        return Response(200, msgspec.json.encode(summary(self._node_name, measure_node(), usage, self._clock.now())))

    # Containers

    async def _logs(self, request: Request, rest: list[str]) -> Answer:
        if len(rest) != 3:
            raise NotFound("404 page not found")
        if request.method != "GET":
            raise MethodNotAllowed("the method is not allowed")
        options = read_options(request.query, self._clock.now())
        file = await self._backend.log_file(Target(*rest), previous=options.previous)
        chunks = LogStream(
            self._log_root,
            file.path,
            options,
            clock=self._clock,
            is_running=lambda: self._may_grow(file),
        )
        return Stream(chunks, content_type=TEXT)

    async def _may_grow(self, file: LogFile) -> bool:
        """Whether the log may get longer; while the engine does not say, it may."""
        try:
            return await self._backend.is_running(file.container_id)
        except NotFound:
            return False
        except ApiError:
            return True

    async def _exec(self, request: Request, rest: list[str]) -> Answer:
        target, streams = container_of(rest), streams_of(request)
        command = request.query.all("command")
        if not command:
            raise BadRequest("you must specify a command to run")
        log.info(
            "exec", pod=f"{target.namespace}/{target.pod}", container=target.container, peer=request.peer.address
        )
        return await self._bridge.join(request, await self._backend.exec_url(target, command, streams), streams)

    async def _attach(self, request: Request, rest: list[str]) -> Answer:
        target, streams = container_of(rest), streams_of(request)
        return await self._bridge.join(request, await self._backend.attach_url(target, streams), streams)

    async def _port_forward(self, request: Request, rest: list[str]) -> Answer:
        if len(rest) not in (2, 3):
            raise NotFound("404 page not found")
        target = Target(rest[0], rest[1], uid=rest[2] if len(rest) == 3 else "")
        namespace = await self._backend.network_namespace(target)
        return PortForward(f"{target.namespace}/{target.pod}", namespace).join(request)

    async def _run(self, request: Request, rest: list[str]) -> Answer:
        if request.method != "POST":
            raise MethodNotAllowed("the method is not allowed")
        command = request.query.all("cmd")
        if not command:
            raise BadRequest("you must specify a command to run")
        words = command[0].split() if len(command) == 1 else command
        return Response(200, await self._backend.run(container_of(rest), words, RUN_S), content_type=TEXT)


def check_peer(peer: Peer) -> None:
    """Let in the API server and administrators. Raises Unauthorized and Forbidden."""
    names, groups = peer.common_name, peer.organizations
    if peer.identity is not None:
        names, groups = peer.identity.name, peer.identity.groups
    if names == API_SERVER or ADMINISTRATORS in groups:
        return
    if not names:
        raise Unauthorized("Unauthorized")
    raise Forbidden(f"Forbidden (user={names})")


def container_of(rest: list[str]) -> Target:
    """NAMESPACE/POD/CONTAINER, or with the pod's uid before the container."""
    if len(rest) == 3:
        return Target(rest[0], rest[1], rest[2])
    if len(rest) == 4:
        return Target(rest[0], rest[1], rest[3], rest[2])
    raise NotFound("404 page not found")


def streams_of(request: Request) -> Streams:
    """The streams asked for. BadRequest for none."""
    query = request.query
    streams = Streams(query.flag("input"), query.flag("output"), query.flag("error"), query.flag("tty"))
    if streams.tty and streams.stderr:
        streams = Streams(streams.stdin, streams.stdout, stderr=False, tty=True)
    if not (streams.stdin or streams.stdout or streams.stderr):
        raise BadRequest("you must specify at least 1 of stdin, stdout, stderr")
    return streams
