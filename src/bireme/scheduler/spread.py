"""Topology spreading: no domain gets many more pods of one kind than another.

Hard constraints leave out nodes whose domain would be `maxSkew` ahead of the emptiest; soft ones score. The sums by
domain are tallies that placements keep up (`tallies.py`), so a look costs a few passes over columns of numbers.
Source: the Kubernetes documentation, "Pod Topology Spread Constraints".
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bireme.api.kinds import core
from bireme.api.selectors import LabelSelector
from bireme.scheduler import filters
from bireme.scheduler.nodes import Flags, Nodes, Numbers, Rows
from bireme.scheduler.placed import LabelSet, Question
from bireme.scheduler.profile import HOSTNAME, Profile
from bireme.scheduler.tallies import Domains, Tally
from bireme.scheduler.terms import Term, selector_of, with_own_labels
from bireme.scheduler.world import World

TOO_SKEWED = "node(s) didn't match pod topology spread constraints"
NO_LABEL = "node(s) didn't match pod topology spread constraints (missing required label)"


@dataclass(frozen=True, slots=True)
class Standing:
    """How a node's domain stands under one constraint: the pods it holds, the most it may before one more comes, and
    the emptiest domain's. `domain` is None for a node without the label."""

    constraint: "Constraint"
    domain: str | None
    count: int = 0
    most: int = 0
    least: int = 0

    @property
    def is_in_the_way(self) -> bool:
        """The constraint refuses the node."""
        return self.domain is None or self.count > self.most


@dataclass(frozen=True, slots=True)
class Constraint:
    """One constraint, read. `self_matches`: the pod itself will count."""

    topology_key: str
    max_skew: int
    hard: bool
    selector: LabelSelector
    self_matches: bool
    min_domains: int = 1
    honours_affinity: bool = True
    honours_taints: bool = False


def constraints_of(
    spec: core.PodSpec, labels: LabelSet, profile: Profile, default_selector: LabelSelector | None
) -> tuple[Constraint, ...]:
    """What the pod states, or else what the profile gives to pods that `default_selector` picks."""
    if spec.topology_spread_constraints:
        return tuple(_stated(each, labels) for each in spec.topology_spread_constraints)
    if default_selector is None or default_selector.nothing or default_selector.everything:
        return ()
    matches = default_selector.matches(labels.labels)
    return tuple(
        Constraint(each.topology_key, each.max_skew, hard=False, selector=default_selector, self_matches=matches)
        for each in profile.spreading
    )


def _stated(each: core.TopologySpreadConstraint, labels: LabelSet) -> Constraint:
    selector = with_own_labels(selector_of(each.label_selector), labels.labels, same=each.match_label_keys)
    return Constraint(
        topology_key=each.topology_key,
        max_skew=each.max_skew or 1,
        hard=each.when_unsatisfiable != "ScheduleAnyway",
        selector=selector,
        self_matches=selector.matches(labels.labels),
        min_domains=each.min_domains or 1,
        honours_affinity=each.node_affinity_policy != "Ignore",
        honours_taints=each.node_taints_policy == "Honor",
    )


class _Counted:
    """One constraint with the pods that it counts."""

    def __init__(self, constraint: Constraint, world: World, namespace: str) -> None:
        self.constraint, self._namespace = constraint, namespace
        question = Question((Term(constraint.selector, frozenset((namespace,))),), leaving_count=False)
        self.tally: Tally = world.tally(question)
        self.domains: Domains = self.tally.partly_by(constraint.topology_key)
        self.unlabelled: Flags | None = None

    def counts(self, labels: LabelSet) -> bool:
        """Whether such pods count, as long as they stay."""
        return labels.namespace == self._namespace and self.constraint.selector.matches(labels.labels)

    def refresh(self, mask: Flags, nodes: Nodes) -> None:
        """Follow the nodes, of which those in the mask count."""
        self.domains.forget()
        self.domains.refresh(mask)
        unlabelled = nodes.label(self.constraint.topology_key).ids < 0
        self.unlabelled = unlabelled if (unlabelled & nodes.present).any() else None

    def steps(self, feasible: Flags) -> tuple[Rows, Numbers, Flags]:
        """What the constraint adds to each row's sum, as each row's place in a short table; and the places reached.

        The number of domains of feasible rows sets the weight of a pod.
        """
        constraint, domains = self.constraint, self.domains
        if constraint.topology_key == HOSTNAME:
            places, counts = self.tally.rows, np.arange(int(self.tally.rows.max(initial=0)) + 1)
        else:
            places, counts = domains.slots, domains.counts
        reached = np.zeros(len(counts), dtype=bool)
        reached[places[feasible]] = True
        size = np.count_nonzero(feasible if constraint.topology_key == HOSTNAME else reached[:-1])
        table: Numbers = counts * math.log(int(size) + 2)
        table += constraint.max_skew - 1
        if constraint.topology_key != HOSTNAME:
            table[-1] = 0.0
        return places, table, reached

    def parts(self, feasible: Flags) -> Numbers:
        """What the constraint adds to each row's sum, by row."""
        places, table, _ = self.steps(feasible)
        parts = table.take(places)
        if self.unlabelled is not None:
            parts[self.unlabelled] = 0.0
        return parts


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
        self._hard = [_Counted(each, world, namespace) for each in constraints if each.hard]
        self._soft = [_Counted(each, world, namespace) for each in constraints if not each.hard]
        self._version = -1
        self._capacity = -1
        self._labelled: Flags = np.zeros(0, dtype=bool)
        self._soft_labelled: Flags = np.zeros(0, dtype=bool)
        self._all_labelled = False

    @property
    def scores(self) -> bool:
        """Whether there is a soft constraint."""
        return bool(self._soft)

    @property
    def constrains(self) -> bool:
        """Whether there is a hard constraint."""
        return bool(self._hard)

    def refresh(self) -> None:
        """Follow the nodes."""
        nodes = self._nodes
        if self._version == nodes.version and self._capacity == nodes.capacity:
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

    def score(self, feasible: Flags) -> Numbers | None:
        """From 0 to 100 for the feasible rows, most where fewest are; None when all of them score the same."""
        if not self._soft:
            return None
        whole = not self._needs_labels or self._all_labelled
        counted_rows = feasible if whole else feasible & self._soft_labelled
        if whole and not any(counted.tally.total or counted.unlabelled is not None for counted in self._soft):
            return None
        first = self._soft[0]
        if whole and len(self._soft) == 1 and first.unlabelled is None:
            places, table, reached = first.steps(feasible)
            result = _most_for_fewest(np.floor(table + 0.5), reached)
            return None if result is None else result.take(places)
        total = first.parts(counted_rows)
        for counted in self._soft[1:]:
            total += counted.parts(counted_rows)
        total += 0.5
        np.floor(total, out=total)
        result = _most_for_fewest(total, counted_rows)
        if result is not None and not whole:
            result[~counted_rows] = 0.0
        return result


def _most_for_fewest(total: Numbers, counted: Flags) -> Numbers | None:
    """The sums turned into points, in place; those that count are compared. None when none does."""
    among = total[counted]
    if not len(among):
        return None
    most, least = float(among.max()), float(among.min())
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
