"""One task per pod: look, plan, do, look again, until the pod is as it should be; then wait to be woken.

All decisions are in `steps.py` and `status.py`; how a container is launched and stopped is in `containers.py`.
Here is what they need in between: the memory of one pod, and the loop. A look that finds nothing to do costs two
calls. Work under way is cut short when the pod is to end, since every step can be taken again.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import structlog

from bireme.aio.backoff import Backoff
from bireme.aio.clock import Clock
from bireme.api.errors import ApiError, Conflict, NotFound
from bireme.api.kinds import core
from bireme.client.client import Client
from bireme.kubelet import logs, steps
from bireme.kubelet.actual import (
    ContainerView,
    Ending,
    Observed,
    PodActual,
    RestartBackoff,
    Trouble,
    moment_of,
    with_lost,
)
from bireme.kubelet.cgroups import cgroup_parent, remove_cgroup
from bireme.kubelet.containers import Launcher, LaunchFailed
from bireme.kubelet.payload import VolumeProblem
from bireme.kubelet.probes import Prober
from bireme.kubelet.publisher import Publisher
from bireme.kubelet.relist import Relister
from bireme.kubelet.settings import KubeletSettings
from bireme.kubelet.status import TERMINAL, Surroundings, pod_status
from bireme.kubelet.telling import Teller
from bireme.runtime.interface import Runtime, RuntimeFault

log = structlog.get_logger(__name__)

RETRY = Backoff(initial_s=0.5, limit_s=60.0)
CONFIG_RETRY = Backoff(initial_s=1.0, limit_s=15.0)
DEFAULT_GRACE_S = 30
ROUNDS = 64
PAUSE = timedelta(seconds=1)


@dataclass(frozen=True, slots=True)
class Node:
    """The parts of the agent that workers share."""

    settings: KubeletSettings
    clock: Clock
    client: Client
    runtime: Runtime
    relister: Relister
    launcher: Launcher
    publisher: Publisher
    tell: Teller
    starting: asyncio.Semaphore


class PodWorker:
    """Makes one pod real. `update` tells of a newer version, `wake` of a change in the engine."""

    def __init__(self, pod: core.Pod, node: Node, *, refuse: Callable[[core.Pod], Ending | None]) -> None:
        self.pod = pod
        self.actual = PodActual()
        self._node = node
        self._refuse = refuse
        self._wake = asyncio.Event()
        self._tasks = asyncio.TaskGroup()
        self._work: asyncio.Task[datetime | None] | None = None
        self._gone = False
        self._finished = False
        self._settled = False
        self._admitted = False
        self._ending: Ending | None = None
        self._ending_began: float | None = None
        self._troubles: dict[str, Trouble] = {}
        self._told: dict[str, datetime] = {}
        self._trouble_counts: dict[str, int] = {}
        self._restarts: dict[str, RestartBackoff] = {}
        self._sandbox_trouble: Trouble | None = None
        self._failures = 0
        self._prober = Prober(
            node.runtime,
            self._tasks,
            clock=node.clock,
            wake=self.wake,
            tell=lambda container, *words: node.tell.container(self.pod, container, *words),
        )

    @property
    def holds(self) -> bool:
        """The pod was taken by this node and still has, or may have, something running."""
        over = self._settled or self._node.publisher.current(self.pod).phase in TERMINAL
        return self._admitted and not over and (self._ending is None or not self._ending.phase)

    def wake(self) -> None:
        """Something changed: look again."""
        self._wake.set()

    def update(self, pod: core.Pod) -> None:
        """A newer version of the pod. A pod that is to end, or to end sooner, interrupts what is being done."""
        old, self.pod = self.pod, pod
        if _grace(pod) != _grace(old):
            self._interrupt()
        if (pod.metadata.labels, pod.metadata.annotations) != (old.metadata.labels, old.metadata.annotations):
            self.refresh()
        self.wake()

    def refresh(self) -> None:
        """What the pod refers to has changed or come to be: bring its files up to date, try again what failed."""
        self._node.launcher.outdate(self.pod)
        now = self._node.clock.now()
        if self._sandbox_trouble is not None:
            self._sandbox_trouble = replace(self._sandbox_trouble, retry_at=now)
        for name, trouble in self._troubles.items():
            if trouble.reason == "CreateContainerConfigError":
                self._troubles[name] = replace(trouble, retry_at=now)
        self.wake()

    def vanish(self) -> None:
        """The pod is no more in the API: end it, and tell nobody."""
        self._gone = True
        self._interrupt()
        self.wake()

    def _interrupt(self) -> None:
        if self._work is not None:
            self._work.cancel()

    async def run(self) -> None:
        """Work until the pod is over and gone."""
        self._prober.adopt(self.pod)
        async with self._tasks:
            while not self._finished:
                self._wake.clear()
                self._work = self._tasks.create_task(self._guarded(), name=f"sync {self.pod.metadata.name}")
                await asyncio.wait([self._work])
                if not self._work.cancelled() and not self._finished:
                    await self._idle(self._work.result())
            self._prober.stop()
            self._node.launcher.forget(self.pod)

    async def _idle(self, until: datetime | None) -> None:
        """Wait to be woken, at latest `until`."""
        settings, clock = self._node.settings, self._node.clock
        seconds = settings.resync_s
        if until is not None:
            seconds = min(seconds, (until - clock.now()).total_seconds())
        if seconds <= 0 or self._wake.is_set():
            return
        sleep = self._tasks.create_task(clock.sleep(seconds))
        woken = self._tasks.create_task(self._wake.wait())
        await asyncio.wait((sleep, woken), return_when=asyncio.FIRST_COMPLETED)
        sleep.cancel()
        woken.cancel()

    async def _guarded(self) -> datetime | None:
        """Work, and turn what fails into a later look."""
        try:
            until = await self._sync()
        except (RuntimeFault, ApiError, OSError) as error:
            self._failures += 1
            delay = RETRY.delay(self._failures)
            log.warning("pod not in step", pod=self._name, error=str(error), retry_s=delay)
        except Exception:
            self._failures += 1
            delay = RETRY.delay(self._failures)
            log.exception("pod worker broke", pod=self._name, retry_s=delay)
        else:
            self._failures = 0
            return until
        return self._node.clock.now() + timedelta(seconds=delay)

    @property
    def _leaving(self) -> bool:
        """The pod is not only over but to be forgotten, with its record."""
        return self._gone or bool(self.pod.metadata.deletion_timestamp)

    @property
    def _name(self) -> str:
        return f"{self.pod.metadata.namespace}/{self.pod.metadata.name}"

    async def _sync(self) -> datetime | None:
        """Do all that can be done now; returns when to look again."""
        if self._settled and not self._leaving:
            return None
        for _ in range(ROUNDS):
            pod, clock = self.pod, self._node.clock
            self.actual = with_lost(await self._node.relister.look(pod.metadata.uid), pod)
            self._node.launcher.adopt_logs(pod, self.actual)
            self._settle_ending(pod)
            ending = self._ending is not None
            self._prober.follow(pod, self.actual, ending=ending)
            observed = self._observed()
            plan = steps.plan(pod, self.actual, observed, clock.now())
            self._show(observed, plan)
            if plan.over:
                await self._finish()
                return None
            if not plan.steps:
                await self._tidy()
                if self.actual.live:
                    await self._node.launcher.refresh(pod)
                return self._next_look(plan)
            await self._carry_out(plan)
        return self._node.clock.now() + PAUSE  # what is done does not help: not in a circle, at least

    def _settle_ending(self, pod: core.Pod) -> None:
        """Decide whether the pod is to end, and why."""
        if self._ending is None:
            self._ending = self._why_end(pod)
        if self._ending is not None and self._ending_began is None:
            self._ending_began = self._node.clock.monotonic()

    def _why_end(self, pod: core.Pod) -> Ending | None:
        if self._gone or pod.metadata.deletion_timestamp:
            return Ending()
        if pod.status.phase in TERMINAL:
            return Ending(pod.status.phase, pod.status.reason, pod.status.message)
        if self._deadline_passed(pod):
            message = "Pod was active on the node longer than the specified deadline"
            return Ending("Failed", "DeadlineExceeded", message)
        if not self._admitted:
            self._admitted = True
            if not self.actual.sandboxes:
                refused = self._refuse(pod)
                if refused is not None:
                    self._node.tell.pod(pod, "Warning", refused.reason, refused.message)
                return refused
        return None

    def _deadline(self, pod: core.Pod) -> datetime | None:
        began = moment_of(self._node.publisher.current(pod).start_time)
        if pod.spec.active_deadline_seconds is None or began is None:
            return None
        return began + timedelta(seconds=pod.spec.active_deadline_seconds)

    def _deadline_passed(self, pod: core.Pod) -> bool:
        deadline = self._deadline(pod)
        return deadline is not None and deadline <= self._node.clock.now()

    def _observed(self) -> Observed:
        return Observed(
            started=frozenset(self._prober.started),
            ready=frozenset(self._prober.ready),
            doomed=dict(self._prober.doomed) | self._outdated(),
            troubles=dict(self._troubles),
            restarts=dict(self._restarts),
            sandbox_trouble=self._sandbox_trouble,
            ending=self._ending,
        )

    def _outdated(self) -> dict[str, str]:
        """Running containers whose description has changed since they were made."""
        found = {}
        for container in [*self.pod.spec.init_containers, *self.pod.spec.containers]:
            view = self.actual.current(container.name)
            if view is not None and view.spec_hash and view.spec_hash != self._node.launcher.spec_hash(container):
                found[view.id] = f"Container {container.name} definition changed, will be restarted"
        return found

    def _show(self, observed: Observed, plan: steps.Plan) -> None:
        """Have the API show how the pod is."""
        if self._gone:
            return
        self._tell_back_off(plan)
        around = Surroundings(self._node.settings.node_ip, plan.waiting)
        known = self.pod
        current = self._node.publisher.current(known)
        if current is not known.status and _rank(current) >= _rank(known.status):
            # What was worked out last may not have come back through the watch yet.
            known = core.Pod(metadata=known.metadata, spec=known.spec, status=_with_others(current, known.status))
        status = pod_status(known, self.actual, observed, self._node.clock.now(), around)
        self._node.publisher.set(self.pod, status)

    def _tell_back_off(self, plan: steps.Plan) -> None:
        """Say that a container waits to be started again, once for each wait."""
        meta = self.pod.metadata
        for container in [*self.pod.spec.init_containers, *self.pod.spec.containers]:
            trouble = plan.waiting.get(container.name)
            if trouble is None or trouble.reason != "CrashLoopBackOff":
                continue
            if self._told.get(container.name) != trouble.retry_at:
                self._told[container.name] = trouble.retry_at
                where = f"{meta.name}_{meta.namespace}({meta.uid})"
                words = f"Back-off restarting failed container {container.name} in pod {where}"
                self._node.tell.container(self.pod, container, "Warning", "BackOff", words)

    def _next_look(self, plan: steps.Plan) -> datetime | None:
        deadline = self._deadline(self.pod) if self._ending is None else None
        return min((moment for moment in (plan.look_again, deadline) if moment), default=None)

    # Doing

    async def _carry_out(self, plan: steps.Plan) -> None:
        """Take the steps in order; containers that stop do so together."""
        stopping = [step for step in plan.steps if isinstance(step, steps.StopContainer)]
        if stopping:
            await self._stop_all(stopping)
        for step in plan.steps:
            match step:
                case steps.StartSandbox(attempt):
                    await self._start_sandbox(attempt)
                case steps.StartContainer():
                    await self._start_container(step)
                case steps.RemoveContainer(container_id):
                    await self._node.runtime.remove_container(container_id)
                case steps.StopSandbox(sandbox_id):
                    await self._node.runtime.stop_sandbox(sandbox_id)
                case steps.RemoveSandbox(sandbox_id):
                    await self._node.runtime.remove_sandbox(sandbox_id)
                case steps.StopContainer():
                    pass

    async def _start_sandbox(self, attempt: int) -> None:
        pod, node = self.pod, self._node
        try:
            await node.launcher.prepare(pod)
            for box in self.actual.sandboxes:
                await node.runtime.stop_sandbox(box.id)  # one that died still holds its address
            async with node.starting:
                await node.launcher.start_sandbox(pod, attempt)
        except (VolumeProblem, RuntimeFault, ApiError, OSError) as error:
            mounting = not isinstance(error, RuntimeFault)
            reason = "FailedMount" if mounting else "FailedCreatePodSandBox"
            words = "MountVolume.SetUp failed for " if mounting else "Failed to create pod sandbox: "
            node.tell.pod(pod, "Warning", reason, words + str(error))
            count = self._trouble_counts[""] = self._trouble_counts.get("", 0) + 1
            retry_at = node.clock.now() + timedelta(seconds=RETRY.delay(count))
            self._sandbox_trouble = Trouble(reason, str(error), retry_at)
        else:
            self._sandbox_trouble = None
            self._trouble_counts.pop("", None)

    async def _start_container(self, step: steps.StartContainer) -> None:
        container, node = step.container, self._node
        name = container.name
        if step.ended is not None:
            backoff = self._restarts.get(name)
            self._restarts[name] = steps.next_backoff(backoff, step.ended.finished_at, node.clock.now())
        try:
            container_id = await node.launcher.start(self.pod, container, step.attempt, self.actual, node.starting)
        except LaunchFailed as failure:
            trouble = failure.trouble
            if trouble.retry_at <= node.clock.now():
                count = self._trouble_counts[name] = self._trouble_counts.get(name, 0) + 1
                retry_at = node.clock.now() + timedelta(seconds=CONFIG_RETRY.delay(count))
                trouble = Trouble(trouble.reason, trouble.message, retry_at)
            self._troubles[name] = trouble
            if step.ended is not None and backoff is not None:
                self._restarts[name] = backoff
            return
        self._troubles.pop(name, None)
        self._trouble_counts.pop(name, None)
        if container.lifecycle is not None and container.lifecycle.post_start is not None:
            await self._post_start(container, container_id, container.lifecycle.post_start)

    async def _post_start(self, container: core.Container, container_id: str, hook: core.LifecycleHandler) -> None:
        self.actual = await self._node.relister.look(self.pod.metadata.uid)
        problem = await self._node.launcher.hook(hook, self.pod, container, container_id, self.actual)
        if problem:
            self._node.tell.container(
                self.pod, container, "Warning", "FailedPostStartHook", f"PostStartHook failed: {problem}"
            )
            self._prober.doomed[container_id] = "FailedPostStartHook"

    async def _stop_all(self, stopping: list[steps.StopContainer]) -> None:
        async with asyncio.TaskGroup() as tasks:
            for step in stopping:
                tasks.create_task(
                    self._node.launcher.stop(self.pod, step.view, self.actual, self._grace_for(step.view), step.why)
                )

    def _grace_for(self, view: ContainerView) -> float:
        """Seconds that a container has to end in."""
        pod = self.pod
        if self._ending_began is None:
            return self._probe_grace(view)
        total = _grace(pod)
        if total is None:
            total = pod.spec.termination_grace_period_seconds
        if total is None:
            total = DEFAULT_GRACE_S
        if self._gone:
            total = max(1, total)
        spent = self._node.clock.monotonic() - self._ending_began
        return float(total) if spent < 0.5 else max(min(2.0, total), total - spent)

    def _probe_grace(self, view: ContainerView) -> float:
        """A restart's grace: what the probe that failed says, else the pod's."""
        spec = self.pod.spec
        own = spec.termination_grace_period_seconds
        for container in [*spec.containers, *spec.init_containers]:
            if container.name == view.name:
                probe = container.liveness_probe if view.id in self._prober.started else container.startup_probe
                if probe is not None and probe.termination_grace_period_seconds is not None:
                    own = probe.termination_grace_period_seconds
        return float(DEFAULT_GRACE_S if own is None else own)

    async def _tidy(self) -> None:
        """Drop dead instances and old sandboxes that nobody will ask for."""
        folder = self._node.settings.log_root / logs.pod_folder(self.pod)
        views = {view.id: view for view in self.actual.containers}
        for step in steps.remains(self.actual):
            match step:
                case steps.RemoveContainer(container_id):
                    await self._node.runtime.remove_container(container_id)
                    logs.remove_attempt(folder, views[container_id].name, views[container_id].attempt)
                case steps.RemoveSandbox(sandbox_id):
                    await self._node.runtime.remove_sandbox(sandbox_id)
                case _:
                    pass

    async def _finish(self) -> None:
        """All is down: give back what the pod held and, if it was deleted, say so to the API."""
        pod, node = self.pod, self._node
        self._prober.stop()
        if self._ending is None:
            self._ending = Ending()
            self._show(self._observed(), steps.Plan())
        for box in self.actual.sandboxes:
            await node.runtime.stop_sandbox(box.id)
        await node.launcher.discard(pod)
        if not self._leaving:
            self._settled = True
            return
        for box in self.actual.sandboxes:
            await node.runtime.remove_sandbox(box.id)
        logs.remove_pod(node.settings.log_root, logs.pod_folder(pod))
        if node.settings.privileged_files:
            await asyncio.to_thread(remove_cgroup, cgroup_parent(node.settings.cgroup_root, pod))
        if not self._gone:
            await node.publisher.flush(pod)
            await self._delete(pod)
        self._finished = True

    async def _delete(self, pod: core.Pod) -> None:
        meta = pod.metadata
        try:
            await self._node.client.delete(
                core.Pod, meta.name, namespace=meta.namespace, grace_period_s=0, uid=meta.uid
            )
        except (NotFound, Conflict):
            return


def _grace(pod: core.Pod) -> int | None:
    """The grace of a pod that is being deleted; None for one that is not."""
    if not pod.metadata.deletion_timestamp:
        return None
    grace = pod.metadata.deletion_grace_period_seconds
    return DEFAULT_GRACE_S if grace is None else grace


def _rank(status: core.PodStatus) -> int:
    return {"": 0, "Pending": 1, "Running": 2}.get(status.phase, 3)


def _with_others(ours: core.PodStatus, theirs: core.PodStatus) -> core.PodStatus:
    """Our last status, with the conditions that others have set since."""
    known = {condition.type for condition in ours.conditions}
    mine = {"PodReadyToStartContainers", "Initialized", "ContainersReady", "Ready"}
    fresh = {condition.type: condition for condition in theirs.conditions if condition.type not in mine}
    conditions = [fresh.pop(condition.type, condition) for condition in ours.conditions]
    conditions += [condition for condition in fresh.values() if condition.type not in known]
    return core.PodStatus(
        phase=ours.phase,
        reason=ours.reason,
        message=ours.message,
        conditions=conditions,
        start_time=theirs.start_time or ours.start_time,
        qos_class=ours.qos_class,
        pod_ips=ours.pod_ips,
        nominated_node_name=theirs.nominated_node_name,
        ephemeral_container_statuses=ours.ephemeral_container_statuses,
        resource_claim_statuses=theirs.resource_claim_statuses,
        extended_resource_claim_status=theirs.extended_resource_claim_status,
    )
