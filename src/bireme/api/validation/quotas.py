"""The rules of what bounds a namespace: ResourceQuotas and LimitRanges."""

from collections.abc import Mapping

from bireme.api import quantity
from bireme.api.validation.amounts import check_amount
from bireme.api.validation.field import IMMUTABLE, Problems, Tree, check_one_of
from bireme.api.validation.names import qualified_name

_COUNTS = frozenset(
    (
        "configmaps",
        "persistentvolumeclaims",
        "pods",
        "replicationcontrollers",
        "resourcequotas",
        "secrets",
        "services",
        "services.loadbalancers",
        "services.nodeports",
    )
)
_COMPUTE = frozenset(
    (
        "cpu",
        "limits.cpu",
        "limits.memory",
        "memory",
        "requests.cpu",
        "requests.memory",
    )
)
_STORAGE = frozenset(
    ("ephemeral-storage", "limits.ephemeral-storage", "requests.ephemeral-storage", "requests.storage")
)
_STANDARD = _COUNTS | _COMPUTE | _STORAGE
_HUGE_PAGES = ("hugepages-", "requests.hugepages-")

_OF_PODS = frozenset(("pods",)) | _COMPUTE
_BOUNDED_BY: Mapping[str, frozenset[str]] = {
    "BestEffort": frozenset(("pods",)),
    "CrossNamespacePodAffinity": _OF_PODS,
    "NotBestEffort": _OF_PODS,
    "NotTerminating": _OF_PODS,
    "PriorityClass": _OF_PODS,
    "Terminating": _OF_PODS,
    "VolumeAttributesClass": frozenset(("persistentvolumeclaims", "requests.storage")),
}
"""The scopes, and the standard resources that each can tell apart."""
_OPPOSITES = (("BestEffort", "NotBestEffort"), ("Terminating", "NotTerminating"))
_WITH_VALUES = frozenset(("In", "NotIn"))
_WITHOUT_VALUES = frozenset(("DoesNotExist", "Exists"))
_CLASSED = frozenset(("PriorityClass", "VolumeAttributesClass"))
_EXISTS_ONLY = (
    "must be 'Exist' only operator when scope is any of ResourceQuotaScopeTerminating, "
    "ResourceQuotaScopeNotTerminating, ResourceQuotaScopeBestEffort, ResourceQuotaScopeNotBestEffort and "
    "ResourceQuotaScopeCrossNamespacePodAffinity"
)

_LIMIT_TYPES = ("Container", "PersistentVolumeClaim", "Pod")
_LIMIT_WORDS: Mapping[str, str] = {
    "default": "default",
    "defaultRequest": "default request",
    "max": "max",
    "min": "min",
}
_LIMIT_ORDER = (
    ("min", "max", "min"),
    ("min", "defaultRequest", "defaultRequest"),
    ("defaultRequest", "max", "defaultRequest"),
    ("defaultRequest", "default", "defaultRequest"),
    ("min", "default", "default"),
    ("default", "max", "default"),
)
"""What may not be above what, and which of the two is blamed."""


def check_resource_quota(problems: Problems, tree: Tree) -> None:
    """A ResourceQuota: known resources, whole counts, and scopes that can tell them apart."""
    spec = tree.get("spec") or {}
    hard = spec.get("hard") or {}
    for name, amount in hard.items():
        path = f"spec.hard[{name}]"
        _check_name(problems, name, path)
        if check_amount(problems, amount, path) and _is_count(name) and quantity.nanos(amount) % quantity.NANOS:
            problems.invalid(path, str(amount), "must be an integer")
    _check_scopes(problems, spec.get("scopes") or [], hard)
    for item in (spec.get("scopeSelector") or {}).get("matchExpressions") or ():
        _check_selected_scope(problems, item, hard)


def _check_name(problems: Problems, name: str, path: str) -> None:
    faults = qualified_name(name)
    problems.invalid_each(path, name, faults)
    if not faults and "/" not in name and name not in _STANDARD and not name.startswith(_HUGE_PAGES):
        problems.invalid(path, name, "must be a standard resource type or fully qualified")
        problems.invalid(path, name, "must be a standard resource for quota")


