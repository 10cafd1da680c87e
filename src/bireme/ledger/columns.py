"""Nodes as rows of numbers: what each has, what is promised, and which rows changed since when.

One row a node, one column a resource (cpu in millicores, bytes, units), as 64-bit integers, so that a whole
cluster is compared in a few vector operations. A row of a node that left is used again. Every change puts the
row into a log; a reader keeps its own place in it and looks only at rows that changed since (see ADR 0012).
"""

from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from operator import sub

import numpy as np
from numpy.typing import NDArray

FIRST = ("cpu", "memory", "ephemeral-storage", "pods")
CPU, MEMORY = 0, 1
PODS = 3
DEFAULT_MILLICORES = 100
DEFAULT_BYTES = 200 * 2**20
LOG_LIMIT = 1 << 20
SPARE = 64
"""Columns from which on it is looked whether all of them are in use."""
NUMBERS = 64
"""Rows of which plain numbers are kept."""

Amounts = NDArray[np.int64]


class Load:
    """What a holder takes, by resource name; many holders of one kind share one, and its row is made once."""

    __slots__ = ("amounts", "bytes", "millicores", "of", "row", "scored")

    def __init__(self, amounts: Mapping[str, int]) -> None:
        self.amounts = amounts
        self.millicores = amounts.get("cpu") or DEFAULT_MILLICORES
        self.bytes = amounts.get("memory") or DEFAULT_BYTES
        self.scored: Amounts = np.array((self.millicores, self.bytes), dtype=np.int64)
        self.of: object = None
        self.row: Amounts = np.zeros(0, dtype=np.int64)


RowNumbers = tuple[int, int, int, int, int, int, list[int]]
"""A row as plain numbers: cpu and memory in all, of both what is taken and what counts as used; all that is free."""


