"""The shape of a controller, and its loop.

A controller makes the world match one kind of object. It is level-driven: `reconcile` gets a key, reads what is,
computes what should be and may run twice without harm. Everything else is here: which changes wake which key,
the queue that holds each key once, workers, retries that wait longer each time, events and figures.

A cache lags behind the server, and a controller that acts on it could act twice. Three things prevent that:
updates carry the resource version that was read and fail when it is old; objects made under a computed name
cannot be made twice; and for those with a random name (pods) `own_writes.OwnWrites` adds to the cache what
this process wrote and has not yet seen come back.

The ideas are controller-runtime's `pkg/reconcile` and client-go's `tools/cache`.
"""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import timedelta
from random import Random
from typing import Any, ClassVar, Generic, TypeVar

import structlog

from bireme.aio.clock import Clock
from bireme.aio.workqueue import QueueStatistics, WorkQueue
from bireme.api.errors import AlreadyExists, ApiError, Conflict
from bireme.api.kinds.meta import Object
from bireme.api.scheme import Scheme
from bireme.client.client import Client
from bireme.client.events import EventRecorder
from bireme.client.informer import Informer, Key, key_of
from bireme.client.parts import CONTENT, METADATA
from bireme.controllers import acting
from bireme.controllers.changes import Change
from bireme.controllers.custom_kinds import CustomKinds
from bireme.controllers.informers import STANDARD_INDEXES, Informers
from bireme.controllers.ownership import controller_of
from bireme.controllers.settings import Settings

log = structlog.get_logger(__name__)

SOON_S = 0.001

K = TypeVar("K", bound=Object)
Keys = Callable[[Informers, K | None, K | None], Iterable[Key]]

ALL = Key("", "")
"""The one key of a controller that looks at everything at once."""


@dataclass(frozen=True, slots=True)
class Watch(Generic[K]):
    """Changes that wake a controller: of the kind itself, of what an `owner` kind controls, or as `keys` says.

    `keys` gets the caches and the object before and after (None: not there) and gives the keys to look at. It is not
    asked of changes of parts of the object that it doesn't read (`client/parts.py`).
    """

    kind: type[K]
    owner: type[Object] | None = None
    keys: Keys[K] | None = None
    namespace: str = ""
    fields: str = ""
    reads: int = CONTENT

    def wakes(self, cache: Informers, old: K | None, new: K | None) -> Iterable[Key]:
        """The keys to look at after a change."""
        if self.keys is not None:
            return self.keys(cache, old, new)
        if self.owner is not None:
            return owner_keys(self.owner, old, new)
        return [key_of(obj) for obj in (new or old,) if obj is not None]


def owner_keys(owner: type[Object], old: Object | None, new: Object | None) -> set[Key]:
    """The keys of the controllers that are an `owner`, of the object before and after."""
    if old is not None and new is not None and old.metadata.owner_references is new.metadata.owner_references:
        old = None  # the same as now
    return {key for obj in (old, new) if obj is not None and (key := owner_key(obj, owner))}


def owner_key(obj: Object, owner: type[Object]) -> Key | None:
    """The key of the object's controller, if that is an `owner`."""
    reference = controller_of(obj)
    if reference is None:
        return None
    group, _, kind = owner.__gvk__  # type: ignore[attr-defined]
    if reference.kind != kind or reference.api_version.rpartition("/")[0] != group:
        return None
    return Key(obj.metadata.namespace, reference.name)


def nobody(cache: Informers, old: object, new: object) -> Iterable[Key]:
    """No key: what is followed for its cache alone."""
    return ()


@dataclass(frozen=True, slots=True)
class Context:
    """What every controller is given."""

    client: Client
    informers: Informers
    clock: Clock
    settings: Settings = field(default_factory=Settings)
    random: Random = field(default_factory=Random)
    custom: CustomKinds = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "custom", CustomKinds(self.informers, self.client.scheme))

    @property
    def scheme(self) -> Scheme:
        """The kinds that the client knows; those that users bring come to it."""
        return self.client.scheme


@dataclass(frozen=True, slots=True)
class ControllerStatistics:
    """How often a controller looked, and how often that failed."""

    name: str
    reconciles: int
    failures: int
    queue: QueueStatistics


