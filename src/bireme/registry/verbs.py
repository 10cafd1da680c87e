"""What each verb does to the objects in the store.

A write goes: intake (types, unknown fields), the kind's strategy, defaults, admission, validation, compare and
set. It is made on trees and stored as bytes; `record.py` says how they lie. Reads come from the watch cache and
the store, both in memory, and are never older than the last write that was acknowledged.

Left to others: HTTP (`apiserver/`), what deletes decide (`deletion.py`), pages (`lists.py`), the parts of
objects that have verbs of their own (`subresources/`). Source: the reference on reading and writing (2, 3).
"""

import random as chance
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from bireme.aio.clock import Clock
from bireme.api.errors import AlreadyExists, ApiError, Cause, NotFound, ServiceUnavailable, not_found
from bireme.api.scheme import Scheme
from bireme.registry import conversion, creation, lists
from bireme.registry.admission.chain import Attributes, Chain, Plugin
from bireme.registry.deletion import is_over, plan_delete
from bireme.registry.intake import Intake
from bireme.registry.kinds import Kind, Kinds
from bireme.registry.lists import Page
from bireme.registry.options import Call, DeleteOptions, ListOptions, WatchOptions
from bireme.registry.record import Document, Record, encode
from bireme.registry.selection import Selection
from bireme.registry.strategy import (
    check_preconditions,
    invalid,
    modified,
    settle_name,
    settle_namespace,
)
from bireme.registry.updates import check_finalizers, count_generation, prepare_update
from bireme.registry.watch_cache import View, WatchCache, Watcher
from bireme.store.interface import Item, KeyConflict, Revision, Store, StoreError

Tree = dict[str, Any]

NAME_TRIES = 8
PATCH_TRIES = 5
SUFFIX_ALPHABET = "bcdfghjklmnpqrstvwxz2456789"
LONGEST_BASE = 58


class Rules:
    """What a kind keeps beside its objects (addresses, for one). Every method may be left as it is."""

    def before_create(self, tree: Tree, call: Call) -> Callable[[], None]:
        """Fill in what is given out; the answer gives it back if the write fails."""
        return _nothing

    def before_update(self, tree: Tree, old: Tree, call: Call) -> Callable[[], None]:
        """As `before_create`, for an update of `old`."""
        return _nothing

    async def after_write(self, tree: Tree, old: Tree | None) -> None:
        """The write stands."""

    async def after_delete(self, old: Tree) -> None:
        """The object is gone."""


def _nothing() -> None:
    """Nothing to give back."""


@dataclass(frozen=True, slots=True)
class Deleted:
    """The object as it is now or last was, and whether it is gone."""

    document: Document
    gone: bool


@dataclass(frozen=True, slots=True)
class Watching:
    """A watch that has begun: what there is (None: not asked for), and a watcher of what follows `revision`."""

    initial: Sequence[Record] | None
    watcher: Watcher
    revision: int


class Raced(Exception):
    """Somebody else wrote the object first."""


