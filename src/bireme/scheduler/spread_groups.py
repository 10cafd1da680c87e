"""Rows that stand alike under all constraints of one kind of pod, as groups: what spreading says, it says of a group.

Under a constraint a row stands at its domain or, where each node is a domain by itself, at the number of pods that it
holds. There are far fewer groups than nodes, so a pod costs a short table of groups and one pass that looks up each
row's. How many open rows a group has is kept up by the ledger's log, in which every row is whose pods changed.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from bireme.ledger.columns import Columns
from bireme.scheduler.nodes import Flags, Numbers, Rows
from bireme.scheduler.scores import REFUSED
from bireme.scheduler.tallies import Counts, Domains, Tally

FEW = 8
SPARE = 4
MOST = 1 << 14
"""Groups; if there were more, only those with rows are numbered, anew for each look."""


class Axis:
    """How rows stand under one constraint, and so groups: `digits` has for each group the place in `domains.counts`,
    or, if `by_count`, the number of pods. `here` marks the groups of rows that count."""

    def __init__(self, tally: Tally, domains: Domains, counted: Flags, *, by_count: bool) -> None:
        self.tally, self.domains, self.counted, self.by_count = tally, domains, counted, by_count
        self.digits: Rows = np.zeros(0, dtype=np.intp)
        self.here: Flags = np.zeros(0, dtype=bool)
        self.rows: Counts = np.zeros(0, dtype=np.int64)
        self.radix = self.limit = 0
        self._asked, self._reached = b"", 0

    @property
    def counts(self) -> Counts:
        """The pods in the domain of each group; any number for a group that doesn't count."""
        return self.digits if self.by_count else self.domains.counts.take(self.digits)

    def use(self, radix: int) -> int:
        """Have the rows numbered by counts that begin at this radix; where the next begins."""
        self.rows, self.radix = self.tally.rows, radix
        self.limit = 2 * int(self.rows.max(initial=0)) + SPARE  # and that number for rows that don't count
        return radix * (self.limit + 1)

    def set(self, digits: Rows, away: int) -> None:
        """These are the digits of the groups; `away` is that of rows that don't count."""
        self.digits, self.here = digits, digits != away
        self._asked, self._reached = b"", 0

    def domains_of(self, groups: Flags) -> int:
        """How many domains these groups are of; one pod after the other asks about the same."""
        asked = groups.tobytes()
        if asked != self._asked:
            domains = np.zeros(self.domains.size + 1, dtype=bool)
            domains[self.digits[groups]] = True
            self._asked, self._reached = asked, int(np.count_nonzero(domains[:-1]))
        return self._reached


class Groups:
    """`index` is the group of each row, `open` how many rows with a score each has, `marked` those of marked rows."""

    def __init__(self, axes: Sequence[Axis], marked: Flags | None, columns: Columns) -> None:
        self._columns, self._position = columns, -1
        self._by_count = [axis for axis in axes if axis.by_count]
        self._by_place = [axis for axis in axes if not axis.by_count]
        number = np.zeros(columns.capacity, dtype=np.intp) if marked is None else marked.astype(np.intp)
        for axis in self._by_place:  # numbered without gaps, so that the product stays small
            number = _dense(number * (axis.domains.size + 1) + axis.domains.slots)
        _, self._first = np.unique(number, return_index=True)
        self._number, self._marks = _dense(number), marked
        self._base: Rows = self._number
        self.index: Rows = self._number
        self.open: NDArray[np.intp] = np.zeros(0, dtype=np.intp)
        self.marked: Flags = np.zeros(0, dtype=bool)
        self._is_open: Flags = np.zeros(0, dtype=bool)
        self._moves = False

    def follow(self, score: Numbers) -> None:
        """Bring all up to date with the ledger, as the scores are."""
        position, since = self._columns.position, self._position
        same = since >= 0 and all(axis.tally.rows is axis.rows for axis in self._by_count)
        if same and position == since:
            return
        few = same and self._moves and position - since <= FEW
        if not (few and self._move(self._columns.log_after(since), score)):
            self._start_anew(score)
        self._position = position

    def _move(self, rows: Sequence[int], score: Numbers) -> bool:
        """Have the rows that changed in their groups; False when one holds more pods than there are groups for."""
        for row in rows:
            group = self._base.item(row)
            for axis in self._by_count:
                if axis.counted.item(row):
                    count = axis.rows.item(row)
                    if count >= axis.limit:
                        return False
                    group += axis.radix * count
            if self._is_open.item(row):
                self.open[self.index.item(row)] -= 1
            is_open = score.item(row) != REFUSED
            if is_open:
                self.open[group] += 1
            self._is_open[row], self.index[row] = is_open, group
        return True

    def _start_anew(self, score: Numbers) -> None:
        size = 1
        for axis in self._by_count:
            size = axis.use(size)
        self._base = self._number * size
        index = self._base.copy()
        for axis in self._by_count:
            self._base += np.where(axis.counted, 0, axis.radix * axis.limit)
            index += np.where(axis.counted, axis.rows, axis.limit) * axis.radix
        count = size * len(self._first)
        self._moves = count <= MOST
        groups = np.arange(count) if self._moves else np.unique(index)
        self.index = index if self._moves else _dense(index)
        self._is_open = score > REFUSED
        self.open = np.bincount(self.index[self._is_open], minlength=len(groups))
        for axis in self._by_count:
            axis.set(groups // axis.radix % (axis.limit + 1), axis.limit)
        rows = self._first[groups // size]  # one row of each group's places
        for axis in self._by_place:
            axis.set(axis.domains.slots[rows], axis.domains.size)
        self.marked = np.ones(len(groups), dtype=bool) if self._marks is None else self._marks[rows]


def _dense(numbers: Rows) -> Rows:
    """The same partition, numbered from 0 without gaps, in order."""
    _, dense = np.unique(numbers, return_inverse=True)
    return dense.reshape(-1)
