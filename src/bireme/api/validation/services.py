"""The rules of Services.

Source: the Kubernetes documentation. Whether an address or a node port is free is the registry's to say.
"""

from typing import Any

from bireme.api.validation.containers import PROTOCOLS
from bireme.api.validation.field import IMMUTABLE, Problems, Tree, check_one_of
from bireme.api.validation.meta import check_labels
from bireme.api.validation.names import (
    cidr,
    dns_label,
    dns_subdomain,
    ip_address,
    port_name,
    port_number,
    qualified_name,
)

_TYPES = ("ClusterIP", "ExternalName", "LoadBalancer", "NodePort")
_TRAFFIC = ("Cluster", "Local")
_FAMILIES = ("IPv4", "IPv6")
_FAMILY_POLICIES = ("PreferDualStack", "RequireDualStack", "SingleStack")
_AFFINITIES = ("ClientIP", "None")
_DISTRIBUTIONS = ("PreferClose", "PreferSameNode", "PreferSameZone")
_AFFINITY_MAX_S = 86_400


def check_service(problems: Problems, tree: Tree) -> None:
    """A whole Service."""
    spec = tree.get("spec") or {}
    kind = spec.get("type") or "ClusterIP"
    headless = spec.get("clusterIP") == "None"
    if not spec.get("ports") and not headless and kind != "ExternalName":
        problems.required("spec.ports")
    check_one_of(problems, spec, "type", "spec", _TYPES, needed=True)
    if kind == "ExternalName":
        _check_external_name(problems, spec)
    if kind in ("LoadBalancer", "NodePort") and headless:
        problems.invalid("spec.clusterIPs[0]", "None", f"may not be set to 'None' for {kind} services")
    _check_ports(problems, spec, kind)
    if spec.get("selector"):
        check_labels(problems, spec["selector"], "spec.selector")
    _check_affinity(problems, spec)
    _check_addresses(problems, spec, kind)
    _check_traffic(problems, spec, kind)
    _check_balancer(problems, spec, kind)


def _check_external_name(problems: Problems, spec: Tree) -> None:
    if spec.get("clusterIP"):
        problems.forbidden("spec.clusterIP", "may not be set for type 'ExternalName'")
    name = (spec.get("externalName") or "").removesuffix(".")
    if not name:
        problems.required("spec.externalName")
    else:
        problems.invalid_each("spec.externalName", name, dns_subdomain(name))


def _check_ports(problems: Problems, spec: Tree, kind: str) -> None:
    ports = spec.get("ports") or ()
    names: set[str] = set()
    pairs: set[tuple[Any, Any]] = set()
    node_ports: set[tuple[Any, Any]] = set()
    for index, port in enumerate(ports):
        at = f"spec.ports[{index}]"
        _check_port(problems, port, at, name_needed=len(ports) > 1, names=names)
        node_port = port.get("nodePort") or 0
        if node_port and kind not in ("NodePort", "LoadBalancer"):
            problems.forbidden(f"{at}.nodePort", f"may not be used when `type` is '{kind}'")
        if node_port:
            problems.invalid_each(f"{at}.nodePort", node_port, port_number(node_port))
            if (port.get("protocol"), node_port) in node_ports:
                problems.duplicate(f"{at}.nodePort", node_port)
            node_ports.add((port.get("protocol"), node_port))
        pair = (port.get("protocol"), port.get("port"))
        if pair in pairs:
            problems.duplicate(at, {"protocol": pair[0], "port": pair[1]})
        pairs.add(pair)


def _check_port(problems: Problems, port: Tree, path: str, *, name_needed: bool, names: set[str]) -> None:
    name = port.get("name") or ""
    if not name and name_needed:
        problems.required(f"{path}.name")
    elif name:
        problems.invalid_each(f"{path}.name", name, dns_label(name))
        if name in names:
            problems.duplicate(f"{path}.name", name)
        names.add(name)
    number = port.get("port") or 0
    problems.invalid_each(f"{path}.port", number, port_number(number))
    check_one_of(problems, port, "protocol", path, PROTOCOLS, needed=True)
    target = port.get("targetPort")
    if isinstance(target, str):
        problems.invalid_each(f"{path}.targetPort", target, port_name(target))
    elif target is not None:
        problems.invalid_each(f"{path}.targetPort", target, port_number(target))
    if port.get("appProtocol"):
        problems.invalid_each(f"{path}.appProtocol", port["appProtocol"], qualified_name(port["appProtocol"]))


