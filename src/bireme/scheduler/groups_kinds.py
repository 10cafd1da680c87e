"""Pod groups as users write them: the built-in kind, and the custom one that came before it.

A pod names its group in `spec.schedulingGroup.podGroupName`, or by a label. The custom kind is there when somebody
has brought its definition (`examples/pod-groups`), and followed from then on. Sources: the fields' descriptions in
`scheduling.k8s.io`; the documentation of the scheduler plugins of Kubernetes SIGs (coscheduling).
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from msgspec import field

from bireme.aio.clock import Clock
from bireme.api.kinds import apiextensions, core
from bireme.api.kinds import scheduling_v1alpha3 as scheduling
from bireme.api.kinds.meta import Object
from bireme.api.model import Model
from bireme.api.scheme import ALL_VERBS, Resource
from bireme.client.client import Client
from bireme.client.informer import Informer, Key
from bireme.scheduler.ranks import Rank, Ranks

LABEL = "scheduling.x-k8s.io/pod-group"
DEFINITION = "podgroups.scheduling.x-k8s.io"
TIMEOUT_S = 60.0
LONG_TIMEOUT_S = 300.0
INDEX = "groups/members"


class CustomPodGroupSpec(Model):
    """How many pods must run together, and how long those that have a node wait for the others."""

    min_member: int | None = None
    schedule_timeout_seconds: int | None = None


class CustomPodGroup(Object):
    """`PodGroup` of `scheduling.x-k8s.io`."""

    __gvk__ = ("scheduling.x-k8s.io", "v1alpha1", "PodGroup")
    spec: CustomPodGroupSpec = field(default_factory=CustomPodGroupSpec)


CUSTOM = Resource(
    "scheduling.x-k8s.io",
    "v1alpha1",
    "PodGroup",
    "podgroups",
    "podgroup",
    namespaced=True,
    verbs=frozenset(ALL_VERBS),
)


class GroupKey(NamedTuple):
    """A group by its kind's API group, its namespace and its name."""

    api: str
    namespace: str
    name: str


@dataclass(frozen=True, slots=True)
class Gang:
    """What a group asks for. All members must be in one domain of `topology`, if it names a label."""

    minimum: int
    timeout_s: float
    topology: str = ""


def group_of(pod: core.Pod) -> GroupKey | None:
    """The group that the pod says it is of."""
    named = pod.spec.scheduling_group
    if named is not None and named.pod_group_name:
        return GroupKey("scheduling.k8s.io", pod.metadata.namespace, named.pod_group_name)
    label = pod.metadata.labels.get(LABEL)
    return GroupKey("scheduling.x-k8s.io", pod.metadata.namespace, label) if label else None


def follow_rank(ranks: Ranks, old: scheduling.PodGroup | None, new: scheduling.PodGroup | None) -> None:
    """Enter the rank of a group that came, changed or went. One from before there were any keeps its pods' own."""
    about = (new or old or scheduling.PodGroup()).metadata
    rank = None
    if new is not None and new.spec.priority is not None:
        mode = new.spec.disruption_mode
        whole = mode is not None and mode.all is not None
        rank = Rank(new.spec.priority, preempts=new.spec.preemption_policy != "Never", whole=whole)
    ranks.set(about.namespace, about.name, rank)


class PodGroupCaches:
    """The groups there are. `told` is called when one changed."""

    def __init__(self, client: Client, *, clock: Clock, told: Callable[[], None]) -> None:
        if client.scheme.of_kind(*CustomPodGroup.__gvk__) is None:
            client.scheme.add(CUSTOM)
        self.builtin = Informer(client, scheduling.PodGroup, clock=clock)
        self.custom = Informer(client, CustomPodGroup, clock=clock)
        self.definitions = Informer(
            client, apiextensions.CustomResourceDefinition, clock=clock, fields=f"metadata.name={DEFINITION}"
        )
        self._served = asyncio.Event()
        self._gone = asyncio.Event()
        self.definitions.on_change(self._definition_changed)
        for informer in (self.builtin, self.custom):
            informer.on_change(lambda old, new: told())

    async def run_custom(self) -> None:
        """Follow the custom kind whenever there is one, until cancelled."""
        while True:
            await self._served.wait()
            self._gone.clear()
            async with asyncio.TaskGroup() as tasks:
                following = tasks.create_task(self.custom.run(), name="scheduler: custom pod groups")
                await self._gone.wait()
                following.cancel()
            self.custom.clear()

    def gang(self, key: GroupKey) -> Gang | None:
        """What the group asks for, if there is such a group and it asks for anything."""
        place = Key(key.namespace, key.name)
        if key.api == "scheduling.x-k8s.io":
            custom = self.custom.get(place)
            if custom is None:
                return None
            seconds = custom.spec.schedule_timeout_seconds
            return Gang(custom.spec.min_member or 1, TIMEOUT_S if seconds is None else float(seconds))
        found = self.builtin.get(place)
        if found is None:
            return None
        policy, constraints = found.spec.scheduling_policy.gang, found.spec.scheduling_constraints
        topology = constraints.topology[0].key if constraints is not None and constraints.topology else ""
        if policy is None and not topology:
            return None
        return Gang((policy.min_count if policy is not None else 0) or 1, LONG_TIMEOUT_S, topology)

    def is_there(self, key: GroupKey) -> bool:
        """Whether the group must be waited for: one of the built-in kind that is not there yet."""
        return key.api != "scheduling.k8s.io" or self.builtin.get(Key(key.namespace, key.name)) is not None

    def _definition_changed(
        self,
        old: apiextensions.CustomResourceDefinition | None,
        new: apiextensions.CustomResourceDefinition | None,
    ) -> None:
        ready = new is not None and any(
            condition.type == "Established" and condition.status == "True" for condition in new.status.conditions
        )
        if ready:
            self._served.set()
        else:
            self._served.clear()
            self._gone.set()
