"""Why nodes will not do for a pod, in the words that `FailedScheduling` counts.

The rules are asked in the order of the original, and each node is told by the first that refuses it; a node may lack
several resources at once.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property, partial

import numpy as np

from bireme.scheduler import affinity, filters, spread
from bireme.scheduler.interface import NOTHING, Lack, Mask
from bireme.scheduler.nodes import Flags, Rows
from bireme.scheduler.placed import Placed
from bireme.scheduler.score_column import NO_PORTS
from bireme.scheduler.templates import Template


class Rule(StrEnum):
    """What may refuse a node, by the names of the original's plug-ins; InterPodAffinity is told apart."""

    CORDON = "NodeUnschedulable"
    NAME = "NodeName"
    TAINTS = "TaintToleration"
    SELECTION = "NodeAffinity"
    PORTS = "NodePorts"
    ROOM = "NodeResourcesFit"
    OTHER = "volumes, devices, groups, extenders"
    SPREAD = "PodTopologySpread"
    NEAR = "PodAffinity"
    APART = "PodAntiAffinity"
    REPELLED = "PodAntiAffinity of others"


@dataclass(frozen=True, slots=True)
class Stage:
    """One rule: the rows that pass, why another does not, what would help, and whether evicting pods may.

    `count` gives the reasons of many rows at once, where there is a quicker way than to ask of each.
    """

    rule: Rule
    passed: Flags
    reasons: Callable[[int], list[str]]
    lack: Lack
    curable: bool = False
    count: Callable[[Rows], Mapping[str, int]] | None = None


class Explanation:
    """Each node's reasons at this moment; look at it before anything changes."""

    def __init__(self, template: Template, masks: Sequence[Mask] = ()) -> None:
        self.template = template
        template.world.nodes.grow()
        self.present = template.world.nodes.present.copy()
        self.stages = tuple(_stages(template, masks))

    def of(self, row: int) -> list[str]:
        """Why the row will not do; empty when it would."""
        for stage in self.stages:
            if not stage.passed[row]:
                return stage.reasons(row)
        return []

    def counts(self) -> Counter[str]:
        """How many nodes give each reason."""
        found: Counter[str] = Counter()
        for stage, rows in self.refused:
            if not len(rows):
                continue
            if stage.count is not None:
                found.update(stage.count(rows))
            else:
                found.update(reason for row in rows.tolist() for reason in stage.reasons(row))
        return found

    @cached_property
    def lack(self) -> Lack:
        """What the pod is short of on any node: a change of what kind may help."""
        lack = NOTHING
        for stage, rows in self.refused:
            if len(rows):
                lack |= stage.lack
        return lack

    @cached_property
    def curable(self) -> Flags:
        """Rows where evicting pods may help."""
        rows = np.zeros(len(self.present), dtype=bool)
        for stage, refused in self.refused:
            if stage.curable:
                rows[refused] = True
        enough = self.template.column.could_hold()
        return rows & enough

    @cached_property
    def refused(self) -> list[tuple[Stage, Rows]]:
        """The rows that each stage is the first to refuse."""
        left, found = self.present.copy(), []
        for stage in self.stages:
            found.append((stage, np.flatnonzero(left & ~stage.passed)))
            left &= stage.passed
        return found


def _stages(template: Template, masks: Sequence[Mask]) -> Iterable[Stage]:
    column, world, spec = template.column, template.world, template.demand.spec
    nodes = world.nodes
    column.refresh()
    for rule in filters.filters_of(template.profile):
        by_row, by_taints = _by_filter(rule, template), partial(_by_taints, rule, template)
        yield Stage(Rule(rule.plugin), rule.mask(spec, nodes), by_row, Lack.NODE, count=by_taints)
    every = np.arange(nodes.capacity)
    if column.ports:
        free = np.array([not column.clashes(row) for row in every.tolist()], dtype=bool)
        yield _for_one_reason(Rule.PORTS, free, NO_PORTS, Lack.PORTS | Lack.NODE, curable=True)
    room = column.has_room(every)
    yield Stage(Rule.ROOM, room, column.short_of, Lack.AMOUNTS | Lack.NODE, curable=True, count=column.short_counts)
    yield from (_of_mask(mask) for mask in masks if not mask.last)
    yield from _topology(template)
    yield from (_of_mask(mask) for mask in masks if mask.last)


