"""The verbs that read: get, list and watch, and looking things up for the other verbs.

Reads come from the watch cache and the store, both in memory, and are never older than the last write that was
acknowledged. Left to others: pages (`lists.py`), the events of a watch (`watch_cache.py`).
Source: the Kubernetes documentation on reading.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bireme.aio.clock import Clock
from bireme.aio.uids import new_uid
from bireme.api.errors import NotFound, not_found
from bireme.api.scheme import Scheme
from bireme.registry import lists
from bireme.registry.access import Authorizer, Masters
from bireme.registry.custom_conversion import Converter
from bireme.registry.custom_reading import (
    Changes,
    ConvertingWatcher,
    Target,
    converted_page,
    needs_conversion,
    stored_selection,
)
from bireme.registry.kinds import Kind, Kinds
from bireme.registry.lists import Page
from bireme.registry.options import ListOptions, WatchOptions
from bireme.registry.record import Document, Record, labels_of
from bireme.registry.selection import Selection
from bireme.registry.watch_cache import WatchCache
from bireme.registry.watcher import View, Watcher
from bireme.store.interface import Item, Revision, Store

Tree = dict[str, Any]
# Trees weigh some ten times their bytes.
SEEN_TREES = 512
# Admission asks for every limit range, quota or class again and again: mostly there are none, or a few.
SEEN_LISTS = 4096
LONGEST_SEEN = 32


@dataclass(frozen=True, slots=True)
class Watching:
    """A watch that has begun: what there is (None: not asked for), and a watcher of what follows `revision`."""

    initial: Sequence[Record] | None
    watcher: Watcher
    revision: int


class Reader:
    """Reads one store. Call `start` once, then keep `run` running."""

    def __init__(self, store: Store, scheme: Scheme, clock: Clock) -> None:
        self.store = store
        self.scheme = scheme = Scheme(scheme.resources())  # to which custom kinds come
        self.clock = clock
        self.kinds = Kinds(scheme)
        self.cache = WatchCache(store, scheme, clock)
        self.converter = Converter(new_uid)
        self._trees: dict[str, tuple[Revision, Tree]] = {}
        self._found: dict[tuple[str, str, str, str, str], tuple[str, Revision, Tree | None]] = {}
        self.authorizer: Authorizer = Masters()
        self._lists: dict[tuple[str, str, str, str], tuple[str, Revision, list[Tree]]] = {}

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

    def find(self, group: str, version: str, plural: str, namespace: str, name: str) -> Tree | None:
        """The object of that name, as it is kept, or None. Others may look at the same tree: don't change it."""
        place = (group, version, plural, namespace, name)
        known = self._found.get(place)
        if known is not None and self.store.written(known[0]) == known[1]:
            return known[2]
        kind = self.kind(group, version, plural)
        prefix = kind.key_prefix
        written = self.store.written(prefix)
        item = self.store.get(kind.key(namespace, name))
        tree = None if item is None else self._seen(kind, item)
        if len(self._found) >= SEEN_TREES:
            self._found.clear()
        self._found[place] = (prefix, written, tree)
        return tree

    def labels(self, group: str, version: str, plural: str, namespace: str, name: str) -> Mapping[str, str] | None:
        """The labels of the object of that name, or None; cheaper than `find` where very many are asked for."""
        kind = self.kind(group, version, plural)
        item = self.store.get(kind.key(namespace, name))
        if item is None:
            return None
        record = self.cache.of(kind.stored).records.get(item.key)
        return record.labels if record is not None and record.revision == item.revision else labels_of(item.value)

    def every(self, group: str, version: str, plural: str, namespace: str = "") -> list[Tree]:
        """All objects of a kind, as they are kept; see `find`. Don't change the list either."""
        place = (group, version, plural, namespace)
        known = self._lists.get(place)
        if known is not None and self.store.written(known[0]) == known[1]:
            return known[2]
        kind = self.kind(group, version, plural)
        prefix = kind.key_prefix
        written = self.store.written(prefix)
        trees = [
            self._seen(kind, item) for item in self.store.range(f"{prefix}{namespace}/" if namespace else prefix)
        ]
        if len(trees) <= LONGEST_SEEN:
            if len(self._lists) >= SEEN_LISTS:
                self._lists.clear()
            self._lists[place] = (prefix, written, trees)
        return trees

    def tree_of(self, kind: Kind, item: Item) -> Tree:
        """A new tree of a stored item."""
        return document_of(kind, item).tree()

    def _seen(self, kind: Kind, item: Item) -> Tree:
        """The tree of `item`, made once for each revision: admission looks at the same few objects all the time."""
        known = self._trees.get(item.key)
        if known is not None and known[0] == item.revision:
            return known[1]
        if len(self._trees) >= SEEN_TREES:
            self._trees.clear()
        tree = document_of(kind, item).tree()
        self._trees[item.key] = (item.revision, tree)
        return tree

    def item(self, kind: Kind, namespace: str, name: str) -> Item:
        """The stored item of that name. Raises NotFound."""
        item = self.store.get(kind.key(namespace, name))
        if item is None:
            raise not_found(kind.resource.plural, name, group=kind.resource.group)
        return item

    def read(self, kind: Kind, namespace: str, name: str) -> tuple[Item, Tree]:
        """The stored item and a tree of it, for verbs of parts of an object. Raises NotFound."""
        item = self.item(kind, namespace, name)
        return item, document_of(kind, item).tree()

    async def get(self, kind: Kind, namespace: str, name: str, *, resource_version: str = "") -> Document:
        """The object of that name. Raises NotFound; Timeout where it is asked to be newer than it can be."""
        if resource_version and (version := lists.parse_version(resource_version)) > self.store.revision:
            await self.cache.wait_fresh(version)
        return await self.document(kind, self.item(kind, namespace, name))

    async def document(self, kind: Kind, item: Item) -> Document:
        """What the store holds there, in the version of `kind`."""
        custom = kind.custom
        if custom is None or not custom.stale(item.value, item.revision):
            return document_of(kind, item)
        (value,) = await self.converter.bytes_of(custom, [(item.key, item.value, item.revision)])
        return Document(value, item.revision, kind.prefix)

    async def tree(self, kind: Kind, item: Item) -> Tree:
        """A new tree of what the store holds there, in the version of `kind`."""
        return (await self.document(kind, item)).tree()

    async def list(self, kind: Kind, selection: Selection, options: ListOptions) -> Page:
        """A page of what `selection` chooses, in key order."""
        lists.check_list_options(options)
        version = lists.parse_version(options.resource_version)
        exact = version if options.match == "Exact" or (version and options.limit and not options.match) else 0
        await self.cache.wait_fresh(max(version, self.store.revision))
        chosen, custom = selection, kind.custom
        if custom is not None and needs_conversion(custom):
            chosen = stored_selection(selection)
        page = lists.read_page(
            self.store,
            self.cache.of(kind.stored),
            chosen,
            options,
            exact=exact,
            revision=self.cache.revision,
        )
        return page if custom is None else await converted_page(self.converter, custom, selection, page)

    async def watch(self, kind: Kind, selection: Selection, options: WatchOptions, view: View) -> Watching:
        """A watch of what `selection` chooses, from where `options` say. Raises Expired for too long ago."""
        lists.check_watch_options(options)
        version = lists.parse_version(options.resource_version)
        initial = options.initial_events if options.initial_events is not None else version == 0
        # A watch from a revision to come begins at once, and tells what follows that.
        await self.cache.wait_fresh(max(version if initial else 0, self.store.revision))
        cache = self.cache.of(kind.stored)
        if kind.custom is not None and needs_conversion(kind.custom):
            return await self._watch_converted(kind, selection, view, version if version and not initial else None)
        if not initial and version:
            return Watching(None, cache.watch(selection, view, after=version), version)
        revision = self.cache.revision
        records = None
        if initial:
            records = lists.read_page(self.store, cache, selection, ListOptions(), exact=0, revision=revision).records
        return Watching(records, cache.watch(selection, view, after=revision), revision)

    async def _watch_converted(self, kind: Kind, selection: Selection, view: View, after: int | None) -> Watching:
        """A watch of a custom kind whose objects are kept in another version; None is from what there is on."""
        custom, cache, chosen = kind.custom, self.cache.of(kind.stored), stored_selection(selection)
        assert custom is not None
        revision = self.cache.revision if after is None else after
        changes = Changes(chosen)
        inner = cache.watch(changes.selection, changes, after=revision)
        records = None
        if after is None:
            page = lists.read_page(self.store, cache, chosen, ListOptions(), exact=0, revision=revision)
            try:
                records = (await converted_page(self.converter, custom, selection, page)).records
            except BaseException:
                inner.close()
                raise
        return Watching(
            records, ConvertingWatcher(inner, changes, Target(self.converter, custom, selection, view)), revision
        )


def document_of(kind: Kind, item: Item) -> Document:
    """What the store holds there, as verbs give it back."""
    return Document(item.value, item.revision, kind.prefix)
