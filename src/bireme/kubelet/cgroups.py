"""Requests and limits to what the kernel takes: shares, quotas, memory limits, who is killed first.

Source: Kubernetes, "Configure Quality of Service for Pods" and "Node-pressure Eviction", kernel cgroup-v1 cpu.
"""

from pathlib import Path

from bireme.api.kinds import core
from bireme.api.quantity import milli, value
from bireme.api.resources import pod_qos
from bireme.runtime.interface import LinuxResources

PERIOD_US = 100_000
MIN_SHARES = 2
MIN_QUOTA_US = 1000
GUARANTEED, BURSTABLE, BEST_EFFORT = "Guaranteed", "Burstable", "BestEffort"
_CRITICAL = 2_000_000_000


def qos_class(pod: core.Pod) -> str:
    """Guaranteed, Burstable or BestEffort; what the API has settled stays."""
    return pod.status.qos_class or pod_qos(pod.spec)


def cgroup_parent(root: str, pod: core.Pod) -> str:
    """The folder of a pod among cgroups: kubepods, its class unless guaranteed, its uid."""
    qos = qos_class(pod)
    middle = "" if qos == GUARANTEED else f"/{qos.lower()}"
    return f"{root.rstrip('/')}/kubepods{middle}/pod{pod.metadata.uid}"


def container_resources(pod: core.Pod, container: core.Container, *, node_memory: int) -> LinuxResources:
    """What a container's cgroup is to hold it to. `node_memory` is the node's capacity in bytes."""
    resources = container.resources or core.ResourceRequirements()
    limits, requests = resources.limits, resources.requests
    cpu_limit = milli(limits["cpu"]) if "cpu" in limits else 0
    cpu_request = milli(requests["cpu"]) if "cpu" in requests else cpu_limit
    return LinuxResources(
        cpu_shares=cpu_shares(cpu_request),
        cpu_quota=cpu_quota(cpu_limit),
        cpu_period=PERIOD_US if cpu_limit else 0,
        memory_limit=value(limits["memory"]) if "memory" in limits else 0,
        oom_score_adj=oom_score_adj(pod, container, node_memory=node_memory),
    )


def cpu_shares(milli_cpu: int) -> int:
    """1,024 shares a core."""
    return max(MIN_SHARES, milli_cpu * 1024 // 1000)


def cpu_quota(milli_cpu: int) -> int:
    """Microseconds of CPU in a period of 100 ms; 0 for no limit."""
    return max(MIN_QUOTA_US, milli_cpu * PERIOD_US // 1000) if milli_cpu else 0


def oom_score_adj(pod: core.Pod, container: core.Container, *, node_memory: int) -> int:
    """How soon the kernel kills it for memory: guaranteed pods last, best-effort ones first."""
    qos = qos_class(pod)
    if qos == GUARANTEED or (pod.spec.priority or 0) >= _CRITICAL:
        return -997
    if qos == BEST_EFFORT:
        return 1000
    resources = container.resources or core.ResourceRequirements()
    request = value(resources.requests.get("memory", resources.limits.get("memory", 0)))
    return min(max(2, 1000 - 1000 * request // max(1, node_memory)), 999)


def remove_cgroup(parent: str, *, top: Path = Path("/sys/fs/cgroup")) -> None:
    """Take away a pod's empty folders among cgroups, of each hierarchy; what is still in use stays."""
    hierarchies = (
        [top] if (top / "cgroup.controllers").exists() else [path for path in top.glob("*") if path.is_dir()]
    )
    for hierarchy in hierarchies:
        folder = hierarchy / parent.lstrip("/")
        for below in sorted(folder.glob("*/"), reverse=True):
            _remove(below)
        _remove(folder)


def remove_root(root: str, *, top: Path = Path("/sys/fs/cgroup")) -> None:
    """Take away all empty folders of a node that is no more."""
    for qos in ("kubepods/burstable", "kubepods/besteffort", "kubepods", ""):
        remove_cgroup(f"{root}/{qos}".rstrip("/"), top=top)


def _remove(folder: Path) -> None:
    try:
        folder.rmdir()
    except OSError:
        return
