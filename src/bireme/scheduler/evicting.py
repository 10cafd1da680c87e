"""Those chosen have to leave, and their nodes are kept for whom they leave.

Left to others: the choice (`preemption.py`, `making_room.py`), what is held on such a node (`nominated.py`), and the
writes (`acting.py`).
"""

import asyncio
from collections.abc import Callable, Sequence
from functools import partial

import structlog

from bireme.aio.clock import Clock
from bireme.api.errors import ApiError
from bireme.api.kinds import core
from bireme.client.events import EventRecorder
from bireme.client.informer import Key, key_of
from bireme.scheduler.acting import Acting, Writers
from bireme.scheduler.binding import Decided
from bireme.scheduler.cycle import Cycle
from bireme.scheduler.figures import Figures
from bireme.scheduler.interface import Move
from bireme.scheduler.preemption import Choice
from bireme.scheduler.queue import SchedulingQueue

log = structlog.get_logger(__name__)


class Evicting:
    """See the module. `pod_at` gives pods by name; `stir` is called when there may be something to decide."""

    def __init__(
        self,
        acting: Acting,
        writers: Writers[Decided],
        cycle: Cycle,
        queue: SchedulingQueue,
        pod_at: Callable[[Key], core.Pod | None],
        *,
        events: EventRecorder,
        figures: Figures,
        clock: Clock,
        stir: Callable[[], None],
    ) -> None:
        self._acting, self._writers, self._queue, self._pod_at = acting, writers, queue, pod_at
        self._world, self._nominated, self._doomed = cycle.world, cycle.nominated, cycle.preempting.doomed
        self._events, self._figures, self._clock, self._stir = events, figures, clock, stir

    async def make_room(self, pod: core.Pod, choice: Choice) -> str:
        """Have the victims leave, and their node kept for the pod; gives its name."""
        node = self._world.ledger.columns.nodes[choice.row]
        self._doomed.update(victim.uid for victim in choice.victims)
        self._nominated.set(pod, node)
        self._figures.preempted(len(choice.victims))
        for lower in self._nominated.lower_on(node, self._world.ranks.priority(pod)):
            await self._look_elsewhere(lower.uid, Key(lower.namespace, lower.name))
        await self._writers.put_aside(key_of(pod), partial(self._evict, pod, choice, node))
        return node

    async def make_room_together(self, moves: Sequence[Move], text: str) -> None:
        """Have the victims of several pods leave, and their nodes kept for these; some find room as it is."""
        self._doomed.update(victim.uid for move in moves for victim in move.victims)
        for move in moves:
            self._nominated.set(move.pod, move.node)
        for move in moves:
            if move.victims:
                self._figures.preempted(len(move.victims))
                choice = Choice(self._world.nodes.row(move.node), move.victims)
                await self._writers.put_aside(key_of(move.pod), partial(self._evict, move.pod, choice, move.node))
            self._events.event(move.pod, "Warning", "FailedScheduling", text)
            tell = partial(
                self._acting.tell_refusal, move.pod, reason="Unschedulable", text=text, nominated=move.node
            )
            await self._writers.put(key_of(move.pod), tell)

    async def _look_elsewhere(self, uid: str, key: Key) -> None:
        """The pod that was to go to a node is not to go there any more."""
        self._nominated.remove(uid)
        pod = self._pod_at(key)
        if pod is not None and pod.metadata.uid == uid:
            self._queue.add(key, priority=self._world.ranks.priority(pod), now=self._clock.monotonic())
            await self._writers.put(key, partial(self._acting.clear_nomination, pod))

    async def _evict(self, pod: core.Pod, choice: Choice, node: str) -> None:
        victims = [self._pod_at(Key(victim.namespace, victim.name)) for victim in choice.victims]
        try:
            async with asyncio.TaskGroup() as tasks:
                for placed, victim in zip(choice.victims, victims, strict=True):
                    if victim is not None and victim.metadata.uid == placed.uid:
                        tasks.create_task(self._acting.evict(victim, by=pod, node=node))
        except* ApiError as failures:
            log.warning("preemption failed", pod=str(key_of(pod)), node=node, error=str(failures.exceptions[0]))
            self._doomed.difference_update(victim.uid for victim in choice.victims)
            await self._look_elsewhere(pod.metadata.uid, key_of(pod))
            self._stir()
