"""The node's pods as its HTTPS door sees them (`server.PodBackend`)."""

from collections.abc import Awaitable, Sequence
from typing import TypeVar

from bireme.api.errors import ApiError, BadRequest, NotFound, not_found
from bireme.api.kinds import core
from bireme.kubelet import labels, logs
from bireme.kubelet.actual import ContainerView, PodActual, Stage, every_container, every_status
from bireme.kubelet.agent import Kubelet
from bireme.kubelet.pod_worker import PodWorker
from bireme.kubelet.server import LogFile, Streams, Target, Usage
from bireme.runtime.interface import NoSuchThing, RuntimeFault, State

T = TypeVar("T")


async def _asked(call: Awaitable[T]) -> T:
    """The engine's answer, its refusals as the API's."""
    try:
        return await call
    except NoSuchThing as fault:
        raise NotFound(fault.message) from fault
    except RuntimeFault as fault:
        raise ApiError(fault.message) from fault


class Backend:
    """Answers for the pods of one agent."""

    def __init__(self, kubelet: Kubelet) -> None:
        self._kubelet = kubelet
        self._runtime = kubelet.runtime

    def pods(self) -> Sequence[core.Pod]:
        publisher = self._kubelet.publisher
        return [
            core.Pod(metadata=pod.metadata, spec=pod.spec, status=publisher.current(pod))
            for pod in self._kubelet.pods.items()
        ]

    async def exec_url(self, target: Target, command: Sequence[str], streams: Streams) -> str:
        view = await self._running(target)
        return await _asked(
            self._runtime.exec_url(
                view.id,
                command,
                stdin=streams.stdin,
                stdout=streams.stdout,
                stderr=streams.stderr and not streams.tty,
                tty=streams.tty,
            )
        )

    async def attach_url(self, target: Target, streams: Streams) -> str:
        view = await self._running(target)
        return await _asked(
            self._runtime.attach_url(
                view.id,
                stdin=streams.stdin,
                stdout=streams.stdout,
                stderr=streams.stderr and not streams.tty,
                tty=streams.tty,
            )
        )

    async def run(self, target: Target, command: Sequence[str], timeout_s: float) -> bytes:
        view = await self._running(target)
        result = await _asked(self._runtime.exec_sync(view.id, command, timeout_s=timeout_s))
        return result.stdout + result.stderr

    async def log_file(self, target: Target, *, previous: bool) -> LogFile:
        pod, container, actual = await self._find(target)
        view = actual.newest(container)
        if view is not None and view.stage is Stage.CREATED:
            view = actual.previous(view)
        if view is not None and previous:
            view = actual.previous(view)
            if view is None:
                words = f'previous terminated container "{container}" in pod "{target.pod}" not found'
                raise BadRequest(words)
        if view is None or not view.sandbox_id:
            raise BadRequest(self._waiting(pod, container))
        return LogFile(f"{logs.pod_folder(pod)}/{logs.container_log(container, view.attempt)}", view.id)

    async def is_running(self, container_id: str) -> bool:
        try:
            return (await self._runtime.container_status(container_id)).state is State.RUNNING
        except NoSuchThing:
            return False
        except RuntimeFault as fault:
            raise ApiError(fault.message) from fault

    async def network_namespace(self, target: Target) -> str:
        pod, _, actual = await self._find(target)
        sandbox = actual.sandbox
        if sandbox is None or not sandbox.ready:
            raise BadRequest(f'pod "{pod.metadata.name}" has no running sandbox')
        return "" if pod.spec.host_network else await _asked(self._runtime.network_namespace(sandbox.id))

    async def usage(self) -> Sequence[Usage]:
        return [
            Usage(
                namespace=item.labels.get(labels.POD_NAMESPACE, ""),
                pod=item.labels.get(labels.POD_NAME, ""),
                uid=item.labels.get(labels.POD_UID, ""),
                container=item.labels.get(labels.CONTAINER_NAME, ""),
                cpu_ns=item.cpu_ns,
                memory=item.memory_working_set,
            )
            for item in await _asked(self._runtime.usage())
            if item.cpu_ns
        ]

    async def _running(self, target: Target) -> ContainerView:
        pod, container, actual = await self._find(target)
        view = actual.current(container)
        if view is None:
            raise BadRequest(self._waiting(pod, container))
        if view.stage is not Stage.RUNNING:
            raise BadRequest(f'container "{container}" in pod "{target.pod}" is not running')
        return view

    async def _find(self, target: Target) -> tuple[core.Pod, str, PodActual]:
        """The pod, the container's name made sure of, and what there is of it."""
        worker = self._worker(target)
        if worker is None:
            raise not_found("pods", target.pod)
        pod = worker.pod
        names = [container.name for container in every_container(pod)]
        name = target.container or (names[0] if len(pod.spec.containers) == 1 else "")
        if not name:
            raise BadRequest(f"a container name must be specified for pod {target.pod}, choose one of: {names}")
        if name not in names:
            raise NotFound(f"container {name} is not valid for pod {target.pod}")
        return pod, name, await _asked(self._kubelet.relister.look(pod.metadata.uid))

    def _worker(self, target: Target) -> PodWorker | None:
        for worker in self._kubelet.workers.values():
            meta = worker.pod.metadata
            if (meta.namespace, meta.name) == (target.namespace, target.pod) and target.uid in ("", meta.uid):
                return worker
        return None

    def _waiting(self, pod: core.Pod, container: str) -> str:
        status = self._kubelet.publisher.current(pod)
        reason = "ContainerCreating"
        for item in every_status(status):
            if item.name == container and item.state is not None and item.state.waiting is not None:
                reason = item.state.waiting.reason
        return f'container "{container}" in pod "{pod.metadata.name}" is waiting to start: {reason}'
