"""Keep each ReplicaSet at its wanted number of pods."""

import functools
from abc import abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import ClassVar, Generic, TypeVar

import msgspec

from bireme.api.errors import ApiError, NotFound
from bireme.api.kinds import apps, core
from bireme.api.selectors import LabelSelector
from bireme.api.times import rfc3339
from bireme.client.informer import Key
from bireme.controllers import acting, changes, ownership, pods, replicas, tallies
from bireme.controllers.controller import Context, Controller, Watch, owner_keys
from bireme.controllers.informers import ORPHANS, Informers
from bireme.controllers.own_writes import OwnWrites
from bireme.controllers.selecting import SELECTS, adopters, filed_selector

R = TypeVar("R", apps.ReplicaSet, core.ReplicationController)

# A look at a set costs about this much for each pod: large sets gather changes for that long.
REST_PER_POD_S = 100e-6
REST_FROM = 200
# Requests begun at once: each takes some 0.4 ms before it waits, and nobody is served meanwhile.
AT_ONCE = 64


@dataclass(frozen=True, slots=True)
class Failure:
    """Why pods could not be made or deleted: FailedCreate or FailedDelete, and the error."""

    reason: str
    error: ApiError


class PodReplicator(Controller, Generic[R]):
    """What ReplicaSets and ReplicationControllers share.

    Reads the sets and the pods they own or could adopt; creates, adopts, releases and deletes Pods; writes the
    status of the sets.
    """

    kind: ClassVar[type[apps.ReplicaSet] | type[core.ReplicationController]]

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._own = OwnWrites(self.cache.of(core.Pod))
        self._tallies = tallies.Tallies(self.cache.of(core.Pod), kind=self.kind.__name__)

    @abstractmethod
    def get(self, key: Key) -> R | None:
        """The set, as it was a moment ago."""

    @abstractmethod
    def selector(self, owner: R) -> LabelSelector:
        """The pods that the set means."""

    @abstractmethod
    def siblings(self, owner: R) -> Iterable[core.Pod]:
        """Pods of sets under the same owner, these among them."""

    @abstractmethod
    def status(self, owner: R, counts: replicas.Counts, failure: Failure | None) -> R:
        """A copy of the set with the status that it should have."""

    async def reconcile(self, key: Key) -> timedelta | None:
        owner = self.get(key)
        if owner is None:
            self.rest(key, 0)
            return None  # deleted: the garbage collector sees to its pods
        await self._own.look_up(self.client, owner.metadata.uid, before=self.unseen_since)
        counts = self._tallied(owner)
        owned = await self._claim(owner) if counts is None else []
        number = len(owned) if counts is None else counts.replicas + counts.terminating
        self.rest(key, number * REST_PER_POD_S if number >= REST_FROM else 0)
        failure, capped = None, False
        if not owner.metadata.deletion_timestamp:
            wanted = _wanted(owner)
            active = [pod for pod in owned if pods.is_active(pod)]
            have = len(active) if counts is None else counts.replicas
            if have > wanted:
                plan = replicas.plan(wanted, active, siblings=self.siblings(owner), now=self.clock.now())
            else:
                plan = replicas.Plan(create=min(wanted - have, replicas.BURST))
            failure = await self._carry_out(owner, plan)
            capped = failure is None and abs(wanted - have) > replicas.BURST
            if plan.create or plan.delete:
                counts = self._tallied(owner)
                if counts is None:
                    owned = self._own.laid_over(owner.metadata.uid, self.cache.owned(core.Pod, by=owner))
        counts = await self._report(owner, counts or self._counts(owner, owned), failure)
        if failure is not None:
            if any(cause.reason == "NamespaceTerminating" for cause in failure.error.causes):
                return None  # its namespace is going, and it with it
            raise failure.error
        if capped:
            return timedelta(0)
        if self._own.waits(owner.metadata.uid):
            return timedelta(seconds=self.settings.unseen_s)
        return replicas.look_again(counts, now=self.clock.now())

    def _tallied(self, owner: R) -> replicas.Counts | None:
        """The counts, without a look at the pods; None where they have to be looked at."""
        metadata = owner.metadata
        if metadata.deletion_timestamp or owner.spec.min_ready_seconds or self._own.has_deleted:
            return None
        if self.cache.find(core.Pod, ORPHANS, metadata.namespace):
            return None  # one of them may be to adopt
        counts = tallies.counted(
            self._tallies.of(metadata.uid),
            self._own.unseen(metadata.uid),
            selector=self.selector(owner),
            template_labels=_template_labels(owner),
        )
        return counts if counts is not None and counts.replicas <= _wanted(owner) else None

    def _counts(self, owner: R, owned: list[core.Pod]) -> replicas.Counts:
        return replicas.count(
            owned,
            template_labels=_template_labels(owner),
            min_ready_s=owner.spec.min_ready_seconds or 0,
            now=self.clock.now(),
        )

    async def _claim(self, owner: R) -> list[core.Pod]:
        claims = ownership.claim(
            owner,
            self.selector(owner),
            (pod for pod in self.cache.candidates(core.Pod, owner=owner) if not pods.is_ended(pod)),
        )
        for pod in claims.release:
            await self._quietly(ownership.release(pod, owner))
        if claims.adopt and await acting.still_there(self.client, owner):
            for pod in claims.adopt:
                await self._quietly(ownership.adoption(pod, owner))
            claims.owned.extend(claims.adopt)
        return self._own.laid_over(owner.metadata.uid, claims.owned)

    async def _quietly(self, change: changes.Change) -> None:
        """Change a pod that may be gone by now."""
        try:
            await self.carry_out((change,))
        except NotFound:
            pass

    async def _carry_out(self, owner: R, plan: replicas.Plan) -> Failure | None:
        if plan.create:
            template = owner.spec.template or core.PodTemplateSpec()
            metadata = owner.metadata
            pod = replicas.pod_from(template, owner_name=metadata.name, namespace=metadata.namespace)
            pod.metadata.owner_references = [ownership.reference_to(owner)]
            made = await acting.by_batch(
                range(plan.create), functools.partial(self._create, owner, pod), limit=AT_ONCE
            )
            if made.error is not None:
                message = f"Error creating: {made.error}"
                self.events.event(owner, "Warning", "FailedCreate", message)
                return Failure("FailedCreate", made.error)
        if plan.delete:
            gone = await acting.in_batches(
                plan.delete, functools.partial(self._delete, owner), first=AT_ONCE, limit=AT_ONCE
            )
            if gone.error is not None:
                self.events.event(owner, "Warning", "FailedDelete", f"Error deleting: {gone.error}")
                return Failure("FailedDelete", gone.error)
        return None

    async def _create(self, owner: R, pod: core.Pod, batch: Sequence[int]) -> acting.Outcome[core.Pod]:
        outcomes = await self.client.create_alike(pod, len(batch))
        made = [outcome for outcome in outcomes if not isinstance(outcome, ApiError)]
        errors = [outcome for outcome in outcomes if isinstance(outcome, ApiError)]
        for each in made:
            self._own.made(owner.metadata.uid, each, at=self.clock.monotonic())
            self.events.event(owner, "Normal", "SuccessfulCreate", f"Created pod: {each.metadata.name}")
        return acting.Outcome(made, len(errors), errors[0] if errors else None)

    async def _delete(self, owner: R, pod: core.Pod) -> None:
        await acting.carry_out(self.client, changes.Delete(pod))
        self._own.deleted(pod)
        self.events.event(owner, "Normal", "SuccessfulDelete", f"Deleted pod: {pod.metadata.name}")

    async def _report(self, owner: R, counts: replicas.Counts, failure: Failure | None) -> replicas.Counts:
        fresh = self.status(owner, counts, failure)
        if fresh.status != owner.status:
            await self.carry_out((changes.Update(fresh, subresource="status"),))
        return counts

    def failure_since(self, owner: R, failure: Failure) -> str:
        """When the failure began: as the status says, if it already tells of it."""
        old = _told(owner)
        return old.last_transition_time if old else rfc3339(self.clock.now())

    def failure_message(self, owner: R, failure: Failure) -> str:
        """What went wrong, in the words already told: each refusal may name another pod, and is no news."""
        old = _told(owner)
        return old.message if old and old.reason == failure.reason else str(failure.error)


