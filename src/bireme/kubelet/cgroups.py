"""Requests and limits to what the kernel takes: shares, quotas, memory limits, who is killed first.

Source: Kubernetes, "Configure Quality of Service for Pods" and "Node-pressure Eviction", kernel cgroup-v1 cpu.
"""

from collections.abc import Iterable
from pathlib import Path

import structlog

from bireme.api.kinds import core
from bireme.api.quantity import milli, value
from bireme.api.resources import pod_limits, pod_qos, pod_requests
from bireme.runtime.interface import LinuxResources

log = structlog.get_logger(__name__)

TOP = Path("/sys/fs/cgroup")
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


def pod_resources(pod: core.Pod) -> LinuxResources:
    """What a pod's own folder is to hold all of it to: a limit only where every container has one."""
    spec = pod.spec
    everyone = [*spec.containers, *spec.init_containers]
    own = spec.resources.limits if spec.resources else {}
    limits = pod_limits(spec)

    def bound(name: str) -> int:
        all_bound = all(each.resources is not None and name in each.resources.limits for each in everyone)
        return limits.get(name, 0) if all_bound or name in own else 0

    return LinuxResources(
        cpu_shares=cpu_shares(pod_requests(spec).get("cpu", 0)),
        cpu_quota=cpu_quota(bound("cpu")),
        cpu_period=PERIOD_US if bound("cpu") else 0,
        memory_limit=bound("memory"),
    )


def class_shares(root: str, pods: Iterable[core.Pod]) -> dict[str, int]:
    """The CPU shares of each class of pods by its folder; guaranteed pods stand beside the classes."""
    asked = sum(pod_requests(pod.spec).get("cpu", 0) for pod in pods if qos_class(pod) == BURSTABLE)
    top = f"{root.rstrip('/')}/kubepods"
    return {f"{top}/{BURSTABLE.lower()}": cpu_shares(asked), f"{top}/{BEST_EFFORT.lower()}": MIN_SHARES}


def hold_to(folder: str, resources: LinuxResources, *, top: Path = TOP) -> bool:
    """Set what a folder among cgroups is held to, but for what is 0; False if not all was taken."""
    unified = (top / "cgroup.controllers").exists()
    done = True
    for name, text in (_unified(resources) if unified else _legacy(resources)).items():
        controller = "" if unified else name.partition(".")[0]
        try:
            (top / controller / folder.lstrip("/") / name).write_text(text)
        except FileNotFoundError:
            done = False
        except OSError as error:
            log.info("cgroup not set", folder=folder, name=name, error=error.strerror)
            done = False
    return done


def _legacy(resources: LinuxResources) -> dict[str, str]:
    files = {"cpu.shares": str(resources.cpu_shares)} if resources.cpu_shares else {}
    if resources.cpu_quota:
        files |= {"cpu.cfs_period_us": str(resources.cpu_period), "cpu.cfs_quota_us": str(resources.cpu_quota)}
    if resources.memory_limit:
        files["memory.limit_in_bytes"] = str(resources.memory_limit)
    return files


def _unified(resources: LinuxResources) -> dict[str, str]:
    files = {}
    if resources.cpu_shares:
        # Kubernetes' own mapping of 2..262144 shares to weights of 1..10000.
        files["cpu.weight"] = str(1 + (resources.cpu_shares - 2) * 9999 // 262142)
    if resources.cpu_quota:
        files["cpu.max"] = f"{resources.cpu_quota} {resources.cpu_period}"
    if resources.memory_limit:
        files["memory.max"] = str(resources.memory_limit)
    return files


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


def remove_cgroup(parent: str, *, top: Path = TOP) -> None:
    """Take away a pod's empty folders among cgroups, of each hierarchy; what is still in use stays."""
    hierarchies = (
        [top] if (top / "cgroup.controllers").exists() else [path for path in top.glob("*") if path.is_dir()]
    )
    for hierarchy in hierarchies:
        folder = hierarchy / parent.lstrip("/")
        for below in sorted(folder.glob("*/"), reverse=True):
            _remove(below)
        _remove(folder)


def remove_root(root: str, *, top: Path = TOP) -> None:
    """Take away all empty folders of a node that is no more."""
    for qos in ("kubepods/burstable", "kubepods/besteffort", "kubepods", ""):
        remove_cgroup(f"{root}/{qos}".rstrip("/"), top=top)


def _remove(folder: Path) -> None:
    try:
        folder.rmdir()
    except OSError:
        return
