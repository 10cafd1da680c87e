"""Where a service is reached from this process: one of its ready endpoints, or its own address if none are known.

For webhooks and for servers of APIs, which are named as services. Addresses that stand for this machine are
refused, whoever wrote them, so that a service can't lead to what listens on loopback only. Services of type
ExternalName lead to that name, whose addresses are sieved when it is looked up (`may_reach` of a Session).
Plain functions over what `Objects` finds. Source: the Kubernetes documentation on services and EndpointSlices.
"""

import ipaddress
from collections.abc import Iterator
from dataclasses import dataclass
from random import Random
from typing import Any

from bireme.api.errors import NotFound, ServiceUnavailable
from bireme.registry.admission.chain import Objects

Tree = dict[str, Any]
SERVICE_NAME = "kubernetes.io/service-name"


@dataclass(frozen=True, slots=True)
class Place:
    """An address, or the name of a host, and a port."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def places(objects: Objects, namespace: str, name: str, port: int) -> list[Place]:
    """Where the port of a service is served, ready ones only. Raises NotFound, ServiceUnavailable."""
    service = objects.find("", "v1", "services", namespace, name)
    if service is None:
        raise NotFound(f'service "{name}" not found')
    spec = service.get("spec") or {}
    if spec.get("type") == "ExternalName":
        outside = Place(str(spec.get("externalName") or ""), port)
        if is_address(outside.host) and not may_be_reached(outside.host):
            raise ServiceUnavailable(f'address of service "{name}" not allowed')
        return [outside]
    port_name = next((each.get("name") or "" for each in spec.get("ports") or () if each.get("port") == port), None)
    if port_name is None:
        raise ServiceUnavailable(f'no service port {port} found for service "{name}"')
    slices = [
        tree
        for tree in objects.every("discovery.k8s.io", "v1", "endpointslices", namespace)
        if (tree["metadata"].get("labels") or {}).get(SERVICE_NAME) == name
    ]
    address = spec.get("clusterIP") or "None"
    if not slices and address != "None":
        return [Place(address, port)]
    found = [place for tree in slices for place in _ready(tree, port_name)]
    if not found:
        raise ServiceUnavailable(f'no endpoints available for service "{name}"')
    return found


def resolve(objects: Objects, namespace: str, name: str, port: int, dice: Random) -> Place:
    """One of the `places`, by chance."""
    return dice.choice(places(objects, namespace, name, port))


def _ready(tree: Tree, port_name: str) -> Iterator[Place]:
    ports = [each["port"] for each in tree.get("ports") or () if (each.get("name") or "") == port_name]
    for endpoint in tree.get("endpoints") or ():
        if (endpoint.get("conditions") or {}).get("ready") is False:
            continue
        for address in endpoint.get("addresses") or ():
            if ports and may_be_reached(address):
                yield Place(address, ports[0])


def is_address(host: str) -> bool:
    """Whether a host is an address and no name."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def may_be_reached(address: str) -> bool:
    """Whether an endpoint's address stands for another than this machine, and for one machine."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return False
    return not (parsed.is_loopback or parsed.is_link_local or parsed.is_multicast or parsed.is_unspecified)
