"""What nodes say of themselves, as columns over the ledger's rows: labels, taints, cordons, images.

A label's values are numbered, so that a rule about it looks at each value once and then picks by number for all nodes
(`LabelColumn.where`). Columns of labels are made when a rule first asks for the label. `version` rises whenever
anything here or what a node has in all changes: who keeps masks compares it.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bireme.api.kinds import core
from bireme.api.resources import Resources
from bireme.ledger.ledger import Ledger

Rows = NDArray[np.intp]
Flags = NDArray[np.bool_]
Numbers = NDArray[np.floating[Any]]

NAME_FIELD = "\0metadata.name"
"""The label under which a node's own name stands, for rules about fields."""
STALE_VALUES = 1000
LABELS = 500
"""Columns that are kept; a rule that names one more has the oldest made again when it is next asked for."""


@dataclass(frozen=True, slots=True)
class NodeFacts:
    """What filters and scores read of a node. `images` maps names to sizes in bytes."""

    name: str
    labels: Mapping[str, str] = field(default_factory=dict)
    taints: tuple[core.Taint, ...] = ()
    unschedulable: bool = False
    images: Mapping[str, int] = field(default_factory=dict)


def node_facts(node: core.Node) -> NodeFacts:
    return NodeFacts(
        name=node.metadata.name,
        labels=node.metadata.labels,
        taints=tuple(node.spec.taints),
        unschedulable=bool(node.spec.unschedulable),
        images={name: image.size_bytes or 0 for image in node.status.images for name in image.names},
    )


class LabelColumn:
    """One label over all rows: `ids[row]` is the number of its value in `values`, -1 where there is none."""

    def __init__(self, key: str, capacity: int) -> None:
        self.key = key
        self.ids: Rows = np.full(capacity, -1, dtype=np.intp)
        self.values: list[str] = []
        self._numbers: dict[str, int] = {}

    def set(self, row: int, value: str | None) -> None:
        """The row has this value, or none."""
        if value is None:
            self.ids[row] = -1
            return
        number = self._numbers.setdefault(value, len(self.values))
        if number == len(self.values):
            self.values.append(value)
        self.ids[row] = number

    def number(self, value: str) -> int | None:
        """The number of a value that some row has, or had."""
        return self._numbers.get(value)

    def where(self, holds: Callable[[str | None], bool]) -> Flags:
        """The rows whose value (None: the label is missing) holds."""
        table = np.fromiter((holds(value) for value in (*self.values, None)), dtype=bool, count=len(self.values) + 1)
        return table[self.ids]  # -1 picks the last

    def equal(self, value: str) -> Flags:
        """The rows with exactly this value."""
        number = self._numbers.get(value)
        return np.zeros(len(self.ids), dtype=bool) if number is None else self.ids == number


class Nodes:
    """The facts of every node, by ledger row."""

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger
        self.facts: dict[int, NodeFacts] = {}
        self.version = 0
        self.unschedulable: Flags = np.zeros(0, dtype=bool)
        self.present: Flags = np.zeros(0, dtype=bool)
        self.taint_ids: Rows = np.zeros(0, dtype=np.intp)
        self.taint_sets: list[tuple[core.Taint, ...]] = [()]
        self.image_rows: dict[str, dict[int, int]] = defaultdict(dict)
        self._taint_numbers: dict[tuple[tuple[str, str, str], ...], int] = {(): 0}
        self._labels: dict[str, LabelColumn] = {}
        self.grow()  # pods may wait before there is any node

    @property
    def capacity(self) -> int:
        """The length of every column."""
        return self.ledger.columns.capacity

    def row(self, name: str) -> int:
        """The node's row, -1 when it is not there."""
        row = self.ledger.columns.rows.get(name, -1)
        return row if row in self.facts else -1

    def set(self, facts: NodeFacts, allocatable: Resources) -> bool:
        """Have this node, as it is now; whether anything that matters for placing changed."""
        columns = self.ledger.columns
        before = columns.position
        self.ledger.set_node(facts.name, allocatable)
        row = columns.rows[facts.name]
        if self.facts.get(row) != facts:
            self._replace(row, facts)
            columns.touch(row)
        elif columns.position != before:
            self.version += 1
        return columns.position != before

    def remove(self, name: str) -> None:
        row = self.ledger.columns.rows.get(name)
        if row is not None:
            self._replace(row, None)
            self.ledger.remove_node(name)

    def label(self, key: str) -> LabelColumn:
        """The column of a label."""
        column = self._labels.get(key)
        if column is None or len(column.values) > 2 * len(self.facts) + STALE_VALUES:
            if key not in self._labels and len(self._labels) >= LABELS:
                del self._labels[next(iter(self._labels))]
            column = self._labels[key] = LabelColumn(key, self.capacity)
            for row, facts in self.facts.items():
                column.set(row, _value(facts, key))
        return column

    def images(self) -> Counter[str]:
        """How many nodes hold each image."""
        return Counter({name: len(rows) for name, rows in self.image_rows.items()})

    def _replace(self, row: int, facts: NodeFacts | None) -> None:
        self.grow()
        old = self.facts.pop(row, None)
        self.version += 1
        for name in old.images if old else ():
            del self.image_rows[name][row]
            if not self.image_rows[name]:
                del self.image_rows[name]
        if facts is not None:
            self.facts[row] = facts
            for name, size in facts.images.items():
                self.image_rows[name][row] = size
        self.present[row] = facts is not None
        self.unschedulable[row] = facts is not None and facts.unschedulable
        self.taint_ids[row] = self._taint_set(facts.taints) if facts else 0
        for key, column in self._labels.items():
            column.set(row, _value(facts, key) if facts else None)

    def _taint_set(self, taints: tuple[core.Taint, ...]) -> int:
        key = tuple((taint.key, taint.value, taint.effect) for taint in taints)
        if len(self.taint_sets) > 2 * len(self.facts) + STALE_VALUES:
            self._number_taints_anew()
        number = self._taint_numbers.setdefault(key, len(self.taint_sets))
        if number == len(self.taint_sets):
            self.taint_sets.append(taints)
        return number

    def _number_taints_anew(self) -> None:
        """Forget sets that no node has any more."""
        self.taint_sets, self._taint_numbers = [()], {(): 0}
        for row, facts in self.facts.items():
            self.taint_ids[row] = self._taint_set(facts.taints)

    def grow(self) -> None:
        """Have as many rows as the ledger, to which others may have added some."""
        more = self.capacity - len(self.present)
        if more > 0:
            self.unschedulable = np.concatenate([self.unschedulable, np.zeros(more, dtype=bool)])
            self.present = np.concatenate([self.present, np.zeros(more, dtype=bool)])
            self.taint_ids = np.concatenate([self.taint_ids, np.zeros(more, dtype=np.intp)])
            for column in self._labels.values():
                column.ids = np.concatenate([column.ids, np.full(more, -1, dtype=np.intp)])


def _value(facts: NodeFacts, key: str) -> str | None:
    return facts.name if key == NAME_FIELD else facts.labels.get(key)
