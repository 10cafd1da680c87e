"""The rows of the storage group and of storage version migrations."""

from collections.abc import Mapping
from datetime import datetime

from bireme.apiserver.columns.column import (
    AGE,
    NAME,
    UNSET,
    Cells,
    Column,
    Printer,
    Tree,
    age_of,
    columns,
    joined,
    name_of,
)

_DEFAULT_ANNOTATIONS = (
    "storageclass.kubernetes.io/is-default-class",
    "storageclass.beta.kubernetes.io/is-default-class",
)


def storage_class_cells(tree: Tree, now: datetime) -> Cells:
    """A StorageClass."""
    annotations = (tree.get("metadata") or {}).get("annotations") or {}
    default = any(annotations.get(key) == "true" for key in _DEFAULT_ANNOTATIONS)
    return [
        f"{name_of(tree)} (default)" if default else name_of(tree),
        tree.get("provisioner") or "",
        tree.get("reclaimPolicy") or "Delete",
        tree.get("volumeBindingMode") or "Immediate",
        bool(tree.get("allowVolumeExpansion")),
        age_of(tree, now),
    ]


def attributes_class_cells(tree: Tree, now: datetime) -> Cells:
    """A VolumeAttributesClass."""
    return [name_of(tree), tree.get("driverName") or "", age_of(tree, now)]


def attachment_cells(tree: Tree, now: datetime) -> Cells:
    """A VolumeAttachment."""
    spec, status = tree.get("spec") or {}, tree.get("status") or {}
    return [
        name_of(tree),
        spec.get("attacher") or "",
        (spec.get("source") or {}).get("persistentVolumeName") or "",
        spec.get("nodeName") or "",
        bool(status.get("attached")),
        age_of(tree, now),
    ]


def driver_cells(tree: Tree, now: datetime) -> Cells:
    """A CSIDriver."""
    spec = tree.get("spec") or {}
    attach = spec.get("attachRequired")
    return [
        name_of(tree),
        attach is None or bool(attach),
        bool(spec.get("podInfoOnMount")),
        bool(spec.get("storageCapacity")),
        joined((each.get("audience") or "" for each in spec.get("tokenRequests") or ()), empty=UNSET),
        bool(spec.get("requiresRepublish")),
        joined(spec.get("volumeLifecycleModes") or ()),
        age_of(tree, now),
    ]


def csi_node_cells(tree: Tree, now: datetime) -> Cells:
    """A CSINode."""
    return [name_of(tree), len((tree.get("spec") or {}).get("drivers") or ()), age_of(tree, now)]


def capacity_cells(tree: Tree, now: datetime) -> Cells:
    """A CSIStorageCapacity."""
    capacity = tree.get("capacity")
    return [name_of(tree), tree.get("storageClassName") or "", UNSET if capacity is None else str(capacity)]


def migration_cells(tree: Tree, now: datetime) -> Cells:
    """A StorageVersionMigration."""
    resource = (tree.get("spec") or {}).get("resource") or {}
    group = f".{resource['group']}" if resource.get("group") else ""
    return [name_of(tree), f"{resource.get('resource') or ''}{group}"]


PRINTERS: Mapping[str, Printer] = {
    "CSIDriver": Printer(
        (
            NAME,
            Column("AttachRequired", type="boolean"),
            Column("PodInfoOnMount", type="boolean"),
            Column("StorageCapacity", type="boolean"),
            Column("TokenRequests"),
            Column("RequiresRepublish", type="boolean"),
            Column("Modes"),
            AGE,
        ),
        driver_cells,
    ),
    "CSINode": Printer(columns("Drivers", "Age", numbers=["Drivers"]), csi_node_cells),
    "CSIStorageCapacity": Printer(columns("StorageClassName", "Capacity"), capacity_cells),
    "StorageClass": Printer(
        columns(
            "Provisioner",
            "ReclaimPolicy",
            "VolumeBindingMode",
            Column("AllowVolumeExpansion", type="boolean"),
            "Age",
        ),
        storage_class_cells,
    ),
    "VolumeAttachment": Printer(
        columns("Attacher", "PV", "Node", Column("Attached", type="boolean"), "Age"), attachment_cells
    ),
    "VolumeAttributesClass": Printer(columns("DriverName", "Age"), attributes_class_cells),
}

MIGRATION_PRINTERS: Mapping[str, Printer] = {
    "StorageVersionMigration": Printer(columns("Resource"), migration_cells),
}
