"""Nodes and the pods on them, as the scheduler counts both.

Amounts and ports stand in the ledger, which the Mesos master shares; here is what pods say of each other: how many
with which labels are on which row, and whose affinity is about whom. Pods with equal namespace and labels share a
`LabelSet`; a question about labels is asked of each set once and not of each pod.
"""

import weakref
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass

import msgspec

from bireme.api import resources
from bireme.api.kinds import core
from bireme.ledger.ledger import Ledger
from bireme.scheduler.demand import Demand, Demands
from bireme.scheduler.nodes import NodeFacts, Nodes, node_facts
from bireme.scheduler.tallies import Tally
from bireme.scheduler.terms import Bond, Side, Term, bonds_of

HELD = 100
"""Demands of pods with equal labels whose bonds are kept at hand."""

_encode = msgspec.msgpack.Encoder().encode


@dataclass(frozen=True, slots=True)
class Question:
    """Pods that all the terms mean. Those that are being deleted count or not."""

    terms: tuple[Term, ...]
    leaving_count: bool = True


class LabelSet:
    """The pods with one namespace and equal labels: how many are on which row, and how many of them are leaving.

    It tells the tallies that count such pods of each that comes or goes, as long as somebody keeps them.
    """

    __slots__ = ("__weakref__", "_held", "_of_all", "_of_staying", "labels", "leaving", "namespace", "rows")

    def __init__(self, namespace: str, labels: Mapping[str, str]) -> None:
        self.namespace, self.labels = namespace, labels
        self.rows: Counter[int] = Counter()
        self.leaving: Counter[int] = Counter()
        self._of_all: list[weakref.ref[Tally]] = []
        self._of_staying: list[weakref.ref[Tally]] = []
        self._held: dict[bytes, tuple[Held, ...]] = {}

    def held(self, demand: Demand, world: "World") -> "tuple[Held, ...]":
        """The bonds of a placed pod with these labels and this demand."""
        held = self._held.get(demand.key)
        if held is None:
            bonds = bonds_of(demand.spec, self.namespace, self.labels)
            held = tuple(world.bond(side, bond) for side, bond in bonds.sides())
            if len(self._held) >= HELD:
                self._held.clear()
            self._held[demand.key] = held
        return held

    def tell(self, tallies: Iterable[tuple[Question, Tally]]) -> None:
        """These tallies, and no others, count such pods from now on."""
        self._of_all, self._of_staying = [], []
        for question, tally in tallies:
            self.tell_also(question, tally)

    def tell_also(self, question: Question, tally: Tally) -> None:
        """This tally counts such pods too."""
        told = self._of_all if question.leaving_count else self._of_staying
        told[:] = [reference for reference in told if reference() is not None]
        told.append(weakref.ref(tally))

    def counts(self, question: Question) -> Iterator[tuple[int, int]]:
        """Rows, and how many of these pods count on each."""
        for row, count in self.rows.items():
            counted = count if question.leaving_count else count - self.leaving[row]
            if counted:
                yield row, counted

    def add(self, row: int, count: int, *, leaving: bool) -> None:
        """So many more pods on the row."""
        _count(self.rows, row, count)
        if leaving:
            _count(self.leaving, row, count)
        for references in (self._of_all,) if leaving else (self._of_all, self._of_staying):
            for reference in references:
                tally = reference()
                if tally is not None:
                    tally.add(row, count)


def _count(counter: Counter[int], row: int, count: int) -> None:
    counter[row] += count
    if not counter[row]:
        del counter[row]


@dataclass(slots=True, eq=False)
class Placed:
    """A pod on a node. `row` is -1 while the node is not here."""

    uid: str
    namespace: str
    name: str
    node: str
    row: int
    priority: int
    started: str
    labels: LabelSet
    demand: Demand
    leaving: bool
    generation: int | None
    held: "tuple[Held, ...]" = ()


@dataclass(slots=True, eq=False, weakref_slot=True)
class Held:
    """The placed pods with one bond, counted: what the bond does to newcomers that it is about."""

    side: Side
    bond: Bond
    tally: Tally
    pods: int = 0


