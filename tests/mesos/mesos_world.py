"""A master over the real API in memory, nodes and a kubelet that only writes statuses, and frameworks to drive it."""

import asyncio
import base64
import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from random import Random
from typing import Any
from uuid import UUID

import orjson

from bireme.aio.clock import VirtualClock
from bireme.api import resources
from bireme.api.kinds import core
from bireme.api.times import rfc3339
from bireme.client.client import Client
from bireme.http.interface import Identity, Peer, Query, Request, Response, Stream
from bireme.ledger.ledger import Ledger
from bireme.mesos import recordio, tasks
from bireme.mesos.api import MesosMaster
from bireme.mesos.core import Means, Settings
from bireme.mesos.master import Master

Tree = dict[str, Any]


def node(name: str, *, cpu: str = "4", memory: str = "4Gi", ready: bool = True, **labels: str) -> core.Node:
    """A node as a kubelet registers it."""
    made = core.Node()
    made.metadata.name = name
    made.metadata.labels = labels
    made.status.allocatable = {"cpu": cpu, "memory": memory, "ephemeral-storage": "20Gi", "pods": "110"}
    made.status.addresses = [
        core.NodeAddress(type="InternalIP", address="10.0.0.1"),
        core.NodeAddress(type="Hostname", address=name),
    ]
    made.status.conditions = [core.NodeCondition(type="Ready", status="True" if ready else "Unknown")]
    return made


class Scheduler:
    """A framework's side of the protocol, in JSON."""

    def __init__(self, world: "World", *, principal: str = "") -> None:
        self.world = world
        self.principal = principal
        self.framework_id = ""
        self.stream_id = ""
        self.events: list[Tree] = []
        self.stream: Stream | None = None
        self.reader = recordio.Reader()
        self.ended = False
        self.seen: dict[str, int] = {}

    async def subscribe(self, **info: Any) -> Stream | Response:
        """SUBSCRIBE; the events come in by `pump`."""
        whole = {"user": "root", "name": "test", "failover_timeout": 100.0} | info
        call: Tree = {"type": "SUBSCRIBE", "subscribe": {"framework_info": whole}}
        if self.framework_id:
            whole["id"] = call["framework_id"] = {"value": self.framework_id}
        answer = await self.world.post("/api/v1/scheduler", call, principal=self.principal)
        if isinstance(answer, Stream):
            self.stream, self.ended = answer, False
            self.stream_id = answer.headers.get("Mesos-Stream-Id", "")
            self.reader = recordio.Reader()
            await self.pump()
            first = next((event for event in self.events if event["type"] == "SUBSCRIBED"), None)
            if first is not None:
                self.framework_id = first["subscribed"]["framework_id"]["value"]
        return answer

    async def pump(self) -> list[Tree]:
        """The events that came since the last time."""
        fresh: list[Tree] = []
        await self.world.settle()
        while self.stream is not None and not self.ended:
            try:
                async with asyncio.timeout(0.01):
                    chunk = await anext(self.stream.chunks)
            except TimeoutError:
                break
            except StopAsyncIteration:
                self.ended = True
                break
            fresh += [orjson.loads(record) for record in self.reader.feed(chunk)]
        self.events += fresh
        return fresh

    async def call(self, kind: str, body: Tree | None = None, **more: Any) -> Response:
        call: Tree = {"type": kind, "framework_id": {"value": self.framework_id}} | more
        if body is not None:
            call[kind.lower()] = body
        answer = await self.world.post(
            "/api/v1/scheduler", call, principal=self.principal, headers={"mesos-stream-id": self.stream_id}
        )
        assert isinstance(answer, Response)
        return answer

    def _unseen(self, kind: str) -> list[Tree]:
        found = [event for event in self.events[self.seen.get(kind, 0) :] if event["type"] == kind]
        self.seen[kind] = len(self.events)
        return found

    async def offers(self) -> list[Tree]:
        """The offers not looked at yet, or that come within ten seconds."""
        for _ in range(10):
            await self.pump()
            found = [offer for event in self._unseen("OFFERS") for offer in event["offers"]["offers"]]
            if found:
                return found
            await self.world.clock.advance(1.0)
        return []

    async def launch(self, offer: Tree, *infos: Tree) -> Response:
        operation = {"type": "LAUNCH", "launch": {"task_infos": list(infos)}}
        return await self.call("ACCEPT", {"offer_ids": [offer["id"]], "operations": [operation]})

    async def updates(self, *, acknowledge: bool = True) -> list[Tree]:
        """Status updates not looked at yet, acknowledged one by one, and those that follow from that."""
        found: list[Tree] = []
        while True:
            await self.pump()
            fresh = [event["update"]["status"] for event in self._unseen("UPDATE")]
            if not fresh:
                return found
            found += fresh
            for status in fresh:
                if acknowledge and "uuid" in status:
                    body = {name: status[name] for name in ("agent_id", "task_id", "uuid")}
                    assert (await self.call("ACKNOWLEDGE", body)).status == 202

    async def leave(self) -> None:
        """Close the connection."""
        assert self.stream is not None
        await self.stream.chunks.aclose()  # type: ignore[attr-defined]
        self.stream = None
        await self.world.settle()


def task(offer: Tree, task_id: str, *, cpus: float = 0.5, mem: float = 64, **more: Any) -> Tree:
    """A command task on the agent of an offer."""
    return {
        "name": task_id,
        "task_id": {"value": task_id},
        "agent_id": offer["agent_id"],
        "resources": [
            {"name": "cpus", "type": "SCALAR", "scalar": {"value": cpus}},
            {"name": "mem", "type": "SCALAR", "scalar": {"value": mem}},
        ],
        "command": {"value": "sleep 100"},
    } | more


