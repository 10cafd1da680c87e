"""Make the ResourceClaims of pods from templates, and take claims back that nobody uses.

A claim made from a template has a name computed from the pod's uid, so that it can't be made twice; the pod's status
says which one it is. A claim's users that are gone or have ended are taken off it; one without users gives its
devices back, and one whose pod has ended goes. Source: the Kubernetes documentation on dynamic resource allocation.
"""

import hashlib
from collections.abc import Iterable, Iterator
from datetime import timedelta
from typing import Any

import msgspec

from bireme.api.errors import AlreadyExists, NotFound
from bireme.api.kinds import core, meta, resource
from bireme.client.client import Patch
from bireme.client.informer import Key, key_of
from bireme.client.parts import SPEC
from bireme.controllers.changes import Change, Create, Delete, Merge
from bireme.controllers.controller import Context, Controller, Watch
from bireme.controllers.informers import Informers
from bireme.controllers.ownership import controller_of, reference_to
from bireme.controllers.pods import is_active, is_ended

POD_CLAIM = "resource.kubernetes.io/pod-claim-name"
EXTENDED = "resource.kubernetes.io/extended-resource-claim"
FINALIZER = "resource.kubernetes.io/delete-protection"
CLAIMED = "resource-claims/pod"
TEMPLATED = "resource-claims/template"
POD = "Pod/"  # before the names of pods in the queue, which holds claims too: no claim's name has a slash

Claim = resource.ResourceClaim
Template = resource.ResourceClaimTemplate


def name_for(pod: core.Pod, entry: str) -> str:
    """The name of the claim for one of the pod's entries."""
    mark = hashlib.sha256(f"{pod.metadata.uid}/{entry}".encode()).hexdigest()[:5]
    return f"{f'{pod.metadata.name}-{entry}'[:247]}-{mark}"


def claim_from(pod: core.Pod, entry: core.PodResourceClaim, template: Template) -> Claim:
    """The pod's own claim, as the template has it."""
    said = template.spec
    return Claim(
        metadata=meta.ObjectMeta(
            name=name_for(pod, entry.name),
            namespace=pod.metadata.namespace,
            labels=dict(said.metadata.labels),
            annotations={**said.metadata.annotations, POD_CLAIM: entry.name},
            owner_references=[reference_to(pod)],
        ),
        spec=said.spec,
    )


def claims_of(pod: core.Pod) -> Iterator[str]:
    """The names of the claims that the pod uses, as far as they are known."""
    statuses = {each.name: each.resource_claim_name for each in pod.status.resource_claim_statuses}
    for entry in pod.spec.resource_claims:
        name = entry.resource_claim_name or statuses.get(entry.name, "")
        if name:
            yield name
    if pod.status.extended_resource_claim_status is not None:
        yield pod.status.extended_resource_claim_status.resource_claim_name


def settle_claim(claim: Claim, users: Iterable[core.Pod], owner: core.Pod | None) -> Iterator[Change]:
    """What to do about a claim: `users` are the pods on its list that still are, `owner` the pod it was made for."""
    alive = {pod.metadata.uid for pod in users if not _is_done(pod)}
    kept = [user for user in claim.status.reserved_for if user.resource != "pods" or user.uid in alive]
    status: dict[str, Any] = {}
    if len(kept) < len(claim.status.reserved_for):
        status["reservedFor"] = [msgspec.to_builtins(user) for user in kept] or None
    held = FINALIZER in claim.metadata.finalizers  # as the scheduler has it for what it allocates
    if held and not kept and claim.status.allocation is not None:
        status |= {"allocation": None, "devices": None}
    if status:
        yield Merge(claim, {"status": status}, subresource="status", exact=True)
    elif held and not kept and claim.metadata.deletion_timestamp:
        rest = [each for each in claim.metadata.finalizers if each != FINALIZER]
        yield Merge(claim, {"metadata": {"finalizers": rest or None}}, exact=True)
    own = POD_CLAIM in claim.metadata.annotations or claim.metadata.annotations.get(EXTENDED) == "true"
    done = owner is not None and is_ended(owner) and own
    if done and not kept and not claim.metadata.deletion_timestamp:
        yield Delete(claim)


def _is_done(pod: core.Pod) -> bool:
    """The pod will never run: it has ended, or is going and never had a node."""
    return is_ended(pod) or bool(pod.metadata.deletion_timestamp and not pod.spec.node_name)


def keys_of_pod(cache: Informers, old: core.Pod | None, new: core.Pod | None) -> Iterable[Key]:
    """The pod, and its claims when it has ended or gone."""
    keys: set[Key] = set()
    for pod in (old, new):
        if pod is None or not _has_claims(pod):
            continue
        keys.add(Key(pod.metadata.namespace, POD + pod.metadata.name))
        if new is None or _is_done(new) or new.metadata.uid != pod.metadata.uid:
            keys.update(Key(pod.metadata.namespace, name) for name in claims_of(pod))
    return keys


def keys_of_claim(cache: Informers, old: Claim | None, new: Claim | None) -> Iterable[Key]:
    """The claim, and the pods that use it: one without its claim is given it again, one on a node uses it."""
    claim = new or old
    if claim is None:
        return ()
    keys = {key_of(claim)}
    if new is None or (old is not None and (old.status.allocation is None) != (new.status.allocation is None)):
        keys.update(
            Key(pod.metadata.namespace, POD + pod.metadata.name)
            for pod in cache.find(core.Pod, CLAIMED, str(key_of(claim)))
        )
    return keys


