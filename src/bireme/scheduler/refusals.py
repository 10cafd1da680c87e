"""Why a node will not do, in figures: what is short by how much, which taint, label, port or pod is in the way.

`explanation.py` has the words that `FailedScheduling` counts; here stands what somebody who wants to help needs.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from bireme.api import resources
from bireme.api.kinds import core
from bireme.ledger.ports import Port
from bireme.scheduler import filters
from bireme.scheduler.changes import spelled, tainted
from bireme.scheduler.explanation import Explanation, Rule
from bireme.scheduler.nodes import NAME_FIELD, NodeFacts, Numbers, Rows
from bireme.scheduler.placed import Placed
from bireme.scheduler.templates import Template
from bireme.scheduler.terms import Bond, Term, bonds_of
from bireme.scheduler.world import World

FEW = 3
SYSTEMS = "node.kubernetes.io/"
"""Taints under this prefix tell a node's condition: they go when it is well again."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why one node will not do: the rule, its words, and the figures, which may be ""."""

    node: str
    rule: Rule
    reasons: tuple[str, ...]
    detail: str


@dataclass(frozen=True, slots=True)
class Group:
    """Nodes that refuse for the same reasons, those first that lack least."""

    reasons: tuple[str, ...]
    rule: Rule
    rows: tuple[int, ...]


def groups(found: Explanation, template: Template) -> list[Group]:
    """Every node that refuses, by reason, the largest group first."""
    lacking = shortages(template).tolist()
    by_reason: dict[tuple[Rule, tuple[str, ...]], list[int]] = {}
    for stage, rows in found.refused:
        for row in rows.tolist():
            by_reason.setdefault((stage.rule, tuple(stage.reasons(row))), []).append(row)
    return sorted(
        (
            Group(reasons, rule, tuple(sorted(rows, key=lacking.__getitem__)))
            for (rule, reasons), rows in by_reason.items()
        ),
        key=lambda group: (-len(group.rows), group.reasons),
    )


def refusal(found: Explanation, template: Template, row: int) -> Refusal | None:
    """Why the row will not do, in figures; None when it would."""
    stage = next((stage for stage in found.stages if not stage.passed[row]), None)
    if stage is None:
        return None
    node = template.world.ledger.columns.nodes[row]
    return Refusal(node, stage.rule, tuple(stage.reasons(row)), detail(template, stage.rule, row))


def detail(template: Template, rule: Rule, row: int) -> str:
    """The figures of one rule on one row."""
    world, spec = template.world, template.demand.spec
    facts = world.nodes.facts[row]
    match rule:
        case Rule.ROOM:
            return ", ".join(_short(template, row))
        case Rule.TAINTS:
            return ", ".join(map(tainted, untolerated(spec, facts)))
        case Rule.SELECTION:
            return ", ".join(unmet(spec, facts))
        case Rule.PORTS:
            taken = clashes(template, row)
            return ", ".join(f"{port}/{protocol} is {_held_by(pods)}" for (protocol, port), pods in taken)
        case Rule.SPREAD:
            return ", ".join(_skewed(template, row))
        case Rule.NEAR:
            lonely = template.affinity.lonely(row)
            return ", ".join(f"no pod with {said(bond.term)} {_in(world, bond, row)}" for bond in lonely)
        case Rule.APART:
            return ", ".join(_pods_in_the_way(template, template.affinity.crowding(row), row, repelling=False))
        case Rule.REPELLED:
            return ", ".join(_pods_in_the_way(template, template.affinity.repelling(row), row, repelling=True))
    return ""


def shortages(template: Template) -> Numbers:
    """How much of what the pod asks for each row lacks: the sum of the missing parts."""
    columns = template.world.ledger.columns
    wanted = columns.vector(template.demand.load.amounts)
    asked = wanted > 0
    free = np.maximum(columns.allocatable - columns.promised, 0)[:, asked]
    parts: Numbers = (np.maximum(wanted[asked] - free, 0) / wanted[asked]).sum(axis=1)
    return parts


def untolerated(spec: core.PodSpec, facts: NodeFacts) -> list[core.Taint]:
    """The node's taints that keep the pod away."""
    keeping = (taint for taint in facts.taints if taint.effect in filters.KEEPS_AWAY)
    return [taint for taint in keeping if not filters.tolerates(spec.tolerations, taint)]


def unmet(spec: core.PodSpec, facts: NodeFacts) -> list[str]:
    """What of the node selector and of the required node affinity does not hold; of its terms the nearest one."""
    found = [_missing(key, facts, f"wanted: {value}") for key, value in unselected(spec, facts)]
    failing = unmet_terms(spec, facts)
    if failing and all(failing):
        nearest = min(failing, key=len)
        found += [_missing(wish.key, facts, f"wanted: {_wish(wish)}") for wish in nearest]
    return found


def unselected(spec: core.PodSpec, facts: NodeFacts) -> list[tuple[str, str]]:
    """The labels of the node selector that the node has not."""
    return [(key, value) for key, value in spec.node_selector.items() if facts.labels.get(key) != value]


