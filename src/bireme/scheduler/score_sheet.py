"""Score columns side by side, brought up to date together. See `score_column.py` and ADR 0012.

With many kinds of pods in turns, what changed since a kind's last turn is mostly what the others have to look at too.
A few changes a column looks at by itself; once there are more, the sheet looks at them for all columns on it, in as
many steps of numpy as one column would take. A column that nobody asked for in a while leaves the sheet: looking for
it then costs about as much as it would take to catch up alone.
"""

import numpy as np

from bireme.ledger.columns import Amounts, Columns
from bireme.scheduler import scores
from bireme.scheduler.nodes import Numbers, Rows
from bireme.scheduler.scores import REFUSED

IDLE = 1000
"""Changes after which a column that nobody asked for leaves the sheet."""
MOST = 1 << 18
"""Scores that are renewed together."""
FIRST = 8


class Wants:
    """What demands ask, one after the other along the last axis: the `least` that must be free of each resource, what
    is taken of cpu and memory, what they are taken to use of both, and how much the even use of both counts."""

    __slots__ = ("balance_weight", "least", "taken", "used")

    def __init__(self, least: Amounts, taken: Amounts, used: Amounts, balance_weight: Numbers) -> None:
        self.least, self.taken, self.used, self.balance_weight = least, taken, used, balance_weight

    @classmethod
    def room(cls, count: int, resources: int) -> "Wants":
        """For so many demands."""
        least, taken, used = (np.zeros((rows, count), dtype=np.int64) for rows in (resources, 2, 2))
        return cls(least, taken, used, np.zeros(count))

    def first(self, count: int) -> "Wants":
        """The first of them."""
        return Wants(self.least[:, :count], self.taken[:, :count], self.used[:, :count], self.balance_weight[:count])

    def put(self, place: int, other: "Wants", at: int = 0) -> None:
        """Have in this place what stands there in the other."""
        self.least[:, place], self.taken[:, place] = other.least[:, at], other.taken[:, at]
        self.used[:, place], self.balance_weight[place] = other.used[:, at], other.balance_weight[at]


def weigh(wants: Wants, static: Numbers, rows: Rows, columns: Columns, *, fit_weight: int) -> Numbers:
    """The scores of these rows, each for all demands, in the usual case: least allocated, cpu and memory evenly.

    `static` has for each row and demand what else counts, and is `REFUSED` where a filter says so.
    """
    have, taken = columns.allocatable.T.take(rows, axis=1), columns.promised.T.take(rows, axis=1)
    # By resource, row and demand. So the inner loops run over demands, and what they divide by is one number.
    fits = np.logical_and.reduce((have - taken)[:, :, None] >= wants.least[:, None], axis=0)
    used = columns.scored.T.take(rows, axis=1)[:, :, None] + wants.used[:, None]
    before = taken[:2, :, None]
    fit, even = scores.usual(used, before + wants.taken[:, None], before, np.maximum(have[:2, :, None], 1))
    even *= wants.balance_weight
    if fit_weight != 1:
        fit *= fit_weight
    even += fit
    even += static
    np.copyto(even, REFUSED, where=~fits)
    return even


class Scored:
    """Who has a row of scores, and of what counts for them that no placement changes. Both are the sheet's while it
    is on one. `asked` is the place in the ledger's log at which it was last brought up to date."""

    wants: Wants
    score: Numbers
    static: Numbers
    asked: int
    is_on_sheet: bool


class Sheet:
    """The columns of one profile that are asked for in turns, as rows of two tables."""

    def __init__(self, columns: Columns, *, fit_weight: int) -> None:
        self._columns, self._fit_weight = columns, fit_weight
        self.members: list[Scored] = []
        self.position = 0
        self._generation = -1
        self._wants = Wants.room(0, 0)
        self._score: Numbers = np.zeros((0, 0))
        self._static: Numbers = np.zeros((0, 0))

    def add(self, member: Scored) -> None:
        """Have a column that is up to date."""
        columns = self._columns
        if self._generation != columns.generation:
            self._clear()
            self._generation = columns.generation
        if not self.members:
            self.position = columns.position
        place = len(self.members)
        if place == len(self._score):
            self._grow()
        self.members.append(member)
        self._wants.put(place, member.wants)
        self._score[place], self._static[:, place] = member.score, member.static
        member.score, member.static, member.is_on_sheet = self._score[place], self._static[:, place], True

    def refresh(self) -> bool:
        """Bring all columns up to date with the ledger; False if that would be too much, and none is here now.

        Called by one that lags behind, which says in `asked` that it was asked first.
        """
        columns = self._columns
        position = columns.position
        self._drop_idle(position - IDLE)
        count = len(self.members)
        rows = columns.log_since(self.position)
        if rows is None or len(rows) * count > MOST or len(rows) * 4 > columns.capacity:
            self._clear()
            return False
        self.position = position
        wants, static = self._wants.first(count), self._static[rows, :count]
        self._score[:count, rows] = weigh(wants, static, rows, columns, fit_weight=self._fit_weight).T
        return True

    def remove(self, member: Scored) -> None:
        """The column keeps its scores by itself from now on."""
        place, last = self.members.index(member), self.members.pop()
        _part(member)
        if last is not member:
            self.members[place] = last
            self._wants.put(place, self._wants, at=len(self.members))
            self._score[place], self._static[:, place] = last.score, last.static
            last.score, last.static = self._score[place], self._static[:, place]

    def _drop_idle(self, before: int) -> None:
        for member in [each for each in self.members if each.asked < before]:
            self.remove(member)

    def _clear(self) -> None:
        for member in self.members:
            _part(member)
        self.members = []
        self._wants = Wants.room(0, 0)
        self._score, self._static = np.zeros((0, self._columns.capacity)), np.zeros((self._columns.capacity, 0))

    def _grow(self) -> None:
        """Room for as many columns again."""
        count, columns = len(self.members), self._columns
        room = max(FIRST, 2 * count)
        wants = Wants.room(room, len(columns.names))
        score, static = np.zeros((room, columns.capacity)), np.zeros((columns.capacity, room))
        score[:count], static[:, :count] = self._score[:count], self._static[:, :count]
        for place, member in enumerate(self.members):
            wants.put(place, self._wants, at=place)
            member.score, member.static = score[place], static[:, place]
        self._wants, self._score, self._static = wants, score, static


def _part(member: Scored) -> None:
    member.score, member.static, member.is_on_sheet = member.score.copy(), member.static.copy(), False
