"""What is worth a try for nodes that one rule refuses. Whether it helps is for the trial to say."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace

import numpy as np

from bireme.api import resources
from bireme.api.kinds import core
from bireme.scheduler.changes import Change
from bireme.scheduler.changes_of_nodes import AddNode, Evict, Label, Recover, Uncordon
from bireme.scheduler.changes_of_pods import (
    AskLess,
    DropAffinity,
    DropPorts,
    DropSelector,
    Skew,
    SpreadSoftly,
    Tolerate,
)
from bireme.scheduler.explanation import Explanation, Rule, refusal_if
from bireme.scheduler.nodes import NodeFacts, Rows
from bireme.scheduler.placed import Placed
from bireme.scheduler.refusals import SYSTEMS, clashes, pods_of, shortages, unmet_terms, unselected, untolerated
from bireme.scheduler.templates import Template
from bireme.scheduler.trial import Trial

FEW = 4
LARGEST_SKEW = 1 << 16
SHOWN = ("cpu", "memory")


def candidates(trial: Trial, found: Explanation, rule: Rule, rows: Rows) -> Iterator[Change]:
    """Changes that may make one of these rows pass the rule."""
    template = trial.template()
    match rule:
        case Rule.CORDON:
            yield from (Uncordon(_name(template, row)) for row in rows[:FEW].tolist())
        case Rule.TAINTS:
            yield from _taints(template, rows)
        case Rule.SELECTION:
            yield from _selection(template, rows)
        case Rule.PORTS:
            yield from _ports(template, rows)
        case Rule.ROOM:
            yield from _less(template, rows)
            yield from _evictions(trial, template, rows)
        case Rule.SPREAD:
            yield from _spreading(trial)
            yield from _evictions(trial, template, rows)
        case Rule.NEAR:
            yield DropAffinity("podAffinity")
        case Rule.APART:
            yield DropAffinity("podAntiAffinity")
            yield from _evictions(trial, template, rows)
        case Rule.REPELLED:
            yield from _evictions(trial, template, rows)
            yield from _repelling(template, rows)


def new_nodes(trial: Trial) -> Iterator[Change]:
    """One more node, of each present shape, the most frequent first."""
    if not trial.owns_world:
        return
    world = trial.world
    shapes: Counter[tuple[object, ...]] = Counter()
    first: dict[tuple[object, ...], str] = {}
    for row, facts in world.nodes.facts.items():
        amounts = tuple(world.ledger.allocatable(facts.name).items())
        taints = tuple((t.key, t.value, t.effect) for t in facts.taints if not t.key.startswith(SYSTEMS))
        labels = frozenset(item for item in facts.labels.items() if item[1] != facts.name)
        shape: tuple[object, ...] = (amounts, taints, labels)
        shapes[shape] += 1
        first.setdefault(shape, world.ledger.columns.nodes[row])
    for shape, _ in shapes.most_common(2 * FEW):
        size = world.ledger.allocatable(first[shape])
        yield AddNode(first[shape], tuple((name, size[name]) for name in SHOWN if name in size))


def _name(template: Template, row: int) -> str:
    return template.world.ledger.columns.nodes[row]


def _facts(template: Template, rows: Rows) -> Iterator[NodeFacts]:
    return (template.world.nodes.facts[row] for row in rows.tolist())


def _taints(template: Template, rows: Rows) -> Iterator[Change]:
    """Tolerations by set of taints, the fewest first; a node that is unwell is to get well."""
    sets: Counter[frozenset[tuple[str, str, str]]] = Counter()
    unwell: list[Change] = []
    for facts in _facts(template, rows):
        taints = untolerated(template.demand.spec, facts)
        own = tuple(taint for taint in taints if taint.key.startswith(SYSTEMS))
        if not own:
            sets[frozenset((taint.key, taint.value, taint.effect) for taint in taints)] += 1
        elif len(unwell) < FEW and len(own) == len(taints):
            unwell.append(Recover(facts.name, own))
    tried: list[frozenset[tuple[str, str, str]]] = []
    for words in sorted(sets, key=lambda each: (len(each), -sets[each], sorted(each))):
        if not any(fewer <= words for fewer in tried):
            tried.append(words)
            yield Tolerate(tuple(core.Taint(key=k, value=v, effect=e) for k, v, e in sorted(words)))
    yield from unwell


def _selection(template: Template, rows: Rows) -> Iterator[Change]:
    spec = template.demand.spec
    labels: dict[frozenset[tuple[str, str | None]], str] = {}
    dropped: dict[tuple[tuple[str, str], ...], None] = {}
    for facts in _facts(template, rows):
        missing = unselected(spec, facts)
        if missing:
            dropped.setdefault(tuple(missing))
        wanted = _labels(spec, facts)
        if wanted is not None:
            labels.setdefault(frozenset(wanted.items()), facts.name)
    for items in sorted(labels, key=len)[:FEW]:
        yield Label(labels[items], tuple(sorted(items)))
    yield from (DropSelector(each) for each in sorted(dropped, key=len)[:FEW])
    if any(any(terms) for terms in ([*unmet_terms(spec, facts)] for facts in _facts(template, rows[:1]))):
        yield DropAffinity("nodeAffinity")


def _labels(spec: core.PodSpec, facts: NodeFacts) -> Mapping[str, str | None] | None:
    """The fewest labels that would make the node suit; None when labels don't help."""
    wanted: dict[str, str | None] = dict(unselected(spec, facts))
    terms = unmet_terms(spec, facts)
    ways = [way for way in map(_way, terms) if way is not None]
    if terms and not ways:
        return None
    return wanted | min(ways, key=len) if ways else wanted


