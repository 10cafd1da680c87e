"""Affinity between pods: near those, away from these, wherever both say so.

A node is left out when a pod's own required terms don't hold there, or when a pod that is placed asks to be apart
from such a newcomer. Preferences of both sides, and what placed pods require, add up to a score. The sums by domain
are tallies that placements keep up (`tallies.py`).
Source: the Kubernetes documentation, "Assigning Pods to Nodes".
"""

from collections.abc import Iterable, Sequence

import numpy as np

from bireme.scheduler.nodes import Flags, Nodes, Numbers, Rows
from bireme.scheduler.placed import Held, LabelSet, Question
from bireme.scheduler.tallies import Domains, Tally
from bireme.scheduler.terms import Bond, Bonds, Side
from bireme.scheduler.world import World

NOT_NEAR = "node(s) didn't match pod affinity rules"
NOT_APART = "node(s) didn't match pod anti-affinity rules"
REPELLED = "node(s) didn't satisfy existing pods anti-affinity rules"

Changes = Sequence[tuple[LabelSet, Sequence[Held], int]]
"""Pods that come to a row or leave it, in thought: labels, bonds, how many."""


class Affinity:
    """What one kind of pod (its `bonds`) and those that are placed say of each other. Without `requires`, what they
    require of each other leaves no node out; unless it `listens`, what they say scores only if it prefers."""

    def __init__(
        self,
        bonds: Bonds,
        labels: LabelSet,
        world: World,
        *,
        hard_weight: int,
        requires: bool = True,
        listens: bool = True,
    ) -> None:
        bonds = bonds if requires else Bonds(preferred=bonds.preferred)
        self._requires, self._listens = requires, listens or bool(bonds.preferred)
        self.bonds, self._labels, self._world, self._hard_weight = bonds, labels, world, hard_weight
        self._together = (
            world.tally(Question(tuple(bond.term for bond in bonds.together))) if bonds.together else None
        )
        self._apart = [(bond, world.tally(Question((bond.term,)))) for bond in bonds.apart]
        self._preferred = [(bond, world.tally(Question((bond.term,)))) for bond in bonds.preferred]
        self._version = self._named = -1
        self._alive = False
        self._repelling: list[Held] = []
        self._scoring: list[tuple[Tally, str, int]] = []
        self._fits_itself = False

    def is_alive(self) -> bool:
        """One of the sides says something now."""
        self._follow()
        return self._alive

    def _follow(self) -> None:
        world, labels = self._world, self._labels
        if self._version == world.held_version and self._named == world.namespaces_version:
            return
        self._version, self._named = world.held_version, world.namespaces_version
        held = world.holders(labels)
        self._repelling = [each for each in held if each.side is Side.REPELS and self._requires]
        weights = {Side.REPELS: 0, Side.ATTRACTS: self._hard_weight}
        weighed = [(each.tally, each.bond.topology_key, weights.get(each.side, each.bond.weight)) for each in held]
        own = [(tally, bond.topology_key, bond.weight) for bond, tally in self._preferred]
        self._scoring = [each for each in (*own, *weighed) if each[2]] if self._listens else []
        self._fits_itself = all(
            bond.term.matches(labels.namespace, labels.labels, world.namespaces) for bond in self.bonds.together
        )
        self._alive = bool(self.bonds or self._repelling or self._scoring)

    def unrepelled(self) -> Flags | None:
        """Nodes from which no placed pod keeps such pods away; None for all."""
        self._follow()
        return _free_of(((held.tally, held.bond.topology_key) for held in self._repelling), self._world.nodes)

    def near(self) -> Flags | None:
        """Nodes where the required affinity holds; None when nothing is required."""
        tally = self._together
        if tally is None:
            return None
        self._follow()
        sums = [tally.by(bond.topology_key) for bond in self.bonds.together]
        first = self._fits_itself and not any(int(domains.counts[:-1].sum()) for domains in sums)
        return _all(_having(domains, 0 if first else 1) for domains in sums)

    def apart(self) -> Flags | None:
        """Nodes where the required anti-affinity holds; None when nothing is required."""
        return _free_of(((tally, bond.topology_key) for bond, tally in self._apart), self._world.nodes)

    def lonely(self, row: int) -> list[Bond]:
        """The required affinity that does not hold on the row."""
        if self._together is None:
            return []
        return [bond for bond in self.bonds.together if _sum_at(self._together.by(bond.topology_key), row, 0) < 1]

    def crowding(self, row: int) -> list[tuple[Bond, Rows]]:
        """The required anti-affinity that does not hold on the row, each with the rows where such pods are."""
        return [(bond, rows) for bond, tally in self._apart if len(rows := _rows_at(tally, bond, row))]

    def repelling(self, row: int) -> list[tuple[Bond, Rows]]:
        """What placed pods say against such pods on the row, each with the rows where they are."""
        self._follow()
        found = ((held.bond, _rows_at(held.tally, held.bond, row)) for held in self._repelling)
        return [(bond, rows) for bond, rows in found if len(rows)]

    def score(self, feasible: Flags) -> Numbers | None:
        """From 0 to 100 for the feasible rows; None when all score 0."""
        self._follow()
        total: Numbers | None = None
        for tally, key, weight in self._scoring:
            domains = tally.by(key)
            if tally.total:
                counts = domains.counts * float(weight)
                counts[-1] = 0.0
                part: Numbers = counts[domains.slots]
                total = part if total is None else total + part
        if total is None:
            return None
        among = total[feasible]
        least, most = float(among.min(initial=np.inf)), float(among.max(initial=-np.inf))
        if not least < most:
            return None
        result: Numbers = np.floor(100.0 * ((total - least) / (most - least)))
        return result

    def refusal_if(self, row: int, changes: Changes) -> str | None:
        """Why the row would not do if pods came to it or left it so; None if it would."""
        self._follow()
        known = self._world.namespaces

        def changed(bond: Bond) -> int:
            return sum(count for who, _, count in changes if bond.term.matches(who.namespace, who.labels, known))

        if self._together is not None:
            sums = [self._together.by(bond.topology_key) for bond in self.bonds.together]
            gone = sum(
                count
                for who, _, count in changes
                if all(bond.term.matches(who.namespace, who.labels, known) for bond in self.bonds.together)
            )
            slots = [int(domains.slots[row]) for domains in sums]
            if any(slot == domains.size for slot, domains in zip(slots, sums, strict=True)):
                return NOT_NEAR
            first = self._fits_itself and not any(int(domains.counts[:-1].sum()) + gone for domains in sums)
            if not first and any(domains.counts[slot] + gone < 1 for slot, domains in zip(slots, sums, strict=True)):
                return NOT_NEAR
        for bond, tally in self._apart:
            if _sum_at(tally.by(bond.topology_key), row, changed(bond)) > 0:
                return NOT_APART
        for held in self._repelling:
            count = sum(count for _, others, count in changes if held in others)
            if _sum_at(held.tally.by(held.bond.topology_key), row, count) > 0:
                return REPELLED
        for _, others, count in changes:
            if count > 0 and any(self._is_repelled_by(held, row) for held in others):
                return REPELLED
        return None

    def _is_repelled_by(self, held: Held, row: int) -> bool:
        """Whether a pod that came to the row with this bond would keep such pods away from it."""
        labels, world, bond = self._labels, self._world, held.bond
        has_key = world.nodes.label(bond.topology_key).ids[row] >= 0
        return (
            self._requires
            and held.side is Side.REPELS
            and bool(has_key)
            and bond.term.matches(labels.namespace, labels.labels, world.namespaces)
        )


