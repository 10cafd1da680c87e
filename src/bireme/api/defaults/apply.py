"""What the API fills in where a user said nothing.

`apply` works on a tree in place, for whole objects of built-in kinds; one function a kind, one module an API
group. It runs on every write, after the schema's type check, so functions rely on types but not on presence, and
applying twice changes nothing. What depends on other objects (a service account's name, priorities, tolerations)
is admission's; uids, status at creation and allocated addresses are the registry's.
Source: the Kubernetes documentation; the defaults in the API reference.
"""

from collections.abc import Callable, Mapping
from typing import Any

from bireme.api.defaults import (
    admissionregistration,
    apiextensions,
    apiregistration,
    apps,
    autoscaling,
    batch,
    certificates,
    core,
    discovery,
    flowcontrol,
    networking,
    policy,
    rbac,
    resource,
    scheduling,
    storage,
)
from bireme.api.scheme import Resource

Default = Callable[[dict[str, Any]], None]

_GROUPS: Mapping[str, Mapping[str, Default]] = {
    "": core.DEFAULTS,
    "admissionregistration.k8s.io": admissionregistration.DEFAULTS,
    "apiextensions.k8s.io": apiextensions.DEFAULTS,
    "apiregistration.k8s.io": apiregistration.DEFAULTS,
    "apps": apps.DEFAULTS,
    "autoscaling": autoscaling.DEFAULTS,
    "batch": batch.DEFAULTS,
    "certificates.k8s.io": certificates.DEFAULTS,
    "discovery.k8s.io": discovery.DEFAULTS,
    "flowcontrol.apiserver.k8s.io": flowcontrol.DEFAULTS,
    "networking.k8s.io": networking.DEFAULTS,
    "policy": policy.DEFAULTS,
    "rbac.authorization.k8s.io": rbac.DEFAULTS,
    "resource.k8s.io": resource.DEFAULTS,
    "scheduling.k8s.io": scheduling.DEFAULTS,
    "storage.k8s.io": storage.DEFAULTS,
}

_DEFAULTS: Mapping[tuple[str, str], Default] = {
    (group, kind): default for group, kinds in _GROUPS.items() for kind, default in kinds.items()
}
_STATUS_DEFAULTS: Mapping[tuple[str, str], Default] = {
    ("", "Node"): core.default_node,
    ("", "Pod"): core.default_pod_status,
    ("policy", "PodDisruptionBudget"): policy.default_budget,
}


def apply(resource: Resource, tree: dict[str, Any]) -> None:
    """Fill in the defaults of that kind, in place; kinds without any are left as they are."""
    default = _DEFAULTS.get((resource.group, resource.kind))
    if default is not None:
        default(tree)


def apply_to_status(resource: Resource, tree: dict[str, Any]) -> None:
    """As `apply`, for an object that has its defaults but for a new status."""
    default = _STATUS_DEFAULTS.get((resource.group, resource.kind))
    if default is not None:
        default(tree)
