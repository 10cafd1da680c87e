"""Launching and stopping: what the engine is told, with all that must be made ready around it.

Says what happens (events), turns what goes wrong into a `Trouble` for the pod's status, decides nothing about
whether and when.
"""

import asyncio
import math
import os
from dataclasses import dataclass, field
from pathlib import Path

import structlog

from bireme.aio.clock import Clock
from bireme.api.errors import ApiError
from bireme.api.kinds import core
from bireme.api.quantity import value
from bireme.client.informer import Informer
from bireme.kubelet import labels, launch, logs, mesos_sandbox
from bireme.kubelet.actual import ContainerView, PodActual, Stage, Trouble, every_container
from bireme.kubelet.cgroups import hold_to, pod_resources
from bireme.kubelet.environment import EnvironmentProblem, Facts, environment
from bireme.kubelet.hooks import HookFailed, run_hook
from bireme.kubelet.mesos_sandbox import LogCopier, SandboxProblem
from bireme.kubelet.objects import Objects
from bireme.kubelet.payload import VolumeProblem
from bireme.kubelet.pulls import Puller, PullProblem
from bireme.kubelet.security import SecurityProblem
from bireme.kubelet.settings import KubeletSettings
from bireme.kubelet.telling import Teller
from bireme.kubelet.volumes import Volumes, pod_folders
from bireme.runtime.interface import Image, Runtime, RuntimeFault, SandboxSpec

log = structlog.get_logger(__name__)

OVERRUN_S = 2.0


class LaunchFailed(Exception):
    """The container was not started; `trouble` says why, and when to try again if that is known."""

    def __init__(self, trouble: Trouble) -> None:
        super().__init__(trouble.message)
        self.trouble = trouble


@dataclass(slots=True)
class _Kept:
    """What is remembered of a pod between its steps."""

    paths: dict[str, Path] = field(default_factory=dict)
    prepared: bool = False
    refreshed: float = 0.0
    announced: set[str] = field(default_factory=set)
    hooked: set[str] = field(default_factory=set)
    copiers: list[LogCopier] = field(default_factory=list)


