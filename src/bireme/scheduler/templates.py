"""One column of scores over all nodes for each pod template, kept up with what placements change.

Pods of one template want the same of every node, so their scores are worked out once. A placement changes one
node; the ledger logs it, and each template looks again only at the rows that changed since it last did. Every
node is scored, none sampled, and the choice is that of exact one-by-one scoring: ADR 0012 has the figures.

Exact for what depends on one node. Terms over all nodes (the normalised preferences) are renewed when a node
itself changes.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import msgspec
import numpy as np
from numpy.typing import NDArray

from bireme.api.kinds import core
from bireme.api.resources import Resources, pod_requests
from bireme.ledger.columns import DEFAULT_BYTES, DEFAULT_MILLICORES
from bireme.ledger.ledger import Ledger
from bireme.ledger.ports import PortSet
from bireme.scheduler import scores
from bireme.scheduler.filters import NodeFacts, refusal, wishes_nothing

NO_PORTS = "node(s) didn't have free ports for the requested pod ports"
TOO_MANY_PODS = "Too many pods"
Rows = NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class Demand:
    """What a pod asks of a node. Pods with equal `key` share a template."""

    key: bytes
    spec: core.PodSpec
    requests: Resources
    ports: PortSet


class _Wishes(msgspec.Struct):
    selector: dict[str, str]
    affinity: core.Affinity | None
    tolerations: list[core.Toleration]
    node_name: str
    images: list[str]
    requests: list[tuple[str, int]]
    ports: list[tuple[str, int]]


def host_ports(spec: core.PodSpec) -> PortSet:
    """The (protocol, port) pairs that the pod takes on its node."""
    return PortSet.of(
        (port.protocol or "TCP", port.host_port)
        for container in (*spec.containers, *spec.init_containers)
        for port in container.ports
        if port.host_port
    )


def demand_of(pod: core.Pod) -> Demand:
    spec = pod.spec
    requests = pod_requests(spec)
    ports = host_ports(spec)
    images = [container.image for container in (*spec.init_containers, *spec.containers)]
    wishes = _Wishes(
        spec.node_selector,
        spec.affinity,
        spec.tolerations,
        spec.node_name,
        images,
        sorted(requests.items()),
        list(ports),
    )
    return Demand(msgspec.msgpack.encode(wishes), spec, requests, ports)


class Nodes:
    """The facts of every node, by ledger row, with a version for each row."""

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger
        self.facts: dict[int, NodeFacts] = {}
        self.versions = np.zeros(0, dtype=np.int64)
        self.plain = np.zeros(0, dtype=bool)
        self.image_holders: Counter[str] = Counter()
        self._version = 0

    def set(self, facts: NodeFacts, allocatable: Resources) -> bool:
        """Have this node, as it is now; whether anything that matters for placing changed."""
        columns = self.ledger.columns
        before = columns.position
        self.ledger.set_node(facts.name, allocatable)
        row = columns.rows[facts.name]
        old = self.facts.get(row)
        if old != facts:
            self._replace(row, facts)
            columns.touch(row)
        return columns.position != before

    def remove(self, name: str) -> None:
        row = self.ledger.columns.rows.get(name)
        if row is not None:
            self._replace(row, None)
            self.ledger.remove_node(name)

    def _replace(self, row: int, facts: NodeFacts | None) -> None:
        if (short := self.ledger.columns.capacity - len(self.versions)) > 0:
            self.versions = np.concatenate([self.versions, np.zeros(short, dtype=np.int64)])
            self.plain = np.concatenate([self.plain, np.zeros(short, dtype=bool)])
        old = self.facts.pop(row, None)
        if old is not None:
            self.image_holders.subtract(old.images.keys())
        if facts is not None:
            self.facts[row] = facts
            self.image_holders.update(facts.images.keys())
        self._version += 1
        self.versions[row] = self._version
        self.plain[row] = facts is not None and facts.is_plain


class Template:
    """The scores of one kind of pod. A score of -inf is a refusal."""

    def __init__(self, demand: Demand, nodes: Nodes) -> None:
        self.demand = demand
        self._nodes = nodes
        self._columns = nodes.ledger.columns
        self._position = -1
        self._generation = -1
        self._easy = wishes_nothing(demand.spec)
        self._allot()

    def best(self) -> int | None:
        """The row of the best node, the lowest of equals; None when no node will do."""
        self.refresh()
        row = int(self.score.argmax()) if len(self.score) else -1
        return row if row >= 0 and self.score[row] > -np.inf else None

    def refresh(self) -> None:
        """Bring the column up to date with the ledger and the nodes."""
        columns = self._columns
        if self._generation != columns.generation:
            self._allot()
        if self._position == columns.position:
            return
        changed = columns.changed_since(self._position) if self._position >= 0 else None
        everything = changed is None or len(changed) * 4 > len(self.score)
        rows = (
            np.flatnonzero(columns.live | (self.score > -np.inf)) if everything else np.array(changed, dtype=np.intp)
        )
        self._position = columns.position
        if self._look_at_nodes(rows):
            rows = np.flatnonzero(columns.live | (self.score > -np.inf))
        self._weigh(rows)

    def reasons(self) -> Counter[str]:
        """Why each node refuses the pod: a count by reason. A node may lack several resources."""
        self.refresh()
        columns = self._columns
        found: Counter[str] = Counter()
        for _, row in columns.live_rows():
            found.update(self.reasons_of(row))
        return found

    def reasons_of(self, row: int) -> Sequence[str]:
        """Why this node refuses the pod; empty when it would take it."""
        columns = self._columns
        facts = self._nodes.facts.get(row)
        reason = refusal(self.demand.spec, facts) if facts else "node(s) are not known yet"
        if reason:
            return [reason]
        if self._port_clash(row):
            return [NO_PORTS]
        free = columns.free(row)
        short = [name for name, amount in self.demand.requests.items() if 0 < amount > free.get(name, 0)]
        crowded = [TOO_MANY_PODS] if free["pods"] < 1 else []
        return crowded + [f"Insufficient {name}" for name in short]

    def is_allowed(self, node: str) -> bool:
        """Whether the node, as it is, takes such pods at all, room or no room."""
        facts = self._nodes.facts.get(self._columns.rows[node])
        return facts is not None and refusal(self.demand.spec, facts) is None

    def _allot(self) -> None:
        capacity = self._columns.capacity
        self.score = np.full(capacity, -np.inf)
        self._seen = np.full(capacity, -1, dtype=np.int64)
        self._allowed = np.zeros(capacity, dtype=bool)
        self._affinity = np.zeros(capacity)
        self._avoided = np.zeros(capacity)
        self._images = np.zeros(capacity)
        self._static = np.zeros(capacity)
        self._wanted = self._columns.vector({**self.demand.requests, "pods": 1})
        self._generation = self._columns.generation
        self._position = -1

    def _look_at_nodes(self, rows: Rows) -> bool:
        """Renew what depends on the nodes themselves, for rows whose node changed; whether any did."""
        nodes = self._nodes
        stale = rows[self._seen[rows] != nodes.versions[rows]] if len(nodes.versions) else rows[:0]
        if not len(stale):
            return False
        self._seen[stale] = nodes.versions[stale]
        simple = nodes.plain[stale] if self._easy else np.zeros(len(stale), dtype=bool)
        self._allowed[stale] = simple
        self._affinity[stale] = self._avoided[stale] = self._images[stale] = 0.0
        spec, count = self.demand.spec, len(nodes.facts)
        for row in stale[~simple].tolist():
            facts = nodes.facts.get(row)
            self._allowed[row] = facts is not None and refusal(spec, facts) is None
            if facts is not None:
                self._affinity[row] = scores.affinity_weight(spec, facts)
                self._avoided[row] = scores.avoided_taints(spec, facts)
        for row in stale[self._allowed[stale]].tolist():
            facts = nodes.facts[row]
            if facts.images:
                self._images[row] = scores.image_locality(spec, facts, holders=nodes.image_holders, nodes=count)
        self._static = scores.node_score(self._affinity, self._avoided, self._images, chosen=self._allowed)
        return True

    def _weigh(self, rows: Rows) -> None:
        """Renew feasibility and score of these rows."""
        columns = self._columns
        allocatable, promised = columns.allocatable[rows], columns.promised[rows]
        wanted = self._wanted
        fits = ((wanted <= 0) | (wanted <= allocatable - promised)).all(axis=1)
        fits &= self._allowed[rows] & columns.live[rows]
        if self.demand.ports:
            fits &= np.array([not self._port_clash(row) for row in rows.tolist()], dtype=bool)
        capacity = allocatable[:, :2].astype(np.float64)
        requests = self.demand.requests
        default = np.array([requests.get("cpu") or DEFAULT_MILLICORES, requests.get("memory") or DEFAULT_BYTES])
        total = scores.WEIGHTS["fit"] * scores.least_allocated(columns.scored[rows] + default, capacity)
        if requests.get("cpu") or requests.get("memory"):
            taken = (promised[:, :2] + wanted[:2]).astype(np.float64)
            total = total + scores.WEIGHTS["balance"] * scores.balanced(taken, capacity)
        self.score[rows] = np.where(fits, total + self._static[rows], -np.inf)

    def _port_clash(self, row: int) -> bool:
        return self.demand.ports.overlaps(self._nodes.ledger.ports(self._columns.nodes[row]))


class Templates:
    """The templates in use, the least recently asked for dropped first."""

    def __init__(self, nodes: Nodes, *, limit: int = 1000) -> None:
        self._nodes = nodes
        self._limit = limit
        self._templates: dict[bytes, Template] = {}

    def of(self, demand: Demand) -> Template:
        template = self._templates.pop(demand.key, None) or Template(demand, self._nodes)
        self._templates[demand.key] = template
        if len(self._templates) > self._limit:
            del self._templates[next(iter(self._templates))]
        return template


def message(total: int, reasons: Iterable[tuple[str, int]]) -> str:
    """`0/3 nodes are available: 1 Insufficient cpu, 2 node(s) were unschedulable.`"""
    if not total:
        return "no nodes available to schedule pods"
    parts = sorted(f"{count} {reason}" for reason, count in reasons)
    return f"0/{total} nodes are available: {', '.join(parts)}."
