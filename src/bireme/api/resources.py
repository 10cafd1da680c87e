"""Vectors of resources that add, subtract and fit, and what a pod asks for.

A vector holds whole amounts by resource name: cpu in millicores, memory, ephemeral-storage and huge pages in
bytes, everything else (pods, ports, extended resources) in units. A name that is missing counts as 0. Who holds
how much on which node is the ledger's affair. Source: the Kubernetes documentation; KEP-753
(sidecars), KEP-2837 (pod-level resources).
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from bireme.api import quantity
from bireme.api.kinds import core
from bireme.api.model import Quantity

Resources = Mapping[str, int]

CPU = "cpu"
MEMORY = "memory"
PODS = "pods"

_POD_LEVEL_PREFIX = "hugepages-"


def amount(name: str, of: Quantity) -> int:
    """One amount in the unit of its resource, rounded up."""
    return quantity.milli(of) if name == CPU else quantity.value(of)


def read(amounts: Mapping[str, Quantity]) -> dict[str, int]:
    """A vector from the map of quantities that the API holds."""
    return {name: amount(name, of) for name, of in amounts.items()}


def write(amounts: Resources) -> dict[str, str]:
    """The map of quantities that the API holds, from a vector; bytes stay plain numbers."""
    return {name: quantity.from_milli(of) if name == CPU else str(of) for name, of in amounts.items()}


def add(left: Resources, right: Resources) -> dict[str, int]:
    """The sum, name by name."""
    total = dict(left)
    for name, of in right.items():
        total[name] = total.get(name, 0) + of
    return total


def subtract(left: Resources, right: Resources) -> dict[str, int]:
    """What is left, name by name; it may go below 0."""
    rest = dict(left)
    for name, of in right.items():
        rest[name] = rest.get(name, 0) - of
    return rest


def maximum(left: Resources, right: Resources) -> dict[str, int]:
    """The larger amount of each name."""
    larger = dict(left)
    for name, of in right.items():
        if of > larger.get(name, 0):
            larger[name] = of
    return larger


def fits(wanted: Resources, free: Resources) -> bool:
    """Whether every wanted amount is free; a wanted 0 always fits."""
    return all(of <= 0 or of <= free.get(name, 0) for name, of in wanted.items())


def lacking(wanted: Resources, free: Resources) -> list[str]:
    """The names of which more is wanted than is free, in the order they are wanted."""
    return [name for name, of in wanted.items() if 0 < of > free.get(name, 0)]


def pod_requests(spec: core.PodSpec) -> dict[str, int]:
    """What the pod takes from its node: the larger of the app stage and each init step, plus overhead.

    The slot in the node's number of pods is not counted: whoever accounts for nodes adds `pods: 1`.
    """
    apps = (_requests(container) for container in spec.containers)
    inits = [(_requests(container), container.restart_policy == "Always") for container in spec.init_containers]
    total = _stages(apps, inits)
    if spec.resources is not None:
        total |= _pod_level(spec.resources.requests)
    return add(total, read(spec.overhead)) if spec.overhead else total


def pod_limits(spec: core.PodSpec) -> dict[str, int]:
    """What the pod may use at most; a name is there only if every stage that counts is limited in the sum."""
    apps = (_limits(container) for container in spec.containers)
    inits = [(_limits(container), container.restart_policy == "Always") for container in spec.init_containers]
    total = _stages(apps, inits)
    if spec.resources is not None:
        total |= _pod_level(spec.resources.limits)
    return {name: of + amount(name, spec.overhead.get(name, 0)) for name, of in total.items()}


def pod_qos(spec: core.PodSpec) -> str:
    """The pod's quality of service: Guaranteed, Burstable or BestEffort."""
    if spec.resources is not None and (spec.resources.requests or spec.resources.limits):
        return qos_class([(spec.resources.requests, spec.resources.limits)])
    containers = [*spec.containers, *spec.init_containers]
    return qos_class(
        [(each.resources.requests, each.resources.limits) if each.resources else ({}, {}) for each in containers]
    )


def tree_qos(spec: Mapping[str, Any]) -> str:
    """As `pod_qos`, for the tree of a spec that has passed the schema's check."""
    whole = spec.get("resources") or {}
    parts = [whole]
    if not (whole.get("requests") or whole.get("limits")):
        containers = [*(spec.get("containers") or ()), *(spec.get("initContainers") or ())]
        parts = [container.get("resources") or {} for container in containers]
    return qos_class([(part.get("requests") or {}, part.get("limits") or {}) for part in parts])


def qos_class(containers: Sequence[tuple[Mapping[str, Quantity], Mapping[str, Quantity]]]) -> str:
    """The quality of service of a pod whose containers have these (requests, limits)."""
    wanted = [_cpu_and_memory(requests) for requests, _ in containers]
    allowed = [_cpu_and_memory(limits) for _, limits in containers]
    if not any(wanted) and not any(allowed):
        return "BestEffort"
    for requests, limits in zip(wanted, allowed, strict=True):
        if len(limits) < 2 or any(of != limits[name] for name, of in requests.items()):
            return "Burstable"
    return "Guaranteed"


def _cpu_and_memory(amounts: Mapping[str, Quantity]) -> dict[str, int]:
    found = {name: quantity.nanos(amounts[name]) for name in (CPU, MEMORY) if name in amounts}
    return {name: of for name, of in found.items() if of > 0}


def _requests(container: core.Container) -> dict[str, int]:
    return read(container.resources.requests) if container.resources is not None else {}


def _limits(container: core.Container) -> dict[str, int]:
    return read(container.resources.limits) if container.resources is not None else {}


def _pod_level(amounts: Mapping[str, Quantity]) -> dict[str, int]:
    named = {name: of for name, of in amounts.items() if name in (CPU, MEMORY) or name.startswith(_POD_LEVEL_PREFIX)}
    return read(named)


def _stages(apps: Iterable[Resources], inits: Iterable[tuple[Resources, bool]]) -> dict[str, int]:
    """The largest sum at any moment: each init step runs beside the sidecars before it, the apps beside all."""
    running: dict[str, int] = {}
    for of in apps:
        running = add(running, of)
    sidecars: dict[str, int] = {}
    steps: dict[str, int] = {}
    for of, is_sidecar in inits:
        step = add(sidecars, of)
        if is_sidecar:
            sidecars = step
            running = add(running, of)
        steps = maximum(steps, step)
    return maximum(running, steps)
