"""The two deeds of an apply on trees: merging a configuration in, and taking paths out.

Both give a new tree that shares what did not change. Items of a list keep the order of the configuration; those
that it does not name keep their place among their neighbours.
Source: the merging and removing walkers of sigs.k8s.io/structured-merge-diff.
"""

import operator
from typing import Any

from bireme.api.managed_diff import by_element
from bireme.api.managed_sets import SELF, FieldSet
from bireme.api.managed_types import OPEN, Owned, Typed
from bireme.api.patch import same

Tree = dict[str, Any]
_GONE: Any = object()


def merge(typed: Typed, live: Any, config: Any) -> Any:
    """What `live` is with `config` put over it: `live` itself where that changes nothing."""
    owned = typed.of(config)
    if owned is Owned.FIELDS and isinstance(live, dict) and isinstance(config, dict):
        return _merged_fields(typed, live, config)
    if owned in (Owned.KEYS, Owned.VALUES) and isinstance(live, list) and isinstance(config, list):
        made = _merged_items(typed, live, config)
        return live if len(made) == len(live) and all(map(operator.is_, made, live)) else made
    if (config is None and owned is not Owned.WHOLE) or same(live, config):
        return live
    return config


def _merged_fields(typed: Typed, live: Tree, config: Tree) -> Tree:
    made: Tree | None = None
    for name, value in config.items():
        was = live.get(name, _GONE)
        if was is _GONE:
            now = value
        else:
            below = typed.field(name)
            now = value if below is None else was if was is value else merge(below, was, value)
        if now is not was:
            made = dict(live) if made is None else made
            made[name] = now
    return live if made is None else made


def _merged_items(typed: Typed, live: list[Any], config: list[Any]) -> list[Any]:
    ours = [typed.element(item) for item in config]
    theirs = [_element(typed, item) for item in live]
    wanted = dict(zip(ours, config, strict=True))
    present = {element: found[0] for element, found in by_element(typed, live).items() if len(found) == 1}
    known = set(theirs)
    shared = iter([element for element in ours if element in known])
    upcoming = next(shared, None)
    made: list[Any] = []
    done: set[str] = set()
    left = right = 0
    items = typed.items or OPEN
    while left < len(theirs) or right < len(ours):
        if left < len(theirs):
            element = theirs[left]
            if element not in wanted:
                made.append(live[left])
                left += 1
                continue
            if element in done or (right < len(ours) and element != ours[right] and element != upcoming):
                left += 1
                continue
        if right >= len(ours):
            left += 1
            continue
        element = ours[right]
        made.append(merge(items, present[element], wanted[element]) if element in present else wanted[element])
        done.add(element)
        right += 1
        if element == upcoming:
            upcoming = next(shared, None)
        if left < len(theirs) and theirs[left] == element:
            left += 1
    return made


def _element(typed: Typed, item: Any) -> str:
    """The path element of a live item; what has none is told from all others by what it is."""
    try:
        return typed.element(item)
    except (KeyError, TypeError):
        return f"?{item!r}"


def without(typed: Typed | None, tree: Any, gone: FieldSet) -> Any:
    """`tree` without the paths in `gone` and what lies below them; what is emptied by that goes too."""
    if isinstance(tree, dict):
        made = {}
        for name, value in tree.items():
            kept = _rest(typed.field(name) if typed else None, value, gone.get(f"f:{name}"))
            if kept is not _GONE:
                made[name] = kept
        return made
    if isinstance(tree, list) and typed is not None and typed.owned in (Owned.KEYS, Owned.VALUES):
        rest = [_rest(typed.items, item, gone.get(_element(typed, item))) for item in tree]
        return [item for item in rest if item is not _GONE]
    return tree


def _rest(typed: Typed | None, value: Any, gone: FieldSet | None) -> Any:
    if gone is None:
        return value
    if not gone or SELF in gone:
        return _GONE
    rest = without(typed, value, gone)
    return rest if rest or not value else _GONE
