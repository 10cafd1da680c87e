"""The rules of the discovery group."""

from collections.abc import Mapping

from bireme.api.validation.containers import PROTOCOLS
from bireme.api.validation.core import check_endpoint_address
from bireme.api.validation.field import Problems, Rules, Tree, check_one_of, check_unchanged
from bireme.api.validation.names import dns_label, dns_subdomain, port_number

_FAMILIES = ("FQDN", "IPv4", "IPv6")
_MAX_ENDPOINTS = 1000
_MAX_ADDRESSES = 100
_MAX_PORTS = 20_000


def check_endpoint_slice(problems: Problems, tree: Tree) -> None:
    """An EndpointSlice."""
    check_one_of(problems, tree, "addressType", "", _FAMILIES, needed=True)
    endpoints, ports = tree.get("endpoints") or (), tree.get("ports") or ()
    if len(endpoints) > _MAX_ENDPOINTS:
        problems.too_many("endpoints", len(endpoints), _MAX_ENDPOINTS)
        return
    if len(ports) > _MAX_PORTS:
        problems.too_many("ports", len(ports), _MAX_PORTS)
        return
    for index, endpoint in enumerate(endpoints):
        _check_endpoint(problems, endpoint, tree.get("addressType") or "", f"endpoints[{index}]")
    seen: set[str] = set()
    for index, port in enumerate(ports):
        name = port.get("name") or ""
        if name:
            problems.invalid_each(f"ports[{index}].name", name, dns_label(name))
        if name in seen:
            problems.duplicate(f"ports[{index}].name", name)
        seen.add(name)
        number = port.get("port")
        if number is not None:
            problems.invalid_each(f"ports[{index}].port", number, port_number(number))
        check_one_of(problems, port, "protocol", f"ports[{index}]", PROTOCOLS, needed=True)


def _check_endpoint(problems: Problems, endpoint: Tree, family: str, path: str) -> None:
    addresses = endpoint.get("addresses") or ()
    if not addresses:
        problems.required(f"{path}.addresses", "must contain at least 1 address")
    elif len(addresses) > _MAX_ADDRESSES:
        problems.too_many(f"{path}.addresses", len(addresses), _MAX_ADDRESSES)
    for index, address in enumerate(addresses):
        at = f"{path}.addresses[{index}]"
        if family == "FQDN":
            problems.invalid_each(at, address, dns_subdomain(address))
        else:
            check_endpoint_address(problems, address, at)
            if (":" in address) != (family == "IPv6"):
                problems.invalid(at, address, f"must be an {family} address")
    hostname = endpoint.get("hostname")
    if hostname is not None:
        problems.invalid_each(f"{path}.hostname", hostname, dns_label(hostname))


def check_endpoint_slice_update(problems: Problems, new: Tree, old: Tree) -> None:
    """An EndpointSlice keeps its family."""
    check_unchanged(problems, new.get("addressType"), old.get("addressType"), "addressType")


RULES: Mapping[str, Rules] = {"EndpointSlice": Rules(check_endpoint_slice, check_endpoint_slice_update)}
