"""Defaults of the networking group."""

from collections.abc import Callable, Mapping

from bireme.api.defaults.fill import Tree, fill_text, section


def default_network_policy(tree: Tree) -> None:
    """A NetworkPolicy: it isolates what comes in, and what goes out if it has rules for that."""
    spec = section(tree, "spec")
    for direction in ("ingress", "egress"):
        for rule in spec.get(direction) or ():
            for port in rule.get("ports") or ():
                fill_text(port, "protocol", "TCP")
    if not spec.get("policyTypes"):
        spec["policyTypes"] = ["Ingress", "Egress"] if spec.get("egress") else ["Ingress"]


def default_ingress_class(tree: Tree) -> None:
    """An IngressClass: its parameters are cluster-wide."""
    parameters = section(tree, "spec").get("parameters")
    if parameters:
        fill_text(parameters, "scope", "Cluster")


DEFAULTS: Mapping[str, Callable[[Tree], None]] = {
    "IngressClass": default_ingress_class,
    "NetworkPolicy": default_network_policy,
}
