"""Whom to evict, at least cost, so that a pod of higher priority finds room.

On each node where that could help, all pods of lower priority are thought away and then let back one by one, those
first whose loss a disruption budget forbids, then by importance; who does not fit any more is a victim. The node is
chosen by fewest violated budgets, lowest priority of its most important victim, smallest sum of priorities, fewest
victims, the latest start of the most important victim, and then the first.

Where amounts alone decide, this is done for all nodes at once, and again only for nodes that changed: `Costs` keeps
the outcome by row for each (demand, priority). Where other pods, ports or a rule have a say, each node needs an
exact answer of its own: `choose_exactly`, over the nodes that the amounts alone make look best.

Source: the Kubernetes documentation, "Pod Priority and Preemption"; the order is that of kube-scheduler.
"""

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bireme.ledger.columns import Amounts
from bireme.scheduler.budgets import Budgets
from bireme.scheduler.placed import Placed
from bireme.scheduler.residents import Residents, Stack, by_importance, stacked, start_of
from bireme.scheduler.world import World

LIFT = 1 << 31
"""Lifts every priority above 0, so that a sum of few is less than one of many."""
NO_VICTIMS = "No preemption victims found for incoming pod"
NOT_HELPFUL = "Preemption is not helpful for scheduling"
LEAST = np.iinfo(np.int64).min

Whole = Callable[[Placed], Collection[Placed]]
Rows = NDArray[np.intp]
Flags = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Choice:
    """The pods that must leave a row, the most important first."""

    row: int
    victims: tuple[Placed, ...]
    violations: int = 0

    @property
    def cost(self) -> tuple[float, ...]:
        """Less is better; the criteria of the module, in their order."""
        highest = self.victims[0].priority
        started = min(start_of(pod) for pod in self.victims if pod.priority == highest)
        total = sum(pod.priority + LIFT for pod in self.victims)
        return self.violations, highest, total, len(self.victims), -started


class Costs:
    """What room for one demand costs on each row, in evictions below one priority, by amounts alone.

    `held` gives what others of at least this priority are promised of some rows beside what is booked there.
    """

    def __init__(
        self,
        world: World,
        residents: Residents,
        wanted: Callable[[], Amounts],
        priority: int,
        *,
        held: Callable[[Rows], Amounts | None],
        budgets: Budgets,
    ) -> None:
        self._columns = world.ledger.columns
        self._residents, self._held, self._budgets = residents, held, budgets
        self._ask, self.priority = wanted, priority
        self._position = self._generation = -1
        self._stale: set[int] = set()

    def touch(self, rows: Iterable[int]) -> None:
        """Budgets of pods on these rows changed."""
        self._stale.update(rows)

    def refresh(self) -> None:
        """Look again at rows that changed."""
        columns = self._columns
        if self._generation != columns.generation:
            self._wanted = self._ask()  # first of all: it may add a column
        self._residents.refresh()
        changed = columns.changed_since(self._position) if self._generation == columns.generation else None
        if changed is None:
            self._allot()
            rows = np.flatnonzero(columns.live)
        else:
            rows = np.array(sorted(self._stale.union(changed)), dtype=np.intp)
        self._stale.clear()
        self._position, self._generation = columns.position, columns.generation
        if len(rows):
            self._look(rows)

    def best(self, among: Flags) -> Choice | None:
        """The cheapest of these rows; None when evicting makes room on none."""
        self.refresh()
        rows = np.flatnonzero(among & self.helps)
        for cost in (self.violations, self.highest, self.total, self.count, -self.started):
            if len(rows) > 1:
                values = cost[rows]
                rows = rows[values == values.min()]
        return self._choice(int(rows[0])) if len(rows) else None

    def in_order(self, among: Flags) -> list[int]:
        """These rows, as far as evicting would make room, the cheapest first."""
        self.refresh()
        rows = np.flatnonzero(among & self.fits)
        keys = (-self.started, self.count, self.total, self.highest, self.violations)
        return [int(row) for row in rows[np.lexsort([key[rows] for key in keys])]]

    def _allot(self) -> None:
        capacity = self._columns.capacity
        self.lower: Flags = np.zeros(capacity, dtype=bool)
        self.fits: Flags = np.zeros(capacity, dtype=bool)
        self.helps: Flags = np.zeros(capacity, dtype=bool)
        self.violations, self.highest = np.zeros(capacity, dtype=np.int64), np.zeros(capacity, dtype=np.int64)
        self.total, self.count = np.zeros(capacity, dtype=np.int64), np.zeros(capacity, dtype=np.int64)
        self.started = np.zeros(capacity)

    def _look(self, rows: Rows) -> None:
        stack, victims, fits = self._reprieved(rows)
        some = victims.any(axis=1)
        self.lower[rows], self.fits[rows], self.helps[rows] = stack.valid.any(axis=1), fits, fits & some
        self.violations[rows] = (victims & stack.violating).sum(axis=1)
        self.count[rows] = victims.sum(axis=1)
        self.total[rows] = np.where(victims, stack.priority + LIFT, 0).sum(axis=1)
        highest = np.where(victims, stack.priority, LEAST).max(axis=1, initial=LEAST)
        self.highest[rows] = highest
        top = victims & (stack.priority == highest[:, None])
        self.started[rows] = np.where(top, stack.started, np.inf).min(axis=1, initial=np.inf)

    def _reprieved(self, rows: Rows) -> tuple[Stack, Flags, Flags]:
        columns = self._columns
        used = np.flatnonzero(self._wanted > 0)
        wanted = self._wanted[used]
        residents = [self._residents.of(row) for row in rows.tolist()]
        stack = stacked(residents, self.priority, used)
        if self._budgets:
            for number, resident in enumerate(residents):
                pods = resident.pods[resident.below(self.priority) :]
                stack.violating[number, : len(pods)] = self._budgets.violations(pods)
        free = columns.allocatable[np.ix_(rows, used)] - columns.promised[np.ix_(rows, used)]
        held = self._held(rows)
        if held is not None:
            free -= held[:, used]
        victims, fits = reprieve(free - wanted, stack)
        return stack, victims, fits & columns.live[rows]

    def _choice(self, row: int) -> Choice:
        stack, victims, _ = self._reprieved(np.array([row], dtype=np.intp))
        resident = self._residents.of(row)
        pods = resident.pods[resident.below(self.priority) :]
        chosen = tuple(pod for pod, goes in zip(pods, victims[0], strict=True) if goes)
        return Choice(row, chosen, int((victims & stack.violating).sum()))


