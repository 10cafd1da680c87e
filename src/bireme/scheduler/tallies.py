"""How many placed pods answer to a question, by row and by the values of a label: kept up, never counted anew.

A tally is told of each pod that comes or goes and belongs to it. `Domains` are its sums over nodes that share a
label's value (a topology domain); they may leave nodes out. Sums are counted anew only after nodes themselves have
changed.
"""

import weakref

import numpy as np
from numpy.typing import NDArray

from bireme.scheduler.nodes import Flags, Nodes, Rows

Counts = NDArray[np.int64]


class Tally:
    """The count of pods by row; `total` is the sum over nodes that are here."""

    def __init__(self, nodes: Nodes) -> None:
        self._nodes = nodes
        self.rows: Counts = np.zeros(nodes.capacity, dtype=np.int64)
        self.total = 0
        self._whole: dict[str, Domains] = {}
        self._partial: list[weakref.ref[Domains]] = []

    def add(self, row: int, count: int) -> None:
        """So many more pods on the row; fewer with a negative count."""
        if row >= len(self.rows):
            self.grow()
        self.rows[row] += count
        self.total += count
        for domains in self._whole.values():
            domains.add(row, count)
        for reference in self._partial:
            partial = reference()
            if partial is not None:
                partial.add(row, count)

    def grow(self) -> None:
        """Have as many rows as the nodes' columns."""
        more = self._nodes.capacity - len(self.rows)
        if more > 0:
            self.rows = np.concatenate([self.rows, np.zeros(more, dtype=np.int64)])

    def set(self, rows: Counts) -> None:
        """These are the counts now."""
        self.rows = rows
        self.total = int(rows.sum())
        partial = [domains for reference in self._partial if (domains := reference()) is not None]
        for domains in (*self._whole.values(), *partial):
            domains.recount()

    def by(self, key: str) -> "Domains":
        """The sums by the values of a label, over all nodes that have it."""
        domains = self._whole.get(key)
        if domains is None:
            domains = self._whole[key] = Domains(self, key, self._nodes)
        domains.refresh(None)
        return domains

    def partly_by(self, key: str) -> "Domains":
        """Sums of the caller's own, to be refreshed with the mask of the nodes that count."""
        domains = Domains(self, key, self._nodes)
        self._partial = [*(reference for reference in self._partial if reference() is not None), weakref.ref(domains)]
        return domains


class Domains:
    """The sums of a tally by a label's values.

    `slots[row]` is the place of the row's domain in `counts`; rows that don't count share the last place, which
    counts nothing. There are `size` domains, each with a node that counts.
    """

    def __init__(self, tally: Tally, key: str, nodes: Nodes) -> None:
        self.key = key
        self._tally = tally
        self._nodes = nodes
        self._version = -1
        self.size = 0
        self.slots: Rows = np.zeros(0, dtype=np.intp)
        self.counts: Counts = np.zeros(1, dtype=np.int64)

    def add(self, row: int, count: int) -> None:
        """See `Tally.add`."""
        if self._version == self._nodes.version:
            slot = self.slots.item(row)
            if slot < self.size:
                self.counts[slot] += count

    @property
    def is_known(self) -> bool:
        """Whether the sums are kept up; else it is to be refreshed."""
        return self._version == self._nodes.version

    def forget(self) -> None:
        """Count anew when next refreshed."""
        self._version = -1

    def recount(self) -> None:
        """The tally's rows are others now; the nodes are as they were, or whoever asks refreshes first."""
        if self._version == self._nodes.version:
            rows = self._tally.rows[: len(self.slots)]
            sums = np.bincount(self.slots[: len(rows)], weights=rows, minlength=self.size + 1)
            self.counts = sums.astype(np.int64)
            self.counts[-1] = 0

    def refresh(self, mask: Flags | None) -> None:
        """Count anew if nodes changed; `mask` says which count."""
        if self._version == self._nodes.version:
            return
        self._version = self._nodes.version
        self._tally.grow()
        column = self._nodes.label(self.key)
        counted = column.ids >= 0
        if mask is not None:
            counted = counted & mask
        ids = column.ids[counted]
        there = np.bincount(ids, minlength=len(column.values)) > 0
        self.size = int(there.sum())
        places = np.cumsum(there) - 1
        self.slots = np.full(len(column.ids), self.size, dtype=np.intp)
        self.slots[counted] = places[ids]
        sums = np.bincount(self.slots[counted], weights=self._tally.rows[counted], minlength=self.size + 1)
        self.counts = sums.astype(np.int64)

    def least(self) -> int:
        """The smallest sum of any domain, 0 without domains."""
        return int(self.counts[: self.size].min()) if self.size else 0