def unmet_terms(spec: core.PodSpec, facts: NodeFacts) -> list[list[core.NodeSelectorRequirement]]:
    """For each term of the required node affinity, what of it does not hold."""
    wish = spec.affinity.node_affinity if spec.affinity else None
    required = wish.required_during_scheduling_ignored_during_execution if wish else None
    terms = required.node_selector_terms if required else ()
    return [
        [each for each in (*term.match_expressions, *term.match_fields) if not _holds(each, facts)]
        or ([] if term.match_expressions or term.match_fields else [core.NodeSelectorRequirement(key="(empty term)")])
        for term in terms
    ]


def clashes(template: Template, row: int) -> list[tuple[Port, list[Placed]]]:
    """The host ports that the pod wants and others hold on the row, with the pods that do."""
    ledger = template.world.ledger
    held, wanted = ledger.ports(ledger.columns.nodes[row]), template.demand.ports
    pods = [pod for pod in template.world.on_row(row) if wanted.overlaps(pod.demand.ports)]
    return [(port, [pod for pod in pods if port in pod.demand.ports]) for port in wanted if port in held]


def said(term: Term) -> str:
    """Which pods a term means, in the form of a selector."""
    return str(term.selector) or "any labels"


def _short(template: Template, row: int) -> list[str]:
    columns, wanted = template.world.ledger.columns, template.demand.load.amounts
    free, whole = columns.free(row), template.world.ledger.allocatable(columns.nodes[row])
    found = []
    for name, amount in wanted.items():
        left, size = free.get(name, 0), whole.get(name, 0)
        if not 0 < amount > left:
            continue
        if name == resources.PODS:
            found.append(f"pods: {size - left} of {size}")
        else:
            left_text = spelled(name, max(left, 0))
            found.append(f"{name}: wants {spelled(name, amount)}, free {left_text} of {spelled(name, size)}")
    return found


def _skewed(template: Template, row: int) -> Iterable[str]:
    standings = template.spread.standings(row) if template.spread else []
    for each in standings:
        key = each.constraint.topology_key
        if each.domain is None:
            yield f"no label {key}"
        elif each.is_in_the_way:
            skew = f"maxSkew {each.constraint.max_skew}"
            yield f"{key}={each.domain} has {_pods(each.count)}, may have {each.most} ({skew}, least {each.least})"


def _pods(count: int) -> str:
    return f"{count} pod" if count == 1 else f"{count} pods"


def _pods_in_the_way(
    template: Template, found: Sequence[tuple[Bond, Rows]], row: int, *, repelling: bool
) -> Iterable[str]:
    world = template.world
    for bond, rows in found:
        names = _named(pods_of(world, bond, rows, repelling=repelling))
        place = _in(world, bond, row)
        yield (
            f"{names} {place} keeps {said(bond.term)} away"
            if repelling
            else f"{names} with {said(bond.term)} {place}"
        )


def pods_of(world: World, bond: Bond, rows: Rows, *, repelling: bool) -> Iterable[Placed]:
    """The pods on these rows that the bond is about, or with `repelling` those that say it."""
    for row in rows.tolist():
        for pod in world.on_row(row):
            if repelling:
                if bond in bonds_of(pod.demand.spec, pod.namespace, pod.labels.labels).apart:
                    yield pod
            elif bond.term.matches(pod.namespace, pod.labels.labels, world.namespaces):
                yield pod


def _named(pods: Iterable[Placed]) -> str:
    names: list[str] = []
    for pod in pods:
        if len(names) == FEW:
            return ", ".join(names) + " and others"
        names.append(f"{pod.namespace}/{pod.name}")
    return ", ".join(names) or "a pod"


def _held_by(pods: Sequence[Placed]) -> str:
    return f"held by {_named(pods)}" if pods else "promised to an offer"


def _in(world: World, bond: Bond, row: int) -> str:
    value = world.nodes.facts[row].labels.get(bond.topology_key)
    return f"in {bond.topology_key}={value}" if value is not None else f"(no label {bond.topology_key})"


def _missing(key: str, facts: NodeFacts, wish: str) -> str:
    value = facts.labels.get(key)
    return f"no label {key} ({wish})" if value is None else f"{key} is {value} ({wish})"


def _wish(wish: core.NodeSelectorRequirement) -> str:
    values = ", ".join(wish.values)
    return f"{wish.operator} {values}" if values else wish.operator


def _holds(wish: core.NodeSelectorRequirement, facts: NodeFacts) -> bool:
    value = facts.name if wish.key in ("metadata.name", NAME_FIELD) else facts.labels.get(wish.key)
    match wish.operator:
        case "In":
            return value in wish.values
        case "NotIn":
            return value not in wish.values
        case "Exists":
            return value is not None
        case "DoesNotExist":
            return value is None
        case "Gt" | "Lt" if len(wish.values) == 1:
            return filters.compares(value, wish.operator, wish.values[0])
    return False