def reprieve(room: Amounts, stack: Stack) -> tuple[Flags, Flags]:
    """Who must go from each row, and whether it helps at all.

    `room` is what each row has left, by column, when the newcomer has come and nobody has gone: below 0 where short.
    """
    order = np.argsort(~stack.violating, axis=1, kind="stable") if stack.violating.any() else None
    amounts, valid = stack.amounts, stack.valid
    if order is not None:
        amounts, valid = (
            np.take_along_axis(amounts, order[:, :, None], axis=1),
            np.take_along_axis(valid, order, axis=1),
        )
    left = room + amounts.sum(axis=1)
    fits: Flags = (left >= 0).all(axis=1)
    goes = valid & fits[:, None]
    for place in range(valid.shape[1]):
        less = left - amounts[:, place]
        stays = goes[:, place] & (less >= 0).all(axis=1)
        goes[:, place] &= ~stays
        np.copyto(left, less, where=stays[:, None])
    if order is None:
        return goes, fits
    victims = np.zeros_like(goes)
    np.put_along_axis(victims, order, goes, axis=1)
    return victims, fits


def choose_exactly(
    rows: Iterable[int],
    pods_on: Callable[[int], Iterable[Placed]],
    refused: Callable[[int, Collection[str]], bool],
    *,
    priority: int,
    budgets: Budgets,
    enough: int,
    seen: list[Choice] | None = None,
    whole: Whole = lambda pod: (pod,),
) -> Choice | None:
    """The cheapest of the first `enough` rows on which evictions help; of equals the one that comes first.

    As in the original, the search goes on while all that was found violates budgets.

    `refused` tells whether a row still refuses the pod when the pods with these uids are gone. `seen` takes all the
    choices there were.
    """
    best: Choice | None = None
    found = 0
    for row in rows:
        choice = victims_on(row, pods_on(row), refused, priority=priority, budgets=budgets, whole=whole)
        if choice is None:
            continue
        found += 1
        if seen is not None:
            seen.append(choice)
        if best is None or choice.cost < best.cost:
            best = choice
        if found >= enough and not best.violations:
            break
    return best


def victims_on(
    row: int,
    pods: Iterable[Placed],
    refused: Callable[[int, Collection[str]], bool],
    *,
    priority: int,
    budgets: Budgets,
    whole: Whole = lambda pod: (pod,),
) -> Choice | None:
    """Who must leave this row, asked one after the other, those first whom a budget protects; None when there is
    nobody, or when it does not help. `whole` gives those who go with a pod, wherever they are."""
    lower = [pod for pod in pods if pod.priority < priority]
    gone = {pod.uid for pod in lower}
    if not gone or refused(row, gone):
        return None
    units = _units(lower, whole)
    everyone = by_importance(pod for unit in units for pod in unit)
    forbidden = dict(zip((pod.uid for pod in everyone), budgets.violations(everyone), strict=True))
    leaving = {pod.uid for pod in everyone}
    for unit in sorted(units, key=lambda unit: not any(forbidden[pod.uid] for pod in unit)):
        back = {pod.uid for pod in unit}
        if not refused(row, gone - back):
            gone -= back
            leaving -= back
    victims = tuple(pod for pod in everyone if pod.uid in leaving)
    return Choice(row, victims, sum(forbidden[pod.uid] for pod in victims)) if victims else None


def _units(pods: Iterable[Placed], whole: Whole) -> list[list[Placed]]:
    """Who goes together, the most important first: of equal priority groups before pods, and the larger before."""
    units: dict[str, list[Placed]] = {}
    for pod in by_importance(pods):
        units.setdefault(pod.unit or pod.uid, by_importance(whole(pod)))
    return sorted(units.values(), key=lambda unit: (-unit[0].priority, not unit[0].unit, -len(unit)))
