"""The rows of the apps group."""

from collections.abc import Mapping
from datetime import datetime

from bireme.apiserver.columns.column import (
    NONE,
    Cells,
    Printer,
    Tree,
    age_of,
    columns,
    containers_text,
    labels_text,
    name_of,
    selector_text,
)


def deployment_cells(tree: Tree, now: datetime) -> Cells:
    """A Deployment."""
    spec, status = tree.get("spec") or {}, tree.get("status") or {}
    return [
        name_of(tree),
        f"{status.get('readyReplicas') or 0}/{spec.get('replicas') or 0}",
        status.get("updatedReplicas") or 0,
        status.get("availableReplicas") or 0,
        age_of(tree, now),
        *containers_text(spec.get("template")),
        selector_text(spec.get("selector")),
    ]


def replica_set_cells(tree: Tree, now: datetime) -> Cells:
    """A ReplicaSet."""
    spec, status = tree.get("spec") or {}, tree.get("status") or {}
    return [
        name_of(tree),
        spec.get("replicas") or 0,
        status.get("replicas") or 0,
        status.get("readyReplicas") or 0,
        age_of(tree, now),
        *containers_text(spec.get("template")),
        selector_text(spec.get("selector")),
    ]


def stateful_set_cells(tree: Tree, now: datetime) -> Cells:
    """A StatefulSet."""
    spec, status = tree.get("spec") or {}, tree.get("status") or {}
    ready = f"{status.get('readyReplicas') or 0}/{spec.get('replicas') or 0}"
    return [name_of(tree), ready, age_of(tree, now), *containers_text(spec.get("template"))]


_DAEMON_COUNTS = (
    "desiredNumberScheduled",
    "currentNumberScheduled",
    "numberReady",
    "updatedNumberScheduled",
    "numberAvailable",
)


def daemon_set_cells(tree: Tree, now: datetime) -> Cells:
    """A DaemonSet."""
    spec, status = tree.get("spec") or {}, tree.get("status") or {}
    pod = (spec.get("template") or {}).get("spec") or {}
    return [
        name_of(tree),
        *(status.get(field) or 0 for field in _DAEMON_COUNTS),
        labels_text(pod.get("nodeSelector")),
        age_of(tree, now),
        *containers_text(spec.get("template")),
        selector_text(spec.get("selector")),
    ]


def revision_cells(tree: Tree, now: datetime) -> Cells:
    """A ControllerRevision."""
    owners = (tree.get("metadata") or {}).get("ownerReferences") or ()
    owner = next((each for each in owners if each.get("controller")), None)
    controller = NONE
    if owner:
        group = (owner.get("apiVersion") or "").rpartition("/")[0]
        kind = (owner.get("kind") or "").lower()
        controller = f"{kind}.{group}/{owner.get('name')}" if group else f"{kind}/{owner.get('name')}"
    return [name_of(tree), controller, tree.get("revision") or 0, age_of(tree, now)]


_TEMPLATE = ("Containers", "Images", "Selector")

PRINTERS: Mapping[str, Printer] = {
    "ControllerRevision": Printer(columns("Controller", "Revision", "Age", numbers=["Revision"]), revision_cells),
    "DaemonSet": Printer(
        columns(
            "Desired",
            "Current",
            "Ready",
            "Up-to-date",
            "Available",
            "Node Selector",
            "Age",
            wide=_TEMPLATE,
            numbers=("Desired", "Current", "Ready", "Up-to-date", "Available"),
        ),
        daemon_set_cells,
    ),
    "Deployment": Printer(
        columns("Ready", "Up-to-date", "Available", "Age", wide=_TEMPLATE, numbers=("Up-to-date", "Available")),
        deployment_cells,
    ),
    "ReplicaSet": Printer(
        columns("Desired", "Current", "Ready", "Age", wide=_TEMPLATE, numbers=("Desired", "Current", "Ready")),
        replica_set_cells,
    ),
    "StatefulSet": Printer(columns("Ready", "Age", wide=("Containers", "Images")), stateful_set_cells),
}
