"""Drive pods off nodes with NoExecute taints, as far and as soon as their tolerations let them be driven."""

from collections.abc import Iterable
from datetime import timedelta

import msgspec

from bireme.api.errors import NotFound
from bireme.api.kinds import core
from bireme.api.times import parse_time, rfc3339
from bireme.client.informer import Key
from bireme.client.parts import SPEC
from bireme.controllers import pods, taints
from bireme.controllers.changes import Delete, Update
from bireme.controllers.controller import Context, Controller, Watch
from bireme.controllers.informers import Informers
from bireme.controllers.node_lifecycle import BY_NODE, by_node

DISRUPTION = "DisruptionTarget"


def tainted_node(cache: Informers, old: core.Pod | None, new: core.Pod | None) -> Iterable[Key]:
    """The node of a pod that came to it, if the node drives pods off."""
    if new is None or not new.spec.node_name or (old is not None and _stays(old.spec, new.spec)):
        return ()
    key = Key("", new.spec.node_name)
    node = cache.get(core.Node, key)
    return (key,) if node is not None and drives_off(node) else ()


def _stays(old: core.PodSpec, new: core.PodSpec) -> bool:
    return old.node_name == new.node_name and old.tolerations == new.tolerations


def drives_off(node: core.Node) -> bool:
    """The node has a NoExecute taint."""
    return any(item.effect == taints.NO_EXECUTE for item in node.spec.taints)


def disrupted(pod: core.Pod, *, reason: str, message: str, stamp: str) -> core.Pod:
    """The pod with the condition that says why it is taken away."""
    conditions = [item for item in pod.status.conditions if item.type != DISRUPTION]
    conditions.append(
        core.PodCondition(type=DISRUPTION, status="True", reason=reason, message=message, last_transition_time=stamp)
    )
    return msgspec.structs.replace(pod, status=msgspec.structs.replace(pod.status, conditions=conditions))


class TaintEvictionController(Controller):
    """Drive pods off nodes with NoExecute taints.

    Reads Nodes and Pods; deletes Pods and writes their condition DisruptionTarget. Keys are nodes.
    """

    name = "taint-eviction-controller"
    workers = 8
    watches = Watch(core.Node), Watch(core.Pod, keys=tainted_node, reads=SPEC)

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.cache.index(core.Pod, BY_NODE, by_node, reads=SPEC)

    async def reconcile(self, key: Key) -> timedelta | None:
        node = self.cache.get(core.Node, key)
        if node is None or not drives_off(node):
            return None
        now = self.clock.now()
        waits = []
        for pod in self.cache.find(core.Pod, BY_NODE, key.name):
            if pod.metadata.deletion_timestamp or pods.is_ended(pod):
                continue
            came = parse_time(pod.metadata.creation_timestamp) if pod.metadata.creation_timestamp else now
            until = taints.stays_until(node.spec.taints, pod.spec.tolerations, since=came)
            if until is None:
                continue
            if until <= now:
                await self._drive_off(pod)
            else:
                waits.append(until - now)
        return min(waits, default=None)

    async def _drive_off(self, pod: core.Pod) -> None:
        self.events.event(
            pod,
            "Normal",
            "TaintManagerEviction",
            f"Marking for deletion Pod {pod.metadata.namespace}/{pod.metadata.name}",
        )
        marked = disrupted(
            pod,
            reason="DeletionByTaintManager",
            message="Taint manager: deleting due to NoExecute taint",
            stamp=rfc3339(self.clock.now()),
        )
        try:
            await self.carry_out((Update(marked, subresource="status"), Delete(pod)))
        except NotFound:
            return
