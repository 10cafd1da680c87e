"""Whom to evict so that several pods find room together: enough of them or nobody is evicted.

The pods are placed on trial one after the other; for one that finds no room, those who would have to go are chosen as
for a single pod, and thought away. When enough are placed, those are let back for whom there is room after all. A
plain call, during which nothing else happens; afterwards the account and the rules are as they were.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace

import numpy as np

from bireme.api.kinds import core
from bireme.client.informer import Key
from bireme.scheduler.cycle import Cycle
from bireme.scheduler.explanation import Explanation
from bireme.scheduler.interface import Cold, Mask, Move, Rule, Stop, Unheard
from bireme.scheduler.nominated import amounts_decide
from bireme.scheduler.placed import Placed
from bireme.scheduler.preempting import Said
from bireme.scheduler.preemption import Choice
from bireme.scheduler.residents import by_importance
from bireme.scheduler.scores import REFUSED
from bireme.scheduler.templates import Template


@dataclass(slots=True)
class _Attempt:
    """What was done in thought so far: pods placed with the rules that hold something for them, and who went."""

    members: frozenset[str]
    but: Rule
    within: Mask | None
    moves: list[Move] = field(default_factory=list)
    held: list[tuple[core.Pod, Sequence[Rule]]] = field(default_factory=list)
    gone: dict[str, tuple[core.Pod, Placed]] = field(default_factory=dict)
    nominations: list[tuple[core.Pod, str]] = field(default_factory=list)
    only_amounts: bool = True


class MakingRoom:
    """See the module. `pod_at` gives pods by name; what is given back within `unheard` goes unnoticed."""

    def __init__(
        self,
        cycle: Cycle,
        pod_at: Callable[[Key], core.Pod | None],
        *,
        unheard: Callable[[], AbstractContextManager[None]],
    ) -> None:
        self._cycle, self._pod_at, self._unheard = cycle, pod_at, unheard

    def plan(
        self, pods: Sequence[core.Pod], wanted: int, *, but: Rule, within: Mask | None = None
    ) -> tuple[Move, ...] | None:
        """Where `wanted` of the pods would go, and who would have to leave for each; nothing where that can't be,
        None while those are leaving who were to for one of them.

        `but` is the rule that asks, `within` the nodes that it leaves. Raises Cold.
        """
        cycle = self._cycle
        ours = [pod for pod in pods if pod.spec.scheduler_name in cycle.names]
        if len(ours) < wanted or not all(map(cycle.may_preempt, ours)):
            return ()
        if any(map(cycle.preempting.objection, ours)):
            return None
        if cycle.preempting.is_cold(max(cycle.world.ranks.priority(pod) for pod in ours)):
            raise Cold(cycle.preempting.warm())
        attempt = _Attempt(frozenset(pod.metadata.uid for pod in pods), but, within)
        with self._unheard():
            try:
                for pod in ours:
                    self._place(pod, attempt)
                    if len(attempt.moves) == wanted:
                        return self._spared(attempt)
                return ()
            finally:
                self._undo(attempt)

    def _place(self, pod: core.Pod, attempt: _Attempt) -> None:
        """Have the pod where it is best, after evictions if need be."""
        cycle, nominated, uid = self._cycle, self._cycle.nominated, pod.metadata.uid
        if cycle.world.ledger.has_pod(uid):
            return
        template, rules = cycle.template(pod), [rule for rule in cycle.rules_of(pod) if rule is not attempt.but]
        said = _said(pod, rules)
        if said is None:
            return
        if attempt.within is not None:
            said.append((attempt.but, attempt.within))
        if node := nominated.node_of(uid):
            nominated.remove(uid)
            attempt.nominations.append((pod, node))
        masks = [mask for _, mask in said]
        held = nominated.mask(template, least=cycle.world.ranks.priority(pod), but=uid)
        if held is not None:
            masks.append(held)
        choice = self._choice(pod, template, said, masks, node)
        victims = self._thought_away(choice, attempt) if choice is not None else None
        if choice is None or victims is None:
            return
        node = cycle.world.ledger.columns.nodes[choice.row]
        for number, rule in enumerate(rules):
            if not rule.reserve(pod, node):
                for reserved in rules[: number + 1]:
                    reserved.release(pod)
                for victim in victims:
                    self._back(victim, attempt)
                return
        template.assume(pod, node)
        attempt.only_amounts = attempt.only_amounts and amounts_decide(template)
        attempt.held.append((pod, rules))
        attempt.moves.append(Move(pod, node, choice.victims))

    def _choice(
        self, pod: core.Pod, template: Template, said: Sequence[Said], masks: Sequence[Mask], node: str
    ) -> Choice | None:
        """A row without victims where there is room; the node that was being made free for the pod before others."""
        scores = template.scores(masks, pod=pod)
        row = self._cycle.world.nodes.row(node) if node else -1
        if row < 0 or scores[row] <= REFUSED:
            row = int(scores.argmax()) if len(scores) else -1
        if row >= 0 and scores[row] > REFUSED:
            return Choice(row, ())
        found = self._cycle.preempting.choose(pod, template, Explanation(template, masks), said)
        return found if isinstance(found, Choice) else None

    def _thought_away(self, choice: Choice, attempt: _Attempt) -> list[Placed] | None:
        """The victims, who have left; None, and nobody has, when one of them is of the same group or not known."""
        pods = [self._pod_at(Key(each.namespace, each.name)) for each in choice.victims]
        known = [pod for pod, each in zip(pods, choice.victims, strict=True) if pod and pod.metadata.uid == each.uid]
        if len(known) < len(choice.victims) or any(each.uid in attempt.members for each in choice.victims):
            return None
        for pod, each in zip(known, choice.victims, strict=True):
            attempt.gone[each.uid] = (pod, each)
            self._cycle.world.displace(each.uid)
        return list(choice.victims)

    def _spared(self, attempt: _Attempt) -> tuple[Move, ...]:
        """The moves, without victims for whom there is room beside all the pods. Where more than room counts for one
        of the pods, nobody is let back."""
        if attempt.only_amounts:
            for victim in by_importance(placed for _, placed in attempt.gone.values()):
                if not victim.unit and self._has_room(victim, attempt):
                    self._back(victim, attempt)
        return tuple(
            replace(move, victims=tuple(each for each in move.victims if each.uid in attempt.gone))
            for move in attempt.moves
        )

    def _has_room(self, victim: Placed, attempt: _Attempt) -> bool:
        world = self._cycle.world
        columns, row = world.ledger.columns, world.nodes.row(victim.node)
        if row < 0 or victim.held or victim.demand.ports.overlaps(world.ledger.ports(victim.node)):
            return False
        free = columns.allocatable[row] - columns.promised[row]
        least = min(self._cycle.world.ranks.priority(move.pod) for move in attempt.moves)
        held = self._cycle.nominated.held(np.array([row]), least=least)
        if held is not None:
            free = free - held[0]
        wanted = columns.row_of(victim.demand.load)
        return bool((wanted <= free)[wanted > 0].all())

    def _back(self, victim: Placed, attempt: _Attempt) -> None:
        pod, placed = attempt.gone.pop(victim.uid)
        self._cycle.world.place(pod, placed.node)

    def _undo(self, attempt: _Attempt) -> None:
        for pod, rules in reversed(attempt.held):
            for rule in rules:
                rule.release(pod)
            self._cycle.world.displace(pod.metadata.uid)
        for _, placed in list(attempt.gone.values()):
            self._back(placed, attempt)
        for pod, node in attempt.nominations:
            self._cycle.nominated.set(pod, node)


def _said(pod: core.Pod, rules: Sequence[Rule]) -> list[Said] | None:
    """What the rules leave; None when that is nothing. Who has to be asked elsewhere is taken to agree."""
    said: list[Said] = []
    for rule in rules:
        try:
            answer = rule.look(pod)
        except Unheard:
            continue
        if isinstance(answer, Stop):
            return None
        said += ((rule, mask) for mask in answer)
    return said