class World:
    """See the module. `namespaces` has the labels of each namespace."""

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger
        self.nodes = Nodes(ledger)
        self.demands = Demands()
        self.namespaces: dict[str, Mapping[str, str]] = {}
        self.namespaces_version = 0
        self.placed: dict[str, Placed] = {}
        self.priorities: Counter[int] = Counter()
        self.held: dict[Held, None] = {}
        self.held_version = 0
        self._bonds: weakref.WeakValueDictionary[tuple[Side, Bond], Held] = weakref.WeakValueDictionary()
        self._by_node: dict[str, dict[str, Placed]] = {}
        self._label_sets: weakref.WeakValueDictionary[tuple[str, bytes], LabelSet] = weakref.WeakValueDictionary()
        self._tallies: weakref.WeakValueDictionary[Question, Tally] = weakref.WeakValueDictionary()

    def set_node(self, node: core.Node) -> bool:
        """Have this node, as it is now; whether anything that matters for placing changed."""
        return self.set_facts(node_facts(node), resources.read(node.status.allocatable))

    def set_facts(self, facts: NodeFacts, allocatable: resources.Resources) -> bool:
        """As `set_node`, from what was read of it."""
        changed = self.nodes.set(facts, allocatable)
        row = self.nodes.row(facts.name)
        for placed in self._by_node.get(facts.name, {}).values():
            if placed.row != row:
                self._count(placed, row)
        return changed

    def remove_node(self, name: str) -> None:
        """The node left. Its pods are counted again should it come back."""
        for placed in self._by_node.get(name, {}).values():
            self._uncount(placed)
        self.nodes.remove(name)

    def set_namespace(self, name: str, labels: Mapping[str, str] | None) -> None:
        """A namespace has these labels, or is gone. Terms that pick namespaces by labels are asked again."""
        if self.namespaces.get(name) == labels:
            return
        if labels is None:
            self.namespaces.pop(name, None)
        else:
            self.namespaces[name] = labels
        self.namespaces_version += 1
        questions = list(self._tallies.items())
        if any(not term.of_namespaces.nothing for question, _ in questions for term in question.terms):
            for label_set in list(self._label_sets.values()):
                label_set.tell(self._tallies_of(label_set))
            for question, tally in questions:
                self._recount(question, tally)

    def place(self, pod: core.Pod, node: str) -> None:
        """The pod is on the node, or will be; again: as it is now."""
        meta = pod.metadata
        old = self.placed.get(meta.uid)
        leaving = bool(meta.deletion_timestamp)
        if old is not None:
            same = old.node == node and old.generation == meta.generation and meta.generation is not None
            if same and old.labels.labels == meta.labels:
                old.started = pod.status.start_time or old.started
                if old.leaving != leaving:
                    self._set_leaving(old, leaving=leaving)
                return
            self._forget(old)
        self.assume(pod, node, self.demands.of(pod), self.label_set(meta.namespace, meta.labels))

    def assume(self, pod: core.Pod, node: str, demand: Demand, labels: LabelSet) -> None:
        """As `place`, for a pod that is nowhere yet and of which is known what it asks and with whom it counts."""
        meta = pod.metadata
        self.ledger.book_pod(meta.uid, node, demand.load, ports=demand.ports)
        placed = Placed(
            meta.uid,
            meta.namespace,
            meta.name,
            node,
            -1,
            pod.spec.priority or 0,
            pod.status.start_time,
            labels,
            demand,
            bool(meta.deletion_timestamp),
            meta.generation,
            labels.held(demand, self) if demand.has_terms else (),
        )
        self.placed[meta.uid] = placed
        self.priorities[placed.priority] += 1
        here = self._by_node.get(node)
        if here is None:
            here = self._by_node[node] = {}
        here[meta.uid] = placed
        row = self.nodes.row(node)
        if row >= 0:
            self._count(placed, row)

    def displace(self, uid: str) -> None:
        """The pod is not there any more; twice is once."""
        placed = self.placed.get(uid)
        if placed is not None:
            self._forget(placed)
        self.ledger.release_pod(uid)

    def on_row(self, row: int) -> Collection[Placed]:
        """The pods on a row."""
        return self._by_node.get(self.ledger.columns.nodes[row], {}).values()

    def label_set(self, namespace: str, labels: Mapping[str, str]) -> LabelSet:
        """The set of the pods with these labels, which tallies count."""
        key = (namespace, _encode(labels))
        known = self._label_sets.get(key)
        if known is None:
            known = self._label_sets[key] = LabelSet(namespace, labels)
            known.tell(
                (question, tally) for question, tally in self._tallies.items() if self._is_about(question, known)
            )
        return known

    def tally(self, question: Question) -> Tally:
        """The count of the pods that the question is about, as long as somebody keeps it."""
        tally = self._tallies.get(question)
        if tally is None:
            tally = self._tallies[question] = Tally(self.nodes)
            for labels in list(self._label_sets.values()):
                if self._is_about(question, labels):
                    labels.tell_also(question, tally)
            self._recount(question, tally)
        return tally

    def bond(self, side: Side, bond: Bond) -> Held:
        """The count of the placed pods with this bond."""
        held = self._bonds.get((side, bond))
        if held is None:
            held = self._bonds[side, bond] = Held(side, bond, Tally(self.nodes))
        return held

    def holders(self, labels: LabelSet) -> list[Held]:
        """The bonds of placed pods that are about pods with these labels."""
        return [
            held for held in self.held if held.bond.term.matches(labels.namespace, labels.labels, self.namespaces)
        ]

    def _tallies_of(self, labels: LabelSet) -> list[tuple[Question, Tally]]:
        return [(question, tally) for question, tally in self._tallies.items() if self._is_about(question, labels)]

    def _is_about(self, question: Question, labels: LabelSet) -> bool:
        return all(term.matches(labels.namespace, labels.labels, self.namespaces) for term in question.terms)

    def _recount(self, question: Question, tally: Tally) -> None:
        rows = Tally(self.nodes).rows
        for labels in list(self._label_sets.values()):
            if self._is_about(question, labels):
                for row, count in labels.counts(question):
                    rows[row] += count
        tally.set(rows)

    def _forget(self, placed: Placed) -> None:
        self._uncount(placed)
        del self.placed[placed.uid]
        _count(self.priorities, placed.priority, -1)
        held = self._by_node[placed.node]
        del held[placed.uid]
        if not held:
            del self._by_node[placed.node]

    def _count(self, placed: Placed, row: int) -> None:
        if placed.row >= 0:
            self._uncount(placed)
        placed.row = row
        placed.labels.add(row, 1, leaving=placed.leaving)
        for held in placed.held:
            if not held.pods:
                self.held[held] = None
                self.held_version += 1
            held.pods += 1
            held.tally.add(row, 1)

    def _uncount(self, placed: Placed) -> None:
        row, placed.row = placed.row, -1
        if row < 0:
            return
        placed.labels.add(row, -1, leaving=placed.leaving)
        for held in placed.held:
            held.pods -= 1
            held.tally.add(row, -1)
            if not held.pods:
                del self.held[held]
                self.held_version += 1

    def _set_leaving(self, placed: Placed, *, leaving: bool) -> None:
        row = placed.row
        if row >= 0:
            placed.labels.add(row, -1, leaving=placed.leaving)
            placed.labels.add(row, 1, leaving=leaving)
        placed.leaving = leaving
