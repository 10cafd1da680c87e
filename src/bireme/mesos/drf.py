"""Whose turn it is: dominant-resource fairness over a tree of roles, with frameworks as its leaves.

Each client's share is the largest part that it holds of any one resource of the cluster, over its weight; the
smallest share goes first, then who was given less often, then the name. Siblings are compared with each other:
a role's share includes all below it, and frameworks that subscribed to an inner role stand under a virtual child
of it, beside its sub-roles. What frameworks hold that take no offers now counts for their role all the same.

The order is kept (`siblings.py`), and many turns are found together (`turns.py`). Who may have what is the
allocator's affair. See ADR 0021.
Source: Ghodsi et al., Dominant Resource Fairness, NSDI 2011, sections 4.2 and 4.3; the Mesos hierarchical sorter.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from operator import add, sub

from bireme.mesos.siblings import Client
from bireme.mesos.turns import turns_below

Vector = Mapping[str, int]


def dominant_share(used: Vector, total: Vector, *, weight: float = 1.0) -> float:
    """The largest part that `used` takes of any one resource, over `weight`.

    Resources of which the cluster has none are left out; with nothing used the share is 0.
    """
    return max((amount / total[name] for name, amount in used.items() if total.get(name)), default=0.0) / weight


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
        self._root = Client("", None)
        self._leaves: dict[int, Client] = {}
        self._due: dict[int, _Due] = {}
        self._last: tuple[Vector, list[int]] = ({}, [])

    def set_total(self, total: Vector) -> None:
        """How much the whole cluster has."""
        if self._total != total:
            self._total = dict(total)
            self._know(total)
            self._rescale()

    def set_weight(self, role: str, weight: float) -> None:
        """Roles have weight 1 until told otherwise."""
        if self._weights.get(role, 1.0) != weight:
            self._weights[role] = weight
            client = self._role(role)
            if client is not None:
                client.weight = weight
                client.changed()

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

    def leave(self, number: int) -> None:
        """The seat is no more, and what it held is nobody's."""
        self._settle()
        self.take_offers(number, taking=False)
        client = self._leaves.pop(number)
        used, above = client.used, client
        while above.parent is not None:
            above.used = list(map(sub, above.used, used))
            above.changed()
            above = above.parent
        while client.parent is not None and not client.children:
            client.parent.remove(client)
            client = client.parent

    def take_offers(self, number: int, *, taking: bool) -> None:
        """Whether the seat has its place in the order now; what it holds counts either way."""
        client: Client | None = self._leaves[number]
        if client is None or taking == bool(client.seats):
            return
        while client is not None:
            client.flip(1 << number)
            client = client.parent

    def charge(self, number: int, amounts: Vector, *, times: int = 1, turns: int = 0) -> None:
        """Count `amounts` as held by a seat so many times more (-1: no longer), and that it had so many turns."""
        due = self._due.get(number)
        if due is None:
            self._know(amounts)
            self._due[number] = _Due(amounts, times, turns)
            return
        due.turns += turns
        if due.amounts is amounts:  # many agents are alike: they are counted, and multiplied once
            due.times += times
        else:
            self._know(amounts)
            due.more.append((due.amounts, due.times))
            due.amounts, due.times = amounts, times

    def turns(self, among: int, amounts: Vector, count: int) -> list[int]:
        """Whose the next turns are, as `first` would say if each was charged these amounts."""
        given = self._vector(amounts)
        self._settle()
        return turns_below(self._root, among, given, self._scale, count)

    def first(self, among: int) -> int | None:
        """The first of these seats in the fair order, of those that take offers."""
        if self._due:
            self._settle()
        client: Client | None = self._root
        while client is not None and client.number < 0:
            client = client.first(among, self._scale)
        return None if client is None else client.number

    def held(self, role: str) -> Vector:
        """What frameworks hold in a role and in all below it."""
        if self._due:
            self._settle()
        client = self._role(role)
        return {} if client is None else dict(zip(self._columns, client.used, strict=True))

    def shares(self) -> dict[str, float]:
        """The dominant share of every role."""
        self._settle()
        found: dict[str, float] = {}
        waiting = [("", self._root)]
        while waiting:
            path, client = waiting.pop()
            for child in client.children:
                if child.name and child.number < 0:
                    role = f"{path}/{child.name}" if path else child.name
                    found[role] = child.share(self._scale)
                    waiting.append((role, child))
        return found

    def _settle(self) -> None:
        """Enter what was charged, seat by seat."""
        due, self._due = self._due, {}
        for number, each in due.items():
            vector = [amount * each.times for amount in self._vector(each.amounts)]
            for amounts, times in each.more:
                vector = [held + amount * times for held, amount in zip(vector, self._vector(amounts), strict=True)]
            self._enter(self._leaves[number], vector, each.turns)

    def _enter(self, client: Client, vector: list[int], turns: int) -> None:
        while client.parent is not None:
            client.used = list(map(add, client.used, vector))
            client.times += turns
            client.changed()
            client = client.parent

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
        self._rescale()
        waiting = [self._root]
        while waiting:
            client = waiting.pop()
            client.used = [*client.used, *[0] * len(fresh)]
            waiting += client.children

    def _rescale(self) -> None:
        """All shares are others now: orders that were made by the old scale are out of date."""
        self._scale = [1.0 / self._total[name] if self._total.get(name, 0) > 0 else 0.0 for name in self._columns]

    def _child(self, parent: Client, name: str, weight: float) -> Client:
        child = parent.child(name)
        if child is None:
            child = Client(name, parent, weight, used=[0] * len(self._columns))
            parent.add(child)
        return child

    def _role(self, role: str) -> Client | None:
        client: Client | None = self._root
        for segment in role.split("/"):
            client = client.child(segment) if client is not None else None
        return client
