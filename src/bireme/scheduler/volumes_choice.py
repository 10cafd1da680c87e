"""Which nodes can be given the volumes that a pod's claims wait for, and which volumes they would be there.

Plain decisions over a `Wish` for each claim. Claims are served the smallest first, each with the smallest volume that
can be reached from the node; where none can, one may be made there, if the class can make volumes there and there is
room. As in the original this is greedy: that two claims could have swapped their volumes is not found out.
"""

import heapq
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from bireme.client.informer import Key

Names = frozenset[str]


@dataclass(frozen=True, slots=True)
class Choice:
    """A volume that would do; reached from `nodes`, or from everywhere (None)."""

    volume: str
    nodes: Names | None


class Reach(Protocol):
    """Something that knows from which nodes it can be had."""

    def reach(self, everyone: Names) -> Names:
        """The nodes from which it can."""


class Stock(Reach, Protocol):
    """Choices that know which nodes they are reached from: those from which one is."""

    def in_order(self, node: str) -> Iterator[str]:
        """Those on a node, in the order of preference."""


@dataclass(frozen=True, slots=True)
class Wish:
    """A claim that waits for its consumer, with what could become of it.

    `choices` are in the order of preference; `makes` are the nodes for which a volume could be made, and `room` those
    of them with space for it. Only wishes of one `shelf` can want the same volume. A wish may have a `stock` in place
    of choices, if all on its shelf have; of several, `shared` says from where all get something of the stock.
    """

    claim: Key
    shelf: str
    size: int
    choices: tuple[Choice, ...]
    makes: Names
    room: Names
    stock: Stock | None = None
    shared: Reach | None = None


@dataclass(frozen=True, slots=True)
class Places:
    """Nodes that will do, and nodes that would if there were more space."""

    fits: Names
    cramped: Names


@dataclass(frozen=True, slots=True)
class Outcome:
    """What each claim gets on one node: a volume that there is, or one to be made."""

    volumes: dict[Key, str]
    provisions: tuple[Key, ...]


def places(wishes: Sequence[Wish], everyone: Names) -> Places:
    """The nodes on which every wish can be met."""
    shelves: defaultdict[str, list[Wish]] = defaultdict(list)
    for wish in wishes:
        shelves[wish.shelf].append(wish)
    fits, reachable = everyone, everyone
    for group in shelves.values():
        if len(group) == 1:
            wish = group[0]
            found = _reach(wish, everyone)
            roomy = found | wish.room if wish.room else found
            large = roomy if wish.makes is wish.room else found | wish.makes
            # Tens of thousands of names: sets that are the same are not put together.
            first = fits is everyone and reachable is everyone
            fits, reachable = (roomy, large) if first else (fits & roomy, reachable & large)
        elif group[0].shared is not None:
            there = group[0].shared.reach(everyone)
            fits &= _shared(group, there, room=True)
            reachable &= _shared(group, there, room=False)
        else:
            lists = _by_node(group, everyone)
            fits &= {node for node in fits if _met(group, node, lists, room=True) is not None}
            reachable &= {node for node in reachable if _met(group, node, lists, room=False) is not None}
    return Places(fits, frozenset() if reachable is fits else reachable - fits)


def _shared(group: Sequence[Wish], there: Names, *, room: bool) -> Names:
    """The nodes where each gets a volume that there is, or has one made; `there`, all get one that there is."""
    made = [wish.room if room else wish.makes for wish in group]
    sure = there | made[0].intersection(*made[1:])
    some = frozenset[str]().union(*made) - sure
    return sure | {node for node in some if _met(group, node, None, room=room) is not None} if some else sure


def outcome(wishes: Sequence[Wish], node: str) -> Outcome | None:
    """What the claims get on this node; None when one of them gets nothing."""
    return _met(wishes, node, None, room=True)


def _reach(wish: Wish, everyone: Names) -> Names:
    if wish.stock is not None:
        return wish.stock.reach(everyone)
    if any(choice.nodes is None for choice in wish.choices):
        return everyone
    return frozenset[str]().union(*(choice.nodes or () for choice in wish.choices))


_Lists = dict[Key, tuple[dict[str, list[tuple[int, str]]], list[tuple[int, str]]]]


def _by_node(wishes: Sequence[Wish], everyone: Names) -> _Lists:
    """Of each wish the ranked choices by node, and those that are reached from everywhere."""
    lists: _Lists = {}
    for wish in wishes:
        near: defaultdict[str, list[tuple[int, str]]] = defaultdict(list)
        wide: list[tuple[int, str]] = []
        for rank, choice in enumerate(wish.choices):
            if choice.nodes is None or choice.nodes >= everyone:
                wide.append((rank, choice.volume))
            else:
                for node in choice.nodes:
                    near[node].append((rank, choice.volume))
        lists[wish.claim] = (near, wide)
    return lists


def _choices_on(wish: Wish, node: str, lists: _Lists | None) -> Iterable[str]:
    """In the order of preference, one after the other: most take the first."""
    if wish.stock is not None:
        return wish.stock.in_order(node)
    if lists is None:
        return [choice.volume for choice in wish.choices if choice.nodes is None or node in choice.nodes]
    near, wide = lists[wish.claim]
    return (volume for _, volume in heapq.merge(near.get(node, ()), wide))


def _met(wishes: Sequence[Wish], node: str, lists: _Lists | None, *, room: bool) -> Outcome | None:
    given: dict[Key, str] = {}
    made: list[Key] = []
    taken: set[str] = set()
    for wish in sorted(wishes, key=lambda wish: wish.size):
        volume = next((name for name in _choices_on(wish, node, lists) if name not in taken), None)
        if volume is not None:
            taken.add(volume)
            given[wish.claim] = volume
        elif node in (wish.room if room else wish.makes):
            made.append(wish.claim)
        else:
            return None
    return Outcome(given, tuple(made))
