"""The rules of the resource group: what claims may ask for, and what drivers may publish."""

from collections.abc import Iterable, Mapping, Sized
from typing import Any

from bireme.api.cel.devices import LONGEST, selector
from bireme.api.cel.errors import CelError
from bireme.api.validation.field import POSITIVE, Problems, Rules, Tree, at, check_one_of, check_unchanged
from bireme.api.validation.names import dns_label, dns_subdomain
from bireme.api.validation.selectors import check_node_selector

_MODES = ("All", "ExactCount")
_EFFECTS = ("NoExecute", "NoSchedule", "None")
_MOST_REQUESTS = 32
_MOST_DEVICES = 128
_MOST_USERS = 256
_MOST_SELECTORS = 32
_MOST_ALTERNATIVES = 8
_MOST_CONSTRAINTS = 32
_MOST_CONFIGS = 32
_MOST_TOLERATIONS = 16
_MOST_TAINTS = 16
_MOST_WORDS = 32
"""Attributes and capacities of a device together."""


def check_claim(problems: Problems, tree: Tree) -> None:
    """A ResourceClaim."""
    _check_devices(problems, (tree.get("spec") or {}).get("devices") or {}, "spec.devices")
    users = (tree.get("status") or {}).get("reservedFor") or ()
    _check_most(problems, users, "status.reservedFor", _MOST_USERS)


def check_claim_update(problems: Problems, new: Tree, old: Tree) -> None:
    """A ResourceClaim keeps its spec."""
    check_unchanged(problems, new.get("spec"), old.get("spec"), "spec")


def check_claim_status(problems: Problems, tree: Tree) -> None:
    """A ResourceClaim's status: its users, each once."""
    users = (tree.get("status") or {}).get("reservedFor") or ()
    _check_most(problems, users, "status.reservedFor", _MOST_USERS)
    _check_once(problems, (user.get("uid") for user in users), "status.reservedFor", "uid")


def check_claim_status_update(problems: Problems, new: Tree, old: Tree) -> None:
    """An allocation comes and goes, and does not change while it is there."""
    now, before = ((tree.get("status") or {}).get("allocation") for tree in (new, old))
    if now is not None and before is not None:
        check_unchanged(problems, now, before, "status.allocation")


def check_template(problems: Problems, tree: Tree) -> None:
    """A ResourceClaimTemplate."""
    spec = (tree.get("spec") or {}).get("spec") or {}
    _check_devices(problems, spec.get("devices") or {}, "spec.spec.devices")


def check_class(problems: Problems, tree: Tree) -> None:
    """A DeviceClass."""
    _check_selectors(problems, tree.get("spec") or {}, "spec")


def _check_devices(problems: Problems, devices: Tree, path: str) -> None:
    requests = devices.get("requests") or ()
    _check_most(problems, requests, f"{path}.requests", _MOST_REQUESTS)
    _check_most(problems, devices.get("constraints") or (), f"{path}.constraints", _MOST_CONSTRAINTS)
    _check_most(problems, devices.get("config") or (), f"{path}.config", _MOST_CONFIGS)
    _check_once(problems, (request.get("name") for request in requests), f"{path}.requests", "name")
    names = set()
    for index, request in enumerate(requests):
        names.add(request.get("name"))
        names.update(f"{request.get('name')}/{each.get('name')}" for each in request.get("firstAvailable") or ())
        _check_request(problems, request, f"{path}.requests[{index}]")
    for index, constraint in enumerate(devices.get("constraints") or ()):
        where = f"{path}.constraints[{index}]"
        said = [field for field in ("matchAttribute", "distinctAttribute") if constraint.get(field)]
        if len(said) != 1:
            problems.required(where, "exactly one of `matchAttribute` or `distinctAttribute` is required")
        _check_named(problems, constraint, names, where)
    for index, config in enumerate(devices.get("config") or ()):
        _check_named(problems, config, names, f"{path}.config[{index}]")


def _check_named(problems: Problems, tree: Tree, names: set[Any], path: str) -> None:
    for index, name in enumerate(tree.get("requests") or ()):
        if name not in names:
            text = "must be the name of a request in the claim or the name of a request and subrequest"
            problems.invalid(f"{path}.requests[{index}]", name, text)


def _check_request(problems: Problems, request: Tree, path: str) -> None:
    _check_name(problems, request, path)
    exact, several = request.get("exactly"), request.get("firstAvailable") or ()
    if (exact is None) == (not several):
        problems.required(path, "exactly one of `exactly` or `firstAvailable` is required")
    if exact is not None:
        _check_asked(problems, exact, f"{path}.exactly")
    _check_most(problems, several, f"{path}.firstAvailable", _MOST_ALTERNATIVES)
    _check_once(problems, (each.get("name") for each in several), f"{path}.firstAvailable", "name")
    for index, each in enumerate(several):
        _check_name(problems, each, f"{path}.firstAvailable[{index}]")
        _check_asked(problems, each, f"{path}.firstAvailable[{index}]")


def _check_asked(problems: Problems, asked: Tree, path: str) -> None:
    name = asked.get("deviceClassName")
    if not name:
        problems.required(f"{path}.deviceClassName")
    else:
        problems.invalid_each(f"{path}.deviceClassName", name, dns_subdomain(name))
    check_one_of(problems, asked, "allocationMode", path, _MODES)
    count = asked.get("count")
    if asked.get("allocationMode") == "All":
        if count:
            problems.invalid(f"{path}.count", count, "must not be specified when allocationMode is 'All'")
    elif count is not None and count <= 0:
        problems.invalid(f"{path}.count", count, POSITIVE)
    _check_selectors(problems, asked, path)
    tolerations = asked.get("tolerations") or ()
    _check_most(problems, tolerations, f"{path}.tolerations", _MOST_TOLERATIONS)
    for index, toleration in enumerate(tolerations):
        where = f"{path}.tolerations[{index}]"
        check_one_of(problems, toleration, "operator", where, ("Equal", "Exists"))
        check_one_of(problems, toleration, "effect", where, ("NoExecute", "NoSchedule"))


