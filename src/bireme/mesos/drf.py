"""Whose turn it is: dominant-resource fairness over a tree of roles, with frameworks as its leaves.

Each client's share is the largest part that it holds of any one resource of the cluster, over its weight; the
smallest share goes first, then who was given less often, then the name. Siblings are compared with each other:
a role's share includes all below it, and frameworks that subscribed to an inner role stand under a virtual child
of it, beside its sub-roles. What frameworks hold that take no offers now counts for their role all the same.

The order is kept: giving or taking moves one entry a level. Siblings stand sorted in runs of some dozens, each
with the set of the seats below it, so that whole runs of those who may not have something are passed in one step.
Who may have what is the allocator's affair. See ADR 0021.
Source: Ghodsi et al., Dominant Resource Fairness, NSDI 2011, sections 4.2 and 4.3; the Mesos hierarchical sorter.
"""

from bisect import bisect_left, insort
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from operator import add, mul, sub

import numpy as np
from numpy.typing import NDArray

from bireme.mesos.turns import Numbers, Shares, sequence

Vector = Mapping[str, int]

_RUN = 32


def dominant_share(used: Vector, total: Vector, *, weight: float = 1.0) -> float:
    """The largest part that `used` takes of any one resource, over `weight`.

    Resources of which the cluster has none are left out; with nothing used the share is 0.
    """
    return max((amount / total[name] for name, amount in used.items() if total.get(name)), default=0.0) / weight


class _Siblings:
    """Entries in order, in runs; of each run its last entry and the seats below all of it."""

    __slots__ = ("ends", "runs", "seats")

    def __init__(self, entries: "list[_Entry]") -> None:
        self.runs = [entries[at : at + _RUN] for at in range(0, len(entries), _RUN)]
        self.ends = [run[-1] for run in self.runs]
        self.seats = [_below(run) for run in self.runs]

    def move(self, old: "_Entry", new: "_Entry") -> None:
        """Put a client's new entry in place of its old one."""
        runs, ends = self.runs, self.ends
        at = 0 if len(runs) == 1 else bisect_left(ends, old)
        run = runs[at]
        if run[0] is old:
            del run[0]
        else:
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

    def first(self, among: int) -> "_Client | None":
        """The first client with one of these seats below it."""
        for seats, run in zip(self.seats, self.runs, strict=True):
            if seats & among:
                for entry in run:
                    if entry[3].seats & among:
                        return entry[3]
        return None

    def flip(self, entry: "_Entry", seats: int) -> None:
        """These seats below the client of an entry begin or cease to take offers."""
        self.seats[bisect_left(self.ends, entry)] ^= seats

    def _leave(self, at: int, client: "_Client") -> None:
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


@dataclass(slots=True, eq=False)
class _Client:
    """A node of the tree. `entry` is where it stands among its siblings; a leaf has a seat's number."""

    name: str
    parent: "_Client | None"
    weight: float = 1.0
    number: int = -1
    used: list[int] = field(default_factory=list)
    times: int = 0
    seats: int = 0
    children: dict[str, "_Client"] = field(default_factory=dict)
    order: _Siblings = field(default_factory=lambda: _Siblings([]))
    entry: "_Entry" = field(init=False)

    def __post_init__(self) -> None:
        self.entry = (0.0, 0, self.name, self)


_Entry = tuple[float, int, str, _Client]


@dataclass(slots=True, eq=False)
class _Due:
    """What was charged to a seat, but not entered: some amounts so many times, further ones, and turns."""

    amounts: Vector
    times: int
    turns: int
    more: list[tuple[Vector, int]] = field(default_factory=list)


