"""What the rules about volumes read: claims, volumes, classes and drivers, as they were a moment ago.

Beside the caches stand free volumes by class and size, and what was decided for pods that are on their way to a
node: a volume that one of them is to get is no other's, though the API does not say so yet.
"""

import bisect
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from bireme.aio.clock import Clock
from bireme.api import volumes as words
from bireme.api.kinds import core, storage
from bireme.client.client import Client
from bireme.client.informer import Informer, Key, key_of
from bireme.scheduler.interface import Helps, anybody

CLAIMED = "volumes/claimed"
BY_CLASS = "volumes/class"


@dataclass(slots=True)
class Hold:
    """What a pod is to get on its node: these volumes for these claims; volumes still to be made for the others."""

    node: str
    volumes: dict[Key, str] = field(default_factory=dict)
    provisions: tuple[Key, ...] = ()


def _claimed(volume: core.PersistentVolume) -> Iterable[str]:
    reference = volume.spec.claim_ref
    return (f"{reference.namespace}/{reference.name}",) if reference is not None else ()


def _uses(claim: core.PersistentVolumeClaim) -> Helps:
    namespace, name = key_of(claim)
    return lambda pod: (
        pod.metadata.namespace == namespace and any(wanted.name == name for wanted in words.claims_of(pod))
    )


def _may_get(volume: core.PersistentVolume) -> Helps:
    """A free volume is for anybody, one that is set aside for the users of its claim."""
    reference = volume.spec.claim_ref
    if reference is None:
        return anybody
    claim = core.PersistentVolumeClaim()
    claim.metadata.namespace, claim.metadata.name = reference.namespace, reference.name
    return _uses(claim)


def _by_class(capacity: storage.CSIStorageCapacity) -> Iterable[str]:
    return (capacity.storage_class_name,)