class Controller(ABC):
    """One kind of object made real. See the module."""

    name: ClassVar[str]
    watches: ClassVar[tuple[Watch[Any], ...]]
    workers: ClassVar[int] = 5

    def __init__(self, context: Context) -> None:
        self.client, self.cache, self.clock = context.client, context.informers, context.clock
        self.settings, self.scheme, self.random = context.settings, context.scheme, context.random
        self.events = EventRecorder(self.client, self.name, clock=self.clock)
        self.queue: WorkQueue[Key] = WorkQueue(self.clock, timed=True)
        self._rests: dict[Key, float] = {}
        self._reconciles = self._failures = 0
        self._followed: list[Informer[Any]] = []
        for watch in self.watches:
            self.watch(watch)

    @abstractmethod
    async def reconcile(self, key: Key) -> timedelta | None:
        """Make the world match the object at `key`; gives back when to look again though nothing changed."""

    def watch(self, watch: Watch[Any]) -> None:
        """Let changes wake this controller."""
        if not (watch.namespace or watch.fields):
            for index, values in STANDARD_INDEXES.items():
                self.cache.index(watch.kind, index, values, reads=METADATA)
        informer = self.cache.of(watch.kind, namespace=watch.namespace, fields=watch.fields)

        wakes, cache = watch.keys or watch.wakes, self.cache

        def changed(old: Any, new: Any) -> None:
            for key in wakes(cache, old, new):
                self.wake(key)

        if wakes is not nobody:
            informer.on_change(changed, reads=watch.reads)
        self._followed.append(informer)

    def unwatch(self, kind: type[Object]) -> None:
        """Follow a kind no more, which nobody else does."""
        self._followed = [informer for informer in self._followed if informer.kind is not kind]
        self.cache.forget(kind)

    def wake(self, key: Key) -> None:
        """Look at `key` soon."""
        self.queue.add_after(key, self._rests.get(key, 0.0))

    def rest(self, key: Key, seconds: float) -> None:
        """Gather changes for `seconds` before each look at `key`, since a look at it is costly."""
        if seconds > 0:
            self._rests[key] = seconds
        else:
            self._rests.pop(key, None)

    @property
    def unseen_since(self) -> float:
        """What was made before then (monotonic) should have been seen by now."""
        return self.clock.monotonic() - self.settings.unseen_s

    async def carry_out(self, wanted: Iterable[Change]) -> None:
        """Do the changes in their order; stops at the first that fails."""
        for change in wanted:
            await acting.carry_out(self.client, change)

    async def run(self) -> None:
        """Work until cancelled, from when the caches hold what there is."""
        for informer in self._followed:
            await informer.wait_synced()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self.queue.run(), name=f"{self.name}: queue")
            tasks.create_task(self.events.run(), name=f"{self.name}: events")
            for number in range(self.workers):
                tasks.create_task(self._work(), name=f"{self.name}: worker {number}")

    def statistics(self) -> ControllerStatistics:
        return ControllerStatistics(self.name, self._reconciles, self._failures, self.queue.statistics())

    async def _work(self) -> None:
        while True:
            key = await self.queue.take()
            try:
                await self._look(key)
            except BaseException:
                self.queue.add(key)  # stopped in the middle: for whoever goes on
                raise
            finally:
                self.queue.done(key)

    async def _look(self, key: Key) -> None:
        self._reconciles += 1
        try:
            again = await self.reconcile(key)
        except (Conflict, AlreadyExists) as error:
            log.debug("changed meanwhile", controller=self.name, key=str(key), error=str(error))
            self.queue.retry(key)
        except ApiError as error:
            self._failures += 1
            retry_s = self.queue.retry(key)
            log.info("refused", controller=self.name, key=str(key), error=str(error), retry_s=retry_s)
        except Exception:
            self._failures += 1
            retry_s = self.queue.retry(key)
            log.exception("failed", controller=self.name, key=str(key), retry_s=retry_s)
        else:
            self.queue.forget(key)
            if again is not None:
                # What rounds to no time at all would be asked for ever on a clock that only sleepers move.
                self.queue.add_after(key, max(again.total_seconds(), SOON_S))
