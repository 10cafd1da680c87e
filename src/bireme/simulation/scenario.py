"""A scenario: what a cluster is, what comes to it, what befalls it, and what is expected of it. Data alone.

The dataclasses are the schema of the text (`reading.py`); docs/simulation.md is written from them. Times are
seconds, cpu millicores, memory bytes.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

import yaml

from bireme.scheduler.profile import WEIGHTS, Score, Strategy
from bireme.simulation import reading
from bireme.simulation.distributions import Values, constant, values
from bireme.simulation.quantities import bytes_of, cores, count_or_share, pod_spec, quantity
from bireme.simulation.reading import said

POD_LIMIT = 10_000_000


@dataclass(frozen=True, slots=True)
class Taint:
    """A taint of nodes."""

    key: str = said(reading.text, "its key")
    value: str = said(reading.text, "its value", "")
    effect: str = said(reading.one_of("NoSchedule", "PreferNoSchedule", "NoExecute"), "what it does", "NoSchedule")


@dataclass(frozen=True, slots=True)
class Failures:
    """Failures of single nodes, by chance: exponential times between and to mend."""

    mtbf: float = said(reading.span, "mean time between the failures of one node")
    mttr: float = said(reading.duration, "mean time until it is back", 3600.0)


@dataclass(frozen=True, slots=True)
class NodePool:
    """Nodes of one shape. Node N of the pool is named POOL-N."""

    pool: str = said(reading.text, "the pool's name, which begins the names of its nodes")
    count: int = said(reading.whole(0, 100_000), "how many")
    cpu: str = said(quantity, "cores of each", "16")
    memory: str = said(quantity, "memory of each", "64Gi")
    pods: int = said(reading.whole(1), "pods that each takes", 110)
    extended: Mapping[str, str] = said(reading.mapped(quantity), "other resources, as nvidia.com/gpu: 8", dict)
    labels: Mapping[str, str] = said(reading.mapped(reading.text), "labels of each", dict)
    taints: tuple[Taint, ...] = said(reading.listed(reading.section(Taint)), "taints of each", ())
    racks: int = said(reading.whole(0), "racks that the nodes stand in, in blocks; POOL-rack-N", 0)
    zones: tuple[str, ...] = said(reading.names, "zones, dealt to racks, or to nodes, in turn", ())
    failures: Failures | None = said(reading.section(Failures), "nodes fail by chance", None)


@dataclass(frozen=True, slots=True)
class Template:
    """What the pods of a workload are like."""

    cpu: Values = said(values(cores), "request of each", constant(100.0))
    memory: Values = said(values(bytes_of), "request of each", constant(128.0 * 2**20))
    extended: Mapping[str, str] = said(reading.mapped(quantity), "other requests", dict)
    duration: Values | None = said(values(reading.duration), "from its start to its end; none: it never ends", None)
    start: Values = said(values(reading.duration), "from its placement to its start", constant(2.0))
    ready: Values = said(values(reading.duration), "from its start until it is ready", constant(0.0))
    fail: float = said(reading.share, "the chance that it ends badly", 0.0)
    image: str = said(reading.text, "its image", "work:1")
    labels: Mapping[str, str] = said(reading.mapped(reading.text), "labels of each", dict)
    spec: Mapping[str, Any] = said(pod_spec, "more of its PodSpec, in the words of the API", dict)


@dataclass(frozen=True, slots=True)
class Poisson:
    """Independent arrivals; with `daily` and `peak` the rate goes up and down like a day."""

    rate: float = said(reading.number(0.0), "arrivals a second, in the mean")
    daily: float = said(reading.share, "how far the rate goes up and down within 24 hours", 0.0)
    peak: float = said(reading.duration, "when it is highest", 14 * 3600.0)


@dataclass(frozen=True, slots=True)
class Burst:
    """Many at once, again and again."""

    size: int = said(reading.whole(1), "arrivals in each")
    every: float = said(reading.duration, "from one to the next")
    first: float = said(reading.duration, "when the first comes", 0.0)
    over: float = said(reading.duration, "the time over which one is spread", 0.0)


@dataclass(frozen=True, slots=True)
class Arrivals:
    """When jobs come. One of these."""

    poisson: Poisson | None = said(reading.section(Poisson), "at a mean rate", None)
    burst: Burst | None = said(reading.section(Burst), "in bursts", None)
    trace: str = said(reading.text, "a CSV file beside the scenario: time,name,cpu,memory,duration,…", "")
    at: tuple[float, ...] = said(reading.listed(reading.duration), "at these times", ())
    until: float | None = said(reading.duration, "none come after this", None)

    def __post_init__(self) -> None:
        told = [self.poisson is not None, self.burst is not None, bool(self.trace), bool(self.at)]
        if sum(told) != 1:
            raise ValueError("one of poisson, burst, trace, at is needed")


@dataclass(frozen=True, slots=True)
class Workload:
    """Pods of one template: a deployment that stays, or jobs that come and end."""

    name: str = said(reading.text, "its name, which begins the names of its pods")
    kind: str = said(reading.one_of("deployment", "jobs"), "what looks after the pods", "jobs")
    namespace: str = said(reading.text, "whose it is: fairness is reckoned by namespace", "default")
    priority: int = said(reading.whole(-(10**9)), "of its pods", 0)
    template: Template = said(reading.section(Template), "what its pods are like", Template)
    replicas: int = said(reading.whole(0, POD_LIMIT), "of a deployment", 1)
    at: float = said(reading.duration, "when a deployment is made", 0.0)
    max_surge: str = said(count_or_share, "of a rolling update", "25%")
    max_unavailable: str = said(count_or_share, "of a rolling update, and of a drain", "25%")
    arrivals: Arrivals | None = said(reading.section(Arrivals), "when jobs come", None)
    pods: int = said(reading.whole(1, 10_000), "pods that one job has at once", 1)
    retries: int = said(reading.whole(0), "how often a pod of a job that failed is made anew", 6)

    def __post_init__(self) -> None:
        if (self.kind == "jobs") != (self.arrivals is not None):
            raise ValueError("jobs need arrivals, and deployments have none")


@dataclass(frozen=True, slots=True)
class Target:
    """Which nodes. One of these."""

    nodes: tuple[str, ...] = said(reading.names, "by name", ())
    rack: str = said(reading.text, "all of a rack", "")
    zone: str = said(reading.text, "all of a zone", "")
    pool: str = said(reading.text, "all of a pool", "")
    random: int = said(reading.whole(0), "so many, by chance", 0)

    def __post_init__(self) -> None:
        if sum(map(bool, (self.nodes, self.rack, self.zone, self.pool, self.random))) != 1:
            raise ValueError("one of nodes, rack, zone, pool, random is needed")


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happens `at` a time. One of fail, drain, cordon, update, scale."""

    at: float = said(reading.duration, "when")
    fail: Target | None = said(reading.section(Target), "these nodes lose their power", None)
    drain: Target | None = said(reading.section(Target), "these are cordoned and their pods evicted", None)
    cordon: Target | None = said(reading.section(Target), "these take no new pods", None)
    recover_after: float | None = said(reading.duration, "when that ends; none: never", None)
    update: str = said(reading.text, "this deployment gets `template`, in a rolling update", "")
    scale: str = said(reading.text, "this deployment gets `replicas`", "")
    template: Template | None = said(reading.section(Template), "of an update", None)
    replicas: int | None = said(reading.whole(0, POD_LIMIT), "of a change of scale", None)

    def __post_init__(self) -> None:
        deeds = (self.fail, self.drain, self.cordon, self.update or None, self.scale or None)
        if sum(deed is not None for deed in deeds) != 1:
            raise ValueError("one of fail, drain, cordon, update, scale is needed")
        if bool(self.update) != (self.template is not None):
            raise ValueError("update and template belong together")
        if bool(self.scale) != (self.replicas is not None):
            raise ValueError("scale and replicas belong together")


