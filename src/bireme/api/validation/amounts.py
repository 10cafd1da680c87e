"""The rules of quantities and of the resources that containers, claims and nodes name."""

from collections.abc import Iterable, Mapping
from typing import Any

from bireme.api import quantity
from bireme.api.validation.field import NOT_NEGATIVE, Problems, Tree
from bireme.api.validation.names import qualified_name

_CONTAINER_RESOURCES = frozenset(("cpu", "memory", "ephemeral-storage"))
_POD_RESOURCES = frozenset(("cpu", "memory"))
_HUGE_PAGES = "hugepages-"
_OF_CLASS = "deviceclass.resource.kubernetes.io/"
_NATIVE_DOMAIN = "kubernetes.io/"


def check_amount(problems: Problems, amount: Any, path: str) -> bool:
    """A quantity that is not negative; whether it is one."""
    try:
        nanos = quantity.nanos(amount)
    except quantity.QuantityError as error:
        problems.invalid(path, amount, str(error))
        return False
    if nanos < 0:
        problems.invalid(path, str(amount), NOT_NEGATIVE)
        return False
    return True


def check_amounts(problems: Problems, amounts: Mapping[str, Any], path: str) -> None:
    """A map of quantities by qualified name."""
    for name, amount in amounts.items():
        faults = qualified_name(name)
        if faults:
            problems.invalid_each(f"{path}[{name}]", name, faults)
        check_amount(problems, amount, f"{path}[{name}]")


def check_container_resources(problems: Problems, resources: Tree, path: str, claims: Iterable[str] = ()) -> None:
    """The requests and limits of a container."""
    allowed = _container_amounts(problems, resources, path, "limits")
    wanted = _container_amounts(problems, resources, path, "requests")
    for name, nanos in wanted.items():
        limit = allowed.get(name)
        if limit is None or nanos > limit or name not in _CONTAINER_RESOURCES:
            _check_under_limit(problems, name, nanos, limit, resources, path)
    for index, claim in enumerate(resources.get("claims") or ()):
        if claim.get("name") not in claims:
            problems.not_found(f"{path}.claims[{index}].name", claim.get("name") or "")


def _container_amounts(problems: Problems, resources: Tree, path: str, field: str) -> dict[str, int]:
    """The amounts that can be read, in nanos. Paths are built for what is wrong only: this runs for every pod."""
    found: dict[str, int] = {}
    for name, amount in (resources.get(field) or {}).items():
        standard = name in _CONTAINER_RESOURCES
        if not standard:
            _check_resource_name(problems, name, f"{path}.{field}[{name}]")
        try:
            nanos = quantity.nanos(amount)
        except quantity.QuantityError as error:
            problems.invalid(f"{path}.{field}[{name}]", amount, str(error))
            continue
        found[name] = nanos
        if nanos < 0:
            problems.invalid(f"{path}.{field}[{name}]", str(amount), NOT_NEGATIVE)
        elif not standard and nanos % quantity.NANOS:
            problems.invalid(f"{path}.{field}[{name}]", str(amount), "must be an integer")
    return found


def check_pod_resources(problems: Problems, resources: Tree, path: str) -> None:
    """The requests and limits of a pod as a whole."""
    limits, requests = resources.get("limits") or {}, resources.get("requests") or {}
    for amounts, field in ((limits, "limits"), (requests, "requests")):
        for name, amount in amounts.items():
            if name not in _POD_RESOURCES and not name.startswith(_HUGE_PAGES):
                problems.unsupported(f"{path}.{field}[{name}]", name, ("cpu", "hugepages-", "memory"))
            check_amount(problems, amount, f"{path}.{field}[{name}]")
    for name, amount in requests.items():
        limit = limits.get(name)
        if quantity.is_quantity(amount) and (limit is None or quantity.is_quantity(limit)):
            allowed = None if limit is None else quantity.nanos(limit)
            _check_under_limit(problems, name, quantity.nanos(amount), allowed, resources, path)


def _check_under_limit(
    problems: Problems, name: str, wanted: int, allowed: int | None, resources: Tree, path: str
) -> None:
    """A request is at most its limit; what can't be shared is asked for and limited alike."""
    extended = ("/" in name and not name.startswith(_OF_CLASS)) or name.startswith(_HUGE_PAGES)
    if allowed is None:
        if extended:
            problems.required(f"{path}.limits", "Limit must be set for non overcommitable resources")
        return
    if wanted == allowed or (wanted < allowed and not extended):
        return
    rule = "equal to" if extended else "less than or equal to"
    fault = f"must be {rule} {name} limit of {resources['limits'][name]}"
    problems.invalid(f"{path}.requests", str(resources["requests"][name]), fault)


def _check_resource_name(problems: Problems, name: str, path: str) -> None:
    faults = qualified_name(name)
    problems.invalid_each(path, name, faults)
    if faults or name.startswith((_HUGE_PAGES, _OF_CLASS)):
        return
    if "/" not in name:
        problems.invalid(path, name, "must be a standard resource for containers")
    elif _NATIVE_DOMAIN in name or name.startswith("requests."):
        problems.invalid(path, name, "doesn't follow extended resource name standard")
