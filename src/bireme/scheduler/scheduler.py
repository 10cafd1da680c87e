"""Give every waiting pod a node: take it from the queue, choose by its template's column, book it, bind it.

The choice is a plain call between two events, so nothing changes under it; the binding is a request to the API
and runs beside the next choices. What was booked for a binding that fails is released and the pod tried again.
The queue stands in `queue.py`, the choice in `templates.py`, the account in `ledger/`.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

import structlog

from bireme.aio.clock import Clock
from bireme.aio.waiting import wait_any
from bireme.api.errors import ApiError, Conflict, NotFound
from bireme.api.kinds import core, meta
from bireme.api.times import rfc3339
from bireme.client.client import Client, Patch
from bireme.client.events import EventRecorder
from bireme.client.informer import Informer, key_of
from bireme.ledger.ledger import Ledger
from bireme.scheduler.explanation import Explanation, message
from bireme.scheduler.interface import ANYTHING, Lack
from bireme.scheduler.queue import QueueLengths, SchedulingQueue, Waiting
from bireme.scheduler.templates import Template, Templates
from bireme.scheduler.world import World

log = structlog.get_logger(__name__)

NAME = "default-scheduler"
BINDERS = 16
ENDED = ("Succeeded", "Failed")


@dataclass(frozen=True, slots=True)
class SchedulerStatistics:
    """Pods placed and refused so far, and how the queue stands."""

    placed: int
    refused: int
    queue: QueueLengths


class Scheduler:
    """Places pods whose schedulerName is ours; books every bound pod, whoever placed it, in the ledger.

    `ask_for_room` is called when a pod finds no room while offers are out: they may be taken back.
    """

    def __init__(
        self,
        client: Client,
        *,
        pods: Informer[core.Pod],
        nodes: Informer[core.Node],
        ledger: Ledger,
        events: EventRecorder,
        clock: Clock,
        name: str = NAME,
        ask_for_room: Callable[[], None] = lambda: None,
    ) -> None:
        self._client, self._events, self._clock, self._name = client, events, clock, name
        self._pod_cache, self._node_cache, self._ledger = pods, nodes, ledger
        self._world = World(ledger)
        self._templates = Templates(self._world)
        self._queue = SchedulingQueue()
        self._ask_for_room = ask_for_room
        self._changed = asyncio.Event()
        self._bindings: asyncio.Queue[tuple[Waiting, core.Pod, str]] = asyncio.Queue(1000)
        self._placed = self._refused = 0
        pods.on_change(self._pod_changed)
        nodes.on_change(self._node_changed)
        ledger.on_release(self.resources_freed)

    async def run(self) -> None:
        """Place pods until cancelled."""
        await self._pod_cache.wait_synced()
        await self._node_cache.wait_synced()
        async with asyncio.TaskGroup() as tasks:
            for number in range(BINDERS):
                tasks.create_task(self._bind_all(), name=f"scheduler: binder {number}")
            tasks.create_task(self._place_all(), name="scheduler: placing")

    def statistics(self) -> SchedulerStatistics:
        return SchedulerStatistics(self._placed, self._refused, self._queue.lengths())

    def why(self, pod: core.Pod) -> dict[str, list[str]]:
        """The reasons of each node that refuses the pod, by node name; an empty list for one that would take it."""
        found = Explanation(self._templates.of(pod))
        return {name: found.of(row) for name, row in self._ledger.columns.live_rows()}

    async def _place_all(self) -> None:
        while True:
            waiting = self._queue.take(now=self._clock.monotonic())
            if waiting is None:
                await self._until_ready()
            else:
                await self._place(waiting)

    async def _until_ready(self) -> None:
        self._changed.clear()
        due = self._queue.next_due(now=self._clock.monotonic())
        if due == 0.0:
            return
        if due is None:
            await self._changed.wait()
        else:
            await wait_any(self._changed.wait(), self._clock.sleep(due))

    async def _place(self, waiting: Waiting) -> None:
        pod = self._pod_cache.get(waiting.key)
        if pod is None or not self._is_ours(pod):
            self._queue.remove(waiting.key)
            return
        template = self._templates.of(pod)
        row = template.best()
        if row is None:
            await self._refuse(waiting, pod, template)
            return
        node = self._ledger.columns.nodes[row]
        template.assume(pod, node)
        self._queue.bind(waiting)
        await self._bindings.put((waiting, pod, node))

    async def _refuse(self, waiting: Waiting, pod: core.Pod, template: Template) -> None:
        self._refused += 1
        found = Explanation(template)
        text = message(len(self._node_cache.items()), found.counts().items())
        lack = found.lack | Lack.NODE
        self._queue.give_back(waiting, lack, now=self._clock.monotonic())
        if lack & (Lack.AMOUNTS | Lack.PORTS) and self._offers_are_in_the_way(template):
            self._ask_for_room()
        self._events.event(pod, "Warning", "FailedScheduling", text)
        condition = {
            "type": "PodScheduled",
            "status": "False",
            "reason": "Unschedulable",
            "message": text,
            "lastTransitionTime": rfc3339(self._clock.now()),
        }
        if any(old.type == "PodScheduled" and old.message == text for old in pod.status.conditions):
            return
        with suppress(NotFound):
            await self._client.patch(
                core.Pod,
                pod.metadata.name,
                {"status": {"conditions": [condition]}},
                namespace=pod.metadata.namespace,
                subresource="status",
                how=Patch.STRATEGIC,
            )

    def _offers_are_in_the_way(self, template: Template) -> bool:
        demand = template.demand
        nodes = self._ledger.would_fit_without_offers(demand.requests, ports=demand.ports)
        return any(template.column.allowed[self._ledger.columns.rows[node]] for node in nodes)

    async def _bind_all(self) -> None:
        while True:
            waiting, pod, node = await self._bindings.get()
            await self._bind(waiting, pod, node)

    async def _bind(self, waiting: Waiting, pod: core.Pod, node: str) -> None:
        binding = core.Binding(
            metadata=meta.ObjectMeta(name=pod.metadata.name, namespace=pod.metadata.namespace, uid=pod.metadata.uid),
            target=core.ObjectReference(kind="Node", name=node),
        )
        try:
            await self._client.create_subresource(
                core.Pod, pod.metadata.name, "binding", binding, namespace=pod.metadata.namespace
            )
        except (NotFound, Conflict):
            self._release_unless_bound(pod)
            self._queue.remove(waiting.key)
        except ApiError as error:
            log.warning("binding failed", pod=str(waiting.key), node=node, error=str(error))
            self._world.displace(pod.metadata.uid)
            self._queue.give_back(waiting, Lack(0), now=self._clock.monotonic())
            self._changed.set()
        else:
            self._placed += 1
            self._queue.remove(waiting.key)
            text = f"Successfully assigned {pod.metadata.namespace}/{pod.metadata.name} to {node}"
            self._events.event(pod, "Normal", "Scheduled", text)

    def _release_unless_bound(self, pod: core.Pod) -> None:
        """Somebody else bound the pod, or it is gone: the cache knows, or will tell."""
        now = self._pod_cache.get(key_of(pod))
        if now is not None and now.metadata.uid == pod.metadata.uid and now.spec.node_name:
            self._world.place(now, now.spec.node_name)
        else:
            self._world.displace(pod.metadata.uid)

    def _is_ours(self, pod: core.Pod) -> bool:
        return (
            not pod.spec.node_name
            and not pod.metadata.deletion_timestamp
            and not pod.spec.scheduling_gates
            and pod.status.phase not in ENDED
            and (pod.spec.scheduler_name or NAME) == self._name
        )

    def _pod_changed(self, old: core.Pod | None, new: core.Pod | None) -> None:
        now = self._clock.monotonic()
        if old is not None and (new is None or new.metadata.uid != old.metadata.uid):
            self._ended(old)
        if new is None:
            return
        if new.spec.node_name:
            self._queue.remove(key_of(new))
            if new.status.phase in ENDED:
                self._ended(new)
            else:
                self._world.place(new, new.spec.node_name)
        elif self._is_ours(new):
            if old is None or _wishes(old) != _wishes(new):
                self._queue.add(key_of(new), priority=new.spec.priority or 0, now=now)
                self._changed.set()
        else:
            self._queue.remove(key_of(new))

    def _ended(self, pod: core.Pod) -> None:
        self._queue.remove(key_of(pod))
        self._world.displace(pod.metadata.uid)

    def resources_freed(self) -> None:
        """Something was given back (a pod ended, an offer was declined): pods short of it are worth a try."""
        self._queue.wake(Lack.AMOUNTS | Lack.PORTS, now=self._clock.monotonic())
        self._changed.set()

    def _node_changed(self, old: core.Node | None, new: core.Node | None) -> None:
        if new is None:
            if old is not None:
                self._world.remove_node(old.metadata.name)
            return
        if self._world.set_node(new):
            self._queue.wake(ANYTHING, now=self._clock.monotonic())
            self._changed.set()


def _wishes(pod: core.Pod) -> tuple[object, ...]:
    """What of a waiting pod, once changed, makes another try worth while."""
    spec = pod.spec
    return (
        pod.metadata.uid,
        spec.scheduling_gates,
        spec.node_selector,
        spec.affinity,
        spec.tolerations,
        spec.priority,
    )