def _having(domains: Domains, least: int) -> Flags:
    rich = domains.counts >= least
    rich[-1] = False
    return rich[domains.slots]


def _free_of(tallies: Iterable[tuple[Tally, str]], nodes: Nodes) -> Flags | None:
    """Rows in no domain where one of the tallies counts anything; rows without the label are free."""
    rows: Flags | None = None
    for tally, key in tallies:
        if not tally.total:
            continue
        domains = tally.by(key)
        free = domains.counts <= 0
        free[-1] = True
        each = free[domains.slots]
        rows = each if rows is None else rows & each
    return rows


def _rows_at(tally: Tally, bond: Bond, row: int) -> Rows:
    """The rows in one domain with the row on which something is counted."""
    domains = tally.by(bond.topology_key)
    slot = int(domains.slots[row])
    if slot == domains.size:
        return np.zeros(0, dtype=np.intp)
    return np.flatnonzero((domains.slots == slot) & (tally.rows > 0))


def _sum_at(domains: Domains, row: int, change: int) -> int:
    slot = int(domains.slots[row])
    return 0 if slot == domains.size else int(domains.counts[slot]) + change


def _all(masks: Iterable[Flags]) -> Flags | None:
    rows: Flags | None = None
    for mask in masks:
        rows = mask if rows is None else rows & mask
    return rows