class FairOrder:
    """The order of all seats, kept up as amounts are given and taken. `total` is the whole cluster."""

    def __init__(self) -> None:
        self._columns: dict[str, None] = {}
        self._total: dict[str, int] = {}
        self._scale: list[float] = []
        self._weights: dict[str, float] = {}
        self._root = _Client("", None)
        self._leaves: dict[int, _Client] = {}
        self._sorted = True
        self._due: dict[int, _Due] = {}
        self._last: tuple[Vector, list[int]] = ({}, [])

    def set_total(self, total: Vector) -> None:
        """How much the whole cluster has."""
        if self._total != total:
            self._total = dict(total)
            self._sorted = False

    def set_weight(self, role: str, weight: float) -> None:
        """Roles have weight 1 until told otherwise."""
        if self._weights.get(role, 1.0) != weight:
            self._weights[role] = weight
            client = self._role(role)
            if client is not None:
                client.weight = weight
            self._sorted = False

    def enter(self, number: int, role: str, framework: str) -> None:
        """A seat, which takes no offers yet; once is enough."""
        if number in self._leaves:
            return
        client, path = self._root, ""
        for segment in (*role.split("/"), ""):
            path = f"{path}/{segment}" if path else segment
            weight = self._weights.get(path, 1.0) if segment else 1.0
            client = self._child(client, segment, weight)
        leaf = self._leaves[number] = self._child(client, framework, 1.0)
        leaf.number = number
        self._sorted = False

    def leave(self, number: int) -> None:
        """The seat is no more, and what it held is nobody's."""
        self._settle()
        self.take_offers(number, taking=False)
        client = self._leaves.pop(number)
        used, above = client.used, client
        self._sorted = False
        while above.parent is not None:
            above.used = list(map(sub, above.used, used))
            above = above.parent
        while client.parent is not None and not client.children:
            del client.parent.children[client.name]
            client = client.parent

    def take_offers(self, number: int, *, taking: bool) -> None:
        """Whether the seat has its place in the order now; what it holds counts either way."""
        client, bit = self._leaves[number], 1 << number
        if taking == bool(client.seats):
            return
        while client.parent is not None:
            client.seats ^= bit
            if self._sorted:
                client.parent.order.flip(client.entry, bit)
            client = client.parent
        client.seats ^= bit

    def charge(self, number: int, amounts: Vector, *, sign: int = 1, turns: int = 0) -> None:
        """Count `amounts` as held by a seat (with sign -1: no longer), and that it had so many turns more."""
        self._vector(amounts)
        due = self._due.get(number)
        if due is None:
            self._due[number] = _Due(amounts, sign, turns)
            return
        due.turns += turns
        if due.amounts is amounts:  # many agents are alike: they are counted, and multiplied once
            due.times += sign
        else:
            due.more.append((due.amounts, due.times))
            due.amounts, due.times = amounts, sign

    def turns(self, among: int, amounts: Vector, count: int) -> list[int]:
        """Whose the next turns are, as `first` would say if each was charged these amounts."""
        self._know(amounts)
        self._settle()
        given = np.array(self._vector(amounts), dtype=np.int64)
        if not self._root.seats & among or not count:
            return []
        found: list[int] = self._turns(self._root, among, given, np.array(self._scale), count).tolist()
        return found

    def _turns(self, client: _Client, among: int, given: Numbers, scale: Shares, count: int) -> NDArray[np.intp]:
        if client.number >= 0:
            return np.full(count, client.number, dtype=np.intp)
        children = [child for child in client.children.values() if child.seats & among]
        if len(children) == 1:
            return self._turns(children[0], among, given, scale, count)
        used = np.array([child.used for child in children], dtype=np.int64)
        weights = np.array([child.weight for child in children])
        names, times = [child.name for child in children], [child.times for child in children]
        places = sequence(used, given, scale, weights, times, names, count)
        found = np.empty(count, dtype=np.intp)
        by_child = np.argsort(places, kind="stable")
        ends = np.cumsum(np.bincount(places, minlength=len(children)))
        for child, start, end in zip(children, [0, *ends[:-1]], ends, strict=True):
            if end > start:
                found[by_child[start:end]] = self._turns(child, among, given, scale, int(end - start))
        return found

    def _settle(self) -> None:
        """Enter what was charged, seat by seat, and have everything in order."""
        due, self._due = self._due, {}
        for number, each in due.items():
            vector = [amount * each.times for amount in self._vector(each.amounts)]
            for amounts, times in each.more:
                vector = [held + amount * times for held, amount in zip(vector, self._vector(amounts), strict=True)]
            self._enter(self._leaves[number], vector, each.turns)
        if not self._sorted:
            self._sort()

    def _enter(self, client: _Client, vector: list[int], turns: int) -> None:
        scale, used = self._scale, vector
        while (parent := client.parent) is not None:
            only = len(client.children) == 1  # then all that it holds is its child's
            client.used = used = used if only else list(map(add, client.used, vector))
            client.times += turns
            if self._sorted and len(parent.children) > 1:
                entry = (max(map(mul, used, scale)) / client.weight, client.times, client.name, client)
                parent.order.move(client.entry, entry)
                client.entry = entry
            client = parent

    def first(self, among: int) -> int | None:
        """The first of these seats in the fair order, of those that take offers."""
        if self._due or not self._sorted:
            self._settle()
        client: _Client | None = self._root
        while client is not None and client.number < 0:
            client = client.order.first(among)
        return None if client is None else client.number

    def shares(self) -> dict[str, float]:
        """The dominant share of every role."""
        self._settle()
        found: dict[str, float] = {}
        waiting = [("", self._root)]
        while waiting:
            path, client = waiting.pop()
            for child in client.children.values():
                if child.name and child.number < 0:
                    role = f"{path}/{child.name}" if path else child.name
                    found[role] = self._share(child)
                    waiting.append((role, child))
        return found

    def _sort(self) -> None:
        """Put everything in order anew, after a change of the tree, the weights or the whole."""
        self._know(self._total)
        self._scale = [1.0 / self._total[name] if self._total.get(name, 0) > 0 else 0.0 for name in self._columns]
        waiting = [self._root]
        while waiting:
            client = waiting.pop()
            for child in client.children.values():
                child.entry = (self._share(child), child.times, child.name, child)
            client.order = _Siblings(sorted(child.entry for child in client.children.values()))
            waiting += [child for child in client.children.values() if child.children]
        self._sorted = True

    def _vector(self, amounts: Vector) -> list[int]:
        if amounts is not self._last[0]:
            self._know(amounts)
            self._last = (amounts, [amounts.get(name, 0) for name in self._columns])
        return self._last[1]

    def _know(self, names: Iterable[str]) -> None:
        """Have a column for each of these resources, in all vectors."""
        fresh = [name for name in names if name not in self._columns]
        if not fresh:
            return
        self._columns |= dict.fromkeys(fresh)
        self._last = ({}, [])
        self._sorted = False
        waiting = [self._root]
        while waiting:
            client = waiting.pop()
            client.used = [*client.used, *[0] * len(fresh)]
            waiting += client.children.values()

    def _share(self, client: _Client) -> float:
        return max(map(mul, client.used, self._scale), default=0.0) / client.weight

    def _child(self, parent: _Client, name: str, weight: float) -> _Client:
        child = parent.children.get(name)
        if child is None:
            child = parent.children[name] = _Client(name, parent, weight, used=[0] * len(self._columns))
        return child

    def _role(self, role: str) -> _Client | None:
        client: _Client | None = self._root
        for segment in role.split("/"):
            client = client.children.get(segment) if client is not None else None
        return client


def _below(run: list[_Entry]) -> int:
    seats = 0
    for entry in run:
        seats |= entry[3].seats
    return seats
