"""The agent of one node: registers it, gives each of its pods a worker, keeps the house in order.

It may be killed and started again at any moment: what runs is found in the engine by its labels and adopted by the
worker of its pod; what belongs to no pod any more is cleaned away.
"""

import asyncio

import structlog

from bireme.aio.clock import Clock
from bireme.aio.supervise import supervise
from bireme.api import resources
from bireme.api.kinds import core
from bireme.client.client import Client
from bireme.client.events import EventRecorder
from bireme.client.informer import Informer
from bireme.kubelet import admission, logs
from bireme.kubelet.actual import Ending, Stage
from bireme.kubelet.cgroups import class_shares, hold_to
from bireme.kubelet.containers import Launcher
from bireme.kubelet.objects import Objects, Tokens
from bireme.kubelet.pod_certificates import PodCertificates
from bireme.kubelet.pod_worker import Node, PodWorker
from bireme.kubelet.publisher import Publisher
from bireme.kubelet.pulls import Puller
from bireme.kubelet.references import Reference, References, references
from bireme.kubelet.registration import Registration
from bireme.kubelet.relist import Relister
from bireme.kubelet.settings import KubeletSettings
from bireme.kubelet.status import TERMINAL
from bireme.kubelet.telling import Teller
from bireme.kubelet.volumes import Volumes
from bireme.runtime.interface import LinuxResources, Runtime, RuntimeFault

log = structlog.get_logger(__name__)

HOUSEKEEPING_S = 10.0
COPY_LOGS_S = 0.5
ORPHAN_GRACE_S = 10.0


