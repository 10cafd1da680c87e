"""Changes to nodes, and to who is on them, that may give a pod a place: see `changes.py`."""

from collections.abc import Iterable
from dataclasses import dataclass, replace

from bireme.api.kinds import core
from bireme.scheduler.changes import Change, joined, spelled, with_one_less
from bireme.scheduler.filters import CORDON
from bireme.scheduler.nodes import NodeFacts
from bireme.scheduler.placed import Placed


@dataclass(frozen=True, slots=True)
class NodeChange(Change):
    """A change to one node."""

    node: str


@dataclass(frozen=True, slots=True)
class Uncordon(NodeChange):
    """Let the node take pods again."""

    @property
    def bother(self) -> float:
        return 1.0

    @property
    def text(self) -> str:
        return f"uncordon {self.node}"

    @property
    def command(self) -> str:
        return f"kubectl uncordon {self.node}"

    def to_node(self, facts: NodeFacts) -> NodeFacts:
        kept = tuple(taint for taint in facts.taints if taint.key != CORDON.key)
        return replace(facts, unschedulable=False, taints=kept)


@dataclass(frozen=True, slots=True)
class Recover(NodeChange):
    """Mend what the node's conditions say by taints of the system's own."""

    taints: tuple[core.Taint, ...]

    @property
    def bother(self) -> float:
        return 4.0

    @property
    def text(self) -> str:
        return f"get {self.node} well: it is " + joined([each.key.partition("/")[2] for each in self.taints])

    @property
    def command(self) -> str:
        return f"kubectl describe node {self.node}"

    def to_node(self, facts: NodeFacts) -> NodeFacts:
        return replace(facts, taints=tuple(taint for taint in facts.taints if taint not in self.taints))


@dataclass(frozen=True, slots=True)
class Label(NodeChange):
    """Give the node labels, or with None take them."""

    labels: tuple[tuple[str, str | None], ...]

    @property
    def bother(self) -> float:
        return 2.0 + len(self.labels)

    @property
    def text(self) -> str:
        given = [f"{key}={value}" for key, value in self.labels if value is not None]
        taken = [key for key, value in self.labels if value is None]
        parts = [f"label {self.node} {joined(given)}"] if given else []
        return joined([*parts, f"take the label {joined(taken)} from {self.node}"] if taken else parts)

    @property
    def command(self) -> str:
        words = [f"{key}-" if value is None else f"{key}={value}" for key, value in self.labels]
        return f"kubectl label --overwrite node {self.node} " + " ".join(words)

    def to_node(self, facts: NodeFacts) -> NodeFacts:
        changed: dict[str, str | None] = {**facts.labels, **dict(self.labels)}
        return replace(facts, labels={key: value for key, value in changed.items() if value is not None})

    def without(self) -> Iterable[Change]:
        return [Label(self.node, rest) for rest in with_one_less(self.labels)]


@dataclass(frozen=True, slots=True)
class AddNode(Change):
    """One more node like one that is there."""

    like: str
    amounts: tuple[tuple[str, int], ...]

    @property
    def text(self) -> str:
        size = ", ".join(f"{name} {spelled(name, amount)}" for name, amount in self.amounts)
        return f"add a node like {self.like} ({size})"


@dataclass(frozen=True, slots=True, eq=False)
class Evict(Change):
    """Have these pods leave the node."""

    node: str
    pods: tuple[Placed, ...]

    @property
    def bother(self) -> float:
        return 8.0 + len(self.pods)

    @property
    def text(self) -> str:
        shown = [f"{pod.namespace}/{pod.name} (priority {pod.priority})" for pod in self.pods[:3]]
        more = [f"{len(self.pods) - 3} more"] if len(self.pods) > 3 else []
        return f"have {joined([*shown, *more])} leave {self.node}"

    def without(self) -> Iterable[Change]:
        return [Evict(self.node, rest) for rest in with_one_less(self.pods)]
