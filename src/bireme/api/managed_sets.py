"""Sets of field paths, kept as the JSON that clients read them in (FieldsV1).

A set is a trie of dicts. A key is a path element: `f:name` a field, `k:{"name":"a"}` an item of a list by its
keys, `v:"a"` an item by its value, `.` the parent itself. An empty dict is a path that is in the set with nothing
below it; a dict without `.` is on the way only. The root is never in the set. Sets share parts: don't change one.
Source: KEP 555 and `fieldpath` of sigs.k8s.io/structured-merge-diff.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import orjson

FieldSet = dict[str, Any]

SELF = "."
_IN: FieldSet = {}


def union(left: FieldSet, right: FieldSet) -> FieldSet:
    """The paths that are in either."""
    if not left or not right:
        return left or right
    made = dict(left)
    for key, below in right.items():
        known = made.get(key)
        made[key] = below if known is None else _joined(known, below)
    return made


def _joined(left: FieldSet, right: FieldSet) -> FieldSet:
    if left is right:
        return left
    if left and right:
        return union(left, right)
    filled = left or right
    return filled if not filled or SELF in filled else {SELF: _IN, **filled}


def difference(left: FieldSet, right: FieldSet) -> FieldSet:
    """The paths of `left` that are not in `right`."""
    made: FieldSet = {}
    for key, below in left.items():
        other = right.get(key)
        kept = below if other is None else _without(below, other)
        if kept is not None:
            made[key] = kept
    return made


def _without(left: FieldSet, right: FieldSet) -> FieldSet | None:
    """One node less another; None if nothing is left."""
    stays = (not left or SELF in left) and not (not right or SELF in right)
    made: FieldSet = {}
    for key, below in left.items():
        if key == SELF:
            continue
        other = right.get(key)
        kept = below if other is None else _without(below, other)
        if kept is not None:
            made[key] = kept
    if made:
        return {SELF: _IN, **made} if stays else made
    return _IN if stays else None


def without_below(left: FieldSet, right: FieldSet) -> FieldSet:
    """The paths of `left` that neither are in `right` nor lie below one that is."""
    if not right:
        return left
    made: FieldSet = {}
    for key, below in left.items():
        other = right.get(key)
        if other is None:
            made[key] = below
        elif other and SELF not in other:
            kept = without_below(below, other)
            if kept:
                made[key] = _IN if len(kept) == 1 and SELF in kept else kept
            elif not below:
                made[key] = below
    return made


ANY = "*"


@dataclass(frozen=True, slots=True)
class Reach:
    """The fields that a way of writing can touch: all but those `without`, or none but what `only` leads to.

    In `only` the key `*` stands for any, and an empty set for all that lies below.
    """

    without: FieldSet = field(default_factory=dict)
    only: FieldSet | None = None

    def of(self, fields: FieldSet) -> FieldSet:
        """Those among `fields`."""
        return without_below(fields, self.without) if self.only is None else _led_to(fields, self.only)


EVERYTHING = Reach()


def _led_to(fields: FieldSet, ways: FieldSet) -> FieldSet:
    made: FieldSet = {}
    for key, below in fields.items():
        way = ways.get(key, ways.get(ANY))
        if way is None or key == SELF:
            continue
        kept = _led_to(below, way) if way else below
        if kept or not way:
            made[key] = kept
    return made


def intersection(left: FieldSet, right: FieldSet) -> FieldSet:
    """The paths that are in both."""
    made: FieldSet = {}
    for key, below in left.items():
        other = right.get(key)
        if other is None:
            continue
        both = (not below or SELF in below) and (not other or SELF in other)
        deeper = intersection(below, other) if below and other else _IN
        deeper = {name: value for name, value in deeper.items() if name != SELF}
        if deeper:
            made[key] = {SELF: _IN, **deeper} if both else deeper
        elif both:
            made[key] = _IN
    return made


def touches(left: FieldSet, right: FieldSet) -> bool:
    """Whether any path is in both."""
    small, large = (left, right) if len(left) < len(right) else (right, left)
    for key, below in small.items():
        other = large.get(key)
        if other is None:
            continue
        if (not below or SELF in below) and (not other or SELF in other):
            return True
        if below and other and touches(below, other):
            return True
    return False


def covers(left: FieldSet, right: FieldSet) -> bool:
    """Whether all paths of `right` are in `left`."""
    for key, below in right.items():
        known = left.get(key)
        if known is None:
            return False
        if (not below or SELF in below) and known and SELF not in known:
            return False
        if below and known is not below and not covers(known or {SELF: _IN}, below):
            return False
    return True


def holds(fields: FieldSet, path: Iterable[str]) -> bool:
    """Whether the path, given by its elements, is in the set."""
    node: FieldSet | None = fields
    for element in path:
        node = node.get(element) if node is not None else None
    return node is not None and (not node or SELF in node)


def paths(fields: FieldSet, above: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """All paths of the set, in order."""
    for key in sorted(fields):
        if key == SELF:
            continue
        below = fields[key]
        here = (*above, key)
        if not below or SELF in below:
            yield here
        yield from paths(below, here)


def path_text(path: Iterable[str]) -> str:
    """A path as messages show it: `.spec.containers[name="a"].image`."""
    return "".join(map(_element_text, path))


def _element_text(element: str) -> str:
    kind, said = element[:2], element[2:]
    if kind == "f:":
        return f".{said}"
    if kind == "k:":
        pairs = (f"{name}={_json(value)}" for name, value in sorted(orjson.loads(said).items()))
        return f"[{','.join(pairs)}]"
    return f"[={said}]" if kind == "v:" else f"[{said}]"


def _json(value: Any) -> str:
    return orjson.dumps(value).decode()


@lru_cache(maxsize=4096, typed=True)
def key_element(names: tuple[str, ...], *values: Any) -> str:
    """The path element of a list item that is known by these keys. Raises TypeError for keys that are no scalars."""
    keys = dict(zip(names, values, strict=True))
    return "k:" + orjson.dumps(keys, option=orjson.OPT_SORT_KEYS).decode()


def value_element(value: Any) -> str:
    """The path element of a list item that is known by its value."""
    return "v:" + orjson.dumps(value, option=orjson.OPT_SORT_KEYS).decode()


def is_well_formed(fields: Any) -> bool:
    """Whether what a client sent as FieldsV1 is a set."""
    if not isinstance(fields, dict):
        return False
    return all((key == SELF or _is_element(key)) and is_well_formed(below) for key, below in fields.items())


def _is_element(key: str) -> bool:
    kind, said = key[:2], key[2:]
    if kind == "f:":
        return True
    if kind == "i:":
        return said.removeprefix("-").isdecimal()
    if kind not in ("k:", "v:"):
        return False
    try:
        value = orjson.loads(said)
    except orjson.JSONDecodeError:
        return False
    return kind == "v:" or isinstance(value, dict)
