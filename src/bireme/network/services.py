"""Services, endpoints and host ports to what one node must forward: a plan of front doors and backends.

What the plan becomes in the kernel stands in `ruleset.py`. Source: the Kubernetes documentation.
"""

import ipaddress
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from bireme.api.kinds import core, discovery
from bireme.client.informer import Key

SERVICE_NAME = "kubernetes.io/service-name"
OTHER_PROXY = "service.kubernetes.io/service-proxy-name"


@dataclass(frozen=True, slots=True, order=True)
class Backend:
    """Where a connection may end."""

    ip: str
    port: int
    local: bool = False


@dataclass(frozen=True, slots=True)
class Forward:
    """One port of one Service: its front doors and its backends.

    `addresses` are service IPs, external IPs and load-balancer IPs; `node_port` is 0 for none; `affinity_s` is
    how long a client stays with a backend, 0 for no affinity.
    """

    name: str
    protocol: str
    port: int
    addresses: tuple[str, ...]
    node_port: int = 0
    backends: tuple[Backend, ...] = ()
    affinity_s: int = 0
    external_local: bool = False
    internal_local: bool = False

    @property
    def internal(self) -> tuple[Backend, ...]:
        """The backends for clients in the cluster."""
        return tuple(each for each in self.backends if each.local) if self.internal_local else self.backends

    @property
    def external(self) -> tuple[Backend, ...]:
        """The backends for clients outside."""
        return tuple(each for each in self.backends if each.local) if self.external_local else self.backends


@dataclass(frozen=True, slots=True)
class HostPort:
    """A port of the node that leads to one container."""

    protocol: str
    port: int
    backend: Backend
    address: str = ""


@dataclass(frozen=True, slots=True)
class Plan:
    """All that one node forwards, in a fixed order."""

    forwards: tuple[Forward, ...] = ()
    host_ports: tuple[HostPort, ...] = ()


def plan(
    services: Iterable[core.Service],
    slices: Iterable[discovery.EndpointSlice],
    pods: Iterable[core.Pod],
    *,
    node: str,
) -> Plan:
    """What the node called `node` must forward. `pods` are the pods on it."""
    by_service: dict[Key, list[discovery.EndpointSlice]] = defaultdict(list)
    for each in slices:
        if (name := each.metadata.labels.get(SERVICE_NAME)) and each.address_type == "IPv4":
            by_service[Key(each.metadata.namespace, name)].append(each)
    forwards = [
        forward
        for service in services
        if is_forwarded(service)
        for forward in service_forwards(
            service, by_service.get(Key(service.metadata.namespace, service.metadata.name), ()), node=node
        )
    ]
    ports = {(port.protocol, port.port, port.address): port for pod in pods for port in pod_host_ports(pod)}
    return Plan(
        tuple(sorted(forwards, key=lambda forward: forward.name)),
        tuple(port for _, port in sorted(ports.items())),
    )


def is_forwarded(service: core.Service) -> bool:
    """The Service has an address of its own and no other proxy looks after it."""
    spec = service.spec
    return (
        spec.type != "ExternalName"
        and spec.cluster_ip not in ("", "None")
        and OTHER_PROXY not in service.metadata.labels
    )


def service_forwards(
    service: core.Service, slices: Iterable[discovery.EndpointSlice], *, node: str
) -> Iterable[Forward]:
    """One forward for each port of the Service."""
    spec, meta = service.spec, service.metadata
    slices = list(slices)
    balancer = service.status.load_balancer
    ingress = [each.ip for each in balancer.ingress if each.ip] if balancer else []
    addresses = [*(spec.cluster_ips or [spec.cluster_ip]), *spec.external_ips, *ingress]
    for port in spec.ports:
        yield Forward(
            name=f"{meta.namespace}/{meta.name}:{port.name or port.port}/{port.protocol or 'TCP'}",
            protocol=(port.protocol or "TCP").lower(),
            port=port.port or 0,
            addresses=tuple(dict.fromkeys(address for address in addresses if _is_v4(address))),
            node_port=port.node_port or 0,
            backends=backends(slices, port.name, node=node),
            affinity_s=affinity_seconds(spec),
            external_local=spec.external_traffic_policy == "Local",
            internal_local=spec.internal_traffic_policy == "Local",
        )


def affinity_seconds(spec: core.ServiceSpec) -> int:
    """How long a client stays with its backend; 0 without session affinity."""
    if spec.session_affinity != "ClientIP":
        return 0
    config = spec.session_affinity_config
    return (config.client_ip.timeout_seconds if config and config.client_ip else None) or 10800


def backends(slices: Iterable[discovery.EndpointSlice], port_name: str, *, node: str) -> tuple[Backend, ...]:
    """The ready endpoints of one port; when there are none, those that still serve while they end."""
    ready: set[Backend] = set()
    serving: set[Backend] = set()
    for each in slices:
        number = next((port.port for port in each.ports if port.name == port_name), None)
        if number is None:
            continue
        for endpoint in each.endpoints:
            condition = endpoint.conditions or discovery.EndpointConditions()
            found = {Backend(address, number, endpoint.node_name == node) for address in endpoint.addresses}
            if condition.ready is not False:
                ready |= found
            elif condition.serving:
                serving |= found
    return tuple(sorted(ready or serving))


def pod_host_ports(pod: core.Pod) -> Iterable[HostPort]:
    """The ports of the node that lead to this pod; none for one on the host's network, ended or without address."""
    spec, status = pod.spec, pod.status
    if spec.host_network or not status.pod_ip or status.phase in ("Succeeded", "Failed"):
        return
    for container in (*spec.init_containers, *spec.containers):
        for port in container.ports:
            if port.host_port:
                address = "" if port.host_ip in ("", "0.0.0.0", "::") else port.host_ip
                yield HostPort(
                    (port.protocol or "TCP").lower(),
                    port.host_port,
                    Backend(status.pod_ip, port.container_port or 0, local=True),
                    address,
                )


@dataclass(frozen=True, slots=True, order=True)
class Flow:
    """UDP flows that the kernel remembers: those to a backend, or those to a front door (`address` may be any)."""

    backend: str = ""
    address: str = ""
    port: int = 0


def stale_flows(old: Plan, new: Plan) -> set[Flow]:
    """UDP flows that would go on past the rules: to backends that are gone, or to doors that led nowhere before."""
    gone = _udp_backends(old) - _udp_backends(new)
    opened = _udp_doors(new) - _udp_doors(old)
    return {Flow(backend=each.ip) for each in gone} | opened


def _udp_backends(plan: Plan) -> set[Backend]:
    found = {each for forward in plan.forwards if forward.protocol == "udp" for each in forward.backends}
    return found | {port.backend for port in plan.host_ports if port.protocol == "udp"}


def _udp_doors(plan: Plan) -> set[Flow]:
    doors = {Flow(address=port.address, port=port.port) for port in plan.host_ports if port.protocol == "udp"}
    for forward in plan.forwards:
        if forward.protocol == "udp" and forward.backends:
            doors |= {Flow(address=address, port=forward.port) for address in forward.addresses}
            if forward.node_port:
                doors.add(Flow(port=forward.node_port))
    return doors


def _is_v4(address: str) -> bool:
    try:
        return ipaddress.ip_address(address).version == 4
    except ValueError:
        return False
