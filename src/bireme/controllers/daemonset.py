"""Keep one pod of each DaemonSet on every node that it is for.

Reads DaemonSets, Nodes, the sets' Pods and ControllerRevisions; creates and deletes Pods, keeps the history; writes
the status of DaemonSets. Which nodes and which pods is in `daemon_plan`.
"""

import functools
from collections import defaultdict
from collections.abc import Iterable
from datetime import datetime, timedelta

import msgspec

from bireme.api.kinds import apps, core
from bireme.client.informer import Key, key_of
from bireme.controllers import acting, changes, daemon_plan, histories, ownership, pods, replicas
from bireme.controllers.controller import Context, Watch, owner_keys
from bireme.controllers.informers import Informers
from bireme.controllers.own_writes import OwnWrites
from bireme.controllers.selecting import SELECTS, adopters, filed_selector
from bireme.controllers.template_history import KeepsHistory

AT_ONCE = 64
# A look at a set costs about this much for each node.
REST_PER_NODE_S = 50e-6
REST_FROM = 200
FAILED_AGAIN_S = 1.0
FAILED_AGAIN_MOST_S = 900.0


def would_adopt(cache: Informers, old: core.Pod | None, new: core.Pod | None) -> Iterable[Key]:
    """DaemonSets to look at after a change of a pod: its controller, or those that would adopt it."""
    if ownership.is_anothers(old, new, kind="DaemonSet"):
        return ()
    return owner_keys(apps.DaemonSet, old, new) | adopters(cache, apps.DaemonSet, new)


def of_node(cache: Informers, old: core.Node | None, new: core.Node | None) -> Iterable[Key]:
    """All DaemonSets, when a node comes, goes, or is another to them than before."""
    if old is not None and new is not None and _shows(old) == _shows(new):
        return ()
    return [key_of(daemons) for daemons in cache.items(apps.DaemonSet)]


def _shows(node: core.Node) -> tuple[object, ...]:
    return node.metadata.uid, node.metadata.labels, node.spec.taints


def _filed(daemons: apps.DaemonSet) -> Iterable[str]:
    return filed_selector(daemons.metadata.namespace, daemons.spec.selector)


