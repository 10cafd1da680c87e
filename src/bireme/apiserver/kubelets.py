"""Connections into nodes: exec, attach, port-forward and logs of pods, by way of their kubelets.

An upgrade is asked of the kubelet first, with the API server's own certificate, and only its consent gives the
client its own; after that bytes pass through unchanged, both ways. A refusal becomes a Status, a redirect is never
followed, and no connection outlives its upgrade (CVE-2018-1002105, CVE-2020-8559). Proxies are in `proxy.py`; who
may ask is settled before a request comes here.
"""

import asyncio
import base64
import ssl
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, suppress
from typing import Any, Protocol
from urllib.parse import quote, urlencode

from bireme.api import errors
from bireme.api.errors import ApiError, BadRequest, ServiceUnavailable
from bireme.http.interface import Answer, Connection, Request, Stream, Takeover, WebSocketConnection, WebSocketUpgrade
from bireme.http.requests import RequestFailed, Session, StreamReply
from bireme.http.upgrades import splice

Tree = dict[str, Any]
KUBELET_PORT = 10250
HEAD_S = 30.0
TEXT = "text/plain"
LOG_PROTOCOLS = ("binary.k8s.io", "base64.binary.k8s.io")
STREAM_PARAMETERS = {"stdin": "input", "stdout": "output", "stderr": "error", "tty": "tty"}
KUBELET_PATHS = {"exec": "exec", "attach": "attach", "portforward": "portForward"}
PASSED_ON = ("sec-websocket-key", "sec-websocket-version", "sec-websocket-protocol", "x-stream-protocol-version")
"""The client's headers that go on to the kubelet: what an upgrade needs, and nothing that proves who asks."""

PASSED_BACK = ("upgrade", "sec-websocket-accept", "sec-websocket-protocol", "x-stream-protocol-version")
LOG_PARAMETERS = (
    "follow",
    "previous",
    "sinceSeconds",
    "sinceTime",
    "timestamps",
    "tailLines",
    "limitBytes",
    "stream",
)


class Places(Protocol):
    """Where things are: nodes, services and their endpoints, as objects. Each raises NotFound."""

    async def node(self, name: str) -> Tree: ...

    async def service(self, namespace: str, name: str) -> Tree: ...

    async def endpoint_slices(self, namespace: str, service: str) -> Sequence[Tree]: ...


class PodTunnels:
    """Tunnels to the pods of nodes, over `session`, which shows the API server's certificate to kubelets."""

    def __init__(self, places: Places, session: Session, *, tls: ssl.SSLContext | None = None) -> None:
        self._places = places
        self._session = session
        self._tls = tls

    async def stream(self, request: Request, pod: Tree, subresource: str) -> Answer:
        """Exec, attach or port-forward."""
        metadata, node_name = pod["metadata"], pod.get("spec", {}).get("nodeName", "")
        if not node_name:
            raise BadRequest(f"pod {metadata['name']} does not have a host assigned")
        path = [KUBELET_PATHS[subresource], metadata["namespace"], metadata["name"]]
        if subresource == "portforward":
            pairs = [("ports", value) for name in ("ports", "port") for value in request.query.all(name)]
            if metadata.get("uid"):
                path.append(metadata["uid"])
        else:
            check_phase(pod, subresource)
            if metadata.get("uid"):
                path.append(metadata["uid"])
            path.append(chosen_container(pod, request.query.get("container")))
            pairs = [("command", word) for word in request.query.all("command")] if subresource == "exec" else []
            pairs += [(theirs, "1") for ours, theirs in STREAM_PARAMETERS.items() if request.query.flag(ours)]
        url = await self.kubelet_url(node_name, path, pairs)
        return await upgrade(self._session, request, url, tls=self._tls)

    async def log(self, request: Request, pod: Tree) -> Answer:
        """The log of a container, as text or in the messages of a WebSocket."""
        metadata, node_name = pod["metadata"], pod.get("spec", {}).get("nodeName", "")
        container = chosen_container(pod, request.query.get("container"))
        if not node_name:
            return Stream(_Nothing(), content_type=TEXT)
        path = ["containerLogs", metadata["namespace"], metadata["name"], container]
        pairs = [(name, value) for name, value in request.query.pairs if name in LOG_PARAMETERS]
        url = await self.kubelet_url(node_name, path, pairs)
        chunks = await open_log(self._session, url, tls=self._tls)
        if request.headers.get("upgrade", "").lower() == "websocket":
            return _log_messages(request, chunks)
        return Stream(chunks, content_type=TEXT)

    async def kubelet_url(self, node_name: str, path: Sequence[str], pairs: Sequence[tuple[str, str]]) -> str:
        """The URL of `path` on a node's kubelet. ServiceUnavailable for a node without an address."""
        address, port = kubelet_address(await self._places.node(node_name))
        host = f"[{address}]" if ":" in address else address
        query = "?" + urlencode(pairs) if pairs else ""
        return f"https://{host}:{port}/" + "/".join(quote(part, safe="") for part in path) + query


def kubelet_address(node: Tree) -> tuple[str, int]:
    """Where the kubelet of `node` listens."""
    status = node.get("status", {})
    addresses = {entry.get("type"): entry.get("address", "") for entry in reversed(status.get("addresses") or [])}
    address = addresses.get("InternalIP") or addresses.get("ExternalIP") or addresses.get("Hostname")
    if not address:
        raise ServiceUnavailable(f'node "{node["metadata"]["name"]}" has no address yet')
    port = ((status.get("daemonEndpoints") or {}).get("kubeletEndpoint") or {}).get("Port") or KUBELET_PORT
    return address, port


