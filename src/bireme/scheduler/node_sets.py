"""Which nodes a selector means: sets of names, kept up with the nodes, and those sets as rows of the ledger.

A rule that looks at a pod asks for the nodes from which a volume or a device can be reached. The answer is made of
the sets of nodes that bear a label, not by a look at each node, and is kept until a node's labels change.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Set
from typing import TypeVar

import msgspec
import numpy as np
from numpy.typing import NDArray

from bireme.api.kinds import core, meta
from bireme.client.informer import Informer
from bireme.ledger.columns import Columns

Names = frozenset[str]
K = TypeVar("K")
NAME_FIELD = "metadata.name"
REMEMBERED = 4096


class NodeSets:
    """The nodes by their labels. `version` rises when a node comes, goes or is labelled otherwise."""

    def __init__(self, columns: Columns, nodes: Informer[core.Node]) -> None:
        self._columns = columns
        self._labels: dict[str, Mapping[str, str]] = {}
        self._by_label: defaultdict[tuple[str, str], set[str]] = defaultdict(set)
        self._by_key: defaultdict[str, set[str]] = defaultdict(set)
        self._known: dict[tuple[str, bytes], Names] = {}
        self._everyone: Names | None = None
        self.version = 0
        nodes.on_change(self._changed)

    def everyone(self) -> Names:
        """Every node."""
        if self._everyone is None:
            self._everyone = frozenset(self._labels)
        return self._everyone

    def name(self, row: int) -> str:
        """The node on a row."""
        return self._columns.nodes[row]

    def labels(self, node: str) -> Mapping[str, str]:
        """The labels of a node; none for one that is not there."""
        return self._labels.get(node, {})

    def bearing(self, key: str, values: Iterable[str]) -> Names:
        """The nodes whose label `key` has one of the values."""
        return frozenset[str]().union(*(self._by_label.get((key, value), ()) for value in values))

    def with_label(self, key: str) -> Set[str]:
        """The nodes that have the label at all; to be read, not kept."""
        return self._by_key.get(key, set())

    def selected(self, selector: core.NodeSelector) -> Names:
        """The nodes for which one of the selector's terms holds."""
        place = ("node", msgspec.msgpack.encode(selector))
        found = self._known.get(place)
        if found is None:
            found = self._keep(place, frozenset[str]().union(*map(self._of_term, selector.node_selector_terms)))
        return found

    def of_volume(self, volume: core.PersistentVolume) -> Names | None:
        """The nodes that the volume can be reached from; None for every node."""
        affinity = volume.spec.node_affinity
        return self.selected(affinity.required) if affinity is not None and affinity.required else None

    def labelled(self, selector: meta.LabelSelector | None) -> Names:
        """The nodes whose labels the selector takes; none without a selector."""
        if selector is None:
            return frozenset()
        place = ("label", msgspec.msgpack.encode(selector))
        found = self._known.get(place)
        if found is None:
            claims = [(key, "In", [value]) for key, value in selector.match_labels.items()]
            claims += [(each.key, each.operator, each.values) for each in selector.match_expressions]
            found = self._keep(place, self._all_of(self._holding(*claim) for claim in claims))
        return found

    def in_topologies(self, terms: Iterable[core.TopologySelectorTerm]) -> Names:
        """The nodes in one of a storage class's topologies; with none named, every node."""
        wanted = list(terms)
        if not wanted:
            return self.everyone()
        return frozenset[str]().union(
            *(
                self._all_of(self.bearing(each.key, each.values) for each in term.match_label_expressions)
                for term in wanted
            )
        )

    def mask(self, names: Iterable[str]) -> NDArray[np.bool_]:
        """True for the rows of these nodes."""
        mask = np.zeros(self._columns.capacity, dtype=bool)
        rows, everyone = self._columns.rows, self.everyone()
        if isinstance(names, Set) and 2 * len(names) > len(everyone):
            mask |= self._columns.live
            mask[[rows[name] for name in everyone - names if name in rows]] = False
        else:
            mask[[rows[name] for name in names if name in rows]] = True
        return mask

    def numbers(self, by_name: Mapping[str, float]) -> NDArray[np.float64]:
        """These numbers by row, 0 for all other nodes."""
        numbers, rows = np.zeros(self._columns.capacity), self._columns.rows
        for name, number in by_name.items():
            if name in rows:
                numbers[rows[name]] = number
        return numbers

    def fits(self, mask: NDArray[np.bool_]) -> bool:
        """Whether the mask has a place for every row there is now."""
        return len(mask) == self._columns.capacity

    def update(self, mask: NDArray[np.bool_], changed: Iterable[str], names: Set[str]) -> None:
        """Make the mask of earlier `names` that of these, where only `changed` came or went."""
        rows = self._columns.rows
        for name in changed:
            if name in rows:
                mask[rows[name]] = name in names

    def names_of_rows(self) -> dict[int, str]:
        """Which row is whose."""
        return {row: name for name, row in self._columns.rows.items()}

    def _of_term(self, term: core.NodeSelectorTerm) -> Names:
        if not term.match_expressions and not term.match_fields:
            return frozenset()
        claims = [self._holding(each.key, each.operator, each.values) for each in term.match_expressions]
        claims += [self._named(each) for each in term.match_fields]
        return self._all_of(claims)

    def _all_of(self, sets: Iterable[Names]) -> Names:
        several = sorted(sets, key=len)
        return several[0].intersection(*several[1:]) if several else self.everyone()

    def _holding(self, key: str, operator: str, values: list[str]) -> Names:
        match operator:
            case "In":
                return self.bearing(key, values)
            case "NotIn":
                return self.everyone() - self.bearing(key, values)
            case "Exists":
                return frozenset(self.with_label(key))
            case "DoesNotExist":
                return self.everyone() - self.with_label(key)
            case "Gt" | "Lt":
                return frozenset(name for name in self.with_label(key) if self._compares(name, key, operator, values))
        return frozenset()

    def _compares(self, node: str, key: str, operator: str, values: list[str]) -> bool:
        try:
            have, bound = int(self._labels[node][key]), int(values[0])
        except (ValueError, IndexError):
            return False
        return have > bound if operator == "Gt" else have < bound

    def _named(self, wish: core.NodeSelectorRequirement) -> Names:
        if wish.key != NAME_FIELD:
            return frozenset()
        named = self.everyone() & set(wish.values)
        return self.everyone() - named if wish.operator == "NotIn" else named

    def _keep(self, place: tuple[str, bytes], names: Names) -> Names:
        if len(self._known) >= REMEMBERED:
            self._known.clear()
        self._known[place] = names
        return names

    def _changed(self, old: core.Node | None, new: core.Node | None) -> None:
        name = (new or old or core.Node()).metadata.name
        before = self._labels.get(name)
        now = dict(new.metadata.labels) if new is not None else None
        if before == now:
            return
        for key, value in (before or {}).items():
            _take_out(self._by_label, (key, value), name)
            _take_out(self._by_key, key, name)
        if now is None:
            self._labels.pop(name, None)
        else:
            self._labels[name] = now
            for key, value in now.items():
                self._by_label[key, value].add(name)
                self._by_key[key].add(name)
        self._known.clear()
        self._everyone = None
        self.version += 1


def _take_out(table: dict[K, set[str]], key: K, name: str) -> None:
    table[key].discard(name)
    if not table[key]:
        del table[key]