class DaemonSetController(KeepsHistory[apps.DaemonSet]):
    """Keep each DaemonSet's pods."""

    name = "daemonset-controller"
    watches = (
        Watch(apps.DaemonSet),
        Watch(core.Pod, keys=would_adopt),
        Watch(core.Node, keys=of_node),
        Watch(apps.ControllerRevision, owner=apps.DaemonSet),
    )

    def __init__(self, context: Context) -> None:
        context.informers.index(apps.DaemonSet, SELECTS, _filed)
        super().__init__(context)
        self._own = OwnWrites(self.cache.of(core.Pod))
        self._ended: dict[tuple[str, str], tuple[int, float]] = {}

    async def reconcile(self, key: Key) -> timedelta | None:
        daemons = self.cache.get(apps.DaemonSet, key)
        if daemons is None:
            self.rest(key, 0)
            return None  # deleted: the garbage collector sees to its pods
        there = await self.stand(daemons)
        if there is None:
            return None
        nodes = self.cache.items(core.Node)
        self.rest(key, len(nodes) * REST_PER_NODE_S if len(nodes) >= REST_FROM else 0)
        await self._own.look_up(self.client, daemons.metadata.uid, before=self.unseen_since)
        owned = self._own.laid_over(daemons.metadata.uid, await self.claim(daemons, core.Pod))
        view = self._view(daemons, owned, there)
        if daemons.metadata.deletion_timestamp:
            return None
        await self._report(daemons, daemon_plan.status(view, daemons))
        again = await self._act(daemons, daemon_plan.plan(view), view)
        live = {view.hash, *(pod.metadata.labels.get(histories.HASH, "") for pod in owned)}
        await self.forget(daemons, there, live)
        if self._own.waits(daemons.metadata.uid):
            again.append(timedelta(seconds=self.settings.unseen_s))
        again += self._soon(owned, daemons, view.now)
        return min(again, default=None)

    def _view(
        self, daemons: apps.DaemonSet, owned: Iterable[core.Pod], there: histories.Standing
    ) -> daemon_plan.View:
        wanted, allowed = daemon_plan.places(daemons.spec.template.spec, self.cache.items(core.Node))
        by_node: dict[str, list[core.Pod]] = defaultdict(list)
        for pod in owned:
            by_node[daemon_plan.node_of(pod)].append(pod)
        return daemon_plan.View(
            spec=daemons.spec,
            wanted=wanted,
            allowed=allowed,
            pods=by_node,
            hash=histories.hash_of(there.wanted),
            now=self.clock.now(),
        )

    @staticmethod
    def _soon(owned: Iterable[core.Pod], daemons: apps.DaemonSet, now: datetime) -> list[timedelta]:
        """When ready pods become available by the mere passing of time."""
        least = daemons.spec.min_ready_seconds
        if not least:
            return []
        times = (pods.available_at(pod, min_ready_s=least) for pod in owned)
        return [at - now for at in times if at is not None and at > now]

    async def _act(self, daemons: apps.DaemonSet, plan: daemon_plan.Plan, view: daemon_plan.View) -> list[timedelta]:
        for pod in plan.delete:
            await self._delete(daemons, pod)
        again = [wait for pod in plan.ended if (wait := await self._replace(daemons, pod)) is not None]
        template = [daemon_plan.pod_for(daemons, node, hash=view.hash) for node in plan.create[: replicas.BURST]]
        made = await acting.in_batches(template, functools.partial(self._create, daemons), limit=AT_ONCE)
        if made.error is not None:
            self.events.event(daemons, "Warning", "FailedCreate", f"Error creating: {made.error}")
            raise made.error
        if len(plan.create) > replicas.BURST:
            again.append(timedelta(0))
        return again

    async def _create(self, daemons: apps.DaemonSet, pod: core.Pod) -> None:
        made = await self.client.create(pod)
        self._own.made(daemons.metadata.uid, made, at=self.clock.monotonic())
        self.events.event(daemons, "Normal", "SuccessfulCreate", f"Created pod: {made.metadata.name}")

    async def _delete(self, daemons: apps.DaemonSet, pod: core.Pod) -> None:
        if await self.delete_once(pod):
            self.events.event(daemons, "Normal", "SuccessfulDelete", f"Deleted pod: {pod.metadata.name}")

    async def _replace(self, daemons: apps.DaemonSet, pod: core.Pod) -> timedelta | None:
        """Delete a pod that ended, so that it is made anew; after each failure on a node one waits twice as long."""
        node = daemon_plan.node_of(pod)
        place = (daemons.metadata.uid, node)
        count, last = self._ended.get(place, (0, float("-inf")))
        now = self.clock.monotonic()
        wait_s = min(FAILED_AGAIN_S * 2**count, FAILED_AGAIN_MOST_S) if count else 0.0
        if last + wait_s > now:
            return timedelta(seconds=last + wait_s - now)
        self._ended[place] = (0 if now - last > 2 * FAILED_AGAIN_MOST_S else count + 1, now)
        where = f"{pod.metadata.namespace}/{pod.metadata.name} on node {node}"
        kind = pod.status.phase
        said = f"Found {kind.lower()} daemon pod {where}, will try to {'kill' if kind == 'Failed' else 'delete'} it"
        about = ("Warning", "FailedDaemonPod") if kind == "Failed" else ("Normal", "SucceededDaemonPod")
        self.events.event(daemons, *about, said)
        await self._delete(daemons, pod)
        return None

    async def _report(self, daemons: apps.DaemonSet, status: apps.DaemonSetStatus) -> None:
        if status != daemons.status:
            fresh = msgspec.structs.replace(daemons, status=status)
            await self.carry_out((changes.Update(fresh, subresource="status"),))
