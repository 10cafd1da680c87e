"""A scenario's workloads as objects of the API, for the full player, and how their pods behave as rules."""

from collections.abc import Callable
from dataclasses import replace
from random import Random

import msgspec

from bireme.api.kinds import apps, core, meta, policy, scheduling
from bireme.api.model import IntOrString
from bireme.client.client import Client
from bireme.controllers.rollout import scaled
from bireme.simulation.machines import Machine
from bireme.simulation.pod import CPU_STEP, MEMORY_STEP, pod_of, rounded
from bireme.simulation.scenario import Event, Scenario, Template, Workload
from bireme.simulation.scripts import DEFAULT_RULES, PREFIX, Match, Rule, Rules
from bireme.simulation.shapes import Shape
from bireme.simulation.traces import Row, read_trace

TEMPLATE = "bireme.dev/template"


def shape_of(machine: Machine) -> Shape:
    """What the machine's hollow node claims to have."""
    pool = machine.pool
    return Shape(
        pool.cpu, pool.memory, pool.pods, extended=pool.extended, labels=machine.labels(), taints=machine.taints
    )


def _templates(scenario: Scenario) -> dict[str, Template]:
    """Every template by a name that its pods bear."""
    found = {f"{workload.name}-0": workload.template for workload in scenario.workloads}
    for number, event in enumerate(scenario.events, start=1):
        if event.template is not None:
            found[f"{event.update}-{number}"] = event.template
    return found


def rules_of(scenario: Scenario, seed: int) -> Rules:
    """How the pods of each template behave."""
    rules = [
        Rule(
            match=Match(labels={TEMPLATE: name}),
            start=template.start,
            ready=template.ready,
            end=template.duration,
            fail=template.fail,
        )
        for name, template in _templates(scenario).items()
    ]
    return Rules((*rules, *DEFAULT_RULES.rules), seed)


class Objects:
    """Makes the objects of one scenario."""

    def __init__(self, scenario: Scenario, random: Callable[[str], Random]) -> None:
        self._random, self._folder = random, scenario.folder
        self._workloads = {workload.name: workload for workload in scenario.workloads}
        self._names = {id(template): name for name, template in _templates(scenario).items()}
        self._replicas = {each.name: each.replicas for each in scenario.workloads if each.kind == "deployment"}

    def wanted(self, workload: str) -> int:
        """How many replicas a deployment has now; 0 for what is none."""
        return self._replicas.get(workload, 0)

    def pod(self, workload: Workload, name: str, row: Row | None = None) -> core.Pod:
        """One pod of a job; a trace's row goes before what is drawn."""
        pod = self._pod(workload, workload.template, name, row)
        if row is not None and row.duration is not None:
            pod.metadata.annotations = {PREFIX + "end-seconds": str(row.duration)}
        return pod

    def again(self, pod: core.Pod, number: int) -> core.Pod:
        """The same pod, to do its work from the beginning."""
        old = pod.metadata
        name = f"{old.name.partition('.again-')[0]}.again-{number}"
        fresh = core.Pod(spec=msgspec.json.decode(msgspec.json.encode(pod.spec), type=core.PodSpec))
        fresh.spec.node_name = ""
        fresh.metadata = meta.ObjectMeta(
            name=name, namespace=old.namespace, labels=old.labels, annotations=old.annotations
        )
        return fresh

    def deployment(self, workload: Workload) -> apps.Deployment:
        """A deployment as it is made first."""
        labels = {"app": workload.name}
        rolling = apps.RollingUpdateDeployment(
            max_surge=_count(workload.max_surge), max_unavailable=_count(workload.max_unavailable)
        )
        return apps.Deployment(
            metadata=meta.ObjectMeta(name=workload.name, namespace=workload.namespace),
            spec=apps.DeploymentSpec(
                replicas=workload.replicas,
                selector=meta.LabelSelector(match_labels=labels),
                strategy=apps.DeploymentStrategy(type="RollingUpdate", rolling_update=rolling),
                template=self._template(workload, workload.template),
            ),
        )

    def budget(self, workload: Workload) -> policy.PodDisruptionBudget:
        """What a drain keeps to."""
        most = max(1, scaled(_count(workload.max_unavailable), workload.replicas, round_up=False))
        return policy.PodDisruptionBudget(
            metadata=meta.ObjectMeta(name=workload.name, namespace=workload.namespace),
            spec=policy.PodDisruptionBudgetSpec(
                max_unavailable=most, selector=meta.LabelSelector(match_labels={"app": workload.name})
            ),
        )

    async def change(self, client: Client, event: Event) -> None:
        """An update, or a change of scale. Raises ApiError."""
        workload = self._workloads[event.update or event.scale]
        if event.template is not None:
            template = self._template(workload, event.template)
            tree = {"spec": {"template": msgspec.to_builtins(template)}}
        else:
            self._replicas[workload.name] = event.replicas or 0
            tree = {"spec": {"replicas": event.replicas}}
        await client.patch(apps.Deployment, workload.name, tree, namespace=workload.namespace)

    def _template(self, workload: Workload, template: Template) -> core.PodTemplateSpec:
        """All pods of a deployment ask for the same: for what is drawn once."""
        pod = self._pod(workload, template, "")
        return core.PodTemplateSpec(metadata=meta.ObjectMeta(labels=pod.metadata.labels), spec=pod.spec)

    def _pod(self, workload: Workload, template: Template, name: str, row: Row | None = None) -> core.Pod:
        random = self._random(f"pods/{workload.name}")
        cpu, memory = rounded(template.cpu.of(random), CPU_STEP), rounded(template.memory.of(random), MEMORY_STEP)
        priority = workload.priority if row is None or row.priority is None else row.priority
        if row is not None:
            cpu, memory = row.cpu if row.cpu is not None else cpu, row.memory if row.memory is not None else memory
        namespace = row.namespace if row is not None and row.namespace else workload.namespace
        marked = replace(template, labels={**template.labels, TEMPLATE: self._names[id(template)]})
        pod = pod_of(workload, marked, cpu=cpu, memory=memory, priority=0, namespace=namespace, name=name)
        pod.spec.priority = None  # a cluster's priorities come from classes
        if priority and not pod.spec.priority_class_name:
            pod.spec.priority_class_name = class_of(priority)
        return pod

    def classes(self) -> list[scheduling.PriorityClass]:
        """The priority classes of all workloads and of the rows of their traces. Raises ScenarioError."""
        found = {workload.priority for workload in self._workloads.values()}
        for workload in self._workloads.values():
            if workload.arrivals is not None and workload.arrivals.trace:
                found.update(row.priority or 0 for row in read_trace(self._folder / workload.arrivals.trace))
        return [
            scheduling.PriorityClass(metadata=meta.ObjectMeta(name=class_of(value)), value=value)
            for value in sorted(found - {0})
        ]


def class_of(priority: int) -> str:
    """The name of the class of pods of this priority."""
    return f"priority-{priority}" if priority > 0 else f"priority-minus{priority}"


def _count(word: str) -> IntOrString:
    return int(word) if word.isdecimal() else word