def _check_selectors(problems: Problems, tree: Tree, path: str) -> None:
    selectors = tree.get("selectors") or ()
    _check_most(problems, selectors, f"{path}.selectors", _MOST_SELECTORS)
    for index, each in enumerate(selectors):
        where = f"{path}.selectors[{index}].cel"
        expression = (each.get("cel") or {}).get("expression")
        if not expression:
            problems.required(where if each.get("cel") is None else f"{where}.expression")
        elif len(expression) > LONGEST:
            problems.too_long(f"{where}.expression", LONGEST)
        elif fault := _expression_fault(expression):
            problems.invalid(f"{where}.expression", expression, fault)


def _expression_fault(expression: str) -> str:
    try:
        result = selector(expression).result
    except CelError as error:
        return f"compilation failed: {error}"
    return "" if result.name in ("bool", "dyn") else "must evaluate to bool"


def check_slice(problems: Problems, tree: Tree) -> None:
    """A ResourceSlice."""
    spec = tree.get("spec") or {}
    pool = spec.get("pool") or {}
    if not spec.get("driver"):
        problems.required("spec.driver")
    else:
        problems.invalid_each("spec.driver", spec["driver"], dns_subdomain(spec["driver"]))
    if not pool.get("name"):
        problems.required("spec.pool.name")
    if (pool.get("resourceSliceCount") or 0) <= 0:
        problems.invalid("spec.pool.resourceSliceCount", pool.get("resourceSliceCount") or 0, POSITIVE)
    if (pool.get("generation") or 0) < 0:
        problems.invalid("spec.pool.generation", pool["generation"], "must be greater than or equal to zero")
    _check_where(problems, spec, "spec", ("nodeName", "nodeSelector", "allNodes", "perDeviceNodeSelection"))
    devices = spec.get("devices") or ()
    _check_most(problems, devices, "spec.devices", _MOST_DEVICES)
    _check_once(problems, (device.get("name") for device in devices), "spec.devices", "name")
    for index, device in enumerate(devices):
        path = f"spec.devices[{index}]"
        _check_name(problems, device, path)
        if spec.get("perDeviceNodeSelection"):
            _check_where(problems, device, path, ("nodeName", "nodeSelector", "allNodes"))
        words = (*(device.get("attributes") or ()), *(device.get("capacity") or ()))
        _check_most(problems, words, path, _MOST_WORDS)
        _check_most(problems, device.get("taints") or (), f"{path}.taints", _MOST_TAINTS)
        for number, taint in enumerate(device.get("taints") or ()):
            _check_taint(problems, taint, f"{path}.taints[{number}]")


def check_slice_update(problems: Problems, new: Tree, old: Tree) -> None:
    """A ResourceSlice stays one of its driver, its pool and its node."""
    now, before = new.get("spec") or {}, old.get("spec") or {}
    for field in ("driver", "nodeName"):
        check_unchanged(problems, now.get(field), before.get(field), f"spec.{field}")
    names = ((spec.get("pool") or {}).get("name") for spec in (now, before))
    check_unchanged(problems, next(names), next(names), "spec.pool.name")


def _check_where(problems: Problems, tree: Tree, path: str, fields: Iterable[str]) -> None:
    said = [field for field in fields if tree.get(field)]
    if len(said) != 1:
        problems.required(path, f"exactly one of {', '.join(f'`{field}`' for field in fields)} is required")
    if tree.get("nodeSelector"):
        check_node_selector(problems, tree["nodeSelector"], f"{path}.nodeSelector")


def check_taint_rule(problems: Problems, tree: Tree) -> None:
    """A DeviceTaintRule."""
    _check_taint(problems, (tree.get("spec") or {}).get("taint") or {}, "spec.taint")


def _check_taint(problems: Problems, taint: Tree, path: str) -> None:
    if not taint.get("key"):
        problems.required(f"{path}.key")
    check_one_of(problems, taint, "effect", path, _EFFECTS, needed=True)


def _check_name(problems: Problems, tree: Tree, path: str) -> None:
    name = tree.get("name")
    if not name:
        problems.required(at(path, "name"))
    else:
        problems.invalid_each(at(path, "name"), name, dns_label(name))


def _check_most(problems: Problems, entries: Sized, path: str, most: int) -> None:
    if len(entries) > most:
        problems.too_many(path, len(entries), most)


def _check_once(problems: Problems, values: Iterable[Any], path: str, field: str) -> None:
    seen = set()
    for index, value in enumerate(values):
        if value in seen:
            problems.duplicate(f"{path}[{index}].{field}", value)
        seen.add(value)


def _keeps_spec(problems: Problems, new: Tree, old: Tree) -> None:
    check_unchanged(problems, new.get("spec"), old.get("spec"), "spec")


RULES: Mapping[str, Rules] = {
    "DeviceClass": Rules(check_class),
    "DeviceTaintRule": Rules(check_taint_rule),
    "ResourceClaim": Rules(check_claim, check_claim_update),
    "ResourceClaim/status": Rules(check_claim_status, check_claim_status_update),
    "ResourceClaimTemplate": Rules(check_template, _keeps_spec),
    "ResourceSlice": Rules(check_slice, check_slice_update),
}
