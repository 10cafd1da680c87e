"""Bind claims to volumes, and see to volumes that were let go.

Claims whose class waits for a consumer are bound once the scheduler has decided: it sets a volume aside, or names the
node for which one is to be made. Making and deleting real volumes is the business of external provisioners, which
find their work by the annotations that are set here. The decisions stand in `volume_binding.py`.
"""

from collections.abc import Iterable
from datetime import timedelta

import orjson

from bireme.api import volumes as words
from bireme.api.kinds import core, storage
from bireme.client.client import object_path
from bireme.client.informer import Key, key_of
from bireme.client.parts import EXISTENCE, SPEC
from bireme.controllers.changes import Merge
from bireme.controllers.controller import Context, Controller, Watch
from bireme.controllers.informers import Informers
from bireme.controllers.pvc_protection import CLAIMED, by_claim
from bireme.controllers.volume_binding import (
    Around,
    Claim,
    Step,
    Tell,
    Volume,
    settle_bound,
    settle_unbound,
    settle_volume,
)

FREE = "volumes/free"
PROMISED = "volumes/promised"
UNBOUND = "claims/unbound"
DEFAULT_CLASS = "storageclass.kubernetes.io/is-default-class"


def _promised_to(volume: Volume) -> Iterable[str]:
    reference = volume.spec.claim_ref
    return (f"{reference.namespace}/{reference.name}",) if reference is not None else ()


def claims_of_volume(cache: Informers, old: Volume | None, new: Volume | None) -> Iterable[Key]:
    """A volume's own key, and those of claims that it may serve now, or served."""
    keys = {key_of(volume) for volume in (new or old,) if volume is not None}
    for volume in (old, new):
        if volume is not None and volume.spec.claim_ref is not None:
            keys.add(Key(volume.spec.claim_ref.namespace, volume.spec.claim_ref.name))
    if new is not None and words.is_free(new):
        keys.update(key_of(claim) for claim in cache.find(Claim, UNBOUND, words.class_of(new)))
    if new is not None:
        keys.update(key_of(claim) for claim in cache.find(Claim, PROMISED, new.metadata.name))
    return keys


def volumes_of_claim(cache: Informers, old: Claim | None, new: Claim | None) -> Iterable[Key]:
    """A claim's own key, and those of the volumes that name it or that it names."""
    keys: set[Key] = set()
    for claim in (old, new):
        if claim is not None:
            keys.add(key_of(claim))
            keys.update(key_of(volume) for volume in cache.find(Volume, PROMISED, str(key_of(claim))))
            if claim.spec.volume_name:
                keys.add(Key("", claim.spec.volume_name))
    return keys


def claims_of_class(
    cache: Informers, old: storage.StorageClass | None, new: storage.StorageClass | None
) -> Iterable[Key]:
    """The unbound claims of the class; and those of none, if this is the default now."""
    if new is None:
        return ()
    names = [new.metadata.name] + ([""] if _is_default(new) else [])
    return [key_of(claim) for name in names for claim in cache.find(Claim, UNBOUND, name)]


def claims_of_new_pod(cache: Informers, old: core.Pod | None, new: core.Pod | None) -> Iterable[Key]:
    """The claims of a pod that has come, which may have waited for it."""
    if new is None or old is not None or not new.spec.volumes:
        return ()
    return [Key(new.metadata.namespace, claim.name) for claim in words.claims_of(new)]


def _is_default(storage_class: storage.StorageClass) -> bool:
    return storage_class.metadata.annotations.get(DEFAULT_CLASS) == "true"


