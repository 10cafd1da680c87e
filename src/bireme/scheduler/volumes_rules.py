"""The smaller rules about volumes: zones, claims for one pod alone, and how many volumes a node can attach.

Source: the Kubernetes documentation (topology labels on volumes, access modes, node-specific volume limits); reasons
as the original words them. Where volumes are and can be had stands in `volumes.py`.
"""

from collections import Counter, defaultdict
from collections.abc import Collection, Sequence

from bireme.api import volumes as words
from bireme.api.kinds import core, storage
from bireme.client.informer import Informer, Key, key_of
from bireme.scheduler.interface import Lack, Mask, Stop
from bireme.scheduler.node_sets import Names, NodeSets
from bireme.scheduler.volumes_cache import Storage
from bireme.scheduler.volumes_users import ClaimUsers, claim_keys, uses_claims

NO_ZONE = "node(s) had no available volume zone"
IN_USE = "node has pod using PersistentVolumeClaim with the same name and ReadWriteOncePod access mode"
TOO_MANY = "node(s) exceed max volume count"
ZONES = {
    "topology.kubernetes.io/zone": "failure-domain.beta.kubernetes.io/zone",
    "topology.kubernetes.io/region": "failure-domain.beta.kubernetes.io/region",
}
"""The labels that say where a volume is, with their names of old."""


class VolumeZone:
    """A volume labelled with a zone or region is for nodes of that zone or region, and for nodes that name none."""

    def __init__(self, *, storage: Storage, nodes: NodeSets) -> None:
        self._storage, self._nodes = storage, nodes

    def concerns(self, pod: core.Pod) -> bool:
        """Whether the pod uses claims."""
        return uses_claims(pod)

    def look(self, pod: core.Pod) -> Sequence[Mask] | Stop:
        """The nodes in the zones of the pod's volumes."""
        nodes = self._nodes
        wanted = [place for key in claim_keys(pod) for place in self._zones(key)]
        if not wanted:
            return ()
        found = nodes.everyone()
        for label, values in wanted:
            others = [other for pair in ZONES.items() if label in pair for other in pair if other != label]
            here = nodes.bearing(label, values)
            for other in others:
                here |= nodes.bearing(other, values) - nodes.with_label(label)
            found &= here
        named = frozenset[str]().union(*(nodes.with_label(label) for pair in ZONES.items() for label in pair))
        allowed = found | (nodes.everyone() - named)
        if len(allowed) == len(nodes.everyone()):
            return ()
        return [Mask(nodes.mask(allowed), lambda row: NO_ZONE, Lack.VOLUMES)]

    def _zones(self, key: Key) -> list[tuple[str, list[str]]]:
        claim = self._storage.claim(key)
        volume = self._storage.volume(claim.spec.volume_name) if claim is not None else None
        labels = volume.metadata.labels if volume is not None else {}
        return [(label, labels[label].split("__")) for pair in ZONES.items() for label in pair if label in labels]

    def reserve(self, pod: core.Pod, node: str) -> bool:
        """Nothing is held."""
        return True

    async def prepare(self, pod: core.Pod, node: str) -> None:
        """Nothing is to be done."""

    def release(self, pod: core.Pod) -> None:
        """Nothing was held."""


