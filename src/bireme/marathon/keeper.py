"""Marathon's objects written to the API: the newest state of each, one write at a time, until it is there.

`save` notes that an object is to be as `make` says when its turn comes; `saved` waits until that has happened.
Marathon is the only writer, so a conflict is settled by writing again over what is there.
"""

import asyncio
from collections.abc import Callable, Iterable
from typing import TypeVar

import structlog

from bireme.aio.backoff import Backoff
from bireme.aio.clock import Clock
from bireme.aio.workqueue import WorkQueue
from bireme.api.errors import AlreadyExists, ApiError, BadRequest, Conflict, Forbidden, Invalid, NotFound, TooLarge
from bireme.api.kinds.meta import Object
from bireme.client.client import Client

log = structlog.get_logger(__name__)

O = TypeVar("O", bound=Object)  # noqa: E741
Key = tuple[type[Object], str]
Make = Callable[[], Object | None]

REFUSALS = (Invalid, Forbidden, BadRequest, TooLarge)
WORKERS = 8
RETRY = Backoff(initial_s=0.1, limit_s=10.0)
PAGE = 500


class Keeper:
    """Objects on their way to the API."""

    def __init__(self, client: Client, clock: Clock) -> None:
        self._client = client
        self._queue: WorkQueue[Key] = WorkQueue(clock, backoff=RETRY)
        self._makes: dict[Key, Make] = {}
        self._versions: dict[Key, str] = {}
        self._waiting: dict[Key, list[asyncio.Future[None]]] = {}

    async def run(self) -> None:
        """Write until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._queue.run(), name="marathon keeper: delays")
            for number in range(WORKERS):
                group.create_task(self._work(), name=f"marathon keeper: worker {number}")

    def save(self, kind: type[Object], name: str, make: Make) -> None:
        """Have the object be what `make` gives when it is written; None deletes it."""
        key = (kind, name)
        self._makes[key] = make
        self._queue.add(key)

    async def saved(self, kind: type[Object], name: str) -> None:
        """Wait until what was asked for so far is durable. Raises the ApiError of an object that is refused."""
        key = (kind, name)
        if key not in self._makes:
            return
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(key, []).append(waiter)
        await waiter

    async def all_saved(self, keys: Iterable[Key]) -> None:
        """Wait for several."""
        for kind, name in list(keys):
            await self.saved(kind, name)

    async def list(self, kind: type[O]) -> list[O]:
        """All objects of a kind, noted as known."""
        found: list[O] = []
        more = ""
        while True:
            page = await self._client.list(kind, limit=PAGE, more=more)
            found += page.items
            more = page.more
            if not more:
                break
        for obj in found:
            self._versions[kind, obj.metadata.name] = obj.metadata.resource_version
        return found

    async def _work(self) -> None:
        while True:
            key = await self._queue.take()
            make = self._makes[key]
            try:
                await self._write(key, make())
            except REFUSALS as error:
                log.exception("an object is refused", kind=key[0].__name__, name=key[1])
                self._settle(key, make, error)
            except ApiError as error:
                delay = self._queue.retry(key)
                log.info("an object waits for the API", name=key[1], error=str(error), retry_s=delay)
            else:
                self._settle(key, make, None)
            self._queue.done(key)

    def _settle(self, key: Key, make: Make, error: ApiError | None) -> None:
        """Tell those who wait, unless something newer is still to be written."""
        self._queue.forget(key)
        if self._makes.get(key) is not make:
            return
        del self._makes[key]
        for waiter in self._waiting.pop(key, []):
            if waiter.done():
                continue
            if error is None:
                waiter.set_result(None)
            else:
                waiter.set_exception(error)

    async def _write(self, key: Key, obj: Object | None) -> None:
        kind, name = key
        if obj is None:
            self._versions.pop(key, None)
            try:
                await self._client.delete(kind, name)
            except NotFound:
                pass
            return
        obj.metadata.name = name
        obj.metadata.resource_version = self._versions.get(key, "")
        try:
            self._versions[key] = await self._put(obj, create=not obj.metadata.resource_version)
        except (AlreadyExists, Conflict, NotFound):
            self._versions.pop(key, None)
            try:
                current = await self._client.get(kind, name)
            except NotFound:
                obj.metadata.resource_version = ""
                self._versions[key] = await self._put(obj, create=True)
            else:
                obj.metadata.resource_version = current.metadata.resource_version
                self._versions[key] = await self._put(obj, create=False)

    async def _put(self, obj: Object, *, create: bool) -> str:
        stored = await (self._client.create(obj) if create else self._client.update(obj))
        return stored.metadata.resource_version