def _of_mask(mask: Mask) -> Stage:
    return Stage(Rule.OTHER, mask.allowed, lambda row: [mask.reason(row)], mask.lack, mask.curable)


def _by_filter(rule: filters.Filter, template: Template) -> Callable[[int], list[str]]:
    return lambda row: [rule.reason(template.demand.spec, template.world.nodes, row)]


def _by_taints(rule: filters.Filter, template: Template, rows: Rows) -> dict[str, int]:
    """A filter's reason is the same for nodes with the same taints."""
    nodes = template.world.nodes
    _, firsts, counts = np.unique(nodes.taint_ids[rows], return_index=True, return_counts=True)
    found: Counter[str] = Counter()
    for first, count in zip(firsts.tolist(), counts.tolist(), strict=True):
        found[rule.reason(template.demand.spec, nodes, int(rows[first]))] += count
    return found


def _topology(template: Template) -> Iterable[Stage]:
    if template.spread:
        template.spread.refresh()
        balanced = template.spread.balanced()
        if balanced is not None:
            labelled, lack = template.spread.labelled(), Lack.PODS | Lack.NODE
            yield _for_one_reason(Rule.SPREAD, labelled, spread.NO_LABEL, Lack.NODE, curable=False)
            yield _for_one_reason(Rule.SPREAD, balanced, spread.TOO_SKEWED, lack, curable=True)
    between = template.affinity
    for rule, passed, reason, curable in (
        (Rule.NEAR, between.near(), affinity.NOT_NEAR, False),
        (Rule.APART, between.apart(), affinity.NOT_APART, True),
        (Rule.REPELLED, between.unrepelled(), affinity.REPELLED, True),
    ):
        if passed is not None:
            yield _for_one_reason(rule, passed, reason, Lack.PODS | Lack.NODE, curable=curable)


def _for_one_reason(rule: Rule, passed: Flags, reason: str, lack: Lack, *, curable: bool) -> Stage:
    """A stage that says the same of every node that it refuses."""
    return Stage(rule, passed, lambda row: [reason], lack, curable, count=lambda rows: {reason: len(rows)})


def refusal_if(
    template: Template, row: int, *, gone: Iterable[Placed] = (), come: Iterable[Placed] = ()
) -> str | None:
    """Why the row would not do if these pods left it and those came; None if it would.

    What the node says of itself, and what masks say, is not asked again.
    """
    template.column.refresh()
    leaves, comes = tuple(gone), tuple(come)
    reason = template.column.refusal_if(row, gone=leaves, come=comes)
    if reason is not None:
        return reason
    if template.spread:
        template.spread.refresh()
        moved = [(pod.labels, pod.leaving, -1) for pod in leaves] + [(pod.labels, pod.leaving, 1) for pod in comes]
        if not template.spread.balanced_if(row, moved):
            return spread.TOO_SKEWED
    changes = [(pod.labels, pod.held, -1) for pod in leaves] + [(pod.labels, pod.held, 1) for pod in comes]
    return template.affinity.refusal_if(row, changes)


def message(total: int, reasons: Iterable[tuple[str, int]]) -> str:
    """`0/3 nodes are available: 1 Insufficient cpu, 2 node(s) were unschedulable.`"""
    if not total:
        return "no nodes available to schedule pods"
    parts = sorted(f"{count} {reason}" for reason, count in reasons)
    return f"0/{total} nodes are available: {', '.join(parts)}."
