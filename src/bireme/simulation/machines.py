"""The nodes of a scenario: their names, racks and zones, and who is meant by a target."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import TYPE_CHECKING

from bireme.api import resources
from bireme.api.kinds import core, meta
from bireme.scheduler.profile import HOSTNAME, ZONE
from bireme.simulation.scenario import NodePool, Scenario, Target

if TYPE_CHECKING:
    from bireme.simulation.pod import SimPod

RACK = "bireme.dev/rack"
UNREACHABLE = core.Taint(key="node.kubernetes.io/unreachable", effect="NoExecute")


@dataclass(slots=True)
class Machine:
    """One node. `outage` counts the times it went down, so that what belongs to an earlier one is known.

    `back` is when its power is, while it is down.
    """

    name: str
    pool: NodePool
    rack: str
    zone: str
    allocatable: dict[str, int]
    taints: tuple[core.Taint, ...]
    alive: bool = True
    lost: bool = False
    cordoned: bool = False
    outage: int = 0
    back: float = 0.0
    pods: dict[str, "SimPod"] = field(default_factory=dict)

    def labels(self) -> dict[str, str]:
        """As the Node has them."""
        places = {RACK: self.rack, ZONE: self.zone}
        own = {name: word for name, word in places.items() if word}
        return {HOSTNAME: self.name, **own, "bireme.dev/pool": self.pool.pool, **self.pool.labels}

    def node(self) -> core.Node:
        """As the API would show it now."""
        taints = [*self.taints, UNREACHABLE] if self.lost else list(self.taints)
        status = core.NodeStatus(allocatable=dict(resources.write(self.allocatable)))
        return core.Node(
            metadata=meta.ObjectMeta(name=self.name, labels=self.labels()),
            spec=core.NodeSpec(taints=taints, unschedulable=self.cordoned or None),
            status=status,
        )


def machines_of(scenario: Scenario) -> dict[str, Machine]:
    """All machines by name, in their order."""
    return {machine.name: machine for pool in scenario.nodes for machine in _of_pool(pool)}


def _of_pool(pool: NodePool) -> Iterator[Machine]:
    capacity = {"cpu": pool.cpu, "memory": pool.memory, "pods": str(pool.pods), **pool.extended}
    allocatable = resources.read(capacity)
    taints = tuple(core.Taint(key=each.key, value=each.value, effect=each.effect) for each in pool.taints)
    for number in range(pool.count):
        rack = number * pool.racks // pool.count if pool.racks else None
        zone = pool.zones[(number if rack is None else rack) % len(pool.zones)] if pool.zones else ""
        name = "" if rack is None else f"{pool.pool}-rack-{rack}"
        yield Machine(f"{pool.pool}-{number}", pool, name, zone, dict(allocatable), taints)


def chosen(target: Target, machines: dict[str, Machine], random: Random) -> Sequence[Machine]:
    """The machines that are meant. Raises ValueError when there are none."""
    if target.random:
        found = random.sample(list(machines.values()), min(target.random, len(machines)))
    else:
        found = [machine for machine in machines.values() if _is_meant(machine, target)]
    if not found:
        raise ValueError(f"no node is meant by {_words(target)}")
    return found


def _is_meant(machine: Machine, target: Target) -> bool:
    return (
        machine.name in target.nodes
        or (bool(target.rack) and machine.rack == target.rack)
        or (bool(target.zone) and machine.zone == target.zone)
        or (bool(target.pool) and machine.pool.pool == target.pool)
    )


def _words(target: Target) -> str:
    told = {"nodes": ", ".join(target.nodes), "rack": target.rack, "zone": target.zone, "pool": target.pool}
    return next((f"{name} {word}" for name, word in told.items() if word), "random")
