"""Owners of fields of other versions of a kind than the one that is written.

A field may have another name in another version, so a write is shown in each version that owners speak of: the object
before and after is converted, and what differs there is what they lose, or clash over. What an applier said in
another version is pruned there. Most kinds have one version, or several with the same fields, and cost one look.
Left to others: the rules (`api/apply.py`, `api/managed.py`), the owners of one version (`field_managers.py`).
Source: `merge.Updater` of sigs.k8s.io/structured-merge-diff, and the version converter of `managedfields`.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import structlog

from bireme.api import managed
from bireme.api.apply import Elsewhere, left_standing, unowned, without_members
from bireme.api.apply_merge import merge
from bireme.api.errors import ApiError
from bireme.api.managed import APPLY, Entry, Manager, Views
from bireme.api.managed_diff import Changes, compare
from bireme.api.managed_sets import FieldSet, union
from bireme.api.managed_types import Typed
from bireme.registry import conversion
from bireme.registry.custom_conversion import Converter
from bireme.registry.field_managers import Apply
from bireme.registry.kinds import Kind, Kinds, Versions
from bireme.registry.options import Call
from bireme.registry.reset_fields import reach_of

Tree = dict[str, Any]
log = structlog.get_logger(__name__)
_IDENTITY = ("name", "namespace", "uid")


class FieldVersions:
    """Shows writes in other versions; `typed` says how the objects of a kind are owned."""

    def __init__(self, kinds: Kinds, converter: Converter, typed: Callable[[Kind], Typed]) -> None:
        self._versions = Versions(kinds)
        self._converter = converter
        self._typed = typed

    async def views(self, kind: Kind, new: Tree, old: Tree, *, subresource: str) -> Views:
        """What an ordinary write changes as other versions show it; both states are as they are stored."""
        places = self._elsewhere(kind, old["metadata"].get("managedFields") or ())
        if not places:
            return managed.NO_VIEWS
        before, after = conversion.from_stored(kind, old), conversion.from_stored(kind, new)
        try:
            return await self._views(kind, before, after, places, subresource)
        except ApiError as error:  # owners are kept by the paths as they stand: the write does not depend on them
            log.warning("owners of other versions", kind=kind.resource.title, error=error.message)
            return managed.NO_VIEWS

    async def elsewhere(self, kind: Kind, live: Tree, said: Apply, call: Call) -> Elsewhere | None:
        """What an apply gives and changes, where owners speak of other versions; None where none does."""
        places = self._elsewhere(kind, live["metadata"].get("managedFields") or ())
        if not places:
            return None
        entries = managed.trusted(live["metadata"]["managedFields"])
        live = {**live, "metadata": {k: v for k, v in live["metadata"].items() if k != "managedFields"}}
        merged = merge(self._typed(kind), live, said.config)
        manager = Manager(call.field_manager, APPLY, kind.resource.api_version, said.subresource)
        last = next((entry for entry in entries if entry.manager.is_same(manager)), None)
        if last is not None:
            share = managed.tracked(said.fields, reach_of(kind, said.subresource))
            kept = [*(entry for entry in entries if entry is not last), Entry(manager, share)]
            merged = await self._pruned(kind, merged, last, kept, places)
        return Elsewhere(merged, await self._views(kind, live, merged, places, said.subresource))

    def _elsewhere(self, kind: Kind, owners: Iterable[Tree]) -> Mapping[str, Kind | None]:
        """The other versions that owners speak of, where fields may differ between versions."""
        served, custom = self._versions.of(kind), kind.custom
        if len(served) < 2 or (custom is not None and custom.family.webhook is None):
            return {}
        own = kind.resource.api_version
        spoken = {said for owner in owners if (said := owner.get("apiVersion")) and said != own}
        known = {each.resource.api_version: each for each in served}
        return {version: known.get(version) for version in spoken}

    async def _views(
        self, kind: Kind, old: Tree, new: Tree, places: Mapping[str, Kind | None], subresource: str
    ) -> Views:
        made: dict[str, Changes | None] = {}
        for version, place in places.items():
            if place is None:
                made[version] = None
                continue
            before, after = await self._shown(kind, old, place), await self._shown(kind, new, place)
            changes = compare(self._typed(place), before, after)
            reach = reach_of(place, subresource)
            made[version] = Changes(reach.of(changes.changed), reach.of(changes.removed))
        return made

    async def _pruned(
        self, kind: Kind, merged: Tree, last: Entry, kept: list[Entry], places: Mapping[str, Kind | None]
    ) -> Tree:
        """`merged` without what this manager owned before and nobody owns now, in whatever version."""
        own = kind.resource.api_version
        known = {**places, own: kind}
        said = known[last.manager.api_version]
        if said is None:
            return merged
        typed, before = self._typed(said), await self._shown(kind, merged, said)
        rest = _known_by(before, without_members(typed, before, last.fields))
        # First in the version that was spoken: a conversion may need what stands there.
        for version in sorted(known, key=lambda one: (one != last.manager.api_version, one)):
            place = known[version]
            owned: FieldSet = {}
            for entry in kept:
                owned = union(owned, entry.fields) if entry.manager.api_version == version else owned
            if place is None or not owned:
                continue
            whole, part = await self._shown(said, before, place), await self._shown(said, rest, place)
            more = _known_by(whole, unowned(self._typed(place), whole, part, owned))
            rest = await self._shown(place, more, said)
        return await self._shown(said, left_standing(typed, before, rest, last.fields), kind)

    async def _shown(self, kind: Kind, tree: Tree, wanted: Kind) -> Tree:
        """An object of `kind`'s version in another one."""
        if wanted is kind:
            return tree
        if wanted.custom is not None:
            return await self._converter.to_version(wanted.custom, tree)
        return conversion.from_stored(wanted, conversion.to_stored(kind, tree))


def _known_by(whole: Tree, part: Tree) -> Tree:
    """`part` with what tells which object it is: nobody owns that, and no conversion does without."""
    metadata = {name: whole["metadata"][name] for name in _IDENTITY if name in whole["metadata"]}
    return {
        **part,
        **{name: whole[name] for name in ("apiVersion", "kind") if name in whole},
        "metadata": {**(part.get("metadata") or {}), **metadata},
    }
