"""The rules of persistent volumes and of claims to them."""

from bireme.api import quantity
from bireme.api.validation.amounts import check_amount
from bireme.api.validation.field import IMMUTABLE, Problems, Tree, check_one_of
from bireme.api.validation.names import dns_subdomain
from bireme.api.validation.selectors import check_node_selector, check_selector
from bireme.api.validation.volumes import check_access_modes, check_claim_spec, check_host_path, check_nfs

_SETTINGS = frozenset(
    (
        "accessModes",
        "capacity",
        "claimRef",
        "mountOptions",
        "nodeAffinity",
        "persistentVolumeReclaimPolicy",
        "storageClassName",
        "volumeAttributesClassName",
        "volumeMode",
    )
)


_CLAIM_FAULT = (
    "spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims"
)


def check_claim(problems: Problems, tree: Tree) -> None:
    """A PersistentVolumeClaim."""
    spec = tree.get("spec") or {}
    check_claim_spec(problems, spec, "spec")
    check_selector(problems, spec.get("selector"), "spec.selector")


def check_claim_update(problems: Problems, new: Tree, old: Tree) -> None:
    """A bound claim may grow, name another attributes class, and nothing else."""
    spec, before = new.get("spec") or {}, old.get("spec") or {}
    fixed = ["accessModes", "dataSource", "dataSourceRef", "selector", "volumeMode"]
    if before.get("storageClassName") is not None:
        fixed.append("storageClassName")
    if before.get("volumeName"):
        fixed.append("volumeName")
    if any(spec.get(field) != before.get(field) for field in fixed):
        problems.forbidden("spec", _CLAIM_FAULT)
    was, now = _wanted(before), _wanted(spec)
    if now < was and now <= _capacity(old):
        problems.forbidden("spec.resources.requests.storage", "field can not be less than status.capacity")
    elif now > was and (old.get("status") or {}).get("phase") != "Bound":
        problems.forbidden("spec", _CLAIM_FAULT)


def _wanted(spec: Tree) -> int:
    """The storage that a claim asks for, in nanos; 0 when it can't be read."""
    storage = ((spec.get("resources") or {}).get("requests") or {}).get("storage") or 0
    return quantity.nanos(storage) if quantity.is_quantity(storage) else 0


def _capacity(tree: Tree) -> int:
    """The storage that a claim has, in nanos: an expansion that failed may be taken back, but not below it."""
    storage = ((tree.get("status") or {}).get("capacity") or {}).get("storage") or 0
    return quantity.nanos(storage) if quantity.is_quantity(storage) else 0


def check_volume(problems: Problems, tree: Tree) -> None:
    """A PersistentVolume."""
    spec = tree.get("spec") or {}
    check_access_modes(problems, spec, "spec")
    capacity = spec.get("capacity") or {}
    if not capacity:
        problems.required("spec.capacity")
    elif set(capacity) != {"storage"}:
        problems.unsupported("spec.capacity", sorted(capacity), ("storage",))
    for name, amount in capacity.items():
        if check_amount(problems, amount, f"spec.capacity[{name}]") and quantity.nanos(amount) == 0:
            problems.invalid(f"spec.capacity[{name}]", str(amount), "must be greater than zero")
    check_one_of(problems, spec, "persistentVolumeReclaimPolicy", "spec", ("Delete", "Recycle", "Retain"))
    check_one_of(problems, spec, "volumeMode", "spec", ("Block", "Filesystem"))
    if spec.get("storageClassName"):
        faults = dns_subdomain(spec["storageClassName"])
        problems.invalid_each("spec.storageClassName", spec["storageClassName"], faults)
    required = (spec.get("nodeAffinity") or {}).get("required")
    if required is not None:
        check_node_selector(problems, required, "spec.nodeAffinity.required")
    _check_source(problems, spec)


def _check_source(problems: Problems, spec: Tree) -> None:
    kinds = [kind for kind, source in spec.items() if kind not in _SETTINGS and source is not None]
    if not kinds:
        problems.required("spec", "must specify a volume type")
        return
    for kind in kinds[1:]:
        problems.forbidden(f"spec.{kind}", "may not specify more than 1 volume type")
    source, path = spec[kinds[0]], f"spec.{kinds[0]}"
    if kinds[0] == "hostPath":
        check_host_path(problems, source, path)
        if source.get("path") == "/" and spec.get("persistentVolumeReclaimPolicy") == "Recycle":
            problems.forbidden(
                "spec.persistentVolumeReclaimPolicy", "may not be 'recycle' for a hostPath mount of '/'"
            )
    elif kinds[0] == "nfs":
        check_nfs(problems, source, path)
    elif kinds[0] == "local":
        if not source.get("path"):
            problems.required(f"{path}.path")
        if not (spec.get("nodeAffinity") or {}).get("required"):
            problems.required("spec.nodeAffinity", "Local volume requires node affinity")
    elif kinds[0] == "csi":
        for field in ("driver", "volumeHandle"):
            if not source.get(field):
                problems.required(f"{path}.{field}")


def check_volume_update(problems: Problems, new: Tree, old: Tree) -> None:
    """A PersistentVolume keeps its source and its mode."""
    spec, before = new.get("spec") or {}, old.get("spec") or {}
    if {k: v for k, v in spec.items() if k not in _SETTINGS} != {
        k: v for k, v in before.items() if k not in _SETTINGS
    }:
        problems.forbidden("spec.persistentvolumesource", "spec.persistentvolumesource is immutable after creation")
    if spec.get("volumeMode") != before.get("volumeMode"):
        problems.invalid("spec.volumeMode", spec.get("volumeMode"), IMMUTABLE)
    if before.get("nodeAffinity") and spec.get("nodeAffinity") != before["nodeAffinity"]:
        problems.invalid("spec.nodeAffinity", spec.get("nodeAffinity"), IMMUTABLE)
