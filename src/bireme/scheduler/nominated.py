"""Pods for which room is being made: where each will go, and what it holds there against others.

A pod that preempted others waits until they have left. Until then what it wants of its node is counted against pods
of lower or equal priority, as kube-scheduler's second look with nominated pods does. Kept as columns by priority, so
that a thousand of them cost a placement nothing to speak of.
"""

from collections.abc import Collection, Iterator

import numpy as np
from numpy.typing import NDArray

from bireme.api.kinds import core
from bireme.ledger.columns import Amounts
from bireme.scheduler.explanation import refusal_if
from bireme.scheduler.interface import Lack, Mask
from bireme.scheduler.placed import Placed
from bireme.scheduler.templates import Template
from bireme.scheduler.terms import Side
from bireme.scheduler.world import World

Rows = NDArray[np.intp]


class _Level:
    """What the nominated pods of one priority want, by row."""

    def __init__(self, shape: tuple[int, int]) -> None:
        self.amounts: Amounts = np.zeros(shape, dtype=np.int64)
        self.pods: Rows = np.zeros(shape[0], dtype=np.intp)
        self.total = 0


class Nominated:
    """See the module. A change touches the node's row, so that readers of the ledger look at it again."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._pods: dict[str, Placed] = {}
        self._by_node: dict[str, dict[str, Placed]] = {}
        self._levels: dict[int, _Level] = {}
        self._generation = -1
        self._repelling: set[str] = set()

    def __len__(self) -> int:
        return len(self._pods)

    def node_of(self, uid: str) -> str:
        """Where the pod is to go, "" when it is not nominated."""
        pod = self._pods.get(uid)
        return pod.node if pod is not None else ""

    def set(self, pod: core.Pod, node: str) -> None:
        """The pod is to go to this node; "" for nowhere any more."""
        meta = pod.metadata
        old = self._pods.get(meta.uid)
        if (old.node if old else "") == node:
            return
        self.remove(meta.uid)
        if not node:
            return
        demand, labels = self._world.demands.of(pod), self._world.label_set(meta.namespace, meta.labels)
        placed = Placed(
            uid=meta.uid,
            namespace=meta.namespace,
            name=meta.name,
            node=node,
            row=-1,
            priority=self._world.ranks.priority(pod),
            started="",
            labels=labels,
            demand=demand,
            leaving=False,
            generation=None,
            held=labels.held(demand, self._world.bond) if demand.has_terms else (),
        )
        self._pods[meta.uid] = placed
        self._by_node.setdefault(node, {})[meta.uid] = placed
        if any(held.side is Side.REPELS for held in placed.held):
            self._repelling.add(meta.uid)
        self._count(placed, 1)

    def remove(self, uid: str) -> None:
        """The pod is bound, gone, or looks elsewhere; twice is once."""
        pod = self._pods.pop(uid, None)
        if pod is None:
            return
        held = self._by_node[pod.node]
        del held[uid]
        if not held:
            del self._by_node[pod.node]
        self._repelling.discard(uid)
        self._count(pod, -1)

    def on(self, node: str, *, least: int | None = None, but: str = "") -> list[Placed]:
        """The pods that are to go to the node, of at least this priority, all but one."""
        return [
            pod
            for pod in self._by_node.get(node, {}).values()
            if pod.uid != but and (least is None or pod.priority >= least)
        ]

    def held(self, rows: Rows, *, least: int) -> Amounts | None:
        """What pods of at least this priority are to have of these rows; None for nothing."""
        total: Amounts | None = None
        for level in self._at_least(least):
            total = level.amounts[rows] if total is None else total + level.amounts[rows]
        return total

    def repels(self, *, least: int) -> bool:
        """Whether one of at least this priority wants to be apart from others."""
        return any(self._pods[uid].priority >= least for uid in self._repelling)

    def mask(self, template: Template, *, least: int, but: str) -> Mask | None:
        """The nodes that a pod may still have, as far as pods of at least this priority are to come there."""
        if not self._pods or (len(self._pods) == 1 and but in self._pods):
            return None
        levels = list(self._at_least(least))
        if not levels:
            return None
        columns = self._world.ledger.columns
        rows = np.flatnonzero(sum(level.pods for level in levels))
        refused: dict[int, str] = {}
        suspects = rows
        if amounts_decide(template) and not self.repels(least=least):
            free = columns.allocatable[rows] - columns.promised[rows] - sum(level.amounts[rows] for level in levels)
            wanted = columns.row_of(template.demand.load)
            suspects = rows[((wanted > 0) & (wanted > free)).any(axis=1)]
        for row in suspects.tolist():
            come = self.on(columns.nodes[row], least=least, but=but)
            reason = refusal_if(template, row, come=come) if come else None
            if reason is not None:
                refused[row] = reason
        if not refused:
            return None
        allowed = np.ones(columns.capacity, dtype=bool)
        allowed[list(refused)] = False
        return Mask(allowed, refused.__getitem__, Lack.AMOUNTS | Lack.PORTS | Lack.PODS, curable=True)

    def node_came(self, node: str) -> None:
        """The node is here: pods that were to go there, of which was told before, hold their room from now on."""
        for pod in self.on(node):
            if pod.row < 0:
                self._count(pod, 1)

    def forget_node(self, node: str) -> list[Placed]:
        """The node is gone. Gives the pods that were to go there."""
        pods = self.on(node)
        for pod in pods:
            self.remove(pod.uid)
        return pods

    def lower_on(self, node: str, priority: int) -> Collection[Placed]:
        """The pods of lower priority that are to go to the node."""
        return [pod for pod in self._by_node.get(node, {}).values() if pod.priority < priority]

    def _at_least(self, priority: int) -> Iterator[_Level]:
        if self._generation != self._world.ledger.columns.generation:
            self._count_anew()
        return (level for at, level in self._levels.items() if at >= priority)

    def _count_anew(self) -> None:
        self._levels.clear()
        self._generation = self._world.ledger.columns.generation
        for pod in list(self._pods.values()):
            self._count(pod, 1)

    def _count(self, pod: Placed, sign: int) -> None:
        columns = self._world.ledger.columns
        amounts = columns.row_of(pod.demand.load)
        if self._generation != columns.generation:
            self._count_anew()
            return
        if sign > 0:
            pod.row = self._world.nodes.row(pod.node)
        if pod.row < 0:
            return
        level = self._levels.get(pod.priority)
        if level is None:
            level = self._levels[pod.priority] = _Level((columns.capacity, len(columns.names)))
        level.amounts[pod.row] += sign * amounts
        level.pods[pod.row] += sign
        level.total += sign
        if not level.total:
            del self._levels[pod.priority]
        columns.touch(pod.row)


def amounts_decide(template: Template) -> bool:
    """Whether other pods matter to such a pod by the room that they take alone: no ports, terms or hard spreading."""
    if template.column.ports:
        return False
    between = template.affinity
    if between.is_alive() and (_requires(template) or between.unrepelled() is not None):
        return False
    if template.spread is None:
        return True
    template.spread.refresh()
    return template.spread.balanced() is None


def _requires(template: Template) -> bool:
    bonds = template.affinity.bonds
    return bool(bonds.together or bonds.apart)
