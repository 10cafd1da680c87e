"""The tree of roles and frameworks, and the kept order of siblings in it.

Siblings stand sorted in runs of some dozens, each with the set of the seats below it, so that whole runs of those
who may not have something are passed in one step. An order is brought up to date when somebody asks for it: what
came to hold more meanwhile is moved, or all are sorted anew if that was many of them.
"""

from bisect import bisect_left, insort
from collections.abc import Sequence
from dataclasses import dataclass, field
from operator import mul

Scale = Sequence[float]
"""What a share of each resource is to be multiplied with: one over all that the cluster has of it, or 0."""

_RUN = 32
_FEW, _PART = 8, 4  # more than so many, and one in so many, have to be moved for all to be sorted anew


@dataclass(slots=True, eq=False)
class Client:
    """A node of the tree. `entry` is where it stands among its siblings; a leaf has a seat's number.

    `late` are the children that no longer stand where they should, `is_late` whether it is one of its parent's.
    """

    name: str
    parent: "Client | None"
    weight: float = 1.0
    number: int = -1
    used: list[int] = field(default_factory=list)
    times: int = 0
    seats: int = 0
    entry: "Entry" = field(init=False)
    late: "list[Client]" = field(default_factory=list)
    is_late: bool = False
    _children: "dict[str, Client]" = field(default_factory=dict)
    _named: "list[Client] | None" = None
    _order: "_Siblings | None" = None

    def __post_init__(self) -> None:
        self.entry = (0.0, 0, self.name, self)

    @property
    def children(self) -> "list[Client]":
        """Those below it, by name."""
        if self._named is None:
            self._named = [self._children[name] for name in sorted(self._children)]
        return self._named

    def child(self, name: str) -> "Client | None":
        return self._children.get(name)

    def add(self, child: "Client") -> None:
        self._children[child.name] = child
        self._named = self._order = None

    def remove(self, child: "Client") -> None:
        del self._children[child.name]
        self._named = self._order = None

    def share(self, scale: Scale) -> float:
        """The largest part that it holds of any one resource, over its weight."""
        return max(map(mul, self.used, scale), default=0.0) / self.weight

    def changed(self) -> None:
        """It holds something else, or weighs something else: before it is asked for, its place is found anew."""
        if not self.is_late and self.parent is not None:
            self.is_late = True
            self.parent.late.append(self)

    def flip(self, seats: int) -> None:
        """These seats below it begin or cease to take offers."""
        self.seats ^= seats
        if self.parent is not None and self.parent._order is not None:
            self.parent._order.flip(self.entry, seats)

    def first(self, among: int, scale: Scale) -> "Client | None":
        """The first of its children with one of these seats below it."""
        children = self._named
        if children is not None and len(children) == 1:
            return children[0] if children[0].seats & among else None
        order = self._order
        if order is None or order.scale is not scale or len(self.late) > max(_FEW, len(self._children) // _PART):
            order = self._order = self._sorted(scale)
        elif self.late:
            for child in self.late:
                old, child.entry, child.is_late = child.entry, child.entry_by(scale), False
                order.move(old, child.entry)
            self.late.clear()
        return order.first(among)

    def entry_by(self, scale: Scale) -> "Entry":
        """Where it stands: smaller shares first, then who was given less often, then the name."""
        return (self.share(scale), self.times, self.name, self)

    def _sorted(self, scale: Scale) -> "_Siblings":
        for child in self.children:
            child.entry, child.is_late = child.entry_by(scale), False
        self.late.clear()
        return _Siblings(sorted(child.entry for child in self.children), scale)


Entry = tuple[float, int, str, Client]


class _Siblings:
    """Entries in order, in runs; of each run its last entry and the seats below all of it."""

    __slots__ = ("ends", "runs", "scale", "seats")

    def __init__(self, entries: list[Entry], scale: Scale) -> None:
        self.scale = scale
        self.runs = [entries[at : at + _RUN] for at in range(0, len(entries), _RUN)]
        self.ends = [run[-1] for run in self.runs]
        self.seats = [_below(run) for run in self.runs]

    def move(self, old: Entry, new: Entry) -> None:
        """Put a client's new entry in place of its old one."""
        runs, ends = self.runs, self.ends
        at = bisect_left(ends, old)
        run = runs[at]
        del run[bisect_left(run, old)]
        if len(runs) == 1:
            insort(run, new)
            ends[0] = run[-1]
        else:
            self._leave(at, old[3])
            at = min(bisect_left(ends, new), len(ends) - 1)
            run = runs[at]
            insort(run, new)
            ends[at] = run[-1]
            self.seats[at] |= new[3].seats
        if len(run) > 2 * _RUN:
            self._split(at)

    def first(self, among: int) -> Client | None:
        """The first client with one of these seats below it."""
        for seats, run in zip(self.seats, self.runs, strict=True):
            if seats & among:
                for entry in run:
                    if entry[3].seats & among:
                        return entry[3]
        return None

    def flip(self, entry: Entry, seats: int) -> None:
        """These seats below the client of an entry begin or cease to take offers."""
        self.seats[bisect_left(self.ends, entry)] ^= seats

    def _leave(self, at: int, client: Client) -> None:
        if self.runs[at]:
            self.ends[at] = self.runs[at][-1]
            self.seats[at] &= ~client.seats
        else:
            del self.runs[at], self.ends[at], self.seats[at]

    def _split(self, at: int) -> None:
        run = self.runs[at]
        parts = [run[:_RUN], run[_RUN:]]
        self.runs[at : at + 1] = parts
        self.ends[at : at + 1] = [part[-1] for part in parts]
        self.seats[at : at + 1] = [_below(part) for part in parts]


def _below(run: list[Entry]) -> int:
    seats = 0
    for entry in run:
        seats |= entry[3].seats
    return seats
