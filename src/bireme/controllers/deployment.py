"""Bring each Deployment's pods to its template, step by step, and keep its history."""

from collections.abc import Iterable
from datetime import timedelta

import msgspec

from bireme.api.errors import AlreadyExists, ApiError
from bireme.api.kinds import apps, core
from bireme.api.selectors import LabelSelector
from bireme.client.informer import Key, key_of
from bireme.controllers import deployment_status as report
from bireme.controllers import ownership, pods, revisions, rollout
from bireme.controllers.changes import Delete, Merge, Update
from bireme.controllers.controller import Controller, Watch, owner_key, owner_keys
from bireme.controllers.deployment_status import Said
from bireme.controllers.informers import Informers


def would_adopt(cache: Informers, old: apps.ReplicaSet | None, new: apps.ReplicaSet | None) -> Iterable[Key]:
    """Deployments to look at after a change of a ReplicaSet: its controller, or those that would adopt it."""
    keys = owner_keys(apps.Deployment, old, new)
    if new is not None and ownership.controller_of(new) is None:
        for deployment in cache.within(apps.Deployment, new.metadata.namespace):
            if LabelSelector.from_struct(deployment.spec.selector).matches(new.metadata.labels):
                keys.add(key_of(deployment))
    return keys


def waits_for_end(cache: Informers, old: core.Pod | None, new: core.Pod | None) -> Iterable[Key]:
    """The Deployment that recreates, and may go on now that a pod of it has ended or is gone."""
    if old is None or (new is not None and (pods.is_ended(old) or not pods.is_ended(new))):
        return ()
    key = owner_key(old, apps.ReplicaSet)
    replica_set = cache.get(apps.ReplicaSet, key) if key else None
    above = owner_key(replica_set, apps.Deployment) if replica_set else None
    deployment = cache.get(apps.Deployment, above) if above else None
    return (above,) if above and deployment and not rollout.is_rolling(deployment) else ()


