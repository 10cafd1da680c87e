"""The full player: the whole control plane on a loop whose time jumps. API, controllers, scheduler, hollow nodes.

What the lean player models is here what it is in a cluster: rolling updates, taints, evictions, leases that lapse.
The pods of jobs are made, and made anew, by the player itself. It costs milliseconds for each pod and for each minute
of ten nodes, so it is for hundreds of nodes and hours.
"""

import asyncio
import itertools
import math
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from random import Random
from uuid import UUID

import structlog

from bireme.api.errors import AlreadyExists, ApiError, NotFound, TooManyRequests
from bireme.api.kinds import core, meta, policy
from bireme.assembly.api import MASTERS, Api, serve_api
from bireme.assembly.parts import memory_store, run_controllers, run_scheduler
from bireme.client.informer import Informer
from bireme.controllers.settings import Settings
from bireme.kubelet.status import TERMINAL
from bireme.ledger.ledger import Ledger
from bireme.scheduler.configuration import Settings as SchedulerSettings
from bireme.scheduler.profile import Profile
from bireme.simulation.arrivals import Arrival, arrivals
from bireme.simulation.cluster import account_made
from bireme.simulation.full_notes import Notes
from bireme.simulation.full_objects import Objects, rules_of, shape_of
from bireme.simulation.machines import Machine, chosen, machines_of
from bireme.simulation.nodes import HollowNodes
from bireme.simulation.pods import HollowPods
from bireme.simulation.reading import ScenarioError
from bireme.simulation.scenario import Event, NodePool, Scenario, Workload
from bireme.simulation.virtual_loop import LoopClock, VirtualLoop

log = structlog.get_logger(__name__)

POD_RANGE = "10.128.0.0/9"
AGAIN_S = 5.0


def play(scenario: Scenario, profile: Profile, *, seed: int, speed: float | None) -> Notes:
    """Play it to its end; the notes that were taken. Raises ScenarioError for files that can't be read."""
    with asyncio.Runner(loop_factory=lambda: VirtualLoop(speed=speed)) as runner:
        try:
            return runner.run(FullPlayer(scenario, profile, seed=seed).play())
        except ExceptionGroup as group:
            found: Exception | None = group.subgroup((ScenarioError, ApiError))
            while isinstance(found, ExceptionGroup):
                found = found.exceptions[0]
            if isinstance(found, ApiError):
                raise ScenarioError(f"the API server refuses it: {found}") from group
            raise found or group from group


def seeded_uids(random: Random) -> Callable[[], str]:
    """Uids that are the same for the same seed."""
    return lambda: str(UUID(int=random.getrandbits(128), version=4))


