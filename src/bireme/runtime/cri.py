"""A container engine (containerd) over CRI v1.

Turns our records into its messages and back, and its gRPC errors into `RuntimeFault`s; decides nothing.
Source: k8s.io/cri-api, pkg/apis/runtime/v1/api.proto.
"""

import asyncio
import json
from collections.abc import Awaitable, Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

import grpc
import grpc.aio
from cri_api.v1 import api_pb2 as pb
from cri_api.v1 import api_pb2_grpc

from bireme.runtime.interface import (
    Container,
    ContainerSpec,
    ContainerStatus,
    Credentials,
    EngineAway,
    EngineStatus,
    ExecResult,
    Image,
    ImageRefused,
    LinuxResources,
    Mount,
    Namespaces,
    NoSuchThing,
    Propagation,
    RuntimeFault,
    Sandbox,
    SandboxSpec,
    Security,
    Share,
    State,
    TookTooLong,
    Usage,
)
from bireme.runtime.shims import NAMESPACE

POD_UID_LABEL = "io.kubernetes.pod.uid"

CALL_S = 120.0
PULL_S = 3600.0

_STATES = {
    pb.CONTAINER_CREATED: State.CREATED,
    pb.CONTAINER_RUNNING: State.RUNNING,
    pb.CONTAINER_EXITED: State.EXITED,
}
_SHARES = {Share.POD: pb.POD, Share.CONTAINER: pb.CONTAINER, Share.NODE: pb.NODE}
_PROPAGATIONS = {
    Propagation.PRIVATE: pb.PROPAGATION_PRIVATE,
    Propagation.HOST_TO_CONTAINER: pb.PROPAGATION_HOST_TO_CONTAINER,
    Propagation.BIDIRECTIONAL: pb.PROPAGATION_BIDIRECTIONAL,
}
_PROTOCOLS = {"TCP": pb.TCP, "UDP": pb.UDP, "SCTP": pb.SCTP}
_FAULTS: dict[Any, type[RuntimeFault]] = {
    grpc.StatusCode.NOT_FOUND: NoSuchThing,
    grpc.StatusCode.UNAVAILABLE: EngineAway,
    grpc.StatusCode.DEADLINE_EXCEEDED: TookTooLong,
}
# containerd takes connections a moment before its CRI part can serve them, and says so without a code.
_NOT_YET = "server is not initialized yet"
_STILL_RUNS = "cannot delete running task"
# What a container may not look into unless it is privileged; the list is the one of every engine.
_MASKED = [
    "/proc/asound",
    "/proc/acpi",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/sys/firmware",
    "/sys/devices/virtual/powercap",
]
_READ_ONLY = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"]