class VolumeRestrictions:
    """A claim with the mode ReadWriteOncePod is for one pod; another may have it when that one is gone."""

    def __init__(self, *, storage: Storage, nodes: NodeSets, pods: Informer[core.Pod]) -> None:
        self._storage, self._nodes = storage, nodes
        self._users = ClaimUsers(pods)

    def concerns(self, pod: core.Pod) -> bool:
        """Whether one of the pod's claims is for one pod alone."""
        return uses_claims(pod) and any(map(self._is_for_one, claim_keys(pod)))

    def look(self, pod: core.Pod) -> Sequence[Mask] | Stop:
        """Every node, or none while another pod has the claim. Evicting that pod helps."""
        if not any(self._users.nodes_of(key) for key in claim_keys(pod) if self._is_for_one(key)):
            return ()
        return [Mask(self._nodes.mask(()), lambda row: IN_USE, Lack.VOLUMES | Lack.PODS, curable=True)]

    def reserve(self, pod: core.Pod, node: str) -> bool:
        """The pod has its claims from now on."""
        if self.look(pod):
            return False
        self._users.place(pod.metadata.uid, node, claim_keys(pod))
        return True

    async def prepare(self, pod: core.Pod, node: str) -> None:
        """Nothing is to be done."""

    def release(self, pod: core.Pod) -> None:
        """Another may have the claims."""
        self._users.remove(pod.metadata.uid)

    def would_allow(self, pod: core.Pod, node: str, gone: Collection[str]) -> bool:
        """Whether nobody else would have the claims once these pods had left the node."""
        keys = [key for key in claim_keys(pod) if self._is_for_one(key)]
        return all(set(self._users.nodes_of(key)) <= {node} and not self._users.left(key, node, gone) for key in keys)

    def _is_for_one(self, key: Key) -> bool:
        claim = self._storage.claim(key)
        return claim is not None and words.ONE_POD in claim.spec.access_modes


