"""Topology spreading: no domain gets many more pods of one kind than another.

Hard constraints leave out nodes whose domain would be `maxSkew` ahead of the emptiest; soft ones score. The sums by
domain are tallies that placements keep up (`tallies.py`); what follows for nodes is worked out by groups of nodes
(`spread_groups.py`).
Source: the Kubernetes documentation, "Pod Topology Spread Constraints".
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bireme.api.kinds import core
from bireme.scheduler import filters
from bireme.scheduler.nodes import Flags, Nodes, Numbers
from bireme.scheduler.placed import LabelSet, Question
from bireme.scheduler.profile import HOSTNAME
from bireme.scheduler.scores import REFUSED
from bireme.scheduler.spread_constraints import Constraint
from bireme.scheduler.spread_groups import Axis, Groups
from bireme.scheduler.tallies import Domains, Tally
from bireme.scheduler.terms import Term
from bireme.scheduler.world import World

TOO_SKEWED = "node(s) didn't match pod topology spread constraints"
NO_LABEL = "node(s) didn't match pod topology spread constraints (missing required label)"


@dataclass(frozen=True, slots=True)
class Standing:
    """How a node's domain stands under one constraint: the pods it holds, the most it may before one more comes, and
    the emptiest domain's. `domain` is None for a node without the label."""

    constraint: Constraint
    domain: str | None
    count: int = 0
    most: int = 0
    least: int = 0

    @property
    def is_in_the_way(self) -> bool:
        """The constraint refuses the node."""
        return self.domain is None or self.count > self.most


class _Counted:
    """One constraint with the pods that it counts."""

    def __init__(self, constraint: Constraint, world: World, namespace: str) -> None:
        self.constraint, self._namespace = constraint, namespace
        question = Question((Term(constraint.selector, frozenset((namespace,))),), leaving_count=False)
        self.tally: Tally = world.tally(question)
        self.domains: Domains = self.tally.partly_by(constraint.topology_key)
        self.axis: Axis | None = None

    def counts(self, labels: LabelSet) -> bool:
        """Whether such pods count, as long as they stay."""
        return labels.namespace == self._namespace and self.constraint.selector.matches(labels.labels)

    def refresh(self, mask: Flags, nodes: Nodes) -> None:
        """Follow the nodes, of which those in the mask count."""
        self.domains.forget()
        self.domains.refresh(mask)
        counted = self.domains.slots < self.domains.size
        by_count = self.domains.size == np.count_nonzero(counted)
        if not self.constraint.hard:  # hosts are scored by what each holds, wherever else pods count
            by_count = self.constraint.topology_key == HOSTNAME
            counted = nodes.label(self.constraint.topology_key).ids >= 0
        self.axis = Axis(self.tally, self.domains, counted, by_count=by_count)

    def part(self, axis: Axis, reached: Flags, rows: NDArray[np.intp]) -> Numbers:
        """What the constraint adds to the sum of each group, of which those are reached that have feasible rows.

        The number of domains that are reached sets the weight of a pod.
        """
        size = int(np.dot(rows, reached)) if axis.by_count else axis.domains_of(reached)
        part: Numbers = axis.counts * math.log(size + 2)
        part += self.constraint.max_skew - 1
        part *= axis.here
        return part


