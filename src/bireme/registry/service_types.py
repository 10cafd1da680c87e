"""What a Service keeps, gets back or loses when it is updated, above all when its type changes.

Plain functions over trees. Clients that send back what they read, or change the type alone, must not trip over
fields that the server had filled in for the old type; what a user sets against the new type's rules is left
for validation to refuse. Source: `patchAllocatedValues` and `dropTypeDependentFields` of the original.
"""

from collections.abc import Callable
from typing import Any

Tree = dict[str, Any]


def carry_over(tree: Tree, old: Tree) -> None:
    """Fill in what was given to `old` and still fits, and drop what only its type had a use for."""
    spec, before = tree["spec"], old["spec"]
    _restore(spec, before)
    _drop_addresses(spec, before)
    if needs_node_ports(before) and not needs_node_ports(spec) and _same_node_ports(spec, before):
        for port in spec.get("ports") or ():
            port.pop("nodePort", None)
    for name, needed in _NEEDED_BY_TYPE.items():
        if needed(before) and not needed(spec) and spec.get(name) == before.get(name):
            spec.pop(name, None)


def _restore(spec: Tree, before: Tree) -> None:
    """What an update left out stays as it was given, where both types need it."""
    if has_addresses(spec) and has_addresses(before) and not spec.get("clusterIP"):
        for name in ("clusterIP", "clusterIPs"):
            if before.get(name) and not spec.get(name):
                spec[name] = before[name]
    if needs_node_ports(spec) and needs_node_ports(before):
        _restore_node_ports(spec, before)
    if needs_health_port(spec) and before.get("healthCheckNodePort"):
        spec.setdefault("healthCheckNodePort", before["healthCheckNodePort"])


def _restore_node_ports(spec: Tree, before: Tree) -> None:
    given = {_port_key(port): port["nodePort"] for port in before.get("ports") or () if port.get("nodePort")}
    said = {port["nodePort"] for port in spec.get("ports") or () if port.get("nodePort")}
    for port in spec.get("ports") or ():
        kept = given.get(_port_key(port))
        if not port.get("nodePort") and kept and kept not in said:
            port["nodePort"] = kept


def _drop_addresses(spec: Tree, before: Tree) -> None:
    if has_addresses(before) and not has_addresses(spec) and spec.get("clusterIP") == before.get("clusterIP"):
        for name in ("clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy"):
            spec.pop(name, None)


def _same_node_ports(spec: Tree, before: Tree) -> bool:
    def all_of(said: Tree) -> set[int]:
        return {port["nodePort"] for port in said.get("ports") or () if port.get("nodePort")}

    return all_of(spec) <= all_of(before)


def _port_key(port: Tree) -> tuple[str, Any]:
    return port.get("protocol") or "TCP", port.get("port")


def has_addresses(spec: Tree) -> bool:
    """Whether this type of Service has a cluster IP, were it none."""
    return spec.get("type") != "ExternalName"


def needs_node_ports(spec: Tree) -> bool:
    """Whether each port must have a node port."""
    kind = spec.get("type")
    return kind == "NodePort" or (kind == "LoadBalancer" and spec.get("allocateLoadBalancerNodePorts") is not False)


def needs_health_port(spec: Tree) -> bool:
    """Whether a node port must tell load balancers which nodes have endpoints."""
    return _is_balanced(spec) and spec.get("externalTrafficPolicy") == "Local"


def _is_balanced(spec: Tree) -> bool:
    return spec.get("type") == "LoadBalancer"


def _is_reached_from_outside(spec: Tree) -> bool:
    return spec.get("type") in ("NodePort", "LoadBalancer") or bool(spec.get("externalIPs"))


_NEEDED_BY_TYPE: dict[str, Callable[[Tree], bool]] = {
    "healthCheckNodePort": needs_health_port,
    "allocateLoadBalancerNodePorts": _is_balanced,
    "loadBalancerClass": _is_balanced,
    "externalTrafficPolicy": _is_reached_from_outside,
}
