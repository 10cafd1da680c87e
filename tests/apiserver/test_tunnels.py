"""Tunnels, from a client through the API server's side to a stand-in for a kubelet or a pod."""

import asyncio
import base64
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import Any

import pytest

from bireme.api.errors import ApiError, BadRequest, Forbidden, NotFound, ServiceUnavailable
from bireme.apiserver import proxy
from bireme.apiserver.kubelets import chosen_container, kubelet_address, refused
from bireme.apiserver.proxy import (
    check_address,
    parse_name,
    ready_targets,
    rewritten_location,
    service_port,
    split_path,
)
from bireme.apiserver.tunnels import Tunnels
from bireme.http.certificates import Authority, client_context, server_context
from bireme.http.interface import (
    Answer,
    Request,
    Response,
    Stream,
    WebSocketConnection,
    WebSocketUpgrade,
)
from bireme.http.requests import Session
from bireme.http.server import Server, serve

NOW = datetime.now(UTC)  # noqa: TID251 - the TLS library compares with the machine's clock
POD = {
    "kind": "Pod",
    "metadata": {"namespace": "ns", "name": "web", "uid": "u1"},
    "spec": {"nodeName": "n1", "containers": [{"name": "c", "ports": [{"containerPort": 8080}]}]},
    "status": {"phase": "Running", "podIP": "127.0.0.1"},
}
PREFIX = "/api/v1/namespaces/ns/pods/web"


