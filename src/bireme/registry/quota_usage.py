"""What an object uses of a resource quota: how much of which names, in which scopes, and what it must say.

Plain functions over trees. A kind is named by its title (`deployments.apps`). Any kind counts as
`count/<title>`; pods, services, claims and device claims count as more. Left to others: who is charged and when
(`quotas.py`). Source: the Kubernetes documentation on resource quotas.
"""

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any

from bireme.api.amounts import ZERO, Amount, count, read, read_amount
from bireme.api.resources import tree_qos
from bireme.api.times import parse_time
from bireme.registry.pod_amounts import limits_of, requests_of

Tree = dict[str, Any]
Usage = dict[str, Amount]

PODS, SERVICES, CLAIMS = "pods", "services", "persistentvolumeclaims"
DEVICES = "resourceclaims.resource.k8s.io"
CLASS_ANNOTATION = "volume.beta.kubernetes.io/storage-class"
ALL_DEVICES = 32
_ONE = count(1)
_OLD_NAMES = frozenset({PODS, SERVICES, CLAIMS, "replicationcontrollers", "resourcequotas", "secrets", "configmaps"})
_COMPUTE = ("cpu", "memory", "ephemeral-storage")
_MUST_SAY = frozenset(("cpu", "memory", "requests.cpu", "requests.memory", "limits.cpu", "limits.memory"))
_OF_CLASS = ".storageclass.storage.k8s.io/"
_OF_DEVICE_CLASS = ".deviceclass.resource.k8s.io/devices"


def title_of(name: str) -> str:
    """The title of the kind whose objects use up what is limited by `name`; "" for none that is known."""
    if name.startswith("count/"):
        return name.removeprefix("count/")
    if name in _OLD_NAMES:
        return name
    if name in ("services.nodeports", "services.loadbalancers"):
        return SERVICES
    if name == "requests.storage" or _OF_CLASS in name:
        return CLAIMS
    if name.endswith(_OF_DEVICE_CLASS):
        return DEVICES
    if name.removeprefix("requests.").removeprefix("limits.") in _COMPUTE or "hugepages-" in name:
        return PODS
    return PODS if name.startswith("requests.") else ""


def usage_of(title: str, tree: Tree, *, now: datetime) -> Usage:
    """What the object uses, by every name that could limit it."""
    used = {f"count/{title}": _ONE}
    if title == PODS:
        return used | _pod_usage(tree) if counts(tree, now=now) else used
    if title in _OLD_NAMES:
        used[title] = _ONE
    more = _MORE.get(title)
    return used | more(tree) if more is not None else used


def counts(pod: Tree, *, now: datetime) -> bool:
    """Whether a pod still uses what it asked for: it has not ended, and is not long overdue."""
    if (pod.get("status") or {}).get("phase") in ("Succeeded", "Failed"):
        return False
    metadata = pod["metadata"]
    grace = metadata.get("deletionGracePeriodSeconds")
    if "deletionTimestamp" not in metadata or grace is None:
        return True
    return now <= parse_time(metadata["deletionTimestamp"]) + timedelta(seconds=grace)


def _pod_usage(pod: Tree) -> Usage:
    spec = pod.get("spec") or {}
    return {PODS: _ONE, **_computed(requests_of(spec), limits_of(spec))}


def _computed(requests: Mapping[str, Amount], limits: Mapping[str, Amount]) -> Usage:
    used: Usage = {}
    for name, of in requests.items():
        used[f"requests.{name}"] = of
        if name in _COMPUTE or name.startswith("hugepages-"):
            used[name] = of
    used.update((f"limits.{name}", limits[name]) for name in _COMPUTE if name in limits)
    return used


def _service_usage(service: Tree) -> Usage:
    spec = service.get("spec") or {}
    ports = spec.get("ports") or ()
    balanced = spec.get("type") == "LoadBalancer"
    if balanced and spec.get("allocateLoadBalancerNodePorts") is False:
        ports = [port for port in ports if port.get("nodePort")]
    elif spec.get("type") not in ("NodePort", "LoadBalancer"):
        ports = ()
    return {"services.nodeports": count(len(ports)), "services.loadbalancers": count(int(balanced))}


def _claim_usage(claim: Tree) -> Usage:
    spec = claim.get("spec") or {}
    annotations = claim["metadata"].get("annotations") or {}
    chosen = annotations.get(CLASS_ANNOTATION) or spec.get("storageClassName") or ""
    used: Usage = {f"{chosen}{_OF_CLASS}{CLAIMS}": _ONE} if chosen else {}
    size = ((spec.get("resources") or {}).get("requests") or {}).get("storage")
    if size is not None:
        given = ((claim.get("status") or {}).get("allocatedResources") or {}).get("storage")
        asked = max(read_amount(size), read_amount(given) if given is not None else ZERO)
        used["requests.storage"] = asked
        if chosen:
            used[f"{chosen}{_OF_CLASS}requests.storage"] = asked
    return used


