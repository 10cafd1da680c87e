"""Notice nodes that fall silent: tell it in their status, mark their pods, and taint them."""

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta

import msgspec

from bireme.api.errors import NotFound
from bireme.api.kinds import coordination, core
from bireme.api.times import rfc3339
from bireme.client.informer import Key
from bireme.client.parts import SPEC
from bireme.controllers import node_health, pods
from bireme.controllers.changes import Merge, Update
from bireme.controllers.controller import Context, Controller, Watch, nobody

LEASES = "kube-node-lease"
BY_NODE = "pod/node"
HELD_BACK_LOOK_AGAIN = timedelta(seconds=5)


def by_node(pod: core.Pod) -> Iterable[str]:
    """Index values: the node that the pod is bound to."""
    return (pod.spec.node_name,) if pod.spec.node_name else ()


@dataclass(slots=True)
class Heard:
    """The last signs of life of a node, and when (monotonic) we saw them."""

    lease: str
    beat: str
    at: float


class NodeLifecycleController(Controller):
    """Notice nodes that fall silent.

    Reads Nodes, their Leases and Pods; writes Node status and taints, and the Ready condition of Pods.
    """

    name = "node-lifecycle-controller"
    workers = 4
    watches = (
        Watch(core.Node),
        Watch(coordination.Lease, keys=nobody),
        Watch(core.Pod, keys=nobody),
    )

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.cache.index(core.Pod, BY_NODE, by_node, reads=SPEC)
        self._heard: dict[str, Heard] = {}
        self._fine: dict[str, core.Node] = {}  # what was seen of a node of which there was nothing to write
        self._counted: dict[str, tuple[str, bool]] = {}
        self._zones: Counter[tuple[str, bool]] = Counter()
        self._turnstiles: defaultdict[str, node_health.Turnstile] = defaultdict(node_health.Turnstile)
        self.cache.of(core.Node).on_change(self._count)
        self.cache.of(coordination.Lease).on_change(self._renewed)

    async def reconcile(self, key: Key) -> timedelta | None:
        node = self.cache.get(core.Node, key)
        if node is None:
            self._heard.pop(key.name, None)
            self._fine.pop(key.name, None)
            return None
        left = self._time_left(node)
        if left > 0 and self._fine.get(key.name) is node:
            return timedelta(seconds=left)
        if left <= 0:
            node = await self._silence(node)
        await self._mark_pods(node)
        again = await self._taint(node)
        if node_health.readiness(node) == "True" and again is None:
            self._fine[key.name] = node
        waits = [item for item in (timedelta(seconds=left) if left > 0 else None, again) if item is not None]
        return min(waits, default=None)

    def _renewed(self, old: coordination.Lease | None, new: coordination.Lease | None) -> None:
        if new is not None and new.metadata.namespace == LEASES:
            self._hear(new.metadata.name, lease=new.spec.renew_time)

    def _hear(self, name: str, *, lease: str | None = None, beat: str | None = None) -> Heard:
        heard = self._heard.get(name)
        if heard is None:
            heard = self._heard[name] = Heard("", "", self.clock.monotonic())
        fresh = Heard(heard.lease if lease is None else lease, heard.beat if beat is None else beat, heard.at)
        if fresh != heard:
            fresh.at = self.clock.monotonic()
            self._heard[name] = fresh
        return fresh

    def _time_left(self, node: core.Node) -> float:
        """Seconds until the node counts as silent."""
        ready = node_health.ready_condition(node)
        heard = self._hear(node.metadata.name, beat=ready.last_heartbeat_time if ready else None)
        grace = self.settings.node_grace_s if ready else self.settings.node_startup_grace_s
        return heard.at + grace - self.clock.monotonic()

    async def _silence(self, node: core.Node) -> core.Node:
        fresh = node_health.silenced(node, now=self.clock.now())
        if fresh.status == node.status:
            return node
        before = node_health.readiness(node)
        made = await self.client.update(fresh, subresource="status")
        if before == "True":
            text = f"Node {node.metadata.name} status is now: NodeNotReady"
            self.events.event(node, "Normal", "NodeNotReady", text)
        return made

    async def _mark_pods(self, node: core.Node) -> None:
        """Pods of a node that stopped being ready are not ready either, at once: services leave them out."""
        ready = node_health.ready_condition(node)
        if ready is None or ready.status == "True":
            return
        for pod in self.cache.find(core.Pod, BY_NODE, node.metadata.name):
            theirs = pods.condition(pod, "Ready")
            if theirs is None or theirs.status != "True":
                continue
            if ready.status == "False" and theirs.last_transition_time > ready.last_transition_time:
                continue  # the kubelet is alive, and found the pod ready since
            conditions = [
                msgspec.structs.replace(
                    item,
                    status="False",
                    reason="NodeNotReady",
                    last_transition_time=rfc3339(self.clock.now()),
                )
                if item.type == "Ready"
                else item
                for item in pod.status.conditions
            ]
            status = msgspec.structs.replace(pod.status, conditions=conditions)
            try:
                await self.carry_out((Update(msgspec.structs.replace(pod, status=status), subresource="status"),))
            except NotFound:
                continue
            self.events.event(pod, "Warning", "NodeNotReady", "Node is not ready")

    async def _taint(self, node: core.Node) -> timedelta | None:
        evict, again = self._may_evict(node)
        taints = node_health.wanted_taints(node, evict=evict, now=self.clock.now())
        if taints != node.spec.taints:
            trees = [msgspec.to_builtins(item) for item in taints]
            await self.carry_out((Merge(node, {"spec": {"taints": trees or None}}, exact=True),))
        return again

    def _may_evict(self, node: core.Node) -> tuple[bool, timedelta | None]:
        """Whether pods may be driven off the node now, and when to ask again if not."""
        if node_health.readiness(node) in ("True", ""):
            return False, None
        zones = {zone for zone, _ in self._zones}
        figures = [(self._zones[zone, True], self._zones[zone, False]) for zone in zones]
        zone = node_health.zone_of(node)
        rate = node_health.eviction_rate(figures, (self._zones[zone, True], self._zones[zone, False]), self.settings)
        if all(not ready for ready, _ in figures):
            return False, HELD_BACK_LOOK_AGAIN  # all are silent: it is we who are cut off
        if node_health.is_driven_off(node):
            return True, None
        wait = self._turnstiles[zone].wait(rate, now=self.clock.monotonic())
        if wait is None:
            return False, HELD_BACK_LOOK_AGAIN
        return wait == 0, timedelta(seconds=wait) if wait else None

    def _count(self, old: core.Node | None, new: core.Node | None) -> None:
        """Keep the numbers of ready and silent nodes of each zone; `old` may be an earlier node of the name."""
        name = (new or old or core.Node()).metadata.name
        before = self._counted.pop(name, None)
        if before is not None:
            self._zones[before] -= 1
            if not self._zones[before]:
                del self._zones[before]
        if new is not None and node_health.readiness(new):
            now = node_health.zone_of(new), node_health.readiness(new) == "True"
            self._counted[name] = now
            self._zones[now] += 1