def _wanted(owner: apps.ReplicaSet | core.ReplicationController) -> int:
    return 1 if owner.spec.replicas is None else owner.spec.replicas


def _template_labels(owner: apps.ReplicaSet | core.ReplicationController) -> dict[str, str]:
    return owner.spec.template.metadata.labels if owner.spec.template else {}


def _told(
    owner: apps.ReplicaSet | core.ReplicationController,
) -> apps.ReplicaSetCondition | core.ReplicationControllerCondition | None:
    """The failure that the status tells of."""
    return next((item for item in owner.status.conditions if item.type == "ReplicaFailure"), None)


def would_adopt(cache: Informers, old: core.Pod | None, new: core.Pod | None) -> Iterable[Key]:
    """ReplicaSets to look at after a change of a pod: its controller, or those that would adopt it."""
    keys = owner_keys(apps.ReplicaSet, old, new)
    if new is None or _stays_as_it_was(old, new):
        return keys
    return keys | adopters(cache, apps.ReplicaSet, new)


def _stays_as_it_was(old: core.Pod | None, new: core.Pod) -> bool:
    """The pod had nobody before either, and the same labels: who would adopt it was told then."""
    return (
        old is not None
        and old.metadata.uid == new.metadata.uid
        and ownership.controller_of(old) is None
        and old.metadata.labels == new.metadata.labels
    )


