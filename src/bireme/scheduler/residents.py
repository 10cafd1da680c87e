"""The pods on each node as rows of numbers, the most important first, for questions of who would have to go.

A row is made when it is first asked for and again after the node's row in the ledger changed. Importance is
Kubernetes': a higher priority, then an earlier start; a pod that has not started counts as starting now.
"""

import functools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bireme.api.times import parse_time
from bireme.ledger.columns import Amounts, Columns
from bireme.scheduler.placed import Placed
from bireme.scheduler.world import World

NOT_YET = np.inf


@dataclass(frozen=True, slots=True)
class Resident:
    """The pods of one node, in their order; `started` in seconds, `amounts` by the ledger's columns."""

    pods: tuple[Placed, ...]
    priority: NDArray[np.int64]
    started: NDArray[np.float64]
    amounts: Amounts

    def below(self, priority: int) -> int:
        """Where the pods of lower priority begin."""
        return int(np.searchsorted(-self.priority, -priority, side="right"))


def start_of(pod: Placed) -> float:
    """When it started, in seconds."""
    return _seconds(pod.started) if pod.started else NOT_YET


@functools.lru_cache(maxsize=1 << 16)
def _seconds(stamp: str) -> float:
    return parse_time(stamp).timestamp()


def by_importance(pods: Iterable[Placed]) -> list[Placed]:
    """The most important first; equals in the order of their uids."""
    return sorted(pods, key=lambda pod: (-pod.priority, start_of(pod), pod.uid))


class Residents:
    """See the module."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._rows: dict[int, Resident] = {}
        self._position = -1
        self._generation = -1

    @property
    def known(self) -> int:
        """How many rows are made: none as long as nobody asked."""
        return len(self._rows)

    def of(self, row: int) -> Resident:
        """The pods on the row, as they were when it last changed."""
        resident = self._rows.get(row)
        if resident is None:
            resident = self._rows[row] = self._made(row)
        return resident

    def refresh(self) -> None:
        """Forget rows that changed."""
        columns = self._world.ledger.columns
        changed = columns.changed_since(self._position)
        if changed is None or columns.generation != self._generation:
            self._rows.clear()
        else:
            for row in changed:
                self._rows.pop(row, None)
        self._position, self._generation = columns.position, columns.generation

    def _made(self, row: int) -> Resident:
        pods = by_importance(self._world.on_row(row))
        columns = self._world.ledger.columns
        amounts = [_amounts(pod, columns) for pod in pods]
        return Resident(
            tuple(pods),
            np.array([pod.priority for pod in pods], dtype=np.int64),
            np.array([start_of(pod) for pod in pods], dtype=np.float64),
            np.stack(amounts) if amounts else np.zeros((0, len(columns.names)), dtype=np.int64),
        )


def _amounts(pod: Placed, columns: Columns) -> Amounts:
    load = pod.demand.load
    return load.row if load.of is columns.layout else columns.vector(load.amounts)


@dataclass(frozen=True, slots=True)
class Stack:
    """The pods below some priority of several rows, row by row, filled up to the longest; `valid` marks real ones."""

    valid: NDArray[np.bool_]
    priority: NDArray[np.int64]
    started: NDArray[np.float64]
    amounts: Amounts
    violating: NDArray[np.bool_]


def stacked(residents: Sequence[Resident], priority: int, columns: NDArray[np.intp]) -> Stack:
    """The pods below `priority` of these rows; of their amounts only some columns. None violates anything yet."""
    cuts = [resident.below(priority) for resident in residents]
    lengths = np.array([len(one.pods) - cut for one, cut in zip(residents, cuts, strict=True)], dtype=np.intp)
    shape = (len(residents), int(lengths.max(initial=0)))
    valid = np.arange(shape[1])[None, :] < lengths[:, None]
    priorities, started = np.zeros(shape, dtype=np.int64), np.zeros(shape)
    amounts = np.zeros((*shape, len(columns)), dtype=np.int64)
    if valid.any():
        pairs = [(one, cut) for one, cut in zip(residents, cuts, strict=True) if cut < len(one.pods)]
        priorities[valid] = np.concatenate([one.priority[cut:] for one, cut in pairs])
        started[valid] = np.concatenate([one.started[cut:] for one, cut in pairs])
        amounts[valid] = np.concatenate([one.amounts[cut:] for one, cut in pairs])[:, columns]
    return Stack(valid, priorities, started, amounts, np.zeros(shape, dtype=bool))
