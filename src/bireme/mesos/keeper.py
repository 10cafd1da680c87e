"""The master's wishes made true in the API: pods created, noted on, deleted; frameworks, agents and weights saved.

Level-based: a launch says what its pod should be, and working on it twice does no harm. Each object is worked on
by one worker at a time; failures wait and come again. What the API refuses for good goes back to the master.
"""

import asyncio
from collections.abc import Callable
from typing import Any

import structlog

from bireme.aio.backoff import Backoff
from bireme.aio.clock import Clock
from bireme.aio.workqueue import WorkQueue
from bireme.api.errors import AlreadyExists, ApiError, BadRequest, Conflict, Forbidden, Invalid, NotFound, TooLarge
from bireme.api.kinds import core, mesos
from bireme.api.kinds.meta import Object
from bireme.client.client import Client
from bireme.mesos import tasks
from bireme.mesos.roster import Launch
from bireme.mesos.task_status import acknowledged_text

log = structlog.get_logger(__name__)

REFUSALS = (Invalid, Forbidden, BadRequest, TooLarge)
WORKERS = 8
RETRY = Backoff(initial_s=0.1, limit_s=30.0)


class Keeper:
    """Writes for the master. `on_created` and `on_refused` are told what became of a launch."""

    def __init__(
        self,
        client: Client,
        clock: Clock,
        *,
        on_created: Callable[[Launch, core.Pod], None],
        on_refused: Callable[[Launch, str], None],
    ) -> None:
        self._client = client
        self._on_created, self._on_refused = on_created, on_refused
        self._launches: dict[tuple[str, str], Launch] = {}
        self._objects: dict[tuple[str, str], tuple[Callable[[], Object | None], Callable[[], None]]] = {}
        self._saved: dict[tuple[str, str], Object] = {}
        self._namespaces: set[str] = set()
        self._queue: WorkQueue[tuple[str, str, str]] = WorkQueue(clock, backoff=RETRY)
        self._locks: dict[tuple[str, str], asyncio.Lock] = {}

    async def run(self) -> None:
        """Work until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._queue.run(), name="mesos keeper: delays")
            for number in range(WORKERS):
                group.create_task(self._work(), name=f"mesos keeper: worker {number}")

    def see_to(self, launch: Launch) -> None:
        """Make the pod of a launch what it should be, soon."""
        self._launches[launch.key] = launch
        self._queue.add(("pod", *launch.key))

    def save_soon(
        self,
        kind: type[Object],
        name: str,
        wanted: Callable[[], Object | None],
        saved: Callable[[], None] = lambda: None,
    ) -> None:
        """Have the object be as `wanted` says when it is written, then call `saved`; None deletes it."""
        self._objects[kind.__name__, name] = (wanted, saved)
        self._queue.add(("object", kind.__name__, name))

    async def save(self, obj: Object) -> None:
        """Write an object and return when that is durable. Raises ApiError."""
        key = (type(obj).__name__, obj.metadata.name)
        async with self._locks.setdefault(key, asyncio.Lock()):
            await self._put(key, obj)

    def adopt(self, obj: Object) -> None:
        """An object that was found in the API; later writes start from it."""
        self._saved[type(obj).__name__, obj.metadata.name] = obj

    async def _work(self) -> None:
        while True:
            key = await self._queue.take()
            try:
                await (self._see_to_pod(key[1:]) if key[0] == "pod" else self._see_to_object(key[1:]))
            except ApiError as error:
                delay = self._queue.retry(key)
                log.info("write failed", what=key[0], key=f"{key[1]}/{key[2]}", error=str(error), retry_s=delay)
            else:
                self._queue.forget(key)
            finally:
                self._queue.done(key)

    async def _see_to_object(self, key: tuple[str, str]) -> None:
        if key not in self._objects:
            return
        wanted, saved = self._objects[key]
        obj = wanted()
        async with self._locks.setdefault(key, asyncio.Lock()):
            if obj is not None:
                await self._put(key, obj)
                saved()
                return
            kind = {each.__name__: each for each in (mesos.Framework, mesos.Agent, mesos.RoleWeight)}[key[0]]
            try:
                await self._client.delete(kind, key[1])
            except NotFound:
                pass
            self._saved.pop(key, None)
            self._objects.pop(key, None)
        self._locks.pop(key, None)

    async def _put(self, key: tuple[str, str], obj: Object) -> None:
        known = self._saved.get(key)
        try:
            if known is None:
                try:
                    self._saved[key] = await self._client.create(obj)
                    return
                except AlreadyExists:
                    known = await self._client.get(type(obj), key[1])
            obj.metadata = known.metadata
            self._saved[key] = await self._client.update(obj)
        except (Conflict, NotFound):
            self._saved.pop(key, None)
            raise

    async def _see_to_pod(self, key: tuple[str, str]) -> None:
        launch = self._launches.get(key)
        if launch is None:
            return
        if not launch.created and not await self._create(launch):
            del self._launches[key]
            return
        try:
            await self._annotate(launch)
            await self._end(launch)
        except NotFound:
            pass
        if launch.finished:
            self._launches.pop(key, None)

    async def _create(self, launch: Launch) -> bool:
        """Create the pod, unless it is not wanted any more or is refused; whether it exists now."""
        if launch.delete or launch.finished:
            self._on_refused(launch, "")
            return False
        try:
            await self._ensure_namespace(launch.pod.metadata.namespace)
            pod = await self._client.create(launch.pod)
        except AlreadyExists:  # an earlier try went through: no other pod has this name
            pod = await self._client.get(core.Pod, launch.key[1], namespace=launch.key[0])
        except NotFound as error:
            self._namespaces.discard(launch.pod.metadata.namespace)
            raise Conflict(str(error)) from error
        except REFUSALS as error:
            self._on_refused(launch, str(error))
            return False
        self._on_created(launch, pod)
        return True

    async def _ensure_namespace(self, name: str) -> None:
        if name in self._namespaces:
            return
        namespace = core.Namespace()
        namespace.metadata.name = name
        account = core.ServiceAccount()  # pods need it, and its controller may not have been here yet
        account.metadata.namespace, account.metadata.name = name, "default"
        for obj in (namespace, account):
            try:
                await self._client.create(obj)
            except AlreadyExists:
                pass
        self._namespaces.add(name)

    async def _annotate(self, launch: Launch) -> None:
        wanted = (launch.verdict, _note(launch))
        if wanted == launch.written or launch.finished:
            return
        names = (tasks.VERDICT, tasks.ACKNOWLEDGED)
        notes = {name: text for name, text in zip(names, wanted, strict=True) if text}
        await self._patch(launch, {"annotations": notes})
        launch.written = wanted

    async def _end(self, launch: Launch) -> None:
        namespace, name = launch.key
        if launch.finished:
            await self._patch(launch, {"finalizers": None})
        if (launch.delete or launch.finished) and not launch.delete_sent:
            await self._client.delete(core.Pod, name, namespace=namespace, grace_period_s=launch.grace_s)
            launch.delete_sent = True

    async def _patch(self, launch: Launch, metadata: dict[str, Any]) -> None:
        await self._client.patch(core.Pod, launch.key[1], {"metadata": metadata}, namespace=launch.key[0])


def _note(launch: Launch) -> str:
    return acknowledged_text(launch.acknowledged) if launch.acknowledged else ""
