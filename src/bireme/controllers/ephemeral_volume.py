"""Make the claims of generic ephemeral volumes: one for each such volume of a pod, which goes with the pod.

Source: the Kubernetes documentation on generic ephemeral volumes.
"""

from collections.abc import Iterable, Iterator
from datetime import timedelta

import msgspec
import orjson

from bireme.api import volumes as words
from bireme.api.codec.json import typed
from bireme.api.kinds import core, meta
from bireme.client.client import object_path
from bireme.client.informer import Key, key_of
from bireme.client.parts import METADATA, SPEC
from bireme.controllers.changes import Create
from bireme.controllers.controller import Controller, Watch
from bireme.controllers.informers import Informers
from bireme.controllers.ownership import reference_to
from bireme.controllers.pods import is_active
from bireme.controllers.pvc_protection import CLAIMED, by_claim


def claim_for(pod: core.Pod, volume: core.Volume) -> core.PersistentVolumeClaim:
    """The claim of one of the pod's ephemeral volumes."""
    template = volume.ephemeral.volume_claim_template if volume.ephemeral else None
    wanted = template or core.PersistentVolumeClaimTemplate()
    return core.PersistentVolumeClaim(
        metadata=meta.ObjectMeta(
            name=f"{pod.metadata.name}-{volume.name}",
            namespace=pod.metadata.namespace,
            labels=dict(wanted.metadata.labels),
            annotations=dict(wanted.metadata.annotations),
            owner_references=[reference_to(pod)],
        ),
        spec=msgspec.structs.replace(wanted.spec),
    )


def has_ephemeral_volumes(cache: Informers, old: core.Pod | None, new: core.Pod | None) -> Iterable[Key]:
    """The pod, if claims have to be there for it."""
    return (key_of(new),) if new is not None and any(volume.ephemeral for volume in new.spec.volumes) else ()


def users_of_lost_claim(
    cache: Informers, old: core.PersistentVolumeClaim | None, new: core.PersistentVolumeClaim | None
) -> Iterable[Key]:
    """The pods that use a claim which is gone: it is made again."""
    if new is not None or old is None:
        return ()
    return [key_of(pod) for pod in cache.find(core.Pod, CLAIMED, str(key_of(old)))]


class EphemeralVolumeController(Controller):
    """Have a claim for each ephemeral volume of a pod.

    Reads Pods and PersistentVolumeClaims; creates claims.
    """

    name = "ephemeral-volume-controller"
    watches = (
        Watch(core.Pod, keys=has_ephemeral_volumes, reads=METADATA | SPEC),
        Watch(core.PersistentVolumeClaim, keys=users_of_lost_claim),
    )

    def watch(self, watch: Watch[core.Pod]) -> None:
        if watch.kind is core.Pod:
            self.cache.index(core.Pod, CLAIMED, by_claim, reads=SPEC)
        super().watch(watch)

    async def reconcile(self, key: Key) -> timedelta | None:
        pod = self.cache.get(core.Pod, key)
        if pod is None or not is_active(pod):
            return None
        for volume in self._lacking(pod):
            claim = claim_for(pod, volume)
            if claim.spec.storage_class_name:
                await self.carry_out((Create(claim),))
            else:
                await self._create_as_said(pod, volume, claim)
        return None

    async def _create_as_said(self, pod: core.Pod, volume: core.Volume, claim: core.PersistentVolumeClaim) -> None:
        """Create a claim that names no class: "no class at all" is another wish than none, and a struct has one word
        for both. So the pod's own text is asked."""
        kind = self.scheme.of_type(core.Pod)
        path = object_path(kind, pod.metadata.namespace, pod.metadata.name)
        said = orjson.loads((await self.client.request("GET", path)).body)
        volumes = {each["name"]: each for each in said["spec"].get("volumes") or ()}
        spec = volumes.get(volume.name, {}).get("ephemeral", {}).get("volumeClaimTemplate", {}).get("spec", {})
        tree = msgspec.to_builtins(typed(claim))
        if "storageClassName" in spec:
            tree["spec"]["storageClassName"] = spec["storageClassName"]
        collection = object_path(self.scheme.of_type(core.PersistentVolumeClaim), pod.metadata.namespace)
        headers = {"content-type": "application/json"}
        await self.client.request("POST", collection, headers=headers, body=orjson.dumps(tree))

    def _lacking(self, pod: core.Pod) -> Iterator[core.Volume]:
        """The ephemeral volumes without a claim; one that is somebody else's is told of."""
        for volume in pod.spec.volumes:
            if volume.ephemeral is None:
                continue
            name = f"{pod.metadata.name}-{volume.name}"
            claim = self.cache.get(core.PersistentVolumeClaim, Key(pod.metadata.namespace, name))
            if claim is None:
                yield volume
            elif not words.made_for(claim, pod):
                user = f"{pod.metadata.namespace}/{pod.metadata.name}"
                text = f"PVC {claim.metadata.namespace}/{name} was not created for pod {user} (pod is not owner)"
                self.events.event(pod, "Warning", "EphemeralVolumeClaimFailed", text)
