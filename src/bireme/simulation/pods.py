"""The pods on hollow nodes: taken through the stages of their scripts, stopped and deleted when that is asked.

A handful of workers serve all pods of all nodes, by a queue of keys: no task belongs to a pod. What a pod does is
decided in `stages.py`; how its status looks, by the kubelet.
"""

import asyncio
import functools
from collections.abc import Callable
from datetime import datetime, timedelta

import orjson
import structlog

from bireme.aio.clock import Clock
from bireme.aio.workqueue import WorkQueue
from bireme.api import resources
from bireme.api.errors import ApiError, Conflict, NotFound
from bireme.api.kinds import core
from bireme.api.model import Quantity
from bireme.client.client import Client, Patch
from bireme.client.informer import Informer, Key, key_of
from bireme.kubelet.actual import Ending
from bireme.kubelet.admission import refusal
from bireme.kubelet.publisher import status_patch
from bireme.kubelet.status import TERMINAL, Surroundings, pod_status
from bireme.simulation.addresses import NoAddress, Pool
from bireme.simulation.claims import claimed, taken_up
from bireme.simulation.nodes import HollowNode, HollowNodes
from bireme.simulation.scripts import DEFAULT_RULES, Rules, Script, script_of
from bireme.simulation.stages import Life, Stage, advance, stopped
from bireme.simulation.told import Told

log = structlog.get_logger(__name__)

WORKERS = 8
ADDRESS_AGAIN_S = 1.0
STRATEGIC = {"content-type": Patch.STRATEGIC.value}
SPARE_RANGE = "100.64.0.0/10"
"""For pods whose node was given no range."""


# Most nodes are alike, and each is looked at for every pod that it gets.
@functools.lru_cache(256)
def _read(amounts: tuple[tuple[str, Quantity], ...]) -> resources.Resources:
    return resources.read(dict(amounts))


