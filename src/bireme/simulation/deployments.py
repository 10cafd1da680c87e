"""Deployments in the lean player: groups of pods of one template each, stepped from old to new.

The sizes of the groups are decided by the controller's own plain function (`controllers/rollout.py`); what a pod's
readiness is, it learns at once, where a cluster's controllers would hear of it a moment later.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import islice

from bireme.api.kinds import apps, meta
from bireme.controllers import rollout
from bireme.simulation.pod import SimPod, State
from bireme.simulation.scenario import Template, Workload


@dataclass(slots=True)
class Group:
    """The pods of one template: a ReplicaSet, with the sizes that the controller's functions read."""

    deployment: "Deployment"
    template: Template
    sizes: apps.ReplicaSet
    pods: dict[str, SimPod] = field(default_factory=dict)

    def first_to_go(self, count: int) -> list[SimPod]:
        """Those without a node, those that don't serve, the youngest: of one age those that were made last."""
        youngest = reversed(self.pods.values())
        if self.sizes.status.available_replicas == len(self.pods):  # a rollout's usual step: nothing to sort
            return list(islice(youngest, count))
        return sorted(youngest, key=_rank)[:count]


@dataclass(frozen=True, slots=True)
class Means:
    """What a deployment can do: have a pod made for a group, have one removed."""

    make: Callable[[Group], SimPod]
    remove: Callable[[SimPod], None]


class Deployment:
    """One deployment and its groups, the newest last."""

    def __init__(self, workload: Workload, means: Means) -> None:
        self.workload, self._means = workload, means
        self.groups: list[Group] = []
        self.available = 0
        self.revision = 0
        rolling = apps.RollingUpdateDeployment(
            max_surge=_count(workload.max_surge), max_unavailable=_count(workload.max_unavailable)
        )
        strategy = apps.DeploymentStrategy(type="RollingUpdate", rolling_update=rolling)
        self._wanted = apps.Deployment(spec=apps.DeploymentSpec(replicas=workload.replicas, strategy=strategy))

    @property
    def replicas(self) -> int:
        """How many are wanted."""
        return self._wanted.spec.replicas or 0

    def update(self, template: Template) -> None:
        """Go over to this template."""
        name = f"{self.workload.name}-{self.revision}"
        self.revision += 1
        # The revision in the place of a time: all that it is read for is the order of the sets.
        metadata = meta.ObjectMeta(name=name, creation_timestamp=f"{self.revision:09}")
        sizes = apps.ReplicaSet(metadata=metadata, spec=apps.ReplicaSetSpec(replicas=0))
        self.groups.append(Group(self, template, sizes))
        self.settle()

    def scale(self, replicas: int) -> None:
        """Have as many."""
        self._wanted.spec.replicas = replicas
        self.settle()

    def may_evict(self, pod: SimPod) -> bool:
        """Whether the pod can go without more being unavailable than may be; one that is not available can."""
        least = self.replicas - rollout.bounds(self._wanted).unavailable
        return pod.state is not State.READY or self.available > least

    def ready(self, pod: SimPod) -> None:
        """The pod serves."""
        self._count(pod, 1)
        self.settle()

    def unready(self, pod: SimPod) -> None:
        """The pod serves no more."""
        self._count(pod, -1)

    def gone(self, pod: SimPod) -> None:
        """The pod is gone, and is replaced if it was still wanted."""
        if pod.group is not None:
            pod.group.pods.pop(pod.uid, None)
        self.settle()

    def settle(self) -> None:
        """Take every step that can be taken now."""
        while sizes := self._next_sizes():
            for group in self.groups:
                size = sizes.get(group.sizes.metadata.name)
                if size is not None:
                    group.sizes.spec.replicas = size
            self._fill()
        self._fill()
        self.groups = [group for group in self.groups[:-1] if group.pods or group.sizes.spec.replicas] + self.groups[
            -1:
        ]

    def _next_sizes(self) -> dict[str, int]:
        new, old = self.groups[-1].sizes, [group.sizes for group in self.groups[:-1]]
        if not any(each.spec.replicas for each in old):
            return {} if new.spec.replicas == self.replicas else {new.metadata.name: self.replicas}
        return rollout.rolling_step(self._wanted, new, old)

    def _fill(self) -> None:
        """Make and remove pods until each group is of its size."""
        for group in self.groups:
            wanted = group.sizes.spec.replicas or 0
            while len(group.pods) < wanted:
                pod = self._means.make(group)
                group.pods[pod.uid] = pod
            surplus = len(group.pods) - wanted
            if surplus > 0:
                for pod in group.first_to_go(surplus):
                    del group.pods[pod.uid]
                    self._means.remove(pod)

    def _count(self, pod: SimPod, change: int) -> None:
        self.available += change
        if pod.group is not None:
            status = pod.group.sizes.status
            status.available_replicas = (status.available_replicas or 0) + change


def _rank(pod: SimPod) -> tuple[bool, bool]:
    return bool(pod.node), pod.state is State.READY


def _count(word: str) -> int | str:
    return int(word) if word.isdecimal() else word