class World:
    """The master, its API and a clock."""

    def __init__(self, client: Client, clock: VirtualClock, ledger: Ledger, settings: Settings, seed: int) -> None:
        self.client, self.clock, self.ledger = client, clock, ledger
        numbers = itertools.count(seed * 1_000_000 + 1)
        means = Means(client, ledger, clock, Random(seed), lambda: UUID(int=next(numbers) * 2**96 + 1))
        self.master = Master(means, settings)
        self.door = MesosMaster(self.master, authenticator=_Anyone())

    @asynccontextmanager
    async def again(self) -> AsyncIterator[None]:
        """The master runs until the block is left."""
        self.master.ready.clear()
        async with asyncio.TaskGroup() as group:
            running = group.create_task(self.master.run())
            try:
                for _ in range(50):
                    await self.settle()
                    if self.master.ready.is_set():
                        break
                yield
            finally:
                running.cancel()

    async def settle(self) -> None:
        """Let everything that can happen now happen."""
        await self.clock.advance(0.02, settle=100)

    async def post(
        self, path: str, tree: Any, *, principal: str = "", headers: dict[str, str] | None = None
    ) -> Response | Stream:
        every = {"content-type": "application/json", "accept": "application/json"} | (headers or {})
        body = tree if isinstance(tree, bytes) else orjson.dumps(tree)
        return await self.ask("POST", path, body=body, headers=every, principal=principal)

    async def get(self, path: str, query: str = "") -> Any:
        answer = await self.ask("GET", path, query=query)
        assert isinstance(answer, Response)
        assert answer.status == 200, (answer.status, answer.body)
        return orjson.loads(answer.body)

    async def ask(
        self,
        method: str,
        path: str,
        *,
        query: str = "",
        body: bytes = b"",
        headers: dict[str, str] | None = None,
        principal: str = "",
    ) -> Response | Stream:
        peer = Peer(identity=Identity(principal or "tester"))
        request = Request(method, path, Query.parse(query), headers or {}, body, peer)
        answer = await self.door.handle(request)
        assert isinstance(answer, Response | Stream)
        return answer

    async def add_node(self, made: core.Node) -> None:
        """A node joins; the ledger is told as the scheduler would."""
        status = made.status
        await self.client.create(made)
        stored = await self.client.get(core.Node, made.metadata.name)
        stored.status = status
        stored = await self.client.update(stored, subresource="status")
        stored.spec.taints = []  # admission taints new nodes until the node controller has seen them ready
        await self.client.update(stored)
        self.ledger.set_node(made.metadata.name, resources.read(status.allocatable))
        await self.settle()

    async def set_ready(self, name: str, status: str) -> None:
        """The node's kubelet falls silent, or is heard again."""
        found = await self.client.get(core.Node, name)
        found.status.conditions = [core.NodeCondition(type="Ready", status=status)]
        await self.client.update(found, subresource="status")
        await self.settle()

    async def pods(self) -> list[core.Pod]:
        """The pods of tasks."""
        return (await self.client.list(core.Pod, labels=tasks.FRAMEWORK_ID)).items

    async def pod_of(self, task_id: str) -> core.Pod:
        return next(pod for pod in await self.pods() if pod.metadata.annotations[tasks.TASK_ID] == task_id)

    async def report(
        self, task_id: str, phase: str, state: core.ContainerState | None, *, ready: bool = False
    ) -> None:
        """What a kubelet would write of a task's pod."""
        pod = await self.pod_of(task_id)
        now = rfc3339(self.clock.now())
        pod.status.phase, pod.status.start_time = phase, now
        pod.status.host_ip = pod.status.pod_ip = "10.0.0.1"
        names = [container.name for container in pod.spec.containers]
        pod.status.container_statuses = [
            core.ContainerStatus(
                name=name, state=state, ready=ready, started=ready, image="x", image_id="x", restart_count=0
            )
            for name in names
        ]
        await self.client.update(pod, subresource="status")
        await self.settle()

    async def run_task(self, task_id: str, *, ready: bool = False) -> None:
        running = core.ContainerState(running=core.ContainerStateRunning(started_at=rfc3339(self.clock.now())))
        await self.report(task_id, "Running", running, ready=ready)

    async def end_task(self, task_id: str, *, code: int = 0, reason: str = "") -> None:
        now = rfc3339(self.clock.now())
        ended = core.ContainerStateTerminated(
            exit_code=code, reason=reason or ("Completed" if code == 0 else "Error"), started_at=now, finished_at=now
        )
        state = core.ContainerState(terminated=ended)
        await self.report(task_id, "Succeeded" if code == 0 else "Failed", state)


class _Anyone:
    def authenticate(self, request: Request) -> Identity | None:
        given = request.headers.get("authorization", "")
        if not given.startswith("Basic "):
            return None
        name, _, secret = base64.b64decode(given[6:]).decode().partition(":")
        return Identity(name) if secret == "secret" else None


@asynccontextmanager
async def master_over(
    client: Client, clock: VirtualClock, ledger: Ledger, *, settings: Settings | None = None, seed: int = 1
) -> AsyncIterator[World]:
    """A master that runs until the block is left."""
    world = World(client, clock, ledger, settings or Settings(), seed)
    async with world.again():
        yield world