def _check_affinity(problems: Problems, spec: Tree) -> None:
    check_one_of(problems, spec, "sessionAffinity", "spec", _AFFINITIES, needed=True)
    config = spec.get("sessionAffinityConfig")
    if spec.get("sessionAffinity") == "ClientIP":
        seconds = ((config or {}).get("clientIP") or {}).get("timeoutSeconds")
        path = "spec.sessionAffinityConfig.clientIP.timeoutSeconds"
        if seconds is None:
            problems.required(path)
        elif not 0 < seconds <= _AFFINITY_MAX_S:
            problems.invalid(path, seconds, f"must be greater than 0 and less than {_AFFINITY_MAX_S}")
    elif config is not None:
        fault = f"must not be set when session affinity is {spec.get('sessionAffinity')}"
        problems.forbidden("spec.sessionAffinityConfig", fault)


def _check_addresses(problems: Problems, spec: Tree, kind: str) -> None:
    addresses = spec.get("clusterIPs") or []
    if kind == "ExternalName":
        return
    if (spec.get("clusterIP") or "") != (addresses[0] if addresses else ""):
        problems.invalid(
            "spec.clusterIPs[0]", addresses[0] if addresses else "", "first value must match `clusterIP`"
        )
    if len(addresses) > 2:
        problems.invalid("spec.clusterIPs", addresses, "may only hold up to 2 values")
    for index, address in enumerate(addresses):
        if address == "None" and index == 0 and len(addresses) > 1:
            problems.invalid("spec.clusterIPs", addresses, "'None' must be the first and only value")
        elif address not in ("None", ""):
            problems.invalid_each(f"spec.clusterIPs[{index}]", address, ip_address(address))
    families = spec.get("ipFamilies") or []
    for index, family in enumerate(families):
        if family not in _FAMILIES:
            problems.unsupported(f"spec.ipFamilies[{index}]", family, _FAMILIES)
    if len(families) > 2 or len(set(families)) != len(families):
        problems.invalid("spec.ipFamilies", families, "may only hold up to 2 different values")
    check_one_of(problems, spec, "ipFamilyPolicy", "spec", _FAMILY_POLICIES)
    for index, address in enumerate(spec.get("externalIPs") or ()):
        problems.invalid_each(f"spec.externalIPs[{index}]", address, ip_address(address))


def _check_traffic(problems: Problems, spec: Tree, kind: str) -> None:
    outer = kind in ("NodePort", "LoadBalancer") or bool(spec.get("externalIPs"))
    if spec.get("externalTrafficPolicy") and not outer:
        problems.invalid(
            "spec.externalTrafficPolicy",
            spec["externalTrafficPolicy"],
            "may only be set for externally-accessible services",
        )
    check_one_of(problems, spec, "externalTrafficPolicy", "spec", _TRAFFIC, needed=outer and kind != "ExternalName")
    check_one_of(problems, spec, "internalTrafficPolicy", "spec", _TRAFFIC, needed=kind != "ExternalName")
    check_one_of(problems, spec, "trafficDistribution", "spec", _DISTRIBUTIONS)
    health_port = spec.get("healthCheckNodePort") or 0
    if health_port and not (kind == "LoadBalancer" and spec.get("externalTrafficPolicy") == "Local"):
        fault = "may only be set when `type` is 'LoadBalancer' and `externalTrafficPolicy` is 'Local'"
        problems.invalid("spec.healthCheckNodePort", health_port, fault)


def _check_balancer(problems: Problems, spec: Tree, kind: str) -> None:
    for index, text in enumerate(spec.get("loadBalancerSourceRanges") or ()):
        problems.invalid_each(f"spec.loadBalancerSourceRanges[{index}]", text, cidr(text.strip()))
    if kind == "LoadBalancer":
        return
    if spec.get("loadBalancerSourceRanges"):
        problems.forbidden("spec.loadBalancerSourceRanges", "may only be used when `type` is 'LoadBalancer'")
    for field in ("allocateLoadBalancerNodePorts", "loadBalancerClass"):
        if spec.get(field) is not None:
            problems.forbidden(f"spec.{field}", "may only be used when `type` is 'LoadBalancer'")


def check_service_update(problems: Problems, new: Tree, old: Tree) -> None:
    """A Service keeps its cluster IP while its type needs one."""
    spec, before = new.get("spec") or {}, old.get("spec") or {}
    if before.get("type") == "ExternalName" or spec.get("type") == "ExternalName":
        return
    was, now = before.get("clusterIPs") or [], spec.get("clusterIPs") or []
    if was and was[0] and (not now or now[0] != was[0]):
        problems.invalid("spec.clusterIPs[0]", now, "may not change once set")
    if len(was) == len(now) == 2 and was[1] != now[1]:
        problems.invalid("spec.clusterIPs[1]", now, "may not change once set")
    families, families_before = spec.get("ipFamilies") or [], before.get("ipFamilies") or []
    if families and families_before and families[0] != families_before[0]:
        problems.invalid("spec.ipFamilies[0]", families, "may not change once set")
    if before.get("type") == spec.get("type") == "LoadBalancer" and spec.get("loadBalancerClass") != before.get(
        "loadBalancerClass"
    ):
        problems.invalid("spec.loadBalancerClass", spec.get("loadBalancerClass"), IMMUTABLE)