def _device_usage(claim: Tree) -> Usage:
    used: Usage = {}
    for request in ((claim.get("spec") or {}).get("devices") or {}).get("requests") or ():
        choices = request.get("firstAvailable") or [request.get("exactly") or request]
        most: Usage = {}
        for choice in choices:
            name = f"{choice.get('deviceClassName', '')}{_OF_DEVICE_CLASS}"
            wanted = ALL_DEVICES if choice.get("allocationMode") == "All" else choice.get("count", 1)
            most[name] = max(most.get(name, ZERO), count(wanted))
        for name, of in most.items():
            used[name] = used.get(name, ZERO).plus(of)
    return used


_MORE: Mapping[str, Callable[[Tree], Usage]] = {
    SERVICES: _service_usage,
    CLAIMS: _claim_usage,
    DEVICES: _device_usage,
}


# Scopes


def in_scope(title: str, tree: Tree, quota: Tree) -> bool:
    """Whether the quota's scopes, all of them, cover the object."""
    spec = quota.get("spec") or {}
    for scope in spec.get("scopes") or ():
        if not is_in(title, tree, scope, "Exists", ()):
            return False
    for wanted in (spec.get("scopeSelector") or {}).get("matchExpressions") or ():
        if not is_in(
            title, tree, wanted.get("scopeName", ""), wanted.get("operator", ""), wanted.get("values") or ()
        ):
            return False
    return True


def is_in(title: str, tree: Tree, scope: str, operator: str, values: Iterable[str]) -> bool:
    """Whether one scope covers the object."""
    spec = tree.get("spec") or {}
    if title == CLAIMS and scope == "VolumeAttributesClass":
        now = (tree.get("status") or {}).get("currentVolumeAttributesClassName")
        names = [name for name in (spec.get("volumeAttributesClassName"), now) if name]
        return any(_selects(operator, values, name) for name in names or [""])
    if title != PODS:
        return False
    if scope == "PriorityClass":
        return _selects(operator, values, spec.get("priorityClassName") or "")
    found = _POD_SCOPES.get(scope)
    return found is not None and found(spec)


def _selects(operator: str, values: Iterable[str], name: str) -> bool:
    if operator == "In":
        return bool(name) and name in values
    if operator == "NotIn":
        return not name or name not in values
    return bool(name) == (operator == "Exists")


def _ends(spec: Tree) -> bool:
    return spec.get("activeDeadlineSeconds") is not None


def _crosses_namespaces(spec: Tree) -> bool:
    affinity = spec.get("affinity") or {}
    for side in ("podAffinity", "podAntiAffinity"):
        rules = affinity.get(side) or {}
        terms = list(rules.get("requiredDuringSchedulingIgnoredDuringExecution") or ())
        preferred = rules.get("preferredDuringSchedulingIgnoredDuringExecution") or ()
        terms += [one.get("podAffinityTerm") or {} for one in preferred]
        if any(term.get("namespaces") or term.get("namespaceSelector") is not None for term in terms):
            return True
    return False


_POD_SCOPES: Mapping[str, Callable[[Tree], bool]] = {
    "Terminating": _ends,
    "NotTerminating": lambda spec: not _ends(spec),
    "BestEffort": lambda spec: tree_qos(spec) == "BestEffort",
    "NotBestEffort": lambda spec: tree_qos(spec) != "BestEffort",
    "CrossNamespacePodAffinity": _crosses_namespaces,
}


def unsaid(title: str, tree: Tree, names: Iterable[str]) -> str:
    """What a pod must say to be measured by `names`, as `limits.cpu for: a,b; …`; "" where nothing lacks."""
    wanted = sorted(_MUST_SAY.intersection(names)) if title == PODS else []
    if not wanted:
        return ""
    spec = tree.get("spec") or {}
    whole = _said(spec)
    lacking: dict[str, list[str]] = {}
    for container in (*(spec.get("containers") or ()), *(spec.get("initContainers") or ())):
        said = _said(container)
        for name in wanted:
            if name not in said and name not in whole:
                lacking.setdefault(name, []).append(container.get("name", ""))
    return "; ".join(f"{name} for: {','.join(sorted(lacking[name]))}" for name in wanted if name in lacking)


def _said(part: Tree) -> Usage:
    resources = part.get("resources") or {}
    return _computed(read(resources.get("requests")), read(resources.get("limits")))
