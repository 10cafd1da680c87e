"""What a pod asks of a node, worked out once for all pods that ask the same.

Pods of one controller differ in names and in the token volumes that admission gave them, and in nothing that matters
for their place. The key is made of what matters; amounts, ports and images are read only for a key not seen before.
Where a pod is already is no part of what it asks: it asks the same before and after.
"""

from collections import OrderedDict
from dataclasses import dataclass

import msgspec

from bireme.api import resources
from bireme.api.kinds import core
from bireme.ledger.columns import Load
from bireme.ledger.ports import PortSet, host_ports

LIMIT = 4096


@dataclass(frozen=True, slots=True, eq=False)
class Demand:
    """What pods with this `key` ask of a node. `load` counts the pod's slot; `images` has one for each container."""

    key: bytes
    spec: core.PodSpec
    requests: resources.Resources
    load: Load
    ports: PortSet
    images: tuple[str, ...]
    has_terms: bool

    @property
    def is_best_effort(self) -> bool:
        """Neither cpu nor memory is asked for."""
        return not self.requests.get("cpu") and not self.requests.get("memory")


def demand_key(spec: core.PodSpec) -> bytes:
    """Equal for pods that ask the same of a node."""
    return _encode(
        (
            [(each.image, each.resources, each.ports) for each in spec.containers],
            [(each.image, each.resources, each.ports, each.restart_policy) for each in spec.init_containers],
            spec.node_selector,
            spec.affinity,
            spec.tolerations,
            spec.topology_spread_constraints,
            spec.overhead,
            spec.resources,
        )
    )


_encode = msgspec.msgpack.Encoder().encode


def demand_of(pod: core.Pod) -> Demand:
    """What this pod asks."""
    return _demand(demand_key(pod.spec), pod.spec)


class Demands:
    """Those in use, the least recently asked for dropped first."""

    def __init__(self, *, limit: int = LIMIT) -> None:
        self._limit = limit
        self._known: OrderedDict[bytes, Demand] = OrderedDict()
        self._last: tuple[core.PodSpec | None, Demand | None] = (None, None)

    def of(self, pod: core.Pod) -> Demand:
        """What the pod asks; the same object for pods that ask the same, as long as it is kept.

        Waiting pods of one controller come in a row and share their spec, as caches hold them.
        """
        spec, last = self._last
        if spec is pod.spec and last is not None:
            return last
        demand = self._of(pod)
        self._last = (pod.spec, demand)
        return demand

    def _of(self, pod: core.Pod) -> Demand:
        key = demand_key(pod.spec)
        demand = self._known.get(key)
        if demand is None:
            demand = self._known[key] = _demand(key, pod.spec)
            if len(self._known) > self._limit:
                self._known.popitem(last=False)
        else:
            self._known.move_to_end(key)
        return demand


def _demand(key: bytes, spec: core.PodSpec) -> Demand:
    if spec.node_name:
        spec = msgspec.structs.replace(spec, node_name="")
    requests = resources.pod_requests(spec)
    return Demand(
        key=key,
        spec=spec,
        requests=requests,
        load=Load({"pods": 1, **requests}),
        ports=host_ports(spec),
        images=tuple(_tagged(each.image) for each in (*spec.init_containers, *spec.containers)),
        has_terms=_has_terms(spec),
    )


def _tagged(image: str) -> str:
    """As nodes report it: without a tag, the latest is meant."""
    return image if image.rfind(":") > image.rfind("/") else f"{image}:latest"


def _has_terms(spec: core.PodSpec) -> bool:
    wish = spec.affinity
    return bool(spec.topology_spread_constraints) or (
        wish is not None and (wish.pod_affinity is not None or wish.pod_anti_affinity is not None)
    )
