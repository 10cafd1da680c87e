"""VolumeBinding: a pod goes where its volumes are, or where they can be had, and waits there until it has them.

A claim that is bound leaves the nodes from which its volume can be reached. One whose class waits for a consumer is
decided on here: `reserve` picks a volume, or the node for which one is to be made, `prepare` writes that down and
waits until the binder or the provisioner has done its part. Left to others: what suits what (`api/volumes.py`), the
choice (`volumes_choice.py`), binding itself (`controllers/persistent_volume.py`).

Source: the Kubernetes documentation on volume binding modes and storage capacity; reasons as the original words them.
"""

import asyncio
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from bireme.aio.clock import Clock
from bireme.aio.waiting import wait_any
from bireme.api import quantity
from bireme.api import volumes as words
from bireme.api.errors import Conflict, NotFound
from bireme.api.kinds import core, storage
from bireme.client.client import Client
from bireme.client.informer import Informer, Key, key_of
from bireme.scheduler.interface import Lack, Mask, NotReady, Stop
from bireme.scheduler.node_sets import Names, NodeSets
from bireme.scheduler.volumes_cache import BY_CLASS, Hold, Storage
from bireme.scheduler.volumes_choice import Choice, Wish, outcome, places
from bireme.scheduler.volumes_shelf import Shelves
from bireme.scheduler.volumes_supply import Supply
from bireme.scheduler.volumes_users import uses_claims

AFFINITY_CONFLICT = "node(s) had volume node affinity conflict"
NO_VOLUME = "node(s) didn't find available persistent volumes to bind"
NO_SPACE = "node(s) did not have enough free storage"
LOST = "node(s) unavailable due to one or more pvc(s) bound to non-existent pv(s)"
NOT_BOUND = "pod has unbound immediate PersistentVolumeClaims"
BIND_TIMEOUT_S = 600.0


def stop(nodes: int, reason: str, lack: Lack) -> Stop:
    """No node will do, for a reason that is none of the nodes'."""
    return Stop(f"0/{nodes} nodes are available: {reason}.", lack)


@dataclass(slots=True)
class Claims:
    """A pod's claims, sorted; or the one reason why none of them is worth a look."""

    bound: list[core.PersistentVolumeClaim] = field(default_factory=list)
    waiting: list[core.PersistentVolumeClaim] = field(default_factory=list)
    fault: str = ""


def sort_claims(pod: core.Pod, storage: Storage) -> Claims:
    """The claims that have a volume, and those that wait for the pod to have a node."""
    found = Claims()
    for wanted in words.claims_of(pod):
        claim = storage.claim(Key(pod.metadata.namespace, wanted.name))
        fault = _fault(pod, wanted, claim)
        if claim is None or fault:
            return Claims(fault=fault)
        if words.is_bound(claim):
            found.bound.append(claim)
        elif words.waits_for_consumer(storage.class_of(claim)) and not claim.spec.volume_name:
            found.waiting.append(claim)
        else:
            found.fault = NOT_BOUND  # a later claim that is missing is better news
    return found


def _fault(pod: core.Pod, wanted: words.PodClaim, claim: core.PersistentVolumeClaim | None) -> str:
    namespace, name = pod.metadata.namespace, wanted.name
    if claim is None:
        if wanted.ephemeral:
            return f'waiting for ephemeral volume controller to create the persistentvolumeclaim "{name}"'
        return f'persistentvolumeclaim "{name}" not found'
    if claim.status.phase == "Lost":
        return f'persistentvolumeclaim "{name}" bound to non-existent persistentvolume "{claim.spec.volume_name}"'
    if claim.metadata.deletion_timestamp:
        return f'persistentvolumeclaim "{name}" is being deleted'
    if wanted.ephemeral and not words.made_for(claim, pod):
        return f"PVC {namespace}/{name} was not created for pod {namespace}/{pod.metadata.name} (pod is not owner)"
    return ""


