"""One function a rule: may this pod run on this node, by what the two say of themselves?

Each gives None for yes, or the reason that `FailedScheduling` counts. Amounts and host ports, which change
with every placement, are compared in `templates.py`; what stands here changes only with the node.
Source: the Kubernetes documentation.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from bireme.api.kinds import core

UNSCHEDULABLE_TAINT = "node.kubernetes.io/unschedulable"


@dataclass(frozen=True, slots=True)
class NodeFacts:
    """What filters and scores read of a node. `images` maps names to sizes in bytes."""

    name: str
    labels: Mapping[str, str] = field(default_factory=dict)
    taints: tuple[core.Taint, ...] = ()
    unschedulable: bool = False
    images: Mapping[str, int] = field(default_factory=dict)

    @property
    def is_plain(self) -> bool:
        """Nothing about the node keeps a pod without wishes away."""
        return not self.taints and not self.unschedulable


def node_facts(node: core.Node) -> NodeFacts:
    return NodeFacts(
        name=node.metadata.name,
        labels=node.metadata.labels,
        taints=tuple(node.spec.taints),
        unschedulable=bool(node.spec.unschedulable),
        images={name: image.size_bytes or 0 for image in node.status.images for name in image.names},
    )


def tolerates(tolerations: Iterable[core.Toleration], taint: core.Taint) -> bool:
    """Whether one of the tolerations covers the taint."""
    return any(_covers(toleration, taint) for toleration in tolerations)


def _covers(toleration: core.Toleration, taint: core.Taint) -> bool:
    if toleration.effect and toleration.effect != taint.effect:
        return False
    if toleration.key and toleration.key != taint.key:
        return False
    if toleration.operator == "Exists":
        return True
    return bool(toleration.key) and toleration.value == taint.value


def node_name(spec: core.PodSpec, node: NodeFacts) -> str | None:
    """The pod names its node."""
    if spec.node_name and spec.node_name != node.name:
        return "node(s) didn't match the requested node name"
    return None


def unschedulable(spec: core.PodSpec, node: NodeFacts) -> str | None:
    """The node is cordoned, and the pod does not put up with it."""
    cordon = core.Taint(key=UNSCHEDULABLE_TAINT, effect="NoSchedule")
    if node.unschedulable and not tolerates(spec.tolerations, cordon):
        return "node(s) were unschedulable"
    return None


def taints(spec: core.PodSpec, node: NodeFacts) -> str | None:
    """A NoSchedule or NoExecute taint that the pod does not tolerate."""
    for taint in node.taints:
        if taint.effect in ("NoSchedule", "NoExecute") and not tolerates(spec.tolerations, taint):
            return f"node(s) had untolerated taint {{{taint.key}: {taint.value}}}"
    return None


def affinity(spec: core.PodSpec, node: NodeFacts) -> str | None:
    """The node selector, and the required node affinity: one of its terms must hold."""
    if any(node.labels.get(key) != value for key, value in spec.node_selector.items()):
        return "node(s) didn't match Pod's node affinity/selector"
    wish = spec.affinity.node_affinity if spec.affinity else None
    required = wish.required_during_scheduling_ignored_during_execution if wish else None
    if required is not None and not any(term_matches(term, node) for term in required.node_selector_terms):
        return "node(s) didn't match Pod's node affinity/selector"
    return None


def term_matches(term: core.NodeSelectorTerm, node: NodeFacts) -> bool:
    """All expressions of the term hold; a term with none holds for no node."""
    if not term.match_expressions and not term.match_fields:
        return False
    fields = {"metadata.name": node.name}
    return all(_holds(wish, node.labels) for wish in term.match_expressions) and all(
        _holds(wish, fields) for wish in term.match_fields
    )


def _holds(wish: core.NodeSelectorRequirement, labels: Mapping[str, str]) -> bool:
    value = labels.get(wish.key)
    match wish.operator:
        case "In":
            return value is not None and value in wish.values
        case "NotIn":
            return value is None or value not in wish.values
        case "Exists":
            return value is not None
        case "DoesNotExist":
            return value is None
        case "Gt" | "Lt":
            return _compares(value, wish)
    return False


def _compares(value: str | None, wish: core.NodeSelectorRequirement) -> bool:
    try:
        have, bound = int(value or ""), int(wish.values[0])
    except (ValueError, IndexError):
        return False
    return have > bound if wish.operator == "Gt" else have < bound


FILTERS: tuple[Callable[[core.PodSpec, NodeFacts], str | None], ...] = (unschedulable, node_name, taints, affinity)


def refusal(spec: core.PodSpec, node: NodeFacts) -> str | None:
    """The first rule by which the node refuses the pod; None when none does."""
    return next((reason for rule in FILTERS if (reason := rule(spec, node))), None)


def wishes_nothing(spec: core.PodSpec) -> bool:
    """The pod takes any plain node: it names none and selects none."""
    wish = spec.affinity.node_affinity if spec.affinity else None
    return not spec.node_name and not spec.node_selector and wish is None