def _way(failing: list[core.NodeSelectorRequirement]) -> dict[str, str | None] | None:
    """Labels that make these requirements hold."""
    way: dict[str, str | None] = {}
    for wish in failing:
        match wish.operator:
            case "In" if wish.values:
                value: str | None = wish.values[0]
            case "Exists":
                value = ""
            case "NotIn" | "DoesNotExist":
                value = None
            case "Gt" | "Lt" if len(wish.values) == 1 and wish.values[0].lstrip("-").isdigit():
                value = str(int(wish.values[0]) + (1 if wish.operator == "Gt" else -1))
            case _:
                return None
        if wish.key == "metadata.name" or way.get(wish.key, value) != value:
            return None
        way[wish.key] = value
    return way


def _ports(template: Template, rows: Rows) -> Iterator[Change]:
    taken = clashes(template, int(rows[0]))
    yield DropPorts(tuple(port for port, _ in taken))
    for row in rows[:FEW].tolist():
        holders = {pod.uid: pod for _, pods in clashes(template, row) for pod in pods}
        if holders:
            yield Evict(_name(template, row), tuple(holders.values()))


def _less(template: Template, rows: Rows) -> Iterator[Change]:
    """Smaller requests, none of which asks for more of a sacrifice in every way than another."""
    columns, wanted = template.world.ledger.columns, template.demand.load.amounts
    amounts = {name: amount for name, amount in wanted.items() if amount > 0}
    asked = np.array(list(amounts.values()), dtype=np.int64)
    indexes = [columns.index(name) for name in amounts]
    free = np.maximum(columns.allocatable[rows] - columns.promised[rows], 0)[:, indexes]
    less = np.unique(np.maximum(asked - free, 0), axis=0)
    if resources.PODS in amounts:
        less = less[less[:, list(amounts).index(resources.PODS)] == 0]
    less = less[np.argsort((less / asked).sum(axis=1), kind="stable")]
    kept: list[np.ndarray[tuple[int, ...], np.dtype[np.int64]]] = []
    for each in less:
        if not any((other <= each).all() for other in kept):
            kept.append(each)
            yield AskLess(
                tuple(
                    (name, amount, amount - int(part))
                    for (name, amount), part in zip(amounts.items(), each, strict=True)
                    if part
                )
            )
        if len(kept) == FEW:
            return


def _spreading(trial: Trial) -> Iterator[Change]:
    """For each constraint the smallest skew that helps, and that it be soft."""
    for number, each in enumerate(trial.pod.spec.topology_spread_constraints):
        if each.when_unsatisfiable != "ScheduleAnyway":
            skew = _smallest_skew(trial, Skew(number, each.topology_key, each.max_skew or 1, each.max_skew or 1))
            if skew is not None:
                yield skew
            yield SpreadSoftly(number, each.topology_key)


def _smallest_skew(trial: Trial, skew: Skew) -> Skew | None:
    def by(to: int) -> Skew:
        return replace(skew, to=to)

    to = smallest(lambda to: bool(trial.opens((by(to),))), skew.was + 1, LARGEST_SKEW)
    return None if to is None else by(to)


def smallest(helps: Callable[[int], bool], low: int, high: int) -> int | None:
    """The smallest number between the two for which `helps` holds, as it does for all above; None for none."""
    step, below = 1, low - 1
    while not helps(top := min(below + step, high)):
        if top == high:
            return None
        below, step = top, step * 2
    while below + 1 < top:
        middle = (below + top) // 2
        if helps(middle):
            top = middle
        else:
            below = middle
    return top


def _evictions(trial: Trial, template: Template, rows: Rows) -> Iterator[Change]:
    """Of each of a few rows the least important pods of lower priority in whose stead this one would fit."""
    priority = trial.world.ranks.priority(trial.pod)
    lacking = shortages(template)
    for row in rows[np.argsort(lacking[rows], kind="stable")][:FEW].tolist():
        lower = sorted(
            (pod for pod in template.world.on_row(row) if pod.priority < priority and not pod.leaving),
            key=lambda pod: (-pod.priority, pod.started or "~", pod.uid),
        )
        if not lower or refusal_if(template, row, gone=lower) is not None:
            continue
        gone = list(lower)
        for pod in lower:
            rest = [other for other in gone if other is not pod]
            if rest and refusal_if(template, row, gone=rest) is None:
                gone = rest
        yield Evict(_name(template, row), tuple(gone))


def _repelling(template: Template, rows: Rows) -> Iterator[Change]:
    """The pods that keep such pods away, whatever their priority, if they are on the node itself."""
    for row in rows[:FEW].tolist():
        there: dict[str, Placed] = {}
        for bond, found in template.affinity.repelling(row):
            there |= {pod.uid: pod for pod in pods_of(template.world, bond, found, repelling=True)}
        name = _name(template, row)
        if there and all(pod.node == name for pod in there.values()):
            yield Evict(name, tuple(there.values()))