class VolumeBinding:
    """The rule. See the module, and `interface.Rule`."""

    def __init__(
        self,
        client: Client,
        *,
        storage: Storage,
        nodes: NodeSets,
        pods: Informer[core.Pod],
        clock: Clock,
        timeout_s: float = BIND_TIMEOUT_S,
    ) -> None:
        self._client, self._storage, self._nodes, self._clock = client, storage, nodes, clock
        self._timeout_s = timeout_s
        self._supplies = Shelves(storage, nodes)
        self._changed = asyncio.Event()
        pods.on_change(self._pod_changed)
        self._marked: set[Key] = set()
        storage.claims.on_change(self._claim_changed)
        storage.volumes.on_change(lambda old, new: self._changed.set())

    def concerns(self, pod: core.Pod) -> bool:
        """Whether the pod uses claims."""
        return uses_claims(pod)

    def look(self, pod: core.Pod) -> Sequence[Mask] | Stop:
        """The nodes that reach the pod's volumes, and where those that are missing can be had."""
        claims = sort_claims(pod, self._storage)
        everyone = self._nodes.everyone()
        if claims.fault:
            return stop(len(everyone), claims.fault, Lack.VOLUMES)
        found: list[Mask] = []
        reached = self._reached(claims.bound)
        if reached is None:
            return [self._mask(frozenset(), LOST)]
        if len(reached) < len(everyone):
            found.append(self._mask(reached, AFFINITY_CONFLICT))
        if claims.waiting:
            there = places(self._wishes(claims.waiting), everyone)
            if there.cramped:
                found.append(self._mask(everyone - there.cramped, NO_SPACE))
            had = there.fits | there.cramped if there.cramped else there.fits
            if len(had) < len(everyone):
                found.append(self._mask(had, NO_VOLUME))
        return found

    def reserve(self, pod: core.Pod, node: str) -> bool:
        """Decide on the volumes of the claims that wait."""
        claims = sort_claims(pod, self._storage)
        reached = self._reached(claims.bound)
        if claims.fault or reached is None or (claims.bound and node not in reached):
            return False
        chosen = outcome(self._wishes(claims.waiting), node)
        if chosen is None:
            return False
        if claims.waiting:
            self._storage.hold(pod.metadata.uid, Hold(node, chosen.volumes, chosen.provisions))
        return True

    async def prepare(self, pod: core.Pod, node: str) -> None:
        """Write down what was decided, and wait until every claim is bound."""
        hold = self._storage.held(pod.metadata.uid)
        if hold is None:
            return
        try:
            await self._write(hold)
        except (Conflict, NotFound) as error:
            raise NotReady(str(error)) from error
        await self._until_bound(hold)

    async def _write(self, hold: Hold) -> None:
        for claim, volume in hold.volumes.items():
            await self._promise(claim, volume)
        for claim in hold.provisions:
            self._marked.discard(claim)
            marks = {"metadata": {"annotations": {words.SELECTED_NODE: hold.node}}}
            made = await self._client.patch(core.PersistentVolumeClaim, claim.name, marks, namespace=claim.namespace)
            there = self._storage.claim(claim)
            if there is not None and there.metadata.resource_version == made.metadata.resource_version:
                self._marked.add(claim)  # it was marked already, and no event will tell

    def release(self, pod: core.Pod) -> None:
        """Let go of the volumes that were chosen."""
        self._storage.let_go(pod.metadata.uid)

    def _mask(self, names: Names, reason: str) -> Mask:
        return Mask(self._nodes.mask(names), lambda row: reason, Lack.VOLUMES)

    def _reached(self, bound: Sequence[core.PersistentVolumeClaim]) -> Names | None:
        """The nodes that reach all these volumes; None when one of them is gone."""
        names = self._nodes.everyone()
        for claim in bound:
            volume = self._storage.volume(claim.spec.volume_name)
            if volume is None:
                return None
            nodes = self._nodes.of_volume(volume)
            names = names if nodes is None else names & nodes
        return names

    def _wishes(self, waiting: Sequence[core.PersistentVolumeClaim]) -> list[Wish]:
        shelves: defaultdict[str, list[core.PersistentVolumeClaim]] = defaultdict(list)
        for claim in waiting:
            shelves[words.class_of(claim)].append(claim)
        return [wish for claims in shelves.values() for wish in self._wishes_of_one(claims)]

    def _wishes_of_one(self, claims: Sequence[core.PersistentVolumeClaim]) -> list[Wish]:
        """The wishes of claims of one class."""
        if not all(map(self._storage.is_open, claims)):
            return [self._wish(claim, None) for claim in claims]
        wishes = [self._wish(claim, self._supplies.of(claim)) for claim in claims]
        if len(wishes) == 1:
            return wishes
        shelf = self._supplies.shelf(sorted(claims, key=words.requested))
        return [replace(wish, shared=shelf) for wish in wishes]

    def _wish(self, claim: core.PersistentVolumeClaim, stock: Supply | None) -> Wish:
        storage, size = self._storage, words.requested(claim)
        shelf = words.class_of(claim)
        node = storage.chosen_node(claim)
        if node:
            here = frozenset((node,))
            return Wish(key_of(claim), shelf, size, (), here, here)
        found = storage.candidates(claim) if stock is None else ()
        choices = tuple(Choice(each.metadata.name, self._nodes.of_volume(each)) for each in found)
        made_by = storage.class_of(claim)
        makes = self._makers(made_by)
        told = self._with_room(made_by, size) if made_by is not None and makes else None
        room = makes if told is None else makes & told
        return Wish(key_of(claim), shelf, size, choices, makes, room, stock)

    def _makers(self, storage_class: storage.StorageClass | None) -> Names:
        """The nodes for which volumes of the class can be made."""
        if storage_class is None or storage_class.provisioner in ("", words.NO_PROVISIONER):
            return frozenset()
        return self._nodes.in_topologies(storage_class.allowed_topologies)

    def _with_room(self, storage_class: storage.StorageClass, size: int) -> Names | None:
        """The nodes where the class's driver has that much space; None if it doesn't tell."""
        driver = self._storage.drivers.get(Key("", storage_class.provisioner))
        if driver is None or not driver.spec.storage_capacity:
            return None
        told = self._storage.capacities.by_index(BY_CLASS, storage_class.metadata.name)
        return frozenset[str]().union(
            *(
                self._nodes.labelled(each.node_topology)
                for each in told
                if quantity.nanos(each.maximum_volume_size or each.capacity or 0) >= size
            )
        )

    async def _promise(self, claim: Key, name: str) -> None:
        """Set the volume aside for the claim; the binder does the rest."""
        volume, wanted = self._storage.volume(name), self._storage.claim(claim)
        if volume is None or wanted is None:
            raise NotReady(f'volume "{name}" or claim "{claim}" is gone')
        reference = volume.spec.claim_ref
        if reference is not None and reference.uid == wanted.metadata.uid:
            return
        if reference is not None and not words.refers_to(volume, wanted):
            raise NotReady(f'volume "{name}" was claimed by another')
        metadata: dict[str, Any] = {"uid": volume.metadata.uid, "resourceVersion": volume.metadata.resource_version}
        if reference is None:
            metadata["annotations"] = {words.BOUND_BY_CONTROLLER: "yes"}
        patch = {"metadata": metadata, "spec": {"claimRef": words.claim_reference(wanted)}}
        await self._client.patch(core.PersistentVolume, name, patch)

    async def _until_bound(self, hold: Hold) -> None:
        deadline = self._clock.monotonic() + self._timeout_s
        while not all(self._settled(claim, hold) for claim in (*hold.volumes, *hold.provisions)):
            left = deadline - self._clock.monotonic()
            if left <= 0:
                raise TimeoutError("binding volumes: timed out waiting for the condition")
            self._changed.clear()
            await wait_any(self._changed.wait(), self._clock.sleep(left))

    def _settled(self, key: Key, hold: Hold) -> bool:
        """Whether the claim is bound; raises NotReady when it never will be, as things are."""
        claim = self._storage.claim(key)
        if claim is None or claim.metadata.deletion_timestamp:
            raise NotReady(f'claim "{key}" is gone')
        if words.is_bound(claim):
            volume = self._storage.volume(claim.spec.volume_name)
            nodes = self._nodes.of_volume(volume) if volume is not None else None
            if nodes is not None and hold.node not in nodes:
                raise NotReady(f'volume "{claim.spec.volume_name}" can\'t be reached from node "{hold.node}"')
            return volume is not None
        if key in hold.provisions:
            node = claim.metadata.annotations.get(words.SELECTED_NODE, "")
            if node != hold.node and key in self._marked:
                raise NotReady(f'no volume could be made for claim "{key}" on node "{hold.node}"')
        return False

    def _claim_changed(self, old: core.PersistentVolumeClaim | None, new: core.PersistentVolumeClaim | None) -> None:
        """Remember that a claim named a node: if it does so no more, the provisioner gave up, however soon."""
        if new is not None and not words.is_bound(new):
            if words.SELECTED_NODE in new.metadata.annotations:
                self._marked.add(key_of(new))
        elif old is not None:
            self._marked.discard(key_of(old))
        self._changed.set()

    def _pod_changed(self, old: core.Pod | None, new: core.Pod | None) -> None:
        if old is not None and (new is None or new.metadata.uid != old.metadata.uid):
            self._storage.let_go(old.metadata.uid)
        if new is not None and new.spec.node_name:
            self._storage.let_go(new.metadata.uid)
