"""Whether this node can take a pod that was sent to it, whoever sent it.

Source: Kubernetes, "Node-pressure Eviction" and the kubelet's admission: OutOfcpu, OutOfpods, NodePorts ...
"""

from collections.abc import Iterable, Mapping

from bireme.api.kinds import core
from bireme.api.resources import add, pod_requests
from bireme.kubelet.actual import Ending
from bireme.kubelet.security import forbidden_sysctls
from bireme.ledger.ports import NO_PORTS, host_ports


def refusal(pod: core.Pod, others: Iterable[core.Pod], allocatable: Mapping[str, int]) -> Ending | None:
    """Why `pod` can't run beside `others`; None if it can."""
    sysctls = forbidden_sysctls(pod)
    if sysctls:
        return Ending("Failed", "SysctlForbidden", f"forbidden sysctl: {sysctls[0]!r} not allowlisted")
    used: dict[str, int] = {}
    taken = NO_PORTS
    for other in others:
        used = add(used, {"pods": 1, **pod_requests(other.spec)})
        taken |= host_ports(other.spec)
    wanted = {"pods": 1, **pod_requests(pod.spec)}
    for name, amount in wanted.items():
        if "/" in name and name not in allocatable:
            continue  # not of this node's account: devices, or what somebody else keeps count of
        have, held = allocatable.get(name, 0), used.get(name, 0)
        if amount and held + amount > have:
            words = f"requested: {amount}, used: {held}, capacity: {have}"
            return Ending(
                "Failed", f"OutOf{name}", f"Pod was rejected: Node didn't have enough resource: {name}, {words}"
            )
    if host_ports(pod.spec).overlaps(taken):
        words = "Node didn't have free ports for the requested pod ports"
        return Ending("Failed", "NodePorts", f"Pod was rejected: {words}")
    return None
