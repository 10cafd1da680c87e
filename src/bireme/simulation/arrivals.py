"""When jobs come: by chance, in bursts, at told times, or as a trace has it."""

import math
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import NamedTuple

from bireme.simulation.scenario import Arrivals, Burst, Poisson
from bireme.simulation.traces import Row, read_trace

DAY_S = 86400.0


class Arrival(NamedTuple):
    """One job; a trace says more of it than when."""

    at: float
    row: Row | None = None


def arrivals(wanted: Arrivals, random: Random, *, folder: Path, end: float) -> Iterator[Arrival]:
    """All that come before `end`, in the order of their time. Raises ScenarioError for a trace that can't be read."""
    last = end if wanted.until is None else min(end, wanted.until)
    if wanted.trace:
        rows = read_trace(folder / wanted.trace)
        yield from (Arrival(row.at, row) for row in rows if row.at < last)
        return
    if wanted.poisson is not None:
        times = _poisson(wanted.poisson, random)
    elif wanted.burst is not None:
        times = _bursts(wanted.burst, random)
    else:
        times = iter(sorted(wanted.at))
    for at in times:
        if at >= last:
            return
        yield Arrival(at)


def _poisson(wanted: Poisson, random: Random) -> Iterator[float]:
    """Arrivals at the highest rate, of which those are left out that the hour does not bring (thinning)."""
    if wanted.rate <= 0:
        return
    highest, at = wanted.rate * (1 + wanted.daily), 0.0
    while True:
        at += -math.log(1.0 - random.random()) / highest
        now = 1 + wanted.daily * math.cos(2 * math.pi * (at - wanted.peak) / DAY_S)
        if not wanted.daily or random.random() * (1 + wanted.daily) < now:
            yield at


def _bursts(wanted: Burst, random: Random) -> Iterator[float]:
    begin = wanted.first
    while True:
        yield from sorted(begin + wanted.over * random.random() for _ in range(wanted.size))
        begin += max(wanted.every, wanted.over, 1e-6)
