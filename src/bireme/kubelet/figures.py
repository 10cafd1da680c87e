"""What a node and its containers use, in the two forms that are asked for: /stats/summary and /metrics/resource.

Only what is measured is given; the many other fields of the originals are left out.
Source: k8s.io/kubelet stats v1alpha1; the resource metrics endpoint that metrics-server reads.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from typing import Any

from bireme.api.times import rfc3339


@dataclass(frozen=True, slots=True)
class Usage:
    """What one container has used: CPU in core-nanoseconds since it started, memory (working set) in bytes."""

    namespace: str
    pod: str
    uid: str
    container: str
    cpu_ns: int
    memory: int


@dataclass(frozen=True, slots=True)
class NodeUsage:
    """What the machine has used: CPU in core-nanoseconds since it started, memory in bytes."""

    cpu_ns: int
    memory: int
    memory_available: int


def measure_node() -> NodeUsage:
    """The machine's own figures."""
    import psutil

    times = psutil.cpu_times()
    busy = sum(times) - times.idle - getattr(times, "iowait", 0.0)
    memory = psutil.virtual_memory()
    return NodeUsage(int(busy * 1e9), memory.total - memory.available, memory.available)


def summary(node_name: str, node: NodeUsage, usages: Sequence[Usage], now: datetime) -> dict[str, Any]:
    """The body of /stats/summary."""
    time = rfc3339(now)
    pods = [
        {
            "podRef": {"name": name, "namespace": namespace, "uid": uid},
            "cpu": {"time": time, "usageCoreNanoSeconds": sum(usage.cpu_ns for usage in used)},
            "memory": {"time": time, "workingSetBytes": sum(usage.memory for usage in used)},
            "containers": [
                {
                    "name": usage.container,
                    "cpu": {"time": time, "usageCoreNanoSeconds": usage.cpu_ns},
                    "memory": {"time": time, "workingSetBytes": usage.memory},
                }
                for usage in used
            ],
        }
        for (namespace, name, uid), used in _by_pod(usages)
    ]
    memory = {"time": time, "workingSetBytes": node.memory, "availableBytes": node.memory_available}
    cpu = {"time": time, "usageCoreNanoSeconds": node.cpu_ns}
    return {"node": {"nodeName": node_name, "cpu": cpu, "memory": memory}, "pods": pods}


def resource_metrics(node: NodeUsage, usages: Sequence[Usage], now: datetime) -> bytes:
    """The body of /metrics/resource, in Prometheus' text form."""
    stamp = int(now.timestamp() * 1000)
    cpu_of = [(_container(usage), usage.cpu_ns / 1e9) for usage in usages]
    memory_of = [(_container(usage), float(usage.memory)) for usage in usages]
    rows: list[tuple[str, str, list[tuple[str, float]]]] = [
        ("node_cpu_usage_seconds_total", "counter", [("", node.cpu_ns / 1e9)]),
        ("node_memory_working_set_bytes", "gauge", [("", node.memory)]),
        ("container_cpu_usage_seconds_total", "counter", cpu_of),
        ("container_memory_working_set_bytes", "gauge", memory_of),
        ("pod_cpu_usage_seconds_total", "counter", [(_pod(key), cpu / 1e9) for key, cpu, _ in _sums(usages)]),
        ("pod_memory_working_set_bytes", "gauge", [(_pod(key), memory) for key, _, memory in _sums(usages)]),
    ]
    lines: list[str] = []
    for name, kind, values in rows:
        lines.append(f"# TYPE {name} {kind}")
        lines += [f"{name}{labels} {value} {stamp}" for labels, value in values]
    return ("\n".join(lines) + "\n").encode()


Key = tuple[str, str, str]


def _by_pod(usages: Iterable[Usage]) -> list[tuple[Key, list[Usage]]]:
    def key(usage: Usage) -> Key:
        return usage.namespace, usage.pod, usage.uid

    return [(name, list(used)) for name, used in groupby(sorted(usages, key=key), key=key)]


def _sums(usages: Iterable[Usage]) -> list[tuple[Key, int, int]]:
    return [
        (key, sum(usage.cpu_ns for usage in used), sum(usage.memory for usage in used))
        for key, used in _by_pod(usages)
    ]


def _container(usage: Usage) -> str:
    return f'{{container="{usage.container}",namespace="{usage.namespace}",pod="{usage.pod}"}}'


def _pod(key: Key) -> str:
    return f'{{namespace="{key[0]}",pod="{key[1]}"}}'
