"""The rules of the storage group."""

from collections.abc import Mapping

from bireme.api.validation.field import Problems, Rules, Tree, check_one_of, check_unchanged
from bireme.api.validation.names import qualified_name

_PARAMETERS_MAX = 256 * 1024
_PARAMETERS_MAX_COUNT = 512
_CLASS_FIXED = ("parameters", "provisioner", "reclaimPolicy", "volumeBindingMode")


def check_storage_class(problems: Problems, tree: Tree) -> None:
    """A StorageClass."""
    if not tree.get("provisioner"):
        problems.required("provisioner")
    else:
        problems.invalid_each("provisioner", tree["provisioner"], qualified_name(tree["provisioner"].lower()))
    _check_parameters(problems, tree)
    check_one_of(problems, tree, "reclaimPolicy", "", ("Delete", "Retain"))
    check_one_of(problems, tree, "volumeBindingMode", "", ("Immediate", "WaitForFirstConsumer"))


def _check_parameters(problems: Problems, tree: Tree) -> None:
    parameters = tree.get("parameters") or {}
    if len(parameters) > _PARAMETERS_MAX_COUNT:
        problems.too_long("parameters", _PARAMETERS_MAX_COUNT)
    if "" in parameters:
        problems.invalid("parameters", "", "field can not be empty.")
    if sum(len(key) + len(value or "") for key, value in parameters.items()) > _PARAMETERS_MAX:
        problems.too_long("parameters", _PARAMETERS_MAX)


def check_storage_class_update(problems: Problems, new: Tree, old: Tree) -> None:
    """A StorageClass keeps what its volumes were made with."""
    for field in _CLASS_FIXED:
        if (new.get(field) or None) != (old.get(field) or None):
            if field == "parameters":
                problems.forbidden(field, "updates to parameters are forbidden.")
            elif field == "provisioner":
                problems.forbidden(field, "updates to provisioner are forbidden.")
            else:
                check_unchanged(problems, new.get(field), old.get(field), field)


def check_attributes_class(problems: Problems, tree: Tree) -> None:
    """A VolumeAttributesClass."""
    if not tree.get("driverName"):
        problems.required("driverName")
    if not tree.get("parameters"):
        problems.required("parameters", "must contain at least one key/value pair")
    _check_parameters(problems, tree)


def check_attributes_class_update(problems: Problems, new: Tree, old: Tree) -> None:
    """A VolumeAttributesClass never changes."""
    for field in ("driverName", "parameters"):
        check_unchanged(problems, new.get(field), old.get(field), field)


def check_attachment(problems: Problems, tree: Tree) -> None:
    """A VolumeAttachment."""
    spec = tree.get("spec") or {}
    for field in ("attacher", "nodeName"):
        if not spec.get(field):
            problems.required(f"spec.{field}")
    source = spec.get("source") or {}
    if not source.get("persistentVolumeName") and source.get("inlineVolumeSpec") is None:
        problems.required("spec.source", "must specify exactly one of inlineVolumeSpec and persistentVolumeName")


def check_attachment_update(problems: Problems, new: Tree, old: Tree) -> None:
    """A VolumeAttachment keeps its spec."""
    check_unchanged(problems, new.get("spec"), old.get("spec"), "spec")


def check_driver(problems: Problems, tree: Tree) -> None:
    """A CSIDriver."""
    spec = tree.get("spec") or {}
    check_one_of(problems, spec, "fsGroupPolicy", "spec", ("File", "None", "ReadWriteOnceWithFSType"))
    for mode in spec.get("volumeLifecycleModes") or ():
        if mode not in ("Ephemeral", "Persistent"):
            problems.unsupported("spec.volumeLifecycleModes", mode, ("Ephemeral", "Persistent"))


RULES: Mapping[str, Rules] = {
    "CSIDriver": Rules(check_driver),
    "StorageClass": Rules(check_storage_class, check_storage_class_update),
    "VolumeAttachment": Rules(check_attachment, check_attachment_update),
    "VolumeAttributesClass": Rules(check_attributes_class, check_attributes_class_update),
}
