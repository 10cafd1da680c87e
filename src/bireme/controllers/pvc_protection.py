"""Let go of a claim that is being deleted once no pod on a node uses it.

Admission gives each claim the finalizer; see `registry/admission/storage_object_in_use.py`.
Source: the Kubernetes documentation on storage object in use protection.
"""

from collections.abc import Iterable
from datetime import timedelta

from bireme.api.kinds import core
from bireme.client.informer import Key
from bireme.client.parts import EXISTENCE, SPEC
from bireme.controllers.changes import Merge
from bireme.controllers.controller import Controller, Watch
from bireme.controllers.informers import Informers
from bireme.controllers.ownership import controller_of

FINALIZER = "kubernetes.io/pvc-protection"
CLAIMED = "pvc-protection/claim"


def claims_of(pod: core.Pod) -> Iterable[str]:
    """The names of the claims that the pod uses, those made for its ephemeral volumes too."""
    for volume in pod.spec.volumes:
        if volume.persistent_volume_claim is not None:
            yield volume.persistent_volume_claim.claim_name
        elif volume.ephemeral is not None:
            yield f"{pod.metadata.name}-{volume.name}"


def in_use(claim: core.PersistentVolumeClaim, pods: Iterable[core.Pod]) -> bool:
    """Whether one of the pods that name the claim may have it mounted: it is on a node, and means this claim."""
    return any(pod.spec.node_name and _means(pod, claim) for pod in pods)


def _means(pod: core.Pod, claim: core.PersistentVolumeClaim) -> bool:
    """An ephemeral volume's claim is used by the pod that owns it, and by no other of that name."""
    for volume in pod.spec.volumes:
        named = volume.persistent_volume_claim
        if named is not None and named.claim_name == claim.metadata.name:
            return True
    owner = controller_of(claim)
    return owner is not None and owner.uid == pod.metadata.uid


def by_claim(pod: core.Pod) -> Iterable[str]:
    """Index values: `namespace/claim` for each claim that the pod uses."""
    return [f"{pod.metadata.namespace}/{name}" for name in claims_of(pod)]


def claims_let_go(cache: Informers, old: core.Pod | None, new: core.Pod | None) -> Iterable[Key]:
    """The claims of a pod that is gone."""
    if new is not None or old is None:
        return ()
    return [Key(old.metadata.namespace, name) for name in claims_of(old)]


class PvcProtectionController(Controller):
    """Take the finalizer off claims that are being deleted and not in use.

    Reads PersistentVolumeClaims and Pods; writes the finalizers of claims.
    """

    name = "persistentvolumeclaim-protection-controller"
    watches = Watch(core.PersistentVolumeClaim), Watch(core.Pod, keys=claims_let_go, reads=EXISTENCE)

    def watch(self, watch: Watch[core.Pod]) -> None:
        super().watch(watch)
        if watch.kind is core.Pod:
            self.cache.index(core.Pod, CLAIMED, by_claim, reads=SPEC)

    async def reconcile(self, key: Key) -> timedelta | None:
        claim = self.cache.get(core.PersistentVolumeClaim, key)
        if claim is None:
            return None
        going = bool(claim.metadata.deletion_timestamp)
        held = FINALIZER in claim.metadata.finalizers
        if going and held and not await self._in_use(claim, key):
            rest = [item for item in claim.metadata.finalizers if item != FINALIZER]
        elif not going and not held:
            rest = [*claim.metadata.finalizers, FINALIZER]
        else:
            return None
        await self.carry_out((Merge(claim, {"metadata": {"finalizers": rest or None}}, exact=True),))
        return None

    async def _in_use(self, claim: core.PersistentVolumeClaim, key: Key) -> bool:
        """The cache may not have seen a new pod yet: only the server's word lets a claim go."""
        if in_use(claim, self.cache.find(core.Pod, CLAIMED, str(key))):
            return True
        return in_use(claim, (await self.client.list(core.Pod, namespace=key.namespace)).items)
