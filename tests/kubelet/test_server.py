"""The kubelet's door, called straight: who gets in, and what is asked of the backend."""

import json
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest

from bireme.aio.clock import VirtualClock
from bireme.api.errors import ApiError, BadRequest, NotFound
from bireme.api.kinds import core, meta
from bireme.http.interface import Answer, Peer, Query, Request, Response, Stream, Takeover, WebSocketUpgrade
from bireme.http.requests import Session
from bireme.kubelet.server import KubeletDoor, LogFile, Streams, Target, Usage

API_SERVER = Peer(common_name="kube-apiserver", tls=True)
UPGRADE = {"connection": "Upgrade", "upgrade": "SPDY/3.1"}


class Backend:
    """Remembers what it was asked; there is one pod, ns/pod, with one container, c."""

    def __init__(self) -> None:
        self.asked: list[object] = []
        self.running: bool | ApiError = False

    def pods(self) -> Sequence[core.Pod]:
        return [core.Pod(metadata=meta.ObjectMeta(name="pod", namespace="ns"))]

    async def exec_url(self, target: Target, command: Sequence[str], streams: Streams) -> str:
        self.asked.append((target, tuple(command), streams))
        raise BadRequest("no streams here")

    async def attach_url(self, target: Target, streams: Streams) -> str:
        self.asked.append((target, streams))
        raise BadRequest("no streams here")

    async def run(self, target: Target, command: Sequence[str], timeout_s: float) -> bytes:
        self.asked.append((target, tuple(command)))
        return b"output"

    async def log_file(self, target: Target, *, previous: bool) -> LogFile:
        if target.container != "c":
            raise NotFound("no such container")
        return LogFile(f"ns_pod_uid/c/{0 if previous else 1}.log", "id")

    async def is_running(self, container_id: str) -> bool:
        if isinstance(self.running, ApiError):
            raise self.running
        return self.running

    async def network_namespace(self, target: Target) -> str:
        self.asked.append(target)
        return ""

    async def usage(self) -> Sequence[Usage]:
        return [Usage("ns", "pod", "uid", "c", 2_000_000_000, 4096), Usage("ns", "pod", "uid", "d", 1, 1)]


@pytest.fixture
def backend() -> Backend:
    return Backend()


@pytest.fixture
async def door(backend: Backend, tmp_path: Path) -> AsyncIterator[KubeletDoor]:
    folder = tmp_path / "ns_pod_uid" / "c"
    folder.mkdir(parents=True)
    (folder / "0.log").write_bytes(b"2026-01-01T00:00:01Z stdout F before\n")
    (folder / "1.log").write_bytes(b"2026-01-01T00:00:02Z stdout F now\n")
    async with Session() as engine:
        yield KubeletDoor(
            backend, node_name="n", log_root=tmp_path, engine=engine, clock=VirtualClock(), metrics=lambda: b"x 1\n"
        )


async def ask(
    door: KubeletDoor,
    path: str,
    *,
    method: str = "GET",
    peer: Peer = API_SERVER,
    headers: dict[str, str] | None = None,
) -> Answer:
    path, _, query = path.partition("?")
    return await door.handle(Request(method, path, Query.parse(query), headers or {}, peer=peer))


async def text(answer: Answer) -> tuple[int, bytes]:
    if isinstance(answer, Stream):
        return answer.status, b"".join([chunk async for chunk in answer.chunks])
    assert isinstance(answer, Response)
    return answer.status, answer.body


@pytest.mark.parametrize(
    ("peer", "status"),
    [
        pytest.param(API_SERVER, 200, id="the API server"),
        pytest.param(Peer(common_name="admin", organizations=("system:masters",)), 200, id="an administrator"),
        pytest.param(Peer(common_name="system:node:other", organizations=("system:nodes",)), 403, id="another node"),
        pytest.param(Peer(), 401, id="a stranger"),
    ],
)
@pytest.mark.parametrize("path", ["/healthz", "/pods", "/run/ns/pod/c?cmd=ls", "/metrics/resource"])
async def test_who_gets_in(door: KubeletDoor, path: str, peer: Peer, status: int) -> None:
    answer = await ask(door, path, method="POST" if path.startswith("/run") else "GET", peer=peer)
    assert (await text(answer))[0] == status


