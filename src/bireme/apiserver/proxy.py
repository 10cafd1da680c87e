"""The proxy subresource: a request passed on to a pod, a service or a node, and its answer passed back.

The client's credentials, cookies and hop-by-hop headers stay behind. A redirect is handed to the client, not
followed; an upgrade becomes a raw tunnel. A pod or service whose address is a loopback, link-local, multicast or
unspecified one is refused: the API server must not be made to talk to itself or to a cloud's metadata.
"""

import ipaddress
import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial
from random import Random
from urllib.parse import unquote, urlsplit

from bireme.api.errors import BadRequest, Forbidden, NotFound, ServiceUnavailable
from bireme.apiserver.kubelets import HEAD_S, Places, PodTunnels, ReplyChunks, Tree, unreachable, upgrade
from bireme.apiserver.proxied_html import LARGEST_PAGE, Rewrite, is_html, rewritten
from bireme.http.interface import Answer, Request, Response, Stream
from bireme.http.requests import RequestFailed, Session

HOP_BY_HOP = frozenset(
    (
        "connection",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    )
)
LEFT_BEHIND = HOP_BY_HOP | {"authorization", "cookie", "host", "content-length", "expect", "accept-encoding"}
NOT_PASSED_BACK = HOP_BY_HOP | {"content-type", "set-cookie", "date", "content-length"}
NODE_STREAMS = frozenset(("exec", "attach", "run", "portForward", "checkpoint"))
"""What a node's proxy does not reach: these go through a pod's own subresources, where they are authorized."""


@dataclass(frozen=True, slots=True)
class Destination:
    """Where a proxied request goes: `base` is scheme, host and port."""

    base: str
    tls: ssl.SSLContext | None = None


@dataclass(frozen=True, slots=True)
class ProxyName:
    """`[scheme:]name[:port]`, as the last part of a proxied object's path."""

    scheme: str
    name: str
    port: str


class Proxy:
    """Passes requests on, over `session`."""

    def __init__(self, places: Places, session: Session, pods: PodTunnels, random: Random) -> None:
        self._places = places
        self._session = session
        self._pods = pods
        self._random = random
        self._unverified = _unverified_context()

    async def pass_on(self, request: Request, obj: Tree) -> Answer:
        """The answer of what `obj`, a pod, service or node, stands for."""
        prefix, name, rest = split_path(request.raw_path)
        if not rest and request.method in ("GET", "HEAD"):
            path, _, query = request.raw_path.partition("?")
            return Response(301, headers={"location": f"{path}/" + (f"?{query}" if query else "")}, content_type="")
        target = await self._destination(obj, parse_name(name), rest)
        url = target.base + (rest if rest.startswith("/") else f"/{rest}")
        if request.headers.get("upgrade"):
            return await upgrade(self._session, request, url, tls=target.tls)
        return await self._exchange(request, url, target, prefix)

    async def _exchange(self, request: Request, url: str, target: Destination, prefix: str) -> Answer:
        headers = forwarded_headers(request, prefix)
        body: bytes | AsyncIterator[bytes] = request.body
        if not body and request.headers.get("content-length", "0") != "0":
            body = request.stream
        async with AsyncExitStack() as stack:
            try:
                reply = await stack.enter_async_context(
                    self._session.stream(
                        request.method, url, headers=headers, body=body, tls=target.tls, timeout_s=HEAD_S
                    )
                )
            except RequestFailed as error:
                raise unreachable(error) from error
            back = {name: value for name, value in reply.headers.items() if name not in NOT_PASSED_BACK}
            if "location" in back:
                back["location"] = rewritten_location(back["location"], target.base, prefix)
            media = reply.headers.get("content-type", "")
            chunks = ReplyChunks(stack.pop_all(), reply)
            if is_html(media) and "content-encoding" not in back and request.method != "HEAD":
                back.pop("etag", None)  # it names the page as it was
                linked = LinkedChunks(chunks, partial(rewritten_location, base=target.base, prefix=prefix))
                return Stream(linked, reply.status, back, media)
            return Stream(chunks, reply.status, back, media)

    async def _destination(self, obj: Tree, name: ProxyName, rest: str) -> Destination:
        match obj.get("kind"):
            case "Node":
                if unquote(rest.partition("?")[0]).lstrip("/").partition("/")[0] in NODE_STREAMS:
                    raise Forbidden("streams into pods are not served through a node's proxy: use the pod's own")
                return Destination((await self._pods.kubelet_url(obj["metadata"]["name"], [], [])).rstrip("/"))
            case "Service":
                return await self._service(obj["metadata"]["namespace"], name)
            case "Pod":
                address = obj.get("status", {}).get("podIP", "")
                if not address:
                    raise BadRequest("address not allowed: the pod has none yet")
                return self._at(name.scheme, address, int(name.port) if name.port else default_port(obj))
        raise BadRequest(f"a {obj.get('kind')} has no proxy")

    async def _service(self, namespace: str, name: ProxyName) -> Destination:
        service = await self._places.service(namespace, name.name)
        port = service_port(service, name.port)
        slices = await self._places.endpoint_slices(namespace, name.name)
        targets = ready_targets(slices, port.get("name", ""))
        if not targets:
            raise ServiceUnavailable(f'no endpoints available for service "{name.name}"')
        address, number = self._random.choice(targets)
        return self._at(name.scheme, address, number)

    def _at(self, scheme: str, address: str, port: int) -> Destination:
        check_address(address)
        host = f"[{address}]" if ":" in address else address
        scheme = scheme or "http"
        return Destination(f"{scheme}://{host}:{port}", self._unverified if scheme == "https" else None)


