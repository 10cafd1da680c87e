"""Defaults of the apps group. Source: the Kubernetes documentation."""

from collections.abc import Callable, Mapping

from bireme.api.defaults.core import default_claim
from bireme.api.defaults.fill import Tree, fill, fill_text, section
from bireme.api.defaults.pods import default_template

_HISTORY = {"replicas": 1, "revisionHistoryLimit": 10}


def default_deployment(tree: Tree) -> None:
    """A Deployment."""
    spec = section(tree, "spec")
    fill(spec, {**_HISTORY, "progressDeadlineSeconds": 600})
    strategy = section(spec, "strategy")
    fill_text(strategy, "type", "RollingUpdate")
    if strategy["type"] == "RollingUpdate":
        fill(section(strategy, "rollingUpdate"), {"maxUnavailable": "25%", "maxSurge": "25%"})
    default_template(spec)


def default_replica_set(tree: Tree) -> None:
    """A ReplicaSet."""
    spec = section(tree, "spec")
    fill(spec, {"replicas": 1})
    default_template(spec)


def default_stateful_set(tree: Tree) -> None:
    """A StatefulSet, with the claims that it makes."""
    spec = section(tree, "spec")
    fill(spec, _HISTORY)
    fill_text(spec, "podManagementPolicy", "OrderedReady")
    strategy = section(spec, "updateStrategy")
    fill_text(strategy, "type", "RollingUpdate")
    if strategy["type"] == "RollingUpdate":
        fill(section(strategy, "rollingUpdate"), {"partition": 0, "maxUnavailable": 1})
    retention = section(spec, "persistentVolumeClaimRetentionPolicy")
    fill_text(retention, "whenDeleted", "Retain")
    fill_text(retention, "whenScaled", "Retain")
    for claim in spec.get("volumeClaimTemplates") or ():
        fill(claim, {"apiVersion": "v1", "kind": "PersistentVolumeClaim"})
        default_claim(claim)
    default_template(spec)


def default_daemon_set(tree: Tree) -> None:
    """A DaemonSet."""
    spec = section(tree, "spec")
    fill(spec, {"revisionHistoryLimit": 10})
    strategy = section(spec, "updateStrategy")
    fill_text(strategy, "type", "RollingUpdate")
    if strategy["type"] == "RollingUpdate":
        fill(section(strategy, "rollingUpdate"), {"maxUnavailable": 1, "maxSurge": 0})
    default_template(spec)


DEFAULTS: Mapping[str, Callable[[Tree], None]] = {
    "DaemonSet": default_daemon_set,
    "Deployment": default_deployment,
    "ReplicaSet": default_replica_set,
    "StatefulSet": default_stateful_set,
}