class Spread:
    """The constraints of one kind of pod. `needs_labels`: soft ones pass over nodes that lack one of the labels."""

    def __init__(
        self,
        constraints: Sequence[Constraint],
        world: World,
        spec: core.PodSpec,
        namespace: str,
        *,
        needs_labels: bool,
    ) -> None:
        self._nodes, self._spec, self._needs_labels = world.nodes, spec, needs_labels
        self._columns = world.ledger.columns
        self._hard = [_Counted(each, world, namespace) for each in constraints if each.hard]
        self._soft = [_Counted(each, world, namespace) for each in constraints if not each.hard]
        self._counted = self._hard + self._soft
        self._version = -1
        self._capacity = -1
        self._labelled: Flags = np.zeros(0, dtype=bool)
        self._soft_labelled: Flags = np.zeros(0, dtype=bool)
        self._all_labelled = False
        self._hard_axes: list[tuple[_Counted, Axis]] = []
        self._soft_axes: list[tuple[_Counted, Axis]] = []
        self._groups = Groups((), None, self._columns)

    @property
    def scores(self) -> bool:
        """Whether there is a soft constraint."""
        return bool(self._soft)

    @property
    def hard(self) -> tuple[Constraint, ...]:
        """The hard constraints."""
        return tuple(each.constraint for each in self._hard)

    @property
    def constrains(self) -> bool:
        """Whether there is a hard constraint."""
        return bool(self._hard)

    def refresh(self) -> None:
        """Follow the nodes."""
        nodes = self._nodes
        same = self._version == nodes.version and self._capacity == nodes.capacity
        if same and all(counted.domains.is_known for counted in self._counted):
            return
        self._version, self._capacity = nodes.version, nodes.capacity
        chosen = filters.named(self._spec, nodes) & filters.chosen(self._spec, nodes)
        untainted = filters.untainted(self._spec, nodes) & filters.uncordoned(self._spec, nodes)
        self._labelled = _labelled(self._hard, nodes)
        self._soft_labelled = _labelled(self._soft, nodes)
        self._all_labelled = bool((self._soft_labelled | ~nodes.present).all())
        for group, labelled in ((self._hard, self._labelled), (self._soft, self._soft_labelled)):
            needed = labelled if group is self._hard or self._needs_labels else nodes.present
            for counted in group:
                mask = needed
                if counted.constraint.honours_affinity:
                    mask = mask & chosen
                if counted.constraint.honours_taints:
                    mask = mask & untainted
                counted.refresh(mask, nodes)
        self._hard_axes = [(counted, counted.axis) for counted in self._hard if counted.axis]
        self._soft_axes = [(counted, counted.axis) for counted in self._soft if counted.axis]
        marked = self._soft_labelled if self._needs_labels and not self._all_labelled else None
        self._groups = Groups([axis for _, axis in self._hard_axes + self._soft_axes], marked, self._columns)

    def labelled(self) -> Flags:
        """Nodes with the labels of every hard constraint."""
        return self._labelled

    def balanced(self) -> Flags | None:
        """Nodes that one more pod would not put too far ahead; None when there is no hard constraint."""
        rows: Flags | None = None
        for counted in self._hard:
            fine = counted.domains.counts <= self._most(counted, counted.domains.least())
            fine[-1] = False
            each = fine[counted.domains.slots]
            rows = each if rows is None else rows & each
        return rows

    def standings(self, row: int) -> list[Standing]:
        """How the row stands under each hard constraint, in their order."""
        found = []
        for counted in self._hard:
            domains, column = counted.domains, self._nodes.label(counted.constraint.topology_key)
            slot, number = int(domains.slots[row]), int(column.ids[row])
            if slot == domains.size or number < 0:
                found.append(Standing(counted.constraint, column.values[number] if number >= 0 else None, 1))
                continue
            least = domains.least()
            most = self._most(counted, least)
            count = int(domains.counts[slot])
            found.append(Standing(counted.constraint, column.values[number], count, most, least))
        return found

    def _most(self, counted: _Counted, least: int) -> int:
        """How many pods a domain may hold before this one comes."""
        constraint = counted.constraint
        if counted.domains.size < constraint.min_domains:
            least = 0
        return constraint.max_skew + least - constraint.self_matches

    def balanced_if(self, row: int, changed: Sequence[tuple[LabelSet, bool, int]]) -> bool:
        """As `balanced` for one row, if the counts of these (labels, leaving) on that row were changed so much."""
        for counted in self._hard:
            domains, slot = counted.domains, int(counted.domains.slots[row])
            if slot == domains.size:
                return False
            counts = domains.counts[:-1].copy()
            for labels, leaving, count in changed:
                if not leaving and counted.counts(labels):
                    counts[slot] += count
            if counts[slot] > self._most(counted, int(counts.min())):
                return False
        return True

    def total(self, score: Numbers, weight: int) -> Numbers:
        """The scores, with -inf where a hard constraint refuses and the soft ones' from 0 to 100 times the weight."""
        groups = self._groups
        groups.follow(score)
        fine = None
        for counted, axis in self._hard_axes:
            each = axis.counts <= self._most(counted, counted.domains.least())
            each &= axis.here
            fine = each if fine is None else fine & each
        reached = groups.open > 0
        points = self._points(reached if fine is None else reached & fine, groups.open)
        if points is None:
            points = np.zeros(len(reached))
        points *= weight
        if fine is not None:
            np.copyto(points, REFUSED, where=~fine)
        found = points.take(groups.index)
        found += score
        return found

    def score(self, feasible: Flags, score: Numbers) -> Numbers | None:
        """From 0 to 100 for the feasible rows, most where fewest are; None when all of them score the same."""
        groups = self._groups
        groups.follow(score)
        rows = np.bincount(groups.index[feasible], minlength=len(groups.open))
        points = self._points(rows > 0, rows)
        return None if points is None else points.take(groups.index)

    def _points(self, reached: Flags, rows: NDArray[np.intp]) -> Numbers | None:
        """The points of each group, of which those are reached that have feasible rows, so many."""
        whole, marked = not self._needs_labels or self._all_labelled, self._groups.marked
        if not self._soft or (self._all_labelled and not any(counted.tally.total for counted in self._soft)):
            return None
        compared = reached if whole else reached & marked
        first, *others = [counted.part(axis, compared, rows) for counted, axis in self._soft_axes]
        total: Numbers = first
        total += 0.5
        for part in others:
            total += part
        np.floor(total, out=total)
        points = _most_for_fewest(total, compared)
        if points is not None and not whole:
            points *= marked
        return points


def _most_for_fewest(total: Numbers, counted: Flags) -> Numbers | None:
    """The sums turned into points, in place; those that count are compared. None when none does."""
    among = total[counted]
    if not len(among):
        return None
    most, least = float(np.maximum.reduce(among)), float(np.minimum.reduce(among))
    if most == 0:
        total[:] = 100.0
        return total
    np.subtract(most + least, total, out=total)
    total *= 100.0
    total /= most
    return np.floor(total, out=total)


def _labelled(group: Sequence[_Counted], nodes: Nodes) -> Flags:
    rows = nodes.present.copy()
    for counted in group:
        rows &= nodes.label(counted.constraint.topology_key).ids >= 0
    return rows