def check_phase(pod: Tree, subresource: str) -> None:
    """A pod that has ended takes no streams."""
    phase = pod.get("status", {}).get("phase", "")
    if phase in ("Succeeded", "Failed"):
        verb = "exec into" if subresource == "exec" else "attach to"
        raise BadRequest(f"cannot {verb} a container in a completed pod; current phase is {phase}")


def chosen_container(pod: Tree, name: str) -> str:
    """The container that `name` stands for; "" stands for the only one. BadRequest in the original's words."""
    spec, pod_name = pod.get("spec", {}), pod["metadata"]["name"]
    names = {
        kind: [container["name"] for container in spec.get(kind) or ()]
        for kind in ("containers", "initContainers", "ephemeralContainers")
    }
    if name:
        if not any(name in group for group in names.values()):
            raise BadRequest(f"container {name} is not valid for pod {pod_name}")
        return name
    if len(names["containers"]) == 1:
        return str(names["containers"][0])
    message = (
        f"a container name must be specified for pod {pod_name}, choose one of: [{' '.join(names['containers'])}]"
    )
    for kind, words in (("initContainers", "init"), ("ephemeralContainers", "ephemeral")):
        if names[kind]:
            message += f" or one of the {words} containers: [{' '.join(names[kind])}]"
    raise BadRequest(message)


async def upgrade(session: Session, request: Request, url: str, *, tls: ssl.SSLContext | None = None) -> Answer:
    """Ask `url` for what `request` asks of us; consent gives a raw tunnel, refusal an ApiError."""
    wanted = request.headers.get("upgrade", "")
    if "upgrade" not in request.headers.get("connection", "").lower() or not wanted:
        raise BadRequest("Upgrade request required")
    headers = {name: request.headers[name] for name in PASSED_ON if name in request.headers}
    headers |= {"connection": "Upgrade", "upgrade": wanted}
    if request.method != "GET":
        headers["content-length"] = "0"
    try:
        upgraded = await session.upgrade(request.method, url, headers=headers, tls=tls, timeout_s=HEAD_S)
    except RequestFailed as error:
        raise unreachable(error) from error
    if upgraded.connection is None:
        raise refused(upgraded.status, upgraded.body)
    upstream = upgraded.connection

    async def run(client: Connection) -> None:
        await splice(client, upstream)

    return Takeover(run, {name: upgraded.headers[name] for name in PASSED_BACK if name in upgraded.headers})


def unreachable(error: RequestFailed) -> ApiError:
    """What the client is told when a node, or what runs there, does not answer."""
    return ApiError(f"error dialing backend: {error}")


_BY_CODE: Mapping[int, type[ApiError]] = {
    kind.code: kind
    for kind in (
        errors.BadRequest,
        errors.Forbidden,
        errors.NotFound,
        errors.MethodNotAllowed,
        errors.TooManyRequests,
        errors.ServiceUnavailable,
    )
}


def refused(status: int, body: bytes) -> ApiError:
    """A kubelet's refusal, in its own words. One that sends us elsewhere, or calls us a stranger, is a fault."""
    message = body.decode(errors="replace").strip()
    kind = _BY_CODE.get(status)
    if kind is None:
        return ApiError(f"the node answered with status {status}" + (f": {message}" if message else ""))
    return kind(message or f"the node answered with status {status}")


class ReplyChunks:
    """The parts of a body as they come from elsewhere; `aclose` hangs up, whether any part was read or not."""

    def __init__(self, stack: AsyncExitStack, reply: StreamReply) -> None:
        self._stack = stack
        self._chunks = reply.chunks

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        return await anext(self._chunks)

    async def aclose(self) -> None:
        """Hang up."""
        await self._stack.aclose()


async def open_log(session: Session, url: str, *, tls: ssl.SSLContext | None = None) -> ReplyChunks:
    """The log at a kubelet's `url`. Raises the ApiError of a refusal."""
    async with AsyncExitStack() as stack:
        try:
            reply = await stack.enter_async_context(session.stream("GET", url, tls=tls, timeout_s=HEAD_S))
            if reply.status != 200:
                raise refused(reply.status, await reply.read())
        except RequestFailed as error:
            raise unreachable(error) from error
        return ReplyChunks(stack.pop_all(), reply)


class _Nothing:
    """The log of a pod that has no node yet."""

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        raise StopAsyncIteration


def _log_messages(request: Request, chunks: ReplyChunks) -> Answer:
    """A log as WebSocket messages, until it ends or the client leaves."""
    offered = [name.strip() for name in request.headers.get("sec-websocket-protocol", "").split(",")]
    protocol = next((name for name in offered if name in LOG_PROTOCOLS), "")

    async def send(client: WebSocketConnection) -> None:
        with suppress(ConnectionError, RequestFailed):
            async for chunk in chunks:
                await client.send(base64.b64encode(chunk).decode() if protocol.startswith("base64") else chunk)
        await client.close()

    async def until_closed(client: WebSocketConnection) -> None:
        while await client.receive() is not None:
            pass

    async def run(client: WebSocketConnection) -> None:
        try:
            async with asyncio.TaskGroup() as tasks:
                sending = tasks.create_task(send(client), name="log: to client")
                leaving = tasks.create_task(until_closed(client), name="log: from client")
                await asyncio.wait((sending, leaving), return_when=asyncio.FIRST_COMPLETED)
                sending.cancel()
                leaving.cancel()
        finally:
            await chunks.aclose()

    return WebSocketUpgrade(run, protocol)
