"""NodeDeclaredFeatures: a pod that needs a feature of the node agent goes where the agent says that it has it.

What a pod needs is told from its spec; what a node has stands in `status.declaredFeatures`. Few pods need any.
Source: the Kubernetes documentation on node declared features; the reason as the original words it.
"""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence

from bireme.api.kinds import core
from bireme.client.informer import Informer
from bireme.scheduler.interface import Helps, Lack, Mask
from bireme.scheduler.node_sets import NodeSets

REASON = "node declared features check failed - unsatisfied requirements: "


def _restarts_all(spec: core.PodSpec) -> bool:
    return any(
        rule.action == "RestartAllContainers"
        for container in (*spec.containers, *spec.init_containers)
        for rule in container.restart_policy_rules
    )


NEEDED: Mapping[str, Callable[[core.PodSpec], bool]] = {
    "RestartAllContainersOnContainerExits": _restarts_all,
    "UserNamespacesHostNetworkSupport": lambda spec: bool(spec.host_network) and spec.host_users is False,
}
"""The features that a pod may need from the start, and when it does."""


def features_of(spec: core.PodSpec) -> list[str]:
    """What the pod needs of a node agent."""
    return [name for name, needs in NEEDED.items() if needs(spec)]


class NodeDeclaredFeatures:
    """The rule. See the module, and `interface.Rule`. `told` is called when a node declares something else."""

    def __init__(self, nodes: NodeSets, informer: Informer[core.Node], told: Callable[[Lack, Helps], None]) -> None:
        self._nodes, self._told = nodes, told
        self._declared: dict[str, frozenset[str]] = {}
        self._having: defaultdict[str, set[str]] = defaultdict(set)
        informer.on_change(self._node_changed)

    def concerns(self, pod: core.Pod) -> bool:
        """Whether the pod needs any."""
        return bool(features_of(pod.spec))

    def look(self, pod: core.Pod) -> Sequence[Mask]:
        """The nodes that have all of them."""
        needed = features_of(pod.spec)
        names = frozenset.intersection(*(frozenset(self._having.get(name, ())) for name in needed))

        def reason(row: int) -> str:
            has = self._declared.get(self._nodes.name(row), frozenset())
            return REASON + ", ".join(name for name in needed if name not in has)

        return (Mask(self._nodes.mask(names), reason, Lack.NODE),)

    def reserve(self, pod: core.Pod, node: str) -> bool:
        """Nothing is to be held."""
        return True

    async def prepare(self, pod: core.Pod, node: str) -> None:
        """Nothing is to be made ready."""

    def release(self, pod: core.Pod) -> None:
        """Nothing is held."""

    def _node_changed(self, old: core.Node | None, new: core.Node | None) -> None:
        node = new or old
        if node is None:
            return
        name, has = node.metadata.name, frozenset(new.status.declared_features if new is not None else ())
        had = self._declared.get(name, frozenset())
        if has == had:
            return
        for feature in had - has:
            self._having[feature].discard(name)
        for feature in has - had:
            self._having[feature].add(name)
        if has:
            self._declared[name] = has
        else:
            self._declared.pop(name, None)
        if new is not None:
            self._told(Lack.NODE, lambda pod: bool(features_of(pod.spec)))
