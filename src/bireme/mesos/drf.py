"""Whose turn it is: dominant-resource fairness over a tree of roles, with frameworks as its leaves.

Each client's share is the largest part that it holds of any one resource of the cluster, over its weight; the
smallest share goes first, then who was given less often, then the name. Siblings are compared with each other:
a role's share includes all below it, and frameworks that subscribed to an inner role stand under a virtual child
of it, beside its sub-roles. Each level is a heap, and giving something to a framework moves one entry a level.
Who may take what is the allocator's affair.
Source: Ghodsi et al., Dominant Resource Fairness, NSDI 2011, sections 4.2 and 4.3; the Mesos hierarchical sorter.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from heapq import heapify, heapreplace
from operator import add

Vector = Mapping[str, int]
Suits = Callable[[str, str], bool]


def dominant_share(used: Vector, total: Vector, *, weight: float = 1.0) -> float:
    """The largest part that `used` takes of any one resource, over `weight`.

    Resources of which the cluster has none are left out; with nothing used the share is 0.
    """
    return max((amount / total[name] for name, amount in used.items() if total.get(name)), default=0.0) / weight


@dataclass(frozen=True, slots=True)
class Claim:
    """A framework in a role, and what it holds there already, offers included."""

    role: str
    framework: str
    held: Vector = field(default_factory=dict)


@dataclass(slots=True, eq=False)
class _Client:
    """A node of the tree. `order` is a heap of its children; a leaf has none and names its framework."""

    name: str
    weight: float
    used: list[float]
    times: int = 0
    role: str = ""
    framework: str = ""
    children: dict[str, "_Client"] = field(default_factory=dict)
    order: list["_Entry"] = field(default_factory=list)


_Entry = tuple[float, int, str, _Client]


class FairOrder:
    """The order of all claims, kept up as things are given.

    `total` is the whole cluster; `weights` by full role path, 1 where none is set.
    """

    def __init__(self, total: Vector, claims: Iterable[Claim], *, weights: Mapping[str, float] | None = None) -> None:
        self._scale = [(name, 1.0 / amount) for name, amount in total.items() if amount > 0]
        self._weights = weights or {}
        self._root = self._client("", 1.0)
        for claim in claims:
            self._add(claim)
        self._sort(self._root)

    def next(self, suits: Suits) -> tuple[str, str] | None:
        """The first (role, framework) in the fair order for which `suits` is true."""
        path = self._find(self._root, suits)
        return (path[-1].role, path[-1].framework) if path else None

    def give(self, wanted: Vector, suits: Suits) -> tuple[str, str] | None:
        """Count `wanted` as held by the first that suits; (role, framework), or None if it suits nobody."""
        path = self._first()
        if not path or not suits(path[-1].role, path[-1].framework):
            found = self._find(self._root, suits)
            if not found:
                return None
            path = found
        parts = [wanted.get(name, 0) * inverse for name, inverse in self._scale]
        parent = self._root
        for client in path:
            _charge(parent.order, client, parts)
            parent = client
        return parent.role, parent.framework

    def shares(self) -> dict[str, float]:
        """The dominant share of every role."""
        found: dict[str, float] = {}
        waiting = [("", self._root)]
        while waiting:
            path, client = waiting.pop()
            for child in client.children.values():
                if child.name and not child.framework:
                    role = f"{path}/{child.name}" if path else child.name
                    found[role] = _share(child)
                    waiting.append((role, child))
        return found

    def _client(self, name: str, weight: float) -> _Client:
        return _Client(name, weight, [0.0] * len(self._scale))

    def _add(self, claim: Claim) -> None:
        parts = [claim.held.get(name, 0) * inverse for name, inverse in self._scale]
        parent, path = self._root, ""
        for segment in (*claim.role.split("/"), ""):
            path = f"{path}/{segment}" if path else segment
            if segment not in parent.children:
                weight = self._weights.get(path, 1.0) if segment else 1.0
                parent.children[segment] = self._client(segment, weight)
            parent = parent.children[segment]
            parent.used = [old + part for old, part in zip(parent.used, parts, strict=True)]
        leaf = self._client(claim.framework, 1.0)
        leaf.role, leaf.framework, leaf.used = claim.role, claim.framework, parts
        parent.children[claim.framework] = leaf

    def _sort(self, client: _Client) -> None:
        if list(client.children) == [""]:  # no sub-roles: the frameworks stand here themselves
            client.children = client.children[""].children
        client.order = [(_share(child), child.times, child.name, child) for child in client.children.values()]
        heapify(client.order)
        for child in client.children.values():
            self._sort(child)

    def _first(self) -> list[_Client]:
        """The path along the tops of the heaps."""
        path: list[_Client] = []
        order = self._root.order
        while order:
            client = order[0][3]
            path.append(client)
            order = client.order
        return path

    def _find(self, client: _Client, suits: Suits) -> list[_Client] | None:
        """The path to the first leaf below `client` that suits."""
        for _, _, _, child in sorted(client.order):
            if child.framework:
                if suits(child.role, child.framework):
                    return [child]
            elif below := self._find(child, suits):
                return [child, *below]
        return None


def _share(client: _Client) -> float:
    return max(client.used, default=0.0) / client.weight


def _charge(order: list[_Entry], client: _Client, parts: Sequence[float]) -> None:
    client.used = used = list(map(add, client.used, parts))
    client.times += 1
    entry = (max(used, default=0.0) / client.weight, client.times, client.name, client)
    if order[0][3] is client:
        heapreplace(order, entry)
    else:
        order[next(place for place, old in enumerate(order) if old[3] is client)] = entry
        heapify(order)