def _is_count(name: str) -> bool:
    return name in _COUNTS or ("/" in name and not name.startswith("count/"))


def _check_scopes(problems: Problems, scopes: list[str], hard: Tree) -> None:
    for scope in scopes:
        if scope not in _BOUNDED_BY:
            problems.invalid("spec.scopes", scopes, "unsupported scope")
        for _ in range(_beyond(scope, hard)):
            problems.invalid("spec.scopes", scopes, "unsupported scope applied to resource")
    for pair in _OPPOSITES:
        if set(pair) <= set(scopes):
            problems.invalid("spec.scopes", scopes, "conflicting scopes")


def _beyond(scope: str, hard: Tree) -> int:
    """How many of the standard resources the scope cannot tell apart."""
    bounded = _BOUNDED_BY.get(scope, _STANDARD)
    return len((_STANDARD & hard.keys()) - bounded)


def _check_selected_scope(problems: Problems, item: Tree, hard: Tree) -> None:
    path = "spec.scopeSelector.matchExpressions"
    scope, operator, values = item.get("scopeName") or "", item.get("operator") or "", item.get("values") or []
    if scope not in _BOUNDED_BY:
        problems.invalid(f"{path}.scopeName", scope, "unsupported scope")
    elif scope not in _CLASSED and operator != "Exists":
        problems.invalid(f"{path}.operator", operator, _EXISTS_ONLY)
    for _ in range(_beyond(scope, hard)):
        problems.invalid(path, item, "unsupported scope applied to resource")
    if operator in _WITH_VALUES and not values:
        fault = "must be at least one value when `operator` is 'In' or 'NotIn' for scope selector"
        problems.required(f"{path}.values", fault)
    elif operator in _WITHOUT_VALUES and values:
        fault = "must be no value when `operator` is 'Exist' or 'DoesNotExist' for scope selector"
        problems.invalid(f"{path}.values", values, fault)
    elif operator not in _WITH_VALUES | _WITHOUT_VALUES:
        problems.invalid(f"{path}.operator", operator, "not a valid selector operator")


def check_resource_quota_update(problems: Problems, new: Tree, old: Tree) -> None:
    """A ResourceQuota keeps its scopes."""
    was, now = (old.get("spec") or {}).get("scopes") or [], (new.get("spec") or {}).get("scopes") or []
    if set(was) != set(now):
        problems.invalid("spec.scopes", now, IMMUTABLE)


def check_limit_range(problems: Problems, tree: Tree) -> None:
    """A LimitRange: one entry a type, and what is less stays below what is more."""
    seen: set[str] = set()
    for index, item in enumerate((tree.get("spec") or {}).get("limits") or ()):
        path = f"spec.limits[{index}]"
        check_one_of(problems, item, "type", path, _LIMIT_TYPES, needed=True)
        if item.get("type") in seen:
            problems.duplicate(f"{path}.type", item["type"])
        seen.add(item.get("type") or "")
        for field in ("min", "max", "default", "defaultRequest", "maxLimitRequestRatio"):
            for name, amount in (item.get(field) or {}).items():
                check_amount(problems, amount, f"{path}.{field}[{name}]")
        if item.get("type") == "Pod":
            for field in ("default", "defaultRequest"):
                if item.get(field):
                    problems.forbidden(f"{path}.{field}", "may not be specified when `type` is 'Pod'")
        for low, high, blamed in _LIMIT_ORDER:
            _check_order(problems, item, low, high, blamed, path)


def _check_order(problems: Problems, item: Tree, low: str, high: str, blamed: str, path: str) -> None:
    from_, to = item.get(low) or {}, item.get(high) or {}
    for name in sorted(from_.keys() & to.keys()):
        if not (quantity.is_quantity(from_[name]) and quantity.is_quantity(to[name])):
            continue
        if quantity.nanos(from_[name]) > quantity.nanos(to[name]):
            above = "default limit" if (low, high) == ("defaultRequest", "default") else _LIMIT_WORDS[high]
            fault = f"{_LIMIT_WORDS[low]} value {from_[name]} is greater than {above} value {to[name]}"
            problems.invalid(f"{path}.{blamed}[{name}]", str(item[blamed][name]), fault)
