"""A cache that follows the server: list once, watch from there, list again when history was lost."""

import asyncio
from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from typing import Generic, NamedTuple, TypeVar, cast

import structlog

from bireme.aio.backoff import Backoff
from bireme.aio.clock import Clock
from bireme.api.errors import ApiError, Expired
from bireme.api.kinds.meta import Object
from bireme.client.client import Client
from bireme.client.parts import CONTENT, EXISTENCE, changed

log = structlog.get_logger(__name__)

K = TypeVar("K", bound=Object)
Handler = Callable[[K | None, K | None], None]
RELIST = Backoff(initial_s=0.2, limit_s=5.0)
STEADY_S = 5.0
PAGE = 200
"""Objects that are asked for at once: a list of hundreds of thousands would stop the process that makes it."""


class Key(NamedTuple):
    """An object's place among its kind; `namespace` is "" for cluster-scoped kinds."""

    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}" if self.namespace else self.name


def key_of(obj: Object) -> Key:
    return Key(obj.metadata.namespace, obj.metadata.name)


@dataclass(frozen=True, slots=True)
class InformerStatistics:
    """Objects held, lists made, events seen, whether the first list has come."""

    objects: int
    lists: int
    events: int
    synced: bool


class Informer(Generic[K]):
    """The objects of one kind (and selection) as they were a moment ago, with indexes.

    What it hands out is shared: copy an object before changing it. `indexes` name functions that give the
    values under which an object is to be found.
    """

    def __init__(
        self,
        client: Client,
        kind: type[K],
        *,
        clock: Clock,
        namespace: str = "",
        labels: str = "",
        fields: str = "",
        indexes: Mapping[str, Callable[[K], Iterable[str]]] | None = None,
    ) -> None:
        self.kind = kind
        self._client = client
        self._clock = clock
        self._namespace, self._labels, self._fields = namespace, labels, fields
        self._objects: dict[Key, K] = {}
        self._indexes: dict[str, Index[K]] = {
            name: Index(values, CONTENT) for name, values in (indexes or {}).items()
        }
        self._handlers: list[tuple[int, Handler[K]]] = []
        self._concerned: dict[int, tuple[tuple[Index[K], ...], tuple[Handler[K], ...]]] = {}
        self._ready = asyncio.Event()
        self._version = ""
        self._lists = 0
        self._events = 0

    @property
    def synced(self) -> bool:
        """The first list has come, so that what is not in the cache did not exist then."""
        return self._ready.is_set()

    async def wait_synced(self) -> None:
        await self._ready.wait()

    def get(self, key: Key) -> K | None:
        return self._objects.get(key)

    def items(self) -> Collection[K]:
        return self._objects.values()

    def by_index(self, index: str, value: str) -> list[K]:
        objects = self._objects
        return [objects[key] for key in self._indexes[index].keys.get(value, ())]

    def is_filed(self, index: str) -> bool:
        """Whether an index has anything at all."""
        return bool(self._indexes[index].keys)

    def add_index(self, name: str, values: Callable[[K], Iterable[str]], *, reads: int = CONTENT) -> None:
        """One more index, filled from what is there; `reads` are the parts of an object that its values are of."""
        index = self._indexes[name] = Index(values, reads)
        for key, obj in self._objects.items():
            index.refile(key, None, obj)
        self._concerned.clear()

    def on_change(self, handler: Handler[K], *, reads: int = CONTENT) -> None:
        """Call `handler(old, new)` for each change; None stands for not there. What is there now is told too.

        Who `reads` only some parts of an object (`parts`) may not be told when others change; of what comes and
        what goes all are told.
        """
        self._handlers.append((reads, handler))
        self._concerned.clear()
        for obj in list(self._objects.values()):
            handler(None, obj)

    def have(self, objects: Iterable[K]) -> None:
        """Hold these too, for readers who follow no server."""
        for obj in objects:
            self._apply(key_of(obj), obj)

    def clear(self) -> None:
        """Forget everything: the kind is followed no more."""
        for key in list(self._objects):
            self._apply(key, None)

    async def run(self) -> None:
        """Follow the server until cancelled."""
        failures = 0
        while True:
            began, heard = self._clock.monotonic(), (self._lists, self._events)
            try:
                if not self._version:
                    await self._list()
                await self._watch()
                failures = 0
            except Expired:
                self._version = ""
            except ApiError as error:
                # A server that was heard before it was lost is a new loss: no wait is inherited from the last one.
                worked = heard != (self._lists, self._events) or self._clock.monotonic() - began > STEADY_S
                failures = 1 if worked else failures + 1
                delay = RELIST.delay(failures)
                log.info("informer lost the server", kind=self.kind.__name__, error=str(error), retry_s=delay)
                await self._clock.sleep(delay)

    def statistics(self) -> InformerStatistics:
        return InformerStatistics(len(self._objects), self._lists, self._events, self.synced)

    async def _list(self) -> None:
        left, more, version = set(self._objects), "", ""
        while True:
            page = await self._client.list(
                self.kind,
                namespace=self._namespace,
                labels=self._labels,
                fields=self._fields,
                limit=PAGE,
                more=more,
                shared=True,
            )
            more, version = page.more, version or page.resource_version
            for obj in page.items:
                key = key_of(obj)
                left.discard(key)
                old = self._objects.get(key)
                if old is None or old.metadata.resource_version != obj.metadata.resource_version:
                    self._apply(key, obj)
            if not more:
                break
            await asyncio.sleep(0)  # a list in this process may come without a wait: let others work
        for key in left:
            self._apply(key, None)
        self._lists += 1
        self._version = version
        self._ready.set()

    def _told(self, namespace: str, name: str, obj: Object | None, revision: int) -> None:
        self._events += 1
        self._apply(Key(namespace, name), cast("K | None", obj))
        self._version = str(revision) if obj is None else obj.metadata.resource_version

    async def _watch(self) -> None:
        if await self._client.follow(
            self.kind,
            self._told,
            namespace=self._namespace,
            labels=self._labels,
            fields=self._fields,
            resource_version=self._version,
        ):
            return
        changes = self._client.watch(
            self.kind,
            namespace=self._namespace,
            labels=self._labels,
            fields=self._fields,
            resource_version=self._version,
        )
        async with aclosing(changes) as stream:  # type: ignore[type-var]
            async for change in stream:
                obj = change.object
                if change.type != "BOOKMARK":
                    self._events += 1
                    self._apply(key_of(obj), None if change.type == "DELETED" else obj)
                self._version = obj.metadata.resource_version

    def _apply(self, key: Key, obj: K | None) -> None:
        old = self._objects.pop(key, None) if obj is None else self._objects.get(key)
        if obj is not None:
            self._objects[key] = obj
        elif old is None:
            return
        parts = changed(old, obj)
        indexes, handlers = self._concerned.get(parts) or self._find_concerned(parts)
        for index in indexes:
            index.refile(key, old, obj)
        for handler in handlers:
            handler(old, obj)

    def _find_concerned(self, parts: int) -> "tuple[tuple[Index[K], ...], tuple[Handler[K], ...]]":
        """The indexes and handlers that read one of these parts; kept, as there are few combinations."""
        found = self._concerned[parts] = (
            tuple(index for index in self._indexes.values() if index.reads & parts),
            tuple(handler for reads, handler in self._handlers if (reads | EXISTENCE) & parts),
        )
        return found


class Index(Generic[K]):
    """The keys of the objects that are to be found under each value. `reads`: the parts that the values are of."""

    __slots__ = ("_values", "keys", "reads")

    def __init__(self, values: Callable[[K], Iterable[str]], reads: int) -> None:
        self.keys: dict[str, dict[Key, None]] = {}
        self.reads = reads | EXISTENCE
        self._values = values

    def refile(self, key: Key, old: K | None, new: K | None) -> None:
        """File under what it is found by now what was filed as the old object."""
        before = () if old is None else tuple(self._values(old))
        after = () if new is None else tuple(self._values(new))
        if before == after:
            return
        for value in before:
            found = self.keys.get(value)
            if found is not None:
                found.pop(key, None)
                if not found:
                    del self.keys[value]
        for value in after:
            self.keys.setdefault(value, {})[key] = None