def pods_of_template(cache: Informers, old: Template | None, new: Template | None) -> Iterable[Key]:
    """The pods that waited for the template."""
    if new is None:
        return ()
    pods = cache.find(core.Pod, TEMPLATED, str(key_of(new)))
    return [Key(pod.metadata.namespace, POD + pod.metadata.name) for pod in pods]


class ResourceClaimController(Controller):
    """Have a claim for each entry of a pod that names a template; see to the users of claims.

    Reads Pods, ResourceClaimTemplates and ResourceClaims; creates and deletes claims, writes their status and that of
    pods.
    """

    name = "resource-claim-controller"
    watches = (
        Watch(core.Pod, keys=keys_of_pod),
        Watch(Claim, keys=keys_of_claim),
        Watch(Template, keys=pods_of_template),
    )

    def __init__(self, context: Context) -> None:
        context.informers.index(core.Pod, CLAIMED, _claimed)
        context.informers.index(core.Pod, TEMPLATED, _templated, reads=SPEC)
        super().__init__(context)

    async def reconcile(self, key: Key) -> timedelta | None:
        if key.name.startswith(POD):
            await self._serve_pod(Key(key.namespace, key.name.removeprefix(POD)))
        else:
            await self._settle_claim(key)
        return None

    async def _serve_pod(self, key: Key) -> None:
        pod = self.cache.get(core.Pod, key)
        if pod is None or not is_active(pod):
            return
        statuses = {each.name: each.resource_claim_name for each in pod.status.resource_claim_statuses}
        made = dict(statuses)
        for entry in pod.spec.resource_claims:
            if entry.resource_claim_template_name:
                made[entry.name] = await self._have_claim(pod, entry, statuses.get(entry.name))
        if made != statuses:
            told = [{"name": name, "resourceClaimName": claim} for name, claim in made.items()]
            await self.client.patch(
                core.Pod,
                key.name,
                {"metadata": {"uid": pod.metadata.uid}, "status": {"resourceClaimStatuses": told}},
                namespace=key.namespace,
                subresource="status",
                how=Patch.MERGE,
            )
        if pod.spec.node_name:
            await self._reserve(pod)

    async def _have_claim(self, pod: core.Pod, entry: core.PodResourceClaim, known: str | None) -> str:
        """The name of the entry's claim, which is made if it is not there. "" is for an entry that needs none."""
        if known == "":
            return known
        name = known or name_for(pod, entry.name)
        if self.cache.get(Claim, Key(pod.metadata.namespace, name)) is not None:
            return name
        place = Key(pod.metadata.namespace, entry.resource_claim_template_name)
        template = self.cache.get(Template, place)
        if template is None:
            text = f'resourceclaimtemplate.resource.k8s.io "{place.name}" not found'
            self.events.event(pod, "Warning", "FailedResourceClaimCreation", f"PodResourceClaim {entry.name}: {text}")
            raise NotFound(text)
        claim = claim_from(pod, entry, template)
        try:
            await self.carry_out((Create(claim),))
        except AlreadyExists:
            there = await self.client.get(Claim, claim.metadata.name, namespace=pod.metadata.namespace)
            owner = controller_of(there)
            if owner is None or owner.uid != pod.metadata.uid:
                raise
        return claim.metadata.name

    async def _reserve(self, pod: core.Pod) -> None:
        """Have a pod that came to its node past the scheduler on the list of its claims' users."""
        for name in claims_of(pod):
            claim = self.cache.get(Claim, Key(pod.metadata.namespace, name))
            if claim is None or claim.status.allocation is None:
                continue
            users = claim.status.reserved_for
            if all(user.uid != pod.metadata.uid for user in users):
                mine = {"resource": "pods", "name": pod.metadata.name, "uid": pod.metadata.uid}
                told = [*map(msgspec.to_builtins, users), mine]
                await self.carry_out(
                    (Merge(claim, {"status": {"reservedFor": told}}, subresource="status", exact=True),)
                )

    async def _settle_claim(self, key: Key) -> None:
        claim = self.cache.get(Claim, key)
        if claim is None:
            return
        owner = controller_of(claim)
        pod = self.cache.get(core.Pod, Key(key.namespace, owner.name)) if owner is not None else None
        if pod is not None and owner is not None and pod.metadata.uid != owner.uid:
            pod = None
        users = [user async for user in self._users(claim)]
        await self.carry_out(settle_claim(claim, users, pod))

    async def _users(self, claim: Claim) -> Any:
        """The pods on the claim's list that are there. One that the cache doesn't know may just have been made."""
        for user in claim.status.reserved_for:
            pod = self.cache.get(core.Pod, Key(claim.metadata.namespace, user.name))
            if pod is None or pod.metadata.uid != user.uid:
                try:
                    pod = await self.client.get(core.Pod, user.name, namespace=claim.metadata.namespace)
                except NotFound:
                    continue
            if pod.metadata.uid == user.uid:
                yield pod


def _has_claims(pod: core.Pod) -> bool:
    return bool(pod.spec.resource_claims) or pod.status.extended_resource_claim_status is not None


def _claimed(pod: core.Pod) -> Iterable[str]:
    return [f"{pod.metadata.namespace}/{name}" for name in claims_of(pod)] if _has_claims(pod) else ()


def _templated(pod: core.Pod) -> Iterable[str]:
    return [
        f"{pod.metadata.namespace}/{entry.resource_claim_template_name}"
        for entry in pod.spec.resource_claims
        if entry.resource_claim_template_name
    ]
