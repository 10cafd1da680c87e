"""Defaults of the flowcontrol group. Source: the Kubernetes documentation."""

from collections.abc import Callable, Mapping

from bireme.api.defaults.fill import Tree, fill, section


def default_flow_schema(tree: Tree) -> None:
    """A FlowSchema."""
    fill(section(tree, "spec"), {"matchingPrecedence": 1000})


def default_priority_level(tree: Tree) -> None:
    """A PriorityLevelConfiguration."""
    spec = section(tree, "spec")
    if spec.get("type") == "Exempt":
        fill(section(spec, "exempt"), {"nominalConcurrencyShares": 0, "lendablePercent": 0})
    limited = spec.get("limited")
    if limited is not None:
        fill(limited, {"nominalConcurrencyShares": 30, "lendablePercent": 0})
        queuing = (limited.get("limitResponse") or {}).get("queuing")
        if queuing is not None:
            fill(queuing, {"queues": 64, "handSize": 8, "queueLengthLimit": 50})


DEFAULTS: Mapping[str, Callable[[Tree], None]] = {
    "FlowSchema": default_flow_schema,
    "PriorityLevelConfiguration": default_priority_level,
}
