"""The lean player: the scheduler's decisions driven by discrete events, with no API and no clock.

Pods wait in the scheduler's own queue, are placed by its own decision on its own account of what is free, and then
move through their stages by events alone. What surrounds the scheduler (readiness, failures, evictions) is a model:
docs/simulation.md says what is exact. The same scenario and seed give the same play, whatever the machine.
"""

import itertools
from collections.abc import Callable, Iterator
from random import Random

from bireme.scheduler.interface import ANYTHING
from bireme.scheduler.profile import Profile
from bireme.scheduler.queue import SchedulingQueue, Waiting
from bireme.simulation.agenda import Agenda
from bireme.simulation.arrivals import Arrival, arrivals
from bireme.simulation.deployments import Deployment, Group, Means
from bireme.simulation.machines import Machine, machines_of
from bireme.simulation.placer import FREED, Placer
from bireme.simulation.pod import Forms, SimPod, State
from bireme.simulation.recorder import Placement, Recorder
from bireme.simulation.scenario import Scenario, Template, Workload
from bireme.simulation.traces import Row

SOON_S = 1e-6
"""Sums of times are rounded: what is due an instant after its alarm must not ask for the same alarm again."""


class Player:
    """Plays one scenario once. `pace` is told the time before anything happens at it, and may wait for it."""

    def __init__(
        self, scenario: Scenario, profile: Profile, *, seed: int, pace: Callable[[float], None] = lambda now: None
    ) -> None:
        self.scenario, self._seed, self._pace = scenario, seed, pace
        self.agenda, self.recorder = Agenda(), Recorder()
        self.machines = machines_of(scenario)
        self.deployments: dict[str, Deployment] = {}
        self._placer = Placer(profile)
        self._forms = Forms(self._placer)
        self._queue = SchedulingQueue()
        self._pods: dict[str, SimPod] = {}
        self._randoms: dict[str, Random] = {}
        self._uids = itertools.count()
        self._alarm = -1.0
        self._deciding = False

    def play(self) -> Recorder:
        """Play it to its end; the notes that were taken. Raises ScenarioError for files that can't be read."""
        self.begin()
        end = self.scenario.duration
        while (due := self.agenda.next_time()) is not None and due <= end:
            self._pace(due)
            self.recorder.at(due)
            self.agenda.do_next()
            if not self._deciding:
                self._place_waiting()
        self.recorder.at(end)
        return self.recorder

    def waiting(self) -> list[SimPod]:
        """The pods without a node, the eldest first."""
        return [pod for pod in self._pods.values() if pod.state is State.WAITING]

    def why(self, pod: SimPod) -> str:
        """Why no node takes it."""
        return self._placer.why(pod.form.pod)

    def random(self, name: str) -> Random:
        """The generator of one part of the scenario: what others draw does not change what it draws."""
        if name not in self._randoms:
            self._randoms[name] = Random(f"{self._seed}/{name}")
        return self._randoms[name]

    def begin(self) -> None:
        """Note what is to come; `play` does it. Raises ScenarioError for files and nodes that are not there."""
        from bireme.simulation.happenings import Happenings

        for machine in self.machines.values():
            self._placer.set_node(machine.node())
            self.recorder.capacity(machine.allocatable, 1)
        self.agenda.at(0.0, self._sample)
        for workload in self.scenario.workloads:
            if workload.kind == "deployment":
                self.agenda.at(workload.at, self._deploy, workload)
            elif workload.arrivals is not None:
                random = self.random(f"arrivals/{workload.name}")
                coming = arrivals(workload.arrivals, random, folder=self.scenario.folder, end=self.scenario.duration)
                self._await_next(workload, coming, itertools.count())
        Happenings(self).begin()

    def _sample(self) -> None:
        self.recorder.sample()
        self.agenda.after(self.scenario.step, self._sample)

    # What comes

    def _await_next(self, workload: Workload, coming: Iterator[Arrival], numbers: Iterator[int]) -> None:
        arrival = next(coming, None)
        if arrival is not None:
            self.agenda.at(arrival.at, self._arrive, workload, arrival, coming, numbers)

    def _arrive(
        self, workload: Workload, arrival: Arrival, coming: Iterator[Arrival], numbers: Iterator[int]
    ) -> None:
        number = next(numbers)
        row = arrival.row
        name = row.name if row is not None and row.name else f"{workload.name}-{number}"
        for part in range(workload.pods):
            self._make(f"{name}-{part}" if workload.pods > 1 else name, workload, workload.template, row=row)
        self._await_next(workload, coming, numbers)

    def _deploy(self, workload: Workload) -> None:
        deployment = Deployment(workload, Means(self._make_replica, self._let_go))
        self.deployments[workload.name] = deployment
        deployment.update(workload.template)

    def _make_replica(self, group: Group) -> SimPod:
        workload = group.deployment.workload
        return self._make(f"{group.sizes.metadata.name}-{next(self._uids)}", workload, group.template, group=group)

    def _make(
        self,
        name: str,
        workload: Workload,
        template: Template,
        *,
        group: Group | None = None,
        row: Row | None = None,
    ) -> SimPod:
        random = self.random(f"pods/{workload.name}")
        form = self._forms.of(workload, template, random, row)
        duration = template.duration.of(random) if template.duration is not None else None
        if row is not None and row.duration is not None:
            duration = row.duration
        fails = template.fail > 0 and random.random() < template.fail
        priority = form.pod.spec.priority or 0
        pod = SimPod(
            name, f"pod-{next(self._uids)}", workload, form, priority, self.agenda.now, template, duration, fails
        )
        pod.group = group
        self._submit(pod)
        return pod

    def _submit(self, pod: SimPod) -> None:
        self._pods[pod.uid] = pod
        self.recorder.came(pod.namespace)
        self._queue.add(pod.key, priority=pod.priority, now=self.agenda.now)
        waiting = self._queue.get(pod.key)
        assert waiting is not None
        waiting.group = id(pod.form)

    def replaced(self, pod: SimPod, *, attempt: int) -> None:
        """A pod of a job is made anew, to do all of its work again."""
        name = pod.name.partition("~")[0] + f"~{next(self._uids)}"
        fails = pod.template.fail > 0 and self.random(f"pods/{pod.workload.name}").random() < pod.template.fail
        fresh = SimPod(
            name,
            f"pod-{next(self._uids)}",
            pod.workload,
            pod.form,
            pod.priority,
            self.agenda.now,
            pod.template,
            pod.duration,
            fails,
            attempt,
        )
        self._submit(fresh)

    # Placing

    def _place_waiting(self) -> None:
        """Try every pod that is ready for it; with a time for each decision, one, and then the next after it."""
        now, queue = self.agenda.now, self._queue
        self._deciding = False
        while (waiting := queue.take(now=now)) is not None:
            pod = self._pods[waiting.key.name]
            node = self._placer.place(pod.form.pod, pod.uid) or self._preempt(pod)
            if node is None:
                self.recorder.count("refused")
                queue.give_back(waiting, self._placer.lack(pod.form.demand), now=now)
            else:
                queue.remove(waiting.key)
                self._placed(pod, self.machines[node], waiting.attempts)
            if self.scenario.scheduler.decision > 0:
                self._deciding = True
                self.agenda.after(self.scenario.scheduler.decision, self._place_waiting)
                return
        due = queue.next_due(now=now)
        if due is not None and not now < self._alarm <= now + due:
            self._alarm = now + max(due, SOON_S)
            self.agenda.at(self._alarm, _nothing)

    def _preempt(self, pod: SimPod) -> str | None:
        """Have lesser pods make room, if that helps; they are gone at once, and replaced."""
        victims = self._placer.victims(pod.form.pod)
        for uid in victims:
            self.recorder.count("preempted")
            self.displace(self._pods[uid])
        return self._placer.place(pod.form.pod, pod.uid) if victims else None

    def _placed(self, pod: SimPod, machine: Machine, tries: int) -> None:
        now = self.agenda.now
        pod.node, pod.state = machine.name, State.PLACED
        machine.pods[pod.uid] = pod
        placement = Placement(now, pod.namespace, pod.name, pod.workload.name, machine.name, now - pod.created, tries)
        self.recorder.was_placed(placement, pod.form.requests)
        if machine.alive:
            self.start(pod)
        else:  # it was sent to a node of which nobody knows yet that it is down
            pod.state = State.LOST
            self.recorder.holds(pod.namespace, pod.form.requests, -1)

    # The stages of a pod

    def start(self, pod: SimPod) -> None:
        """Let it start in its time."""
        pod.life += 1
        pod.state = State.PLACED
        seconds = pod.template.start.of(self.random(f"stages/{pod.workload.name}"))
        self.agenda.after(seconds, self._started, pod, pod.life)

    def _started(self, pod: SimPod, life: int) -> None:
        if pod.life != life:
            return
        pod.state = State.RUNNING
        if pod.duration is not None:
            self.agenda.after(pod.duration, self._ended, pod, life)
        if pod.group is not None:
            seconds = pod.template.ready.of(self.random(f"stages/{pod.workload.name}"))
            self.agenda.after(seconds, self._ready, pod, life)

    def _ready(self, pod: SimPod, life: int) -> None:
        if pod.life != life or pod.group is None:
            return
        pod.state = State.READY
        deployment = pod.group.deployment
        deployment.ready(pod)
        self._note_available(deployment)

    def _note_available(self, deployment: Deployment) -> None:
        name, replicas = deployment.workload.name, deployment.replicas
        if name in self.recorder.least_available or deployment.available >= replicas:
            self.recorder.available(name, deployment.available / replicas if replicas else 1.0)

    def _ended(self, pod: SimPod, life: int) -> None:
        if pod.life != life:
            return
        if pod.group is not None:
            self._restart(pod)
            return
        self._let_go(pod)
        if not pod.fails:
            self.recorder.count("completed")
        elif pod.attempt >= pod.workload.retries:
            self.recorder.count("given up")
        else:
            self.recorder.count("failed")
            self.agenda.after(self._back_off(pod.attempt), self._retry, pod)

    def _retry(self, pod: SimPod) -> None:
        self.replaced(pod, attempt=pod.attempt + 1)

    def _restart(self, pod: SimPod) -> None:
        """A container of a deployment ended: it is started again where it is."""
        self.unready(pod)
        pod.life += 1
        pod.state = State.PLACED
        pod.restarts += 1
        self.recorder.count("restarts")
        self.agenda.after(self._back_off(pod.restarts - 1), self._started, pod, pod.life)

    def _back_off(self, before: int) -> float:
        cycle = self.scenario.lifecycle
        return min(cycle.restart * 2.0 ** min(before, 30), cycle.longest_restart)

    def unready(self, pod: SimPod) -> None:
        """It serves no more."""
        if pod.group is not None and pod.state is State.READY:
            pod.group.deployment.unready(pod)
            self._note_available(pod.group.deployment)

    def _let_go(self, pod: SimPod) -> None:
        """The pod is gone from wherever it was."""
        self.unready(pod)
        pod.life += 1
        if pod.state is State.WAITING:
            self._queue.remove(pod.key)
            self.recorder.gave_up(pod.namespace)
        else:
            del self.machines[pod.node].pods[pod.uid]
            if pod.state is not State.LOST:
                self.recorder.holds(pod.namespace, pod.form.requests, -1)
            self._placer.release(pod.uid)
            self._freed(pod.node)
        pod.state = State.GONE
        del self._pods[pod.uid]

    def displace(self, pod: SimPod) -> None:
        """It is taken from its node, and replaced."""
        if pod.state is State.GONE:
            return
        self.recorder.count("displaced")
        self._let_go(pod)
        if pod.group is not None:
            pod.group.deployment.gone(pod)
        else:
            self.replaced(pod, attempt=pod.attempt)

    def node_changed(self, machine: Machine) -> None:
        """The scheduler is to see the node as it is now."""
        self._placer.set_node(machine.node())
        self._queue.wake(ANYTHING, now=self.agenda.now)

    def _freed(self, node: str) -> None:
        """Something was given back on the node: as many are tried again as it may have room for."""

        def helps(waiting: Waiting) -> int:
            return self._placer.room(self._pods[waiting.key.name].form.demand, node)

        self._queue.wake(FREED, now=self.agenda.now, helps=helps)


def _nothing() -> None:
    """The time itself is what was waited for."""
