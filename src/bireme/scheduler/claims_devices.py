"""Devices as drivers publish them: pools made of slices, what selectors see of a device, and where it can be used.

A pool is the slices of its newest generation; one of which slices are missing, or that names a device twice, is not
used. Whether an expression selects a device is worked out once, since a published device does not change.
Source: the Kubernetes documentation on dynamic resource allocation; the fields' descriptions in `resource.k8s.io/v1`.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from bireme.api import quantity
from bireme.api.cel.devices import Domains, selector
from bireme.api.cel.errors import CelError
from bireme.api.cel.library.quantity import Amount
from bireme.api.cel.library.versions import version
from bireme.api.kinds import core, resource


class PoolId(NamedTuple):
    """A pool by its driver and name."""

    driver: str
    pool: str


class DeviceId(NamedTuple):
    """A device by its driver, pool and name."""

    driver: str
    pool: str
    name: str


@dataclass(frozen=True, slots=True)
class Draw:
    """What a device takes of its pool's shared counters: amounts in nanos by counter."""

    counter_set: str
    counters: Mapping[str, int]


@dataclass(slots=True, eq=False)
class Device:
    """One device of a complete pool. `node` names the one it is in; else `selector` says where it can be used."""

    id: DeviceId
    said: resource.Device
    taints: tuple[resource.DeviceTaint, ...]
    draws: tuple[Draw, ...]
    node: str = ""
    selector: core.NodeSelector | None = None
    _values: dict[str, Any] | None = None
    _attributes: Mapping[str, frozenset[Any]] | None = None
    _selected: dict[str, bool | CelError] = field(default_factory=dict)

    @property
    def shared(self) -> bool:
        """Several claims may have a part of it each."""
        return bool(self.said.allow_multiple_allocations)

    @property
    def attributes(self) -> Mapping[str, frozenset[Any]]:
        """Attributes as constraints compare them."""
        if self._attributes is None:
            self._attributes = comparable(self.said, self.id.driver)
        return self._attributes

    def selected_by(self, expression: str) -> bool:
        """Whether the expression holds for the device. Raises CelError."""
        found = self._selected.get(expression)
        if found is None:
            if self._values is None:
                self._values = {"device": _values(self.id.driver, self.said)}
            try:
                found = selector(expression).evaluate(self._values) is True
            except CelError as error:
                found = error
            self._selected[expression] = found
        if isinstance(found, CelError):
            raise found
        return found


def _values(driver: str, device: resource.Device) -> dict[str, Any]:
    """The device as expressions see it."""
    attributes, capacity = Domains(), Domains()
    for name, value in device.attributes.items():
        domain, short = _qualified(name, driver)
        attributes.setdefault(domain, {})[short] = _attribute(value)
    for name, amount in device.capacity.items():
        domain, short = _qualified(name, driver)
        capacity.setdefault(domain, {})[short] = Amount(quantity.nanos(amount.value))
    return {
        "driver": driver,
        "attributes": attributes,
        "capacity": capacity,
        "allowMultipleAllocations": bool(device.allow_multiple_allocations),
    }


def _qualified(name: str, driver: str) -> tuple[str, str]:
    domain, slash, short = name.partition("/")
    return (domain, short) if slash else (driver, name)


def _attribute(value: resource.DeviceAttribute) -> Any:
    if value.int_ is not None:
        return value.int_
    if value.bool_ is not None:
        return value.bool_
    if value.version:
        return version(value.version)
    for several in (value.strings, value.ints, value.bools):
        if several:
            return list(several)
    if value.versions:
        return [version(each) for each in value.versions]
    return value.string


def comparable(device: resource.Device, driver: str) -> dict[str, frozenset[Any]]:
    """Attributes by their full names, as sets of (type, value), for constraints; a list counts as its members."""
    found: dict[str, frozenset[Any]] = {}
    for name, value in device.attributes.items():
        one: list[tuple[str, Any]] = [("int", value.int_)] if value.int_ is not None else []
        one += [("bool", value.bool_)] if value.bool_ is not None else []
        one += [("string", value.string)] if value.string else []
        one += [("version", value.version)] if value.version else []
        one += [("int", each) for each in value.ints] + [("bool", each) for each in value.bools]
        one += [("string", each) for each in value.strings] + [("version", each) for each in value.versions]
        domain, short = _qualified(name, driver)
        found[f"{domain}/{short}"] = frozenset(one)
    return found


@dataclass(frozen=True, slots=True)
class Pool:
    """A complete pool. `counters` holds the amounts of each shared counter set, in nanos."""

    id: PoolId
    devices: tuple[Device, ...]
    counters: Mapping[str, Mapping[str, int]]


def pool_of(
    id: PoolId, slices: Iterable[resource.ResourceSlice], rules: Iterable[resource.DeviceTaintRule] = ()
) -> Pool | None:
    """The pool that these slices make up; None while it is not complete or not sound."""
    said = list(slices)
    newest = max((each.spec.pool.generation or 0 for each in said), default=0)
    current = sorted(
        (each for each in said if (each.spec.pool.generation or 0) == newest), key=lambda each: each.metadata.name
    )
    if not current or len(current) != (current[0].spec.pool.resource_slice_count or 0):
        return None
    devices = [_device(id, each, device, rules) for each in current for device in each.spec.devices]
    if len({device.id for device in devices}) != len(devices):
        return None
    counters = {
        counter_set.name: {name: quantity.nanos(counter.value) for name, counter in counter_set.counters.items()}
        for each in current
        for counter_set in each.spec.shared_counters
    }
    return Pool(id, tuple(devices), counters)


def _device(
    pool: PoolId, where: resource.ResourceSlice, said: resource.Device, rules: Iterable[resource.DeviceTaintRule]
) -> Device:
    id = DeviceId(*pool, said.name)
    own = where.spec.per_device_node_selection
    node = (said.node_name if own else where.spec.node_name) or ""
    selector = said.node_selector if own else where.spec.node_selector
    added = [rule.spec.taint for rule in rules if _concerns(rule.spec.device_selector, id)]
    draws = tuple(
        Draw(each.counter_set, {name: quantity.nanos(amount.value) for name, amount in each.counters.items()})
        for each in said.consumes_counters
    )
    return Device(id, said, (*said.taints, *added), draws, node, selector)


def _concerns(selector: resource.DeviceTaintSelector | None, id: DeviceId) -> bool:
    if selector is None:
        return False
    wishes = (selector.driver, selector.pool, selector.device)
    return all(wish in ("", have) for wish, have in zip(wishes, id, strict=True))


def by_pool(slices: Iterable[resource.ResourceSlice]) -> dict[PoolId, list[resource.ResourceSlice]]:
    """The slices of each pool."""
    found: defaultdict[PoolId, list[resource.ResourceSlice]] = defaultdict(list)
    for each in slices:
        found[pool_id(each)].append(each)
    return dict(found)


def pool_id(each: resource.ResourceSlice) -> PoolId:
    """The pool that a slice is of."""
    return PoolId(each.spec.driver, each.spec.pool.name)
