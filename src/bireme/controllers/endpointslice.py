"""Keep the EndpointSlices of each service that has a selector."""

import ipaddress
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from datetime import timedelta

from bireme.api.kinds import core, discovery
from bireme.api.times import rfc3339
from bireme.client.informer import Key
from bireme.controllers import pods as pod_facts
from bireme.controllers import service_endpoints as common
from bireme.controllers import slices
from bireme.controllers.controller import Context, Controller, Watch, nobody
from bireme.controllers.informers import Informers
from bireme.controllers.selecting import SELECTS

MANAGER = "endpointslice-controller.k8s.io"
ZONE = "topology.kubernetes.io/zone"
BY_SERVICE = "endpointslice/service"
NO_NODE_LOOK_AGAIN = timedelta(seconds=5)
_RESERVED = frozenset((slices.SERVICE_NAME, slices.MANAGED_BY, common.HEADLESS))


def by_service(item: discovery.EndpointSlice) -> Iterable[str]:
    """Index values: `namespace/service manager` of a slice."""
    labels = item.metadata.labels
    return (f"{item.metadata.namespace}/{labels.get(slices.SERVICE_NAME, '')} {labels.get(slices.MANAGED_BY, '')}",)


def service_of(
    cache: Informers, old: discovery.EndpointSlice | None, new: discovery.EndpointSlice | None
) -> Iterable[Key]:
    """The service that a slice belongs to, now or before."""
    return {
        Key(item.metadata.namespace, item.metadata.labels[slices.SERVICE_NAME])
        for item in (old, new)
        if item is not None and slices.SERVICE_NAME in item.metadata.labels
    }


def endpoint(service: core.Service, pod: core.Pod, address: str, *, zone: str = "") -> discovery.Endpoint:
    """The pod as an endpoint of the service."""
    serving = pod_facts.is_ready(pod)
    terminating = bool(pod.metadata.deletion_timestamp)
    return discovery.Endpoint(
        addresses=[address],
        conditions=discovery.EndpointConditions(
            ready=bool(service.spec.publish_not_ready_addresses) or (serving and not terminating),
            serving=serving,
            terminating=terminating,
        ),
        hostname=common.hostname(service, pod),
        node_name=pod.spec.node_name,
        target_ref=common.target_ref(pod),
        zone=zone,
    )


def labels(service: core.Service) -> dict[str, str]:
    """The labels of the service's slices."""
    made = {key: value for key, value in service.metadata.labels.items() if key not in _RESERVED}
    made |= {slices.SERVICE_NAME: service.metadata.name, slices.MANAGED_BY: MANAGER}
    if common.is_headless(service):
        made[common.HEADLESS] = ""
    return made


def wanted(
    service: core.Service, chosen: Sequence[core.Pod], *, node: Callable[[str], core.Node | None]
) -> slices.Wanted:
    """The slices that the service should have. A pod of a node that is gone counts only if unready ones do."""
    groups: dict[slices.Group, list[discovery.Endpoint]] = defaultdict(list)
    families = service.spec.ip_families or ["IPv4"]
    for pod in chosen:
        home = node(pod.spec.node_name) if pod.spec.node_name else None
        if pod.spec.node_name and home is None and not service.spec.publish_not_ready_addresses:
            continue
        served = tuple(sorted(common.ports(service, pod)))
        if service.spec.ports and not served:
            continue
        zone = home.metadata.labels.get(ZONE, "") if home else ""
        for family in families:
            address = address_of(pod, family)
            if address:
                groups[family, served].append(endpoint(service, pod, address, zone=zone))
    changed = rfc3339(common.last_change(service, chosen))
    return slices.Wanted(service, labels(service), changed, groups, address_types=families)


def address_of(pod: core.Pod, family: str) -> str:
    """The pod's address of a family (IPv4, IPv6), or ""."""
    for text in (*(item.ip for item in pod.status.pod_ips), pod.status.pod_ip):
        if text and f"IPv{ipaddress.ip_address(text).version}" == family:
            return text
    return ""


class EndpointSliceController(Controller):
    """Keep the EndpointSlices of each service that has a selector.

    Reads Services, the Pods they select and those pods' Nodes; creates, updates and deletes EndpointSlices.
    """

    name = "endpointslice-controller"
    watches = (
        Watch(core.Service),
        Watch(core.Pod, keys=common.services_of),
        Watch(discovery.EndpointSlice, keys=service_of),
        Watch(core.Node, keys=nobody),
    )

    def __init__(self, context: Context) -> None:
        context.informers.index(core.Service, SELECTS, common.filed_service)
        super().__init__(context)
        self.cache.index(discovery.EndpointSlice, BY_SERVICE, by_service)

    async def reconcile(self, key: Key) -> timedelta | None:
        service = self.cache.get(core.Service, key)
        if service is None or service.metadata.deletion_timestamp or not common.is_ours(service):
            self.rest(key, 0)
            return None  # deleted: its slices have it for an owner
        chosen = common.selected(service, self.cache.within(core.Pod, key.namespace))
        self.rest(key, common.rest(chosen))
        there = self.cache.find(discovery.EndpointSlice, BY_SERVICE, f"{key} {MANAGER}")
        live = [item for item in there if not item.metadata.deletion_timestamp]
        fresh = wanted(service, chosen, node=lambda name: self.cache.get(core.Node, Key("", name)))
        await self.carry_out(slices.plan(fresh, live))
        homeless = any(
            pod.spec.node_name and self.cache.get(core.Node, Key("", pod.spec.node_name)) is None for pod in chosen
        )
        return NO_NODE_LOOK_AGAIN if homeless else None
