"""Defaults of the storage group."""

from collections.abc import Callable, Mapping

from bireme.api.defaults.fill import Tree, canonical_amount, fill, fill_text, section


def default_storage_class(tree: Tree) -> None:
    """A StorageClass."""
    fill_text(tree, "reclaimPolicy", "Delete")
    fill_text(tree, "volumeBindingMode", "Immediate")


def default_driver(tree: Tree) -> None:
    """A CSIDriver."""
    spec = section(tree, "spec")
    fill(
        spec,
        {
            "attachRequired": True,
            "podInfoOnMount": False,
            "storageCapacity": False,
            "requiresRepublish": False,
            "seLinuxMount": False,
            "fsGroupPolicy": "ReadWriteOnceWithFSType",
        },
    )
    if not spec.get("volumeLifecycleModes"):
        spec["volumeLifecycleModes"] = ["Persistent"]


def default_capacity(tree: Tree) -> None:
    """A CSIStorageCapacity: amounts in their canonical form."""
    for field in ("capacity", "maximumVolumeSize"):
        if tree.get(field) is not None:
            tree[field] = canonical_amount(tree[field])


DEFAULTS: Mapping[str, Callable[[Tree], None]] = {
    "CSIDriver": default_driver,
    "CSIStorageCapacity": default_capacity,
    "StorageClass": default_storage_class,
}
