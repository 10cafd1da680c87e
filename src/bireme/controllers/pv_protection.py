"""Let go of a volume that is being deleted once no claim is bound to it.

Admission gives each volume the finalizer; see `registry/admission/storage_object_in_use.py`.
Source: the Kubernetes documentation on storage object in use protection.
"""

from datetime import timedelta

from bireme.api.kinds import core
from bireme.client.informer import Key
from bireme.controllers.changes import Merge
from bireme.controllers.controller import Controller, Watch

FINALIZER = "kubernetes.io/pv-protection"


def wanted_finalizers(volume: core.PersistentVolume) -> list[str]:
    """What holds the volume: our finalizer, until it is to go and is not bound."""
    there = list(volume.metadata.finalizers)
    if volume.metadata.deletion_timestamp:
        return there if volume.status.phase == "Bound" else [item for item in there if item != FINALIZER]
    return there if FINALIZER in there else [*there, FINALIZER]


class PvProtectionController(Controller):
    """Take the finalizer off volumes that are being deleted and not bound.

    Reads PersistentVolumes; writes their finalizers.
    """

    name = "persistentvolume-protection-controller"
    watches = (Watch(core.PersistentVolume),)

    async def reconcile(self, key: Key) -> timedelta | None:
        volume = self.cache.get(core.PersistentVolume, key)
        if volume is None:
            return None
        wanted = wanted_finalizers(volume)
        if wanted != volume.metadata.finalizers:
            await self.carry_out((Merge(volume, {"metadata": {"finalizers": wanted or None}}, exact=True),))
        return None
