"""Several claims of one pod that want volumes of one class: the nodes where there is one for each.

They may want the same volume, so what each could get says too little. The answer is kept by node, and worked out
again only where a volume came or was taken. Of volumes that are reached from everywhere there may be enough for all:
then every node will do, since more to choose from never leaves a claim with less.
"""

from collections.abc import Sequence

from bireme.api.kinds import core
from bireme.scheduler.node_sets import Names, NodeSets
from bireme.scheduler.volumes_cache import Storage
from bireme.scheduler.volumes_supply import REMEMBERED, Supplies, Supply

NOWHERE = ""
"""No node: from there only volumes are reached that are reached from everywhere."""


class Shelf:
    """The nodes where claims with these supplies, in the order in which they choose, all get volumes."""

    def __init__(self, supplies: Sequence[Supply]) -> None:
        self.supplies = tuple(supplies)
        self._positions = [-1] * len(self.supplies)
        self._nodes: set[str] = set()
        self._known: Names | None = None

    def reach(self, everyone: Names) -> Names:
        """The nodes that will do."""
        if self._serves(NOWHERE):
            return everyone
        self._refresh()
        if self._known is None:
            self._known = frozenset(self._nodes)
        return self._known

    def _refresh(self) -> None:
        changed: set[str] | None = set()
        for place, supply in enumerate(self.supplies):
            some = supply.changed_since(self._positions[place])
            changed = None if changed is None or some is None else changed | some
            self._positions[place] = supply.position
        if changed is None:
            changed = self._nodes.union(*(supply.nodes() for supply in self.supplies))
        for node in changed:
            if self._serves(node) != (node in self._nodes):
                self._nodes ^= {node}
                self._known = None

    def _serves(self, node: str) -> bool:
        taken: set[str] = set()
        for supply in self.supplies:
            name = next((name for name in supply.in_order(node) if name not in taken), None)
            if name is None:
                return False
            taken.add(name)
        return True


class Shelves(Supplies):
    """Supplies, and what several of them have together."""

    def __init__(self, storage: Storage, nodes: NodeSets) -> None:
        super().__init__(storage, nodes)
        self._shelves: dict[tuple[int, ...], Shelf] = {}

    def shelf(self, claims: Sequence[core.PersistentVolumeClaim]) -> Shelf:
        """The shelf of several claims, in the order in which they choose."""
        supplies = [self.of(claim) for claim in claims]
        key = tuple(map(id, supplies))
        shelf = self._shelves.pop(key, None) or Shelf(supplies)
        if any(one is not other for one, other in zip(shelf.supplies, supplies, strict=True)):
            shelf = Shelf(supplies)  # others were made in the place of those
        self._shelves[key] = shelf
        if len(self._shelves) > REMEMBERED:
            del self._shelves[next(iter(self._shelves))]
        return shelf
