"""The rules beside the templates, over one set of caches: groups of pods, node features, volumes, devices."""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from bireme.aio.clock import Clock
from bireme.api.kinds import core
from bireme.client.client import Client
from bireme.client.informer import Informer
from bireme.ledger.columns import Columns
from bireme.scheduler.claims import DynamicResources
from bireme.scheduler.claims_binding import BINDING_TIMEOUT_S
from bireme.scheduler.claims_cache import Devices
from bireme.scheduler.extender_settings import Extender
from bireme.scheduler.extending import Extending
from bireme.scheduler.features import NodeDeclaredFeatures
from bireme.scheduler.groups import PodGroups
from bireme.scheduler.interface import Helps, Lack, Mask, Move, Rule
from bireme.scheduler.node_sets import NodeSets
from bireme.scheduler.scheduler import Scheduler
from bireme.scheduler.volumes import BIND_TIMEOUT_S, VolumeBinding
from bireme.scheduler.volumes_cache import Storage
from bireme.scheduler.volumes_rules import NodeVolumeLimits, VolumeRestrictions, VolumeZone


class Rules:
    """All of them. `all` is in the order in which they are asked: a pod waits for its group before anything is made.

    `pods` and `nodes` are the scheduler's own caches, which somebody else runs.
    """

    def __init__(
        self,
        client: Client,
        *,
        columns: Columns,
        pods: Informer[core.Pod],
        nodes: Informer[core.Node],
        clock: Clock,
        uid: Callable[[], str],
        bind_timeout_s: float = BIND_TIMEOUT_S,
        binding_timeout_s: float = BINDING_TIMEOUT_S,
        extenders: Sequence[Extender] = (),
    ) -> None:
        self._wake: Callable[[Lack, Helps], None] = lambda lack, helps: None
        self._changes = 0
        self._trying = False
        sets = NodeSets(columns, nodes)
        self._storage = Storage(client, clock=clock)
        self._devices = Devices(client, nodes=sets, clock=clock)
        self.groups = PodGroups(
            client,
            pods=pods,
            clock=clock,
            nodes=sets,
            state=lambda: (columns.position, self._changes),
            told=self._tell,
        )
        self.features = NodeDeclaredFeatures(sets, nodes, self._moved)
        self._claims = DynamicResources(
            client,
            devices=self._devices,
            nodes=sets,
            columns=columns,
            pods=pods,
            clock=clock,
            uid=uid,
            told=self._moved,
            binding_timeout_s=binding_timeout_s,
        )
        self.all: tuple[Rule, ...] = (
            self.groups,
            self.features,
            VolumeRestrictions(storage=self._storage, nodes=sets, pods=pods),
            NodeVolumeLimits(storage=self._storage, nodes=sets, pods=pods),
            VolumeBinding(
                client, storage=self._storage, nodes=sets, pods=pods, clock=clock, timeout_s=bind_timeout_s
            ),
            VolumeZone(storage=self._storage, nodes=sets),
            self._claims,
        )
        self._extending = Extending(extenders, columns, pods=pods, nodes=nodes) if extenders else None
        if self._extending is not None:
            self.all = (*self.all, self._extending)
        self._storage.on_change(lambda helps: self._moved(Lack.VOLUMES, helps))
        self._devices.on_change(lambda helps: self._moved(Lack.DEVICES, helps))
        pods.on_change(self._pod_changed)

    def serve(self, scheduler: Scheduler) -> None:
        """Be those of this scheduler: it is told what may help whom, and asked whether groups would find room."""
        self._wake = lambda lack, helps: scheduler.wake(lack, helps=helps)

        def trial(pods: Sequence[core.Pod], wanted: int, within: Mask | None) -> bool:
            with self._quietly():
                return scheduler.together.could_place(pods, wanted, but=self.groups, within=within)

        def make_room(pods: Sequence[core.Pod], wanted: int, within: Mask | None) -> tuple[Move, ...] | None:
            with self._quietly():
                return scheduler.making_room.plan(pods, wanted, but=self.groups, within=within)

        self.groups.trial, self.groups.make_room = trial, make_room

    def informers(self) -> tuple[Informer[Any], ...]:
        """The caches that must hold what there is before a pod is placed."""
        groups = self.groups.caches
        return (*self._storage.informers(), *self._devices.informers(), groups.builtin, groups.definitions)

    async def wait_synced(self) -> None:
        """Return once the caches hold what there is."""
        for informer in self.informers():
            await informer.wait_synced()
        await self._devices.settle()

    async def run(self) -> None:
        """Follow the server, and take back what was written for pods that failed, until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            for informer in self.informers():
                tasks.create_task(informer.run(), name=f"scheduler: {informer.kind.__name__}")
            tasks.create_task(self.groups.caches.run_custom(), name="scheduler: custom pod groups")
            tasks.create_task(self.groups.status.run(), name="scheduler: status of pod groups")
            tasks.create_task(self._claims.run(), name="scheduler: claims to take back")
            if self._extending is not None:
                tasks.create_task(self._extending.run(), name="scheduler: extenders")

    @contextmanager
    def _quietly(self) -> Iterator[None]:
        """What the rules say while pods are tried on helps nobody."""
        self._trying = True
        try:
            yield
        finally:
            self._trying = False

    def _moved(self, lack: Lack, helps: Helps) -> None:
        self._changes += 1
        self._tell(lack, helps)

    def _tell(self, lack: Lack, helps: Helps) -> None:
        if not self._trying:
            self._wake(lack, helps)

    def _pod_changed(self, old: core.Pod | None, new: core.Pod | None) -> None:
        """A pod that waits for its claims to be made finds their names in its status."""
        made = new.status.resource_claim_statuses if new is not None and not new.spec.node_name else None
        if made and (old is None or old.status.resource_claim_statuses != made):
            uid = new.metadata.uid if new is not None else ""
            self._tell(Lack.DEVICES, lambda pod: pod.metadata.uid == uid)
