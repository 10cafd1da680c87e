"""Which faults an update is excused from: those of values that it leaves as they were.

So an object that was right when it was stored stays writable after its schema was made narrower. Items of a list
are followed by their keys; what cannot be followed is as good as new. Each value above a fault is compared once,
and each list is sorted by key once, however many faults lie below. Source: KEP 4008, ratcheting of CRDs.
"""

from typing import Any, NamedTuple

import orjson

from bireme.api.structural.places import Place


class _Pair(NamedTuple):
    """What stands at a place now and what stood there before; `same` where that is equal."""

    new: Any
    old: Any
    same: bool


class Ratchet:
    """Compares one new state of an object with the old one."""

    def __init__(self, new: Any, old: Any) -> None:
        self._root = _Pair(new, old, new == old)
        # By the identity of places, which are kept so that they stay what they are.
        self._known: dict[int, tuple[Place, _Pair | None]] = {}
        self._items: dict[tuple[int, tuple[str, ...]], dict[bytes, Any]] = {}

    def excuses(self, place: Place) -> bool:
        """Whether the value at a place, or one above it, is as it was."""
        pair = self._step(place)
        return pair is not None and pair.same

    def _pair(self, place: Place) -> _Pair | None:
        """The two states of a place that others lie below; None where there was nothing to follow."""
        if place is None:
            return self._root
        known = self._known.get(id(place))
        if known is None:
            known = self._known[id(place)] = (place, self._step(place))
        return known[1]

    def _step(self, place: Place) -> _Pair | None:
        if place is None:
            return self._root
        above, step = place
        pair = self._pair(above)
        if pair is None or pair.same:
            return pair
        new, old = pair.new, pair.old
        if isinstance(step, str):
            if not (isinstance(new, dict) and isinstance(old, dict) and step in new and step in old):
                return None
            new, old = new[step], old[step]
        else:
            index, keys = step
            if keys is None or not isinstance(new, list) or not isinstance(old, list) or index >= len(new):
                return None
            new = new[index]
            old = self._by_key(old, keys).get(_key(new, keys), _AMBIGUOUS)
            if old is _AMBIGUOUS:
                return None
        return _Pair(new, old, new == old)

    def _by_key(self, items: list[Any], keys: tuple[str, ...]) -> dict[bytes, Any]:
        place = (id(items), keys)
        known = self._items.get(place)
        if known is None:
            known = self._items[place] = {}
            for item in items:
                key = _key(item, keys)
                known[key] = _AMBIGUOUS if key in known else item
        return known


_AMBIGUOUS = object()


def _key(item: Any, keys: tuple[str, ...]) -> bytes:
    return orjson.dumps([item.get(key) for key in keys] if isinstance(item, dict) else None)
