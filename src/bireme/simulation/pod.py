"""Pods of the lean player: what they ask for, drawn by their templates, and how far they have come."""

from dataclasses import dataclass
from enum import Enum
from random import Random
from typing import TYPE_CHECKING, Any

import orjson

from bireme.api.codec.json import decode
from bireme.api.kinds import core, meta
from bireme.client.informer import Key
from bireme.scheduler.demand import Demand
from bireme.simulation.placer import Placer
from bireme.simulation.scenario import Template, Workload
from bireme.simulation.traces import Row

if TYPE_CHECKING:
    from bireme.simulation.deployments import Group

CPU_STEP = 10
MEMORY_STEP = 2**20


class State(Enum):
    """How far a pod has come."""

    WAITING = "waiting"
    PLACED = "placed"
    RUNNING = "running"
    READY = "ready"
    LOST = "lost"
    GONE = "gone"


@dataclass(frozen=True, slots=True, eq=False)
class Form:
    """What pods of one template and one size ask for. `requests` are the demand's, with the pod itself counted."""

    pod: core.Pod
    demand: Demand
    requests: dict[str, int]


@dataclass(slots=True, eq=False)
class SimPod:
    """One pod. `life` counts its starts, so that what belongs to an earlier one is known."""

    name: str
    uid: str
    workload: Workload
    form: Form
    priority: int
    created: float
    template: Template
    duration: float | None = None
    fails: bool = False
    attempt: int = 0
    state: State = State.WAITING
    node: str = ""
    life: int = 0
    restarts: int = 0
    group: "Group | None" = None

    @property
    def namespace(self) -> str:
        """Whose it is."""
        return self.form.pod.metadata.namespace

    @property
    def key(self) -> Key:
        """By which the queue knows it: names of a trace need not be distinct."""
        return Key(self.namespace, self.uid)


class Forms:
    """The forms in use, made once each. Amounts that are drawn are rounded up: to 10m of cpu and 1Mi of memory."""

    def __init__(self, placer: Placer) -> None:
        self._placer = placer
        self._known: dict[tuple[int, str, int, int, int], Form] = {}

    def of(self, workload: Workload, template: Template, random: Random, row: Row | None) -> Form:
        """The form of the next pod of this template; a trace's row goes before what is drawn."""
        cpu = rounded(template.cpu.of(random), CPU_STEP)
        memory = rounded(template.memory.of(random), MEMORY_STEP)
        priority, namespace = workload.priority, workload.namespace
        if row is not None:
            cpu = cpu if row.cpu is None else row.cpu
            memory = memory if row.memory is None else row.memory
            priority = priority if row.priority is None else row.priority
            namespace = row.namespace or namespace
        key = (id(template), namespace, priority, cpu, memory)
        form = self._known.get(key)
        if form is None:
            pod = pod_of(workload, template, cpu=cpu, memory=memory, priority=priority, namespace=namespace)
            demand = self._placer.demand(pod)
            form = self._known[key] = Form(pod, demand, {**demand.requests, "pods": 1})
        return form


def rounded(amount: float, step: int) -> int:
    """The next multiple of `step`."""
    return -(-int(amount) // step) * step


def pod_of(
    workload: Workload, template: Template, *, cpu: int, memory: int, priority: int, namespace: str, name: str = ""
) -> core.Pod:
    """Such a pod as the API has it."""
    requests = {"cpu": f"{cpu}m", "memory": str(memory), **template.extended}
    container = {"name": "work", "image": template.image, "resources": {"requests": requests}}
    if template.extended:
        container["resources"] = {"requests": requests, "limits": dict(template.extended)}
    spec: dict[str, Any] = {"containers": [container], "priority": priority, **template.spec}
    spec.setdefault("restartPolicy", "Always" if workload.kind == "deployment" else "Never")
    labels = {"app": workload.name, **template.labels}
    pod = decode(core.Pod, orjson.dumps({"spec": spec}))
    pod.metadata = meta.ObjectMeta(name=name or workload.name, namespace=namespace, labels=labels)
    return pod
