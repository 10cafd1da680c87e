"""What a pod group says of its pods' rank: its priority counts in place of theirs, and it may have to go as a whole.

Source: the descriptions of `priority`, `preemptionPolicy` and `disruptionMode` of PodGroups in `scheduling.k8s.io`.
"""

from collections.abc import Callable
from dataclasses import dataclass

from bireme.api.kinds import core


@dataclass(frozen=True, slots=True)
class Rank:
    """A group's priority, whether it may have others evicted, and whether its pods are evicted together (`whole`)."""

    priority: int
    preempts: bool = True
    whole: bool = False


class Ranks:
    """The ranks of groups by namespace and name."""

    def __init__(self) -> None:
        self._ranks: dict[tuple[str, str], Rank] = {}
        self._told: list[Callable[[str, str], None]] = []

    def set(self, namespace: str, name: str, rank: Rank | None) -> None:
        """The group has this rank, or is gone."""
        if self._ranks.get((namespace, name)) == rank:
            return
        if rank is None:
            del self._ranks[namespace, name]
        else:
            self._ranks[namespace, name] = rank
        for told in self._told:
            told(namespace, name)

    def on_change(self, told: Callable[[str, str], None]) -> None:
        """Call `told` with the namespace and name of a group whose rank is another now."""
        self._told.append(told)

    def of(self, pod: core.Pod) -> Rank | None:
        """The rank of the pod's group, if that has one."""
        group = pod.spec.scheduling_group
        return self._ranks.get((pod.metadata.namespace, group.pod_group_name)) if group is not None else None

    def priority(self, pod: core.Pod) -> int:
        """What counts as the pod's priority."""
        rank = self.of(pod)
        return rank.priority if rank is not None else pod.spec.priority or 0

    def may_preempt(self, pod: core.Pod) -> bool:
        """Whether others may have to go for the pod."""
        rank = self.of(pod)
        return rank.preempts if rank is not None else pod.spec.preemption_policy != "Never"

    def unit(self, pod: core.Pod) -> str:
        """With whom the pod is evicted, if at all: the same for all pods of a group that goes as a whole; else ""."""
        rank = self.of(pod)
        if rank is None or not rank.whole or pod.spec.scheduling_group is None:
            return ""
        return f"{pod.metadata.namespace}/{pod.spec.scheduling_group.pod_group_name}"
