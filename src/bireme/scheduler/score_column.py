"""The scores of one demand over all nodes, as far as each depends on one node alone. See `templates.py`, ADR 0012."""

from collections.abc import Iterable

import numpy as np

from bireme.api import resources
from bireme.ledger.columns import CPU, MEMORY, Amounts
from bireme.ledger.ports import NO_PORTS as NO_PORT
from bireme.scheduler import filters, scores
from bireme.scheduler.demand import Demand
from bireme.scheduler.nodes import Flags, Numbers, Rows
from bireme.scheduler.placed import Placed
from bireme.scheduler.profile import Fit, Profile, Score
from bireme.scheduler.world import World

FEW = 6
REFUSED = -np.inf
NEVER_SHORT = np.iinfo(np.int64).min
NO_PORTS = "node(s) didn't have free ports for the requested pod ports"
TOO_MANY_PODS = "Too many pods"


class Column:
    """The scores of one demand by what each node has and says. A score of -inf is a refusal."""

    def __init__(self, demand: Demand, world: World, profile: Profile) -> None:
        self.demand = demand
        self.ports = NO_PORT if "NodePorts" in profile.off else demand.ports
        self.uncounted = frozenset(name for name in demand.load.amounts if not profile.counts(name))
        self._nodes, self._columns, self._profile = world.nodes, world.ledger.columns, profile
        self._fit_weight = profile.weight(Score.FIT)
        self._balance_weight = 0 if demand.is_best_effort else profile.weight(Score.BALANCE)
        self._is_usual = False
        self._position = self._generation = self._version = -1
        self.score: Numbers = np.zeros(0)
        self.open: Flags = np.zeros(0, dtype=bool)
        self.allowed: Flags = np.zeros(0, dtype=bool)
        self.avoided: Numbers | None = None
        self.preferred: Numbers | None = None

    @property
    def is_relative(self) -> bool:
        """Some of the scores compare nodes with each other."""
        return self.avoided is not None or self.preferred is not None

    def refresh(self) -> None:
        """Bring the scores up to date with the ledger and the nodes."""
        columns = self._columns
        if self._generation != columns.generation or self._version != self._nodes.version:
            self._start_anew()
            return
        position = columns.position
        if self._position == position:
            return
        rows = columns.log_since(self._position)
        self._position = position
        if rows is None or len(rows) * 4 > len(self.score):
            self._weigh(np.flatnonzero(self.allowed))
        elif len(rows) <= FEW and self._is_usual:
            for row in rows.tolist():
                self._weigh_one(row)
        else:
            self._weigh(rows if self._allows_all else rows[self.allowed[rows]])

    def _start_anew(self) -> None:
        columns, nodes, demand, profile = self._columns, self._nodes, self.demand, self._profile
        self._wanted = columns.vector(demand.load.amounts)  # may add a column, and with it a generation
        needed = self.needed()
        self._least = np.where(needed > 0, needed, NEVER_SHORT)
        self._needs = [(index, amount) for index, amount in enumerate(needed.tolist()) if amount > 0]
        self._cpu, self._memory = self._wanted[:2].tolist()
        self._fitted = [columns.index(name) for name, _ in profile.fit.resources]
        self._balanced = [columns.index(name) for name in profile.balanced]
        self._generation, self._version, self._position = columns.generation, nodes.version, columns.position
        self.allowed = filters.allowed(demand.spec, nodes, but=profile.off)
        self._allows_all = bool(np.array_equal(self.allowed, nodes.present))
        avoided = filters.avoided_taints(demand.spec, nodes)
        self.avoided = avoided if avoided.any() else None
        self.preferred = filters.affinity_weight(demand.spec, nodes)
        self._static = profile.weight(Score.IMAGES) * scores.image_locality(demand.images, nodes)
        self.score = np.full(columns.capacity, REFUSED)
        self.open = np.zeros(columns.capacity, dtype=bool)
        has_both = bool(columns.allocatable[self.allowed, :2].all())
        self._is_usual = has_both and profile.fit == Fit() and profile.balanced == ("cpu", "memory")
        self._weigh(np.flatnonzero(self.allowed))

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
        columns, load = self._columns, self.demand.load
        # One resource after the other, each a row of numbers over the nodes.
        have, taken = columns.allocatable.T.take(rows, axis=1), columns.promised.T.take(rows, axis=1)
        fits = np.logical_and.reduce(have - taken >= self._least[:, None], axis=0)
        if self.ports:
            fits &= np.array([not self.clashes(row) for row in rows.tolist()], dtype=bool)
        used = columns.scored.T.take(rows, axis=1) + load.scored[:, None]
        if self._is_usual:
            fit, even = scores.usual(used, taken[:2] + self._wanted[:2, None], have[:2])
        else:
            taken += self._wanted[:, None]
            scored = taken.copy()
            scored[:2] = used  # pods without requests are taken to use some cpu and memory
            fit = scores.fit(scored[self._fitted], have[self._fitted], self._profile.fit)
            even = scores.balance(taken[self._balanced], have[self._balanced])
        if self._fit_weight != 1:
            fit = fit * self._fit_weight
        if self._balance_weight != 1:
            even = even * self._balance_weight
        total = self._static.take(rows)
        total += fit
        total += even
        total[~fits] = REFUSED
        self.open[rows] = fits
        self.score[rows] = total

    def _weigh_one(self, row: int) -> None:
        """As `_weigh` for one row in the usual case, by plain numbers: numpy is slow on few."""
        if not self.allowed[row]:
            return
        columns, load = self._columns, self.demand.load
        capacity, promised = columns.allocatable[row].tolist(), columns.promised[row].tolist()
        fits = not (self.ports and self.clashes(row))
        for index, amount in self._needs:
            if capacity[index] - promised[index] < amount:
                fits = False
        self.open[row] = fits
        if not fits:
            self.score[row] = REFUSED
            return
        cpu, memory = columns.scored[row].tolist()
        fit, even = scores.usual_of_one(
            cpu + load.millicores,
            memory + load.bytes,
            promised[CPU] + self._cpu,
            promised[MEMORY] + self._memory,
            capacity[CPU],
            capacity[MEMORY],
        )
        self.score[row] = self._static.item(row) + fit * self._fit_weight + even * self._balance_weight

    def clashes(self, row: int) -> bool:
        """Whether a host port that the pod wants is taken on the row."""
        return self.ports.overlaps(self._nodes.ledger.ports(self._columns.nodes[row]))


def _in_each_column(holds: Flags) -> Flags:
    rows: Flags = np.logical_and.reduce(holds, axis=1)
    return rows