class DeploymentController(Controller):
    """Bring each Deployment's pods to its template.

    Reads Deployments, the ReplicaSets they own or could adopt and, to recreate, those sets' Pods; creates, scales,
    adopts, releases and deletes ReplicaSets; writes the Deployments' status and revision.
    """

    name = "deployment-controller"
    watches = (
        Watch(apps.Deployment),
        Watch(apps.ReplicaSet, keys=would_adopt),
        Watch(core.Pod, keys=waits_for_end),
    )

    async def reconcile(self, key: Key) -> timedelta | None:
        deployment = self.cache.get(apps.Deployment, key)
        if deployment is None:
            return None  # deleted: the garbage collector sees to its sets
        selector = LabelSelector.from_struct(deployment.spec.selector)
        if selector.everything:
            text = "This deployment is selecting all pods. A non-empty selector is required."
            self.events.event(deployment, "Warning", "SelectingAll", text)
            return None
        owned = await self._claim(deployment, selector)
        new = revisions.find_new(deployment, owned)
        old = [item for item in owned if new is None or item.metadata.uid != new.metadata.uid]
        if deployment.metadata.deletion_timestamp:
            return await self._report(deployment, report.counted(deployment, new, old, now=self.clock.now()))
        deployment = self._with_pause(deployment)
        if deployment.spec.paused or rollout.is_resize(deployment, owned):
            return await self._resize(deployment, new, old)
        return await self._roll(deployment, new, old)

    async def _claim(self, deployment: apps.Deployment, selector: LabelSelector) -> list[apps.ReplicaSet]:
        claims = ownership.claim(deployment, selector, self.cache.candidates(apps.ReplicaSet, owner=deployment))
        await self.carry_out(ownership.release(item, deployment) for item in claims.release)
        if claims.adopt:
            fresh = await self.client.get(
                apps.Deployment, deployment.metadata.name, namespace=deployment.metadata.namespace
            )
            if fresh.metadata.uid == deployment.metadata.uid and not fresh.metadata.deletion_timestamp:
                await self.carry_out(ownership.adoption(item, deployment) for item in claims.adopt)
        return claims.owned  # what was adopted comes back through the cache

    def _with_pause(self, deployment: apps.Deployment) -> apps.Deployment:
        """A copy whose conditions tell of a pause that began or ended."""
        if not report.has_deadline(deployment):
            return deployment
        current = report.find(deployment.status.conditions, "Progressing")
        told = current is not None and current.reason == "DeploymentPaused"
        if bool(deployment.spec.paused) == told or (current and current.reason == "ProgressDeadlineExceeded"):
            return deployment
        if deployment.spec.paused:
            said = Said("Progressing", "Unknown", "DeploymentPaused", "Deployment is paused")
        else:
            said = Said("Progressing", "Unknown", "DeploymentResumed", "Deployment is resumed")
        return self._with(deployment, said)

    def _with(self, deployment: apps.Deployment, said: Said) -> apps.Deployment:
        conditions = report.with_condition(deployment.status.conditions, said, now=self.clock.now())
        status = msgspec.structs.replace(deployment.status, conditions=conditions)
        return msgspec.structs.replace(deployment, status=status)

    async def _resize(
        self, deployment: apps.Deployment, new: apps.ReplicaSet | None, old: list[apps.ReplicaSet]
    ) -> timedelta | None:
        await self._scale(deployment, [*([new] if new else []), *old], rollout.resize(deployment, new, old))
        if deployment.spec.paused:
            await self._clean_up(deployment, old)
        return await self._report(deployment, report.counted(deployment, new, old, now=self.clock.now()))

    async def _roll(
        self, deployment: apps.Deployment, new: apps.ReplicaSet | None, old: list[apps.ReplicaSet]
    ) -> timedelta | None:
        rolling = rollout.is_rolling(deployment)
        live = not rolling and self._old_pods_live(old)
        if new is not None:
            deployment, new = await self._take_up(deployment, new, old)
        elif rolling or not (live or any(map(rollout.replicas_of, old))):
            deployment, new = await self._make_new(deployment, old)
        if rolling:
            sizes = rollout.rolling_step(deployment, new, old) if new else {}
        else:
            sizes = rollout.recreate_step(deployment, new, old, old_pods_live=live)
        await self._scale(deployment, [*([new] if new else []), *old], sizes)
        if not sizes and report.is_complete(deployment, deployment.status):
            await self._clean_up(deployment, old)
        return await self._report(deployment, report.rolled(deployment, new, old, now=self.clock.now()))

    def _old_pods_live(self, old: list[apps.ReplicaSet]) -> bool:
        return any(not pods.is_ended(pod) for item in old for pod in self.cache.owned(core.Pod, by=item))

    async def _take_up(
        self, deployment: apps.Deployment, new: apps.ReplicaSet, old: list[apps.ReplicaSet]
    ) -> tuple[apps.Deployment, apps.ReplicaSet]:
        """Make sure that the existing new set and the Deployment bear the right revision."""
        fresh = revisions.taken_up(deployment, new, revision=revisions.next_revision(old))
        if fresh is not new:
            patch = {
                "metadata": {
                    "uid": new.metadata.uid,
                    "resourceVersion": new.metadata.resource_version,
                    "annotations": fresh.metadata.annotations,
                },
                "spec": {"minReadySeconds": fresh.spec.min_ready_seconds},
            }
            name, namespace = new.metadata.name, new.metadata.namespace
            new = await self.client.patch(apps.ReplicaSet, name, patch, namespace=namespace)
        if report.has_deadline(deployment) and not report.find(deployment.status.conditions, "Progressing"):
            text = f'Found new replica set "{new.metadata.name}"'
            deployment = self._with(deployment, Said("Progressing", "True", "FoundNewReplicaSet", text))
        return await self._bear(deployment, revisions.revision_of(new)), new

    async def _make_new(
        self, deployment: apps.Deployment, old: list[apps.ReplicaSet]
    ) -> tuple[apps.Deployment, apps.ReplicaSet]:
        replicas = rollout.new_size(deployment, 0, old)
        maximum = rollout.replicas_of(deployment) + rollout.bounds(deployment).surge
        revision = revisions.next_revision(old)
        wanted = revisions.make_new(deployment, replicas=replicas, revision=revision, maximum=maximum)
        try:
            new = await self.client.create(wanted)
        except AlreadyExists:
            new = await self._same_or_collision(deployment, wanted)
        except ApiError as error:
            await self._tell_failure(deployment, wanted, error)
            raise
        else:
            if replicas:
                text = f"Scaled up replica set {new.metadata.name} from 0 to {replicas}"
                self.events.event(deployment, "Normal", "ScalingReplicaSet", text)
            if report.has_deadline(deployment):
                text = f'Created new replica set "{new.metadata.name}"'
                deployment = self._with(deployment, Said("Progressing", "True", "NewReplicaSetCreated", text))
        return await self._bear(deployment, revisions.revision_of(new)), new

    async def _same_or_collision(self, deployment: apps.Deployment, wanted: apps.ReplicaSet) -> apps.ReplicaSet:
        """The set of that name, if it is ours and the same (our cache is late); else count a collision and retry."""
        name, namespace = wanted.metadata.name, wanted.metadata.namespace
        there = await self.client.get(apps.ReplicaSet, name, namespace=namespace)
        if ownership.is_controlled_by(there, deployment) and revisions.same_template(
            there.spec.template, wanted.spec.template
        ):
            return there
        count = (deployment.status.collision_count or 0) + 1
        await self.carry_out((Merge(deployment, {"status": {"collisionCount": count}}, "status", exact=True),))
        raise AlreadyExists(f'replica set "{name}" is another: trying the next name')

    async def _tell_failure(self, deployment: apps.Deployment, wanted: apps.ReplicaSet, error: ApiError) -> None:
        text = f'Failed to create new replica set "{wanted.metadata.name}": {error}'
        self.events.event(deployment, "Warning", "ReplicaSetCreateError", text)
        if report.has_deadline(deployment):
            told = self._with(deployment, Said("Progressing", "False", "ReplicaSetCreateError", text))
            if told.status != deployment.status:
                await self.carry_out((Update(told, subresource="status"),))

    async def _bear(self, deployment: apps.Deployment, revision: int) -> apps.Deployment:
        """Have the Deployment's annotation tell its revision."""
        if not revision or revisions.revision_of(deployment) == revision:
            return deployment
        metadata = deployment.metadata
        sure = {"uid": metadata.uid, "resourceVersion": metadata.resource_version}
        patch = {"metadata": {**sure, "annotations": {revisions.REVISION: str(revision)}}}
        fresh = await self.client.patch(apps.Deployment, metadata.name, patch, namespace=metadata.namespace)
        return msgspec.structs.replace(fresh, status=deployment.status)

    async def _scale(self, deployment: apps.Deployment, sets: list[apps.ReplicaSet], sizes: rollout.Sizes) -> None:
        wanted = rollout.replicas_of(deployment)
        marks = {
            revisions.DESIRED: str(wanted),
            revisions.MAXIMUM: str(wanted + rollout.bounds(deployment).surge),
        }
        for item in sets:
            before = rollout.replicas_of(item)
            after = sizes.get(item.metadata.name, before)
            marked = marks.items() <= item.metadata.annotations.items()
            if item.metadata.name not in sizes or (after == before and marked):
                continue
            patch = {"metadata": {"annotations": marks}, "spec": {"replicas": after}}
            await self.carry_out((Merge(item, patch, exact=True),))
            if after != before:
                way = "up" if after > before else "down"
                text = f"Scaled {way} replica set {item.metadata.name} from {before} to {after}"
                self.events.event(deployment, "Normal", "ScalingReplicaSet", text)

    async def _clean_up(self, deployment: apps.Deployment, old: list[apps.ReplicaSet]) -> None:
        await self.carry_out(Delete(item, exact=True) for item in revisions.beyond_history(deployment, old))

    async def _report(self, deployment: apps.Deployment, status: apps.DeploymentStatus) -> timedelta | None:
        cached = self.cache.get(apps.Deployment, key_of(deployment))
        if cached is None or cached.status != status:
            await self.carry_out((Update(msgspec.structs.replace(deployment, status=status), subresource="status"),))
        at = None if deployment.spec.paused else report.deadline(deployment, status.conditions)
        return max(at - self.clock.now(), timedelta()) + timedelta(seconds=1) if at else None