class CriRuntime:
    """A `Runtime` over the engine that listens on a unix socket."""

    def __init__(self, socket: str, *, control: str = "ctr") -> None:
        self._socket, self._control = socket, control
        options = [("grpc.max_receive_message_length", 16 << 20), ("grpc.max_reconnect_backoff_ms", 1000)]
        self._channel = grpc.aio.insecure_channel(f"unix://{socket}", options=options)
        self._runtime = api_pb2_grpc.RuntimeServiceStub(self._channel)
        self._images = api_pb2_grpc.ImageServiceStub(self._channel)

    async def close(self) -> None:
        await self._channel.close()

    async def status(self) -> EngineStatus:
        version = await _call(self._runtime.Version(pb.VersionRequest(), timeout=5))
        answer = await _call(self._runtime.Status(pb.StatusRequest(), timeout=5))
        conditions = {condition.type: condition for condition in answer.status.conditions}
        ready, network = conditions.get("RuntimeReady"), conditions.get("NetworkReady")
        bad = [c.message or c.reason for c in conditions.values() if not c.status]
        return EngineStatus(
            name=version.runtime_name,
            version=version.runtime_version,
            ready=bool(ready and ready.status),
            network_ready=bool(network and network.status),
            message="; ".join(bad),
        )

    # Sandboxes

    async def list_sandboxes(self, *, pod_uid: str = "") -> list[Sandbox]:
        chosen = pb.PodSandboxFilter(label_selector=_by_pod(pod_uid))
        answer = await _call(self._runtime.ListPodSandbox(pb.ListPodSandboxRequest(filter=chosen), timeout=CALL_S))
        return [
            Sandbox(
                id=item.id,
                name=item.metadata.name,
                namespace=item.metadata.namespace,
                uid=item.metadata.uid,
                attempt=item.metadata.attempt,
                ready=item.state == pb.SANDBOX_READY,
                created_at=_moment(item.created_at),
                labels=dict(item.labels),
                annotations=dict(item.annotations),
            )
            for item in answer.items
        ]

    async def sandbox_addresses(self, sandbox_id: str) -> tuple[str, ...]:
        request = pb.PodSandboxStatusRequest(pod_sandbox_id=sandbox_id)
        network = (await _call(self._runtime.PodSandboxStatus(request, timeout=CALL_S))).status.network
        return tuple(ip for ip in [network.ip, *(other.ip for other in network.additional_ips)] if ip)

    async def network_namespace(self, sandbox_id: str) -> str:
        request = pb.PodSandboxStatusRequest(pod_sandbox_id=sandbox_id, verbose=True)
        answer = await _call(self._runtime.PodSandboxStatus(request, timeout=CALL_S))
        spec = json.loads(answer.info.get("info", "{}")).get("runtimeSpec") or {}
        spaces = spec.get("linux", {}).get("namespaces", [])
        return str(next((space.get("path", "") for space in spaces if space.get("type") == "network"), ""))

    async def run_sandbox(self, spec: SandboxSpec) -> str:
        request = pb.RunPodSandboxRequest(config=_sandbox(spec))
        return str((await _whole(self._runtime.RunPodSandbox(request, timeout=CALL_S))).pod_sandbox_id)

    async def stop_sandbox(self, sandbox_id: str) -> None:
        request = pb.StopPodSandboxRequest(pod_sandbox_id=sandbox_id)
        await _gone_is_well(self._runtime.StopPodSandbox(request, timeout=CALL_S))

    async def remove_sandbox(self, sandbox_id: str) -> None:
        request = pb.RemovePodSandboxRequest(pod_sandbox_id=sandbox_id)
        await _gone_is_well(self._runtime.RemovePodSandbox(request, timeout=CALL_S))

    # Containers

    async def list_containers(self, *, pod_uid: str = "") -> list[Container]:
        chosen = pb.ContainerFilter(label_selector=_by_pod(pod_uid))
        answer = await _call(self._runtime.ListContainers(pb.ListContainersRequest(filter=chosen), timeout=CALL_S))
        return [
            Container(
                id=item.id,
                sandbox_id=item.pod_sandbox_id,
                name=item.metadata.name,
                attempt=item.metadata.attempt,
                state=_STATES.get(item.state, State.UNKNOWN),
                image=item.image.image,
                created_at=_moment(item.created_at),
                labels=dict(item.labels),
                annotations=dict(item.annotations),
            )
            for item in answer.containers
        ]

    async def container_status(self, container_id: str) -> ContainerStatus:
        request = pb.ContainerStatusRequest(container_id=container_id)
        status = (await _call(self._runtime.ContainerStatus(request, timeout=CALL_S))).status
        return ContainerStatus(
            id=status.id,
            name=status.metadata.name,
            attempt=status.metadata.attempt,
            state=_STATES.get(status.state, State.UNKNOWN),
            image=status.image.image,
            image_ref=status.image_ref,
            created_at=_moment(status.created_at),
            started_at=_moment(status.started_at) if status.started_at else None,
            finished_at=_moment(status.finished_at) if status.finished_at else None,
            exit_code=status.exit_code,
            reason=status.reason,
            message=status.message,
            log_path=status.log_path,
            labels=dict(status.labels),
            annotations=dict(status.annotations),
        )

    async def create_container(self, sandbox_id: str, spec: ContainerSpec, sandbox: SandboxSpec) -> str:
        request = pb.CreateContainerRequest(
            pod_sandbox_id=sandbox_id, config=_container(spec), sandbox_config=_sandbox(sandbox)
        )
        return str((await _whole(self._runtime.CreateContainer(request, timeout=CALL_S))).container_id)

    async def start_container(self, container_id: str) -> None:
        request = pb.StartContainerRequest(container_id=container_id)
        await _whole(self._runtime.StartContainer(request, timeout=CALL_S))

    async def stop_container(self, container_id: str, *, grace_s: float) -> None:
        request = pb.StopContainerRequest(container_id=container_id, timeout=max(0, int(grace_s)))
        await _gone_is_well(self._runtime.StopContainer(request, timeout=grace_s + CALL_S))

    async def remove_container(self, container_id: str) -> None:
        request = pb.RemoveContainerRequest(container_id=container_id)
        try:
            await _gone_is_well(self._runtime.RemoveContainer(request, timeout=CALL_S))
        except RuntimeFault as fault:
            if _STILL_RUNS not in fault.message:
                raise
            await self._end_task(container_id)
            await _gone_is_well(self._runtime.RemoveContainer(request, timeout=CALL_S))

    async def _end_task(self, container_id: str) -> None:
        """End what a start that was cut short left running, which the engine's CRI side takes for ended."""
        process = await asyncio.create_subprocess_exec(
            *(self._control, "--address", self._socket, "-n", NAMESPACE, "tasks", "delete", "--force", container_id),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
        )
        await process.wait()

    async def update_resources(self, container_id: str, resources: LinuxResources) -> None:
        request = pb.UpdateContainerResourcesRequest(container_id=container_id, linux=_resources(resources))
        await _call(self._runtime.UpdateContainerResources(request, timeout=CALL_S))

    async def reopen_log(self, container_id: str) -> None:
        request = pb.ReopenContainerLogRequest(container_id=container_id)
        await _call(self._runtime.ReopenContainerLog(request, timeout=CALL_S))

    async def exec_sync(self, container_id: str, command: Sequence[str], *, timeout_s: float) -> ExecResult:
        request = pb.ExecSyncRequest(container_id=container_id, cmd=list(command), timeout=max(1, int(timeout_s)))
        answer = await _call(self._runtime.ExecSync(request, timeout=timeout_s + 10))
        return ExecResult(stdout=answer.stdout, stderr=answer.stderr, exit_code=answer.exit_code)

    async def exec_url(
        self, container_id: str, command: Sequence[str], *, stdin: bool, stdout: bool, stderr: bool, tty: bool
    ) -> str:
        request = pb.ExecRequest(
            container_id=container_id, cmd=list(command), tty=tty, stdin=stdin, stdout=stdout, stderr=stderr
        )
        return str((await _call(self._runtime.Exec(request, timeout=CALL_S))).url)

    async def attach_url(self, container_id: str, *, stdin: bool, stdout: bool, stderr: bool, tty: bool) -> str:
        request = pb.AttachRequest(container_id=container_id, stdin=stdin, tty=tty, stdout=stdout, stderr=stderr)
        return str((await _call(self._runtime.Attach(request, timeout=CALL_S))).url)

    async def usage(self) -> list[Usage]:
        request = pb.ListContainerStatsRequest(filter=pb.ContainerStatsFilter())
        answer = await _call(self._runtime.ListContainerStats(request, timeout=CALL_S))
        return [
            Usage(
                container_id=item.attributes.id,
                labels=dict(item.attributes.labels),
                at=_moment(item.cpu.timestamp),
                cpu_ns=item.cpu.usage_core_nano_seconds.value,
                memory_working_set=item.memory.working_set_bytes.value,
                memory_usage=item.memory.usage_bytes.value,
                written=item.writable_layer.used_bytes.value,
            )
            for item in answer.stats
        ]

    # Images

    async def list_images(self) -> list[Image]:
        answer = await _call(self._images.ListImages(pb.ListImagesRequest(), timeout=CALL_S))
        return [_image(item) for item in answer.images]

    async def image(self, reference: str) -> Image | None:
        request = pb.ImageStatusRequest(image=pb.ImageSpec(image=reference))
        answer = await _call(self._images.ImageStatus(request, timeout=CALL_S))
        return _image(answer.image) if answer.image.id else None

    async def pull_image(self, reference: str, *, credentials: Credentials | None = None) -> str:
        request = pb.PullImageRequest(image=pb.ImageSpec(image=reference))
        if credentials is not None:
            request.auth.CopyFrom(
                pb.AuthConfig(
                    username=credentials.username,
                    password=credentials.password,
                    auth=credentials.auth,
                    server_address=credentials.server,
                    identity_token=credentials.identity_token,
                    registry_token=credentials.registry_token,
                )
            )
        try:
            return str((await _call(self._images.PullImage(request, timeout=PULL_S))).image_ref)
        except (EngineAway, TookTooLong):
            raise
        except RuntimeFault as fault:
            raise ImageRefused(fault.message) from fault

    async def remove_image(self, reference: str) -> None:
        request = pb.RemoveImageRequest(image=pb.ImageSpec(image=reference))
        await _gone_is_well(self._images.RemoveImage(request, timeout=CALL_S))


