"""One function a rule: which nodes may a pod run on, by what the two say of themselves?

Each gives the rows that will do. Amounts and host ports, which change with every placement, are compared in
`templates.py`, topology in `spread.py` and `affinity.py`; what stands here changes only with the nodes.
Source: the Kubernetes documentation.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from bireme.api.kinds import core
from bireme.scheduler.nodes import NAME_FIELD, Flags, LabelColumn, Nodes, Numbers
from bireme.scheduler.profile import NO_AFFINITY, Profile

NOT_ENFORCED = "node(s) didn't match scheduler-enforced node affinity"
CORDON = core.Taint(key="node.kubernetes.io/unschedulable", effect="NoSchedule")
KEEPS_AWAY = ("NoSchedule", "NoExecute")
DISCOURAGES = "PreferNoSchedule"


@dataclass(frozen=True, slots=True)
class Filter:
    """A rule by its plugin, its mask, and the reason that it gives for a row it refuses."""

    plugin: str
    mask: Callable[[core.PodSpec, Nodes], Flags]
    reason: Callable[[core.PodSpec, Nodes, int], str]


def tolerates(tolerations: Iterable[core.Toleration], taint: core.Taint) -> bool:
    """Whether one of the tolerations covers the taint."""
    return any(_covers(toleration, taint) for toleration in tolerations)


def _covers(toleration: core.Toleration, taint: core.Taint) -> bool:
    if toleration.effect and toleration.effect != taint.effect:
        return False
    if toleration.key and toleration.key != taint.key:
        return False
    if toleration.operator == "Exists":
        return True
    if not toleration.key:
        return False
    if toleration.operator in ("Lt", "Gt"):
        return compares(taint.value, toleration.operator, toleration.value)
    return toleration.value == taint.value


def uncordoned(spec: core.PodSpec, nodes: Nodes) -> Flags:
    """Nodes that are not cordoned, or all if the pod puts up with that."""
    if tolerates(spec.tolerations, CORDON):
        return np.ones(nodes.capacity, dtype=bool)
    return ~nodes.unschedulable


def named(spec: core.PodSpec, nodes: Nodes) -> Flags:
    """The node that the pod names, or all."""
    if not spec.node_name:
        return np.ones(nodes.capacity, dtype=bool)
    return nodes.label(NAME_FIELD).equal(spec.node_name)


def untainted(spec: core.PodSpec, nodes: Nodes) -> Flags:
    """Nodes without a NoSchedule or NoExecute taint that the pod does not tolerate."""
    free = [_repelling(spec, taints) is None for taints in nodes.taint_sets]
    return np.array(free, dtype=bool)[nodes.taint_ids]


def _repelling(spec: core.PodSpec, taints: Iterable[core.Taint]) -> core.Taint | None:
    repelling = (t for t in taints if t.effect in KEEPS_AWAY and not tolerates(spec.tolerations, t))
    return next(repelling, None)


def _taint_reason(spec: core.PodSpec, nodes: Nodes, row: int) -> str:
    taint = _repelling(spec, nodes.facts[row].taints) or CORDON
    return f"node(s) had untolerated taint {{{taint.key}: {taint.value}}}"


def chosen(spec: core.PodSpec, nodes: Nodes) -> Flags:
    """Nodes that the node selector picks, and one of the terms of the required node affinity."""
    wish = spec.affinity.node_affinity if spec.affinity else None
    rows = _required(wish, nodes) if wish else np.ones(nodes.capacity, dtype=bool)
    for key, value in spec.node_selector.items():
        rows &= nodes.label(key).equal(value)
    return rows


def _required(wish: core.NodeAffinity, nodes: Nodes) -> Flags:
    required = wish.required_during_scheduling_ignored_during_execution
    if required is None:
        return np.ones(nodes.capacity, dtype=bool)
    picked = np.zeros(nodes.capacity, dtype=bool)
    for term in required.node_selector_terms:
        picked |= matching(term, nodes)
    return picked


def matching(term: core.NodeSelectorTerm, nodes: Nodes) -> Flags:
    """Nodes for which all expressions of the term hold; a term with none holds for no node."""
    if not term.match_expressions and not term.match_fields:
        return np.zeros(nodes.capacity, dtype=bool)
    rows = np.ones(nodes.capacity, dtype=bool)
    for wish in term.match_expressions:
        rows &= _holding(wish, nodes.label(wish.key))
    for wish in term.match_fields:
        if wish.key != "metadata.name":
            return np.zeros(nodes.capacity, dtype=bool)
        rows &= _holding(wish, nodes.label(NAME_FIELD))
    return rows


def _holding(wish: core.NodeSelectorRequirement, column: LabelColumn) -> Flags:
    values = frozenset(wish.values)
    match wish.operator:
        case "In":
            rows = np.zeros(len(column.ids), dtype=bool)
            for value in values:
                rows |= column.equal(value)
            return rows
        case "NotIn":
            return column.where(lambda value: value not in values)
        case "Exists":
            return column.ids >= 0
        case "DoesNotExist":
            return column.ids < 0
        case "Gt" | "Lt" if len(wish.values) == 1:
            return column.where(lambda value: compares(value, wish.operator, wish.values[0]))
    return np.zeros(len(column.ids), dtype=bool)


def compares(value: str | None, operator: str, bound: str) -> bool:
    """Whether the value is a number on the right side, Gt or Lt, of the bound."""
    try:
        have, limit = int(value or ""), int(bound)
    except ValueError:
        return False
    return have > limit if operator == "Gt" else have < limit


def _always(text: str) -> Callable[[core.PodSpec, Nodes, int], str]:
    return lambda spec, nodes, row: text


NOT_SELECTED = "node(s) didn't match Pod's node affinity/selector"
FILTERS = (
    Filter("NodeUnschedulable", uncordoned, _always("node(s) were unschedulable")),
    Filter("NodeName", named, _always("node(s) didn't match the requested node name")),
    Filter("TaintToleration", untainted, _taint_reason),
    Filter("NodeAffinity", chosen, _always(NOT_SELECTED)),
)


def filters_of(profile: Profile) -> Iterator[Filter]:
    """The rules of a profile: those that are not off, and its own affinity before that of pods."""
    for rule in FILTERS:
        if rule.plugin in profile.off:
            continue
        if rule.plugin == "NodeAffinity" and profile.added_affinity is not NO_AFFINITY:
            yield _enforcing(profile.added_affinity)
        yield rule


def _enforcing(added: core.NodeAffinity) -> Filter:
    return Filter("NodeAffinity", lambda spec, nodes: _required(added, nodes), _always(NOT_ENFORCED))


def allowed(spec: core.PodSpec, nodes: Nodes, profile: Profile) -> Flags:
    """The nodes that no rule of the profile refuses."""
    nodes.grow()
    rows = nodes.present.copy()
    for rule in filters_of(profile):
        rows &= rule.mask(spec, nodes)
    return rows


def avoided_taints(spec: core.PodSpec, nodes: Nodes) -> Numbers:
    """How many PreferNoSchedule taints of each node the pod does not tolerate."""
    counts = [
        sum(taint.effect == DISCOURAGES and not tolerates(spec.tolerations, taint) for taint in taints)
        for taints in nodes.taint_sets
    ]
    return np.array(counts, dtype=np.float64)[nodes.taint_ids]


def affinity_weight(spec: core.PodSpec, nodes: Nodes, profile: Profile) -> Numbers | None:
    """The sum of the weights of the preferred node affinity terms, the profile's too, that hold; None when none is
    stated."""
    wish = spec.affinity.node_affinity if spec.affinity else None
    preferred = [
        *profile.added_affinity.preferred_during_scheduling_ignored_during_execution,
        *(wish.preferred_during_scheduling_ignored_during_execution if wish else ()),
    ]
    if not preferred:
        return None
    total = np.zeros(nodes.capacity)
    for term in preferred:
        if term.preference is not None:
            total += (term.weight or 0) * matching(term.preference, nodes)
    return total
