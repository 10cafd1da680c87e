"""Keep each ReplicationController at its wanted number of pods, as ReplicaSets are kept."""

from collections.abc import Iterable

import msgspec

from bireme.api.kinds import core
from bireme.api.selectors import NOTHING, LabelSelector
from bireme.client.informer import Key, key_of
from bireme.controllers import ownership, replicas
from bireme.controllers.controller import Watch, owner_keys
from bireme.controllers.informers import Informers
from bireme.controllers.replicaset import Failure, PodReplicator


def would_adopt(cache: Informers, old: core.Pod | None, new: core.Pod | None) -> Iterable[Key]:
    """ReplicationControllers to look at after a change of a pod: its controller, or those that would adopt it."""
    kind = core.ReplicationController
    keys = owner_keys(kind, old, new)
    if new is not None and ownership.controller_of(new) is None:
        labels = new.metadata.labels.items()
        for item in cache.within(kind, new.metadata.namespace):
            if item.spec.selector and item.spec.selector.items() <= labels:
                keys.add(key_of(item))
    return keys


class ReplicationControllerController(PodReplicator[core.ReplicationController]):
    """Keep each ReplicationController at its wanted number of pods."""

    name = "replication-controller"
    kind = core.ReplicationController
    watches = Watch(core.ReplicationController), Watch(core.Pod, keys=would_adopt)

    def get(self, key: Key) -> core.ReplicationController | None:
        return self.cache.get(core.ReplicationController, key)

    def selector(self, owner: core.ReplicationController) -> LabelSelector:
        return LabelSelector.of(owner.spec.selector) if owner.spec.selector else NOTHING

    def siblings(self, owner: core.ReplicationController) -> Iterable[core.Pod]:
        return self.cache.owned(core.Pod, by=owner)

    def status(
        self, owner: core.ReplicationController, counts: replicas.Counts, failure: Failure | None
    ) -> core.ReplicationController:
        conditions = [item for item in owner.status.conditions if item.type != "ReplicaFailure"]
        if failure is not None:
            conditions.append(
                core.ReplicationControllerCondition(
                    type="ReplicaFailure",
                    status="True",
                    reason=failure.reason,
                    message=self.failure_message(owner, failure),
                    last_transition_time=self.failure_since(owner, failure),
                )
            )
        status = core.ReplicationControllerStatus(
            replicas=counts.replicas,
            fully_labeled_replicas=counts.fully_labeled or None,
            ready_replicas=counts.ready or None,
            available_replicas=counts.available or None,
            observed_generation=owner.metadata.generation,
            conditions=conditions,
        )
        return msgspec.structs.replace(owner, status=status)
