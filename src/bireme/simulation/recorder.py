"""What is measured while a scenario is played: waits, utilisation, fairness. Exact sums over time, no sampling.

Utilisation is the integral of what pods on nodes that live request, over that of what these nodes have. A wait is
the time from a pod's making to its placement. The dominant share of a namespace is the largest part that its pods'
requests take of any one resource (Ghodsi et al., NSDI 2011); Jain's index over the namespaces that want something is
(sum x)^2 / (n * sum x^2) (Jain et al., DEC-TR-301, 1984).
"""

from array import array
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple


class Placement(NamedTuple):
    """One placement. `wait` counts from the pod's making, `tries` the attempts it took."""

    time: float
    namespace: str
    pod: str
    workload: str
    node: str
    wait: float
    tries: int


class Sample(NamedTuple):
    """How things stood at a time. `used` and `have` are amounts, `shares` dominant shares by namespace."""

    time: float
    used: Mapping[str, int]
    have: Mapping[str, int]
    placed: int
    waiting: int
    shares: Mapping[str, float]
    jain: float


@dataclass(slots=True)
class Tally:
    """Counts of one namespace: what its pods hold, how many wait."""

    used: dict[str, int] = field(default_factory=dict)
    waiting: int = 0
    placed: int = 0


class Recorder:
    """Takes notes. Every change is told before the next one, with its time."""

    def __init__(self) -> None:
        self.now = 0.0
        self.placements: list[Placement] = []
        self.waits: dict[str, array[float]] = {}
        self.samples: list[Sample] = []
        self.counts: dict[str, int] = {}
        self.least_available: dict[str, float] = {}
        self.used: dict[str, int] = {}
        self.have: dict[str, int] = {}
        self.used_time: dict[str, float] = {}
        self.have_time: dict[str, float] = {}
        self.tallies: dict[str, Tally] = {}
        self.waiting = self.placed = 0
        self.longest_queue = 0

    def at(self, now: float) -> None:
        """Time went on to `now`: what held until then is summed up."""
        span = now - self.now
        if span > 0:
            for name, amount in self.used.items():
                self.used_time[name] = self.used_time.get(name, 0.0) + amount * span
            for name, amount in self.have.items():
                self.have_time[name] = self.have_time.get(name, 0.0) + amount * span
            self.now = now

    def count(self, what: str, by: int = 1) -> None:
        """Something happened that is only counted."""
        self.counts[what] = self.counts.get(what, 0) + by

    def capacity(self, amounts: Mapping[str, int], sign: int) -> None:
        """A node came (1) or went (-1)."""
        _add(self.have, amounts, sign)

    def came(self, namespace: str) -> None:
        """A pod was made, and waits."""
        self.tally(namespace).waiting += 1
        self.waiting += 1
        self.longest_queue = max(self.longest_queue, self.waiting)

    def gave_up(self, namespace: str) -> None:
        """A pod that waited is not wanted any more."""
        self.tally(namespace).waiting -= 1
        self.waiting -= 1

    def was_placed(self, placement: Placement, amounts: Mapping[str, int]) -> None:
        """A pod got its node."""
        self.gave_up(placement.namespace)
        self.placements.append(placement)
        self.waits.setdefault(placement.workload, array("d")).append(placement.wait)
        self.holds(placement.namespace, amounts, 1)

    def holds(self, namespace: str, amounts: Mapping[str, int], sign: int) -> None:
        """A pod takes what it requests of a node that lives (1), or does so no more (-1)."""
        tally = self.tally(namespace)
        tally.placed += sign
        self.placed += sign
        _add(tally.used, amounts, sign)
        _add(self.used, amounts, sign)

    def available(self, workload: str, part: float) -> None:
        """So much of a deployment serves, after all of it once did."""
        self.least_available[workload] = min(part, self.least_available.get(workload, 1.0))

    def tally(self, namespace: str) -> Tally:
        found = self.tallies.get(namespace)
        if found is None:
            found = self.tallies[namespace] = Tally()
        return found

    def sample(self) -> None:
        """Note how things stand."""
        shares = {
            name: round(dominant_share(tally.used, self.have), 9)
            for name, tally in sorted(self.tallies.items())
            if tally.placed or tally.waiting
        }
        sample = Sample(
            self.now, dict(self.used), dict(self.have), self.placed, self.waiting, shares, jain(shares.values())
        )
        self.samples.append(sample)


def dominant_share(used: Mapping[str, int], have: Mapping[str, int]) -> float:
    """The largest part that `used` takes of any one resource but pods."""
    parts = (amount / have[name] for name, amount in used.items() if name != "pods" and have.get(name))
    return max(parts, default=0.0)


def jain(shares: Iterable[float]) -> float:
    """1 when all have the same, 1/n when one has all; 1 when nobody has anything."""
    found = list(shares)
    squares = sum(share * share for share in found)
    return sum(found) ** 2 / (len(found) * squares) if squares else 1.0


def _add(to: dict[str, int], amounts: Mapping[str, int], sign: int) -> None:
    for name, amount in amounts.items():
        to[name] = to.get(name, 0) + sign * amount
