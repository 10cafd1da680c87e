"""On which nodes a DaemonSet makes and deletes pods, and what its status says. Plain functions.

Source: the Kubernetes documentation, DaemonSets and their rolling update.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

import msgspec

from bireme.api.kinds import apps, core, meta
from bireme.controllers import node_terms, pods, taints
from bireme.controllers.histories import HASH
from bireme.controllers.ownership import reference_to
from bireme.controllers.rollout import scaled

_ALWAYS = (
    (taints.NOT_READY, taints.NO_EXECUTE),
    (taints.UNREACHABLE, taints.NO_EXECUTE),
    (taints.OF_CONDITIONS["DiskPressure"], taints.NO_SCHEDULE),
    (taints.OF_CONDITIONS["MemoryPressure"], taints.NO_SCHEDULE),
    (taints.OF_CONDITIONS["PIDPressure"], taints.NO_SCHEDULE),
    (taints.UNSCHEDULABLE, taints.NO_SCHEDULE),
)
_ON_HOST_NETWORK = ((taints.OF_CONDITIONS["NetworkUnavailable"], taints.NO_SCHEDULE),)


@dataclass(slots=True)
class Plan:
    """Names of nodes that get a pod, pods to delete, pods that ended and are to be made anew."""

    create: list[str] = field(default_factory=list)
    delete: list[core.Pod] = field(default_factory=list)
    ended: list[core.Pod] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class View:
    """A DaemonSet as it is: the nodes it should be on and may stay on, pods by node, the wanted revision's hash."""

    spec: apps.DaemonSetSpec
    wanted: frozenset[str]
    allowed: frozenset[str]
    pods: Mapping[str, Sequence[core.Pod]]
    hash: str
    now: datetime

    def is_available(self, pod: core.Pod) -> bool:
        """The pod has been ready for long enough."""
        return pods.is_available(pod, min_ready_s=self.spec.min_ready_seconds or 0, now=self.now)

    def is_new(self, pod: core.Pod) -> bool:
        """The pod is of the wanted revision."""
        return pod.metadata.labels.get(HASH) == self.hash


def tolerations(spec: core.PodSpec) -> list[core.Toleration]:
    """What daemons tolerate beside what their template says: a node's troubles don't drive them off."""
    added = [*_ALWAYS, *(_ON_HOST_NETWORK if spec.host_network else ())]
    own = [item for item in spec.tolerations if (item.key, item.effect) not in added]
    return [*own, *(core.Toleration(key=key, operator="Exists", effect=effect) for key, effect in added)]


def places(spec: core.PodSpec, nodes: Iterable[core.Node]) -> tuple[frozenset[str], frozenset[str]]:
    """Names of the nodes that should have a pod, and of those where one that is there may stay."""
    tolerated = tolerations(spec)
    wanted, allowed = set(), set()
    for node in nodes:
        if not node_terms.selects(spec, node):
            continue
        effects = node_terms.kept_off(tolerated, node)
        if not effects:
            wanted.add(node.metadata.name)
        if taints.NO_EXECUTE not in effects:
            allowed.add(node.metadata.name)
    return frozenset(wanted), frozenset(allowed)


def node_of(pod: core.Pod) -> str:
    """The node that the pod is on or was made for."""
    if pod.spec.node_name or pod.spec.affinity is None or pod.spec.affinity.node_affinity is None:
        return pod.spec.node_name
    required = pod.spec.affinity.node_affinity.required_during_scheduling_ignored_during_execution
    for term in required.node_selector_terms if required is not None else ():
        for wish in term.match_fields:
            if wish.key == node_terms.NAME_FIELD and len(wish.values) == 1:
                return wish.values[0]
    return ""


def pod_for(daemons: apps.DaemonSet, node: str, *, hash: str) -> core.Pod:
    """The pod for a node: the scheduler may place it there alone."""
    template = daemons.spec.template
    field_ = core.NodeSelectorRequirement(key=node_terms.NAME_FIELD, operator="In", values=[node])
    required = core.NodeSelector(node_selector_terms=[core.NodeSelectorTerm(match_fields=[field_])])
    affinity = template.spec.affinity or core.Affinity()
    there = msgspec.structs.replace(
        affinity.node_affinity or core.NodeAffinity(), required_during_scheduling_ignored_during_execution=required
    )
    return core.Pod(
        metadata=meta.ObjectMeta(
            generate_name=f"{daemons.metadata.name}-",
            namespace=daemons.metadata.namespace,
            labels=template.metadata.labels | {HASH: hash} | _generation(daemons),
            annotations=template.metadata.annotations,
            finalizers=template.metadata.finalizers,
            owner_references=[reference_to(daemons)],
        ),
        spec=msgspec.structs.replace(
            template.spec,
            tolerations=tolerations(template.spec),
            affinity=msgspec.structs.replace(affinity, node_affinity=there),
        ),
    )