class Kubelet:
    """Remembers who asked for what; streams are echoed."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str]] = []
        self.headers: dict[str, str] = {}
        self.peers: list[str] = []
        self.answer: Answer | None = None

    async def handle(self, request: Request) -> Answer:
        self.asked.append((request.method, request.raw_path))
        self.headers = dict(request.headers)
        self.peers.append(request.peer.common_name)
        if self.answer is not None:
            return self.answer
        if request.headers.get("upgrade"):
            return WebSocketUpgrade(self.echo, "v5.channel.k8s.io")
        return Stream(self.lines(), content_type="text/plain")

    async def echo(self, client: WebSocketConnection) -> None:
        while (message := await client.receive()) is not None:
            await client.send(message)

    async def lines(self) -> AsyncIterator[bytes]:
        yield b"one\n"
        yield b"two\n"


class Places:
    def __init__(self, kubelet: Server) -> None:
        self.kubelet = kubelet

    async def node(self, name: str) -> dict[str, Any]:
        if name != "n1":
            raise NotFound(f'nodes "{name}" not found')
        return {
            "metadata": {"name": name},
            "status": {
                "addresses": [{"type": "InternalIP", "address": "127.0.0.1"}],
                "daemonEndpoints": {"kubeletEndpoint": {"Port": self.kubelet.port}},
            },
        }

    async def service(self, namespace: str, name: str) -> dict[str, Any]:
        return {"metadata": {"name": name}, "spec": {"ports": [{"name": "http", "port": 80}]}}

    async def endpoint_slices(self, namespace: str, service: str) -> Sequence[dict[str, Any]]:
        ports = [{"name": "http", "port": self.kubelet.port}]
        return [{"ports": ports, "endpoints": [{"addresses": ["127.0.0.1"]}]}] if service == "web" else []


@asynccontextmanager
async def cluster(
    kubelet: Kubelet, folder: Path, obj: dict[str, Any] | None = None
) -> AsyncIterator[tuple[Session, str]]:
    """An API server of tunnels alone, in front of `kubelet`, over real TLS; and a client of it."""
    authority = Authority.create(folder, now=NOW)
    pair = authority.issue("system:node:n1", ["system:nodes"], ["127.0.0.1"], server=True, now=NOW)
    back = await serve(
        kubelet.handle, host="127.0.0.1", tls=server_context(pair, trusted=authority.certificate, require_client=True)
    )
    own = client_context(authority.certificate, authority.issue("kube-apiserver", now=NOW))
    async with Session(tls=own) as session, Session() as client:
        tunnels = Tunnels(Places(back), session, random=Random(1))

        async def handle(request: Request) -> Answer:
            subresource = request.path.split("/")[5 if "/nodes/" in request.path else 7]
            try:
                return await tunnels.handle(request, obj or POD, subresource)
            except ApiError as error:
                return Response(error.code, f"{error.reason}: {error.message}".encode())

        front = await serve(handle, host="127.0.0.1")
        try:
            yield client, f"http://127.0.0.1:{front.port}"
        finally:
            await front.close(grace_s=1)
            await back.close(grace_s=1)


async def test_exec_passes_websocket_frames_through(tmp_path: Path) -> None:
    kubelet = Kubelet()
    async with cluster(kubelet, tmp_path) as (client, url):
        socket = await client.websocket(
            f"{url}{PREFIX}/exec?command=sh&command=a%26b&stdin=true&stdout=1&tty=false&container=c",
            protocols=["v5.channel.k8s.io", "v4.channel.k8s.io"],
            headers={"authorization": "Bearer secret"},
        )
        assert socket.protocol == "v5.channel.k8s.io"
        for message in (b"\x00hello", b"\xff\x00", b"\x00" + b"x" * 200_000):
            await socket.send(message)
            assert await socket.receive() == message
        await socket.close()
    assert kubelet.asked == [("GET", "/exec/ns/web/u1/c?command=sh&command=a%26b&input=1&output=1")]
    assert kubelet.peers == ["kube-apiserver"]
    assert "authorization" not in kubelet.headers


async def test_port_forward_names_the_pod(tmp_path: Path) -> None:
    kubelet = Kubelet()
    async with cluster(kubelet, tmp_path) as (client, url):
        socket = await client.websocket(f"{url}{PREFIX}/portforward?ports=80", protocols=["v5.channel.k8s.io"])
        await socket.close()
    assert kubelet.asked == [("GET", "/portForward/ns/web/u1?ports=80")]


@pytest.mark.parametrize(
    ("answer", "status", "body"),
    [
        pytest.param(Response(400, b"no such thing"), 400, b"BadRequest: no such thing", id="its own words"),
        pytest.param(Response(404, b""), 404, b"NotFound: the node answered with status 404", id="no words"),
        pytest.param(
            Response(302, headers={"location": "http://127.0.0.1:1/"}),
            500,
            b"InternalError: the node answered with status 302",
            id="a redirect is not followed",
        ),
        pytest.param(
            Response(200, b"hi"), 500, b"InternalError: the node answered with status 200: hi", id="no upgrade"
        ),
    ],
)
async def test_a_refused_upgrade_reaches_no_further(tmp_path: Path, answer: Answer, status: int, body: bytes) -> None:
    kubelet = Kubelet()
    kubelet.answer = answer
    headers = {"connection": "Upgrade", "upgrade": "SPDY/3.1"}
    async with cluster(kubelet, tmp_path) as (client, url):
        refusal = await client.upgrade("POST", f"{url}{PREFIX}/exec?command=ls&stdout=1", headers=headers)
        assert (refusal.status, refusal.body) == (status, body)
    assert len(kubelet.asked) == 1


async def test_nothing_is_sent_on_over_a_refused_upgrade(tmp_path: Path) -> None:
    """CVE-2018-1002105: what a client sends after a failed upgrade must not reach the kubelet as a request."""
    kubelet = Kubelet()
    kubelet.answer = Response(400, b"no")
    async with cluster(kubelet, tmp_path) as (_, url):
        reader, writer = await asyncio.open_connection("127.0.0.1", int(url.rpartition(":")[2]))
        first = f"GET {PREFIX}/exec?command=ls&stdout=1 HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\n"
        second = "POST /run/ns/web/c?cmd=evil HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"
        writer.write(f"{first}Upgrade: websocket\r\n\r\n{second}".encode())
        await reader.read(2000)
        writer.close()
        await writer.wait_closed()
    assert kubelet.asked == [("GET", "/exec/ns/web/u1/c?command=ls&output=1")]


@pytest.mark.parametrize(
    ("change", "path", "message"),
    [
        ({"spec": {"containers": []}}, "exec?command=ls", b"BadRequest: pod web does not have a host assigned"),
        (
            {"status": {"phase": "Succeeded"}},
            "exec?command=ls",
            b"BadRequest: cannot exec into a container in a completed pod; current phase is Succeeded",
        ),
        ({}, "exec?command=ls&container=x", b"BadRequest: container x is not valid for pod web"),
        ({"spec": {"nodeName": "n2", "containers": [{"name": "c"}]}}, "attach", b'NotFound: nodes "n2" not found'),
        ({}, "attach", b"BadRequest: Upgrade request required"),
        ({}, "log?container=x", b"BadRequest: container x is not valid for pod web"),
    ],
)
async def test_requests_that_cannot_be_served(
    tmp_path: Path, change: dict[str, Any], path: str, message: bytes
) -> None:
    kubelet = Kubelet()
    async with cluster(kubelet, tmp_path, {**POD, **change}) as (client, url):
        assert (await client.request("POST", f"{url}{PREFIX}/{path}")).body == message
    assert kubelet.asked == []


async def test_logs(tmp_path: Path) -> None:
    kubelet = Kubelet()
    async with cluster(kubelet, tmp_path) as (client, url):
        reply = await client.request("GET", f"{url}{PREFIX}/log?follow=true&tailLines=2&pretty=x")
        assert (reply.body, reply.headers["content-type"]) == (b"one\ntwo\n", "text/plain")
        for protocol in ("binary.k8s.io", "base64.binary.k8s.io", ""):
            socket = await client.websocket(f"{url}{PREFIX}/log", protocols=[protocol] if protocol else [])
            heard = b""
            while (message := await socket.receive()) is not None:
                heard += base64.b64decode(message) if isinstance(message, str) else message
                assert isinstance(message, str) == protocol.startswith("base64")
            assert heard == b"one\ntwo\n"
            await socket.close()
    assert kubelet.asked[0] == ("GET", "/containerLogs/ns/web/c?follow=true&tailLines=2")


async def test_a_log_that_cannot_be_had(tmp_path: Path) -> None:
    kubelet = Kubelet()
    kubelet.answer = Response(400, b'container "c" in pod "web" is waiting to start: ContainerCreating')
    async with cluster(kubelet, tmp_path) as (client, url):
        reply = await client.request("GET", f"{url}{PREFIX}/log")
    assert reply.status == 400
    assert reply.body.endswith(b"is waiting to start: ContainerCreating")


async def test_the_log_of_a_pod_without_a_node_is_empty(tmp_path: Path) -> None:
    pod = {**POD, "spec": {"containers": [{"name": "c"}]}}
    async with cluster(Kubelet(), tmp_path, pod) as (client, url):
        assert (await client.request("GET", f"{url}{PREFIX}/log")).body == b""


@asynccontextmanager
async def loopback_allowed(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[None]:
    with monkeypatch.context() as patched:
        patched.setattr(proxy, "check_address", lambda address: None)
        yield


async def test_a_request_is_proxied_to_a_pod(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    heard: list[Request] = []

    async def app(request: Request) -> Answer:
        heard.append(request)
        if request.path == "/moved":
            return Response(302, headers={"location": "/else?x=1", "set-cookie": "a=b"})
        if request.path == "/page":
            return Response(200, b'<a href="/x">', content_type="text/html; charset=utf-8")
        return Response(201, request.body, {"x-app": "yes"}, content_type="text/html")

    target = await serve(app, host="127.0.0.1")
    name = f"{PREFIX}:{target.port}/proxy"
    async with loopback_allowed(monkeypatch), cluster(Kubelet(), tmp_path) as (client, url):
        reply = await client.request(
            "POST",
            f"{url}{name}/a%2Fb?x=%20",
            body=b"hello",
            headers={"authorization": "s", "cookie": "c", "x-y": "z"},
        )
        assert (reply.status, reply.body, reply.headers["x-app"]) == (201, b"hello", "yes")
        moved = await client.request("GET", f"{url}{name}/moved")
        assert moved.headers["location"] == f"{name}/else?x=1"
        assert "set-cookie" not in moved.headers
        page = await client.request("GET", f"{url}{name}/page")
        assert page.body.decode() == f'<a href="{name}/x">'
        bare = await client.request("GET", f"{url}{name}?q=1")
        assert (bare.status, bare.headers["location"]) == (301, f"{name}/?q=1")
    await target.close()
    assert heard[0].raw_path == "/a%2Fb?x=%20"
    assert not {"authorization", "cookie"} & set(heard[0].headers)
    assert heard[0].headers["x-y"] == "z"
    assert heard[0].headers["x-forwarded-uri"] == name


async def test_a_service_is_reached_through_its_endpoints(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kubelet = Kubelet()
    service = {"kind": "Service", "metadata": {"namespace": "ns", "name": "x"}}
    async with loopback_allowed(monkeypatch), cluster(kubelet, tmp_path, service) as (client, url):
        none = await client.request("GET", f"{url}/api/v1/namespaces/ns/services/none:http/proxy/")
        assert none.body == b'ServiceUnavailable: no endpoints available for service "none"'
        found = await client.request("GET", f"{url}/api/v1/namespaces/ns/services/https:web:80/proxy/x")
        assert found.status == 500  # the stand-in asks for a client's certificate, which pods are not shown
    assert kubelet.asked == []


async def test_a_node_is_reached_but_not_its_streams(tmp_path: Path) -> None:
    kubelet = Kubelet()
    node = {"kind": "Node", "metadata": {"name": "n1"}}
    async with cluster(kubelet, tmp_path, node) as (client, url):
        assert (await client.request("GET", f"{url}/api/v1/nodes/n1/proxy/pods?x=1")).status == 200
        for path in ("exec/ns/web/c?command=ls", "run/ns/web/c", "attach", "portForward", "%65xec/ns/web/c"):
            assert (await client.request("GET", f"{url}/api/v1/nodes/n1/proxy/{path}")).status == 403
        assert (await client.request("GET", f"{url}/api/v1/nodes/n1/proxy//exec/ns/web/c")).status == 403
    assert kubelet.asked == [("GET", "/pods?x=1")]


@pytest.mark.parametrize("address", ["127.0.0.1", "169.254.169.254", "::1", "fe80::1", "0.0.0.0", "224.0.0.1", "x"])
def test_addresses_that_are_not_proxied_to(address: str) -> None:
    with pytest.raises(BadRequest):
        check_address(address)


@pytest.mark.parametrize(
    ("location", "expected"),
    [
        ("/a?b=c#d", "/p/a?b=c#d"),
        ("http://10.0.0.1:80/a", "/p/a"),
        ("http://elsewhere/a", "http://elsewhere/a"),
        ("a", "a"),
    ],
)
def test_locations(location: str, expected: str) -> None:
    assert rewritten_location(location, "http://10.0.0.1:80", "/p") == expected


def test_paths_and_names() -> None:
    assert split_path("/api/v1/namespaces/ns/pods/web:80/proxy/a%20/?q=1") == (
        "/api/v1/namespaces/ns/pods/web:80/proxy",
        "web:80",
        "/a%20/?q=1",
    )
    assert split_path("/api/v1/nodes/n/proxy")[1:] == ("n", "")
    assert parse_name("https:web:443") == proxy.ProxyName("https", "web", "443")
    assert parse_name("web") == proxy.ProxyName("", "web", "")
    with pytest.raises(BadRequest):
        parse_name("gopher:web:1")
    with pytest.raises(NotFound):
        split_path("/api/v1/nodes/n/status")


def test_ports_of_services() -> None:
    two = {"metadata": {"name": "s"}, "spec": {"ports": [{"name": "a", "port": 1}, {"name": "b", "port": 2}]}}
    assert service_port(two, "b")["port"] == 2
    assert service_port(two, "1")["name"] == "a"
    for wanted in ("", "c"):
        with pytest.raises(ServiceUnavailable):
            service_port(two, wanted)


def test_only_ready_endpoints_are_used() -> None:
    slices = [
        {
            "ports": [{"name": "http", "port": 8080}, {"name": "other", "port": 1}],
            "endpoints": [
                {"addresses": ["10.0.0.1"], "conditions": {"ready": True}},
                {"addresses": ["10.0.0.2"], "conditions": {"ready": False}},
                {"addresses": ["10.0.0.3"]},
            ],
        }
    ]
    assert ready_targets(slices, "http") == [("10.0.0.1", 8080), ("10.0.0.3", 8080)]


def test_a_container_must_be_named() -> None:
    spec = {
        "containers": [{"name": "a"}, {"name": "b"}],
        "initContainers": [{"name": "i"}],
        "ephemeralContainers": [{"name": "e"}],
    }
    pod = {"metadata": {"name": "p"}, "spec": spec}
    assert chosen_container(pod, "e") == "e"
    with pytest.raises(BadRequest) as raised:
        chosen_container(pod, "")
    assert raised.value.message == (
        "a container name must be specified for pod p, choose one of: [a b]"
        " or one of the init containers: [i] or one of the ephemeral containers: [e]"
    )


def test_addresses_of_kubelets() -> None:
    status = {"addresses": [{"type": "Hostname", "address": "h"}, {"type": "InternalIP", "address": "10.0.0.1"}]}
    assert kubelet_address({"metadata": {"name": "n"}, "status": status}) == ("10.0.0.1", 10250)
    with pytest.raises(ServiceUnavailable):
        kubelet_address({"metadata": {"name": "n"}})


def test_refusals() -> None:
    assert isinstance(refused(403, b"no"), Forbidden)
    assert refused(401, b"Unauthorized").code == 500
