"""The audit log as another server gets it: batches, tries, and what is lost."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import yaml

from bireme.aio.clock import RealClock, VirtualClock
from bireme.apiserver.audit_webhook import AuditWebhook, Batching
from bireme.assembly.api import serve_api
from bireme.assembly.auditing import audit
from bireme.config import Config
from bireme.http.answers import Reply
from bireme.http.interface import Identity, Peer, Query, Request, Response
from bireme.http.requests import RequestFailed
from bireme.http.server import serve
from bireme.store.memory import MemoryStore

Tree = dict[str, Any]


class Server:
    """Answers batches as the test says; the last answer goes on. Keeps the numbers of the events of each post."""

    def __init__(self, *answers: int | None) -> None:
        self.answers = list(answers) or [200]
        self.posts: list[list[int]] = []
        self.closed = False

    async def request(self, method: str, url: str, *, body: bytes, **more: Any) -> Reply:
        tree = json.loads(body)
        assert (method, url, tree["kind"], tree["apiVersion"]) == (
            "POST",
            "https://log",
            "EventList",
            "audit.k8s.io/v1",
        )
        self.posts.append([event["n"] for event in tree["items"]])
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if answer is None:
            raise RequestFailed("no") from ConnectionRefusedError()
        return Reply(answer, {}, b"")

    async def close(self) -> None:
        self.closed = True


@asynccontextmanager
async def running(server: Server, **batching: Any) -> AsyncIterator[tuple[AuditWebhook, VirtualClock]]:
    clock = VirtualClock()
    webhook = AuditWebhook("https://log", server, clock, Batching(**batching))  # type: ignore[arg-type]
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(webhook.run())
        yield webhook, clock
        task.cancel()
    assert server.closed


def tell(webhook: AuditWebhook, *numbers: int) -> None:
    for number in numbers:
        webhook.write({"n": number})


async def test_events_wait_for_more_but_not_for_ever() -> None:
    server = Server()
    async with running(server, most=2, wait_s=30) as (webhook, clock):
        tell(webhook, 1)
        await clock.advance(29)
        assert server.posts == []
        await clock.advance(1)
        assert server.posts == [[1]]
        tell(webhook, 2, 3, 4)
        await clock.advance(0)
        assert server.posts == [[1], [2, 3]]
        await clock.advance(30)
        assert server.posts == [[1], [2, 3], [4]]
    assert webhook.dropped == 0


async def test_a_batch_is_tried_again_after_longer_and_longer_waits() -> None:
    server = Server(503, None, 200)
    async with running(server, most=1) as (webhook, clock):
        tell(webhook, 1)
        await clock.advance(0)
        assert server.posts == [[1]]
        await clock.advance(10)
        assert server.posts == [[1], [1]]
        await clock.advance(14)
        assert server.posts == [[1], [1]]
        await clock.advance(1)
        assert server.posts == [[1], [1], [1]]
    assert webhook.dropped == 0


async def test_what_cannot_be_delivered_is_lost_and_counted() -> None:
    server = Server(500, 500, 200)
    async with running(server, most=1, tries=2) as (webhook, clock):
        tell(webhook, 1, 2)
        await clock.advance(20)
        assert server.posts == [[1], [1], [2]]
    assert webhook.dropped == 1


async def test_requests_do_not_wait_for_a_server_that_hangs() -> None:
    server = Server(None)
    async with running(server, most=1, held=3) as (webhook, clock):
        tell(webhook, 1)
        await clock.advance(0)
        tell(webhook, 2, 3, 4, 5, 6)
        assert webhook.dropped == 2
        server.answers = [200]
        await clock.advance(10)
        assert server.posts == [[1], [1], [2], [3], [4]]
    assert webhook.dropped == 2


async def test_what_is_held_at_the_end_goes_out() -> None:
    server = Server(None, 200)
    async with running(server, most=1) as (webhook, clock):
        tell(webhook, 1)
        await clock.advance(0)
        tell(webhook, 2)
    assert server.posts == [[1], [1, 2]]


def settings(folder: Path, port: int) -> Config:
    policy, kubeconfig = folder / "policy.yaml", folder / "webhook.yaml"
    rules = [{"level": "Metadata", "resources": [{"group": "", "resources": ["configmaps"]}]}]
    policy.write_text(yaml.safe_dump({"apiVersion": "audit.k8s.io/v1", "kind": "Policy", "rules": rules}))
    cluster = {"name": "c", "cluster": {"server": f"http://127.0.0.1:{port}/events"}}
    context = {"name": "x", "context": {"cluster": "c", "user": "u"}}
    user = {"name": "u", "user": {"token": "secret"}}
    kubeconfig.write_text(
        yaml.safe_dump({"clusters": [cluster], "contexts": [context], "users": [user], "current-context": "x"})
    )
    return Config(
        data=folder,
        audit_policy_file=policy,
        audit_webhook_config=kubeconfig,
        audit_webhook_batch_max_wait_s=0.0,
    )


async def test_a_server_gets_the_events_of_a_cluster(tmp_path: Path) -> None:
    path = "/api/v1/namespaces/default/configmaps"
    got: asyncio.Queue[tuple[str, str, Tree]] = asyncio.Queue()

    async def handle(request: Request) -> Response:
        for event in json.loads(request.body)["items"]:
            got.put_nowait((request.path, request.headers["authorization"], event))
        return Response(200, b"")

    door = await serve(handle, host="127.0.0.1")
    try:
        clock = RealClock()
        config = settings(tmp_path, door.port)
        async with serve_api(MemoryStore(clock=clock), clock=clock, audit=audit(config, clock=clock)) as api:
            ann = Peer(identity=Identity("ann", ("system:masters",)))
            await api.server.handle(Request("GET", path, Query.parse(""), {}, b"", ann, path))
            async with asyncio.timeout(30):
                while (found := await got.get())[2]["user"]["username"] != "ann":
                    pass
            figures = Request("GET", "/metrics", Query.parse(""), {}, b"", ann, "/metrics")
            page = (await api.server.handle(figures)).body.decode()  # type: ignore[union-attr]
    finally:
        await door.close()
    assert found[:2] == ("/events", "Bearer secret")
    assert (found[2]["verb"], found[2]["level"], found[2]["requestURI"]) == ("list", "Metadata", path)
    assert "# TYPE apiserver_audit_event_total counter" in page
    assert 'apiserver_audit_level_total{level="Metadata"}' in page
    assert "ann" in (tmp_path / "log" / "audit.jsonl").read_text()
