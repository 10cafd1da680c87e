"""Free volumes for claims that ask for the same, by the node from which they can be reached.

The claims of a StatefulSet differ in their names alone, so what suits one suits all. What suits is worked out once;
from then on a volume that comes or is taken is one entry more or less.
"""

import bisect
import heapq
from collections.abc import Callable, Iterable, Iterator

import msgspec

from bireme.api import volumes as words
from bireme.api.kinds import core
from bireme.scheduler.node_sets import Names, NodeSets
from bireme.scheduler.volumes_cache import Storage

Ranked = tuple[int, str]
REMEMBERED = 100
LOG_LIMIT = 1 << 16


class Supply:
    """Volumes that suit claims like `claim`, the smallest first."""

    def __init__(self, claim: core.PersistentVolumeClaim, nodes_of: Callable[[core.PersistentVolume], Names | None]):
        self._claim, self._nodes_of = claim, nodes_of
        self._near: dict[str, list[Ranked]] = {}
        self._wide: list[Ranked] = []
        self._places: dict[str, tuple[Ranked, Names | None]] = {}
        self._reach: Names | None = None
        self._log: list[str | None] = []
        self._log_start = 0

    @property
    def position(self) -> int:
        """The end of the log of nodes from which others are reached than before."""
        return self._log_start + len(self._log)

    def changed_since(self, position: int) -> set[str] | None:
        """The nodes where something changed since; None for any."""
        if position < self._log_start:
            return None
        changed = set(self._log[position - self._log_start :])
        return None if None in changed else {node for node in changed if node is not None}

    def nodes(self) -> Iterable[str]:
        """The nodes from which others are reached than from everywhere."""
        return self._near.keys()

    def offer(self, volume: core.PersistentVolume) -> None:
        """The volume is free."""
        name = volume.metadata.name
        if name in self._places or not words.suits(self._claim, volume):
            return
        rank, nodes = (words.capacity(volume), name), self._nodes_of(volume)
        self._places[name] = (rank, nodes)
        if nodes is None:
            bisect.insort(self._wide, rank)
        for node in nodes or ():
            bisect.insort(self._near.setdefault(node, []), rank)
        self._reach = None
        self._note(nodes)

    def withdraw(self, name: str) -> None:
        """The volume is not free any more."""
        rank, nodes = self._places.pop(name, (None, None))
        if rank is None:
            return
        if nodes is None:
            self._wide.remove(rank)
        for node in nodes or ():
            self._near[node].remove(rank)
            if not self._near[node]:
                del self._near[node]
                self._reach = None
        self._note(nodes)

    def _note(self, nodes: Names | None) -> None:
        self._log.extend((None,) if nodes is None else nodes)
        if len(self._log) > LOG_LIMIT:
            self._log_start += len(self._log)
            self._log.clear()

    def reach(self, everyone: Names) -> Names:
        """The nodes from which one of them can be reached."""
        if self._wide:
            return everyone
        if self._reach is None:
            self._reach = frozenset(self._near)
        return self._reach

    def in_order(self, node: str) -> Iterator[str]:
        """Those that can be reached from the node, the smallest first."""
        return (name for _, name in heapq.merge(self._near.get(node, ()), self._wide))


class Supplies:
    """The supplies in use, the least recently asked for dropped first; made anew when nodes have other labels."""

    def __init__(self, storage: Storage, nodes: NodeSets) -> None:
        self._storage, self._nodes = storage, nodes
        self._known: dict[bytes, Supply] = {}
        self._version = -1
        storage.on_free(self._offer, self._withdraw)

    def of(self, claim: core.PersistentVolumeClaim) -> Supply:
        """What there is for the claim, but for what is set aside for it."""
        if self._version != self._nodes.version:
            self._known.clear()
            self._version = self._nodes.version
        key = msgspec.msgpack.encode((words.class_of(claim), claim.spec))
        supply = self._known.pop(key, None)
        if supply is None:
            supply = Supply(claim, self._nodes.of_volume)
            for volume in self._storage.free(claim):
                supply.offer(volume)
        self._known[key] = supply
        if len(self._known) > REMEMBERED:
            del self._known[next(iter(self._known))]
        return supply

    def _offer(self, volume: core.PersistentVolume) -> None:
        for supply in self._known.values():
            supply.offer(volume)

    def _withdraw(self, name: str) -> None:
        for supply in self._known.values():
            supply.withdraw(name)
