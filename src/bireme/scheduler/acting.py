"""What the scheduler writes: bindings, why a pod has no node, and evictions.

Writers work side by side, so that many writes share one sync of the store; all writes about one pod go through
the same writer and keep their order. What bindings the writers have at hand are one call. A write that waits for
others (`Rule.prepare`) gets a task of its own.
Left to others: what is to be written (`cycle.py`), and what follows from it (`binding.py`, `evicting.py`).
"""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from bireme.aio.clock import Clock
from bireme.api.errors import ApiError, Conflict, NotFound
from bireme.api.kinds import core, meta
from bireme.api.times import rfc3339
from bireme.client.client import Client, Patch
from bireme.client.events import EventRecorder
from bireme.client.informer import Key
from bireme.scheduler.interface import Binding, Rule

WRITERS = 16
AHEAD = 128
"""Writes that may wait for one writer before decisions wait too."""
MOST = 128
"""Bindings of one call: some milliseconds in which nobody else is served."""
SCHEDULED = "PodScheduled"
DISRUPTED = "DisruptionTarget"
PREEMPTED = "PreemptionByScheduler"

Write = Callable[[], Coroutine[Any, Any, None]]
J = TypeVar("J")
Join = Callable[[Sequence[J]], Coroutine[Any, Any, None]]


@dataclass(frozen=True, slots=True)
class _Joint(Generic[J]):
    """A write that may be done along with others of its kind."""

    item: J


class _Pool(Generic[J]):
    """Gathers what several writers come to while the last was done, and does it as one."""

    def __init__(self, join: Join[J]) -> None:
        self._join = join
        self._items: list[J] = []
        self._done = asyncio.Event()
        self._some = asyncio.Event()

    async def do(self, items: Sequence[J]) -> None:
        """Return once these are done, along with others."""
        self._items += items
        self._some.set()
        await self._done.wait()

    async def run(self) -> None:
        """Do what comes, until cancelled."""
        while True:
            await self._some.wait()
            self._some.clear()
            items, done = self._items, self._done
            self._items, self._done = [], asyncio.Event()
            for begin in range(0, len(items), MOST):
                await self._join(items[begin : begin + MOST])
            done.set()