class HollowPods:
    """Runs the pods of `nodes`; see the module."""

    def __init__(
        self,
        client: Client,
        nodes: HollowNodes,
        *,
        clock: Clock,
        rules: Rules = DEFAULT_RULES,
        workers: int = WORKERS,
    ) -> None:
        self._client, self._nodes, self._clock, self._rules = client, nodes, clock, rules
        self._workers = workers
        self._queue: WorkQueue[Key] = WorkQueue(clock)
        self._lives: dict[str, Life] = {}
        self._told: dict[str, Told] = {}
        self._leaving: dict[str, datetime] = {}
        self._pools: dict[str, Pool] = {}
        self._given: dict[str, tuple[str, str]] = {}  # to which pod which address of which network
        # What has no node is nobody's here, and not worth the hearing.
        self.cache = Informer(
            client,
            core.Pod,
            clock=clock,
            fields="spec.nodeName!=",
            indexes={"node": lambda pod: (pod.spec.node_name,)},
        )
        self.cache.on_change(self._look)
        nodes.on_voice(self._resume)

    def _look(self, old: core.Pod | None, new: core.Pod | None) -> None:
        if new is not None and self._nodes.get(new.spec.node_name) is not None:
            self._queue.add(key_of(new))
        gone = old is not None and (new is None or new.metadata.uid != old.metadata.uid)
        if gone and old is not None:
            self._let_go(old)

    def _resume(self, node: str) -> None:
        """A node comes, or speaks again: what happened to its pods before is still to be done."""
        for pod in self.cache.by_index("node", node):
            self._queue.add(key_of(pod))

    async def run(self) -> None:
        """Play until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self.cache.run(), name="hollow pods: cache")
            tasks.create_task(self._queue.run(), name="hollow pods: delays")
            for number in range(self._workers):
                tasks.create_task(self._work(), name=f"hollow pods: worker {number}")

    async def _work(self) -> None:
        while True:
            key = await self._queue.take()
            try:
                await self._play(key)
                self._queue.forget(key)
            except (NotFound, Conflict):
                self._queue.forget(key)  # deleted, or replaced: the cache will tell
            except NoAddress as error:
                log.debug("hollow pod waits", pod=str(key), error=str(error))
                self._queue.add_after(key, ADDRESS_AGAIN_S)
            except ApiError as error:
                delay = self._queue.retry(key)
                log.info("hollow pod not played", pod=str(key), error=str(error), retry_s=delay)
            except Exception:  # one that cannot be played keeps nobody else from it
                delay = self._queue.retry(key)
                log.exception("hollow pod not played", pod=str(key), retry_s=delay)
            finally:
                self._queue.done(key)

    async def _play(self, key: Key) -> None:
        pod = self.cache.get(key)
        node = self._nodes.get(pod.spec.node_name) if pod is not None else None
        if pod is None or node is None or not node.lives:
            return
        now = self._clock.now()
        if pod.metadata.deletion_timestamp:
            await self._stop(pod, node, now)
        elif pod.status.phase not in TERMINAL:
            told = self._told.get(pod.metadata.uid)
            if told is None or not told.holds(pod, now):
                await self._go_on(key, pod, node, now)
            elif told.until is not None:
                # This look may have been asked for in place of a later one: the queue keeps the earliest alone.
                self._queue.add_after(key, (told.until - now).total_seconds())

    async def _go_on(self, key: Key, pod: core.Pod, node: HollowNode, now: datetime) -> None:
        """Take the pod through every stage that is due, and tell where it is."""
        uid = pod.metadata.uid
        life = self._lives.get(uid) or self._begin(pod, node, now)
        life, wait = advance(life, self._scripts(pod), now, policy=pod.spec.restart_policy or "Always")
        self._lives[uid] = life
        status = await self._show(pod, life, node, now)
        if wait is not None:
            self._queue.add_after(key, wait)
        if status.phase in TERMINAL:
            self._free(uid)  # its status keeps the address, which somebody else may have from now on
        if uid in self._lives:  # else it went meanwhile
            self._told[uid] = Told(pod, status, None if wait is None else now + timedelta(seconds=wait))

    def _begin(self, pod: core.Pod, node: HollowNode, now: datetime) -> Life:
        refused = self._refusal(pod, node)
        if refused is not None:
            return Life(Stage.ENDED, now, refused=refused)
        if pod.status.pod_ip and (earlier := taken_up(pod, now)) is not None:
            if not pod.spec.host_network:
                self._address(pod, earlier.address)
            return earlier
        address = node.settings.node_ip if pod.spec.host_network else self._address(pod)
        return Life(Stage.CREATING, now, address=address)

    def _refusal(self, pod: core.Pod, node: HollowNode) -> Ending | None:
        """Why the node can't take the pod. What a scheduler placed was counted by it, and only looked at alone."""
        placed = any(c.type == "PodScheduled" and c.status == "True" for c in pod.status.conditions)
        there = () if placed else self.cache.by_index("node", pod.spec.node_name)
        beside = [
            other for other in there if other.metadata.uid in self._lives and other.status.phase not in TERMINAL
        ]
        known = self._nodes.cache.get(Key("", node.name))
        room = known.status.allocatable if known else node.machine.capacity
        return refusal(pod, beside, _read(tuple(room.items())))

    def _scripts(self, pod: core.Pod) -> Callable[[Life], Script]:
        """The script of each run and try, drawn once."""
        drawn: dict[tuple[int, int], Script] = {}

        def script(life: Life) -> Script:
            run = (life.attempt, life.pulls)
            if run not in drawn:
                drawn[run] = self._script(pod, life)
            return drawn[run]

        return script

    def _script(self, pod: core.Pod, life: Life | None) -> Script:
        return script_of(pod, self._rules, run=life.attempt if life else 0, tries=life.pulls if life else 0)

    async def _stop(self, pod: core.Pod, node: HollowNode, now: datetime) -> None:
        """Let it stop in its time, or in the time it is given, and delete it."""
        uid = pod.metadata.uid
        life = self._lives.get(uid)
        script = self._script(pod, life)
        since = self._leaving.setdefault(uid, now)
        given = float(pod.metadata.deletion_grace_period_seconds or 0)
        left = min(script.stop_s, given) - (now - since).total_seconds()
        if left > 0:
            self._queue.add_after(key_of(pod), left)
            return
        if pod.metadata.finalizers and life is not None and pod.status.phase not in TERMINAL:
            # Somebody waits to see how it ended before he lets it go.
            await self._show(pod, stopped(life, now, script.exit_code), node, now, leaving=True)
        if given or not pod.metadata.finalizers:
            await self._client.delete(
                core.Pod, pod.metadata.name, namespace=pod.metadata.namespace, grace_period_s=0, uid=uid
            )

    async def _show(
        self, pod: core.Pod, life: Life, node: HollowNode, now: datetime, *, leaving: bool = False
    ) -> core.PodStatus:
        """Tell how it is, where that is not known."""
        claim = claimed(pod, life, leaving=leaving)
        around = Surroundings(node.settings.node_ip, claim.waiting)
        status = pod_status(pod, claim.actual, claim.observed, now, around)
        if status == pod.status:
            return pod.status
        body = {"metadata": {"uid": pod.metadata.uid}, "status": status_patch(pod.status, status)}
        meta = pod.metadata
        # The answer is not looked at: the watch brings it too.
        path = f"/api/v1/namespaces/{meta.namespace}/pods/{meta.name}/status"
        await self._client.request("PATCH", path, headers=STRATEGIC, body=orjson.dumps(body))
        return status

    def _address(self, pod: core.Pod, wanted: str = "") -> str:
        """An address of the node's range for the pod, or the one that it has already."""
        node = self._nodes.cache.get(Key("", pod.spec.node_name))
        network = (node.spec.pod_cidr if node is not None else "") or SPARE_RANGE
        pool = self._pools.get(network)
        if pool is None:
            pool = self._pools[network] = self._new_pool(network, pod.spec.node_name)
        self._free(pod.metadata.uid)
        if wanted:
            pool.keep(wanted)
        address = wanted or pool.take()
        self._given[pod.metadata.uid] = network, address
        return address

    def _new_pool(self, network: str, node: str) -> Pool:
        """The addresses of a network, without those that pods have from an earlier life of this process."""
        pool = Pool(network)
        for pod in self.cache.items() if network == SPARE_RANGE else self.cache.by_index("node", node):
            uid, status = pod.metadata.uid, pod.status
            if (
                status.pod_ip
                and status.phase not in TERMINAL
                and not pod.spec.host_network
                and uid not in self._given
            ):
                pool.keep(status.pod_ip)
                self._given[uid] = network, status.pod_ip
        return pool

    def _free(self, uid: str) -> None:
        """Give the pod's address back, if it has one still."""
        network, address = self._given.pop(uid, ("", ""))
        if network:
            self._pools[network].give_back(address)

    def _let_go(self, pod: core.Pod) -> None:
        uid = pod.metadata.uid
        self._free(uid)
        self._leaving.pop(uid, None)
        self._told.pop(uid, None)
        self._lives.pop(uid, None)
