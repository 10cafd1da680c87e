"""Take away pods that nobody else will: ended ones beyond a number, those of nodes that are gone, and such.

Every so often it goes through all pods, a few thousand at a time so that others get their turn.
"""

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import timedelta

import msgspec

from bireme.api.errors import NotFound
from bireme.api.kinds import core
from bireme.api.times import rfc3339
from bireme.client.informer import Key
from bireme.controllers import node_health, pods, taints
from bireme.controllers.changes import Delete, Update
from bireme.controllers.controller import ALL, Context, Controller, Watch, nobody
from bireme.controllers.taint_eviction import disrupted

AT_A_TIME = 2000


@dataclass(slots=True)
class Sorted:
    """Pods by why they may have to go."""

    ended: list[core.Pod] = field(default_factory=list)
    homeless: list[core.Pod] = field(default_factory=list)
    never_bound: list[core.Pod] = field(default_factory=list)
    out_of_service: list[core.Pod] = field(default_factory=list)


def sort(found: Sorted, some: Iterable[core.Pod], *, nodes: set[str], out_of_service: set[str]) -> None:
    """Put pods where they belong: one that needs no care, nowhere."""
    for pod in some:
        going = bool(pod.metadata.deletion_timestamp)
        home = pod.spec.node_name
        if home and home not in nodes:
            found.homeless.append(pod)
        elif going and not home:
            found.never_bound.append(pod)
        elif going and home in out_of_service:
            found.out_of_service.append(pod)
        elif not going and pods.is_ended(pod):
            found.ended.append(pod)


def surplus(ended: list[core.Pod], keep: int) -> list[core.Pod]:
    """The oldest of the ended pods, down to the number that is kept; none are deleted when that is 0."""
    if keep <= 0 or len(ended) <= keep:
        return []
    oldest = sorted(
        ended, key=lambda pod: (pod.metadata.creation_timestamp, pod.metadata.namespace, pod.metadata.name)
    )
    return oldest[: len(ended) - keep]


class PodGarbageCollector(Controller):
    """Take away pods that nobody else will.

    Reads Pods and Nodes; marks Pods as failed and deletes them without grace.
    """

    name = "pod-garbage-collector-controller"
    workers = 1
    watches = (
        Watch(core.Node, keys=lambda cache, old, new: (ALL,) if new is None else ()),
        Watch(core.Pod, keys=nobody),
    )

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._missing: dict[str, float] = {}
        self.wake(ALL)

    async def reconcile(self, key: Key) -> timedelta | None:
        found = await self._sorted()
        for pod in surplus(found.ended, self.settings.ended_pods_kept):
            await self._take_away(pod, "")
        for pod in found.never_bound:
            await self._take_away(pod, "")
        for pod in found.out_of_service:
            await self._take_away(pod, "PodGC: deleting pod of a node out of service")
        gone = await self._gone_nodes({pod.spec.node_name for pod in found.homeless})
        for pod in found.homeless:
            if pod.spec.node_name in gone:
                await self._take_away(pod, "PodGC: node no longer exists")
        return timedelta(seconds=self.settings.pod_collection_s)

    async def _sorted(self) -> Sorted:
        nodes = list(self.cache.items(core.Node))
        names = {node.metadata.name for node in nodes}
        out = {
            node.metadata.name
            for node in nodes
            if node_health.readiness(node) != "True"
            and any(taint.key == taints.OUT_OF_SERVICE for taint in node.spec.taints)
        }
        found = Sorted()
        every = list(self.cache.items(core.Pod))
        for start in range(0, len(every), AT_A_TIME):
            sort(found, every[start : start + AT_A_TIME], nodes=names, out_of_service=out)
            await asyncio.sleep(0)
        return found

    async def _gone_nodes(self, missing: set[str]) -> set[str]:
        """Of the nodes that we don't see, those that have been away for a while and that the server doesn't know."""
        now = self.clock.monotonic()
        self._missing = {name: self._missing.get(name, now) for name in missing}
        gone = set()
        for name, since in self._missing.items():
            if now - since < self.settings.pod_quarantine_s:
                continue
            try:
                await self.client.get(core.Node, name)
            except NotFound:
                gone.add(name)
        return gone

    async def _take_away(self, pod: core.Pod, message: str) -> None:
        wanted = pod
        if message:
            stamp = rfc3339(self.clock.now())
            wanted = disrupted(pod, reason="DeletionByPodGC", message=message, stamp=stamp)
        if not pods.is_ended(pod):
            wanted = msgspec.structs.replace(wanted, status=msgspec.structs.replace(wanted.status, phase="Failed"))
        try:
            if wanted is not pod:
                await self.carry_out((Update(wanted, subresource="status"),))
            await self.carry_out((Delete(pod, grace_period_s=0),))
        except NotFound:
            return
