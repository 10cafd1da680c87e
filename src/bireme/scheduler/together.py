"""Whether several pods could all be placed now: they are placed one after the other, and taken off again.

A plain call, during which nothing else happens; afterwards the account and the rules are as they were.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager

import numpy as np

from bireme.api.kinds import core
from bireme.scheduler.cycle import Cycle
from bireme.scheduler.interface import Mask, Rule, Stop, Unheard
from bireme.scheduler.scores import REFUSED
from bireme.scheduler.templates import Template


class Together:
    """Tries pods on over a cycle's world, as `Rule.look` may raise Cold. What is given back within `unheard` goes
    unnoticed."""

    def __init__(self, cycle: Cycle, *, unheard: Callable[[], AbstractContextManager[None]]) -> None:
        self._cycle, self._unheard = cycle, unheard

    def could_place(self, pods: Sequence[core.Pod], wanted: int, *, but: Rule, within: Mask | None = None) -> bool:
        """Whether at least `wanted` of the pods could be placed together; `but` is the rule that asks, `within` the
        nodes that it leaves."""
        placed: list[tuple[core.Pod, list[Rule]]] = []
        nominated, left = self._cycle.nominated, len(pods)
        held = [(pod, node) for pod in pods if (node := nominated.node_of(pod.metadata.uid))]
        with self._unheard():
            try:
                for pod, _ in held:  # what is held for one of them is held for all
                    nominated.remove(pod.metadata.uid)
                for pod in pods:
                    left -= 1
                    rules = self._place(pod, but, within)
                    if rules is not None:
                        placed.append((pod, rules))
                    if len(placed) >= wanted or len(placed) + left < wanted:
                        break
                return len(placed) >= wanted
            finally:
                for pod, rules in reversed(placed):
                    for rule in rules:
                        rule.release(pod)
                    self._cycle.world.displace(pod.metadata.uid)
                for pod, node in held:
                    nominated.set(pod, node)

    def _place(self, pod: core.Pod, but: Rule, within: Mask | None) -> list[Rule] | None:
        """The rules with which something is held for the pod, which is placed; None when it isn't."""
        cycle = self._cycle
        if pod.spec.scheduler_name not in cycle.names or cycle.world.ledger.has_pod(pod.metadata.uid):
            return None
        template, rules = cycle.template(pod), [rule for rule in cycle.rules_of(pod) if rule is not but]
        masks = _masks(cycle, pod, template, rules)
        if masks is None:
            return None
        row = template.best(masks if within is None else [*masks, within], pod=pod)
        if row is None:
            return None
        node = cycle.world.ledger.columns.nodes[row]
        for number, rule in enumerate(rules):
            if not rule.reserve(pod, node):
                for reserved in rules[: number + 1]:
                    reserved.release(pod)
                return None
        template.assume(pod, node)
        return rules


def open_nodes(cycle: Cycle, pod: core.Pod, *, but: Rule) -> frozenset[str]:
    """The nodes that would do for the pod now, as far as everybody but this rule goes. Raises Cold."""
    template = cycle.template(pod)
    masks = _masks(cycle, pod, template, [rule for rule in cycle.rules_of(pod) if rule is not but])
    if masks is None:
        return frozenset()
    nodes = cycle.world.ledger.columns.nodes
    rows = np.flatnonzero(template.scores(masks, pod=pod) > REFUSED)
    return frozenset(nodes[row] for row in rows.tolist())


def _masks(cycle: Cycle, pod: core.Pod, template: Template, rules: Sequence[Rule]) -> list[Mask] | None:
    """What the rules leave, and those for whom room is being made; None where that is nothing."""
    masks: list[Mask] = []
    for rule in rules:
        try:
            answer = rule.look(pod)
        except Unheard:
            continue  # who has to be asked elsewhere is taken to agree
        if isinstance(answer, Stop):
            return None
        masks += answer
    held = cycle.nominated.mask(template, least=cycle.world.ranks.priority(pod), but=pod.metadata.uid)
    return masks if held is None else [*masks, held]
