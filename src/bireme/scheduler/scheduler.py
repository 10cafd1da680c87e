"""Give every waiting pod a node: take it from the queue, decide, write what was decided.

Decisions are plain calls between two events (`cycle.py`); writes run beside the next decisions (`acting.py`). What
happens elsewhere is told to the queue between decisions (`following.py`), which come in short slices so that
nobody in this process waits long. The account is `ledger/`'s.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

import structlog

from bireme.aio.clock import Clock
from bireme.aio.waiting import wait_any
from bireme.api.errors import ApiError, Conflict, NotFound
from bireme.api.kinds import core
from bireme.client.client import Client
from bireme.client.events import EventRecorder
from bireme.client.informer import Key, key_of
from bireme.ledger.ledger import Ledger
from bireme.scheduler.acting import Acting, Writers
from bireme.scheduler.adviser import Adviser
from bireme.scheduler.caches import Caches
from bireme.scheduler.configuration import Settings
from bireme.scheduler.cycle import Cycle, Found, Refused
from bireme.scheduler.extending import Extending
from bireme.scheduler.figures import Figures, Result
from bireme.scheduler.following import Following
from bireme.scheduler.interface import NOTHING, Cold, Hearing, Lack, Move, Rule, Unheard
from bireme.scheduler.making_room import MakingRoom
from bireme.scheduler.outside import Outside
from bireme.scheduler.preemption import Choice
from bireme.scheduler.queue import ALL, QueueLengths, SchedulingQueue, Waiting
from bireme.scheduler.spreading import Spreading
from bireme.scheduler.together import Together, open_nodes
from bireme.scheduler.world import World

log = structlog.get_logger(__name__)

SLICE_S = 0.01
SLICE = 100
"""Decisions in a row, at most, and the time that they may take, before others get their turn."""


@dataclass(frozen=True, slots=True)
class SchedulerStatistics:
    """Pods placed and refused so far, and how the queue stands."""

    placed: int
    refused: int
    queue: QueueLengths


@dataclass(frozen=True, slots=True)
class Decided:
    """A pod that waited and what was found for it."""

    waiting: Waiting
    pod: core.Pod
    found: Found


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
        self._caches, self._rules = caches, rules
        settings = settings or Settings()
        self._world = World(ledger)
        selector = Spreading(caches).selector
        self._cycle = Cycle(self._world, settings, rules=rules, default_selector=selector)
        self._adviser = Adviser(self._world, events, clock, settings.profiles, default_selector=selector)
        self._nominated, self._preempting = self._cycle.nominated, self._cycle.preempting
        self._queue = SchedulingQueue(settings.backoff)
        self._acting, self._writers = Acting(client, events, clock), Writers("scheduler", self._bind_all)
        self._stirred = asyncio.Event()
        self._following = Following(caches, self._cycle, self._queue, clock, stir=self._stirred.set)
        self.together = Together(self._cycle, unheard=self._following.unheard)
        self.making_room = MakingRoom(self._cycle, caches.pods.get, unheard=self._following.unheard)
        self._hearing = [rule for rule in rules if isinstance(rule, Hearing)]
        self._extending = next((rule for rule in rules if isinstance(rule, Extending)), None)
        self._outside = Outside(self._queue, self._writers, self._hear)
        if self._extending is not None:
            self._extending.open_nodes = partial(open_nodes, self._cycle, but=self._extending)
        self._booked_before = ledger.pods()
        self.figures = Figures()

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
            await self._writers.put_aside(waiting.key, partial(self._bind, placed))
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
            await self._preempt_together(refused.moves, refused.text)
            return
        nominated = None
        if refused.choice is not None:
            nominated = await self._preempt(pod, refused.choice)
        elif refused.gives_up:
            held = self._following.forgo(pod)
            nominated = "" if held or pod.status.nominated_node_name else None
        self._events.event(pod, "Warning", "FailedScheduling", refused.text)
        if refused.twins is not None and not refused.twins.only:
            self._adviser.tell(pod, refused.text)
        tell = partial(self._acting.tell_refusal, pod, reason="Unschedulable", text=refused.text, nominated=nominated)
        await self._writers.put(waiting.key, tell)

    # Preempting

    async def _preempt(self, pod: core.Pod, choice: Choice) -> str:
        """Have the victims leave, and their node kept for the pod; gives its name."""
        node = self._world.ledger.columns.nodes[choice.row]
        self._preempting.doomed.update(victim.uid for victim in choice.victims)
        self._nominated.set(pod, node)
        self.figures.preempted(len(choice.victims))
        for lower in self._nominated.lower_on(node, self._world.ranks.priority(pod)):
            await self._look_elsewhere(lower.uid, Key(lower.namespace, lower.name))
        await self._writers.put_aside(key_of(pod), partial(self._evict, pod, choice, node))
        return node

    async def _preempt_together(self, moves: Sequence[Move], text: str) -> None:
        """Have the victims of several pods leave, and their nodes kept for these; some find room as it is."""
        self._preempting.doomed.update(victim.uid for move in moves for victim in move.victims)
        for move in moves:
            self._nominated.set(move.pod, move.node)
        for move in moves:
            if move.victims:
                self.figures.preempted(len(move.victims))
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
        pod = self._caches.pods.get(key)
        if pod is not None and pod.metadata.uid == uid:
            self._queue.add(key, priority=self._world.ranks.priority(pod), now=self._clock.monotonic())
            await self._writers.put(key, partial(self._acting.clear_nomination, pod))

    async def _evict(self, pod: core.Pod, choice: Choice, node: str) -> None:
        victims = [self._caches.pods.get(Key(victim.namespace, victim.name)) for victim in choice.victims]
        try:
            async with asyncio.TaskGroup() as tasks:
                for placed, victim in zip(choice.victims, victims, strict=True):
                    if victim is not None and victim.metadata.uid == placed.uid:
                        tasks.create_task(self._acting.evict(victim, by=pod, node=node))
        except* ApiError as failures:
            log.warning("preemption failed", pod=str(key_of(pod)), node=node, error=str(failures.exceptions[0]))
            self._preempting.doomed.difference_update(victim.uid for victim in choice.victims)
            await self._look_elsewhere(pod.metadata.uid, key_of(pod))
            self._stirred.set()

    # Binding

    async def _bind(self, placed: Decided) -> None:
        """Bind a pod with whose node rules have to do."""
        error: ApiError | TimeoutError | None = None
        try:
            await self._acting.bind(placed.pod, placed.found.node, placed.found.rules)
        except (ApiError, TimeoutError) as failure:
            error = failure
        self._bound(placed, error)

    async def _bind_all(self, several: Sequence[Decided]) -> None:
        errors = await self._acting.bind_all([(placed.pod, placed.found.node) for placed in several])
        for placed, error in zip(several, errors, strict=True):
            self._bound(placed, error)

    def _bound(self, placed: Decided, error: ApiError | TimeoutError | None) -> None:
        """The binding was written, or ended with `error`."""
        waiting, pod = placed.waiting, placed.pod
        if error is None:
            self._queue.settle(waiting)
        elif isinstance(error, NotFound | Conflict):
            self._release_unless_bound(pod)
            self._forget_or_retry(waiting, pod)
        else:
            log.warning("binding failed", pod=str(waiting.key), node=placed.found.node, error=str(error))
            self.figures.attempted(pod.spec.scheduler_name, Result.ERROR, 0.0)
            self._release(pod)
            self._queue.give_back(waiting, NOTHING, now=self._clock.monotonic())
            self._stirred.set()

    def _forget_or_retry(self, waiting: Waiting, pod: core.Pod) -> None:
        """The server did not want the binding: the pod waits no more, unless as far as is known it is still there."""
        now = self._caches.pods.get(waiting.key)
        if now is not None and now.metadata.uid == pod.metadata.uid and self._following.is_ours(now):
            self._queue.give_back(waiting, NOTHING, now=self._clock.monotonic())
            self._stirred.set()
        else:
            self._queue.settle(waiting)

    def _release_unless_bound(self, pod: core.Pod) -> None:
        """Somebody else bound the pod, or it is gone: the cache knows, or will tell."""
        now = self._caches.pods.get(key_of(pod))
        if now is not None and now.metadata.uid == pod.metadata.uid and now.spec.node_name:
            self._world.place(now, now.spec.node_name)
        else:
            self._release(pod)

    def _release(self, pod: core.Pod) -> None:
        """The pod does not go where it was booked."""
        for rule in self._rules:
            rule.release(pod)
        self._following.displace(pod.metadata.uid)
