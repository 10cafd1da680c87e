"""A cache that follows the server: list once, watch from there, list again when history was lost."""

import asyncio
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Generic, NamedTuple, TypeVar, cast

import structlog

from bireme.aio.backoff import Backoff
from bireme.aio.clock import Clock
from bireme.api.errors import ApiError, Expired
from bireme.api.kinds.meta import Object
from bireme.client.client import Client
from bireme.client.parts import CONTENT, EVERYTHING, EXISTENCE, changed
from bireme.client.transport import Heard

log = structlog.get_logger(__name__)

K = TypeVar("K", bound=Object)
Handler = Callable[[K | None, K | None], None]
RELIST = Backoff(initial_s=0.2, limit_s=5.0)
STEADY_S = 5.0
SHORT_S = 1.0
"""A watch that ends sooner and told nothing would end again: what it rests on is asked for anew."""
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
        self._ready = asyncio.Event()
        self._version = ""
        self._in_doubt = False
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

    def on_change(self, handler: Handler[K], *, reads: int = CONTENT) -> None:
        """Call `handler(old, new)` for each change; None stands for not there. What is there now is told too.

        Who `reads` only some parts of an object (`parts`) may not be told when others change; of what comes and
        what goes all are told.
        """
        self._handlers.append((reads | EXISTENCE, handler))
        for obj in list(self._objects.values()):
            handler(None, obj)

    def have(self, objects: Iterable[K]) -> None:
        """Hold these too, for readers who follow no server."""
        self._take([(key_of(obj), obj) for obj in objects])

    def clear(self) -> None:
        """Forget everything: the kind is followed no more."""
        self._take([(key, None) for key in self._objects])

    async def run(self) -> None:
        """Follow the server until cancelled."""
        failures = 0
        while True:
            began, heard = self._clock.monotonic(), (self._lists, self._events)
            try:
                if not self._version:
                    await self._list()
                await self._watch()
                if heard[1] != self._events or self._clock.monotonic() - began > SHORT_S:
                    failures = 0
                    continue
                failures += 1
                self._version = ""
                await self._clock.sleep(RELIST.delay(failures))
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
        failures: list[Exception] = []
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
            there = [(key_of(obj), obj) for obj in page.items]
            left.difference_update([key for key, _ in there])
            failures += self._hold([(key, obj) for key, obj in there if not self._has(key, obj)])
            if not more:
                break
            await asyncio.sleep(0)  # a list in this process may come without a wait: let others work
        failures += self._hold([(key, None) for key in left])
        self._lists += 1
        self._version, self._in_doubt = version, False
        self._ready.set()
        _raise_first(failures)

    def _has(self, key: Key, obj: K) -> bool:
        old = self._objects.get(key)
        same = old is not None and old.metadata.resource_version == obj.metadata.resource_version
        return same and not self._in_doubt

    def _told(self, heard: Sequence[Heard]) -> None:
        self._events += len(heard)
        news = [(Key(namespace, name), cast("K | None", obj)) for namespace, name, obj, _ in heard]
        self._come_to(str(heard[-1][-1]), news)

    def _come_to(self, version: str, news: Iterable[tuple[Key, K | None]]) -> None:
        """Hold what was so at this version. Should a handler fail, a list tells him again of what is there."""
        self._version, self._in_doubt = "", True
        self._take(news)
        self._version, self._in_doubt = version, False

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
                obj, is_news = change.object, change.type != "BOOKMARK"
                self._events += is_news
                news = [(key_of(obj), None if change.type == "DELETED" else obj)] if is_news else []
                self._come_to(obj.metadata.resource_version, news)

    def _take(self, news: Iterable[tuple[Key, K | None]]) -> None:
        """Hold these objects and tell of them; raises what a handler raised, once all were told."""
        _raise_first(self._hold(news))

    def _hold(self, news: Iterable[tuple[Key, K | None]]) -> list[Exception]:
        """Hold these objects, and tell each of those who listen of all of them in one go; what handlers raised.

        Who fails takes nothing from the others: of what went, no list would tell them again.
        """
        objects = self._objects
        changes: list[tuple[int, Key, K | None, K | None]] = []
        for key, new in news:
            old = objects.get(key)
            if new is not None:
                objects[key] = new
            elif old is not None:
                del objects[key]
            else:
                continue
            if old is not None and new is not None and old.metadata.uid != new.metadata.uid:
                changes.append((EVERYTHING, key, old, None))  # it went and another came, unseen
                old = None
            changes.append((changed(old, new), key, old, new))
        for index in self._indexes.values():
            reads = index.reads
            for parts, key, old, new in changes:
                if parts & reads:
                    index.refile(key, old, new)
        failures: list[Exception] = []
        for reads, handler in tuple(self._handlers):
            for parts, _, old, new in changes:
                if parts & reads:
                    try:
                        handler(old, new)
                    except Exception as error:
                        failures.append(error)
        return failures


def _raise_first(failures: Sequence[Exception]) -> None:
    for failure in failures:
        raise failure


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
