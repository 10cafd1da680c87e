"""One informer for each kind and selection in this process, shared by all controllers.

Knows how to find objects by their controller and their namespace, and those without a controller; who needs
another way in adds an index with `index`. An informer that is asked for while `run` runs starts at once.
"""

import asyncio
from collections.abc import Callable, Collection, Iterable
from typing import Any, TypeVar

from bireme.aio.clock import Clock
from bireme.aio.supervise import supervise
from bireme.api.kinds.meta import Object
from bireme.client.client import Client
from bireme.client.informer import Informer, Key
from bireme.client.parts import CONTENT
from bireme.controllers.ownership import controller_of

K = TypeVar("K", bound=Object)

OWNER = "controllers/owner"
NAMESPACE = "controllers/namespace"
ORPHANS = "controllers/orphans"


def by_owner(obj: Object) -> Iterable[str]:
    """Index values: the uid of the object's controller."""
    reference = controller_of(obj)
    return (reference.uid,) if reference else ()


def by_namespace(obj: Object) -> Iterable[str]:
    """Index values: the object's namespace."""
    return (obj.metadata.namespace,)


def orphans_by_namespace(obj: Object) -> Iterable[str]:
    """Index values: the namespace of an object that nobody controls."""
    return () if controller_of(obj) else (obj.metadata.namespace,)


STANDARD_INDEXES = {OWNER: by_owner, NAMESPACE: by_namespace, ORPHANS: orphans_by_namespace}


class Informers:
    """Caches of objects by kind; what they hand out is shared, so copy before changing."""

    def __init__(self, client: Client, *, clock: Clock) -> None:
        self._client = client
        self._clock = clock
        self._informers: dict[tuple[Any, ...], Informer[Any]] = {}
        self._indexes: set[tuple[type[Object], str]] = set()
        self._tasks: asyncio.TaskGroup | None = None
        self._running: dict[Informer[Any], asyncio.Task[None]] = {}

    def of(self, kind: type[K], *, namespace: str = "", labels: str = "", fields: str = "") -> Informer[K]:
        """The informer for a kind, made when first asked for."""
        key = (kind, namespace, labels, fields)
        informer = self._informers.get(key)
        if informer is None:
            informer = self._informers[key] = Informer(
                self._client, kind, clock=self._clock, namespace=namespace, labels=labels, fields=fields
            )
            self._start(informer)
        return informer

    def forget(self, kind: type[Object]) -> None:
        """Follow a kind no more; to who listens, its objects are gone."""
        informer = self._informers.pop((kind, "", "", ""), None)
        self._indexes = {(of, name) for of, name in self._indexes if of is not kind}
        if informer is None:
            return
        task = self._running.pop(informer, None)
        if task is not None:
            task.cancel()
        informer.clear()

    def kinds(self) -> list[type[Object]]:
        """Kinds of which every object is followed."""
        return [kind for kind, *selection in self._informers if not any(selection)]

    def index(self, kind: type[K], name: str, values: Callable[[K], Iterable[str]], *, reads: int = CONTENT) -> None:
        """Have objects of `kind` found by what `values` says of these parts; the same name again changes nothing."""
        if (kind, name) not in self._indexes:
            self._indexes.add((kind, name))
            self.of(kind).add_index(name, values, reads=reads)

    def get(self, kind: type[K], key: Key) -> K | None:
        """The object, as it was a moment ago."""
        return self.of(kind).get(key)

    def items(self, kind: type[K]) -> Collection[K]:
        """Every object of the kind; a live view, so don't await while going through it."""
        return self.of(kind).items()

    def find(self, kind: type[K], index: str, value: str) -> list[K]:
        """The objects that an index gives for a value."""
        return self.of(kind).by_index(index, value)

    def owned(self, kind: type[K], *, by: Object) -> list[K]:
        """The objects of `kind` that `by` controls."""
        return self.find(kind, OWNER, by.metadata.uid)

    def candidates(self, kind: type[K], *, owner: Object) -> list[K]:
        """Objects of `kind` that `owner` controls or might adopt."""
        return self.owned(kind, by=owner) + self.find(kind, ORPHANS, owner.metadata.namespace)

    def within(self, kind: type[K], namespace: str) -> list[K]:
        """The objects of `kind` in a namespace."""
        return self.find(kind, NAMESPACE, namespace)

    async def run(self) -> None:
        """Follow the server until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            self._tasks = tasks
            try:
                for informer in self._informers.values():
                    self._start(informer)
                await asyncio.Event().wait()
            finally:
                self._tasks = None

    def _start(self, informer: Informer[Any]) -> None:
        if self._tasks is not None:
            name = f"informer: {informer.kind.__name__}"
            task = self._tasks.create_task(supervise(name, informer.run, self._clock), name=name)
            self._running[informer] = task
