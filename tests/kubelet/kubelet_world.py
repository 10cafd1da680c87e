"""One node in a test: hollow containers, a real API over a store in memory, a virtual clock."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from bireme.aio.clock import VirtualClock
from bireme.api.errors import NotFound
from bireme.api.kinds import core, meta
from bireme.api.scheme import builtin
from bireme.apiserver.app import ApiServer
from bireme.client.client import Client
from bireme.client.transport import InProcessTransport
from bireme.http.interface import Identity
from bireme.kubelet.agent import Kubelet
from bireme.kubelet.settings import KubeletSettings
from bireme.registry.verbs import Registry
from bireme.runtime.hollow import HollowRuntime
from bireme.store.memory import MemoryStore

SETTLE = 200


class World:
    """Opened by the `world` fixture. `engine` goes to the hollow runtime."""

    def __init__(self, folder: Path, **engine: Any) -> None:
        self.clock = VirtualClock()
        self.engine = HollowRuntime(self.clock, **engine)
        self.registry = Registry(MemoryStore(clock=self.clock), builtin(), self.clock)
        self.client = Client(
            InProcessTransport(ApiServer(self.registry).handle, Identity("admin", ("system:masters",)))
        )
        self.settings = KubeletSettings(
            node_name="n1",
            node_ip="192.0.2.1",
            root=folder / "kubelet",
            log_root=folder / "logs",
            capacity={"cpu": "4", "memory": "8Gi", "pods": "110"},
            privileged_files=False,
            api_host="10.96.0.1",
        )
        self._running: list[asyncio.Task[None]] = []

    async def begin(self, tasks: asyncio.TaskGroup) -> None:
        self._tasks = tasks
        self.registry.start()
        self._running.append(tasks.create_task(self.registry.run()))
        for name in ("default", "kube-node-lease"):
            await self.client.create(core.Namespace(metadata=meta.ObjectMeta(name=name)))
        self.start_agent()
        await self.pass_time(0.1)

    def start_agent(self) -> None:
        self.kubelet = Kubelet(self.settings, self.client, self.engine, clock=self.clock)
        self._agent = self._tasks.create_task(self.kubelet.run())
        self._running.append(self._agent)

    async def kill_agent(self) -> None:
        """As SIGKILL would: nothing is said or cleaned."""
        self._agent.cancel()
        await asyncio.wait([self._agent])

    def end(self) -> None:
        for task in self._running:
            task.cancel()

    async def pass_time(self, seconds: float) -> None:
        await self.clock.advance(seconds, settle=SETTLE)

    async def make(self, *containers: dict[str, Any], name: str = "p", **spec: Any) -> core.Pod:
        metadata = {"name": name, "namespace": "default", **spec.pop("metadata", {})}
        defaults = {"nodeName": "n1", "terminationGracePeriodSeconds": 30}
        tree = {"metadata": metadata, "spec": {**defaults, **spec, "containers": list(containers)}}
        made = await self.client.create(msgspec.convert(tree, core.Pod))
        await self.pass_time(0.5)
        return made

    async def pod(self, name: str = "p") -> core.Pod | None:
        try:
            return await self.client.get(core.Pod, name, namespace="default")
        except NotFound:
            return None

    async def delete(self, name: str = "p", grace_s: int | None = None) -> None:
        await self.client.delete(core.Pod, name, namespace="default", grace_period_s=grace_s)

    async def until(self, holds: Callable[[core.Pod], bool], *, name: str = "p", within_s: float = 60) -> core.Pod:
        """Let time pass until `holds`."""
        for _ in range(int(within_s * 2)):
            pod = await self.pod(name)
            if pod is not None and holds(pod):
                return pod
            await self.pass_time(0.5)
        raise AssertionError(f"not within {within_s}s: {pod and pod.status}")

    async def events(self, name: str = "p") -> list[str]:
        """The reasons of a pod's events."""
        await self.pass_time(0.1)
        found = (await self.client.list(core.Event, namespace="default")).items
        return [event.reason for event in found if event.involved_object.name == name]