@pytest.mark.parametrize(
    ("path", "shown"),
    [
        ("/containerLogs/ns/pod/c", (200, b"now\n")),
        ("/containerLogs/ns/pod/c?previous=true", (200, b"before\n")),
        ("/containerLogs/ns/pod/d", (404, b"no such container")),
        ("/containerLogs/ns/pod/c?tailLines=x", (400, b"")),
        ("/containerLogs/ns/pod", (404, b"404 page not found")),
        ("/nothing", (404, b"404 page not found")),
        ("/stats", (404, b"404 page not found")),
        ("/metrics", (200, b"x 1\n")),
        ("/healthz", (200, b"ok")),
    ],
)
async def test_what_can_be_read(door: KubeletDoor, path: str, shown: tuple[int, bytes]) -> None:
    status, body = await text(await ask(door, path))
    assert status == shown[0]
    assert not shown[1] or body == shown[1]


async def test_a_log_is_followed_while_the_engine_does_not_say(door: KubeletDoor, backend: Backend) -> None:
    file = LogFile("x", "id")
    assert not await door._may_grow(file)
    backend.running = ApiError("engine away")
    assert await door._may_grow(file)
    backend.running = NotFound("gone")
    assert not await door._may_grow(file)


async def test_exec_asks_for_what_the_request_says(door: KubeletDoor, backend: Backend) -> None:
    path = "/exec/ns/pod/uid/c?command=sh&command=-c&command=a%20b&input=1&output=1&error=1&tty=1"
    assert await text(await ask(door, path, method="POST", headers=UPGRADE)) == (400, b"no streams here")
    assert backend.asked == [
        (Target("ns", "pod", "c", "uid"), ("sh", "-c", "a b"), Streams(stdin=True, stdout=True, tty=True))
    ]


@pytest.mark.parametrize(
    ("path", "status"),
    [
        pytest.param("/exec/ns/pod/c?output=1", 400, id="exec of nothing"),
        pytest.param("/exec/ns/pod/c?command=ls", 400, id="exec without streams"),
        pytest.param("/attach/ns/pod/c", 400, id="attach without streams"),
        pytest.param("/attach/ns/pod", 404, id="attach to no container"),
        pytest.param("/portForward/ns", 404, id="forward to no pod"),
        pytest.param("/portForward/ns/pod", 400, id="forward without an upgrade"),
        pytest.param("/run/ns/pod/c", 400, id="run of nothing"),
    ],
)
async def test_what_is_refused(door: KubeletDoor, path: str, status: int) -> None:
    assert (await text(await ask(door, path, method="POST")))[0] == status


async def test_run_gives_the_output(door: KubeletDoor, backend: Backend) -> None:
    assert await text(await ask(door, "/run/ns/pod/c?cmd=ls%20-l", method="POST")) == (200, b"output")
    assert backend.asked == [(Target("ns", "pod", "c"), ("ls", "-l"))]
    assert (await text(await ask(door, "/run/ns/pod/c?cmd=ls")))[0] == 405


async def test_port_forward_takes_over(door: KubeletDoor, backend: Backend) -> None:
    assert isinstance(await ask(door, "/portForward/ns/pod/uid", method="POST", headers=UPGRADE), Takeover)
    headers = {"connection": "upgrade", "upgrade": "websocket", "sec-websocket-protocol": "v4.channel.k8s.io"}
    assert isinstance(await ask(door, "/portForward/ns/pod?ports=80", headers=headers), WebSocketUpgrade)
    assert backend.asked == [Target("ns", "pod", uid="uid"), Target("ns", "pod")]


async def test_figures(door: KubeletDoor) -> None:
    _, body = await text(await ask(door, "/stats/summary"))
    figures = json.loads(body)
    assert figures["node"]["nodeName"] == "n"
    assert figures["pods"][0]["podRef"] == {"name": "pod", "namespace": "ns", "uid": "uid"}
    assert figures["pods"][0]["memory"]["workingSetBytes"] == 4097
    _, metrics = await text(await ask(door, "/metrics/resource"))
    row = b'container_cpu_usage_seconds_total{container="c",namespace="ns",pod="pod"} 2.0 1767225600000'
    assert row in metrics.splitlines()


async def test_the_pods_of_the_node(door: KubeletDoor) -> None:
    _, body = await text(await ask(door, "/pods"))
    listed = json.loads(body)
    assert (listed["kind"], listed["items"][0]["metadata"]["name"]) == ("PodList", "pod")
