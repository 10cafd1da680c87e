"""Which pods a disruption budget protects, and how many of them may go: what preemption reads of budgets."""

import weakref
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from bireme.api.errors import BadRequest
from bireme.api.kinds import policy
from bireme.api.selectors import NOTHING, LabelSelector
from bireme.client.informer import Key, key_of
from bireme.scheduler.placed import LabelSet, Placed


@dataclass(frozen=True, slots=True)
class Budget:
    """A disruption budget: `allowed` more of its pods may go; those named in `disrupted` are counted already."""

    key: Key
    selector: LabelSelector
    allowed: int = 0
    disrupted: frozenset[str] = frozenset()

    def covers(self, labels: LabelSet) -> bool:
        """Whether pods with these labels are protected. An empty selector protects none from preemption."""
        return (
            self.key.namespace == labels.namespace
            and bool(labels.labels)
            and not self.selector.everything
            and self.selector.matches(labels.labels)
        )


def budget_of(budget: policy.PodDisruptionBudget) -> Budget:
    """What preemption reads of a budget. A selector that can't be read protects nothing."""
    try:
        selector = LabelSelector.from_struct(budget.spec.selector)
    except BadRequest:
        selector = NOTHING
    return Budget(
        key_of(budget), selector, budget.status.disruptions_allowed or 0, frozenset(budget.status.disrupted_pods)
    )


class Budgets:
    """All budgets, and which of them cover pods with which labels."""

    def __init__(self) -> None:
        self._budgets: dict[Key, Budget] = {}
        self._covering: weakref.WeakKeyDictionary[LabelSet, tuple[Key, ...]] = weakref.WeakKeyDictionary()

    def __bool__(self) -> bool:
        return bool(self._budgets)

    def set(self, key: Key, budget: Budget | None) -> bool:
        """The budget is this now, or gone. Whether that changes what may go."""
        old = self._budgets.get(key)
        if old == budget:
            return False
        if budget is None:
            del self._budgets[key]
        else:
            self._budgets[key] = budget
        if old is None or budget is None or old.selector != budget.selector:
            self._covering.clear()
        return True

    def covering(self, labels: LabelSet) -> tuple[Key, ...]:
        """The budgets of pods with these labels."""
        if not self._budgets:
            return ()
        keys = self._covering.get(labels)
        if keys is None:
            keys = tuple(key for key, budget in self._budgets.items() if budget.covers(labels))
            self._covering[labels] = keys
        return keys

    def violations(self, pods: Sequence[Placed]) -> list[bool]:
        """For each pod, whether a budget is overdrawn if it goes after those that stand before it."""
        spent: Counter[Key] = Counter()
        found = []
        for pod in pods:
            violated = False
            for key in self.covering(pod.labels):
                budget = self._budgets[key]
                if pod.name not in budget.disrupted:
                    spent[key] += 1
                    violated = violated or spent[key] > budget.allowed
            found.append(violated)
        return found
