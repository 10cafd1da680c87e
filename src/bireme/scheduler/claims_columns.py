"""Where claims could be allocated, kept for claims that ask for the same.

Only nodes where a device was taken, given back or published since are asked again. The first answer takes a look at
every node with devices, which is done a few nodes at a time (`interface.Cold`).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from bireme.aio.clock import Clock
from bireme.api.cel.errors import CelError
from bireme.scheduler.claims_allocator import Wanted, allocate, preference
from bireme.scheduler.claims_cache import Devices
from bireme.scheduler.interface import Cold, Lack, Mask
from bireme.scheduler.node_sets import NodeSets
from bireme.scheduler.profile import Score

NO_DEVICES = "cannot allocate all claims"
COLUMNS = 200
FEW = 200
SLICE_S = 0.01
"""Nodes that are asked, at most, and the time that it may take, before others get their turn."""

Answers = dict[tuple[int, ...], int | str]
"""By what is taken, and by the devices: how much claims like what they would get, `REFUSED`, or what went wrong."""
REFUSED = -1


@dataclass(slots=True)
class Column:
    """The answer for claims of some shapes: nodes that will do, and what went wrong where it was an expression.

    It is right as of `position` in the log of devices and as of `version` of the nodes; `mask` says the same by row.
    """

    allowed: set[str] = field(default_factory=set)
    faults: dict[str, str] = field(default_factory=dict)
    points: dict[str, int] = field(default_factory=dict)
    position: int = -1
    version: int = -1
    everywhere: bool = False
    mask: NDArray[np.bool_] | None = None


class ClaimColumns:
    """See the module. The least recently asked for are dropped first."""

    def __init__(self, devices: Devices, nodes: NodeSets, clock: Clock) -> None:
        self._devices, self._nodes, self._clock = devices, nodes, clock
        self._columns: dict[tuple[bytes, ...], Column] = {}

    def forget(self) -> None:
        """What claims mean has changed."""
        self._columns.clear()

    def of(self, shapes: tuple[bytes, ...], wanted: Sequence[Wanted]) -> Column:
        """The answer for claims of these shapes, of which `wanted` is read. Raises Cold."""
        column = self._columns.pop(shapes, None) or Column()
        self._columns[shapes] = column
        if len(self._columns) > COLUMNS:
            del self._columns[next(iter(self._columns))]
        position, version = self._devices.position, self._nodes.version
        if (column.position, column.version) == (position, version) and column.mask is not None:
            return column
        nodes_count = self._devices.depend_on_labels and column.version != version
        changed = None if nodes_count else self._devices.changed_since(column.position)
        names = self._devices.candidates() if changed is None else changed
        if changed is None:
            column.allowed.clear()
            column.faults.clear()
            column.points.clear()
        left, answers = iter(names), Answers()
        if not self._ask(column, left, wanted, answers):
            raise Cold(self._ask_the_rest(column, list(left), wanted, answers, position, version))
        if changed is None or column.mask is None or column.version != version or not self._nodes.fits(column.mask):
            column.mask = self._nodes.mask(column.allowed)
        else:
            self._nodes.update(column.mask, changed, column.allowed)
        everyone = self._nodes.everyone()
        column.everywhere = len(column.allowed) >= len(everyone) and column.allowed >= everyone
        column.position, column.version = position, version
        return column

    def _ask_the_rest(
        self,
        column: Column,
        names: Sequence[str],
        wanted: Sequence[Wanted],
        answers: Answers,
        position: int,
        version: int,
    ) -> Iterator[None]:
        """Ask these nodes, with breaks. What changes meanwhile comes after `position` in the log."""
        left = iter(names)
        while not self._ask(column, left, wanted, answers):
            yield
        column.position, column.version, column.mask = position, version, None

    def _ask(self, column: Column, names: Iterator[str], wanted: Sequence[Wanted], answers: Answers) -> bool:
        """Ask these nodes, but not for long; whether it was all of them.

        Nodes that reach the very same devices, with as much of them taken, are asked once.
        """
        began = self._clock.monotonic()
        for number, name in enumerate(names, start=1):
            devices = self._devices.on(name)
            same = (self._devices.position, *map(id, devices))
            answer = answers.get(same)
            if answer is None:
                try:
                    picks = allocate(wanted, devices, self._devices.taken, self._devices.pools)
                    answer = preference(wanted, picks) if picks is not None else REFUSED
                except CelError as error:
                    answer = f"{NO_DEVICES}: {error}"
                answers[same] = answer
            column.allowed.discard(name)
            column.faults.pop(name, None)
            column.points.pop(name, None)
            if isinstance(answer, str):
                column.faults[name] = answer
            elif answer != REFUSED:
                column.allowed.add(name)
                if answer:
                    column.points[name] = answer
            if number == FEW or self._clock.monotonic() - began > SLICE_S:
                return False
        return True

    def mask(self, column: Column) -> Mask:
        """The answer as a rule's."""
        faults = dict(column.faults)
        names = self._nodes.names_of_rows() if faults else {}
        assert column.mask is not None
        return Mask(
            column.mask.copy(),
            lambda row: faults.get(names.get(row, ""), NO_DEVICES),
            Lack.DEVICES,
            curable=True,
            score=self._nodes.numbers(column.points) if column.points else None,
            preference=Score.DEVICES,
        )
