"""What this machine is, as a Node object says it: capacity, addresses, versions, conditions.

Read from /proc and /sys, never from cgroups, so that it holds in a container and in a network namespace too.
Source: Kubernetes, "Node Status".
"""

import os
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from bireme.api.kinds import core, meta
from bireme.api.quantity import milli, value
from bireme.kubelet.actual import stamp
from bireme.kubelet.settings import KubeletSettings
from bireme.runtime.images import ARCHITECTURES
from bireme.runtime.interface import EngineStatus, Image

MAX_IMAGES = 50
_HOLDS = {
    "MemoryPressure": ("KubeletHasSufficientMemory", "kubelet has sufficient memory available"),
    "DiskPressure": ("KubeletHasNoDiskPressure", "kubelet has no disk pressure"),
    "PIDPressure": ("KubeletHasSufficientPID", "kubelet has sufficient PID available"),
}


@dataclass(frozen=True, slots=True)
class Machine:
    """What does not change while the agent runs."""

    capacity: Mapping[str, str]
    info: core.NodeSystemInfo
    hostname: str
    architecture: str


def look_at_machine(settings: KubeletSettings) -> Machine:
    """Read this machine's facts."""
    name = os.uname()
    architecture = ARCHITECTURES.get(name.machine, name.machine)
    info = core.NodeSystemInfo(
        machine_id=_read("/etc/machine-id"),
        system_uuid=_read("/sys/class/dmi/id/product_uuid"),
        boot_id=_read("/proc/sys/kernel/random/boot_id"),
        kernel_version=name.release,
        os_image=_os_image(),
        kubelet_version=settings.version,
        kube_proxy_version="",
        operating_system="linux",
        architecture=architecture,
    )
    capacity = dict(settings.capacity) if settings.capacity is not None else _capacity(settings)
    return Machine(capacity, info, socket.gethostname(), architecture)


def _capacity(settings: KubeletSettings) -> dict[str, str]:
    memory = next(line for line in _read("/proc/meminfo").splitlines() if line.startswith("MemTotal:"))
    disk = os.statvfs(next(path for path in [settings.root, *settings.root.parents] if path.exists()))
    return {
        "cpu": str(os.cpu_count() or 1),
        "memory": f"{memory.split()[1]}Ki",
        "ephemeral-storage": f"{disk.f_blocks * disk.f_frsize // 1024}Ki",
        "pods": str(settings.max_pods),
    }


def allocatable(capacity: Mapping[str, str], reserved: Mapping[str, str]) -> dict[str, str]:
    """Capacity less what is kept for the machine itself."""
    free: dict[str, str] = dict(capacity)
    for name, kept in reserved.items():
        if name == "cpu":
            free[name] = f"{max(0, milli(capacity.get(name, '0')) - milli(kept))}m"
        elif name in capacity:
            free[name] = str(max(0, value(capacity[name]) - value(kept)))
    return free


def node_object(settings: KubeletSettings, machine: Machine) -> core.Node:
    """The Node as it is first registered."""
    labels = {
        "kubernetes.io/hostname": settings.node_name,
        "kubernetes.io/os": "linux",
        "kubernetes.io/arch": machine.architecture,
        "beta.kubernetes.io/os": "linux",
        "beta.kubernetes.io/arch": machine.architecture,
        **settings.labels,
    }
    metadata = meta.ObjectMeta(name=settings.node_name, labels=labels, annotations=dict(settings.annotations))
    node = core.Node(metadata=metadata)
    node.status.capacity = dict(machine.capacity)
    node.status.allocatable = dict(allocatable(machine.capacity, settings.reserved))
    return node


def node_status(
    settings: KubeletSettings,
    machine: Machine,
    engine: EngineStatus | None,
    images: Sequence[Image],
    old: core.NodeStatus,
    now: datetime,
) -> core.NodeStatus:
    """The Node's status now; `engine` is None when it does not answer. Heartbeats are set on every condition."""
    info = core.NodeSystemInfo(
        **{name: getattr(machine.info, name) for name in machine.info.__struct_fields__},
    )
    if engine is not None:
        info.container_runtime_version = f"{engine.name}://{engine.version}"
    return core.NodeStatus(
        capacity=dict(machine.capacity),
        allocatable=dict(allocatable(machine.capacity, settings.reserved)),
        addresses=[
            core.NodeAddress(type="InternalIP", address=settings.node_ip),
            core.NodeAddress(type="Hostname", address=machine.hostname),
        ],
        daemon_endpoints=core.NodeDaemonEndpoints(kubelet_endpoint=core.DaemonEndpoint(port=settings.port)),
        node_info=info,
        images=[
            core.ContainerImage(names=[*image.digests, *image.tags], size_bytes=image.size)
            for image in sorted(images, key=lambda image: image.size, reverse=True)[:MAX_IMAGES]
        ],
        conditions=_conditions(engine, old, now),
    )


def _conditions(engine: EngineStatus | None, old: core.NodeStatus, now: datetime) -> list[core.NodeCondition]:
    fresh = [
        core.NodeCondition(type=type, status="False", reason=reason, message=message)
        for type, (reason, message) in _HOLDS.items()
    ]
    problem = _problem(engine)
    fresh.append(
        core.NodeCondition(
            type="Ready",
            status="False" if problem else "True",
            reason="KubeletNotReady" if problem else "KubeletReady",
            message=problem or "kubelet is posting ready status",
        )
    )
    known = {condition.type: condition for condition in old.conditions}
    for condition in fresh:
        before = known.get(condition.type)
        same = before is not None and before.status == condition.status and before.last_transition_time
        condition.last_transition_time = before.last_transition_time if before and same else stamp(now)
        condition.last_heartbeat_time = stamp(now)
    return fresh


def _problem(engine: EngineStatus | None) -> str:
    if engine is None:
        return "container runtime is down"
    if not engine.ready:
        return f"container runtime not ready: {engine.message}"
    if not engine.network_ready:
        return f"container runtime network not ready: {engine.message}"
    return ""


def differs(one: core.NodeStatus, other: core.NodeStatus) -> bool:
    """Whether two statuses differ in more than their heartbeats."""
    return _without_heartbeats(one) != _without_heartbeats(other)


def _without_heartbeats(status: core.NodeStatus) -> tuple[object, ...]:
    marks = [(c.type, c.status, c.reason, c.message) for c in status.conditions if c.type in (*_HOLDS, "Ready")]
    parts = (status.capacity, status.allocatable, status.addresses, status.images, status.node_info)
    return (sorted(marks), *parts)


def _os_image() -> str:
    for line in _read("/etc/os-release").splitlines():
        name, _, text = line.partition("=")
        if name == "PRETTY_NAME":
            return text.strip('"')
    return "Linux"


def _read(path: str) -> str:
    try:
        return Path(path).read_text().strip()
    except OSError:
        return ""
