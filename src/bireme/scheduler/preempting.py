"""When a pod may preempt others, and what is said when that comes to nothing. The choice is `preemption.py`'s.

Costs are kept by demand and priority, so that the many pods of one kind that preempt one after the other look only
at what changed between them.
"""

from collections import Counter, OrderedDict
from collections.abc import Callable, Collection, Iterator, Sequence

import numpy as np

from bireme.api.kinds import core, policy
from bireme.client.informer import Key
from bireme.scheduler.budgets import Budgets, budget_of
from bireme.scheduler.explanation import Explanation, message, refusal_if
from bireme.scheduler.interface import Mask, Rule, Yielding
from bireme.scheduler.nodes import Flags
from bireme.scheduler.nominated import Nominated, amounts_decide
from bireme.scheduler.preemption import NO_VICTIMS, NOT_HELPFUL, Choice, Costs, choose_exactly
from bireme.scheduler.residents import Residents
from bireme.scheduler.templates import Template
from bireme.scheduler.world import World

Said = tuple[Rule, Mask]
LIMIT = 64
SLICE = 100
"""Rows of pods that are made before others get their turn."""
NEVER = "not eligible due to preemptionPolicy=Never."
UNDER_WAY = "not eligible due to a terminating pod on the nominated node."


class Preempting:
    """See the module. `doomed` are the uids of victims that have not left yet."""

    def __init__(self, world: World, nominated: Nominated) -> None:
        self._world, self._nominated = world, nominated
        self._residents = Residents(world)
        self._budgets = Budgets()
        self._costs: OrderedDict[tuple[bytes, int, frozenset[str]], Costs] = OrderedDict()
        self._warmed_at = -(1 << 62)
        self.doomed: set[str] = set()

    def set_budget(self, key: Key, budget: policy.PodDisruptionBudget | None) -> None:
        """The budget is this now, or gone."""
        if self._budgets.set(key, budget_of(budget) if budget is not None else None) and self._costs:
            rows = {pod.row for pod in self._world.placed.values() if pod.namespace == key.namespace and pod.row >= 0}
            for costs in self._costs.values():
                costs.touch(rows)

    def started(self, row: int) -> None:
        """A pod on the row says when it started: who is the youngest may have changed."""
        if self._costs:
            self._world.ledger.columns.touch(row)

    def warm(self) -> Iterator[None]:
        """Read the pods of all nodes, with a break now and then; a decision after that is quick."""
        self._residents.refresh()
        for number, row in enumerate(np.flatnonzero(self._world.ledger.columns.live).tolist()):
            self._residents.of(row)
            if number % SLICE == SLICE - 1:
                yield
        self._warmed_at = self._world.ledger.columns.position

    def is_cold(self, priority: int) -> bool:
        """There are pods of lower priority, and most have not been read yet, or have changed since."""
        columns = self._world.ledger.columns
        changed = columns.position - self._warmed_at > len(columns)
        return changed and self._residents.known * 2 < len(columns) and self._is_above_some(priority)

    def _is_above_some(self, priority: int) -> bool:
        return any(other < priority for other in self._world.priorities)

    def objection(self, pod: core.Pod) -> str:
        """Why the pod may not preempt others now; "" when it may."""
        if not self._world.ranks.may_preempt(pod):
            return NEVER
        node, priority = self._nominated.node_of(pod.metadata.uid), self._world.ranks.priority(pod)
        row = self._world.nodes.row(node) if node else -1
        if row >= 0 and any(
            each.priority < priority and (each.leaving or each.uid in self.doomed) for each in self._world.on_row(row)
        ):
            return UNDER_WAY
        return ""

    def choose(
        self,
        pod: core.Pod,
        template: Template,
        found: Explanation,
        said: Sequence[Said],
        seen: list[Choice] | None = None,
    ) -> Choice | str:
        """Whom to evict for the pod, or why that would not help. `seen` takes all that were worth a look."""
        uid, priority = pod.metadata.uid, self._world.ranks.priority(pod)
        among, yielding = found.curable, []
        for rule, mask in said:
            if isinstance(rule, Yielding) and mask.curable:
                yielding.append(rule)
            else:
                among = among & mask.allowed
        if not self._is_above_some(priority):
            return self._message(among, Counter({NO_VICTIMS: int(among.sum())}))
        costs = self._cost(template, priority)
        simple = amounts_decide(template) and not yielding and not self._nominated.repels(least=priority)
        simple = simple and not self._world.units
        if simple and seen is None and not self._nominated.node_of(uid):
            choice = costs.best(among)
        else:
            refused = self._refused(pod, template, yielding)
            rows = costs.in_order(among)
            choice = choose_exactly(
                rows,
                self._world.on_row,
                refused,
                whole=self._world.together_with,
                priority=priority,
                budgets=self._budgets,
                enough=template.profile.candidates.among(int(among.sum())),
                seen=seen,
            )
        return choice if choice is not None else self._why_not(template, costs, among)

    def _refused(
        self, pod: core.Pod, template: Template, rules: Sequence[Yielding]
    ) -> Callable[[int, Collection[str]], bool]:
        """Whether a row refuses the pod still when others are gone: with those who are to come there, and without."""
        world, nodes = self._world, self._world.ledger.columns.nodes
        uid, priority = pod.metadata.uid, self._world.ranks.priority(pod)

        def refused(row: int, gone: Collection[str]) -> bool:
            leaving = [each for each in world.on_row(row) if each.uid in gone]
            come = self._nominated.on(nodes[row], least=priority, but=uid)
            if come and refusal_if(template, row, gone=leaving, come=come) is not None:
                return True
            if refusal_if(template, row, gone=leaving) is not None:
                return True
            return not all(rule.would_allow(pod, nodes[row], gone) for rule in rules)

        return refused

    def _cost(self, template: Template, priority: int) -> Costs:
        key = (template.demand.key, priority, template.column.uncounted)
        costs = self._costs.get(key)
        if costs is None:
            costs = self._costs[key] = Costs(
                self._world,
                self._residents,
                template.column.needed,
                priority,
                held=lambda rows: self._nominated.held(rows, least=priority),
                budgets=self._budgets,
            )
            if len(self._costs) > LIMIT:
                self._costs.popitem(last=False)
        self._costs.move_to_end(key)
        return costs

    def _why_not(self, template: Template, costs: Costs, among: Flags) -> str:
        costs.refresh()
        reasons = Counter({NO_VICTIMS: int((among & ~costs.lower).sum())})
        for row in np.flatnonzero(among & costs.lower).tolist():
            gone = [each for each in self._world.on_row(row) if each.priority < costs.priority]
            reasons[refusal_if(template, row, gone=gone) or NOT_HELPFUL] += 1
        return self._message(among, reasons)

    def _message(self, among: Flags, reasons: Counter[str]) -> str:
        """What is said of the nodes in question, and of all others that they are hopeless."""
        present = self._world.nodes.present
        reasons[NOT_HELPFUL] += int((present & ~among).sum())
        return message(int(present.sum()), ((reason, count) for reason, count in reasons.items() if count))