@dataclass(frozen=True, slots=True)
class Scheduling:
    """How pods are placed."""

    decision: float = said(reading.duration, "the time that one decision takes", 0.001)
    strategy: str = said(reading.one_of(*Strategy), "how free room is scored", Strategy.LEAST.value)
    weights: Mapping[str, int] = said(reading.mapped(reading.whole(0, 1000)), "of the scores", dict)
    plugins: tuple[str, ...] = said(reading.names, "Python files with scores and filters", ())

    def __post_init__(self) -> None:
        for name in self.weights:
            if name not in set(Score):
                raise ValueError(f"there is no score {name}; allowed: {', '.join(WEIGHTS)}")


@dataclass(frozen=True, slots=True)
class Lifecycle:
    """How long the cluster takes to see and to act."""

    detect: float = said(reading.duration, "until a node that is silent is seen as lost", 40.0)
    evict: float = said(reading.duration, "from there until its pods are replaced", 300.0)
    restart: float = said(reading.span, "the first wait before a retry; twice as long each time", 10.0)
    longest_restart: float = said(reading.span, "the longest such wait", 300.0)


@dataclass(frozen=True, slots=True)
class Expectations:
    """What must hold in the end; the run fails otherwise."""

    all_placed: bool | None = said(reading.flag, "no pod waits in the end", None)
    max_wait: float | None = said(reading.duration, "no pod waited longer", None)
    p99_wait: float | None = said(reading.duration, "99 of 100 pods that were placed waited no longer", None)
    min_placements: int | None = said(reading.whole(), "so many pods were placed", None)
    min_cpu_utilisation: float | None = said(reading.share, "mean over the time", None)
    min_memory_utilisation: float | None = said(reading.share, "mean over the time", None)
    min_fairness: float | None = said(reading.share, "Jain's index of dominant shares, mean over the time", None)
    min_available: Mapping[str, float] = said(
        reading.mapped(reading.share),
        "by deployment, the least part of its replicas that was available, once all were",
        dict,
    )