class Launcher:
    """Starts and stops the containers of one node."""

    def __init__(
        self,
        settings: KubeletSettings,
        runtime: Runtime,
        volumes: Volumes,
        puller: Puller,
        objects: Objects,
        tell: Teller,
        services: Informer[core.Service],
        node: core.Node,
        *,
        clock: Clock,
    ) -> None:
        self._settings, self._runtime, self._volumes = settings, runtime, volumes
        self._puller, self._objects, self._tell, self._services = puller, objects, tell, services
        self._node, self._clock = node, clock
        self._memory = value(node.status.capacity.get("memory", 0))
        self._kept: dict[str, _Kept] = {}

    def spec_hash(self, container: core.Container) -> str:
        return labels.spec_hash(container)

    def forget(self, pod: core.Pod) -> None:
        """The pod is over."""
        self._kept.pop(pod.metadata.uid, None)

    def _of(self, pod: core.Pod) -> _Kept:
        return self._kept.setdefault(pod.metadata.uid, _Kept())

    async def prepare(self, pod: core.Pod) -> None:
        """Make the pod's volumes and folders. Raises VolumeProblem, ApiError, OSError."""
        kept = self._of(pod)
        facts = self._facts(pod, ())
        try:
            sandbox = mesos_sandbox.sandbox_of(pod, self._settings.mesos_root)
            if sandbox is not None and self._settings.mesos_root is not None:
                mesos_sandbox.make_sandbox(sandbox, self._settings.mesos_root)
        except SandboxProblem as problem:
            raise VolumeProblem(str(problem)) from problem
        kept.paths = await self._volumes.prepare(pod, facts)
        kept.prepared, kept.refreshed = True, self._clock.monotonic()

    async def refresh(self, pod: core.Pod) -> None:
        """Bring files that follow the API up to date, at most once in each resync."""
        kept = self._of(pod)
        due = kept.refreshed + self._settings.resync_s / 2
        if self._clock.monotonic() >= due and any(map(_follows, pod.spec.volumes)):
            try:
                await self.prepare(pod)
            except (VolumeProblem, ApiError, OSError) as error:
                kept.refreshed = self._clock.monotonic()
                log.info("volumes not refreshed", pod=pod.metadata.name, error=str(error))

    def outdate(self, pod: core.Pod) -> None:
        """What the pod's files show has changed: the next `refresh` is due at once."""
        self._of(pod).refreshed = -math.inf

    async def start_sandbox(self, pod: core.Pod, attempt: int) -> str:
        """Make the pod's sandbox. Raises RuntimeFault."""
        spec = launch.sandbox_spec(pod, attempt, self._settings)
        os.makedirs(spec.log_directory, mode=0o755, exist_ok=True)
        sandbox_id = await self._runtime.run_sandbox(spec)
        if self._settings.privileged_files:
            hold_to(spec.cgroup_parent, pod_resources(pod))
        return sandbox_id

    async def start(
        self, pod: core.Pod, container: core.Container, attempt: int, actual: PodActual, turn: asyncio.Semaphore
    ) -> str:
        """Fetch the image, make the container and start it; returns its id. Raises LaunchFailed."""
        image = await self._image(pod, container)
        try:
            if not self._of(pod).prepared:
                await self.prepare(pod)
            async with turn:
                return await self._launch(pod, container, attempt, actual, image)
        except (EnvironmentProblem, VolumeProblem, SecurityProblem, SandboxProblem) as problem:
            raise self._failed(pod, container, "CreateContainerConfigError", str(problem)) from problem
        except (ApiError, OSError) as error:
            raise self._failed(pod, container, "CreateContainerConfigError", str(error)) from error

    async def _image(self, pod: core.Pod, container: core.Container) -> Image:
        try:
            return await self._puller.ensure(pod, container)
        except PullProblem as problem:
            raise LaunchFailed(problem.trouble) from problem
        except ApiError as error:
            raise self._failed(pod, container, "ErrImagePull", str(error)) from error

    async def _launch(
        self, pod: core.Pod, container: core.Container, attempt: int, actual: PodActual, image: Image
    ) -> str:
        sandbox = actual.sandbox
        if sandbox is None:
            raise LaunchFailed(Trouble("CreateContainerError", "the pod has no sandbox", self._clock.now()))
        facts = await self._with_objects(pod, container, self._facts(pod, sandbox.addresses))
        variables = environment(pod, container, facts)
        folders = pod_folders(self._settings.root, pod.metadata.uid)
        last_words = folders.termination_log(container.name, attempt)
        mounts = self._volumes.mounts(pod, container, self._of(pod).paths, dict(variables))
        task_sandbox = mesos_sandbox.sandbox_of(pod, self._settings.mesos_root)
        mounts += mesos_sandbox.mounts(pod, task_sandbox)
        target = self._target(pod, container, actual)
        launch.make_termination_file(last_words)
        launch.write_hosts(pod, folders.hosts, sandbox.addresses, self._settings)
        spec = launch.container_spec(
            pod,
            container,
            attempt,
            image=image,
            variables=variables,
            mounts=[*mounts, *launch.own_mounts(container, folders.hosts, last_words, mounts)],
            termination_file=last_words,
            settings=self._settings,
            node_memory=self._memory,
            target=target,
        )
        outer = launch.sandbox_spec(pod, sandbox.attempt, self._settings)
        try:
            container_id = await self._runtime.create_container(sandbox.id, spec, outer)
        except RuntimeFault as fault:
            raise self._failed(pod, container, "CreateContainerError", fault.message) from fault
        self._tell.container(pod, container, "Normal", "Created", f"Created container: {container.name}")
        try:
            await self._runtime.start_container(container_id)
        except RuntimeFault as fault:
            raise self._failed(pod, container, "RunContainerError", fault.message) from fault
        self._tell.container(pod, container, "Normal", "Started", f"Started container {container.name}")
        if task_sandbox is not None:
            self._copy_log(pod, container, outer, spec.log_path, task_sandbox)
        return container_id

    def _failed(self, pod: core.Pod, container: core.Container, reason: str, message: str) -> LaunchFailed:
        self._tell.container(pod, container, "Warning", "Failed", f"Error: {message}")
        return LaunchFailed(Trouble(reason, message, self._clock.now()))

    def _facts(self, pod: core.Pod, addresses: tuple[str, ...]) -> Facts:
        settings = self._settings
        if pod.spec.host_network:
            addresses = (settings.node_ip,)
        return Facts(
            host_ip=settings.node_ip,
            pod_ips=addresses,
            allocatable=self._node.status.allocatable,
            services=list(self._services.items()),
            api_host=settings.api_host,
            api_port=settings.api_port,
        )

    async def _with_objects(self, pod: core.Pod, container: core.Container, facts: Facts) -> Facts:
        """`facts`, with the config maps and secrets that the container's environment names."""
        namespace = pod.metadata.namespace
        maps, secrets = _referred(container)
        config_maps = {name: await self._objects.get(core.ConfigMap, namespace, name) for name in maps}
        held = {name: await self._objects.get(core.Secret, namespace, name) for name in secrets}
        return Facts(
            host_ip=facts.host_ip,
            pod_ips=facts.pod_ips,
            allocatable=facts.allocatable,
            services=facts.services,
            api_host=facts.api_host,
            api_port=facts.api_port,
            config_maps={name: found for name, found in config_maps.items() if found is not None},
            secrets={name: found for name, found in held.items() if found is not None},
        )

    def _target(self, pod: core.Pod, container: core.Container, actual: PodActual) -> str:
        """The id of the container whose processes an ephemeral one is to see; "" for none. Raises LaunchFailed."""
        named = {each.name: each.target_container_name for each in pod.spec.ephemeral_containers}
        name = named.get(container.name, "")
        view = actual.current(name) if name else None
        if name and (view is None or view.stage is not Stage.RUNNING):
            message = f"unable to find target container {name}"
            raise self._failed(pod, container, "CreateContainerConfigError", message)
        return view.id if view is not None else ""

    async def stop(self, pod: core.Pod, view: ContainerView, actual: PodActual, grace_s: float, why: str) -> None:
        """End a container: its preStop hook, the stop signal, and SIGKILL when the grace is over."""
        kept = self._of(pod)
        container = _named(pod, view.name)
        if container is not None and view.id not in kept.announced:
            kept.announced.add(view.id)
            self._tell.container(pod, container, "Normal", "Killing", why)
        hook = container.lifecycle.pre_stop if container is not None and container.lifecycle is not None else None
        if container is not None and hook is not None and grace_s > 0 and view.id not in kept.hooked:
            kept.hooked.add(view.id)
            began = self._clock.monotonic()
            problem = await self.hook(hook, pod, container, view.id, actual, timeout_s=grace_s)
            if problem:
                words = f"PreStopHook failed: {problem}"
                self._tell.container(pod, container, "Warning", "FailedPreStopHook", words)
            grace_s = max(min(OVERRUN_S, grace_s), grace_s - (self._clock.monotonic() - began))
        await self._runtime.stop_container(view.id, grace_s=grace_s)

    async def hook(
        self,
        hook: core.LifecycleHandler,
        pod: core.Pod,
        container: core.Container,
        container_id: str,
        actual: PodActual,
        *,
        timeout_s: float = 3600.0,
    ) -> str:
        """Run a hook; what went wrong with it, or ""."""
        sandbox = actual.sandbox
        address = sandbox.addresses[0] if sandbox is not None and sandbox.addresses else self._settings.node_ip
        try:
            await run_hook(
                hook, container, container_id, address, runtime=self._runtime, clock=self._clock, timeout_s=timeout_s
            )
        except HookFailed as failure:
            return str(failure)
        return ""

    async def discard(self, pod: core.Pod) -> None:
        """Take away the volumes of a pod that is down, after carrying over the last of its logs. Raises OSError."""
        kept = self._of(pod)
        for copier in kept.copiers:
            while copier.step():
                pass
        kept.prepared = False
        await self._volumes.remove(pod.metadata.uid)

    def copy_logs(self) -> None:
        """Carry the logs of Mesos tasks a step further."""
        for kept in self._kept.values():
            for copier in kept.copiers:
                copier.step()

    def adopt_logs(self, pod: core.Pod, actual: PodActual) -> None:
        """Go on with the logs of a Mesos task that ran before this agent did."""
        try:
            sandbox = mesos_sandbox.sandbox_of(pod, self._settings.mesos_root)
        except SandboxProblem:
            return
        if sandbox is None or self._of(pod).copiers:
            return
        folder = self._settings.log_root / logs.pod_folder(pod)
        for view in actual.containers:
            place = _task_folder(pod, view.name, sandbox)
            copier = LogCopier(folder / logs.container_log(view.name, view.attempt), place)
            copier.skip_copied()
            self._of(pod).copiers.append(copier)

    def _copy_log(
        self, pod: core.Pod, container: core.Container, outer: SandboxSpec, log_path: str, sandbox: Path
    ) -> None:
        place = _task_folder(pod, container.name, sandbox)
        place.mkdir(parents=True, exist_ok=True)
        self._of(pod).copiers.append(LogCopier(Path(outer.log_directory) / log_path, place))


def _task_folder(pod: core.Pod, container: str, sandbox: Path) -> Path:
    """Where a container's stdout and stderr go: the sandbox itself, or a folder each in a group."""
    return sandbox if len(pod.spec.containers) == 1 else sandbox / "tasks" / container


def _named(pod: core.Pod, name: str) -> core.Container | None:
    return next((container for container in every_container(pod) if container.name == name), None)


def _follows(volume: core.Volume) -> bool:
    """Whether a volume's files change with the API."""
    return not all(
        source is None for source in (volume.config_map, volume.secret, volume.projected, volume.downward_api)
    )


def _referred(container: core.Container) -> tuple[set[str], set[str]]:
    """The names of the config maps and secrets in a container's environment."""
    maps = {source.config_map_ref.name for source in container.env_from if source.config_map_ref}
    secrets = {source.secret_ref.name for source in container.env_from if source.secret_ref}
    for variable in container.env:
        source = variable.value_from
        if source is not None and source.config_map_key_ref is not None:
            maps.add(source.config_map_key_ref.name)
        if source is not None and source.secret_key_ref is not None:
            secrets.add(source.secret_key_ref.name)
    return maps, secrets
