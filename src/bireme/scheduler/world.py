"""Nodes and the pods on them, as the scheduler counts both.

Amounts and ports stand in the ledger, which the Mesos master shares; here is who is where, and what pods say of each
other (`placed.py`): how many with which labels are on which row, and whose affinity is about whom.
"""

import weakref
from collections import Counter
from collections.abc import Collection, Mapping

import msgspec

from bireme.api import resources
from bireme.api.kinds import core
from bireme.ledger.ledger import Ledger
from bireme.scheduler.demand import Demand, Demands
from bireme.scheduler.nodes import NodeFacts, Nodes, node_facts
from bireme.scheduler.placed import Held, LabelSet, Placed, Question, count_in
from bireme.scheduler.ranks import Ranks
from bireme.scheduler.tallies import Tally
from bireme.scheduler.terms import Bond, Side

_encode = msgspec.msgpack.Encoder().encode


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
        self.ranks = Ranks()
        self.units: dict[str, dict[str, Placed]] = {}
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
        meta, spec = pod.metadata, pod.spec
        plain = spec.scheduling_group is None  # which nearly every pod is
        booked = self.ledger.book_pod(meta.uid, node, demand.load, ports=demand.ports)
        placed = Placed(
            meta.uid,
            meta.namespace,
            meta.name,
            node,
            -1,
            spec.priority or 0 if plain else self.ranks.priority(pod),
            pod.status.start_time,
            labels,
            demand,
            bool(meta.deletion_timestamp),
            meta.generation,
            labels.held(demand, self.bond) if demand.has_terms else (),
        )
        self.placed[meta.uid] = placed
        self.priorities[placed.priority] += 1
        if not plain:
            self._join(placed, self.ranks.unit(pod))
        here = self._by_node.get(node)
        if here is None:
            here = self._by_node[node] = {}
        here[meta.uid] = placed
        row = self.nodes.row(node)
        if row >= 0:
            self._count(placed, row)
            if not booked:  # by the Mesos master, before it was seen
                self.ledger.columns.touch(row)

    def rank_anew(self, pod: core.Pod) -> None:
        """The rank of the pod's group is another now."""
        placed = self.placed.get(pod.metadata.uid)
        if placed is not None:
            self._unrank(placed)
            placed.priority = self.ranks.priority(pod)
            self.priorities[placed.priority] += 1
            self._join(placed, self.ranks.unit(pod))
            if placed.row >= 0:
                self.ledger.columns.touch(placed.row)

    def _join(self, placed: Placed, unit: str) -> None:
        placed.unit = unit
        if unit:
            self.units.setdefault(unit, {})[placed.uid] = placed

    def _unrank(self, placed: Placed) -> None:
        count_in(self.priorities, placed.priority, -1)
        if placed.unit:
            members = self.units[placed.unit]
            del members[placed.uid]
            if not members:
                del self.units[placed.unit]

    def together_with(self, placed: Placed) -> Collection[Placed]:
        """The pods that are evicted if this one is, itself among them."""
        return self.units[placed.unit].values() if placed.unit else (placed,)

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
        if placed.row >= 0:
            self.ledger.columns.touch(placed.row)
        self._uncount(placed)
        del self.placed[placed.uid]
        self._unrank(placed)
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
            self.ledger.columns.touch(row)
        placed.leaving = leaving
