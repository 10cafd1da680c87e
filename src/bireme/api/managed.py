"""Who owns which fields of an object: `metadata.managedFields`, and what writes do to it.

An entry is one manager's share. Whoever changes a field by an ordinary write takes it from all others; what is
gone nobody owns. Of ordinary writers the ten latest are kept apart, the rest are put together.
Left to others: what differs between two states (`managed_diff.py`), applied configurations (`apply.py`).
Source: KEP 555 and the `managedfields` package of apimachinery.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal, NamedTuple

from bireme.api.managed_diff import UNTRACKED, Changes
from bireme.api.managed_sets import FieldSet, Reach, covers, difference, is_well_formed, touches, union

Tree = dict[str, Any]

APPLY: Literal["Apply"] = "Apply"
UPDATE: Literal["Update"] = "Update"
MOST_UPDATERS = 10
ANCIENT = "ancient-changes"
BEFORE_FIRST_APPLY = "before-first-apply"

Views = Mapping[str, Changes | None]
"""What a write changes as other versions of the kind show it, by apiVersion; None where a version is no more."""
NO_VIEWS: Views = {}

NOT_TRACKED: FieldSet = {
    "f:apiVersion": {},
    "f:kind": {},
    "f:metadata": {".": {}, **{f"f:{name}": {} for name in UNTRACKED}},
}


class Manager(NamedTuple):
    """Who writes, how, in which version, and through which subresource."""

    name: str
    operation: str
    api_version: str
    subresource: str = ""

    @property
    def identity(self) -> tuple[str, str, str, str]:
        """What has one entry: appliers keep theirs in every version."""
        version = "" if self.operation == APPLY else self.api_version
        return self.name, self.operation, version, self.subresource

    def is_same(self, other: "Manager") -> bool:
        """Whether both have one entry."""
        return self.name == other.name and self.identity == other.identity


class Entry(NamedTuple):
    """The share of one manager, and when it last wrote."""

    manager: Manager
    fields: FieldSet
    time: str = ""

    @property
    def is_applied(self) -> bool:
        return self.manager.operation == APPLY


def decode(said: Any) -> list[Entry] | None:
    """The entries of a `managedFields` list, or None if it is none."""
    if not isinstance(said, list):
        return None
    entries: dict[tuple[str, ...], Entry] = {}
    for item in said:
        if not isinstance(item, dict) or item.get("operation") not in (APPLY, UPDATE):
            return None
        fields = item.get("fieldsV1")
        if item.get("fieldsType") != "FieldsV1" or not is_well_formed(fields if fields is not None else {}):
            return None
        manager = Manager(
            str(item.get("manager") or ""),
            item["operation"],
            str(item.get("apiVersion") or ""),
            str(item.get("subresource") or ""),
        )
        entries[manager.identity] = Entry(manager, fields or {}, str(item.get("time") or ""))
    return list(entries.values())


def trusted(said: Sequence[Tree]) -> list[Entry]:
    """The entries of a list that this module wrote."""
    return [
        Entry(
            Manager(
                item.get("manager", ""), item["operation"], item.get("apiVersion", ""), item.get("subresource", "")
            ),
            item.get("fieldsV1") or {},
            item.get("time", ""),
        )
        for item in said
    ]


def encode(entries: Iterable[Entry]) -> list[Tree]:
    """The `managedFields` of entries: appliers first, then by time and name."""
    return [_encoded(entry) for entry in sorted(entries, key=_order)]


def _order(entry: Entry) -> tuple[str, str, str, str, str]:
    manager = entry.manager
    return manager.operation, entry.time, manager.name, manager.api_version, manager.subresource


def _encoded(entry: Entry) -> Tree:
    manager = entry.manager
    made: Tree = {"manager": manager.name, "operation": manager.operation, "apiVersion": manager.api_version}
    if not manager.name:
        del made["manager"]
    if entry.time:
        made["time"] = entry.time
    made["fieldsType"] = "FieldsV1"
    made["fieldsV1"] = entry.fields
    if manager.subresource:
        made["subresource"] = manager.subresource
    return made


def is_reset(said: Any) -> bool:
    """Whether a client asks to forget all owners: with an empty list, or one empty entry."""
    return isinstance(said, list) and (not said or (len(said) == 1 and not said[0]))


def tracked(fields: FieldSet, reach: Reach) -> FieldSet:
    """What a manager may own of `fields`: what this way of writing can touch, but not what the server keeps."""
    return difference(reach.of(fields), NOT_TRACKED)


def updated(
    entries: list[Entry],
    manager: Manager,
    changes: Changes,
    reach: Reach,
    *,
    now: str,
    views: Views = NO_VIEWS,
) -> list[Entry]:
    """The entries after an ordinary write; who owns fields of another version loses what its view says."""
    taken, removed = reach.of(changes.changed), reach.of(changes.removed)
    lost = union(taken, removed)
    made: list[Entry] = []
    own: Entry | None = None
    for entry in entries:
        if entry.manager.is_same(manager):
            own = entry
            continue
        gone: FieldSet | None = lost
        if entry.manager.api_version in views:
            view = views[entry.manager.api_version]
            gone = None if view is None else union(view.changed, view.removed)
        if gone is None:
            continue
        if gone and touches(entry.fields, gone):
            left = difference(entry.fields, gone)
            if left:
                made.append(entry._replace(fields=left))
        else:
            made.append(entry)
    share = _share(own, taken, removed)
    if share:
        made.append(Entry(manager, share, now if taken or own is None else own.time))
    return capped(made)


def _share(own: Entry | None, taken: FieldSet, removed: FieldSet) -> FieldSet:
    if own is None:
        return taken
    kept = difference(own.fields, removed) if removed and touches(own.fields, removed) else own.fields
    return kept if covers(kept, taken) else union(kept, taken)


def capped(entries: list[Entry]) -> list[Entry]:
    """The entries with the oldest ordinary writers put together, where there are too many."""
    updaters = [entry for entry in entries if not entry.is_applied]
    surplus = len(updaters) - MOST_UPDATERS
    if surplus <= 0:
        return entries
    updaters.sort(key=lambda entry: (entry.time, entry.manager.name))
    gone: set[tuple[str, str, str, str]] = set()
    buckets: dict[str, Entry] = {}
    firsts: dict[str, Entry] = {}
    for entry in updaters:
        if surplus <= 0:
            break
        version = entry.manager.api_version
        first = firsts.setdefault(version, entry)
        if first is entry:
            continue  # one alone need not be renamed
        bucket = buckets.get(version)
        if bucket is None:
            gone.add(first.manager.identity)
            bucket = Entry(Manager(ANCIENT, UPDATE, version), first.fields, first.time)
        gone.add(entry.manager.identity)
        buckets[version] = Entry(bucket.manager, union(bucket.fields, entry.fields), entry.time)
        surplus -= 1
    return _merged_buckets([entry for entry in entries if entry.manager.identity not in gone], buckets)


def _merged_buckets(entries: list[Entry], buckets: dict[str, Entry]) -> list[Entry]:
    made = list(entries)
    for bucket in buckets.values():
        same = next((entry for entry in made if entry.manager == bucket.manager), None)
        if same is None:
            made.append(bucket)
        else:
            made.remove(same)
            made.append(Entry(bucket.manager, union(same.fields, bucket.fields), max(same.time, bucket.time)))
    return made


def forgotten_times(said: Any) -> Any:
    """A `managedFields` list without its times, to tell whether anything else in it changed."""
    return [{name: value for name, value in item.items() if name != "time"} for item in said or ()]