@dataclass(frozen=True, slots=True)
class Scenario:
    """The whole of it."""

    nodes: tuple[NodePool, ...] = said(reading.listed(reading.section(NodePool)), "the machines, by pools")
    workloads: tuple[Workload, ...] = said(reading.listed(reading.section(Workload)), "what runs on them", ())
    name: str = said(reading.text, "a title", "")
    duration: float = said(reading.duration, "how long to play", 86400.0)
    seed: int = said(reading.whole(), "of everything that is drawn", 0)
    step: float = said(reading.span, "from one sample to the next in the tables", 60.0)
    fidelity: str = said(reading.one_of("lean", "full"), "the decisions alone, or the whole control plane", "lean")
    events: tuple[Event, ...] = said(reading.listed(reading.section(Event)), "what befalls it", ())
    scheduler: Scheduling = said(reading.section(Scheduling), "how pods are placed", Scheduling())
    lifecycle: Lifecycle = said(reading.section(Lifecycle), "how fast the cluster acts", Lifecycle())
    expect: Expectations = said(reading.section(Expectations), "what must hold", Expectations())
    folder: Path = Path(".")

    def __post_init__(self) -> None:
        _distinct("pool", [pool.pool for pool in self.nodes])
        _distinct("workload", [workload.name for workload in self.workloads])
        deployments = {workload.name for workload in self.workloads if workload.kind == "deployment"}
        for named in (*(event.update or event.scale for event in self.events), *self.expect.min_available):
            if named and named not in deployments:
                raise ValueError(
                    f"there is no deployment {named}; there are: {', '.join(sorted(deployments)) or 'none'}"
                )

    @classmethod
    def parse(cls, text: str, *, source: str = "scenario", folder: Path = Path(".")) -> Self:
        """A scenario from its text. Raises ScenarioError."""
        return replace(reading.parse(text, cls, source=source), folder=folder)

    @classmethod
    def load(cls, path: Path) -> Self:
        """A scenario from a file; the files that it names are looked for beside it. Raises ScenarioError, OSError."""
        return cls.parse(reading.text_of(path), source=path.name, folder=path.parent)

    @classmethod
    def of(cls, tree: Mapping[str, Any], *, folder: Path = Path(".")) -> Self:
        """A scenario from plain data, in the words of the text. Raises ScenarioError."""
        return cls.parse(yaml.safe_dump(dict(tree), sort_keys=False), folder=folder)

    def scaled_to(self, count: int) -> Self:
        """The same with `count` nodes in all, each pool its part; what comes stays as it is."""
        have = sum(pool.count for pool in self.nodes) or 1
        pools, given, seen = [], 0, 0
        for pool in self.nodes:
            seen += pool.count
            upto = count * seen // have
            pools.append(replace(pool, count=upto - given))
            given = upto
        return replace(self, nodes=tuple(pools))


def _distinct(what: str, found: list[str]) -> None:
    twice = sorted({name for name in found if found.count(name) > 1})
    if twice:
        raise ValueError(f"there are two of the {what} {twice[0]}")
