"""One column of scores over all nodes for each kind of pod, kept up with what placements change.

Pods of one kind want the same of every node, so what depends on one node alone is worked out once (`Column`). A
placement changes one node; the ledger logs it, and each column looks again only at the rows that changed since it
last did (`score_column.py`). What depends on all nodes at once (preferences that are made comparable, spreading,
affinity between pods) is a few passes over whole columns for each pod (`Template`). Every node is scored, none
sampled, and the choice is that of scoring one by one: ADR 0012 has the figures.
"""

from collections import OrderedDict
from collections.abc import Callable, Sequence

import numpy as np

from bireme.api.kinds import core
from bireme.api.selectors import LabelSelector
from bireme.scheduler import scores
from bireme.scheduler.affinity import Affinity
from bireme.scheduler.demand import Demand
from bireme.scheduler.interface import Mask
from bireme.scheduler.nodes import Flags, Numbers
from bireme.scheduler.placed import LabelSet
from bireme.scheduler.profile import DEFAULT, Profile, Score
from bireme.scheduler.score_column import Column
from bireme.scheduler.score_sheet import Sheet
from bireme.scheduler.scores import REFUSED
from bireme.scheduler.spread import Spread
from bireme.scheduler.spread_constraints import constraints_of
from bireme.scheduler.switched_off import constraints_left
from bireme.scheduler.terms import bonds_of
from bireme.scheduler.world import World

LIMIT = 1000

DefaultSelector = Callable[[core.Pod], LabelSelector | None]


def no_selector(pod: core.Pod) -> None:
    """For those who know of no services and controllers: pods are spread only as they ask themselves."""


class Template:
    """Where pods of one kind may go, and which of these places is best."""

    def __init__(
        self, column: Column, labels: LabelSet, world: World, profile: Profile, selector: LabelSelector | None
    ) -> None:
        self.column, self.labels, self.world, self.profile = column, labels, world, profile
        self.demand = column.demand
        spec = column.demand.spec
        constraints = constraints_of(spec, labels, profile, selector)
        if profile.off:
            constraints = constraints_left(constraints, profile.off)
        needs_labels = bool(spec.topology_spread_constraints) or not profile.system_spreading
        self.spread = (
            Spread(constraints, world, spec, labels.namespace, needs_labels=needs_labels) if constraints else None
        )
        self.affinity = Affinity(
            bonds_of(spec, labels.namespace, labels.labels),
            labels,
            world,
            hard_weight=profile.hard_affinity_weight,
            requires="InterPodAffinity" not in profile.off,
            listens=not profile.ignores_preferences,
        )

    def best(self, masks: Sequence[Mask] = (), *, pod: core.Pod | None = None) -> int | None:
        """The row of the best node, the lowest of equals; None when no node will do.

        `masks` are what other rules leave; `pod` is shown to the profile's own scorers.
        """
        score = self.scores(masks, pod=pod)
        row = int(score.argmax()) if len(score) else -1
        return row if row >= 0 and score[row] > REFUSED else None

    def assume(self, pod: core.Pod, node: str) -> None:
        """The pod, which is of this kind and nowhere yet, goes to the node."""
        self.world.assume(pod, node, self.demand, self.labels)

    def scores(self, masks: Sequence[Mask] = (), *, pod: core.Pod | None = None) -> Numbers:
        """The weighted score of every row, -inf for one that will not do. To be read, not changed."""
        column, profile, spread = self.column, self.profile, self.spread
        column.refresh()
        score = column.score
        affinity = self.affinity if self.affinity.is_alive() else None
        if not (masks or spread or affinity or column.is_relative or profile.scorers):
            return score
        if spread:
            spread.refresh()
            if not (masks or affinity or column.is_relative or profile.scorers):
                return spread.total(score, profile.weight(Score.SPREAD))
        feasible = score > REFUSED
        for mask in masks:
            feasible &= mask.allowed
        if spread:
            _narrow(feasible, spread.balanced())
        if affinity:
            _narrow(feasible, affinity.unrepelled())
            _narrow(feasible, affinity.near())
            _narrow(feasible, affinity.apart())
        for scorer in profile.scorers:
            if scorer.filter is not None and pod is not None:
                _narrow(feasible, scorer.filter(pod, self.world.nodes))
        total: Numbers = np.where(feasible, score, REFUSED)
        for weight, part in self._parts(feasible, affinity):
            if weight and part is not None:
                part *= weight
                total += part
        for scorer in profile.scorers:
            if scorer.score is not None and pod is not None:
                total += scorer.weight * np.clip(scorer.score(pod, self.world.nodes), 0.0, 100.0)
        return total

    def _parts(self, feasible: Flags, affinity: Affinity | None) -> Sequence[tuple[int, Numbers | None]]:
        """The scores that are made comparable over the feasible nodes, by weight; arrays of the caller's own."""
        column, profile = self.column, self.profile
        parts: list[tuple[int, Numbers | None]] = []
        if column.avoided is not None:
            avoided = scores.normalised(column.avoided, feasible, reverse=True)
            parts.append((profile.weight(Score.TAINTS), avoided))
        if column.preferred is not None:
            parts.append((profile.weight(Score.NODE_AFFINITY), scores.normalised(column.preferred, feasible)))
        if self.spread and self.spread.scores:
            parts.append((profile.weight(Score.SPREAD), self.spread.score(feasible, column.score)))
        if affinity:
            parts.append((profile.weight(Score.POD_AFFINITY), affinity.score(feasible)))
        return parts


def _narrow(feasible: Flags, by: Flags | None) -> None:
    if by is not None:
        feasible &= by


class Templates:
    """The templates of one profile in use, the least recently asked for dropped first."""

    def __init__(
        self,
        world: World,
        profile: Profile = DEFAULT,
        *,
        default_selector: DefaultSelector = no_selector,
        limit: int = LIMIT,
    ) -> None:
        self.world, self.profile = world, profile
        self._default_selector = default_selector
        self._limit = limit
        self._columns: OrderedDict[bytes, Column] = OrderedDict()
        self.sheet = Sheet(world.ledger.columns, fit_weight=profile.weight(Score.FIT))
        self._templates: OrderedDict[tuple[bytes, LabelSet | None, LabelSelector | None], Template] = OrderedDict()

    def of(self, pod: core.Pod) -> Template:
        """The template of this pod's kind."""
        demand = self.world.demands.of(pod)
        selector = None if demand.spec.topology_spread_constraints else self._default_selector(pod)
        labels = self.world.label_set(pod.metadata.namespace, pod.metadata.labels)
        key = (demand.key, labels, selector)
        template = self._templates.get(key)
        if template is None:
            template = Template(self._column(demand), labels, self.world, self.profile, selector)
            self._templates[key] = template
            if len(self._templates) > self._limit:
                self._templates.popitem(last=False)
        else:
            self._templates.move_to_end(key)
        return template

    def _column(self, demand: Demand) -> Column:
        column = self._columns.get(demand.key)
        if column is None:
            column = self._columns[demand.key] = Column(demand, self.world, self.profile, self.sheet)
            if len(self._columns) > self._limit:
                _, oldest = self._columns.popitem(last=False)
                oldest.is_kept = False  # pods that wait may still hold it
                oldest.drop()
        else:
            self._columns.move_to_end(demand.key)
        return column