def _filed(replica_set: apps.ReplicaSet) -> Iterable[str]:
    return filed_selector(replica_set.metadata.namespace, replica_set.spec.selector)


class ReplicaSetController(PodReplicator[apps.ReplicaSet]):
    """Keep each ReplicaSet at its wanted number of pods."""

    name = "replicaset-controller"
    kind = apps.ReplicaSet
    watches = Watch(apps.ReplicaSet), Watch(core.Pod, keys=would_adopt)

    def __init__(self, context: Context) -> None:
        context.informers.index(apps.ReplicaSet, SELECTS, _filed)
        super().__init__(context)

    def get(self, key: Key) -> apps.ReplicaSet | None:
        return self.cache.get(apps.ReplicaSet, key)

    def selector(self, owner: apps.ReplicaSet) -> LabelSelector:
        return LabelSelector.from_struct(owner.spec.selector)

    def siblings(self, owner: apps.ReplicaSet) -> Iterable[core.Pod]:
        reference = ownership.controller_of(owner)
        family = [owner]
        if reference is not None:
            family = [
                item
                for item in self.cache.within(apps.ReplicaSet, owner.metadata.namespace)
                if any(theirs.uid == reference.uid and theirs.controller for theirs in item.metadata.owner_references)
            ]
        return [pod for item in family for pod in self.cache.owned(core.Pod, by=item)]

    def status(self, owner: apps.ReplicaSet, counts: replicas.Counts, failure: Failure | None) -> apps.ReplicaSet:
        conditions = [item for item in owner.status.conditions if item.type != "ReplicaFailure"]
        if failure is not None:
            conditions.append(
                apps.ReplicaSetCondition(
                    type="ReplicaFailure",
                    status="True",
                    reason=failure.reason,
                    message=self.failure_message(owner, failure),
                    last_transition_time=self.failure_since(owner, failure),
                )
            )
        status = apps.ReplicaSetStatus(
            replicas=counts.replicas,
            fully_labeled_replicas=counts.fully_labeled or None,
            ready_replicas=counts.ready or None,
            available_replicas=counts.available or None,
            terminating_replicas=counts.terminating,
            observed_generation=owner.metadata.generation,
            conditions=conditions,
        )
        return msgspec.structs.replace(owner, status=status)
