"""The Mesos master: who is here, who is offered what, what became of the tasks.

It follows Nodes (agents) and the pods of tasks through the API, keeps frameworks as objects, and takes scheduler
calls from `scheduler_api.py`. Everything happens in plain calls, one at a time; writes go out through `keeper.py`.
A restart loses nothing: frameworks have their failover time, tasks are read from their pods, and an update that
was not acknowledged is told again. Source: Mesos 1.11's HTTP API.
"""

import asyncio
from collections.abc import Callable, Mapping
from typing import TypeVar

import structlog

from bireme.api.errors import ApiError, Conflict
from bireme.api.kinds import core, mesos
from bireme.api.kinds.meta import Object
from bireme.client.informer import Informer, Key
from bireme.mesos import events, objects, task_status, tasks
from bireme.mesos.constraints import compile_constraints
from bireme.mesos.core import Means, Settings
from bireme.mesos.eligibility import minimum_of
from bireme.mesos.fleet import Fleet
from bireme.mesos.messages import Message
from bireme.mesos.quota import Quota
from bireme.mesos.refusals import DEFAULT_REFUSE_S
from bireme.mesos.roster import Framework
from bireme.mesos.subscription import Subscription
from bireme.mesos.task_status import Seen

K = TypeVar("K", bound=Object)
log = structlog.get_logger(__name__)


