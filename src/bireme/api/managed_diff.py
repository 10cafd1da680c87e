"""Which fields an object has, and which of them differ between two states of it, as sets of paths.

Parts that are equal are passed over in one comparison, so that a write costs by what it changes.
Source: `ToFieldSet` and `Compare` of sigs.k8s.io/structured-merge-diff.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from bireme.api.managed_sets import SELF, FieldSet, key_element
from bireme.api.managed_types import ABSENT, OPEN, Owned, Typed

Tree = dict[str, Any]
_IN: FieldSet = {}


@dataclass(frozen=True, slots=True)
class Changes:
    """Paths that are new or hold another value, and paths that are gone."""

    changed: FieldSet
    removed: FieldSet

    def __bool__(self) -> bool:
        return bool(self.changed or self.removed)


_NOTHING: Mapping[str, Any] = {}
# What the server alone keeps, and nobody owns.
UNTRACKED = frozenset(
    (
        "name",
        "namespace",
        "creationTimestamp",
        "selfLink",
        "uid",
        "clusterName",
        "generation",
        "managedFields",
        "resourceVersion",
    )
)


def compare(
    typed: Typed, old: Mapping[str, Any], new: Mapping[str, Any], *, zero: Mapping[str, Any] = _NOTHING
) -> Changes:
    """What differs between two states of an object; `zero` is what fields at its root are when they are absent.

    What nobody can own is passed over.
    """
    changed: FieldSet = {}
    removed: FieldSet = {}
    for name in {*old, *new}:
        before, after = old.get(name, ABSENT), new.get(name, ABSENT)
        if before is after:
            continue
        if name in zero:
            before = zero[name] if before is ABSENT else before
            after = zero[name] if after is ABSENT else after
        if name == "metadata":
            before, after = _told(before), _told(after)
            if before == after:
                continue
        _note(typed.field(name), before, after, f"f:{name}", changed, removed)
    return Changes(changed, removed)


def _told(metadata: Any) -> Any:
    if not isinstance(metadata, dict):
        return metadata
    return {name: metadata[name] for name in metadata.keys() - UNTRACKED}


def _note(typed: Typed | None, old: Any, new: Any, element: str, changed: FieldSet, removed: FieldSet) -> None:
    """Put what differs below `element` into the sets of its parent."""
    if typed is None or (old == new and type(old) is type(new)):
        return
    if old is ABSENT:
        changed[element] = everything(typed, new)
        return
    if new is ABSENT:
        removed[element] = everything(typed, old)
        return
    owned = typed.of(new if new is not None else old)
    if owned is Owned.WHOLE or not (old or new) or not (_suits(owned, old) and _suits(owned, new)):
        changed[element] = _IN
        return
    more: FieldSet = {}
    less: FieldSet = {}
    _BELOW[owned](typed, old or (), new or (), more, less)
    if more:
        changed[element] = more
    if less:
        removed[element] = less


def _suits(owned: Owned, value: Any) -> bool:
    return value is None or isinstance(value, dict if owned is Owned.FIELDS else list)


def _fields(typed: Typed, old: Any, new: Any, changed: FieldSet, removed: FieldSet) -> None:
    old, new = old or {}, new or {}
    fields, items = typed.fields, typed.items
    for name, after in new.items():
        before = old.get(name, ABSENT)
        if before is after or (before == after and type(before) is type(after)):
            continue
        below = fields.get(name) or items
        if below is None:
            continue
        if below.owned is Owned.WHOLE:
            changed[f"f:{name}"] = _IN
        else:
            _note(below, before, after, f"f:{name}", changed, removed)
    for name, before in old.items():
        if name not in new:
            _note(typed.field(name), before, ABSENT, f"f:{name}", changed, removed)


def _keyed_items(typed: Typed, old: Any, new: Any, changed: FieldSet, removed: FieldSet) -> None:
    """Mostly the same items stand in the same order, so that they pair up as they are."""
    try:
        keys = [typed.key_of(item) for item in new]
        paired = len(old) == len(new) == len(set(keys)) and keys == [typed.key_of(item) for item in old]
    except (KeyError, TypeError):
        paired = False
    if not paired:
        _items(typed, old, new, changed, removed)
        return
    items = typed.items or OPEN
    for key, before, after in zip(keys, old, new, strict=True):
        if before != after:
            _note(items, before, after, key_element(typed.keys, *key), changed, removed)


def _items(typed: Typed, old: Any, new: Any, changed: FieldSet, removed: FieldSet) -> None:
    before, after = by_element(typed, old), by_element(typed, new)
    items = typed.items or OPEN
    for element in {**after, **before}:
        was, now = before.get(element, _NO_ITEMS), after.get(element, _NO_ITEMS)
        if len(was) > 1 or len(now) > 1:
            # Items of one key are only ever compared as a whole.
            if was != now:
                (changed if now else removed)[element] = _IN
            continue
        _note(items, was[0] if was else ABSENT, now[0] if now else ABSENT, element, changed, removed)


_NO_ITEMS: list[Any] = []
_BELOW: dict[Owned, Callable[[Typed, Any, Any, FieldSet, FieldSet], None]] = {
    Owned.FIELDS: _fields,
    Owned.KEYS: _keyed_items,
    Owned.VALUES: _items,
}


def by_element(typed: Typed, items: Any) -> dict[str, list[Any]]:
    """The items of a list by their path elements; those that have none are left out."""
    found: dict[str, list[Any]] = {}
    for item in items:
        try:
            found.setdefault(typed.element(item), []).append(item)
        except (KeyError, TypeError):
            continue
    return found


def everything(typed: Typed, value: Any) -> FieldSet:
    """What is in the set below a value that is new: itself and all that it holds."""
    if not value:
        return _IN
    owned = typed.of(value)
    if owned is Owned.WHOLE or not _suits(owned, value):
        return _IN
    made: FieldSet = {SELF: _IN}
    if owned is Owned.FIELDS:
        fields, items = typed.fields, typed.items
        for name in value:
            below = fields.get(name) or items
            if below is not None:
                made[f"f:{name}"] = _IN if below.owned is Owned.WHOLE else everything(below, value[name])
    else:
        items = typed.items or OPEN
        for element, found in by_element(typed, value).items():
            made[element] = everything(items, found[0]) if len(found) == 1 else _IN
    return made


def metadata_of(typed: Typed, metadata: Tree) -> FieldSet:
    """What is in the set below the metadata of a new object."""
    made: FieldSet = {}
    for name, value in metadata.items():
        if name not in UNTRACKED and (below := typed.field(name)) is not None:
            made[f"f:{name}"] = everything(below, value)
    return made


def fields_of(typed: Typed, tree: Any) -> FieldSet:
    """The paths that an applied configuration speaks of. Structs, lists and maps count by what they hold."""
    made: FieldSet = {}
    owned = typed.of(tree)
    if owned is Owned.FIELDS:
        for name in tree:
            below = typed.field(name)
            if below is not None:
                _speak(below, tree[name], f"f:{name}", made, named=name in typed.fields)
    elif owned in (Owned.KEYS, Owned.VALUES):
        items = typed.items or OPEN
        for element, found in by_element(typed, tree).items():
            _speak(items, found[0], element, made, named=False)
    return made


def _speak(typed: Typed, value: Any, element: str, made: FieldSet, *, named: bool) -> None:
    if value is None or typed.of(value) is Owned.WHOLE or (not value and isinstance(value, dict)):
        made[element] = _IN
        return
    below = fields_of(typed, value)
    if not named:
        made[element] = {SELF: _IN, **below} if below else _IN
    elif below:
        made[element] = below


def fitted(typed: Typed | None, fields: FieldSet) -> FieldSet:
    """The set as its kind is owned by now: what lay in a value that has since become atomic is that value's."""
    made: FieldSet = {}
    for key, below in fields.items():
        inner = None if typed is None else typed.field(key[2:]) if key[:2] == "f:" else typed.items
        if not below or inner is None or key == SELF:
            made[key] = below
        else:
            made[key] = _IN if inner.owned is Owned.WHOLE else fitted(inner, below)
    return made
