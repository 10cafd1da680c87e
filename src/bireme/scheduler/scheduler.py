"""Give every waiting pod a node: take it from the queue, decide, write what was decided.

Decisions are plain calls between two events (`cycle.py`); writes run beside the next decisions (`acting.py`). What
happens elsewhere is told to the queue between decisions (`following.py`), which come in short slices so that
nobody in this process waits long. What follows from a decision is `binding.py`'s and `evicting.py`'s, the account is
`ledger/`'s.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

from bireme.aio.clock import Clock
from bireme.aio.waiting import wait_any
from bireme.api.errors import ApiError
from bireme.api.kinds import core
from bireme.client.client import Client
from bireme.client.events import EventRecorder
from bireme.ledger.ledger import Ledger
from bireme.scheduler.acting import Acting, Writers
from bireme.scheduler.adviser import Adviser
from bireme.scheduler.binding import Bindings, Decided
from bireme.scheduler.caches import Caches
from bireme.scheduler.configuration import Settings
from bireme.scheduler.cycle import Cycle, Refused
from bireme.scheduler.evicting import Evicting
from bireme.scheduler.extending import Extending
from bireme.scheduler.figures import Figures, Result
from bireme.scheduler.following import Following
from bireme.scheduler.interface import NOTHING, Cold, Hearing, Lack, Rule, Unheard
from bireme.scheduler.making_room import MakingRoom
from bireme.scheduler.outside import Outside
from bireme.scheduler.queue import ALL, QueueLengths, SchedulingQueue, Waiting
from bireme.scheduler.spreading import Spreading
from bireme.scheduler.together import Together, open_nodes
from bireme.scheduler.world import World

SLICE_S = 0.01
SLICE = 100
"""Decisions in a row, at most, and the time that they may take, before others get their turn."""


@dataclass(frozen=True, slots=True)
class SchedulerStatistics:
    """Pods placed and refused so far, and how the queue stands."""

    placed: int
    refused: int
    queue: QueueLengths


class Scheduler:
    """Places pods whose schedulerName is one of ours; books every bound pod, whoever placed it, in the ledger.

    `ask_for_room` is called when a pod finds no room while offers are out: they may be taken back.
    """

    def __init__(
        self,
        client: Client,
        *,
        caches: Caches,
        ledger: Ledger,
        events: EventRecorder,
        clock: Clock,
        settings: Settings | None = None,
        rules: Sequence[Rule] = (),
        ask_for_room: Callable[[], None] = lambda: None,
    ) -> None:
        self._events, self._clock, self._ask_for_room = events, clock, ask_for_room
        self._caches = caches
        settings = settings or Settings()
        self._world = World(ledger)
        selector = Spreading(caches).selector
        self._cycle = Cycle(self._world, settings, rules=rules, default_selector=selector)
        self._adviser = Adviser(self._world, events, clock, settings.profiles, default_selector=selector)
        self._queue = SchedulingQueue(settings.backoff)
        self._acting, self._stirred, self.figures = Acting(client, events, clock), asyncio.Event(), Figures()
        self._following = Following(caches, self._cycle, self._queue, clock, stir=self._stirred.set)
        self._bindings = Bindings(
            self._acting,
            self._world,
            self._queue,
            self._following,
            caches.pods.get,
            rules=rules,
            figures=self.figures,
            clock=clock,
            stir=self._stirred.set,
        )
        self._writers = Writers("scheduler", self._bindings.bind_all)
        self._evicting = Evicting(
            self._acting,
            self._writers,
            self._cycle,
            self._queue,
            caches.pods.get,
            events=events,
            figures=self.figures,
            clock=clock,
            stir=self._stirred.set,
        )
        self.together = Together(self._cycle, unheard=self._following.unheard)
        self.making_room = MakingRoom(self._cycle, caches.pods.get, unheard=self._following.unheard)
        self._hearing = [rule for rule in rules if isinstance(rule, Hearing)]
        self._extending = next((rule for rule in rules if isinstance(rule, Extending)), None)
        self._outside = Outside(self._queue, self._writers, self._hear)
        if self._extending is not None:
            self._extending.open_nodes = partial(open_nodes, self._cycle, but=self._extending)
        self._booked_before = ledger.pods()

    async def run(self) -> None:
        """Place pods until cancelled."""
        await self._caches.wait_synced()
        # What an earlier scheduler booked and never bound, or what went while there was none.
        for uid in self._booked_before - self._world.placed.keys():
            self._world.ledger.release_pod(uid)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._writers.run(), name="scheduler: writers")
            tasks.create_task(self._place_all(), name="scheduler: placing")

    def statistics(self) -> SchedulerStatistics:
        count = self.figures.count
        return SchedulerStatistics(count(Result.SCHEDULED), count(Result.UNSCHEDULABLE), self._queue.lengths())

    @property
    def gated(self) -> int:
        """Pods that are not to be placed before somebody removes their gates."""
        return len(self._following.gated)

    def why(self, pod: core.Pod) -> dict[str, list[str]]:
        """The reasons of each node that refuses the pod, by node name; an empty list for one that would take it."""
        return self._cycle.reasons(pod)

    def wake(self, change: Lack, *, helps: Callable[[core.Pod], bool] = lambda _: True) -> None:
        """For rules: something changed that may help pods short of this. `helps` is asked about each of them."""

        def count(waiting: Waiting) -> int:
            pod = self._caches.pods.get(waiting.key)
            return ALL if pod is not None and helps(pod) else 0

        if self._queue.wake(change, now=self._clock.monotonic(), helps=count):
            self._stirred.set()

    # Deciding

    async def _place_all(self) -> None:
        while True:
            self._stirred.clear()
            self._following.tell_queue()
            self._world.ledger.columns.tidy()
            await self._place_some()
            if not self._following.has_news:
                await self._until_ready()
            await asyncio.sleep(0)

    async def _place_some(self) -> None:
        began = now = self._clock.monotonic()
        for _ in range(SLICE):
            waiting = self._queue.take(now=now)
            if waiting is None:
                return
            await self._place(waiting)
            now = self._clock.monotonic()
            if now - began > SLICE_S:
                return

    async def _until_ready(self) -> None:
        due = self._queue.next_due(now=self._clock.monotonic())
        if due is None:
            await self._stirred.wait()
        elif due > 0.0:
            await wait_any(self._stirred.wait(), self._clock.sleep(due))

    async def _place(self, waiting: Waiting) -> None:
        pod = self._caches.pods.get(waiting.key)
        if pod is None or not self._following.is_ours(pod):
            self._queue.remove(waiting.key)
            return
        began = self._clock.monotonic()
        if self._world.ledger.has_pod(pod.metadata.uid):
            self._queue.give_back(waiting, NOTHING, now=began)  # another scheduler on this ledger is binding it
            return
        try:
            decision = self._cycle.decide(pod)
        except Cold as cold:
            for _ in cold.steps:
                await asyncio.sleep(0)
            self._queue.put_back(waiting)
            return
        except Unheard:
            await self._outside.ask(waiting)
            return
        profile, seconds = pod.spec.scheduler_name, self._clock.monotonic() - began
        if isinstance(decision, Refused):
            self.figures.attempted(profile, Result.UNSCHEDULABLE if decision.text else Result.ERROR, seconds)
            await self._refuse(waiting, pod, decision)
            return
        self.figures.attempted(profile, Result.SCHEDULED, seconds)
        self._queue.bind(waiting)
        self._following.assumed(pod.metadata.uid)
        placed = Decided(waiting, pod, decision)
        if decision.rules:
            await self._writers.put_aside(waiting.key, partial(self._bindings.bind, placed))
        else:
            await self._writers.put_joint(waiting.key, placed)

    async def _hear(self, waiting: Waiting) -> None:
        """Ask the extenders about the pod; it comes up again when they have answered."""
        pod = self._caches.pods.get(waiting.key)
        if pod is None or self._extending is None:
            self._queue.put_back(waiting)
            return
        try:
            await self._extending.hear(pod)
        except ApiError as error:
            await self._stumble(waiting, pod, error.message)
        else:
            self._queue.put_back(waiting)
        self._stirred.set()

    async def _stumble(self, waiting: Waiting, pod: core.Pod, text: str) -> None:
        """The attempt failed, whatever nodes there are: it is made again after a while."""
        self.figures.attempted(pod.spec.scheduler_name, Result.ERROR, 0.0)
        self._queue.give_back(waiting, NOTHING, now=self._clock.monotonic())
        self._events.event(pod, "Warning", "FailedScheduling", text)
        tell = partial(self._acting.tell_refusal, pod, reason="SchedulerError", text=text)
        await self._writers.put(waiting.key, tell)

    async def _agree(self, waiting: Waiting, pod: core.Pod, refused: Refused) -> None:
        """Evict for the pod whom the extenders agree to, if they do."""
        assert self._extending is not None
        try:
            choice = await self._extending.choose(pod, refused.choices, self._world.on_row)
        except ApiError as error:
            await self._stumble(waiting, pod, error.message)
        else:
            agreed = replace(refused, choice=choice, choices=(), gives_up=choice is None)
            if self._queue.get(waiting.key) is waiting:
                await self._refuse(waiting, pod, agreed)
        self._stirred.set()

    async def _refuse(self, waiting: Waiting, pod: core.Pod, refused: Refused) -> None:
        if refused.choices:
            await self._writers.put_aside(waiting.key, partial(self._agree, waiting, pod, refused))
            return
        waiting.group, lack = refused.twins, refused.lack
        for rule in self._hearing:
            more = rule.refused(pod)
            lack |= more if lack else NOTHING
        self._queue.give_back(waiting, lack, now=self._clock.monotonic())
        if not refused.text:
            return
        if refused.wants_offers:
            self._ask_for_room()
        if refused.moves:
            await self._evicting.make_room_together(refused.moves, refused.text)
            return
        nominated = None
        if refused.choice is not None:
            nominated = await self._evicting.make_room(pod, refused.choice)
        elif refused.gives_up:
            held = self._following.forgo(pod)
            nominated = "" if held or pod.status.nominated_node_name else None
        self._events.event(pod, "Warning", "FailedScheduling", refused.text)
        if refused.twins is not None and not refused.twins.only:
            self._adviser.tell(pod, refused.text)
        tell = partial(self._acting.tell_refusal, pod, reason="Unschedulable", text=refused.text, nominated=nominated)
        await self._writers.put(waiting.key, tell)