class NodeVolumeLimits:
    """A node attaches no more volumes of a driver than the driver says it can (in its CSINode)."""

    def __init__(self, *, storage: Storage, nodes: NodeSets, pods: Informer[core.Pod]) -> None:
        self._storage, self._nodes = storage, nodes
        self._driver: dict[Key, str] = {}
        self._used: defaultdict[str, Counter[str]] = defaultdict(Counter)
        self._limits: defaultdict[str, dict[str, int]] = defaultdict(dict)
        self._installed: defaultdict[str, set[str]] = defaultdict(set)
        self._users = ClaimUsers(pods, self._moved)
        storage.csi_nodes.on_change(self._limits_changed)
        storage.claims.on_change(self._claim_written)
        storage.volumes.on_change(self._volume_changed)
        storage.attachments.on_change(self._attachment_changed)

    def concerns(self, pod: core.Pod) -> bool:
        """Whether the pod uses claims."""
        return uses_claims(pod)

    def look(self, pod: core.Pod) -> Sequence[Mask] | Stop:
        """The nodes that can attach the pod's volumes beside those that they have."""
        wanted: defaultdict[str, list[Key]] = defaultdict(list)
        for key in claim_keys(pod):
            driver = self._driver_of(key)
            if driver:
                wanted[driver].append(key)
        found = []
        for driver, keys in wanted.items():
            full = self._full(driver, keys)
            if full:
                found.append(self._mask(self._nodes.everyone() - full, TOO_MANY, curable=True))
            told = self._storage.drivers.get(Key("", driver))
            if told is not None and told.spec.prevent_pod_scheduling_if_missing:
                text = f"{driver} CSI driver is not installed on the node"
                found.append(self._mask(frozenset(self._installed[driver]), text))
        return found

    def reserve(self, pod: core.Pod, node: str) -> bool:
        """The pod's volumes count from now on."""
        keys = claim_keys(pod)
        if any(node in self._full(driver, keys) for driver in {self._driver_of(key) for key in keys} if driver):
            return False
        self._users.place(pod.metadata.uid, node, keys)
        return True

    async def prepare(self, pod: core.Pod, node: str) -> None:
        """Nothing is to be done."""

    def release(self, pod: core.Pod) -> None:
        """They count no more."""
        self._users.remove(pod.metadata.uid)

    def would_allow(self, pod: core.Pod, node: str, gone: Collection[str]) -> bool:
        """Whether the node could attach the pod's volumes once it had let go of those that only these pods use."""
        freed = {key for key in self._users.claims_of(gone, node) if not self._users.left(key, node, gone)}
        keys = claim_keys(pod)
        for driver in {self._driver_of(key) for key in keys} - {""}:
            limit = self._limits[driver].get(node)
            mine = {key for key in keys if self._driver_of(key) == driver}
            new = sum(1 for key in mine if key in freed or node not in self._users.nodes_of(key))
            less = sum(1 for key in freed if self._driver_of(key) == driver)
            if limit is not None and new and self._used[driver][node] - less + new > limit:
                return False
        return True

    def _mask(self, names: Names, reason: str, *, curable: bool = False) -> Mask:
        lack = Lack.VOLUMES | Lack.PODS if curable else Lack.VOLUMES
        return Mask(self._nodes.mask(names), lambda row: reason, lack, curable)

    def _full(self, driver: str, keys: Sequence[Key]) -> set[str]:
        """The nodes that can't attach these claims of the driver too."""
        mine = [key for key in keys if self._driver_of(key) == driver]
        used, count = self._used[driver], len(mine)
        full = {node for node, limit in self._limits[driver].items() if used[node] + count > limit}
        for node in list(full):
            there = sum(1 for key in mine if node in self._users.nodes_of(key))
            if there == count or used[node] + count - there <= self._limits[driver][node]:
                full.discard(node)
        return full

    def _driver_of(self, key: Key) -> str:
        """The driver that attaches the claim's volume, or will; "" if that is none of the container interface's."""
        claim = self._storage.claim(key)
        if claim is None:
            return self._driver.get(key, "")
        volume = self._storage.volume(claim.spec.volume_name) if claim.spec.volume_name else None
        if volume is not None:
            return volume.spec.csi.driver if volume.spec.csi is not None else ""
        made_by = self._storage.class_of(claim)
        return made_by.provisioner if made_by is not None and made_by.provisioner != words.NO_PROVISIONER else ""

    def _moved(self, claim: Key, node: str, sign: int) -> None:
        """The claim came to the node, or left it."""
        driver = self._driver.get(claim)
        if driver is None:
            driver = self._driver[claim] = self._driver_of(claim)
        self._used[driver][node] += sign
        if not self._used[driver][node]:
            del self._used[driver][node]
        if sign < 0 and not self._users.nodes_of(claim) and self._storage.claim(claim) is None:
            del self._driver[claim]

    def _claim_written(self, old: core.PersistentVolumeClaim | None, new: core.PersistentVolumeClaim | None) -> None:
        if new is not None:
            self._look_again(key_of(new))
        elif old is not None and not self._users.nodes_of(key_of(old)):
            self._driver.pop(key_of(old), None)

    def _look_again(self, key: Key) -> None:
        """The claim's driver may be another one now."""
        before, now = self._driver.get(key), self._driver_of(key)
        if before is None or before == now:
            return
        for node in list(self._users.nodes_of(key)):
            self._moved(key, node, -1)
        self._driver[key] = now
        for node in list(self._users.nodes_of(key)):
            self._moved(key, node, 1)

    def _volume_changed(self, old: core.PersistentVolume | None, new: core.PersistentVolume | None) -> None:
        volume = new or old
        reference = volume.spec.claim_ref if volume is not None else None
        if reference is not None:
            self._look_again(Key(reference.namespace, reference.name))

    def _attachment_changed(self, old: storage.VolumeAttachment | None, new: storage.VolumeAttachment | None) -> None:
        """A volume that is still attached counts, though its pod is gone."""
        if new is None:
            if old is not None:
                self._users.remove(old.metadata.uid)
            return
        volume = self._storage.volume(new.spec.source.persistent_volume_name)
        reference = volume.spec.claim_ref if volume is not None else None
        if reference is not None:
            self._users.place(new.metadata.uid, new.spec.node_name, (Key(reference.namespace, reference.name),))

    def _limits_changed(self, old: storage.CSINode | None, new: storage.CSINode | None) -> None:
        name = (new or old or storage.CSINode()).metadata.name
        for driver in old.spec.drivers if old is not None else ():
            self._limits[driver.name].pop(name, None)
            self._installed[driver.name].discard(name)
        for driver in new.spec.drivers if new is not None else ():
            self._installed[driver.name].add(name)
            if driver.allocatable is not None and driver.allocatable.count is not None:
                self._limits[driver.name][name] = driver.allocatable.count