class Registry:
    """The verbs over one store. Call `start` once, then keep `run` running."""

    def __init__(
        self,
        store: Store,
        scheme: Scheme,
        clock: Clock,
        *,
        uid: Callable[[], str] = lambda: str(uuid4()),
        random: chance.Random | None = None,
        plugins: Sequence[Plugin] = (),
        rules: dict[str, Rules] | None = None,
    ) -> None:
        self.store = store
        self.scheme = scheme
        self.clock = clock
        self.kinds = Kinds(scheme)
        self.cache = WatchCache(store, scheme, clock)
        self.intake = Intake(scheme)
        self.admission = Chain(plugins)
        self._uid = uid
        self._random = random or chance.Random()
        self._rules = rules or {}
        self._no_rules = Rules()

    def use(self, plugins: Sequence[Plugin], rules: dict[str, Rules]) -> None:
        """Set the admission plugins and the rules by kind, which look at objects through this registry."""
        self.admission = Chain(plugins)
        self._rules = rules

    def rules_of(self, kind: str) -> Rules:
        """The rules of a kind, by its name."""
        return self._rules.get(kind, self._no_rules)

    def start(self) -> None:
        """Load the watch cache. Call once, before any verb."""
        self.cache.start()

    async def run(self) -> None:
        """Follow the store for the watchers; runs until cancelled."""
        await self.cache.run()

    def kind(self, group: str, version: str, plural: str) -> Kind:
        """The kind that is served there. Raises NotFound."""
        kind = self.kinds.at(group, version, plural)
        if kind is None:
            raise NotFound("the server could not find the requested resource")
        return kind

    def new_uid(self) -> str:
        """A uid that was never given out."""
        return self._uid()

    # Looking up, for admission and rules

    def find(self, group: str, version: str, plural: str, namespace: str, name: str) -> Tree | None:
        """The object of that name, as it is kept, or None."""
        kind = self.kind(group, version, plural)
        item = self.store.get(kind.key(namespace, name))
        return None if item is None else Document(item.value, item.revision, kind.prefix).tree()

    def every(self, group: str, version: str, plural: str, namespace: str = "") -> list[Tree]:
        """All objects of a kind, as they are kept."""
        kind = self.kind(group, version, plural)
        prefix = kind.key_prefix + (f"{namespace}/" if namespace else "")
        return [Document(i.value, i.revision, kind.prefix).tree() for i in self.store.range(prefix)]

    # Reading

    async def get(self, kind: Kind, namespace: str, name: str, *, resource_version: str = "") -> Document:
        """The object of that name. Raises NotFound; Timeout where it is asked to be newer than it can be."""
        if resource_version and (version := lists.parse_version(resource_version)) > self.store.revision:
            await self.cache.wait_fresh(version)
        return self._document(kind, self._item(kind, namespace, name))

    async def list(self, kind: Kind, selection: Selection, options: ListOptions) -> Page:
        """A page of what `selection` chooses, in key order."""
        lists.check_list_options(options)
        version = lists.parse_version(options.resource_version)
        exact = version if options.match == "Exact" or (version and options.limit and not options.match) else 0
        await self.cache.wait_fresh(max(version, self.store.revision))
        return lists.read_page(
            self.store,
            self.cache.of(kind.stored),
            selection,
            options,
            exact=exact,
            revision=self.cache.revision,
        )

    async def watch(self, kind: Kind, selection: Selection, options: WatchOptions, view: View) -> Watching:
        """A watch of what `selection` chooses, from where `options` say. Raises Expired for too long ago."""
        lists.check_watch_options(options)
        version = lists.parse_version(options.resource_version)
        await self.cache.wait_fresh(max(version, self.store.revision))
        cache = self.cache.of(kind.stored)
        initial = options.initial_events if options.initial_events is not None else version == 0
        if not initial and version:
            return Watching(None, cache.watch(selection, view, after=version), version)
        revision = self.cache.revision
        records = None
        if initial:
            records = lists.read_page(self.store, cache, selection, ListOptions(), exact=0, revision=revision).records
        return Watching(records, cache.watch(selection, view, after=revision), revision)

    # Writing

    async def create(self, kind: Kind, namespace: str, tree: Tree, call: Call, *, name: str = "") -> Document:
        """Store a new object; `name` is given where the path names it. Raises AlreadyExists, Invalid, …"""
        tree = self.intake.take(kind, tree, call)
        settle_namespace(kind.resource, tree, namespace)
        if name:
            settle_name(kind.resource, tree, name)
        base = "" if tree["metadata"].get("name") else tree["metadata"].get("generateName") or ""
        tries = NAME_TRIES if base else 1
        for attempt in range(1, tries + 1):
            if base:
                tree["metadata"]["name"] = self._generate_name(base)
            try:
                return await self._create(kind, namespace, tree, call)
            except Raced as error:
                if attempt == tries:
                    taken = tree["metadata"]["name"]
                    raise _already_exists(kind, taken, generated=bool(base)) from error
        raise AssertionError("the last try returns or raises")

    async def _create(self, kind: Kind, namespace: str, tree: Tree, call: Call) -> Document:
        stored = kind.stored
        creation.begin(stored, kind.strategy, tree, uid=self._uid(), now=self.clock.now())
        self.intake.fill(kind, tree)
        name = tree["metadata"].get("name") or ""
        attributes = Attributes("CREATE", kind, namespace, name, tree, None, call)
        await self.admission.admit(attributes)
        rules = self.rules_of(stored.kind)
        creation.complete(stored, tree, call.user)
        self.intake.check(kind, tree)
        give_back = rules.before_create(tree, call)
        try:
            await self.admission.validate(attributes)
            key = kind.key(namespace, name)
            if self.store.get(key) is not None:
                raise Raced
            if call.dry_run:
                give_back()
                return Document(encode(stored, tree), 0, kind.prefix)
            document = await self._put(kind, key, encode(stored, tree), expect=0)
        except BaseException:
            give_back()
            raise
        await rules.after_write(tree, None)
        return document

    async def update(
        self, kind: Kind, namespace: str, name: str, tree: Tree, call: Call, *, subresource: str = ""
    ) -> tuple[Document, bool]:
        """Put `tree` in the place of the object; the flag says whether it was created. Raises Conflict, …"""
        new = self.intake.take(kind, tree, call)
        settle_name(kind.resource, new, name)
        version = new["metadata"].get("resourceVersion") or ""
        while True:
            item = self.store.get(kind.key(namespace, name))
            if item is None:
                if subresource or not kind.strategy.create_on_update or version:
                    raise not_found(kind.resource.plural, name, group=kind.resource.group)
                return await self.create(kind, namespace, tree, call, name=name), True
            try:
                return await self._replace(kind, namespace, item, new, call, subresource=subresource), False
            except Raced as error:
                if version:
                    raise modified(kind.resource, name) from error

    async def patch(
        self,
        kind: Kind,
        namespace: str,
        name: str,
        change: Callable[[Tree], Tree],
        call: Call,
        *,
        subresource: str = "",
    ) -> Document:
        """Replace the object by what `change` makes of it; tried again when somebody else writes between."""
        for _ in range(PATCH_TRIES):
            item = self._item(kind, namespace, name)
            seen = conversion.from_stored(kind, self._document(kind, item).tree())
            new = self.intake.take(kind, change(seen), call)
            settle_name(kind.resource, new, name)
            try:
                return await self._replace(kind, namespace, item, new, call, subresource=subresource)
            except Raced:
                continue
        raise modified(kind.resource, name)

    async def _replace(
        self, kind: Kind, namespace: str, item: Item, tree: Tree, call: Call, *, subresource: str
    ) -> Document:
        """Store `tree` in the place of `item`. Raises Raced when the item changed meanwhile."""
        old = self._document(kind, item).tree()
        name = old["metadata"]["name"]
        settle_namespace(kind.resource, tree, namespace)
        said = tree["metadata"]
        version = said.get("resourceVersion") or ""
        if not version and not kind.strategy.update_without_version:
            raise _version_needed(kind, name)
        check_preconditions(kind.resource, name, tree, old, uid=said.get("uid") or "", version=version)
        new = prepare_update(kind.stored, tree, old, subresource=subresource)
        check_finalizers(kind.stored, new, old)
        self.intake.fill(kind, new)
        return await self.store_update(kind, namespace, item, new, old, call, subresource=subresource)

    async def store_update(
        self, kind: Kind, namespace: str, item: Item, new: Tree, old: Tree, call: Call, *, subresource: str = ""
    ) -> Document:
        """The last steps of every update: admission, validation, generation, compare and set."""
        name = old["metadata"]["name"]
        old["metadata"].pop("resourceVersion", None)
        attributes = Attributes("UPDATE", kind, namespace, name, new, old, call, subresource)
        await self.admission.admit(attributes)
        if new == old and not is_over(kind.stored, new):
            return self._document(kind, item)
        count_generation(kind.strategy, new, old)
        rules = self.rules_of(kind.stored.kind)
        give_back = rules.before_update(new, old, call)
        try:
            self.intake.check_update(kind, new, old, subresource=subresource)
            await self.admission.validate(attributes)
            value = encode(kind.stored, new)
            if call.dry_run:
                give_back()
                return Document(value, item.revision, kind.prefix)
            if is_over(kind.stored, new):
                await self._remove(kind, item, old)
                return Document(value, item.revision, kind.prefix)
            document = await self._put(kind, item.key, value, expect=item.revision)
        except BaseException:
            give_back()
            raise
        await rules.after_write(new, old)
        return document

    # Deleting

    async def delete(self, kind: Kind, namespace: str, name: str, options: DeleteOptions, call: Call) -> Deleted:
        """Delete the object, or mark it where something still holds it."""
        while True:
            item = self._item(kind, namespace, name)
            try:
                return await self._delete(kind, namespace, name, item, options, call)
            except Raced:
                continue

    async def _delete(
        self, kind: Kind, namespace: str, name: str, item: Item, options: DeleteOptions, call: Call
    ) -> Deleted:
        tree = self._document(kind, item).tree()
        check_preconditions(kind.resource, name, {}, tree, uid=options.uid, version=options.resource_version)
        tree["metadata"].pop("resourceVersion", None)
        attributes = Attributes("DELETE", kind, namespace, name, None, tree, call)
        await self.admission.admit(attributes)
        await self.admission.validate(attributes)
        plan = plan_delete(kind.stored, kind.strategy, tree, options, now=self.clock.now())
        if not plan.remove and plan.tree is None:
            return Deleted(self._document(kind, item), gone=False)
        value = encode(kind.stored, tree)
        if call.dry_run:
            return Deleted(Document(value, item.revision, kind.prefix), gone=plan.remove)
        if plan.remove:
            revision = await self._remove(kind, item, tree)
            return Deleted(Document(item.value, revision, kind.prefix), gone=True)
        return Deleted(await self._put(kind, item.key, value, expect=item.revision), gone=False)

    async def delete_collection(
        self, kind: Kind, selection: Selection, listing: ListOptions, options: DeleteOptions, call: Call
    ) -> Page:
        """Delete what `selection` chooses; the page holds what that was."""
        page = await self.list(kind, selection, listing)
        for record in page.records:
            try:
                await self.delete(kind, record.namespace, record.name, options, call)
            except NotFound:
                continue  # gone already, which is what was asked
        return page

    # The store's edge

    def _item(self, kind: Kind, namespace: str, name: str) -> Item:
        item = self.store.get(kind.key(namespace, name))
        if item is None:
            raise not_found(kind.resource.plural, name, group=kind.resource.group)
        return item

    def read(self, kind: Kind, namespace: str, name: str) -> tuple[Item, Tree]:
        """The stored item and a tree of it, for verbs of parts of an object. Raises NotFound."""
        item = self._item(kind, namespace, name)
        return item, self._document(kind, item).tree()

    async def write(self, kind: Kind, item: Item, tree: Tree, call: Call) -> Document:
        """Store `tree` in the place of `item` as it is, past admission and validation. Raises Raced."""
        value = encode(kind.stored, tree)
        if call.dry_run:
            return Document(value, item.revision, kind.prefix)
        return await self._put(kind, item.key, value, expect=item.revision)

    @staticmethod
    def _document(kind: Kind, item: Item) -> Document:
        return Document(item.value, item.revision, kind.prefix)

    async def _put(self, kind: Kind, key: str, value: bytes, *, expect: int) -> Document:
        try:
            item = await self.store.put(key, value, expect=Revision(expect))
        except KeyConflict as error:
            raise Raced from error
        except StoreError as error:
            raise store_failure(error) from error
        return self._document(kind, item)

    async def _remove(self, kind: Kind, item: Item, tree: Tree) -> int:
        try:
            event = await self.store.delete(item.key, expect=item.revision)
        except KeyConflict as error:
            raise Raced from error
        except StoreError as error:
            raise store_failure(error) from error
        await self.rules_of(kind.stored.kind).after_delete(tree)
        return event.revision

    def _generate_name(self, base: str) -> str:
        return base[:LONGEST_BASE] + "".join(self._random.choices(SUFFIX_ALPHABET, k=5))


def store_failure(error: StoreError) -> ApiError:
    """The store could not write: nothing was changed, and a later try may go better."""
    return ServiceUnavailable(f"the store cannot write now: {error}", retry_after_s=1)


def _already_exists(kind: Kind, name: str, *, generated: bool) -> AlreadyExists:
    return AlreadyExists(
        f'{kind.resource.title} "{name}" already exists',
        details={"name": name, "group": kind.resource.group, "kind": kind.resource.plural},
        retry_after_s=1 if generated else None,
    )


def _version_needed(kind: Kind, name: str) -> ApiError:
    text = "Invalid value: 0x0: must be specified for an update"
    return invalid(kind.resource, name, [Cause("FieldValueInvalid", text, "metadata.resourceVersion")])
