"""Keep each StatefulSet's numbered pods, with claims of their own, one after the other.

Reads StatefulSets, their Pods, claims and ControllerRevisions; creates and deletes Pods, creates claims and says whom
they go with, keeps the history; writes the status of StatefulSets. What comes next is in `stateful_plan`, what pods
look like in `stateful_pods`.
"""

from collections.abc import Iterable, Sequence
from datetime import timedelta

import msgspec

from bireme.api.errors import AlreadyExists, ApiError, NotFound
from bireme.api.kinds import apps, core
from bireme.client.informer import Key, key_of
from bireme.controllers import changes, histories, ownership, stateful_plan, stateful_pods
from bireme.controllers.controller import Context, Watch, nobody, owner_keys
from bireme.controllers.informers import Informers
from bireme.controllers.selecting import SELECTS, adopters, filed_selector
from bireme.controllers.template_history import KeepsHistory


def would_adopt(cache: Informers, old: core.Pod | None, new: core.Pod | None) -> Iterable[Key]:
    """StatefulSets to look at after a change of a pod: its controller, or those that would adopt it."""
    if ownership.is_anothers(old, new, kind="StatefulSet"):
        return ()
    return owner_keys(apps.StatefulSet, old, new) | adopters(cache, apps.StatefulSet, new)


def _filed(set_: apps.StatefulSet) -> Iterable[str]:
    return filed_selector(set_.metadata.namespace, set_.spec.selector)


class StatefulSetController(KeepsHistory[apps.StatefulSet]):
    """Keep each StatefulSet's pods."""

    name = "statefulset-controller"
    watches = (
        Watch(apps.StatefulSet),
        Watch(core.Pod, keys=would_adopt),
        Watch(apps.ControllerRevision, owner=apps.StatefulSet),
        Watch(core.PersistentVolumeClaim, keys=nobody),
    )

    def __init__(self, context: Context) -> None:
        context.informers.index(apps.StatefulSet, SELECTS, _filed)
        super().__init__(context)

    async def reconcile(self, key: Key) -> timedelta | None:
        set_ = self.cache.get(apps.StatefulSet, key)
        if set_ is None:
            return None  # deleted: the garbage collector sees to its pods
        there = await self.stand(set_)
        if there is None:
            return None
        owned = await self.claim(set_, core.Pod, means=lambda pod: stateful_pods.ordinal_of(set_, pod) is not None)
        view = stateful_plan.View(
            spec=set_.spec,
            pods={ordinal: pod for pod in owned if (ordinal := stateful_pods.ordinal_of(set_, pod)) is not None},
            current=set_.status.current_revision or there.wanted.metadata.name,
            update=there.wanted.metadata.name,
            now=self.clock.now(),
        )
        if not set_.metadata.deletion_timestamp:
            await self._settle_claims(set_, view)
            await self._report(set_, view, owned)
            await self._act(set_, view, there)
            live = {view.current, view.update, *(stateful_plan.revision_of(pod) for pod in view.pods.values())}
            await self.forget(set_, there, live)
        return stateful_plan.look_again(view, owned)

    async def _act(self, set_: apps.StatefulSet, view: stateful_plan.View, there: histories.Standing) -> None:
        plan = stateful_plan.plan(view)
        for pod in plan.delete:
            await self._delete(set_, pod)
        templates = {item.metadata.name: histories.template_of(item) for item in there.all}
        for ordinal in plan.create:
            wanted = stateful_plan.revision_for(view, ordinal, current_replicas=set_.status.current_replicas or 0)
            revision = wanted if wanted in templates else view.update
            await self._create(
                set_, stateful_pods.pod(set_, templates[revision], ordinal, revision=revision), ordinal
            )

    async def _create(self, set_: apps.StatefulSet, pod: core.Pod, ordinal: int) -> None:
        said = f"Pod {pod.metadata.name} in StatefulSet {set_.metadata.name}"
        try:
            for claim in stateful_pods.claims(set_, ordinal):
                await self._create_claim(set_, claim, said)
            await self.client.create(pod)
        except AlreadyExists:
            raise  # it is being looked at again
        except ApiError as error:
            self.events.event(set_, "Warning", "FailedCreate", f"create {said} failed error: {error}")
            raise
        self.events.event(set_, "Normal", "SuccessfulCreate", f"create {said} successful")

    async def _create_claim(self, set_: apps.StatefulSet, claim: core.PersistentVolumeClaim, said: str) -> None:
        if self.cache.get(core.PersistentVolumeClaim, key_of(claim)) is not None:
            return
        try:
            await self.client.create(claim)
        except AlreadyExists:
            return  # from an earlier life of the pod
        self.events.event(set_, "Normal", "SuccessfulCreate", f"create Claim {claim.metadata.name} {said} success")

    async def _delete(self, set_: apps.StatefulSet, pod: core.Pod) -> None:
        if not await self.delete_once(pod):
            return
        name = pod.metadata.name
        if pod.status.phase in ("Failed", "Succeeded"):
            message = f"StatefulSet {key_of(set_)} is recreating {pod.status.phase} Pod {name}"
            self.events.event(set_, "Normal", "RecreatingTerminatedPod", message)
        self.events.event(
            set_, "Normal", "SuccessfulDelete", f"delete Pod {name} in StatefulSet {set_.metadata.name} successful"
        )

    async def _settle_claims(self, set_: apps.StatefulSet, view: stateful_plan.View) -> None:
        """Claims go with whom the retention policy says."""
        condemned = {pod.metadata.uid for pod in view.condemned}
        for ordinal, pod in view.pods.items():
            owners = stateful_pods.claim_owners(set_, pod if pod.metadata.uid in condemned else None)
            for wanted in stateful_pods.claims(set_, ordinal):
                claim = self.cache.get(core.PersistentVolumeClaim, key_of(wanted))
                if claim is not None:
                    await self._own(set_, pod, claim, owners)

    async def _own(
        self,
        set_: apps.StatefulSet,
        pod: core.Pod,
        claim: core.PersistentVolumeClaim,
        owners: Sequence[object],
    ) -> None:
        ours = {set_.metadata.uid, pod.metadata.uid}
        others = [item for item in claim.metadata.owner_references if item.uid not in ours]
        wanted = [*others, *owners]
        if wanted != claim.metadata.owner_references:
            trees = [msgspec.to_builtins(item) for item in wanted]
            patch = {"metadata": {"ownerReferences": trees or None}}
            try:
                await self.carry_out((changes.Merge(claim, patch, exact=True),))
            except NotFound:
                return

    async def _report(self, set_: apps.StatefulSet, view: stateful_plan.View, owned: Sequence[core.Pod]) -> None:
        status = stateful_plan.status(view, set_, owned)
        if status != set_.status:
            fresh = msgspec.structs.replace(set_, status=status)
            await self.carry_out((changes.Update(fresh, subresource="status"),))
