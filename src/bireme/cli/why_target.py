"""Which pod `bireme why` is about, and what matters of it besides the nodes."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from bireme.api.errors import NotFound
from bireme.api.kinds import apps, batch, core
from bireme.api.selectors import LabelSelector
from bireme.api.times import parse_time
from bireme.cli.errors import CliError
from bireme.client.client import Client
from bireme.scheduler.profile import DEFAULT_NAME
from bireme.scheduler.survey import Survey

OWNERS: dict[str, type[Any]] = {
    "deployment": apps.Deployment,
    "replicaset": apps.ReplicaSet,
    "statefulset": apps.StatefulSet,
    "daemonset": apps.DaemonSet,
    "job": batch.Job,
}
SHORT = {"po": "pod", "deploy": "deployment", "rs": "replicaset", "sts": "statefulset", "ds": "daemonset"}
ENDED = ("Succeeded", "Failed")
SHOWN = 3


@dataclass(frozen=True, slots=True)
class Heading:
    """The pod's state and since when, in seconds; how many of its owner's pods wait with it."""

    state: str
    age_s: float
    waiting: int = 1
    total: int = 1

    @staticmethod
    def of(pod: core.Pod, others: Sequence[core.Pod], *, now: datetime) -> "Heading":
        """The heading of a pod that was found among these."""
        scheduled = next((each for each in pod.status.conditions if each.type == "PodScheduled"), None)
        at = scheduled.last_transition_time if scheduled is not None and pod.spec.node_name else ""
        began = at or pod.metadata.creation_timestamp
        age = (now - parse_time(began)).total_seconds() if began else 0.0
        waiting = sum(not other.spec.node_name for other in others)
        return Heading(pod.status.phase or "Pending", max(age, 0.0), waiting, len(others))


async def find_pod(client: Client, kind: str, name: str, namespace: str) -> tuple[core.Pod, Sequence[core.Pod]]:
    """The pod, or of an owner one that waits; and all of the owner's. Raises ApiError and CliError."""
    kind = SHORT.get(kind, kind).removesuffix("s") if kind not in SHORT else SHORT[kind]
    if kind == "pod":
        pod = await client.get(core.Pod, name, namespace=namespace)
        return pod, [pod]
    owner_kind = OWNERS.get(kind)
    if owner_kind is None:
        known = ", ".join(("pod", *OWNERS))
        raise CliError("BIR-111", f"{kind} is none of {known}", remedy="bireme why pod/NAME", exit_code=2)
    owner = await client.get(owner_kind, name, namespace=namespace)
    selector = LabelSelector.from_struct(owner.spec.selector)
    found = (await client.list(core.Pod, namespace=namespace, labels=str(selector))).items
    if not found:
        raise NotFound(f"{kind} {namespace}/{name} has no pods; kubectl describe {kind} {name} says why")
    return next((pod for pod in found if not pod.spec.node_name), found[0]), found


def notes_on(pod: core.Pod, seen: Survey, *, known: bool) -> list[str]:
    """Gates, nominations, victims, and what could not be seen; `known`: the pod's profile is."""
    notes, spec = [], pod.spec
    if pod.status.phase in ENDED:
        notes.append(f"the pod has ended ({pod.status.phase}): it is not placed again")
    if pod.metadata.deletion_timestamp:
        notes.append("the pod is being deleted")
    if spec.scheduling_gates:
        gates = ", ".join(gate.name for gate in spec.scheduling_gates)
        notes.append(f"no scheduler looks at it while it has scheduling gates: {gates}")
    if not known:
        whose = "is placed by {}, whose rules may be others than those used here; --scheduler-config FILE tells them"
        notes.append(f"it {whose.format(spec.scheduler_name or DEFAULT_NAME)}")
    if node := pod.status.nominated_node_name:
        leaving = seen.leaving.get(node, [])
        waits = f"; it waits for {_some(leaving)} to end" if leaving and not spec.node_name else ""
        notes.append(f"room is being made for it on {node}{waits}")
    if seen.nominated and not spec.node_name:
        notes += [f"on {node} room is being made for {_some(pods)}" for node, pods in sorted(seen.nominated.items())][
            :SHOWN
        ]
    notes += seen.notes
    notes += [f"{kind}s were not seen: {reason}" for kind, reason in sorted(seen.unseen.items())]
    return notes


def _some(names: Sequence[str]) -> str:
    more = len(names) - SHOWN
    return ", ".join(names[:SHOWN]) + (f" and {more} more" if more > 0 else "")
