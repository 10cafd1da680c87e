"""Marathon over a real master and the real API in memory, with a kubelet that only writes statuses."""

import asyncio
import sys
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random
from typing import Any

import orjson

from bireme.aio.clock import VirtualClock
from bireme.api import resources
from bireme.api.kinds import core
from bireme.api.kinds import marathon as kinds
from bireme.api.times import rfc3339
from bireme.client.client import Client
from bireme.http.interface import Identity, Peer, Query, Request, Response, Stream
from bireme.ledger.ledger import Ledger
from bireme.marathon.marathon import Marathon
from bireme.marathon.probes import Answer, ProbeFailed
from bireme.marathon.settings import Settings
from bireme.marathon.transport import InProcessMaster
from bireme.mesos import tasks
from bireme.mesos.api import MesosMaster
from bireme.mesos.core import Means
from bireme.mesos.core import Settings as MesosSettings
from bireme.mesos.master import Master

sys.path[:0] = [str(Path(__file__).parent.parent)]

from support.cluster import cluster  # noqa: E402

Tree = dict[str, Any]
MARATHON = Identity("marathon", ("bireme:frameworks",))


class Trusting:
    """Knows in-process peers by the identity they bring, and nobody else."""

    def authenticate(self, request: Request) -> Identity | None:
        return request.peer.identity


class Prober:
    """Answers as it is told to, by address and port; by default everything is well."""

    def __init__(self) -> None:
        self.answers: Callable[[str], int] = lambda url: 200

    async def get(self, url: str, *, timeout_s: float) -> Answer:
        status = self.answers(url)
        if not status:
            raise ProbeFailed(f"{url}: connection refused")
        return Answer(status, "text/plain", b"hello")

    async def tcp(self, host: str, port: int, *, timeout_s: float) -> None:
        if not self.answers(f"{host}:{port}"):
            raise ProbeFailed("connection refused")


class Kubelet:
    """Makes pods of tasks run, and end when they are deleted. `verdict` may say otherwise for some."""

    def __init__(self, client: Client, clock: VirtualClock) -> None:
        self.client, self.clock = client, clock
        self.verdict: Callable[[core.Pod], str] = lambda pod: "healthy"
        self.paused = False
        self._addresses: dict[str, str] = {}

    async def step(self) -> None:
        """Look at each pod once."""
        if self.paused:
            return
        for pod in (await self.client.list(core.Pod, labels=tasks.FRAMEWORK_ID)).items:
            if pod.metadata.deletion_timestamp:
                await self._end(pod)
            elif pod.status.phase in ("", "Pending", "Running"):
                await self._run(pod)

    async def _run(self, pod: core.Pod) -> None:
        word = self.verdict(pod)
        if word == "crash":
            await self._write(pod, "Failed", self._ended(1), ready=False)
        elif word == "finish":
            await self._write(pod, "Succeeded", self._ended(0), ready=False)
        elif word != "wait":
            now = rfc3339(self.clock.now())
            since = pod.status.start_time or now
            state = core.ContainerState(running=core.ContainerStateRunning(started_at=since))
            ready = word == "healthy"
            if pod.status.phase != "Running" or pod.status.container_statuses[0].ready != ready:
                await self._write(pod, "Running", state, ready=ready)

    async def _end(self, pod: core.Pod) -> None:
        if pod.status.phase not in ("Failed", "Succeeded"):
            await self._write(pod, "Failed", self._ended(143), ready=False)
        await self.client.delete(core.Pod, pod.metadata.name, namespace=pod.metadata.namespace, grace_period_s=0)

    def _ended(self, code: int) -> core.ContainerState:
        now = rfc3339(self.clock.now())
        reason = "Error" if code else "Completed"
        ended = core.ContainerStateTerminated(exit_code=code, reason=reason, started_at=now, finished_at=now)
        return core.ContainerState(terminated=ended)

    async def _write(self, pod: core.Pod, phase: str, state: core.ContainerState, *, ready: bool) -> None:
        address = self._addresses.setdefault(pod.metadata.uid, f"10.244.0.{len(self._addresses) + 2}")
        pod.status.phase, pod.status.host_ip, pod.status.pod_ip = phase, "10.0.0.1", address
        pod.status.pod_ips = [core.PodIP(ip=address)]
        pod.status.start_time = pod.status.start_time or rfc3339(self.clock.now())
        pod.status.container_statuses = [
            core.ContainerStatus(
                name=each.name, state=state, ready=ready, started=ready, image="x", image_id="x", restart_count=0
            )
            for each in pod.spec.containers
        ]
        await self.client.update(pod, subresource="status")


def node(name: str, *, cpu: str = "4", memory: str = "4Gi", **labels: str) -> core.Node:
    """A node as a kubelet registers it."""
    made = core.Node()
    made.metadata.name = name
    made.metadata.labels = labels
    made.status.allocatable = {"cpu": cpu, "memory": memory, "ephemeral-storage": "20Gi", "pods": "110"}
    made.status.addresses = [
        core.NodeAddress(type="InternalIP", address="10.0.0.1"),
        core.NodeAddress(type="Hostname", address=name),
    ]
    made.status.conditions = [core.NodeCondition(type="Ready", status="True")]
    return made


