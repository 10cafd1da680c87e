"""What happens to pods, nodes, namespaces and budgets: how the world is now, and whom of those that wait it may help.

Changes are gathered and told to the queue between decisions. Pods are booked whoever placed them; nobody is told
twice of one that the scheduler placed itself.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from bireme.aio.clock import Clock
from bireme.api.kinds import core, policy
from bireme.api.kinds.scheduling_v1alpha3 import PodGroup
from bireme.client.informer import key_of
from bireme.scheduler.caches import Caches
from bireme.scheduler.cycle import Cycle
from bireme.scheduler.groups_kinds import INDEX, GroupKey, group_of
from bireme.scheduler.interface import NOTHING, Lack
from bireme.scheduler.queue import SchedulingQueue, State
from bireme.scheduler.twins import Changes, helped

ENDED = ("Succeeded", "Failed")


class Following:
    """See the module. `stir` is called when there may be something to do."""

    def __init__(
        self, caches: Caches, cycle: Cycle, queue: SchedulingQueue, clock: Clock, *, stir: Callable[[], None]
    ) -> None:
        self._cycle, self._queue, self._clock, self._stir = cycle, queue, clock, stir
        self._world = cycle.world
        self._changes = Changes()
        self._displacing = False
        self.gated: set[str] = set()
        caches.pods.on_change(self._pod_changed)
        caches.nodes.on_change(self._node_changed)
        caches.namespaces.on_change(self._namespace_changed)
        caches.budgets.on_change(self._budget_changed)
        self._world.ledger.on_release(self._released)
        self._world.ranks.on_change(self._ranked)
        self._pods = caches.pods

    def tell_queue(self) -> None:
        """Wake the pods that the changes since the last time may help."""
        changes, self._changes = self._changes, Changes()
        if changes:
            world, nominated = self._world, self._cycle.nominated
            self._queue.wake(
                changes.lack,
                now=self._clock.monotonic(),
                helps=lambda waiting: helped(waiting, changes, world, nominated),
            )

    @property
    def has_news(self) -> bool:
        """The queue has not been told of all that changed."""
        return bool(self._changes)

    def is_ours(self, pod: core.Pod) -> bool:
        """Whether the pod is to be placed, by one of our profiles."""
        return (
            not pod.spec.node_name
            and not pod.metadata.deletion_timestamp
            and not pod.spec.scheduling_gates
            and pod.status.phase not in ENDED
            and pod.spec.scheduler_name in self._cycle.names
        )

    @contextmanager
    def unheard(self) -> Iterator[None]:
        """What is given back within the block was only tried on: it helps nobody."""
        self._displacing = True
        try:
            yield
        finally:
            self._displacing = False

    def assumed(self, uid: str) -> None:
        """The pod was booked where it is to go."""
        self._changes.came(self._world.placed[uid])

    def displace(self, uid: str) -> None:
        """The pod is not on its node, or does not go there after all."""
        placed = self._world.placed.get(uid)
        if placed is not None:
            self._changes.left(placed)
            self._stir()
        with self.unheard():
            self._world.displace(uid)

    def forgo(self, pod: core.Pod) -> bool:
        """No room is being made for the pod any more, which may help others. Gives whether some was."""
        nominated, uid = self._cycle.nominated, pod.metadata.uid
        if not nominated.node_of(uid):
            return False
        nominated.remove(uid)
        if group_of(pod) is not None:
            self._changes.lack |= Lack.GROUP  # the others of its group may be waiting for as little
        self._released()
        return True

    def _pod_changed(self, old: core.Pod | None, new: core.Pod | None) -> None:
        if old is not None and (new is None or new.metadata.uid != old.metadata.uid):
            self._gone(old)
            old = None
        if new is None:
            return
        if new.spec.node_name:
            self._assigned(new)
            return
        if new.spec.scheduling_gates:
            self.gated.add(new.metadata.uid)
        elif self.gated:
            self.gated.discard(new.metadata.uid)
        if self.is_ours(new):
            if new.status.nominated_node_name != (old.status.nominated_node_name if old else ""):
                self._cycle.nominated.set(new, new.status.nominated_node_name)
            if old is None or _wishes(old) != _wishes(new):
                self._queue.add(key_of(new), priority=self._world.ranks.priority(new), now=self._clock.monotonic())
                self._stir()
        else:
            self._unqueue(new)

    def _assigned(self, pod: core.Pod) -> None:
        uid = pod.metadata.uid
        self._queue.remove(key_of(pod))
        self._cycle.nominated.remove(uid)
        if pod.status.phase in ENDED:
            self._gone(pod)
            return
        old = self._world.placed.get(uid)
        before = (old.labels, old.demand, old.started, old.leaving) if old is not None else None
        self._world.place(pod, pod.spec.node_name)
        now = self._world.placed[uid]
        if before is None or before[0] is not now.labels or before[3] != now.leaving:
            self._changes.came(now)
            if before is not None:
                self._changes.labels.add(before[0])  # those that kept away from it as it was
        if before is not None and before[1].load.amounts != now.demand.load.amounts:
            self._changes.left(now)  # it was resized: there may be more room
        elif before is not None and before[2] != now.started and now.row >= 0:
            self._cycle.preempting.started(now.row)
        if self._changes:
            self._stir()

    def _ranked(self, namespace: str, group: str) -> None:
        """A group's pods have another priority than before."""
        for pod in self._pods.by_index(INDEX, str(GroupKey(PodGroup.__gvk__[0], namespace, group))):
            self._world.rank_anew(pod)
            if self.is_ours(pod):
                priority = self._world.ranks.priority(pod)
                self._queue.add(key_of(pod), priority=priority, now=self._clock.monotonic())
                self._stir()

    def _gone(self, pod: core.Pod) -> None:
        uid = pod.metadata.uid
        self._unqueue(pod)
        self.gated.discard(uid)
        self._cycle.preempting.doomed.discard(uid)
        if uid in self._world.placed:
            self._changes.lack |= _held_beside(pod)
        self.displace(uid)

    def _unqueue(self, pod: core.Pod) -> None:
        """The pod does not wait any more; what was meant for it may help another."""
        waiting = self._queue.remove(key_of(pod))
        woken = waiting is not None and waiting.attempts and waiting.state is not State.PARKED
        if not self.forgo(pod) and woken:
            self._released()

    def _released(self) -> None:
        """Something was given back (an offer was declined): pods short of it are worth a try."""
        if not self._displacing:
            self._changes.offer_ended()
            self._stir()

    def _node_changed(self, old: core.Node | None, new: core.Node | None) -> None:
        if new is not None:
            changed = self._world.set_node(new)
            if old is None:
                self._cycle.nominated.node_came(new.metadata.name)
            if changed:
                self._changes.node_changed(self._world.nodes.row(new.metadata.name))
                self._stir()
        elif old is not None:
            self._cycle.nominated.forget_node(old.metadata.name)
            self._world.remove_node(old.metadata.name)
            self._changes.domains_changed()
            self._stir()

    def _namespace_changed(self, old: core.Namespace | None, new: core.Namespace | None) -> None:
        space = new or old
        if space is not None and (old is None or new is None or old.metadata.labels != new.metadata.labels):
            self._world.set_namespace(space.metadata.name, new.metadata.labels if new is not None else None)
            self._changes.domains_changed()
            self._stir()

    def _budget_changed(self, old: policy.PodDisruptionBudget | None, new: policy.PodDisruptionBudget | None) -> None:
        budget = new or old
        if budget is not None:
            self._cycle.preempting.set_budget(key_of(budget), new)


def _held_beside(pod: core.Pod) -> Lack:
    """What the pod had, beside room, that another may want."""
    volumes = any(each.persistent_volume_claim or each.ephemeral for each in pod.spec.volumes)
    return (Lack.VOLUMES if volumes else NOTHING) | (Lack.DEVICES if pod.spec.resource_claims else NOTHING)


def _wishes(pod: core.Pod) -> tuple[object, ...]:
    """What of a waiting pod, once changed, makes another try worth while."""
    spec = pod.spec
    return (
        pod.metadata.uid,
        pod.metadata.labels,
        spec.scheduling_gates,
        spec.node_selector,
        spec.affinity,
        spec.tolerations,
        spec.priority,
        [each.resources for each in (*spec.containers, *spec.init_containers)],
    )
