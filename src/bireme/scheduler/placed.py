"""Pods on nodes by what they say of each other: labels, counted by row, and the bonds of those that have any.

Pods with equal namespace and labels share a `LabelSet`; a question about labels is asked of each set once and not of
each pod. Who is where is `world.py`'s.
"""

import weakref
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

from bireme.scheduler.demand import Demand
from bireme.scheduler.tallies import Tally
from bireme.scheduler.terms import Bond, Side, Term, bonds_of

HELD = 100
"""Demands of pods with equal labels whose bonds are kept at hand."""


@dataclass(frozen=True, slots=True)
class Question:
    """Pods that all the terms mean. Those that are being deleted count or not."""

    terms: tuple[Term, ...]
    leaving_count: bool = True


class LabelSet:
    """The pods with one namespace and equal labels: how many are on which row, and how many of them are leaving.

    It tells the tallies that count such pods of each that comes or goes, as long as somebody keeps them.
    """

    __slots__ = ("__weakref__", "_held", "_of_all", "_of_staying", "labels", "leaving", "namespace", "rows")

    def __init__(self, namespace: str, labels: Mapping[str, str]) -> None:
        self.namespace, self.labels = namespace, labels
        self.rows: Counter[int] = Counter()
        self.leaving: Counter[int] = Counter()
        self._of_all: list[weakref.ref[Tally]] = []
        self._of_staying: list[weakref.ref[Tally]] = []
        self._held: dict[bytes, tuple[Held, ...]] = {}

    def held(self, demand: Demand, bond: "Callable[[Side, Bond], Held]") -> "tuple[Held, ...]":
        """The bonds of a placed pod with these labels and this demand, of which `bond` has the counts."""
        held = self._held.get(demand.key)
        if held is None:
            bonds = bonds_of(demand.spec, self.namespace, self.labels)
            held = tuple(bond(side, each) for side, each in bonds.sides())
            if len(self._held) >= HELD:
                self._held.clear()
            self._held[demand.key] = held
        return held

    def tell(self, tallies: Iterable[tuple[Question, Tally]]) -> None:
        """These tallies, and no others, count such pods from now on."""
        self._of_all, self._of_staying = [], []
        for question, tally in tallies:
            self.tell_also(question, tally)

    def tell_also(self, question: Question, tally: Tally) -> None:
        """This tally counts such pods too."""
        told = self._of_all if question.leaving_count else self._of_staying
        told[:] = [reference for reference in told if reference() is not None]
        told.append(weakref.ref(tally))

    def counts(self, question: Question) -> Iterator[tuple[int, int]]:
        """Rows, and how many of these pods count on each."""
        for row, count in self.rows.items():
            counted = count if question.leaving_count else count - self.leaving[row]
            if counted:
                yield row, counted

    def add(self, row: int, count: int, *, leaving: bool) -> None:
        """So many more pods on the row."""
        count_in(self.rows, row, count)
        if leaving:
            count_in(self.leaving, row, count)
        for references in (self._of_all,) if leaving else (self._of_all, self._of_staying):
            for reference in references:
                tally = reference()
                if tally is not None:
                    tally.add(row, count)


def count_in(counter: Counter[int], row: int, count: int) -> None:
    """So many more; who has none left is not kept."""
    counter[row] += count
    if not counter[row]:
        del counter[row]


@dataclass(slots=True, eq=False)
class Placed:
    """A pod on a node. `row` is -1 while the node is not here. Pods of one `unit` are evicted together."""

    uid: str
    namespace: str
    name: str
    node: str
    row: int
    priority: int
    started: str
    labels: LabelSet
    demand: Demand
    leaving: bool
    generation: int | None
    held: "tuple[Held, ...]" = ()
    unit: str = ""


@dataclass(slots=True, eq=False, weakref_slot=True)
class Held:
    """The placed pods with one bond, counted: what the bond does to newcomers that it is about."""

    side: Side
    bond: Bond
    tally: Tally
    pods: int = 0