class Columns:
    """The table. `rows` maps node names to rows; `live` marks the rows in use."""

    def __init__(self, capacity: int = 64) -> None:
        self.names: list[str] = list(FIRST)
        self._column = {name: index for index, name in enumerate(self.names)}
        self.rows: dict[str, int] = {}
        self.nodes: list[str] = [""] * capacity
        self.live = np.zeros(capacity, dtype=bool)
        self.allocatable = _blank(capacity, len(FIRST))
        self.promised = _blank(capacity, len(FIRST))
        self.scored = _blank(capacity, 2)
        self._free = list(range(capacity - 1, -1, -1))
        self._numbers: dict[int, RowNumbers] = {}
        self._log = array("q")
        self._log_start = 0
        self.delegated: frozenset[str] = frozenset()
        self.generation = 0
        self.layout = object()
        self._tidy_at = SPARE

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def capacity(self) -> int:
        """Rows allotted, used or not: the length of every column."""
        return len(self.nodes)

    def add_node(self, name: str) -> int:
        """The node's row, new or old."""
        row = self.rows.get(name)
        if row is None:
            if not self._free:
                self._grow_rows()
            row = self._free.pop()
            self.rows[name] = row
            self.nodes[row] = name
            self.live[row] = True
            self.touch(row)
        return row

    def remove_node(self, name: str) -> None:
        row = self.rows.pop(name, None)
        if row is not None:
            self.nodes[row] = ""
            self.live[row] = False
            for table in (self.allocatable, self.promised, self.scored):
                table[row] = 0
            self._free.append(row)
            self.touch(row)

    def delegate(self, names: Iterable[str]) -> None:
        """Of these resources, and no others, somebody else says where there is enough: readers start anew."""
        self.delegated = frozenset(names)
        self.generation += 1

    def vector(self, amounts: Mapping[str, int]) -> Amounts:
        """`amounts` as a row; a resource not seen before gets a column."""
        for name in amounts:
            if name not in self._column:
                self._add_column(name)
        row = np.zeros(len(self.names), dtype=np.int64)
        for name, amount in amounts.items():
            row[self._column[name]] = amount
        return row

    def row_of(self, load: Load) -> Amounts:
        """The load as a row, made once. To be read, not changed."""
        if load.of is not self.layout:
            load.row = self.vector(load.amounts)  # may add a column, and with it change the layout
            load.of = self.layout
        return load.row

    def tidy(self) -> None:
        """Drop the columns of resources that no node has and nobody is promised, once there are many.

        Rows of amounts that were made before mean nothing after it: call it when nobody holds any.
        """
        if len(self.names) > self._tidy_at:
            self.drop_unused()
            self._tidy_at = max(SPARE, 2 * len(self.names))

    def drop_unused(self) -> None:
        """See `tidy`. A resource that is asked for again gets a column again."""
        used: NDArray[np.bool_] = np.logical_or.reduce((self.allocatable != 0) | (self.promised != 0), axis=0)
        used[: len(FIRST)] = True
        if used.all():
            return
        kept = np.flatnonzero(used)
        self.names = [self.names[index] for index in kept.tolist()]
        self._numbers.clear()
        self._column = {name: index for index, name in enumerate(self.names)}
        self.allocatable = np.asfortranarray(self.allocatable[:, kept])
        self.promised = np.asfortranarray(self.promised[:, kept])
        self.generation += 1
        self.layout = object()

    def index(self, name: str) -> int:
        """The column of a resource; one not seen before gets a column."""
        if name not in self._column:
            self._add_column(name)
        return self._column[name]

    def set_allocatable(self, row: int, amounts: Mapping[str, int]) -> None:
        vector = self.vector(amounts)
        if not np.array_equal(self.allocatable[row], vector):
            self.allocatable[row] = vector
            self.touch(row)

    def promise(self, row: int, load: Load, *, sign: int = 1) -> None:
        """Add the load to what is promised of the row, or with sign -1 take it back."""
        change = self.row_of(load)
        held = self.promised[row]
        scored = self.scored[row]
        if sign > 0:
            np.add(held, change, out=held)
            np.add(scored, load.scored, out=scored)
        else:
            np.subtract(held, change, out=held)
            np.subtract(scored, load.scored, out=scored)
        self.touch(row)

    def promise_each(self, rows: Sequence[int], load: Load) -> None:
        """Add the load to what is promised of each of these rows, none of which comes twice."""
        if rows:
            self.promised[rows] += self.row_of(load)
            self.scored[rows] += load.scored
            for row in rows:
                self.touch(row)

    def free(self, row: int) -> dict[str, int]:
        """What is left of the row by resource name; below 0 where more was bound than there is."""
        rest = self.allocatable[row] - self.promised[row]
        return {name: int(amount) for name, amount in zip(self.names, rest, strict=True)}

    def free_of(self, rows: Sequence[int]) -> list[list[int]]:
        """The same for many rows at once, as amounts in the order of `names`."""
        found: list[list[int]] = (self.allocatable[rows] - self.promised[rows]).tolist() if rows else []
        return found

    def numbers(self, row: int) -> RowNumbers:
        """The row as plain numbers, kept until it changes: faster than numpy for a few rows."""
        found = self._numbers.get(row)
        if found is None:
            have, taken = self.allocatable[row].tolist(), self.promised[row].tolist()
            used_cpu, used_memory = self.scored[row].tolist()
            free = list(map(sub, have, taken))
            found = (have[CPU], have[MEMORY], taken[CPU], taken[MEMORY], used_cpu, used_memory, free)
            if len(self._numbers) >= NUMBERS:
                self._numbers.clear()
            self._numbers[row] = found
        return found

    def fits(self, rows: Sequence[int], load: Load) -> list[bool]:
        """Of each of these rows, whether all that the load takes is still free."""
        if not rows:
            return []
        wanted = self.row_of(load)
        left = self.allocatable[rows] - self.promised[rows]
        found: list[bool] = np.logical_and.reduce((left >= wanted) | (wanted <= 0), axis=1).tolist()
        return found

    def touch(self, row: int) -> None:
        """The row changed: every reader will look at it again."""
        self._numbers.pop(row, None)
        self._log.append(row)
        if len(self._log) > LOG_LIMIT:
            half = len(self._log) // 2
            del self._log[:half]
            self._log_start += half

    @property
    def position(self) -> int:
        """The end of the log of changed rows."""
        return self._log_start + len(self._log)

    def changed_since(self, position: int) -> list[int] | None:
        """The rows changed since `position`, each once; None when the log no longer reaches back so far."""
        rows = self.log_since(position)
        return None if rows is None else list(dict.fromkeys(rows.tolist()))

    def log_since(self, position: int) -> NDArray[np.int64] | None:
        """As `changed_since`, in the order of the changes and as often as a row changed."""
        if position < self._log_start:
            return None
        return np.frombuffer(self._log[position - self._log_start :], dtype=np.int64)

    def log_after(self, position: int) -> Sequence[int]:
        """As `log_since`, for a position that is near: few plain numbers."""
        return self._log[position - self._log_start :]

    def live_rows(self) -> Iterator[tuple[str, int]]:
        """Names and rows of all nodes, by row."""
        return iter(sorted(self.rows.items(), key=lambda item: item[1]))

    def _grow_rows(self) -> None:
        """A quarter more: rows that nobody uses are looked at in every pass."""
        old = self.capacity
        more = max(64, old // 4)
        self.nodes.extend([""] * more)
        self.live = np.concatenate([self.live, np.zeros(more, dtype=bool)])
        self.allocatable = _longer(self.allocatable, more)
        self.promised = _longer(self.promised, more)
        self.scored = _longer(self.scored, more)
        self._free = list(range(old + more - 1, old - 1, -1))
        self.generation += 1

    def _add_column(self, name: str) -> None:
        self._column[name] = len(self.names)
        self._numbers.clear()
        self.names.append(name)
        self.allocatable = _wider(self.allocatable)
        self.promised = _wider(self.promised)
        self.generation += 1
        self.layout = object()


def _blank(rows: int, columns: int) -> Amounts:
    """A table whose columns lie in memory one after the other: most passes are down a column."""
    return np.zeros((rows, columns), dtype=np.int64, order="F")


def _longer(table: Amounts, rows: int) -> Amounts:
    grown = _blank(len(table) + rows, table.shape[1])
    grown[: len(table)] = table
    return grown


def _wider(table: Amounts) -> Amounts:
    grown = _blank(len(table), table.shape[1] + 1)
    grown[:, :-1] = table
    return grown


def total(vectors: Iterable[Mapping[str, int]]) -> dict[str, int]:
    """The sum of vectors, name by name."""
    result: dict[str, int] = {}
    for vector in vectors:
        for name, amount in vector.items():
            result[name] = result.get(name, 0) + amount
    return result