class PersistentVolumeController(Controller):
    """Bind claims to volumes.

    Reads PersistentVolumeClaims, PersistentVolumes, StorageClasses and Pods; writes claims, volumes, their status.
    """

    name = "persistentvolume-controller"
    workers = 1  # two looks at a time would only choose the same volume for two claims, and one of them fail
    watches = (
        Watch(Claim, keys=volumes_of_claim),
        Watch(Volume, keys=claims_of_volume),
        Watch(storage.StorageClass, keys=claims_of_class),
        Watch(core.Pod, keys=claims_of_new_pod, reads=EXISTENCE),
    )

    def __init__(self, context: Context) -> None:
        cache = context.informers
        cache.index(core.Pod, CLAIMED, by_claim, reads=SPEC)
        cache.index(Volume, PROMISED, _promised_to)
        cache.index(Volume, FREE, lambda volume: (words.class_of(volume),) if words.is_free(volume) else ())
        cache.index(Claim, PROMISED, lambda claim: (claim.spec.volume_name,) if claim.spec.volume_name else ())
        cache.index(Claim, UNBOUND, lambda claim: () if words.is_bound(claim) else (words.class_of(claim),))
        super().__init__(context)

    async def reconcile(self, key: Key) -> timedelta | None:
        if key.namespace:
            await self._settle_claim(key)
        else:
            await self._settle_volume(key)
        return None

    async def _settle_claim(self, key: Key) -> None:
        claim = self.cache.get(Claim, key)
        if claim is None:
            return
        named = self.cache.get(Volume, Key("", claim.spec.volume_name)) if claim.spec.volume_name else None
        if words.BIND_COMPLETED in claim.metadata.annotations:
            await self._do(claim, settle_bound(claim, named, now=self.clock.now()))
            return
        if await self._give_default_class(claim):
            return
        name = words.class_of(claim)
        volumes = [
            *self.cache.find(Volume, PROMISED, str(key)),
            *self.cache.find(Volume, FREE, name),
        ]
        around = Around(
            self.cache.get(storage.StorageClass, Key("", name)) if name else None,
            volumes,
            self.cache.find(core.Pod, CLAIMED, str(key)),
        )
        await self._do(claim, settle_unbound(claim, around, named, now=self.clock.now()))

    async def _settle_volume(self, key: Key) -> None:
        volume = self.cache.get(Volume, key)
        if volume is None:
            return
        reference = volume.spec.claim_ref
        claim = self.cache.get(Claim, Key(reference.namespace, reference.name)) if reference is not None else None
        lost = reference is not None and reference.uid and (claim is None or claim.metadata.uid != reference.uid)
        if lost and volume.status.phase not in ("Released", "Failed") and await self._is_there(reference):
            return  # newer than our cache, which will tell
        await self._do(volume, settle_volume(volume, claim, now=self.clock.now()))

    async def _is_there(self, reference: core.ObjectReference | None) -> bool:
        """Whether the server has that very claim: what the cache doesn't know may just have been made."""
        if reference is None:
            return False
        found = await self.client.list(Claim, namespace=reference.namespace, fields=f"metadata.name={reference.name}")
        return any(claim.metadata.uid == reference.uid for claim in found.items)

    async def _give_default_class(self, claim: Claim) -> bool:
        """Have a claim that named no class get the default one, which came later; whether it did."""
        if words.class_of(claim) or claim.spec.volume_name:
            return False
        marked = [each for each in self.cache.items(storage.StorageClass) if _is_default(each)]
        if not marked:
            return False
        path = object_path(self.scheme.of_type(Claim), claim.metadata.namespace, claim.metadata.name)
        tree = orjson.loads((await self.client.request("GET", path)).body)
        if (tree.get("spec") or {}).get("storageClassName") is not None:
            return False  # no class at all, said in so many words
        newest = max(marked, key=lambda each: (each.metadata.creation_timestamp, each.metadata.name))
        await self.carry_out((Merge(claim, {"spec": {"storageClassName": newest.metadata.name}}, exact=True),))
        return True

    async def _do(self, about: Claim | Volume, steps: Iterable[Step]) -> None:
        for step in steps:
            if isinstance(step, Tell):
                self.events.event(about, step.type, step.reason, step.message)
            else:
                await self.carry_out((step,))