class Kubelet:
    """A node agent. `run` until cancelled; what runs in the engine goes on after that.

    `services` may be shared between agents of one process; without it the agent keeps its own.
    """

    def __init__(
        self,
        settings: KubeletSettings,
        client: Client,
        runtime: Runtime,
        *,
        clock: Clock,
        services: Informer[core.Service] | None = None,
    ) -> None:
        self.settings = settings
        self.runtime = runtime
        self.registration = Registration(settings, client, runtime, clock=clock)
        self.pods = Informer(client, core.Pod, clock=clock, fields=f"spec.nodeName={settings.node_name}")
        self.relister = Relister(runtime, clock=clock, wake=self._wake, every_s=settings.relist_s)
        self.workers: dict[str, PodWorker] = {}
        self.publisher = Publisher(client, clock=clock)
        self._clock = clock
        self._own_services = services is None
        self._services = services or Informer(client, core.Service, clock=clock)
        self._recorder = EventRecorder(client, "kubelet", clock=clock, host=settings.node_name)
        self._tell = Teller(self._recorder)
        objects = self._objects = Objects(client, clock=clock)
        self.references = References(client, clock=clock, changed=self._reference_changed)
        self._volumes = Volumes(
            settings.root,
            client,
            objects,
            Tokens(client, clock=clock),
            PodCertificates(client, clock=clock, node=settings.node_name, threads=settings.privileged_files),
            clock=clock,
            privileged=settings.privileged_files,
        )
        self.launcher = Launcher(
            settings,
            runtime,
            self._volumes,
            Puller(runtime, objects, self._tell, clock=clock),
            objects,
            self._tell,
            self._services,
            self.registration.node,
            clock=clock,
        )
        self._parts = Node(
            settings,
            clock,
            client,
            runtime,
            self.relister,
            self.launcher,
            self.publisher,
            self._tell,
            asyncio.Semaphore(settings.parallel_starts),
        )
        self._tasks: asyncio.TaskGroup | None = None
        self.pods.on_change(self._pod_changed)
        self._suspects: set[str] = set()
        self._weights: dict[str, int] = {}
        self._allocatable = resources.read(self.registration.node.status.allocatable)

    async def run(self) -> None:
        """Register, adopt what runs, and work until cancelled."""
        self.workers.clear()
        async with asyncio.TaskGroup() as tasks:
            self._tasks = tasks
            tasks.create_task(supervise("kubelet events", self._recorder.run, self._clock))
            tasks.create_task(supervise("kubelet statuses", self.publisher.run, self._clock))
            if self._own_services:
                tasks.create_task(supervise("kubelet services", self._services.run, self._clock))
            tasks.create_task(supervise("kubelet references", self.references.run, self._clock))
            await self.registration.register()
            self._tell.node(self.registration.node, "Normal", "Starting", "Starting kubelet.")
            await self._services.wait_synced()
            tasks.create_task(supervise("kubelet pods", self.pods.run, self._clock))
            for pod in list(self.pods.items()):  # none, unless this agent is run again
                self._pod_changed(None, pod)
            tasks.create_task(supervise("kubelet lease", self.registration.run_lease, self._clock))
            tasks.create_task(supervise("kubelet node status", self.registration.run_status, self._clock))
            await self.pods.wait_synced()
            tasks.create_task(supervise("kubelet relist", self.relister.run, self._clock))
            tasks.create_task(supervise("kubelet housekeeping", self._keep_house, self._clock))
            tasks.create_task(supervise("kubelet task logs", self._copy_logs, self._clock))

    # Workers

    def _pod_changed(self, old: core.Pod | None, new: core.Pod | None) -> None:
        """Called by the informer: start, tell or end a worker."""
        if old is not None and (new is None or new.metadata.uid != old.metadata.uid):
            worker = self.workers.get(old.metadata.uid)
            if worker is not None:
                worker.vanish()
        if new is None:
            return
        worker = self.workers.get(new.metadata.uid)
        if worker is not None:
            worker.update(new)
        elif self._tasks is not None and not _is_record(new):
            self.references.hold(new.metadata.uid, references(new))
            worker = self.workers[new.metadata.uid] = PodWorker(new, self._parts, refuse=self._refuse)
            self._tasks.create_task(self._work(worker), name=f"pod {new.metadata.namespace}/{new.metadata.name}")

    async def _work(self, worker: PodWorker) -> None:
        uid = worker.pod.metadata.uid
        try:
            await worker.run()
        finally:
            self.publisher.forget(uid)
            self.references.release(uid)
            if self.workers.get(uid) is worker:
                del self.workers[uid]

    def _reference_changed(self, reference: Reference, pods: frozenset[str]) -> None:
        self._objects.forget(*reference)
        for uid in pods & self.workers.keys():
            self.workers[uid].refresh()

    def _wake(self, pod_uid: str) -> None:
        worker = self.workers.get(pod_uid)
        if worker is not None:
            worker.wake()

    def _refuse(self, pod: core.Pod) -> Ending | None:
        """Why this node can't take `pod` beside those that it has taken."""
        others = [worker.pod for worker in self.workers.values() if worker.holds and worker.pod is not pod]
        return admission.refusal(pod, others, self._allocatable)

    # The house

    async def _keep_house(self) -> None:
        while True:
            await self._clean_orphans()
            await self._rotate_logs()
            self._weigh_classes()
            await self._clock.sleep(HOUSEKEEPING_S)

    async def _clean_orphans(self) -> None:
        """Take away what belongs to no pod, once it was seen twice without one."""
        known = {pod.metadata.uid for pod in self.pods.items()} | set(self.workers)
        try:
            found = {box.uid for box in await self.runtime.list_sandboxes()} | set(self._volumes.known())
        except RuntimeFault as fault:
            log.warning("orphans not looked for", error=fault.message)
            return
        orphans = (found | set(logs.known(self.settings.log_root))) - known
        for uid in orphans & self._suspects:
            try:
                await self._clean_orphan(uid)
                log.info("orphaned pod cleaned away", uid=uid)
            except (RuntimeFault, OSError) as error:
                log.warning("orphan not cleaned", uid=uid, error=str(error))
        self._suspects = orphans

    async def _clean_orphan(self, uid: str) -> None:
        async with asyncio.TaskGroup() as tasks:
            for container in await self.runtime.list_containers(pod_uid=uid):
                tasks.create_task(self.runtime.stop_container(container.id, grace_s=ORPHAN_GRACE_S))
        for box in await self.runtime.list_sandboxes(pod_uid=uid):
            await self.runtime.stop_sandbox(box.id)
            await self.runtime.remove_sandbox(box.id)
        await self._volumes.remove(uid)
        logs.remove_uid(self.settings.log_root, uid)

    def _weigh_classes(self) -> None:
        """Give each class of pods the share of CPU that its pods ask for."""
        if not self.settings.privileged_files:
            return
        pods = [worker.pod for worker in self.workers.values()]
        held = [pod for pod in pods if self.publisher.current(pod).phase not in TERMINAL]
        for folder, shares in class_shares(self.settings.cgroup_root, held).items():
            if self._weights.get(folder) != shares and hold_to(folder, LinuxResources(cpu_shares=shares)):
                self._weights[folder] = shares

    async def _rotate_logs(self) -> None:
        settings = self.settings
        for worker in list(self.workers.values()):
            folder = settings.log_root / logs.pod_folder(worker.pod)
            for view in worker.actual.containers:
                path = folder / logs.container_log(view.name, view.attempt)
                moved = view.stage is Stage.RUNNING and logs.rotate(
                    path, max_bytes=settings.log_max_bytes, max_files=settings.log_max_files, now=self._clock.now()
                )
                if moved:
                    try:
                        await self.runtime.reopen_log(view.id)
                    except RuntimeFault as fault:
                        log.warning("log not reopened", container=view.id, error=fault.message)

    async def _copy_logs(self) -> None:
        while True:
            self.launcher.copy_logs()
            await self._clock.sleep(COPY_LOGS_S)


def _is_record(pod: core.Pod) -> bool:
    """A pod that is over and deleted, and only waits for others to let go of it, has no work left."""
    meta = pod.metadata
    over = pod.status.phase in ("Succeeded", "Failed")
    return over and bool(meta.deletion_timestamp) and meta.deletion_grace_period_seconds == 0
