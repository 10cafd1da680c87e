"""Changes to a pod that may give it a place: see `changes.py`."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

import msgspec.structs

from bireme.api import resources
from bireme.api.kinds import core
from bireme.scheduler.changes import Change, Degree, joined, spelled, tainted, with_one_less


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
        return "ask for " + joined(parts)

    def to_pod(self, pod: core.Pod) -> core.Pod:
        return asking(pod, {name: to for name, _, to in self.amounts})

    def without(self) -> Iterable[Change]:
        return [AskLess(rest) for rest in with_one_less(self.amounts)]

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
        return "tolerate " + joined([tainted(each) for each in self.taints])

    @property
    def command(self) -> str:
        return "in the pod's spec: tolerations: [" + ", ".join(map(_toleration, self.taints)) + "]"

    def to_pod(self, pod: core.Pod) -> core.Pod:
        more = [core.Toleration(key=t.key, operator="Equal", value=t.value, effect=t.effect) for t in self.taints]
        return _with_spec(pod, tolerations=[*pod.spec.tolerations, *more])

    def without(self) -> Iterable[Change]:
        return [Tolerate(rest) for rest in with_one_less(self.taints)]


@dataclass(frozen=True, slots=True)
class DropSelector(Change):
    """Not ask for these labels of nodes."""

    labels: tuple[tuple[str, str], ...]

    @property
    def bother(self) -> float:
        return 5.0 + len(self.labels)

    @property
    def text(self) -> str:
        return "drop from the nodeSelector " + joined([f"{key}={value}" for key, value in self.labels])

    def to_pod(self, pod: core.Pod) -> core.Pod:
        dropped = dict(self.labels)
        return _with_spec(pod, node_selector={k: v for k, v in pod.spec.node_selector.items() if k not in dropped})

    def without(self) -> Iterable[Change]:
        return [DropSelector(rest) for rest in with_one_less(self.labels)]


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
        return "do without hostPort " + joined([f"{port}/{protocol}" for protocol, port in self.ports])

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
        return [DropPorts(rest) for rest in with_one_less(self.ports)]


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


def _toleration(taint: core.Taint) -> str:
    value = f"operator: Equal, value: {taint.value}" if taint.value else "operator: Exists"
    return f"{{key: {taint.key}, {value}, effect: {taint.effect}}}"


def _with_spec(pod: core.Pod, **fields: object) -> core.Pod:
    return msgspec.structs.replace(pod, spec=msgspec.structs.replace(pod.spec, **fields))