async def _call(call: Awaitable[Any]) -> Any:
    try:
        return await call
    except grpc.aio.AioRpcError as error:
        words = error.details() or str(error.code())
        fault = EngineAway if words == _NOT_YET else _FAULTS.get(error.code(), RuntimeFault)
        raise fault(words) from error
    except asyncio.CancelledError as error:
        # A channel that is closed under a call cancels the call, not the task that waits for it.
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise
        raise EngineAway("the connection to the engine was closed") from error


async def _whole(call: Awaitable[Any]) -> Any:
    """A call that is not given up half-way: of what it had begun the engine would leave a part behind."""
    over = asyncio.Event()

    async def work() -> Any:
        try:
            return await _call(call)
        finally:
            over.set()

    try:
        return await asyncio.shield(work())
    except asyncio.CancelledError:
        await over.wait()
        raise


async def _gone_is_well(call: Awaitable[Any]) -> None:
    try:
        await _call(call)
    except NoSuchThing:
        return


def _by_pod(pod_uid: str) -> dict[str, str]:
    return {POD_UID_LABEL: pod_uid} if pod_uid else {}


def _moment(nanoseconds: int) -> datetime:
    return datetime.fromtimestamp(nanoseconds / 1e9, UTC)


def _image(item: Any) -> Image:
    return Image(
        id=item.id,
        tags=tuple(item.repo_tags),
        digests=tuple(item.repo_digests),
        size=item.size,
        user=item.uid.value if item.HasField("uid") else None,
        username=item.username,
    )


