"""Whether a pod of a template may be on a node: its node selector, its required affinity, the node's taints.

The scheduler has the same rules over all nodes at once; this is for one node and one template. Plain functions.
"""

from collections.abc import Iterable, Mapping

from bireme.api.kinds import core
from bireme.api.selectors import Requirement
from bireme.controllers.taints import NO_EXECUTE, NO_SCHEDULE, tolerates

NAME_FIELD = "metadata.name"
_OPERATORS = {"In": "in", "NotIn": "notin", "Exists": "exists", "DoesNotExist": "!", "Gt": ">", "Lt": "<"}


def selects(spec: core.PodSpec, node: core.Node) -> bool:
    """The pod's name of a node, its selector and what its affinity requires all mean this node."""
    if spec.node_name and spec.node_name != node.metadata.name:
        return False
    labels = node.metadata.labels
    if any(labels.get(key) != value for key, value in spec.node_selector.items()):
        return False
    affinity = spec.affinity.node_affinity if spec.affinity is not None else None
    required = affinity.required_during_scheduling_ignored_during_execution if affinity is not None else None
    return required is None or any(_meets(term, node) for term in required.node_selector_terms)


def _meets(term: core.NodeSelectorTerm, node: core.Node) -> bool:
    if not term.match_expressions and not term.match_fields:
        return False
    fields = {NAME_FIELD: node.metadata.name}
    return _hold(term.match_expressions, node.metadata.labels) and _hold(term.match_fields, fields)


def _hold(wishes: Iterable[core.NodeSelectorRequirement], facts: Mapping[str, str]) -> bool:
    return all(
        wish.operator in _OPERATORS
        and Requirement(wish.key, _OPERATORS[wish.operator], frozenset(wish.values)).holds(facts)
        for wish in wishes
    )


def kept_off(tolerations: Iterable[core.Toleration], node: core.Node) -> frozenset[str]:
    """The effects of the node's taints that are not tolerated, of those that keep pods off or drive them away."""
    tolerated = list(tolerations)
    return frozenset(
        taint.effect
        for taint in node.spec.taints
        if taint.effect in (NO_SCHEDULE, NO_EXECUTE) and not any(tolerates(item, taint) for item in tolerated)
    )
