"""Server-side apply: a configuration merged into an object, and who owns what afterwards.

What the configuration says is set; what its manager said the last time and says no more is taken away unless
somebody else owns it; a field that another manager owns with another value is a conflict, unless forced.
Plain functions over trees and sets of paths. Left to others: whether the configuration fits its kind
(`apply_check.py`). Source: KEP 555, and `merge.Updater` of sigs.k8s.io/structured-merge-diff.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any

import orjson

from bireme.api.apply_merge import merge, without
from bireme.api.errors import Cause, Conflict
from bireme.api.managed import NO_VIEWS, UPDATE, Entry, Manager, Views, capped, tracked
from bireme.api.managed_diff import Changes, compare, fields_of
from bireme.api.managed_sets import (
    SELF,
    FieldSet,
    Reach,
    difference,
    holds,
    intersection,
    path_text,
    paths,
    touches,
    union,
)
from bireme.api.managed_types import Typed

Tree = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Applied:
    """The object as it is to be, and its owners."""

    tree: Tree
    entries: list[Entry]


@dataclass(frozen=True, slots=True)
class Clash:
    """One field that another manager owns with another value."""

    manager: Manager
    path: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """What an apply gives, where owners speak of other versions of the kind, and what it changes as these show it."""

    merged: Tree
    views: Views


class Clashes(Exception):
    """The configuration would take fields from others."""

    def __init__(self, clashes: Sequence[Clash]) -> None:
        super().__init__(clashes)
        self.clashes = tuple(clashes)


def apply(
    typed: Typed,
    live: Tree,
    config: Tree,
    fields: FieldSet,
    entries: list[Entry],
    manager: Manager,
    reach: Reach,
    *,
    force: bool,
    now: str,
    elsewhere: Elsewhere | None = None,
) -> Applied:
    """Apply `config`, which speaks of `fields`, to `live`; neither is changed. Raises Clashes."""
    last = next((entry for entry in entries if entry.manager.is_same(manager)), None)
    share = tracked(fields, reach)
    merged = merge(typed, live, config) if elsewhere is None else elsewhere.merged
    others = [entry for entry in entries if entry is not last]
    if last is not None and elsewhere is None:
        merged = _pruned(typed, merged, last.fields, union(share, _all(others)))
    changes = compare(typed, live, merged) if merged is not live else _NO_CHANGES
    changed, removed = reach.of(changes.changed), reach.of(changes.removed)
    views = NO_VIEWS if elsewhere is None else elsewhere.views
    left = _taken_from(others, Changes(changed, removed), views, force=force)
    if not changes and last is not None:
        now = last.time
    if share:
        left.append(Entry(manager, share, now))
    return Applied(merged, capped(left))


_NO_CHANGES = Changes({}, {})


def unowned(typed: Typed, merged: Tree, rest: Tree, managed: FieldSet) -> Tree:
    """`merged` without what is gone from `rest` and not `managed` either."""
    present = with_named(typed, fields_of(typed, merged))
    kept = union(with_named(typed, fields_of(typed, rest)), with_named(typed, managed))
    made: Tree = without(typed, merged, difference(present, kept))
    return made


def left_standing(typed: Typed, merged: Tree, rest: Tree, last: FieldSet) -> Tree:
    """`rest`, with what stood below something of `last` that is gone: it was never this manager's, and stays."""
    present = with_named(typed, fields_of(typed, merged))
    back = with_named(typed, fields_of(typed, rest))
    made: Tree = without(typed, merged, intersection(difference(present, back), with_named(typed, last)))
    return made


def _all(entries: Sequence[Entry]) -> FieldSet:
    return reduce(union, (entry.fields for entry in entries), {})


def _pruned(typed: Typed, merged: Tree, last: FieldSet, managed: FieldSet) -> Tree:
    """`merged` without what this manager owned before and nobody owns now."""
    gone = difference(last, managed)
    if not gone:
        return merged
    rest = unowned(typed, merged, without_members(typed, merged, last), managed)
    return left_standing(typed, merged, rest, last)


def without_members(typed: Typed, tree: Tree, fields: FieldSet) -> Tree:
    """The tree without the fields, and without the structs on the way to them."""
    made: Tree = without(typed, tree, with_named(typed, fields))
    return made


def with_named(typed: Typed | None, fields: FieldSet) -> FieldSet:
    """The set with the structs on the way to its members as members too."""
    made: FieldSet = {}
    for key, below in fields.items():
        if key == SELF or not below:
            made[key] = below
            continue
        named = typed is not None and key[:2] == "f:" and key[2:] in typed.fields
        inner = _inner(typed, key)
        deeper = with_named(inner, below)
        made[key] = {SELF: {}, **deeper} if named and SELF not in deeper else deeper
    return made


def _inner(typed: Typed | None, element: str) -> Typed | None:
    if typed is None:
        return None
    return typed.field(element[2:]) if element[:2] == "f:" else typed.items


def _taken_from(others: list[Entry], changes: Changes, views: Views, *, force: bool) -> list[Entry]:
    seen = [(entry, views.get(entry.manager.api_version, changes)) for entry in others]
    clashes = [
        Clash(entry.manager, path)
        for entry, view in seen
        if view is not None and touches(entry.fields, view.changed)
        for path in paths(intersection(entry.fields, view.changed))
    ]
    if clashes and not force:
        raise Clashes(clashes)
    left: list[Entry] = []
    for entry, view in seen:
        if view is None:
            continue
        lost = union(view.changed, view.removed)
        fields = difference(entry.fields, lost) if touches(entry.fields, lost) else entry.fields
        if fields:
            left.append(entry if fields is entry.fields else entry._replace(fields=fields))
    return left


def allowed_by_last_applied(typed: Typed, live: Tree, text: str) -> FieldSet:
    """What a client-side apply said that is still so: its own tool may take that over. Empty if it can't be read."""
    try:
        said = orjson.loads(text)
    except orjson.JSONDecodeError:
        return {}
    if not isinstance(said, dict) or said.get("apiVersion") != live.get("apiVersion"):
        return {}
    changes: Changes = compare(typed, said, live)
    return difference(fields_of(typed, said), union(changes.changed, changes.removed))


def conflict_of(clashes: Sequence[Clash]) -> Conflict:
    """The refusal that names every clash."""
    causes = [
        Cause("FieldManagerConflict", f"conflict with {_shown(clash.manager)}", path_text(clash.path))
        for clash in clashes
    ]
    return Conflict(_message(clashes), causes=causes)


def _message(clashes: Sequence[Clash]) -> str:
    if len(clashes) == 1:
        clash = clashes[0]
        return f"Apply failed with 1 conflict: conflict with {_shown(clash.manager)}: {path_text(clash.path)}"
    by_manager: dict[str, list[str]] = {}
    for clash in clashes:
        by_manager.setdefault(_shown(clash.manager), []).append(f"- {path_text(clash.path)}")
    lines = [line for shown in sorted(by_manager) for line in (f"conflicts with {shown}:", *by_manager[shown])]
    return f"Apply failed with {len(clashes)} conflicts: " + "\n".join(lines)


def _shown(manager: Manager) -> str:
    text = orjson.dumps(manager.name).decode()
    if manager.subresource:
        text += f' with subresource "{manager.subresource}"'
    return f"{text} using {manager.api_version}" if manager.operation == UPDATE else text


def left_after(clashes: Sequence[Clash], allowed: FieldSet) -> list[Clash]:
    """The clashes whose fields are not among the allowed ones."""
    return [clash for clash in clashes if not holds(allowed, clash.path)]
