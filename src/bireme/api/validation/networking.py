"""The rules of the networking group. Source: the Kubernetes documentation."""

from collections.abc import Mapping
from typing import Any

from bireme.api.validation.containers import PROTOCOLS
from bireme.api.validation.field import Problems, Rules, Tree, check_one_of, check_unchanged
from bireme.api.validation.names import (
    cidr,
    dns_label,
    dns_subdomain,
    ip_address,
    port_name,
    port_number,
    qualified_name,
    wildcard_subdomain,
)
from bireme.api.validation.selectors import check_selector

_PATH_TYPES = ("Exact", "ImplementationSpecific", "Prefix")
_INVALID_IN_PATH = ("//", "/./", "/../", "%2f", "%2F")
_CONTROLLER_MAX = 250


def check_ingress(problems: Problems, tree: Tree) -> None:
    """An Ingress."""
    spec = tree.get("spec") or {}
    if not spec.get("rules") and spec.get("defaultBackend") is None:
        problems.invalid("spec", spec.get("rules") or [], "either `defaultBackend` or `rules` must be specified")
    if spec.get("defaultBackend") is not None:
        _check_backend(problems, spec["defaultBackend"], "spec.defaultBackend")
    for index, rule in enumerate(spec.get("rules") or ()):
        _check_rule(problems, rule, f"spec.rules[{index}]")
    for index, tls in enumerate(spec.get("tls") or ()):
        for number, host in enumerate(tls.get("hosts") or ()):
            _check_host(problems, host, f"spec.tls[{index}].hosts[{number}]")
        if tls.get("secretName"):
            faults = dns_subdomain(tls["secretName"])
            problems.invalid_each(f"spec.tls[{index}].secretName", tls["secretName"], faults)
    if spec.get("ingressClassName") is not None:
        name = spec["ingressClassName"]
        problems.invalid_each("spec.ingressClassName", name, dns_subdomain(name))


def _check_host(problems: Problems, host: str, path: str) -> None:
    problems.invalid_each(path, host, wildcard_subdomain(host) if "*" in host else dns_subdomain(host))


def _check_rule(problems: Problems, rule: Tree, path: str) -> None:
    host = rule.get("host")
    if host:
        if not ip_address(host):
            problems.invalid(f"{path}.host", host, "must be a DNS name, not an IP address")
        else:
            _check_host(problems, host, f"{path}.host")
    http = rule.get("http")
    if http is None:
        return
    if not http.get("paths"):
        problems.required(f"{path}.http.paths")
    for index, each in enumerate(http.get("paths") or ()):
        at = f"{path}.http.paths[{index}]"
        kind, text = each.get("pathType"), each.get("path") or ""
        if kind is None:
            problems.required(f"{at}.pathType", "pathType must be specified")
        elif kind not in _PATH_TYPES:
            problems.unsupported(f"{at}.pathType", kind, _PATH_TYPES)
        elif kind != "ImplementationSpecific" or text:
            if not text.startswith("/"):
                problems.invalid(f"{at}.path", text, "must be an absolute path")
            for sequence in _INVALID_IN_PATH:
                if kind != "ImplementationSpecific" and sequence in text:
                    problems.invalid(f"{at}.path", text, f"must not contain '{sequence}'")
        _check_backend(problems, each.get("backend") or {}, f"{at}.backend")


def _check_backend(problems: Problems, backend: Tree, path: str) -> None:
    service, resource = backend.get("service"), backend.get("resource")
    if service is not None and resource is not None:
        problems.invalid(path, "", "cannot set both resource and service backends")
    elif service is None and resource is None:
        problems.required(path, "resource or service backend is required")
    if service is None:
        return
    name = service.get("name")
    if not name:
        problems.required(f"{path}.service.name")
    else:
        problems.invalid_each(f"{path}.service.name", name, dns_label(name))
    port = service.get("port") or {}
    if port.get("name") and port.get("number"):
        problems.invalid(path, "", "cannot set both port name & port number")
    elif port.get("name"):
        problems.invalid_each(f"{path}.service.port.name", port["name"], port_name(port["name"]))
    elif port.get("number"):
        problems.invalid_each(f"{path}.service.port.number", port["number"], port_number(port["number"]))
    else:
        problems.required(path, "port name or number is required")


def check_ingress_class(problems: Problems, tree: Tree) -> None:
    """An IngressClass."""
    spec = tree.get("spec") or {}
    controller = spec.get("controller") or ""
    if not controller:
        problems.required("spec.controller")
    elif len(controller) > _CONTROLLER_MAX:
        problems.too_long("spec.controller", _CONTROLLER_MAX)
    elif "/" not in controller:
        problems.invalid("spec.controller", controller, 'must be a domain-prefixed path (such as "acme.io/foo")')
    parameters = spec.get("parameters")
    if parameters is not None:
        for field in ("kind", "name"):
            if not parameters.get(field):
                problems.required(f"spec.parameters.{field}", f"{field} is required")
        check_one_of(problems, parameters, "scope", "spec.parameters", ("Cluster", "Namespace"))
        if parameters.get("scope") == "Namespace" and not parameters.get("namespace"):
            fault = "`parameters.scope` is set to 'Namespace'"
            problems.required("spec.parameters.namespace", fault)


