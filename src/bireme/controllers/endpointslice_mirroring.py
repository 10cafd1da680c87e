"""Mirror hand-made Endpoints of services without a selector into EndpointSlices, which is what the network reads."""

import ipaddress
from collections import defaultdict
from datetime import timedelta

from bireme.api.kinds import core, discovery
from bireme.api.times import rfc3339
from bireme.client.informer import Key
from bireme.controllers import slices
from bireme.controllers.changes import Delete
from bireme.controllers.controller import Context, Controller, Watch
from bireme.controllers.endpointslice import BY_SERVICE, by_service, service_of
from bireme.controllers.service_endpoints import LAST_CHANGE, PodPort

MANAGER = "endpointslicemirroring-controller.k8s.io"
SKIP = "endpointslice.kubernetes.io/skip-mirror"
LEADER = "control-plane.alpha.kubernetes.io/leader"
MOST = 1000
_RESERVED = frozenset((slices.SERVICE_NAME, slices.MANAGED_BY, SKIP))


def is_mirrored(endpoints: core.Endpoints, service: core.Service | None) -> bool:
    """The Endpoints are somebody's own, of a service without selector, and not marked to be left alone."""
    metadata = endpoints.metadata
    marked = metadata.labels.get(SKIP) == "true" or LEADER in metadata.annotations
    return service is not None and not service.spec.selector and not marked and not metadata.deletion_timestamp


def wanted(endpoints: core.Endpoints, *, changed: str) -> slices.Wanted:
    """The slices that say the same as the Endpoints; at most a thousand addresses of each subset."""
    groups: dict[slices.Group, list[discovery.Endpoint]] = defaultdict(list)
    for subset in endpoints.subsets:
        ports: tuple[PodPort, ...] = tuple(
            sorted((port.name, port.protocol or "TCP", port.port or 0, port.app_protocol) for port in subset.ports)
        )
        states = [(address, True) for address in subset.addresses]
        states += [(address, False) for address in subset.not_ready_addresses]
        for address, ready in states[:MOST]:
            family = f"IPv{ipaddress.ip_address(address.ip).version}"
            groups[family, ports].append(_endpoint(address, ready=ready))
    labels = {key: value for key, value in endpoints.metadata.labels.items() if key not in _RESERVED}
    labels |= {slices.SERVICE_NAME: endpoints.metadata.name, slices.MANAGED_BY: MANAGER}
    return slices.Wanted(endpoints, labels, changed, groups, most=MOST, address_types=())


def _endpoint(address: core.EndpointAddress, *, ready: bool) -> discovery.Endpoint:
    return discovery.Endpoint(
        addresses=[address.ip],
        conditions=discovery.EndpointConditions(ready=ready),
        hostname=address.hostname,
        node_name=address.node_name,
        target_ref=address.target_ref,
    )


class EndpointSliceMirroringController(Controller):
    """Mirror hand-made Endpoints into EndpointSlices.

    Reads Endpoints and Services; creates, updates and deletes EndpointSlices of its own label.
    """

    name = "endpointslice-mirroring-controller"
    watches = Watch(core.Endpoints), Watch(core.Service), Watch(discovery.EndpointSlice, keys=service_of)

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.cache.index(discovery.EndpointSlice, BY_SERVICE, by_service)

    async def reconcile(self, key: Key) -> timedelta | None:
        endpoints = self.cache.get(core.Endpoints, key)
        there = self._mirrors(key)
        if endpoints is not None and is_mirrored(endpoints, self.cache.get(core.Service, key)):
            changed = endpoints.metadata.annotations.get(LAST_CHANGE) or rfc3339(self.clock.now())
            await self.carry_out(slices.plan(wanted(endpoints, changed=changed), there))
        else:
            await self.carry_out(Delete(item) for item in there)
        return None

    def _mirrors(self, key: Key) -> list[discovery.EndpointSlice]:
        found = self.cache.find(discovery.EndpointSlice, BY_SERVICE, f"{key} {MANAGER}")
        return [item for item in found if not item.metadata.deletion_timestamp]
