"""A cluster seen from outside, once: its nodes, pods and what groups them, listed and counted as the scheduler does.

All that is needed is the right to list; any Kubernetes API server will do. What may not be listed is left out, and
noted. What only the scheduler's own process knows is not seen: offers that are out, pods it is about to bind, and
whose turn it is among groups of pods. What extenders say is asked of them (`survey_extenders.py`).
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from msgspec.structs import replace

from bireme.aio.clock import Clock
from bireme.api.errors import Forbidden, NotFound
from bireme.api.kinds import core
from bireme.api.kinds import scheduling_v1alpha3 as scheduling
from bireme.api.kinds.meta import Object
from bireme.client.client import Client
from bireme.client.informer import Informer
from bireme.ledger.ledger import Ledger
from bireme.scheduler.caches import Caches
from bireme.scheduler.claims_extended import extended_of
from bireme.scheduler.groups import PodGroups
from bireme.scheduler.groups_kinds import INDEX, group_of
from bireme.scheduler.interface import Mask, Rule, Stop, looked, plugin_of
from bireme.scheduler.pod_pages import PodReader, pod_pages
from bireme.scheduler.profile import DEFAULT, Profile
from bireme.scheduler.rules import Rules
from bireme.scheduler.spreading import Spreading
from bireme.scheduler.survey_groups import look_at_group, tell_members
from bireme.scheduler.volumes_users import uses_claims
from bireme.scheduler.world import World

K = TypeVar("K", bound=Object)


@dataclass(slots=True)
class Survey:
    """What was seen. `unseen` are kinds that could not be listed, with the reason; `notes` what matters besides."""

    world: World
    caches: Caches
    spreading: Spreading
    nominated: dict[str, list[str]] = field(default_factory=dict)
    leaving: dict[str, list[str]] = field(default_factory=dict)
    unseen: dict[str, str] = field(default_factory=dict)
    masks: list[Mask] = field(default_factory=list)
    stop: str = ""
    notes: list[str] = field(default_factory=list)


async def survey(client: Client, pod: core.Pod, *, clock: Clock, profile: Profile = DEFAULT) -> Survey:
    """Everything that has a say about the pod's place, but the rules that its profile has off.

    Raises ApiError when nodes or pods can't be listed.
    """
    caches = Caches.of(client, clock=clock)
    seen = Survey(World(Ledger()), caches, Spreading(caches))
    columns, claiming = seen.world.ledger.columns, uses_claims(pod) or _may_need_devices(pod)
    rules = Rules(client, columns=columns, pods=caches.pods, nodes=caches.nodes, clock=clock, uid=lambda: "")
    rules.groups.rank_in(seen.world.ranks)
    await _fill(client, seen, rules.groups.caches.builtin)
    if not rules.groups.concerns(pod):
        seen.unseen.pop(scheduling.PodGroup.__name__, None)
    for node in (await client.list(core.Node)).items:
        seen.world.set_node(node)
        caches.nodes.have([node])
    await _fill(client, seen, caches.namespaces)
    for namespace in caches.namespaces.items():
        seen.world.set_namespace(namespace.metadata.name, namespace.metadata.labels)
    await _fill_own(client, seen, pod)
    await _place_pods(client, seen, pod, with_volumes=claiming)
    if claiming:
        for informer in rules.informers():
            await _fill(client, seen, informer)
    asked: Sequence[Rule] = rules.all if claiming else (rules.features,)
    on = [rule for rule in asked if rule is not rules.groups and plugin_of(rule) not in profile.off]
    _look(pod, seen, on)
    if rules.groups.concerns(pod) and rules.groups.plugin not in profile.off:
        await _see_group(client, pod, seen, rules.groups, profile, on)
    return seen


def _may_need_devices(pod: core.Pod) -> bool:
    return bool(pod.spec.resource_claims or extended_of(pod))


async def _see_group(
    client: Client, pod: core.Pod, seen: Survey, groups: PodGroups, profile: Profile, rules: Sequence[Rule]
) -> None:
    key = group_of(pod)
    if key is None:
        return
    if key.api != scheduling.PodGroup.__gvk__[0]:
        await _fill(client, seen, groups.caches.custom, namespace=key.namespace)
    if {scheduling.PodGroup.__name__, groups.caches.custom.kind.__name__} & seen.unseen.keys():
        return
    if told := tell_members(groups, key, seen.caches.pods.by_index(INDEX, str(key))):
        seen.notes.append(told)
    if pod.spec.node_name or pod.spec.scheduling_gates or seen.stop:
        return
    said = look_at_group(groups, pod, seen.world, profile, rules, seen.spreading.selector)
    if isinstance(said, Stop):
        seen.stop = said.message
    elif isinstance(said, str):
        seen.notes.append(said)
    else:
        seen.masks += said


def _look(pod: core.Pod, seen: Survey, rules: list[Rule]) -> None:
    for rule in rules:
        if not rule.concerns(pod):
            continue
        answer = looked(rule, pod)
        if isinstance(answer, Stop):
            seen.stop = answer.message
            return
        seen.masks += answer


async def _place_pods(client: Client, seen: Survey, pod: core.Pod, *, with_volumes: bool) -> None:
    """Have every other pod where it is, and those for whom room is being made where they will be."""
    ranks, group = seen.world.ranks, group_of(pod)
    priority, reader = ranks.priority(pod), PodReader(with_volumes=with_volumes, with_groups=True)
    if group is not None:
        seen.caches.pods.have([pod])
    async for page in pod_pages(client, reader):
        for other, node in page:
            about = other.metadata
            if about.uid == pod.metadata.uid:
                continue
            where = node
            nominated = other.status.nominated_node_name
            if group is not None and group_of(other) == group:
                seen.caches.pods.have([_on(other, node)])
            elif not node and nominated and ranks.priority(other) >= priority:
                where = nominated
                seen.nominated.setdefault(nominated, []).append(f"{about.namespace}/{about.name}")
            if where:
                seen.world.place(other, where)
                if about.deletion_timestamp:
                    seen.leaving.setdefault(where, []).append(f"{about.namespace}/{about.name}")
                if with_volumes and (uses_claims(other) or other.spec.resource_claims):
                    seen.caches.pods.have([_on(other, where)])


def _on(pod: core.Pod, node: str) -> core.Pod:
    return replace(pod, spec=replace(pod.spec, node_name=node))


async def _fill_own(client: Client, seen: Survey, pod: core.Pod) -> None:
    """The services and the controller that group the pod with others, if it does not say itself."""
    if pod.spec.topology_spread_constraints:
        return
    namespace, caches = pod.metadata.namespace, seen.caches
    await _fill(client, seen, caches.services, namespace=namespace)
    owned: dict[str, Informer[Any]] = {
        "ReplicaSet": caches.replica_sets,
        "StatefulSet": caches.stateful_sets,
        "ReplicationController": caches.replication_controllers,
    }
    for owner in pod.metadata.owner_references:
        informer = owned.get(owner.kind)
        if owner.controller and informer is not None:
            try:
                informer.have([await client.get(informer.kind, owner.name, namespace=namespace)])
            except NotFound:
                continue
            except Forbidden as error:
                seen.unseen[owner.kind] = str(error)


async def _fill(client: Client, seen: Survey, informer: Informer[K], *, namespace: str = "") -> None:
    try:
        informer.have((await client.list(informer.kind, namespace=namespace)).items)
    except (Forbidden, NotFound) as error:
        seen.unseen[informer.kind.__name__] = str(error)