class FullPlayer:
    """Plays one scenario once."""

    def __init__(self, scenario: Scenario, profile: Profile, *, seed: int) -> None:
        self.scenario, self._profile, self._seed = scenario, profile, seed
        self.machines = machines_of(scenario)
        self.clock = LoopClock()
        self._objects = Objects(scenario, self.random)
        self._randoms: dict[str, Random] = {}
        self._numbers = itertools.count()
        self._ended: asyncio.Queue[core.Pod] = asyncio.Queue()
        self._made: dict[str, tuple[Workload, int]] = {}
        self._outages: Counter[str] = Counter()

    def random(self, name: str) -> Random:
        """The generator of one part of the scenario."""
        if name not in self._randoms:
            self._randoms[name] = Random(f"{self._seed}/{name}")
        return self._randoms[name]

    async def play(self) -> Notes:
        """Play it; the notes that were taken."""
        async with self._cluster() as notes:
            async with asyncio.TaskGroup() as tasks:
                story = tasks.create_task(self._story(notes), name="story")
                await self.clock.sleep(self.scenario.duration)
                notes.now()
                story.cancel()
        return notes

    @asynccontextmanager
    async def _cluster(self) -> AsyncIterator[Notes]:
        """The control plane and its nodes, all of them Ready."""
        clock = self.clock
        uid = seeded_uids(self.random("uids"))
        async with serve_api(memory_store(clock), clock=clock, uid=uid, random=self.random("api")) as api:
            client = api.client("bireme-simulation", groups=(MASTERS,))
            self.nodes = HollowNodes(client, clock=clock)
            pods = HollowPods(client, self.nodes, clock=clock, rules=rules_of(self.scenario, self._seed))
            self._client = client
            notes = Notes(self.machines, clock, self._objects.wanted)
            self._pods = Informer(client, core.Pod, clock=clock)
            nodes = Informer(client, core.Node, clock=clock)
            self._pods.on_change(notes.pod_changed)
            self._pods.on_change(self._pod_changed)
            nodes.on_change(notes.node_changed)
            parts = [self._run_controllers(api), self._run_scheduler(api), self.nodes.run(), pods.run()]
            async with asyncio.TaskGroup() as tasks:
                running = [tasks.create_task(part) for part in (*parts, self._pods.run(), nodes.run())]
                for machine in self.machines.values():
                    await self.nodes.have([(machine.name, shape_of(machine))])
                await account_made(client)
                await self._namespaces()
                for each in self._objects.classes():
                    await self._client.create(each)
                notes.begin()
                yield notes
                for task in running:
                    task.cancel()

    async def _run_controllers(self, api: Api) -> None:
        cycle = self.scenario.lifecycle
        await run_controllers(api, Settings(pod_range=POD_RANGE, node_grace_s=cycle.detect), clock=self.clock)

    async def _run_scheduler(self, api: Api) -> None:
        settings = SchedulerSettings(profiles=(self._profile,))
        await run_scheduler(api, Ledger(), clock=self.clock, settings=settings)

    async def _namespaces(self) -> None:
        for name in sorted({workload.namespace for workload in self.scenario.workloads} - {"default"}):
            with suppress(AlreadyExists):
                await self._client.create(core.Namespace(metadata=meta.ObjectMeta(name=name)))

    # The story

    async def _story(self, notes: Notes) -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._sample(notes))
            tasks.create_task(self._replace_ended())
            for workload in self.scenario.workloads:
                tasks.create_task(self._come(workload))
            for number, event in enumerate(self.scenario.events):
                tasks.create_task(self._happen(event, self._meant(event, number)))
            for machine in self.machines.values():
                if machine.pool.failures is not None:
                    tasks.create_task(self._fail_by_chance(machine.name, machine.pool))

    async def _sample(self, notes: Notes) -> None:
        while True:
            notes.now()
            notes.recorder.sample()
            await self.clock.sleep(self.scenario.step)

    async def _come(self, workload: Workload) -> None:
        if workload.arrivals is None:
            await self.clock.sleep(workload.at)
            await self._client.create(self._objects.deployment(workload))
            await self._client.create(self._objects.budget(workload))
            return
        random, end = self.random(f"arrivals/{workload.name}"), self.scenario.duration
        began = self.clock.monotonic()
        coming = arrivals(workload.arrivals, random, folder=self.scenario.folder, end=end)
        for number, arrival in enumerate(coming):
            await self.clock.sleep(began + arrival.at - self.clock.monotonic())
            await self._make_job(workload, arrival, number)

    async def _make_job(self, workload: Workload, arrival: Arrival, number: int) -> None:
        name = arrival.row.name if arrival.row is not None and arrival.row.name else f"{workload.name}-{number}"
        for part in range(workload.pods):
            pod = self._objects.pod(workload, f"{name}-{part}" if workload.pods > 1 else name, arrival.row)
            await self._make(pod, workload, 0)

    async def _make(self, pod: core.Pod, workload: Workload, attempt: int) -> None:
        made = await self._client.create(pod)
        self._made[made.metadata.uid] = (workload, attempt)

    # Jobs: what ended goes, what failed or was lost is made anew

    def _pod_changed(self, old: core.Pod | None, new: core.Pod | None) -> None:
        ended = new is not None and new.status.phase in TERMINAL
        pod = new if ended else old if new is None else None
        if pod is not None and pod.metadata.uid in self._made:
            self._ended.put_nowait(pod)

    async def _replace_ended(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            while True:
                pod = await self._ended.get()
                told = self._made.pop(pod.metadata.uid, None)
                if told is not None:
                    tasks.create_task(self._follow_up(pod, *told))

    async def _follow_up(self, pod: core.Pod, workload: Workload, attempt: int) -> None:
        with suppress(NotFound):
            await self._client.delete(
                core.Pod, pod.metadata.name, namespace=pod.metadata.namespace, grace_period_s=0, uid=pod.metadata.uid
            )
        failed = pod.status.phase == "Failed"
        if pod.status.phase == "Succeeded" or (failed and attempt >= workload.retries):
            return
        if failed:
            cycle = self.scenario.lifecycle
            await self.clock.sleep(min(cycle.restart * 2.0 ** min(attempt, 30), cycle.longest_restart))
        fresh = self._objects.again(pod, next(self._numbers))
        await self._make(fresh, workload, attempt + failed)

    # Events

    def _meant(self, event: Event, number: int) -> list[Machine]:
        target = event.fail or event.drain or event.cordon
        if target is None:
            return []
        try:
            return list(chosen(target, self.machines, self.random(f"events/{number}")))
        except ValueError as error:
            raise ScenarioError(f"events[{number}]: {error}") from error

    async def _happen(self, event: Event, machines: list[Machine]) -> None:
        await self.clock.sleep(event.at)
        if event.update or event.scale:
            await self._objects.change(self._client, event)
            return
        for machine in machines:
            if event.fail:
                self._power_off(machine.name)
            else:
                await self._cordon(machine, cordoned=True)
        async with asyncio.TaskGroup() as tasks:
            evicting = tasks.create_task(self._evict(machines)) if event.drain else None
            if event.recover_after is None:
                return
            await self.clock.sleep(event.recover_after)
            if evicting is not None:
                evicting.cancel()
        for machine in machines:
            if event.fail:
                self._power_on(machine.name)
            else:
                await self._cordon(machine, cordoned=False)

    async def _fail_by_chance(self, name: str, pool: NodePool) -> None:
        random, failures = self.random(f"failures/{pool.pool}"), pool.failures
        while failures is not None:
            await self.clock.sleep(-failures.mtbf * math.log(1.0 - random.random()))
            self._power_off(name)
            await self.clock.sleep(-failures.mttr * math.log(1.0 - random.random()))
            self._power_on(name)

    def _power_off(self, name: str) -> None:
        self._outages[name] += 1
        self.nodes.play_dead(name)

    def _power_on(self, name: str) -> None:
        """One outage is over; the node is back when all are."""
        self._outages[name] -= 1
        if not self._outages[name]:
            self.nodes.revive(name)

    async def _cordon(self, machine: Machine, *, cordoned: bool) -> None:
        await self._client.patch(core.Node, machine.name, {"spec": {"unschedulable": cordoned or None}})

    async def _evict(self, machines: list[Machine]) -> None:
        """Ask for the eviction of each pod until it is granted, as `kubectl drain` does."""
        names = {machine.name for machine in machines}
        left = [pod for pod in self._pods.items() if pod.spec.node_name in names]
        while left:
            again = [pod for pod in left if not await self._evicted(pod)]
            left = again
            await self.clock.sleep(AGAIN_S)

    async def _evicted(self, pod: core.Pod) -> bool:
        name, namespace = pod.metadata.name, pod.metadata.namespace
        wish = policy.Eviction(metadata=meta.ObjectMeta(name=name, namespace=namespace))
        try:
            await self._client.create_subresource(core.Pod, name, "eviction", wish, namespace=namespace)
        except TooManyRequests:
            return False
        except ApiError as error:
            log.info("not evicted", pod=name, error=str(error))
        return True