class Master(Fleet):
    """The whole master. `run` follows the API; the rest are plain calls."""

    def __init__(self, means: Means, settings: Settings | None = None) -> None:
        super().__init__(means, settings or Settings())
        self._means = means
        self._began = False
        self._quotas_lock = asyncio.Lock()
        self._nodes = Informer(self.client, core.Node, clock=self.clock)
        self._pods = Informer(self.client, core.Pod, clock=self.clock, labels=tasks.FRAMEWORK_ID)

    async def run(self) -> None:
        """Follow the API and serve until cancelled. After a failure it may be run again, and starts afresh."""
        if self._began:
            self._forget_all()
        self._began = True
        async with asyncio.TaskGroup() as group:
            group.create_task(self._nodes.run(), name="mesos: nodes")
            group.create_task(self._pods.run(), name="mesos: pods")
            await self._recover()
            group.create_task(self.keeper.run(), name="mesos: keeper")
            group.create_task(self._tick_steadily(), name="mesos: allocation")
            group.create_task(self._tick_when_woken(), name="mesos: early allocation")
            group.create_task(self._heartbeat(), name="mesos: heartbeats")

    def _forget_all(self) -> None:
        """As if the process had just started: streams end, offers go back, everything is read anew."""
        for framework in list(self.roster.frameworks.values()):
            self._end_stream(framework, "")
        self.offers.release_all()
        Master.__init__(self, self._means, self.settings)

    async def _recover(self) -> None:
        """Find frameworks, agents and weights in the API, then nodes and pods; only then serve."""
        frameworks = await self._until_listed(mesos.Framework)
        known_agents = await self._until_listed(mesos.Agent)
        weights = await self._until_listed(mesos.RoleWeight)
        quotas = await self._until_listed(mesos.RoleQuotas)
        await self._nodes.wait_synced()
        await self._pods.wait_synced()
        for framework in frameworks:
            self._recover_framework(framework)
        for known in known_agents:
            self._recover_agent(known)
        for weight in weights:
            self.keeper.adopt(weight)
            self._weigh(weight.spec.role, weight.spec.weight or 1.0)
        for kept in quotas:
            self._recover_quotas(kept)
        self._nodes.on_change(self.see_node)
        for agent in [each for each in self.roster.agents.values() if self._node(each.node) is None]:
            self._remove_agent(agent, task_status.GONE)
        self._pods.on_change(self.see_pod)
        self.ready.set()

    async def _until_listed(self, kind: type[K]) -> list[K]:
        while True:
            try:
                return (await self.client.list(kind)).items
            except ApiError as error:
                log.info("the master waits for the API", kind=kind.__name__, error=str(error))
                await self.clock.sleep(0.5)

    def _node(self, name: str) -> core.Node | None:
        return self._nodes.get(Key("", name))

    async def _tick_steadily(self) -> None:
        while True:
            self._send_all_due()
            self.tick()
            await self.clock.sleep(self.settings.allocation_interval_s)

    async def _tick_when_woken(self) -> None:
        while True:
            await self._wake.wait()
            await self.clock.sleep(0.01)
            self._wake.clear()
            self.tick()

    async def _heartbeat(self) -> None:
        while True:
            await self.clock.sleep(events.HEARTBEAT_S)
            for framework in list(self.roster.frameworks.values()):
                self.send(framework, events.HEARTBEAT)
            self.watchers.send(events.HEARTBEAT)

    def tick(self) -> None:
        """Whatever is due: timeouts and offers."""
        now = self.clock.monotonic()
        for framework in list(self.roster.frameworks.values()):
            if framework.until_s is not None and now >= framework.until_s:
                self.remove_framework(framework)
        for offer in self.offers.older_than(now - self.settings.offer_timeout_s):
            self.rescind(offer)
            self.refuse([offer], offer.amounts, DEFAULT_REFUSE_S)  # let others have a turn
        for agent in list(self._lost.values()):
            if agent.lost_s is not None and now - agent.lost_s >= self.settings.unreachable_after_s:
                self._mark_unreachable(agent)
        self.allocate()

    async def subscribe(self, framework: Framework, subscription: Subscription) -> None:
        """Let a framework in on a fresh stream, in place of any it had. Raises ApiError if it can't be kept."""
        again = framework.framework_id in self.roster.frameworks
        now = self.now()
        if again:
            framework.reregistered_time = now
        else:
            framework.registered_time = now
            self.roster.frameworks[framework.framework_id] = framework
        self._end_stream(framework, "Framework failed over")
        self.describe(framework)  # no offers before it is told that it is subscribed
        framework.subscription = subscription
        framework.until_s, framework.recovered, framework.disconnected_time = None, False, 0.0
        try:
            await self._save_now(lambda: objects.framework_object(framework))
        except ApiError:
            self.disconnect(framework, subscription)
            raise
        if framework.subscription is not subscription:
            return  # another stream of the same framework came meanwhile
        for offer in self.offers.of_framework(framework.framework_id):
            self.offers.release([self.offers.take(offer.offer_id)])
        self.allocator.revive(framework.framework_id)
        self.send(framework, events.subscribed(framework, self.info))
        self.send(framework, events.HEARTBEAT)
        self.describe(framework)
        for task in list(framework.tasks.values()):
            task.updates.send_again()
            self._send_due(framework, task)
        self.watchers.framework("FRAMEWORK_UPDATED" if again else "FRAMEWORK_ADDED", framework)
        self.wake()

    async def _save_now(self, wanted: Callable[[], Object]) -> None:
        try:
            await self.keeper.save(wanted())
        except Conflict:
            await self.keeper.save(wanted())

    def update_info(self, framework: Framework, info: Message, *, suppressed: set[str], constraints: Message) -> None:
        """Take over what a framework says of itself. Raises InvalidConstraints and changes nothing."""
        compiled = compile_constraints(constraints)
        gone = set(framework.roles) if framework.info else set()
        revived = framework.suppressed - suppressed
        framework.info, framework.suppressed = info, suppressed
        framework.constraints_message, framework.constraints = constraints, compiled
        framework.minimum = minimum_of(info)
        self.allocator.revive(framework.framework_id, revived)
        if framework.framework_id in self.roster.frameworks:
            self.describe(framework)
        for offer in self.offers.of_framework(framework.framework_id):
            if offer.role in gone - set(framework.roles):
                self.rescind(offer)

    def set_weight(self, role: str, weight: float) -> None:
        """Give a role another share; offers made by the old shares go back."""
        self._weigh(role, weight)
        obj = objects.weight_object(role, weight)
        self.keeper.save_soon(mesos.RoleWeight, obj.metadata.name, lambda: objects.weight_object(role, weight))
        for offer in self.offers.out():
            if offer.role == role:
                self.rescind(offer)
        self.wake()

    async def set_quotas(self, changes: Mapping[str, Quota], *, check: Callable[[], None] = lambda: None) -> None:
        """Guarantee and limit roles from now on, with an empty quota no more. Raises ApiError and changes nothing.

        So does `check`, which is asked when no other change is under way. What is set holds once it is kept. Offers
        that are out may be in the way: all go back.
        """
        async with self._quotas_lock:
            check()
            quotas = {role: quota for role, quota in {**self.quotas, **changes}.items() if quota}
            await self._save_now(lambda: objects.quotas_object(quotas))
            self.quotas = quotas
            for role, quota in changes.items():
                self.allocator.set_quota(role, quota)
        for offer in self.offers.out():
            self.rescind(offer)
        self.wake()

    def _weigh(self, role: str, weight: float) -> None:
        self.weights[role] = weight
        self.allocator.order.set_weight(role, weight)

    def save(self, framework: Framework) -> None:
        """Write a framework's object soon."""
        self.keeper.save_soon(mesos.Framework, framework.framework_id, lambda: objects.framework_object(framework))

    def _end_stream(self, framework: Framework, reason: str) -> None:
        old, framework.subscription = framework.subscription, None
        if old is not None:
            if reason:
                old.send(events.error(reason))
            old.finish()

    def disconnect(self, framework: Framework, subscription: Subscription) -> None:
        """A framework's stream ended; it has its failover timeout to come back."""
        if framework.subscription is not subscription:
            return
        framework.subscription = None
        self.describe(framework)
        framework.disconnected_time = self.now()
        framework.until_s = self.clock.monotonic() + framework.info.get("failover_timeout", 0.0)
        for offer in self.offers.of_framework(framework.framework_id):
            self.offers.release([self.offers.take(offer.offer_id)])
        self.save(framework)
        self.watchers.framework("FRAMEWORK_UPDATED", framework)
        self.wake()

    def remove_framework(self, framework: Framework) -> None:
        """End a framework and all its tasks."""
        framework.completed = True
        framework.unregistered_time, framework.until_s = self.now(), None
        for offer in self.offers.of_framework(framework.framework_id):
            self.offers.release([self.offers.take(offer.offer_id)])
        for task in list(framework.tasks.values()):
            if not task.ended:
                killed = Seen(task_status.KILLED, "Framework removed", "SOURCE_MASTER", "REASON_FRAMEWORK_REMOVED")
                self._note(task, killed, b"")
            self._done(framework, task)
            task.launch.delete = True
            self.keeper.see_to(task.launch)
        self.allocator.drop_framework(framework.framework_id)
        self._end_stream(framework, "")
        for forgotten in self.roster.complete(framework):
            self.keeper.save_soon(mesos.Framework, forgotten.framework_id, lambda: None)
        self.save(framework)
        self.watchers.framework_removed(framework)
        self.wake()

    def _recover_quotas(self, obj: mesos.RoleQuotas) -> None:
        self.keeper.adopt(obj)
        self.quotas = objects.read_quotas(obj)
        for role, quota in self.quotas.items():
            self.allocator.set_quota(role, quota)

    def _recover_framework(self, obj: mesos.Framework) -> None:
        self.keeper.adopt(obj)
        framework, constraints = objects.read_framework(obj)
        self.update_info(framework, framework.info, suppressed=framework.suppressed, constraints=constraints)
        if framework.completed:
            self.roster.complete(framework)
            return
        was_connected = not framework.disconnected_time
        framework.disconnected_time = framework.disconnected_time or self.now()
        left = framework.info.get("failover_timeout", 0.0) - (self.now() - framework.disconnected_time)
        framework.until_s = self.clock.monotonic() + max(left, self.settings.reconnection_s)
        self.roster.frameworks[framework.framework_id] = framework
        if was_connected:
            self.save(framework)