def _sandbox(spec: SandboxSpec) -> Any:
    security = pb.LinuxSandboxSecurityContext(
        namespace_options=_namespaces(spec.namespaces),
        privileged=spec.security.privileged,
        supplemental_groups=spec.security.groups,
        seccomp=_seccomp(spec.security),
    )
    _identity(security, spec.security)
    config = pb.PodSandboxConfig(
        metadata=pb.PodSandboxMetadata(name=spec.name, namespace=spec.namespace, uid=spec.uid, attempt=spec.attempt),
        hostname=spec.hostname,
        log_directory=spec.log_directory,
        port_mappings=[
            pb.PortMapping(
                protocol=_PROTOCOLS.get(port.protocol, pb.TCP),
                container_port=port.container_port,
                host_port=port.host_port,
                host_ip=port.host_ip,
            )
            for port in spec.ports
        ],
        labels=spec.labels,
        annotations=spec.annotations,
        linux=pb.LinuxPodSandboxConfig(
            cgroup_parent=spec.cgroup_parent,
            security_context=security,
            sysctls=spec.sysctls,
            resources=_resources(spec.resources),
        ),
    )
    if spec.dns is not None:
        dns = pb.DNSConfig(servers=spec.dns.servers, searches=spec.dns.searches, options=spec.dns.options)
        config.dns_config.CopyFrom(dns)
    return config


def _container(spec: ContainerSpec) -> Any:
    return pb.ContainerConfig(
        metadata=pb.ContainerMetadata(name=spec.name, attempt=spec.attempt),
        image=pb.ImageSpec(image=spec.image),
        command=spec.command,
        args=spec.args,
        working_dir=spec.working_dir,
        envs=[pb.KeyValue(key=name, value=value) for name, value in spec.environment],
        mounts=_mounts(spec.mounts),
        labels=spec.labels,
        annotations=spec.annotations,
        log_path=spec.log_path,
        stdin=spec.stdin,
        stdin_once=spec.stdin_once,
        tty=spec.tty,
        linux=pb.LinuxContainerConfig(
            resources=_resources(spec.resources), security_context=_security(spec.security, spec.namespaces)
        ),
    )


def _mounts(mounts: Iterable[Mount]) -> list[Any]:
    return [
        pb.Mount(
            container_path=mount.container_path,
            host_path=mount.host_path,
            readonly=mount.read_only,
            propagation=_PROPAGATIONS[mount.propagation],
        )
        for mount in mounts
    ]


def _security(security: Security, namespaces: Namespaces) -> Any:
    context = pb.LinuxContainerSecurityContext(
        capabilities=pb.Capability(
            add_capabilities=security.add_capabilities, drop_capabilities=security.drop_capabilities
        ),
        privileged=security.privileged,
        namespace_options=_namespaces(namespaces),
        readonly_rootfs=security.read_only_root,
        supplemental_groups=security.groups,
        no_new_privs=security.no_new_privileges,
        run_as_username=security.username,
        seccomp=_seccomp(security),
    )
    if not (security.privileged or security.unmasked_proc):
        context.masked_paths.extend(_MASKED)
        context.readonly_paths.extend(_READ_ONLY)
    _identity(context, security)
    return context


def _identity(context: Any, security: Security) -> None:
    if security.user is not None:
        context.run_as_user.value = security.user
    if security.group is not None:
        context.run_as_group.value = security.group


def _seccomp(security: Security) -> Any:
    if security.privileged or security.seccomp in ("", "Unconfined"):
        return pb.SecurityProfile(profile_type=pb.SecurityProfile.Unconfined)
    if security.seccomp == "RuntimeDefault":
        return pb.SecurityProfile(profile_type=pb.SecurityProfile.RuntimeDefault)
    return pb.SecurityProfile(profile_type=pb.SecurityProfile.Localhost, localhost_ref=security.seccomp)


def _namespaces(namespaces: Namespaces) -> Any:
    return pb.NamespaceOption(
        network=_SHARES[namespaces.network],
        pid=pb.TARGET if namespaces.target else _SHARES[namespaces.pid],
        ipc=_SHARES[namespaces.ipc],
        target_id=namespaces.target,
    )


def _resources(resources: LinuxResources) -> pb.LinuxContainerResources:
    return pb.LinuxContainerResources(
        cpu_shares=resources.cpu_shares,
        cpu_quota=resources.cpu_quota,
        cpu_period=resources.cpu_period,
        memory_limit_in_bytes=resources.memory_limit,
        oom_score_adj=resources.oom_score_adj,
    )
