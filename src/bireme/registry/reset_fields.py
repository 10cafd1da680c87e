"""What each way of writing an object leaves as it was, and what Go's empty objects hold: both count for ownership.

A field that a write can't touch is never owned by it: the main resource can't touch the status, nor the status
resource the rest. And a part that every object of a kind has from the start, be it empty, is owned by nobody when
its fields are. Source: the strategies (`GetResetFields`) and the types of Kubernetes; what is a pointer there, or
left out when empty, is absent from the start.
"""

from collections.abc import Mapping

from bireme.api.managed_sets import ANY, EVERYTHING, SELF, FieldSet, Reach
from bireme.registry.kinds import Kind

_SPEC, _STATUS = Reach({"f:spec": {}}), Reach({"f:status": {}})
_RESIZED: FieldSet = {ANY: {"f:resources": {}, "f:resizePolicy": {}}}
_BY_SUBRESOURCE: Mapping[tuple[str, str, str], Reach] = {
    ("", "Pod", "status"): Reach({"f:spec": {}, "f:metadata": {"f:deletionTimestamp": {}, "f:ownerReferences": {}}}),
    ("", "Pod", "resize"): Reach(only={"f:spec": {"f:containers": _RESIZED, "f:initContainers": _RESIZED}}),
    ("", "Pod", "ephemeralcontainers"): Reach(only={"f:spec": {"f:ephemeralContainers": {}}}),
    ("apps", "Deployment", "status"): Reach({"f:spec": {}, "f:metadata": {"f:labels": {}}}),
    ("certificates.k8s.io", "CertificateSigningRequest", "approval"): Reach(
        {"f:spec": {}, "f:status": {"f:certificate": {}}}
    ),
}

# Parts of built-in kinds that are there from the start.
_POD = ("spec", "spec.containers")
_TEMPLATE = ("template", "template.metadata", "template.spec", "template.spec.containers")


def _below(above: str, names: tuple[str, ...]) -> tuple[str, ...]:
    return (above, *(f"{above}.{name}" for name in names))


_ALWAYS: Mapping[str, tuple[str, ...]] = {
    "Pod": _POD,
    "PodTemplate": _TEMPLATE,
    "Deployment": _below("spec", ("strategy", *_TEMPLATE)),
    "ReplicaSet": _below("spec", _TEMPLATE),
    "StatefulSet": _below("spec", ("updateStrategy", *_TEMPLATE)),
    "DaemonSet": _below("spec", ("updateStrategy", *_TEMPLATE)),
    "Job": _below("spec", _TEMPLATE),
    "CronJob": _below("spec", ("jobTemplate", "jobTemplate.metadata", *_below("jobTemplate.spec", _TEMPLATE))),
    "PersistentVolumeClaim": _below("spec", ("resources",)),
    "ResourceClaimTemplate": _below("spec", ("metadata", "spec", "spec.devices")),
    "ResourceClaim": _below("spec", ("devices",)),
}
_JUST_SPEC = ("spec",)


def reach_of(kind: Kind, subresource: str) -> Reach:
    """What a write through that subresource can touch."""
    resource = kind.resource
    found = _BY_SUBRESOURCE.get((resource.group, resource.kind, subresource)) if subresource else None
    if found is not None:
        return found
    if subresource == "status":
        return _SPEC
    return _STATUS if subresource in ("", "finalize") and resource.has_status else EVERYTHING


def without_zeros(kind: str, name: str, fields: FieldSet) -> FieldSet | None:
    """The set below the root field `name` of a new built-in object, less the parts that are always there."""
    made: FieldSet | None = fields
    for path in _ALWAYS.get(kind, _JUST_SPEC):
        first, *rest = path.split(".")
        if first == name and made is not None:
            made = _unmarked(made, rest)
    return made


def _unmarked(fields: FieldSet, path: list[str]) -> FieldSet | None:
    if not path:
        return {key: below for key, below in fields.items() if key != SELF} or None
    key = f"f:{path[0]}"
    if key not in fields:
        return fields
    inner = _unmarked(fields[key], path[1:])
    if inner is None:
        return {name: below for name, below in fields.items() if name != key} or None
    return {**fields, key: inner}