class World:
    """Everything, on a clock that stands still until it is advanced."""

    def __init__(self, client: Client, clock: VirtualClock, group: asyncio.TaskGroup, settings: Settings) -> None:
        self.client, self.clock, self.group, self.settings = client, clock, group, settings
        self.ledger = Ledger()
        self.random = Random(1)
        self.kubelet = Kubelet(client, clock)
        self.prober = Prober()
        self.start_master()
        self.marathon = self._marathon()
        self._running: asyncio.Task[None] | None = None

    def start_master(self) -> None:
        new_uuid = lambda: uuid.UUID(int=self.random.getrandbits(128))  # noqa: E731
        self.master = Master(Means(self.client, self.ledger, self.clock, Random(2), new_uuid), MesosSettings())
        self.mesos = MesosMaster(self.master, authenticator=Trusting())
        self._mastering = self.group.create_task(self.master.run())

    async def kill_master(self) -> None:
        """End the master; what it had open is cut."""
        self._mastering.cancel()
        for framework in list(self.master.roster.frameworks.values()):
            if framework.subscription is not None:
                framework.subscription.finish()
        await self.clock.advance(0.1)

    def _marathon(self) -> Marathon:
        return Marathon(
            self.client,
            InProcessMaster(lambda request: self.mesos.handle(request), identity=MARATHON),
            clock=self.clock,
            random=self.random,
            authenticator=Trusting(),
            settings=self.settings,
            prober=self.prober,
            new_uuid=lambda: uuid.UUID(int=self.random.getrandbits(128), version=1),
        )

    def start(self) -> None:
        self._running = self.group.create_task(self.marathon.run())

    async def kill(self) -> None:
        """End Marathon at once, whatever it is doing."""
        assert self._running is not None
        self._running.cancel()
        while not self._running.done():
            await asyncio.sleep(0)

    async def restart(self) -> None:
        """A new Marathon that knows only what the API knows."""
        await self.kill()
        self.marathon = self._marathon()
        self.start()

    async def pass_time(self, seconds: float = 1.0) -> None:
        """Let time pass, a quarter of a second at a time."""
        for _ in range(max(1, int(seconds * 4))):
            await self.clock.advance(0.25, settle=60)
            await self.kubelet.step()

    async def until(self, test: Callable[[], bool], *, within_s: float = 60.0) -> None:
        """Let time pass until something holds."""
        for _ in range(int(within_s)):
            if test():
                return
            await self.pass_time(1.0)
        raise AssertionError(f"not within {within_s} s: {self.marathon.core.deployments} {self.show()}")

    def show(self) -> list[str]:
        return [
            f"{each.id} {each.app.version} {each.state} {each.goal} healthy={each.healthy}"
            for each in self.marathon.core.instances.values()
        ]

    async def ask(self, method: str, target: str, tree: Any = None, **headers: str) -> tuple[int, Any]:
        """(status, JSON) of a request to Marathon."""
        answer = await self.raw(method, target, b"" if tree is None else orjson.dumps(tree), **headers)
        assert isinstance(answer, Response)
        return answer.status, orjson.loads(answer.body) if answer.body else None

    async def raw(
        self, method: str, target: str, body: bytes = b"", *, anonymous: bool = False, **headers: str
    ) -> Response | Stream:
        path, _, query = target.partition("?")
        every = {name.replace("_", "-"): value for name, value in headers.items()}
        peer = Peer(address="10.1.1.1", identity=None if anonymous else Identity("admin"))
        request = Request(method, path, Query.parse(query), every, body, peer)
        result: list[Response | Stream] = []

        async def make() -> None:
            answer = await self.marathon.handle(request)
            assert isinstance(answer, Response | Stream)
            result.append(answer)

        task = self.group.create_task(make())
        for _ in range(2000):
            if task.done():
                break
            await asyncio.sleep(0)
        while not task.done():
            await self.clock.advance(0.05, settle=20)
        return result[0]

    async def add_node(self, made: core.Node) -> None:
        """A node joins; the ledger is told as the scheduler would."""
        status = made.status
        await self.client.create(made)
        stored = await self.client.get(core.Node, made.metadata.name)
        stored.status = status
        stored = await self.client.update(stored, subresource="status")
        stored.spec.taints = []
        await self.client.update(stored)
        self.ledger.set_node(made.metadata.name, resources.read(status.allocatable))

    def idle(self) -> bool:
        """No deployment is under way."""
        return not self.marathon.core.deployments

    async def kept(self) -> dict[str, int]:
        """How many objects of each kind of ours the API holds."""
        every = (kinds.App, kinds.Group, kinds.Deployment, kinds.Instance)
        return {kind.__name__: len((await self.client.list(kind)).items) for kind in every}


@asynccontextmanager
async def world(*, nodes: int = 1, settings: Settings | None = None) -> AsyncIterator[World]:
    """A world with nodes, whose Marathon has subscribed."""
    clock = VirtualClock()
    async with cluster(clock=clock) as here, asyncio.TaskGroup() as group:
        made = World(here.client, clock, group, settings or Settings(principal="marathon"))
        made.start()
        try:
            for number in range(nodes):
                await made.add_node(node(f"node-{number}", rack=f"r{number}"))
            await made.until(lambda: made.marathon.framework.connected)
            yield made
        finally:
            await made.kill()
            await made.kill_master()
