"""Which manager owns which fields of what is written: the owners that each verb leaves in `metadata`.

Every write is told to the manager that the client names, or that its User-Agent names. What a new object of the
same spec gives is remembered, since most objects are made from templates; an update costs by what it changes.
Left to others: the rules (`api/managed.py`, `api/apply.py`), when to ask (`verbs.py`).
Source: KEP 555, and the `managedfields` package of apimachinery.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import orjson

from bireme.aio.clock import Clock
from bireme.api import managed
from bireme.api.apply import (
    Applied,
    Clashes,
    Elsewhere,
    allowed_by_last_applied,
    apply,
    conflict_of,
    left_after,
)
from bireme.api.managed import APPLY, UPDATE, Entry, Manager, Views
from bireme.api.managed_diff import compare, everything, fields_of, fitted, metadata_of
from bireme.api.managed_sets import FieldSet
from bireme.api.managed_types import Owned, TypeBook, Typed
from bireme.api.times import rfc3339
from bireme.registry import conversion
from bireme.registry.applying import check_config
from bireme.registry.intake import Intake
from bireme.registry.kinds import Kind
from bireme.registry.options import Call
from bireme.registry.reset_fields import reach_of, without_zeros
from bireme.registry.strategy import is_builtin

Tree = dict[str, Any]
# Specs and configurations that are remembered; at most some 16 MB of each.
MOST_TEXTS = 512
LONGEST_TEXT = 32 << 10
UNKNOWN = "unknown"
KUBECTL = "kubectl"
LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
_ZERO: Mapping[str, Any] = {"spec": {}, "status": {}}


@dataclass(frozen=True, slots=True)
class Apply:
    """A configuration to apply, and how."""

    config: Tree
    force: bool
    subresource: str = ""
    fields: FieldSet = field(default_factory=dict)


class FieldManagers:
    """The owners of fields, for the kinds of one registry."""

    def __init__(self, intake: Intake, clock: Clock) -> None:
        self._intake = intake
        self._clock = clock
        self._types = TypeBook()
        # Writing a time costs more than telling that it is still the same second.
        self._second: tuple[datetime | None, str] = (None, "")
        self._specs: dict[tuple[Typed, bytes], FieldSet | None] = {}
        self._configs: dict[tuple[Typed, bytes], FieldSet] = {}

    def typed(self, kind: Kind) -> Typed:
        """How objects of the kind are owned."""
        return self._types.of(self._intake.node(kind))

    def created(self, kind: Kind, tree: Tree, call: Call) -> None:
        """Give a new object its owner, in place: all that is in it now is its maker's."""
        share = self._everything(kind, conversion.from_stored(kind, tree))
        if share:
            manager = Manager(call.field_manager or UNKNOWN, UPDATE, kind.resource.api_version)
            metadata = tree["metadata"]
            metadata["managedFields"] = managed.encode([Entry(manager, share, metadata["creationTimestamp"])])

    def updated(
        self,
        kind: Kind,
        new: Tree,
        old: Tree,
        call: Call,
        *,
        said: Any = None,
        subresource: str = "",
        views: Views = managed.NO_VIEWS,
        now: str = "",
    ) -> None:
        """Give a changed object its owners, in place; `said` is what the client's body has as owners."""
        kept = old["metadata"].get("managedFields")
        if subresource or said is None or said == kept:
            entries = managed.trusted(kept) if kept else []
        elif managed.is_reset(said):
            entries = []
        else:
            entries = managed.decode(said) or managed.trusted(kept or ())
            kept = None
        entries = self._fitted(kind, entries, views)
        if not entries:
            return  # nobody keeps account of this object until it is applied to
        changes = compare(
            self.typed(kind),
            conversion.from_stored(kind, old),
            conversion.from_stored(kind, new),
            zero=_ZERO if _is_builtin(kind) else {},
        )
        if not changes and kept is not None:
            new["metadata"]["managedFields"] = kept
            return
        manager = Manager(call.field_manager or UNKNOWN, UPDATE, kind.resource.api_version, subresource)
        reach = reach_of(kind, subresource)
        after = managed.updated(entries, manager, changes, reach, now=now or self.now(), views=views)
        if after:
            new["metadata"]["managedFields"] = managed.encode(after)

    def spoken_of(self, kind: Kind, config: Any, *, namespace: str, name: str) -> FieldSet:
        """The fields that a configuration speaks of, if it is one for that kind. Raises BadRequest, NotTyped.

        Remembered, since the same one is mostly applied again and again.
        """
        typed, text = self.typed(kind), orjson.dumps(config)
        known = self._configs.get((typed, text))
        if known is None:
            check_config(kind, typed, config, namespace=namespace, name=name)
            known = fields_of(typed, config)
            _remember(self._configs, (typed, text), known)
        return known

    @staticmethod
    def keep_sound(tree: Tree, owners: Any) -> None:
        """Put the owners back, in place, where admission made something of them that says nothing."""
        metadata = tree["metadata"]
        said = metadata.get("managedFields")
        if said is owners or said == owners or (said and managed.decode(said) is not None):
            return
        metadata.pop("managedFields", None)
        if owners:
            metadata["managedFields"] = owners

    def applied(self, kind: Kind, live: Tree, said: Apply, call: Call, elsewhere: Elsewhere | None = None) -> Tree:
        """What `live` (in the kind's version) becomes by an apply, with its owners. Raises Conflict."""
        kept = live["metadata"].get("managedFields") or ()
        live = {**live, "metadata": {k: v for k, v in live["metadata"].items() if k != "managedFields"}}
        entries = self._fitted(kind, managed.trusted(kept), elsewhere.views if elsewhere else managed.NO_VIEWS)
        if not entries and "uid" in live["metadata"]:
            entries = self._before_first_apply(kind, live)
        try:
            made = self._apply(kind, live, said, entries, call, force=said.force, elsewhere=elsewhere)
        except Clashes as error:
            made = self._taken_over(kind, live, said, entries, call, error, elsewhere)
        metadata = dict(made.tree["metadata"])
        if made.entries:
            metadata["managedFields"] = managed.encode(made.entries)
        tree = {**made.tree, "metadata": metadata}
        if call.field_manager == KUBECTL and (metadata.get("annotations") or {}).get(LAST_APPLIED):
            metadata["annotations"] = {**metadata["annotations"], LAST_APPLIED: _last_applied(said.config)}
        return tree

    def _apply(
        self,
        kind: Kind,
        live: Tree,
        said: Apply,
        entries: list[Entry],
        call: Call,
        *,
        force: bool,
        elsewhere: Elsewhere | None,
    ) -> Applied:
        manager = Manager(call.field_manager, APPLY, kind.resource.api_version, said.subresource)
        reach = reach_of(kind, said.subresource)
        return apply(
            self.typed(kind),
            live,
            said.config,
            said.fields,
            entries,
            manager,
            reach,
            force=force,
            now=self.now(),
            elsewhere=elsewhere,
        )

    def _taken_over(
        self,
        kind: Kind,
        live: Tree,
        said: Apply,
        entries: list[Entry],
        call: Call,
        error: Clashes,
        elsewhere: Elsewhere | None,
    ) -> Applied:
        """kubectl may take over what its own client-side apply has left; other clashes are refused."""
        text = (live["metadata"].get("annotations") or {}).get(LAST_APPLIED)
        clashes = list(error.clashes)
        if call.field_manager == KUBECTL and text:
            clashes = left_after(clashes, allowed_by_last_applied(self.typed(kind), live, text))
            if not clashes:
                return self._apply(kind, live, said, entries, call, force=True, elsewhere=elsewhere)
        raise conflict_of(clashes) from error

    def _fitted(self, kind: Kind, entries: list[Entry], views: Views) -> list[Entry]:
        """The entries in the terms of the schema of today, which only custom kinds change."""
        if kind.custom is None:
            return entries
        typed = self.typed(kind)
        return [
            entry if entry.manager.api_version in views else entry._replace(fields=fitted(typed, entry.fields))
            for entry in entries
        ]

    def _before_first_apply(self, kind: Kind, live: Tree) -> list[Entry]:
        share = self._everything(kind, live)
        manager = Manager(managed.BEFORE_FIRST_APPLY, UPDATE, kind.resource.api_version)
        return [Entry(manager, share, self.now())] if share else []

    def _everything(self, kind: Kind, tree: Tree) -> FieldSet:
        """All that a maker of `tree` owns."""
        typed, skipped = self.typed(kind), reach_of(kind, "").without
        builtin = _is_builtin(kind)
        made: FieldSet = {}
        for name in tree:
            element = f"f:{name}"
            below = typed.field(name)
            if below is None or element in skipped or element in ("f:apiVersion", "f:kind"):
                continue
            share: FieldSet | None
            if name == "metadata":
                share = metadata_of(below, tree[name]) or None
            elif name == "spec" and builtin:
                share = self._spec(kind, below, tree[name])
            else:
                share = everything(below, tree[name])
                if builtin and name in ("template", "status"):
                    share = without_zeros(kind.resource.kind, name, share)
            if share is not None:
                made[element] = share
        return made

    def _spec(self, kind: Kind, typed: Typed, spec: Any) -> FieldSet | None:
        """What is owned of a spec; remembered, since many objects have the same one."""
        text = orjson.dumps(spec)
        place = (typed, text)
        if place in self._specs:
            return self._specs[place]
        share = everything(typed, spec)
        made = without_zeros(kind.resource.kind, "spec", share) if typed.owned is not Owned.WHOLE else share
        _remember(self._specs, place, made)
        return made

    def now(self) -> str:
        """The time that owners are given, in whole seconds."""
        now = self._clock.now().replace(microsecond=0)
        if now != self._second[0]:
            self._second = (now, rfc3339(now))
        return self._second[1]