class Writers(Generic[J]):
    """Runs writes, those of one key one after the other; `join` does those of one kind that come together."""

    def __init__(self, name: str, join: Join[J], *, count: int = WRITERS) -> None:
        self._name, self._pool = name, _Pool(join)
        self._queues: list[asyncio.Queue[Write | _Joint[J]]] = [asyncio.Queue(AHEAD) for _ in range(count)]
        self._tasks: asyncio.TaskGroup | None = None

    async def run(self) -> None:
        """Write until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            self._tasks = tasks
            tasks.create_task(self._pool.run(), name=f"{self._name}: joint writes")
            for number, queue in enumerate(self._queues):
                tasks.create_task(self._write(queue), name=f"{self._name}: writer {number}")

    async def put(self, key: Key, write: Write) -> None:
        """Have this written, after all that was put before for the key."""
        await self._queue(key).put(write)

    async def put_joint(self, key: Key, item: J) -> None:
        """As `put`, for what `join` is to do."""
        await self._queue(key).put(_Joint(item))

    async def put_aside(self, key: Key, write: Write) -> None:
        """As `put`, for what waits for others: when its turn comes it gets a task of its own."""

        async def begin() -> None:
            assert self._tasks is not None
            self._tasks.create_task(write(), name=f"{self._name}: {key}")

        await self.put(key, begin)

    def _queue(self, key: Key) -> "asyncio.Queue[Write | _Joint[J]]":
        return self._queues[hash(key) % len(self._queues)]

    async def _write(self, queue: "asyncio.Queue[Write | _Joint[J]]") -> None:
        while True:
            joint, write = _taken(await queue.get(), queue)
            if joint:
                await self._pool.do(joint)
            if write is not None:
                await write()


def _taken(first: Write | _Joint[J], queue: "asyncio.Queue[Write | _Joint[J]]") -> tuple[list[J], Write | None]:
    """What is to be done together, and the write that comes after it."""
    joint: list[J] = []
    while isinstance(first, _Joint):
        joint.append(first.item)
        if queue.empty():
            return joint, None
        first = queue.get_nowait()
    return joint, first


class Acting:
    """Each write, with what is said about it in events."""

    def __init__(self, client: Client, events: EventRecorder, clock: Clock) -> None:
        self._client, self._events, self._clock = client, events, clock

    async def bind(self, pod: core.Pod, node: str, rules: Sequence[Rule]) -> None:
        """Give the pod its node, after what rules want done before. Raises ApiError, or TimeoutError of a rule."""
        for rule in rules:
            await rule.prepare(pod, node)
        for rule in rules:
            if isinstance(rule, Binding) and await rule.bind(pod, node):
                self._tell_bound(pod, node)
                return
        (error,) = await self.bind_all([(pod, node)])
        if error is not None:
            raise error

    async def bind_all(self, placed: Sequence[tuple[core.Pod, str]]) -> Sequence[ApiError | None]:
        """Give each pod its node, where no rule wants a say; the errors of those that don't get theirs."""
        errors = await self._client.bind([_binding(pod, node) for pod, node in placed])
        for (pod, node), error in zip(placed, errors, strict=True):
            if error is None:
                self._tell_bound(pod, node)
        return errors

    def _tell_bound(self, pod: core.Pod, node: str) -> None:
        text = f"Successfully assigned {pod.metadata.namespace}/{pod.metadata.name} to {node}"
        self._events.event(pod, "Normal", "Scheduled", text)

    async def tell_refusal(self, pod: core.Pod, *, reason: str, text: str, nominated: str | None = None) -> None:
        """Say why the pod has no node, where that is news.

        `nominated` is the node that is being made free for it; "" when none is any more, which is written whatever
        the pod says: that one was may have been written since it was read.
        """
        status: dict[str, Any] = {}
        old = next((each for each in pod.status.conditions if each.type == SCHEDULED), None)
        if old is None or (old.status, old.reason, old.message) != ("False", reason, text):
            changed = old is None or old.status != "False"
            condition = {"type": SCHEDULED, "status": "False", "reason": reason, "message": text}
            if changed:
                condition["lastTransitionTime"] = rfc3339(self._clock.now())
            status["conditions"] = [condition]
        if nominated == "" or (nominated and nominated != pod.status.nominated_node_name):
            status["nominatedNodeName"] = nominated or None
        if status:
            await self._patch_status(pod, status)

    async def clear_nomination(self, pod: core.Pod) -> None:
        """The pod is not to go to the node any more that was being made free for it. Written whatever the pod says:
        that it was to may have been written since it was read."""
        await self._patch_status(pod, {"nominatedNodeName": None})

    async def evict(self, victim: core.Pod, *, by: core.Pod, node: str) -> None:
        """Let the victim end, in its own time; its condition says why. Raises ApiError."""
        if victim.metadata.deletion_timestamp:
            return
        condition = {
            "type": DISRUPTED,
            "status": "True",
            "reason": PREEMPTED,
            "message": f"{by.spec.scheduler_name}: preempting to accommodate a higher priority pod",
            "lastTransitionTime": rfc3339(self._clock.now()),
        }
        with suppress(NotFound, Conflict):
            await self._patch_status(victim, {"conditions": [condition]})
            await self._client.delete(
                core.Pod, victim.metadata.name, namespace=victim.metadata.namespace, uid=victim.metadata.uid
            )
            self._events.event(victim, "Normal", "Preempted", f"Preempted by pod {by.metadata.uid} on node {node}")

    async def _patch_status(self, pod: core.Pod, status: dict[str, Any]) -> None:
        """A pod that was deleted, or made again under its name, is let be."""
        with suppress(NotFound, Conflict):
            await self._client.patch(
                core.Pod,
                pod.metadata.name,
                {"metadata": {"uid": pod.metadata.uid}, "status": status},
                namespace=pod.metadata.namespace,
                subresource="status",
                how=Patch.STRATEGIC,
            )


def _binding(pod: core.Pod, node: str) -> core.Binding:
    about = pod.metadata
    return core.Binding(
        metadata=meta.ObjectMeta(name=about.name, namespace=about.namespace, uid=about.uid),
        target=core.ObjectReference(kind="Node", name=node),
    )
