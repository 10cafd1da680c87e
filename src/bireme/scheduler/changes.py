"""Changes that may give a pod a place: to the pod, to a node, or to what else is there. Each can be tried in thought.

A change says itself in words, and where one command makes it, which. `bother` orders them: less is asked of whoever
makes it. Some have parts; `without` gives what is left when one part is not needed.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TypeVar

import msgspec.structs

from bireme.api import quantity, resources
from bireme.api.kinds import core
from bireme.scheduler.filters import CORDON
from bireme.scheduler.nodes import NodeFacts
from bireme.scheduler.world import Placed

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Degree:
    """How little might be done and how much is, and the change by so much."""

    least: int
    most: int
    by: "Callable[[int], Change]"


@dataclass(frozen=True, slots=True)
class Change:
    """One change. As it stands, it changes nothing."""

    @property
    def bother(self) -> float:
        """How much is asked of whoever makes it."""
        return 5.0

    @property
    def text(self) -> str:
        """What to do."""
        raise NotImplementedError

    @property
    def command(self) -> str:
        """The command that does it, if there is one."""
        return ""

    def to_pod(self, pod: core.Pod) -> core.Pod:
        """The pod as it would be."""
        return pod

    def to_node(self, facts: NodeFacts) -> NodeFacts:
        """The node as it would be."""
        return facts

    def without(self) -> "Iterable[Change]":
        """The change with one part less, for each of its parts if there are several."""
        return ()

    def degree(self, part: int) -> "Degree | None":
        """How much is done of one part; None when there is no such part, or no more and less of it."""
        return None


@dataclass(frozen=True, slots=True)
class AskLess(Change):
    """Request less: of each resource (name, from, to)."""

    amounts: tuple[tuple[str, int, int], ...]

    @property
    def bother(self) -> float:
        return 2.0 + 8.0 * sum((was - to) / was for _, was, to in self.amounts)

    @property
    def text(self) -> str:
        parts = [
            f"{spelled(name, was - to)} less {name} ({spelled(name, to)} instead of {spelled(name, was)})"
            for name, was, to in self.amounts
        ]
        return "ask for " + _and(parts)

    def to_pod(self, pod: core.Pod) -> core.Pod:
        return asking(pod, {name: to for name, _, to in self.amounts})

    def without(self) -> Iterable[Change]:
        return [AskLess(rest) for rest in _with_one_less(self.amounts)]

    def degree(self, part: int) -> Degree | None:
        if part >= len(self.amounts):
            return None
        before, (name, was, to), after = self.amounts[:part], self.amounts[part], self.amounts[part + 1 :]
        return Degree(1, was - to, lambda less: AskLess((*before, (name, was, was - less), *after)))


@dataclass(frozen=True, slots=True)
class Tolerate(Change):
    """Tolerate these taints."""

    taints: tuple[core.Taint, ...]

    @property
    def bother(self) -> float:
        return 1.0 + len(self.taints)

    @property
    def text(self) -> str:
        return "tolerate " + _and([tainted(each) for each in self.taints])

    @property
    def command(self) -> str:
        return "in the pod's spec: tolerations: [" + ", ".join(map(_toleration, self.taints)) + "]"

    def to_pod(self, pod: core.Pod) -> core.Pod:
        more = [core.Toleration(key=t.key, operator="Equal", value=t.value, effect=t.effect) for t in self.taints]
        return _with_spec(pod, tolerations=[*pod.spec.tolerations, *more])

    def without(self) -> Iterable[Change]:
        return [Tolerate(rest) for rest in _with_one_less(self.taints)]


@dataclass(frozen=True, slots=True)
class DropSelector(Change):
    """Not ask for these labels of nodes."""

    labels: tuple[tuple[str, str], ...]

    @property
    def bother(self) -> float:
        return 5.0 + len(self.labels)

    @property
    def text(self) -> str:
        return "drop from the nodeSelector " + _and([f"{key}={value}" for key, value in self.labels])

    def to_pod(self, pod: core.Pod) -> core.Pod:
        dropped = dict(self.labels)
        return _with_spec(pod, node_selector={k: v for k, v in pod.spec.node_selector.items() if k not in dropped})

    def without(self) -> Iterable[Change]:
        return [DropSelector(rest) for rest in _with_one_less(self.labels)]


@dataclass(frozen=True, slots=True)
class DropAffinity(Change):
    """Prefer what a part of the affinity requires: `nodeAffinity`, `podAffinity` or `podAntiAffinity`."""

    part: str

    @property
    def bother(self) -> float:
        return 7.0

    @property
    def text(self) -> str:
        return f"prefer what the {self.part} requires"

    def to_pod(self, pod: core.Pod) -> core.Pod:
        wish = pod.spec.affinity
        if wish is None:
            return pod
        match self.part:
            case "nodeAffinity" if wish.node_affinity is not None:
                none = msgspec.structs.replace(
                    wish.node_affinity, required_during_scheduling_ignored_during_execution=None
                )
                wish = msgspec.structs.replace(wish, node_affinity=none)
            case "podAffinity" if wish.pod_affinity is not None:
                near = msgspec.structs.replace(
                    wish.pod_affinity, required_during_scheduling_ignored_during_execution=[]
                )
                wish = msgspec.structs.replace(wish, pod_affinity=near)
            case "podAntiAffinity" if wish.pod_anti_affinity is not None:
                far = msgspec.structs.replace(
                    wish.pod_anti_affinity, required_during_scheduling_ignored_during_execution=[]
                )
                wish = msgspec.structs.replace(wish, pod_anti_affinity=far)
        return _with_spec(pod, affinity=wish)


@dataclass(frozen=True, slots=True)
class Skew(Change):
    """Let domains differ by more. `number` is the constraint's place in the pod's list."""

    number: int
    topology_key: str
    was: int
    to: int

    @property
    def bother(self) -> float:
        return 3.0 + (self.to - self.was)

    @property
    def text(self) -> str:
        return f"spread over {self.topology_key} with maxSkew {self.to} (it is {self.was})"

    def to_pod(self, pod: core.Pod) -> core.Pod:
        constraints = list(pod.spec.topology_spread_constraints)
        constraints[self.number] = msgspec.structs.replace(constraints[self.number], max_skew=self.to)
        return _with_spec(pod, topology_spread_constraints=constraints)

    def degree(self, part: int) -> Degree | None:
        return Degree(self.was + 1, self.to, lambda to: replace(self, to=to)) if part == 0 else None


@dataclass(frozen=True, slots=True)
class SpreadSoftly(Change):
    """Prefer to be spread: the constraint scores and refuses no more."""

    number: int
    topology_key: str

    @property
    def bother(self) -> float:
        return 6.5

    @property
    def text(self) -> str:
        return f"spread over {self.topology_key} with whenUnsatisfiable: ScheduleAnyway"

    def to_pod(self, pod: core.Pod) -> core.Pod:
        constraints = list(pod.spec.topology_spread_constraints)
        softer = msgspec.structs.replace(constraints[self.number], when_unsatisfiable="ScheduleAnyway")
        constraints[self.number] = softer
        return _with_spec(pod, topology_spread_constraints=constraints)


@dataclass(frozen=True, slots=True)
class DropPorts(Change):
    """Not take these ports of the host."""

    ports: tuple[tuple[str, int], ...]

    @property
    def bother(self) -> float:
        return 5.0 + len(self.ports)

    @property
    def text(self) -> str:
        return "do without hostPort " + _and([f"{port}/{protocol}" for protocol, port in self.ports])

    def to_pod(self, pod: core.Pod) -> core.Pod:
        def freed(container: core.Container) -> core.Container:
            kept = [
                msgspec.structs.replace(port, host_port=None)
                if (port.protocol or "TCP", port.host_port) in self.ports
                else port
                for port in container.ports
            ]
            return msgspec.structs.replace(container, ports=kept)

        spec = pod.spec
        return _with_spec(
            pod, containers=[*map(freed, spec.containers)], init_containers=[*map(freed, spec.init_containers)]
        )

    def without(self) -> Iterable[Change]:
        return [DropPorts(rest) for rest in _with_one_less(self.ports)]


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
        return f"get {self.node} well: it is " + _and([each.key.partition("/")[2] for each in self.taints])

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
        parts = [f"label {self.node} {_and(given)}"] if given else []
        return _and([*parts, f"take the label {_and(taken)} from {self.node}"] if taken else parts)

    @property
    def command(self) -> str:
        words = [f"{key}-" if value is None else f"{key}={value}" for key, value in self.labels]
        return f"kubectl label --overwrite node {self.node} " + " ".join(words)

    def to_node(self, facts: NodeFacts) -> NodeFacts:
        changed: dict[str, str | None] = {**facts.labels, **dict(self.labels)}
        return replace(facts, labels={key: value for key, value in changed.items() if value is not None})

    def without(self) -> Iterable[Change]:
        return [Label(self.node, rest) for rest in _with_one_less(self.labels)]


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
        return f"have {_and([*shown, *more])} leave {self.node}"

    def without(self) -> Iterable[Change]:
        return [Evict(self.node, rest) for rest in _with_one_less(self.pods)]


def asking(pod: core.Pod, amounts: Mapping[str, int]) -> core.Pod:
    """The pod, as if it asked for so much in all, and of other resources for what it does."""
    wanted = {**resources.pod_requests(pod.spec), **amounts}
    asked = core.ResourceRequirements(requests=dict(resources.write(wanted)))
    nothing = core.ResourceRequirements()
    first, *others = pod.spec.containers
    return _with_spec(
        pod,
        containers=[
            msgspec.structs.replace(first, resources=asked),
            *(msgspec.structs.replace(each, resources=nothing) for each in others),
        ],
        init_containers=[msgspec.structs.replace(each, resources=nothing) for each in pod.spec.init_containers],
        overhead={},
        resources=None,
    )


def spelled(name: str, amount: int) -> str:
    """An exact amount of a resource, as the API writes it."""
    if name == resources.CPU:
        return quantity.from_milli(amount)
    if name in ("memory", "ephemeral-storage") or name.startswith("hugepages-"):
        return quantity.text_of(amount * quantity.NANOS, "binary")
    return str(amount)


def tainted(taint: core.Taint) -> str:
    """The taint, as kubectl writes it."""
    return f"{taint.key}={taint.value}:{taint.effect}" if taint.value else f"{taint.key}:{taint.effect}"


def _toleration(taint: core.Taint) -> str:
    value = f"operator: Equal, value: {taint.value}" if taint.value else "operator: Exists"
    return f"{{key: {taint.key}, {value}, effect: {taint.effect}}}"


def _with_spec(pod: core.Pod, **fields: object) -> core.Pod:
    return msgspec.structs.replace(pod, spec=msgspec.structs.replace(pod.spec, **fields))


def _with_one_less(parts: tuple[T, ...]) -> list[tuple[T, ...]]:
    return [parts[:i] + parts[i + 1 :] for i in range(len(parts))] if len(parts) > 1 else []


def _and(parts: list[str]) -> str:
    return " and ".join(parts) if len(parts) < 3 else ", ".join(parts[:-1]) + " and " + parts[-1]