def _is_builtin(kind: Kind) -> bool:
    return kind.custom is None and is_builtin(kind.resource)


def _remember(known: dict[tuple[Typed, bytes], Any], place: tuple[Typed, bytes], made: Any) -> None:
    """Keep what was worked out; the oldest goes where there are too many."""
    if len(place[1]) > LONGEST_TEXT:
        return
    if len(known) >= MOST_TEXTS:
        known.pop(next(iter(known.copy())), None)  # others may be at it from another thread
    known[place] = made


def _last_applied(config: Tree) -> str:
    """A configuration as client-side apply keeps it in an annotation."""
    metadata = {name: value for name, value in (config.get("metadata") or {}).items() if name != "managedFields"}
    annotations = {k: v for k, v in (metadata.get("annotations") or {}).items() if k != LAST_APPLIED}
    metadata.pop("annotations", None)
    if annotations:
        metadata["annotations"] = annotations
    return orjson.dumps({**config, "metadata": metadata}, option=orjson.OPT_SORT_KEYS).decode() + "\n"


def same_but_for_times(new: Tree, old: Tree) -> bool:
    """Whether two states, which do differ, do so only in when their managers wrote: that is no change."""
    after, before = new["metadata"], old["metadata"]
    if after.get("managedFields") == before.get("managedFields"):
        return False
    if any(new.get(name) != old.get(name) for name in {*new, *old} if name != "metadata"):
        return False
    if any(after.get(name) != before.get(name) for name in {*after, *before} if name != "managedFields"):
        return False
    owners = managed.forgotten_times
    return bool(owners(after.get("managedFields")) == owners(before.get("managedFields")))