def check_ingress_class_update(problems: Problems, new: Tree, old: Tree) -> None:
    """An IngressClass keeps its controller."""
    now, was = (new.get("spec") or {}).get("controller"), (old.get("spec") or {}).get("controller")
    check_unchanged(problems, now, was, "spec.controller")


def check_network_policy(problems: Problems, tree: Tree) -> None:
    """A NetworkPolicy."""
    spec = tree.get("spec") or {}
    check_selector(problems, spec.get("podSelector"), "spec.podSelector")
    for direction, peers in (("ingress", "from"), ("egress", "to")):
        for index, rule in enumerate(spec.get(direction) or ()):
            path = f"spec.{direction}[{index}]"
            for number, port in enumerate(rule.get("ports") or ()):
                _check_policy_port(problems, port, f"{path}.ports[{number}]")
            for number, peer in enumerate(rule.get(peers) or ()):
                _check_peer(problems, peer, f"{path}.{peers}[{number}]")
    types = spec.get("policyTypes") or ()
    if len(types) > 2:
        problems.invalid("spec.policyTypes", types, "may not specify more than two policyTypes")
    for index, kind in enumerate(types):
        if kind not in ("Egress", "Ingress"):
            problems.unsupported(f"spec.policyTypes[{index}]", kind, ("Egress", "Ingress"))


def _check_policy_port(problems: Problems, port: Tree, path: str) -> None:
    check_one_of(problems, port, "protocol", path, PROTOCOLS)
    number: Any = port.get("port")
    if isinstance(number, str):
        problems.invalid_each(f"{path}.port", number, port_name(number))
    elif number is not None:
        problems.invalid_each(f"{path}.port", number, port_number(number))
    end = port.get("endPort")
    if end is None:
        return
    if number is None:
        problems.required(f"{path}.port", "must be specified when `endPort` is specified")
    elif isinstance(number, str):
        problems.invalid(f"{path}.endPort", end, "`endPort` may not be used with a non-numeric port")
    else:
        problems.invalid_each(f"{path}.endPort", end, port_number(end))
        if end < number:
            problems.invalid(f"{path}.endPort", end, "must be greater than or equal to `port`")


def _check_peer(problems: Problems, peer: Tree, path: str) -> None:
    pods, namespaces, block = peer.get("podSelector"), peer.get("namespaceSelector"), peer.get("ipBlock")
    if pods is None and namespaces is None and block is None:
        problems.required(path, "must specify a peer")
    if block is not None and (pods is not None or namespaces is not None):
        problems.forbidden(path, "may not specify both ipBlock and another peer")
    check_selector(problems, pods, f"{path}.podSelector")
    check_selector(problems, namespaces, f"{path}.namespaceSelector")
    if block is not None:
        if not block.get("cidr"):
            problems.required(f"{path}.ipBlock.cidr")
        else:
            problems.invalid_each(f"{path}.ipBlock.cidr", block["cidr"], cidr(block["cidr"]))
        for index, text in enumerate(block.get("except") or ()):
            problems.invalid_each(f"{path}.ipBlock.except[{index}]", text, cidr(text))


def check_service_cidr(problems: Problems, tree: Tree) -> None:
    """A ServiceCIDR: one range or one of each family."""
    ranges = (tree.get("spec") or {}).get("cidrs") or []
    if not ranges:
        problems.required("spec.cidrs", "at least one CIDR required")
    elif len(ranges) > 2:
        problems.invalid("spec", ranges, "may only hold up to 2 values")
    for index, text in enumerate(ranges):
        problems.invalid_each(f"spec.cidrs[{index}]", text, cidr(text))


def check_ip_address(problems: Problems, tree: Tree) -> None:
    """An IPAddress: whom it is given to."""
    parent = (tree.get("spec") or {}).get("parentRef")
    if parent is None:
        problems.required("spec.parentRef")
        return
    for field in ("resource", "name"):
        if not parent.get(field):
            problems.required(f"spec.parentRef.{field}")
    if parent.get("group"):
        problems.invalid_each("spec.parentRef.group", parent["group"], qualified_name(parent["group"]))


RULES: Mapping[str, Rules] = {
    "IPAddress": Rules(check_ip_address),
    "Ingress": Rules(check_ingress),
    "IngressClass": Rules(check_ingress_class, check_ingress_class_update),
    "NetworkPolicy": Rules(check_network_policy),
    "ServiceCIDR": Rules(check_service_cidr),
}
