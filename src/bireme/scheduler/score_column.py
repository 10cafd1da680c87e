"""The scores of one demand over all nodes, as far as each depends on one node alone. See `templates.py`, ADR 0012."""

from collections.abc import Iterable

import numpy as np

from bireme.api import resources
from bireme.ledger.columns import Amounts
from bireme.ledger.ports import NO_PORTS as NO_PORT
from bireme.scheduler import filters, scores
from bireme.scheduler.demand import Demand
from bireme.scheduler.nodes import Flags, Numbers, Rows
from bireme.scheduler.placed import Placed
from bireme.scheduler.profile import Fit, Profile, Score
from bireme.scheduler.score_sheet import Scored, Sheet, Wants, weigh
from bireme.scheduler.scores import REFUSED
from bireme.scheduler.world import World

FEW = 8
NEVER_SHORT = np.iinfo(np.int64).min
NO_PORTS = "node(s) didn't have free ports for the requested pod ports"
TOO_MANY_PODS = "Too many pods"


class Column(Scored):
    """The scores of one demand by what each node has and says. A score of -inf is a refusal.

    Its numbers are on the profile's `sheet` while it is asked for in turns with others.
    """

    def __init__(self, demand: Demand, world: World, profile: Profile, sheet: Sheet) -> None:
        self.demand, self._sheet = demand, sheet
        self.ports = NO_PORT if "NodePorts" in profile.off else demand.ports
        self.uncounted: frozenset[str] = frozenset()
        self._nodes, self._columns, self._profile = world.nodes, world.ledger.columns, profile
        self._fit_weight = profile.weight(Score.FIT)
        self._balance_weight = 0 if demand.is_best_effort else profile.weight(Score.BALANCE)
        self._is_usual = False
        self.asked = self._generation = self._version = -1
        self.is_on_sheet, self.is_kept = False, True
        self._pass_over()
        self.wants = Wants.room(1, 0)
        self.score = self.static = np.zeros(0)
        self.allowed: Flags = np.zeros(0, dtype=bool)
        self.avoided: Numbers | None = None
        self.preferred: Numbers | None = None

    @property
    def is_relative(self) -> bool:
        """Some of the scores compare nodes with each other."""
        return self.avoided is not None or self.preferred is not None

    def drop(self) -> None:
        """Let go of all numbers: they are made anew when somebody asks."""
        if self.is_on_sheet:
            self._sheet.remove(self)
        self._generation = -1
        self.score = self.static = np.zeros(0)
        self.allowed = np.zeros(0, dtype=bool)
        self.avoided = self.preferred = None

    def refresh(self) -> None:
        """Bring the scores up to date with the ledger and the nodes."""
        columns = self._columns
        if self._generation != columns.generation or self._version != self._nodes.version:
            self._start_anew()
            return
        position, since = columns.position, self.asked
        if self.is_on_sheet and self._sheet.position > since:
            since = self._sheet.position
        if position == since:
            return
        self.asked = position
        if self._is_usual and position - since <= FEW:
            self._weigh_few(columns.log_after(since))
        elif not (self.is_on_sheet and self._sheet.refresh()):
            self._catch_up(since)
            if self._is_usual and not self.ports:
                self._sheet.add(self)

    def _catch_up(self, since: int) -> None:
        rows = self._columns.log_since(since)
        if rows is None or len(rows) * 4 > len(self.score):
            self._weigh(np.flatnonzero(self.allowed))
        else:
            self._weigh(rows if self._allows_all else rows[self.allowed[rows]])

    def _start_anew(self) -> None:
        columns, nodes, demand, profile = self._columns, self._nodes, self.demand, self._profile
        if self.is_on_sheet:
            self._sheet.remove(self)
        self._wanted = columns.vector(demand.load.amounts)  # may add a column, and with it a generation
        self._pass_over()
        needed = self.needed()
        self._least = np.where(needed > 0, needed, NEVER_SHORT)
        self._needs = [(index, amount) for index, amount in enumerate(needed.tolist()) if amount > 0]
        self._cpu, self._memory = self._wanted[:2].tolist()
        self._used_cpu, self._used_memory = demand.load.millicores, demand.load.bytes
        self._fitted = [columns.index(name) for name, _ in profile.fit.resources]
        self._balanced = [columns.index(name) for name in profile.balanced]
        self._generation, self._version, self.asked = columns.generation, nodes.version, columns.position
        self.allowed = filters.allowed(demand.spec, nodes, profile)
        self._allows_all = bool(np.array_equal(self.allowed, nodes.present))
        avoided = filters.avoided_taints(demand.spec, nodes)
        self.avoided = avoided if avoided.any() else None
        self.preferred = filters.affinity_weight(demand.spec, nodes, profile)
        self.static = profile.weight(Score.IMAGES) * scores.image_locality(demand.images, nodes)
        self.static[~self.allowed] = REFUSED
        self.score = np.full(columns.capacity, REFUSED)
        self.wants = Wants(
            self._least[:, None],
            self._wanted[:2, None],
            demand.load.scored[:, None],
            np.array([float(self._balance_weight)]),
        )
        has_both = bool(columns.allocatable[self.allowed, :2].all())
        self._is_usual = has_both and profile.fit == Fit() and profile.balanced == ("cpu", "memory")
        self._weigh(np.flatnonzero(self.allowed))

    def _pass_over(self) -> None:
        """Find the resources that a node need not have free, as far as its account goes."""
        amounts, profile = self.demand.load.amounts, self._profile
        delegated = self._columns.delegated if "DynamicResources" not in profile.off else ()
        self.uncounted = frozenset(name for name in amounts if name in delegated or not profile.counts(name))

    def needed(self) -> Amounts:
        """What a node must have free, as a row. To be read, not changed."""
        load, uncounted = self.demand.load, self.uncounted
        if not uncounted:
            return self._columns.row_of(load)
        return self._columns.vector({name: 0 if name in uncounted else n for name, n in load.amounts.items()})

    def has_room(self, rows: Rows) -> Flags:
        """Which of the rows have room for the amounts."""
        columns = self._columns
        return _in_each_column(columns.allocatable[rows] - columns.promised[rows] >= self._least)

    def could_hold(self) -> Flags:
        """The rows that would have room if nothing were on them."""
        return _in_each_column(self._columns.allocatable >= self._least)

    def short_of(self, row: int) -> list[str]:
        """What the row has too little of, in the words of `FailedScheduling`."""
        return self._short(self._columns.allocatable[row] - self._columns.promised[row])

    def short_counts(self, rows: Rows) -> dict[str, int]:
        """How many of the rows have too little of what."""
        free = self._columns.allocatable[rows] - self._columns.promised[rows]
        counts = {index: int((free[:, index] < amount).sum()) for index, amount in self._needs}
        return {self._word(index): count for index, count in counts.items() if count}

    def _short(self, free: Amounts) -> list[str]:
        return [self._word(index) for index, amount in self._needs if free[index] < amount]

    def _word(self, index: int) -> str:
        name = self._columns.names[index]
        return TOO_MANY_PODS if name == resources.PODS else f"Insufficient {name}"

    def refusal_if(self, row: int, *, gone: Iterable[Placed], come: Iterable[Placed]) -> str | None:
        """What the row would be short of if these pods left it and those came; None if of nothing."""
        columns = self._columns
        free = columns.allocatable[row] - columns.promised[row]
        for pod in gone:
            free = free + columns.row_of(pod.demand.load)
        for pod in come:
            free = free - columns.row_of(pod.demand.load)
        if short := self._short(free):
            return short[0]
        if self.ports:
            held = self._nodes.ledger.ports(columns.nodes[row])
            for pod in gone:
                held = held - pod.demand.ports
            if self.ports.overlaps(held) or any(self.ports.overlaps(pod.demand.ports) for pod in come):
                return NO_PORTS
        return None

    def _weigh(self, rows: Rows) -> None:
        """Renew the scores of these rows, which no filter refuses."""
        static = self.static[rows]
        if self._is_usual:
            total = weigh(self.wants, static[:, None], rows, self._columns, fit_weight=self._fit_weight)[:, 0]
        else:
            total = self._weighed_by(self._profile, rows) + static
        if self.ports:
            total[[self.clashes(row) for row in rows.tolist()]] = REFUSED
        self.score[rows] = total

    def _weighed_by(self, profile: Profile, rows: Rows) -> Numbers:
        """What the amounts of these rows count by any profile."""
        columns, wanted = self._columns, self._wanted[:, None]
        # One resource after the other, each a row of numbers over the nodes.
        have, taken = columns.allocatable.T.take(rows, axis=1), columns.promised.T.take(rows, axis=1)
        fits = np.logical_and.reduce(have - taken >= self._least[:, None], axis=0)
        before = taken[self._balanced]
        taken += wanted
        used = taken.copy()  # pods without requests are taken to use some cpu and memory
        used[:2] = columns.scored.T.take(rows, axis=1) + self.demand.load.scored[:, None]
        fit = scores.fit(used[self._fitted], have[self._fitted], profile.fit)
        even = scores.balance(taken[self._balanced], before, have[self._balanced])
        return np.where(fits, fit * self._fit_weight + even * self._balance_weight, REFUSED)

    def _weigh_few(self, rows: Iterable[int]) -> None:
        """As `_weigh` in the usual case, by plain numbers: numpy is slow on few."""
        score, static, numbers = self.score, self.static, self._columns.numbers
        for row in rows:
            base = static.item(row)
            if base == REFUSED:
                continue
            cpu, memory, taken_cpu, taken_memory, used_cpu, used_memory, free = numbers(row)
            fits = not (self.ports and self.clashes(row))
            for index, amount in self._needs:
                if free[index] < amount:
                    fits = False
            if fits:
                fit, even = scores.usual_of_one(
                    used_cpu + self._used_cpu,
                    used_memory + self._used_memory,
                    taken_cpu + self._cpu,
                    taken_memory + self._memory,
                    cpu,
                    memory,
                    taken_cpu,
                    taken_memory,
                )
                score[row] = base + fit * self._fit_weight + even * self._balance_weight
            else:
                score[row] = REFUSED

    def clashes(self, row: int) -> bool:
        """Whether a host port that the pod wants is taken on the row."""
        return self.ports.overlaps(self._nodes.ledger.ports(self._columns.nodes[row]))


def _in_each_column(holds: Flags) -> Flags:
    rows: Flags = np.logical_and.reduce(holds, axis=1)
    return rows