class LinkedChunks:
    """A page whose links lead through the proxy; one that is too long passes as it is. `aclose` hangs up."""

    def __init__(self, chunks: ReplyChunks, rewrite: Rewrite) -> None:
        self._chunks = chunks
        self._rewrite = rewrite
        self._whole = False

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        if self._whole:
            return await anext(self._chunks)
        self._whole = True
        page = bytearray()
        async for chunk in self._chunks:
            page += chunk
            if len(page) > LARGEST_PAGE:
                return bytes(page)
        if not page:
            raise StopAsyncIteration
        return rewritten(bytes(page), self._rewrite)

    async def aclose(self) -> None:
        """Hang up."""
        await self._chunks.aclose()


def split_path(raw_path: str) -> tuple[str, str, str]:
    """The path up to and with `/proxy`, the name before that, and what follows, still encoded, with the query."""
    path, _, query = raw_path.partition("?")
    parts = path.split("/")
    at = 7 if len(parts) > 3 and parts[3] == "namespaces" else 5
    if len(parts) <= at or parts[at] != "proxy":
        raise NotFound("the server could not find the requested resource")
    rest = "/".join(parts[at + 1 :])
    rest = f"/{rest}" if len(parts) > at + 1 else ""
    return "/".join(parts[: at + 1]), parts[at - 1], rest + (f"?{query}" if query and rest else "")


def parse_name(text: str) -> ProxyName:
    """`[scheme:]name[:port]`. BadRequest for anything else."""
    parts = text.replace("%3A", ":").replace("%3a", ":").split(":")
    match parts:
        case [name]:
            return ProxyName("", name, "")
        case [name, port]:
            return ProxyName("", name, port)
        case [scheme, name, port] if scheme in ("http", "https", ""):
            return ProxyName(scheme, name, port)
    raise BadRequest(f"invalid proxy request {text!r}")


def service_port(service: Tree, wanted: str) -> Tree:
    """The port of a service that `wanted` names, by name or number; "" stands for the only one."""
    ports: list[Tree] = service.get("spec", {}).get("ports") or []
    if not wanted:
        if len(ports) == 1:
            return ports[0]
        raise ServiceUnavailable(f'no endpoints available for service "{service["metadata"]["name"]}"')
    for port in ports:
        if wanted in (port.get("name"), str(port.get("port"))):
            return port
    raise ServiceUnavailable(f'no service port "{wanted}" found for service "{service["metadata"]["name"]}"')


def ready_targets(slices: Sequence[Tree], port_name: str) -> list[tuple[str, int]]:
    """The addresses and ports behind a service's port that are ready."""
    return [
        (address, port["port"])
        for endpoints in slices
        for port in endpoints.get("ports") or ()
        if (port.get("name") or "") == port_name and port.get("port")
        for endpoint in endpoints.get("endpoints") or ()
        if (endpoint.get("conditions") or {}).get("ready", True)
        for address in endpoint.get("addresses") or ()
    ]


def default_port(pod: Tree) -> int:
    """The first port that a pod's containers name, 80 without any."""
    for container in pod.get("spec", {}).get("containers") or ():
        for port in container.get("ports") or ():
            return int(port["containerPort"])
    return 80


def check_address(address: str) -> None:
    """Refuse addresses that stand for this machine or for no one machine."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        raise BadRequest(f"address not allowed: {address}") from None
    if parsed.is_loopback or parsed.is_link_local or parsed.is_multicast or parsed.is_unspecified:
        raise BadRequest("address not allowed")


def forwarded_headers(request: Request, prefix: str) -> dict[str, str]:
    """The client's headers as they go on."""
    named = {name.strip().lower() for name in request.headers.get("connection", "").split(",")}
    headers = {
        name: value for name, value in request.headers.items() if name not in LEFT_BEHIND and name not in named
    }
    came_from = headers.get("x-forwarded-for")
    headers["x-forwarded-for"] = f"{came_from}, {request.peer.address}" if came_from else request.peer.address
    headers["x-forwarded-uri"] = prefix
    headers["x-forwarded-host"] = request.headers.get("host", "")
    headers["x-forwarded-proto"] = "https" if request.peer.tls else "http"
    return headers


def rewritten_location(location: str, base: str, prefix: str) -> str:
    """A redirect of the proxied server, as a path through the proxy when it stays on that server."""
    parts, own = urlsplit(location), urlsplit(base)
    if parts.netloc and parts.netloc != own.netloc:
        return location
    if not parts.path.startswith("/"):
        return location
    query = f"?{parts.query}" if parts.query else ""
    return prefix + parts.path + query + (f"#{parts.fragment}" if parts.fragment else "")


def _unverified_context() -> ssl.SSLContext:
    """TLS to what runs in pods, whose certificates nobody here knows."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context
