"""Keep the Endpoints of each service that has a selector: the older form, for older readers."""

import ipaddress
from collections import defaultdict
from collections.abc import Sequence
from datetime import timedelta

import msgspec

from bireme.api.kinds import core, meta
from bireme.api.times import rfc3339
from bireme.client.informer import Key
from bireme.controllers import pods as pod_facts
from bireme.controllers import service_endpoints as common
from bireme.controllers.changes import Create, Delete, Update
from bireme.controllers.controller import Context, Controller, Watch
from bireme.controllers.selecting import SELECTS

MANAGED_BY = "endpoints.kubernetes.io/managed-by"
MANAGER = "endpoint-controller"
OVER_CAPACITY = "endpoints.kubernetes.io/over-capacity"
MOST = 1000


def subsets(service: core.Service, chosen: Sequence[core.Pod]) -> list[core.EndpointSubset]:
    """Addresses by the set of ports that they serve, in a fixed order."""
    groups: dict[tuple[common.PodPort, ...], core.EndpointSubset] = defaultdict(core.EndpointSubset)
    unready_too = bool(service.spec.publish_not_ready_addresses)
    for pod in chosen:
        if not pod.status.pod_ip or (pod.metadata.deletion_timestamp and not unready_too):
            continue
        served = common.ports(service, pod)
        if service.spec.ports and not served:
            continue
        group = groups[tuple(sorted(served))]
        ready = unready_too or pod_facts.is_ready(pod)
        (group.addresses if ready else group.not_ready_addresses).append(_address(service, pod))
    for served, group in groups.items():
        group.ports = [
            core.EndpointPort(name=name, protocol=protocol, port=number, app_protocol=application)
            for name, protocol, number, application in served
        ]
        group.addresses.sort(key=_address_order)
        group.not_ready_addresses.sort(key=_address_order)
    return [groups[served] for served in sorted(groups)]


def _address(service: core.Service, pod: core.Pod) -> core.EndpointAddress:
    return core.EndpointAddress(
        ip=pod.status.pod_ip,
        node_name=pod.spec.node_name,
        hostname=common.hostname(service, pod),
        target_ref=common.target_ref(pod),
    )


def _address_order(address: core.EndpointAddress) -> tuple[bytes, str]:
    return ipaddress.ip_address(address.ip).packed, address.target_ref.uid if address.target_ref else ""


def truncated(found: list[core.EndpointSubset]) -> tuple[list[core.EndpointSubset], bool]:
    """At most a thousand addresses, those that are ready first; and whether any had to go."""
    total = sum(len(item.addresses) + len(item.not_ready_addresses) for item in found)
    if total <= MOST:
        return found, False
    room = MOST
    ready = []
    for item in found:
        ready.append(item.addresses[:room])
        room -= len(ready[-1])
    kept = []
    for item, addresses in zip(found, ready, strict=True):
        waiting = item.not_ready_addresses[:room]
        room -= len(waiting)
        if addresses or waiting:
            kept.append(core.EndpointSubset(addresses=addresses, not_ready_addresses=waiting, ports=item.ports))
    return kept, True


def wanted(service: core.Service, chosen: Sequence[core.Pod]) -> core.Endpoints:
    """The Endpoints that the service should have."""
    found, over = truncated(subsets(service, chosen))
    labels = {key: value for key, value in service.metadata.labels.items() if key != common.HEADLESS}
    labels[MANAGED_BY] = MANAGER
    if common.is_headless(service):
        labels[common.HEADLESS] = ""
    annotations = {common.LAST_CHANGE: rfc3339(common.last_change(service, chosen))}
    if over:
        annotations[OVER_CAPACITY] = "truncated"
    return core.Endpoints(
        metadata=meta.ObjectMeta(
            name=service.metadata.name, namespace=service.metadata.namespace, labels=labels, annotations=annotations
        ),
        subsets=found,
    )


def is_same(there: core.Endpoints, fresh: core.Endpoints) -> bool:
    """Nothing that counts differs; the time of the last change alone does not."""

    def marks(item: core.Endpoints) -> str | None:
        return item.metadata.annotations.get(OVER_CAPACITY)

    return (
        there.subsets == fresh.subsets
        and there.metadata.labels == fresh.metadata.labels
        and marks(there) == marks(fresh)
    )


class EndpointsController(Controller):
    """Keep the Endpoints of each service that has a selector.

    Reads Services and the Pods they select; creates, updates and deletes Endpoints.
    """

    name = "endpoints-controller"
    watches = (
        Watch(core.Service),
        Watch(core.Endpoints),
        Watch(core.Pod, keys=common.services_of),
    )

    def __init__(self, context: Context) -> None:
        context.informers.index(core.Service, SELECTS, common.filed_service)
        super().__init__(context)

    async def reconcile(self, key: Key) -> timedelta | None:
        service = self.cache.get(core.Service, key)
        there = self.cache.get(core.Endpoints, key)
        if service is None:
            self.rest(key, 0)
            if there is not None and there.metadata.labels.get(MANAGED_BY) == MANAGER:
                await self.carry_out((Delete(there),))
            return None
        if not common.is_ours(service) or service.metadata.deletion_timestamp:
            return None
        chosen = common.selected(service, self.cache.within(core.Pod, key.namespace))
        self.rest(key, common.rest(chosen))
        fresh = wanted(service, chosen)
        if there is None:
            await self.carry_out((Create(fresh),))
        elif not is_same(there, fresh):
            others = {k: v for k, v in there.metadata.annotations.items() if k != OVER_CAPACITY}
            annotations = {**others, **fresh.metadata.annotations}
            metadata = msgspec.structs.replace(there.metadata, labels=fresh.metadata.labels, annotations=annotations)
            await self.carry_out((Update(msgspec.structs.replace(fresh, metadata=metadata)),))
        return None
