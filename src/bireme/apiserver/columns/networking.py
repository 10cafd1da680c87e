"""The rows of the networking and discovery groups."""

from collections.abc import Mapping
from datetime import datetime

from bireme.apiserver.columns.column import (
    NONE,
    UNSET,
    Cells,
    Printer,
    Tree,
    age_of,
    columns,
    joined,
    listed,
    name_of,
    selector_text,
)

_CLASS_ANNOTATION = "kubernetes.io/ingress.class"


def ingress_cells(tree: Tree, now: datetime) -> Cells:
    """An Ingress."""
    spec, status = tree.get("spec") or {}, tree.get("status") or {}
    annotations = (tree.get("metadata") or {}).get("annotations") or {}
    entries = (status.get("loadBalancer") or {}).get("ingress") or ()
    return [
        name_of(tree),
        spec.get("ingressClassName") or annotations.get(_CLASS_ANNOTATION) or NONE,
        listed([rule["host"] for rule in spec.get("rules") or () if rule.get("host")], empty="*"),
        ",".join(each.get("ip") or each.get("hostname") or "" for each in entries),
        "80, 443" if spec.get("tls") else "80",
        age_of(tree, now),
    ]


def ingress_class_cells(tree: Tree, now: datetime) -> Cells:
    """An IngressClass."""
    spec = tree.get("spec") or {}
    parameters = spec.get("parameters")
    text = NONE
    if parameters:
        group = f".{parameters['apiGroup']}" if parameters.get("apiGroup") else ""
        text = f"{parameters.get('kind')}{group}/{parameters.get('name')}"
    return [name_of(tree), spec.get("controller") or "", text, age_of(tree, now)]


def policy_cells(tree: Tree, now: datetime) -> Cells:
    """A NetworkPolicy."""
    return [name_of(tree), selector_text((tree.get("spec") or {}).get("podSelector")), age_of(tree, now)]


def address_cells(tree: Tree, now: datetime) -> Cells:
    """An IPAddress."""
    parent = (tree.get("spec") or {}).get("parentRef") or {}
    parts = (parent.get("group"), parent.get("resource"), parent.get("namespace"), parent.get("name"))
    return [name_of(tree), "/".join(part for part in parts if part)]


def service_cidr_cells(tree: Tree, now: datetime) -> Cells:
    """A ServiceCIDR."""
    return [name_of(tree), joined((tree.get("spec") or {}).get("cidrs") or (), empty=""), age_of(tree, now)]


def endpoint_slice_cells(tree: Tree, now: datetime) -> Cells:
    """An EndpointSlice."""
    ports = [str(port["port"]) if port.get("port") is not None else "*" for port in tree.get("ports") or ()]
    addresses = [address for each in tree.get("endpoints") or () for address in each.get("addresses") or ()]
    return [
        name_of(tree),
        tree.get("addressType") or "",
        listed(ports, empty=UNSET),
        listed(addresses, empty=UNSET),
        age_of(tree, now),
    ]


PRINTERS: Mapping[str, Printer] = {
    "IPAddress": Printer(columns("ParentRef"), address_cells),
    "Ingress": Printer(columns("Class", "Hosts", "Address", "Ports", "Age"), ingress_cells),
    "IngressClass": Printer(columns("Controller", "Parameters", "Age"), ingress_class_cells),
    "NetworkPolicy": Printer(columns("Pod-Selector", "Age"), policy_cells),
    "ServiceCIDR": Printer(columns("CIDRs", "Age"), service_cidr_cells),
}

DISCOVERY_PRINTERS: Mapping[str, Printer] = {
    "EndpointSlice": Printer(columns("AddressType", "Ports", "Endpoints", "Age"), endpoint_slice_cells),
}
