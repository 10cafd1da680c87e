"""What the server alone decides about a new object.

`begin` comes before admission, which may look at uid and labels; `complete` comes after it, since what plugins
fill in counts too (requests from a limit range decide a pod's quality of service). Plain functions over trees.
Source: the Kubernetes documentation on writing and on Jobs.
"""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from bireme.api.resources import tree_qos
from bireme.api.scheme import Resource
from bireme.api.times import rfc3339
from bireme.http.interface import Identity
from bireme.registry import template_generation
from bireme.registry.strategy import Strategy

Tree = dict[str, Any]

_NEVER_FROM_CLIENTS = (
    "selfLink",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "resourceVersion",
    "managedFields",
    "generation",
)
JOB_UID = "batch.kubernetes.io/controller-uid"
JOB_NAME = "batch.kubernetes.io/job-name"
_OLD_LABELS = {JOB_UID: "controller-uid", JOB_NAME: "job-name"}


def begin(resource: Resource, strategy: Strategy, tree: Tree, *, uid: str, now: datetime) -> None:
    """Give a new object its metadata and take what clients may not say, in place."""
    metadata = tree["metadata"]
    for name in _NEVER_FROM_CLIENTS:
        metadata.pop(name, None)
    metadata["uid"] = uid
    metadata["creationTimestamp"] = rfc3339(now)
    if strategy.counts_generations:
        metadata["generation"] = 1
    if resource.has_status and not strategy.keeps_status_on_create:
        tree.pop("status", None)
    if _title(resource) == "v1/Namespace":
        _hold_namespace(tree)


def complete(resource: Resource, tree: Tree, user: Identity) -> None:
    """Settle what depends on the whole object, in place. Call after admission, before validation."""
    step = _COMPLETIONS.get(_title(resource))
    if step is not None:
        step(tree, user)


def _title(resource: Resource) -> str:
    return f"{resource.api_version}/{resource.kind}"


def _hold_namespace(tree: Tree) -> None:
    """Its finalizer keeps a namespace until its content is gone."""
    finalizers = tree.setdefault("spec", {}).setdefault("finalizers", [])
    if "kubernetes" not in finalizers:
        finalizers.append("kubernetes")
    metadata = tree["metadata"]
    if "name" in metadata:
        metadata.setdefault("labels", {})["kubernetes.io/metadata.name"] = metadata["name"]


def _complete_pod(tree: Tree, user: Identity) -> None:
    spec = tree.get("spec") or {}
    tree["status"] = {"phase": "Pending", "qosClass": tree_qos(spec)}
    if spec.get("schedulingGates"):
        tree["status"]["conditions"] = [dict(GATED)]


GATED = {
    "type": "PodScheduled",
    "status": "False",
    "reason": "SchedulingGated",
    "message": "Scheduling is blocked due to non-empty scheduling gates",
}


def _complete_daemon_set(tree: Tree, user: Identity) -> None:
    counts = ("currentNumberScheduled", "numberMisscheduled", "desiredNumberScheduled", "numberReady")
    tree["status"] = dict.fromkeys(counts, 0)
    template_generation.begin(tree)


def _complete_job(tree: Tree, user: Identity) -> None:
    """Select the Job's own pods by its uid, unless the user selects by hand."""
    tree["status"] = {}
    spec, metadata = tree.get("spec") or {}, tree["metadata"]
    template = spec.get("template")
    if spec.get("manualSelector") or not isinstance(template, dict):
        return
    labels = template.setdefault("metadata", {}).setdefault("labels", {})
    follows = metadata.get("labels") in (None, {}, labels)
    for name, value in ((JOB_UID, metadata["uid"]), (JOB_NAME, metadata.get("name") or "")):
        labels.setdefault(_OLD_LABELS[name], value)
        labels.setdefault(name, value)
    selector = spec.setdefault("selector", {})
    selector.setdefault("matchLabels", {}).setdefault(JOB_UID, metadata["uid"])
    if follows:
        metadata["labels"] = dict(labels)


def _complete_signing_request(tree: Tree, user: Identity) -> None:
    """Who asks for a certificate is who made the request, whatever it says."""
    spec = tree.setdefault("spec", {})
    for name, value in (("uid", user.uid), ("extra", {key: list(values) for key, values in user.extra.items()})):
        spec.pop(name, None)
        if value:
            spec[name] = value
    spec["username"] = user.name
    spec["groups"] = list(user.groups)


def _status(status: Tree) -> Callable[[Tree, Identity], None]:
    def set_status(tree: Tree, user: Identity) -> None:
        tree["status"] = dict(status)

    return set_status


# Clients take it that these have a status from the first: it is written though nothing stands in it.
_EMPTY_AT_FIRST = ("apps/v1/Deployment", "batch/v1/CronJob", "v1/ResourceQuota")

_COMPLETIONS: Mapping[str, Callable[[Tree, Identity], None]] = {
    **{name: _status({}) for name in _EMPTY_AT_FIRST},
    "v1/Namespace": _status({"phase": "Active"}),
    "v1/PersistentVolume": _status({"phase": "Pending"}),
    "v1/PersistentVolumeClaim": _status({"phase": "Pending"}),
    "v1/Pod": _complete_pod,
    "v1/ReplicationController": _status({"replicas": 0}),
    "v1/Service": _status({"loadBalancer": {}}),
    "apps/v1/DaemonSet": _complete_daemon_set,
    "apps/v1/ReplicaSet": _status({"replicas": 0}),
    "apps/v1/StatefulSet": _status({"replicas": 0, "availableReplicas": 0}),
    "batch/v1/Job": _complete_job,
    "certificates.k8s.io/v1/CertificateSigningRequest": _complete_signing_request,
    "networking.k8s.io/v1/Ingress": _status({"loadBalancer": {}}),
    "policy/v1/PodDisruptionBudget": _status(
        dict.fromkeys(("disruptionsAllowed", "currentHealthy", "desiredHealthy", "expectedPods"), 0)
    ),
}
