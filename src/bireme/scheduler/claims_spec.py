"""From a claim as users write it to what the allocator is asked, and from its picks to what the API is told.

Source: the fields' descriptions in `resource.k8s.io/v1`.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec

from bireme.api import quantity
from bireme.api.kinds import core, resource
from bireme.api.times import rfc3339
from bireme.scheduler.claims_allocator import Alternative, Constraint, Pick, Wanted
from bireme.scheduler.claims_devices import Device

Asked = resource.ExactDeviceRequest | resource.DeviceSubRequest
FindClass = Callable[[str], resource.DeviceClass | None]


class Unanswerable(Exception):
    """A claim that nothing can be looked for, as things are; the text is for users."""


def wanted_of(claim: resource.ResourceClaim, find_class: FindClass) -> Wanted:
    """What the claim asks for. Raises Unanswerable."""
    said = claim.spec.devices or resource.DeviceClaim()
    return Wanted(
        tuple(tuple(_alternatives(request, find_class)) for request in said.requests),
        tuple(_constraint(each) for each in said.constraints),
    )


def _alternatives(request: resource.DeviceRequest, find_class: FindClass) -> Iterable[Alternative]:
    if request.exactly is not None:
        yield _alternative(request.name, request.name, request.exactly, find_class)
    for each in request.first_available:
        yield _alternative(f"{request.name}/{each.name}", request.name, each, find_class)


def _alternative(name: str, parent: str, asked: Asked, find_class: FindClass) -> Alternative:
    device_class = find_class(asked.device_class_name)
    if device_class is None:
        raise Unanswerable(f"request {name}: device class {asked.device_class_name} does not exist")
    expressions = [each.cel.expression for each in (*device_class.spec.selectors, *asked.selectors) if each.cel]
    capacity = asked.capacity.requests if asked.capacity is not None else {}
    return Alternative(
        name=name,
        parent=parent,
        count=None if asked.allocation_mode == "All" else asked.count or 1,
        selects=_selects(tuple(expressions)),
        admin=isinstance(asked, resource.ExactDeviceRequest) and bool(asked.admin_access),
        tolerations=tuple(asked.tolerations),
        capacity={key: quantity.nanos(amount) for key, amount in capacity.items()},
    )


def _selects(expressions: tuple[str, ...]) -> Callable[[Device], bool]:
    def selects(device: Device) -> bool:
        return all(device.selected_by(expression) for expression in expressions)

    return selects


def _constraint(said: resource.DeviceConstraint) -> Constraint:
    attribute = said.match_attribute or said.distinct_attribute
    return Constraint(attribute, frozenset(said.requests), distinct=not said.match_attribute)


def allocation_of(
    claim: resource.ResourceClaim,
    picks: Sequence[Pick],
    find_class: FindClass,
    *,
    node: str,
    now: datetime,
    uid: Callable[[], str],
) -> resource.AllocationResult:
    """What the claim's status says of these picks."""
    return resource.AllocationResult(
        allocation_timestamp=rfc3339(now),
        devices=resource.DeviceAllocationResult(
            results=[_result(pick, uid) for pick in picks], config=_config(claim, picks, find_class)
        ),
        node_selector=_on(node)
        if any(pick.device.said.binds_to_node for pick in picks)
        else node_selector(pick.device for pick in picks),
    )


def _result(pick: Pick, uid: Callable[[], str]) -> resource.DeviceRequestAllocationResult:
    device = pick.device
    return resource.DeviceRequestAllocationResult(
        request=pick.alternative.name,
        driver=device.id.driver,
        pool=device.id.pool,
        device=device.id.name,
        admin_access=pick.alternative.admin or None,
        tolerations=list(pick.alternative.tolerations),
        binding_conditions=list(device.said.binding_conditions),
        binding_failure_conditions=list(device.said.binding_failure_conditions),
        consumed_capacity={name: _amount(device, name, nanos) for name, nanos in pick.consumed.items()},
        share_id=uid() if device.shared and not pick.alternative.admin else "",
    )


def _amount(device: Device, name: str, nanos: int) -> str:
    """Spelled as the device spells its own capacity."""
    _, family = quantity.family_of(str(device.said.capacity[name].value))
    return quantity.text_of(nanos, family)


def _config(
    claim: resource.ResourceClaim, picks: Sequence[Pick], find_class: FindClass
) -> list[resource.DeviceAllocationConfiguration]:
    """What drivers are told: the classes' words first, for the requests served by them; then the claim's own."""
    said = claim.spec.devices or resource.DeviceClaim()
    served = {pick.alternative.name for pick in picks}
    found = []
    for request in said.requests:
        for name, asked in _asked(request):
            device_class = find_class(asked.device_class_name) if name in served else None
            found += [
                resource.DeviceAllocationConfiguration(opaque=each.opaque, requests=[name], source="FromClass")
                for each in (device_class.spec.config if device_class is not None else ())
            ]
    chosen = served | {pick.alternative.parent for pick in picks}
    found += [
        resource.DeviceAllocationConfiguration(opaque=each.opaque, requests=list(each.requests), source="FromClaim")
        for each in said.config
        if not each.requests or chosen & set(each.requests)
    ]
    return found


def _asked(request: resource.DeviceRequest) -> Iterable[tuple[str, Asked]]:
    if request.exactly is not None:
        yield request.name, request.exactly
    for each in request.first_available:
        yield f"{request.name}/{each.name}", each


def node_selector(devices: Iterable[Device]) -> core.NodeSelector | None:
    """Where all these devices can be used; None for everywhere."""
    terms = [core.NodeSelectorTerm()]
    narrowed = False
    seen: set[bytes] = set()
    for device in devices:
        if device.node:
            return _on(device.node)
        if device.selector is None or (key := msgspec.msgpack.encode(device.selector)) in seen:
            continue
        seen.add(key)
        narrowed = True
        terms = [_both(one, other) for one in terms for other in device.selector.node_selector_terms]
    return core.NodeSelector(node_selector_terms=terms) if narrowed else None


def _on(node: str) -> core.NodeSelector:
    wish = core.NodeSelectorRequirement(key="metadata.name", operator="In", values=[node])
    return core.NodeSelector(node_selector_terms=[core.NodeSelectorTerm(match_fields=[wish])])


def _both(one: core.NodeSelectorTerm, other: core.NodeSelectorTerm) -> core.NodeSelectorTerm:
    return core.NodeSelectorTerm(
        match_expressions=[*one.match_expressions, *other.match_expressions],
        match_fields=[*one.match_fields, *other.match_fields],
    )


def shape_of(claim: resource.ResourceClaim) -> bytes:
    """Claims of one shape ask for the same."""
    return msgspec.msgpack.encode(claim.spec.devices)


def consumer(pod: core.Pod) -> dict[str, Any]:
    """The pod as `reservedFor` names it."""
    return {"resource": "pods", "name": pod.metadata.name, "uid": pod.metadata.uid}


def claim_name(pod: core.Pod, entry: core.PodResourceClaim, statuses: Mapping[str, str]) -> str | None:
    """The name of the claim behind one of the pod's entries: "" where none is needed, None before it is made."""
    if entry.resource_claim_name:
        return entry.resource_claim_name
    return statuses.get(entry.name)
