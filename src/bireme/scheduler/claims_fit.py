"""Whether a device suits a request beside what its selectors say: taints, capacity, and what devices have in common.

Source: the Kubernetes documentation on dynamic resource allocation (constraints, taints, consumable capacity).
"""

from collections.abc import Mapping, Sequence
from typing import Any

from bireme.api import quantity
from bireme.api.kinds import resource
from bireme.scheduler.claims_devices import Device


def agree(devices: Sequence[Device], attribute: str, *, distinct: bool) -> bool:
    """Whether each device has the attribute, and with one value in common, or all with others.

    An attribute that is a list stands for the set of its members: these must share one, or none.
    """
    values = [device.attributes.get(attribute) for device in devices]
    sets: list[frozenset[Any]] = [value for value in values if value]
    if len(sets) != len(devices):
        return False
    if distinct:
        return len(frozenset[Any]().union(*sets)) == sum(map(len, sets))
    return bool(sets[0].intersection(*sets[1:]))


def consumption(device: resource.Device, asked: Mapping[str, int], *, shared: bool) -> dict[str, int] | None:
    """What of each capacity a request takes, in nanos; None where the device hasn't as much, or won't give so much.

    A device that is not shared is taken whole: it must have what was asked for, and nothing is counted.
    """
    if not set(asked) <= set(device.capacity):
        return None
    found: dict[str, int] = {}
    for name, capacity in device.capacity.items():
        whole = quantity.nanos(capacity.value)
        amount = _granted(capacity, asked.get(name), whole) if shared else asked.get(name, 0)
        if amount is None or amount > whole:
            return None
        found[name] = amount
    return found if shared else {}


def _granted(capacity: resource.DeviceCapacity, asked: int | None, whole: int) -> int | None:
    """The asked amount, rounded up to what the device's policy gives out; without a policy the whole by default."""
    policy = capacity.request_policy
    if policy is None:
        return whole if asked is None else asked
    amount = asked if asked is not None else quantity.nanos(policy.default) if policy.default else whole
    if policy.valid_values:
        return min((v for v in map(quantity.nanos, policy.valid_values) if v >= amount), default=None)
    span = policy.valid_range
    if span is None:
        return amount
    least = quantity.nanos(span.min) if span.min else 0
    amount = max(amount, least)
    if span.step:
        step = quantity.nanos(span.step)
        amount = least + -(-(amount - least) // step) * step
    if span.max and amount > quantity.nanos(span.max):
        return None
    return amount


def tolerated(device: Device, tolerations: Sequence[resource.DeviceToleration]) -> bool:
    """Whether none of the device's taints keeps the request away."""
    return not any(
        taint.effect in ("NoSchedule", "NoExecute") and not any(_covers(each, taint) for each in tolerations)
        for taint in device.taints
    )


def _covers(toleration: resource.DeviceToleration, taint: resource.DeviceTaint) -> bool:
    if toleration.effect not in ("", taint.effect) or toleration.key not in ("", taint.key):
        return False
    if toleration.operator == "Exists":
        return True
    return bool(toleration.key) and toleration.value == taint.value