class Storage:
    """The caches of storage, and the holds of pods."""

    def __init__(self, client: Client, *, clock: Clock) -> None:
        self.claims = Informer(client, core.PersistentVolumeClaim, clock=clock)
        self.volumes = Informer(client, core.PersistentVolume, clock=clock, indexes={CLAIMED: _claimed})
        self.classes = Informer(client, storage.StorageClass, clock=clock)
        self.drivers = Informer(client, storage.CSIDriver, clock=clock)
        self.csi_nodes = Informer(client, storage.CSINode, clock=clock)
        self.capacities = Informer(client, storage.CSIStorageCapacity, clock=clock, indexes={BY_CLASS: _by_class})
        self.attachments = Informer(client, storage.VolumeAttachment, clock=clock)
        self._free: defaultdict[str, list[tuple[int, str]]] = defaultdict(list)
        self._holds: dict[str, Hold] = {}
        self._taken: dict[str, set[str]] = {}
        self._given: dict[Key, str] = {}
        self._chosen: dict[Key, tuple[str, set[str]]] = {}
        self._offer: Callable[[core.PersistentVolume], None] = lambda volume: None
        self._withdraw: Callable[[str], None] = lambda name: None
        self.volumes.on_change(self._volume_changed)

    def informers(self) -> tuple[Informer[Any], ...]:
        """All of them, for whoever runs them."""
        return (
            self.claims,
            self.volumes,
            self.classes,
            self.drivers,
            self.csi_nodes,
            self.capacities,
            self.attachments,
        )

    def claim(self, key: Key) -> core.PersistentVolumeClaim | None:
        return self.claims.get(key)

    def volume(self, name: str) -> core.PersistentVolume | None:
        return self.volumes.get(Key("", name))

    def class_of(self, claim: core.PersistentVolumeClaim) -> storage.StorageClass | None:
        """The claim's class, if there is one of that name."""
        name = words.class_of(claim)
        return self.classes.get(Key("", name)) if name else None

    def candidates(self, claim: core.PersistentVolumeClaim) -> Iterator[core.PersistentVolume]:
        """Volumes that the claim could get: the one decided on, or what is set aside for it and free ones by size."""
        given = self.volume(self._given.get(key_of(claim), ""))
        if given is not None:
            yield given
            return
        yield from self.promised(claim)
        yield from self.free(claim)

    def promised(self, claim: core.PersistentVolumeClaim) -> list[core.PersistentVolume]:
        """The volumes that are set aside for the claim."""
        found = self.volumes.by_index(CLAIMED, str(key_of(claim)))
        return [each for each in found if words.refers_to(each, claim) and not words.mismatch(claim, each)]

    def is_open(self, claim: core.PersistentVolumeClaim) -> bool:
        """Whether nothing is decided about the claim yet."""
        key = key_of(claim)
        return key not in self._given and not self.chosen_node(claim) and not self.promised(claim)

    def free(self, claim: core.PersistentVolumeClaim) -> Iterator[core.PersistentVolume]:
        """The volumes that nobody has and that suit the claim, by size."""
        shelf = self._free.get(words.class_of(claim), [])
        for _, name in shelf[bisect.bisect_left(shelf, (words.requested(claim), "")) :]:
            volume = self.volumes.get(Key("", name))
            if volume is not None and name not in self._taken and words.suits(claim, volume):
                yield volume

    def chosen_node(self, claim: core.PersistentVolumeClaim) -> str:
        """The node for which the claim's volume is being made, as written or as decided; "" for none."""
        decided = self._chosen.get(key_of(claim))
        return claim.metadata.annotations.get(words.SELECTED_NODE) or (decided[0] if decided else "")

    def hold(self, uid: str, hold: Hold) -> None:
        """The pod is to get this; what it held before is let go."""
        self.let_go(uid)
        self._holds[uid] = hold
        for claim, volume in hold.volumes.items():
            self._taken.setdefault(volume, set()).add(uid)
            self._given[claim] = volume
            self._withdraw(volume)
        for claim in hold.provisions:
            self._chosen.setdefault(claim, (hold.node, set()))[1].add(uid)

    def held(self, uid: str) -> Hold | None:
        return self._holds.get(uid)

    def let_go(self, uid: str) -> None:
        """The pod gets nothing by us any more: it is bound, or gone, or failed. Twice is once."""
        hold = self._holds.pop(uid, None)
        if hold is None:
            return
        for claim, volume in hold.volumes.items():
            self._taken[volume].discard(uid)
            if not self._taken[volume]:
                del self._taken[volume]
                self._given.pop(claim, None)
                there = self.volume(volume)
                if there is not None and words.is_free(there):
                    self._offer(there)
        for claim in hold.provisions:
            self._chosen[claim][1].discard(uid)
            if not self._chosen[claim][1]:
                del self._chosen[claim]

    def on_free(self, offer: Callable[[core.PersistentVolume], None], withdraw: Callable[[str], None]) -> None:
        """Have free volumes offered from now on, and withdrawn (by name) when they are free no more."""
        self._offer, self._withdraw = offer, withdraw

    def on_change(self, told: Callable[[Helps], None]) -> None:
        """Call `told` when anything changed that may help pods short of volumes, with which ones."""
        self.claims.on_change(lambda old, new: told(_uses(new)) if new is not None else None)
        self.volumes.on_change(lambda old, new: told(_may_get(new)) if new is not None else None)
        for informer in (self.classes, self.drivers, self.csi_nodes, self.capacities, self.attachments):
            informer.on_change(lambda old, new: told(anybody))

    def _volume_changed(self, old: core.PersistentVolume | None, new: core.PersistentVolume | None) -> None:
        if old is not None and words.is_free(old):
            shelf = self._free[words.class_of(old)]
            place = bisect.bisect_left(shelf, (words.capacity(old), old.metadata.name))
            if place < len(shelf) and shelf[place][1] == old.metadata.name:
                del shelf[place]
                self._withdraw(old.metadata.name)
            if not shelf:
                del self._free[words.class_of(old)]
        if new is not None and words.is_free(new):
            if new.metadata.name not in self._taken:
                self._offer(new)
            bisect.insort(self._free[words.class_of(new)], (words.capacity(new), new.metadata.name))