def _generation(daemons: apps.DaemonSet) -> dict[str, str]:
    """The number of the template as a label; nobody goes by it any more but those who look for it."""
    number = daemons.metadata.annotations.get("deprecated.daemonset.template.generation")
    return {"pod-template-generation": number} if number else {}


def plan(view: View) -> Plan:
    """What to do next: first pods where they should be, then the update of old ones."""
    done = Plan()
    staying: dict[str, list[core.Pod]] = {}
    for node, there in view.pods.items():
        active = [pod for pod in there if pods.is_active(pod)]
        if node not in view.allowed:
            done.delete += [pod for pod in there if not pod.metadata.deletion_timestamp]
            continue
        done.ended += [pod for pod in there if pods.is_ended(pod) and not pod.metadata.deletion_timestamp]
        staying[node] = _oldest(view, active, done)
    done.create += sorted(view.wanted - view.pods.keys())
    strategy = view.spec.update_strategy
    if strategy is None or strategy.type != "OnDelete":
        _update(view, staying, done)
    return done


def _oldest(view: View, active: list[core.Pod], done: Plan) -> list[core.Pod]:
    """At most one old and one new pod of those on a node, the oldest; the others go."""
    kept: list[core.Pod] = []
    for pod in sorted(active, key=lambda pod: (pod.metadata.creation_timestamp, pod.metadata.name)):
        if any(view.is_new(pod) == view.is_new(other) for other in kept):
            done.delete.append(pod)
        else:
            kept.append(pod)
    return kept


def _update(view: View, staying: Mapping[str, list[core.Pod]], done: Plan) -> None:
    rolling = (view.spec.update_strategy.rolling_update if view.spec.update_strategy else None) or (
        apps.RollingUpdateDaemonSet(max_unavailable=1)
    )
    surge = scaled(rolling.max_surge, len(view.wanted), round_up=True)
    away = max(0 if surge else 1, scaled(rolling.max_unavailable, len(view.wanted), round_up=True))
    if surge:
        _surge(view, staying, done, surge)
    else:
        _replace(view, staying, done, away)


def _replace(view: View, staying: Mapping[str, list[core.Pod]], done: Plan, most_away: int) -> None:
    """Delete old pods, those first that do no good; as many may be away as said."""
    good: list[core.Pod] = []
    budget = most_away - len(view.wanted - view.pods.keys())
    for node, there in sorted(staying.items()):
        old = [pod for pod in there if not view.is_new(pod)]
        if not any(view.is_available(pod) for pod in there):
            budget -= 1
            done.delete += old
        elif node in view.wanted:
            good += old
    done.delete += good[: max(0, budget)]


def _surge(view: View, staying: Mapping[str, list[core.Pod]], done: Plan, surge: int) -> None:
    """Make new pods beside old ones, which go when the new are available."""
    candidates: list[str] = []
    for node, there in sorted(staying.items()):
        old, new = _split(there, view.is_new)
        if old and new:
            if view.is_available(new[0]):
                done.delete += old
            else:
                surge -= 1
        elif old and node in view.wanted and len(view.pods[node]) == len(there):
            if view.is_available(old[0]):
                candidates.append(node)
            else:
                done.create.append(node)
    done.create += candidates[: max(0, surge)]


def _split(there: Iterable[core.Pod], is_new: Callable[[core.Pod], bool]) -> tuple[list[core.Pod], list[core.Pod]]:
    old = [pod for pod in there if not is_new(pod)]
    return old, [pod for pod in there if is_new(pod)]


def status(view: View, daemons: apps.DaemonSet) -> apps.DaemonSetStatus:
    """What the status should say: of each node, its oldest pod counts."""
    scheduled = misscheduled = ready = available = updated = 0
    for node, there in view.pods.items():
        active = [pod for pod in there if pods.is_active(pod)]
        if not there:
            continue
        if node not in view.wanted:
            misscheduled += bool(active)
            continue
        scheduled += 1
        if not active:
            continue
        first = min(active, key=lambda pod: (not pods.is_ready(pod), pod.metadata.creation_timestamp))
        ready += pods.is_ready(first)
        available += view.is_available(first)
        updated += any(view.is_new(pod) for pod in active)
    return apps.DaemonSetStatus(
        desired_number_scheduled=len(view.wanted),
        current_number_scheduled=scheduled,
        number_misscheduled=misscheduled,
        number_ready=ready,
        number_available=available or None,
        number_unavailable=len(view.wanted) - available or None,
        updated_number_scheduled=updated or None,
        observed_generation=daemons.metadata.generation,
        collision_count=daemons.status.collision_count,
        conditions=daemons.status.conditions,
    )
