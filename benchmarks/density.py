"""How fast does a cluster fill: pods of Deployments through HTTPS, scheduled, and Running on hollow nodes?

The core is a process of its own with all on that users have on: TLS, roles, defaults, validation, admission,
field owners, and writes that are synced before they are acknowledged. Nodes and load are a second process,
which knows the API alone (`fleet.py`); with `--kubeconfig` the same nodes and load go to any cluster. The rate
is taken from the moment before the Deployments are made to the last pod Running; a pod's startup from the
moment when the second process hears that it has a node to the moment when it hears that it is Running. CPU is
read from the kernel.
"""

import argparse
import asyncio
import json
import os
import re
import signal
import statistics
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import uvloop
from api_requests import cpu_s
from cluster import end_on_signal
from fleet import Cluster, Fleet, connected, endable, own_core
from report import Figure, report
from sampled import COLLECTOR, for_whom, read, where

from bireme.api.errors import NotFound
from bireme.api.kinds import apps, core, meta
from bireme.assembly.process import settle_memory
from bireme.client.client import Client
from bireme.client.kubeconfig import read_access
from bireme.simulation.shapes import Shape

NAMESPACE = "density"
EACH = 10_000
QUIET_S = 2.0
LONGEST_S, LONGEST_EACH_S = 120.0, 0.04
SHAPE = Shape(cpu="32", memory="256Gi", pods=250)


@dataclass(slots=True)
class Log:
    """When each pod was heard to have a node, and to be Running, on this process's clock."""

    bound: dict[str, float] = field(default_factory=dict)
    running: dict[str, float] = field(default_factory=dict)
    wanted: int = 0
    done: asyncio.Event = field(default_factory=asyncio.Event)

    def heard(self, old: core.Pod | None, new: core.Pod | None) -> None:
        """A pod changed."""
        if new is None or new.metadata.namespace != NAMESPACE:
            return
        now, uid = time.perf_counter(), new.metadata.uid
        self.bound.setdefault(uid, now)
        if new.status.phase == "Running" and uid not in self.running:
            self.running[uid] = now
            if len(self.running) >= self.wanted:
                self.done.set()


@dataclass(frozen=True, slots=True)
class Run:
    """One fill: how long it took, what each process used, how long pods took."""

    pods: int
    took_s: float
    core_s: float
    load_s: float
    startups: list[float]
    asked: dict[str, float]
    by_part: dict[str, float]
    for_whom: dict[str, float]

    @property
    def rate(self) -> float:
        return self.pods / self.took_s


def deployment(name: str, replicas: int) -> apps.Deployment:
    """Pods such as people have: requests, a port, a variable, a label or two."""
    labels = {"app": name, "tier": "web"}
    container = core.Container(
        name="web",
        image="registry.example/web:1.0",
        ports=[core.ContainerPort(container_port=8080)],
        env=[core.EnvVar(name="MODE", value="density")],
        resources=core.ResourceRequirements(requests={"cpu": "100m", "memory": "200Mi"}),
    )
    template = core.PodTemplateSpec(
        metadata=meta.ObjectMeta(labels=labels), spec=core.PodSpec(containers=[container])
    )
    spec = apps.DeploymentSpec(replicas=replicas, selector=meta.LabelSelector(match_labels=labels), template=template)
    return apps.Deployment(metadata=meta.ObjectMeta(name=name, namespace=NAMESPACE), spec=spec)


async def fill(cluster: Cluster, fleet: Fleet, *, pods: int, each: int, profile: Path | None) -> Run:
    """Make the Deployments and wait until every pod runs."""
    log = Log(wanted=pods)
    fleet.pods.cache.on_change(log.heard)
    counts = [min(each, pods - first) for first in range(0, pods, each)]
    own = psutil.Process()
    with sampling(cluster.process, profile):
        counted = await requests(fleet.client)
        core_before, load_before = core_cpu(cluster), cpu_s(own)
        began = time.perf_counter()
        for number, count in enumerate(counts):
            await fleet.client.create(deployment(f"fill-{number}", count))
        async with asyncio.timeout(LONGEST_S + pods * LONGEST_EACH_S):
            await log.done.wait()
        took = max(log.running.values()) - began
        used = core_cpu(cluster) - core_before
        load = cpu_s(own) - load_before
    asked = {name: round((count - counted[name]) / pods, 3) for name, count in (await requests(fleet.client)).items()}
    asked = {name: share for name, share in sorted(asked.items(), key=lambda pair: -pair[1]) if share >= 0.005}
    startups = [log.running[uid] - at for uid, at in log.bound.items() if uid in log.running]
    by_part, by_whom = parts(profile, used, pods) if profile else ({}, {})
    return Run(pods, took, used, load, startups, asked, by_part, by_whom)


async def requests(client: Client) -> Counter[str]:
    """How often each thing was asked of the API so far, as its metrics tell."""
    counted: Counter[str] = Counter()
    for line in (await client.request("GET", "/metrics")).body.decode().splitlines():
        if line.startswith("apiserver_request_total{"):
            labels = dict(re.findall(r'(\w+)="([^"]*)"', line))
            name = " ".join(filter(None, (labels["verb"], labels["resource"], labels["subresource"], labels["code"])))
            counted[name] += int(float(line.rpartition(" ")[2]))
    return counted


def core_cpu(cluster: Cluster) -> float:
    return cpu_s(cluster.process) if cluster.process else 0.0


def parts(profile: Path, used_s: float, pods: int) -> tuple[dict[str, float], dict[str, float]]:
    """Microseconds of the core's CPU a pod, by part of the source and by who had it done."""
    stacks = read(profile)
    collector = stacks.pop((COLLECTOR,), 0)
    each = used_s * 1e6 / pods / (sum(stacks.values()) or 1)
    by_part, by_whom = where(stacks), for_whom(stacks)
    by_part[f"(of it: {COLLECTOR})"] = collector
    return tuple(  # type: ignore[return-value]
        {name: round(count * each, 1) for name, count in found.most_common(16)} for found in (by_part, by_whom)
    )


@contextmanager
def sampling(process: psutil.Process | None, profile: Path | None) -> Iterator[None]:
    """Have the core note its stacks during the block."""
    if process is None or profile is None:
        yield
        return
    profile.unlink(missing_ok=True)
    process.send_signal(signal.SIGUSR1)
    try:
        yield
    finally:
        process.send_signal(signal.SIGUSR2)
        deadline = time.monotonic() + 10
        while not profile.exists() and time.monotonic() < deadline:
            time.sleep(0.02)


@asynccontextmanager
async def populated(cluster: Cluster, nodes: int) -> AsyncIterator[Fleet]:
    """Hollow nodes on the cluster, and a namespace that takes pods."""
    async with connected(cluster.target, name="density") as client, asyncio.TaskGroup() as tasks:
        fleet = Fleet(client, cluster.target)
        running = tasks.create_task(fleet.run())
        try:
            await fleet.add(nodes, SHAPE)
            await client.create(core.Namespace(metadata=meta.ObjectMeta(name=NAMESPACE)))
            await account(client)
            settle_memory()
            yield fleet
        finally:
            running.cancel()


async def account(client: Client) -> None:
    """Return once pods can be made in the namespace."""
    while True:
        try:
            await client.get(core.ServiceAccount, "default", namespace=NAMESPACE)
        except NotFound:
            await asyncio.sleep(0.05)
        else:
            return


async def measure(cluster: Cluster, *, nodes: int, pods: int, each: int, profile: Path | None) -> Run:
    """One fill of an empty cluster."""
    async with populated(cluster, nodes) as fleet:
        await asyncio.sleep(QUIET_S)
        return await fill(cluster, fleet, pods=pods, each=each, profile=profile)


def one_run(arguments: argparse.Namespace, nodes: int, pods: int) -> Run:
    """A cluster of its own for each run, unless one was given."""
    with ExitStack() as stack:
        if arguments.kubeconfig:
            given = psutil.Process(arguments.pid) if arguments.pid else None
            cluster = Cluster(read_access([arguments.kubeconfig], arguments.context), process=given)
        else:
            cluster = stack.enter_context(own_core(profile=arguments.profile))
        work = measure(cluster, nodes=nodes, pods=pods, each=arguments.each, profile=arguments.profile)
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            return runner.run(endable(work))


def figures(runs: list[Run], nodes: int, *, at_least: str = "") -> list[Figure]:
    """What the runs say."""
    size = f"{runs[0].pods:,} pods, {nodes:,} nodes"
    notes: dict[str, object] = {
        "requests_a_pod": runs[0].asked,
        "load_average": [round(number, 2) for number in os.getloadavg()],
    }
    if runs[0].by_part:
        notes |= {"core_us_by_part": runs[0].by_part, "core_us_for": runs[0].for_whom}
    made = [
        Figure(f"{size}: created to Running", "pods/s", [run.rate for run in runs], at_least, notes),
        Figure(f"{size}: CPU of the load", "us/pod", [run.load_s * 1e6 / run.pods for run in runs]),
        Figure(f"{size}; a node to Running, p50", "ms", [quantile(run.startups, 50) * 1e3 for run in runs]),
        Figure(f"{size}; a node to Running, p99", "ms", [quantile(run.startups, 99) * 1e3 for run in runs]),
    ]
    if runs[0].core_s:
        made.insert(1, Figure(f"{size}: CPU of the core", "us/pod", [run.core_s * 1e6 / run.pods for run in runs]))
    return made


def quantile(values: list[float], percent: int) -> float:
    """The value below which so many percent lie."""
    return statistics.quantiles(values, n=100)[percent - 1] if len(values) > 1 else sum(values)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--nodes", type=int, default=100)
    parser.add_argument("--pods", type=int, default=1_000)
    parser.add_argument("--each", type=int, default=EACH, help="pods of one Deployment at most")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--profile", type=Path, help="write the core's stacks there, and split its CPU by part")
    parser.add_argument("--kubeconfig", type=Path, help="fill this cluster, once, instead of a core of our own")
    parser.add_argument("--context", default="", help="of the kubeconfig, if not its current one")
    parser.add_argument("--pid", type=int, help="the process whose CPU is the given cluster's")
    arguments = parser.parse_args()
    end_on_signal()
    repeats = 1 if arguments.kubeconfig else arguments.repeats
    runs = [one_run(arguments, arguments.nodes, arguments.pods) for _ in range(repeats)]
    report("Filling a cluster", figures(runs, arguments.nodes))
    for run in runs[:1]:
        for title, table in (("requests", run.asked), ("by part", run.by_part), ("for whom", run.for_whom)):
            if table:
                print(f"a pod, {title}: {json.dumps(table)}")


if __name__ == "__main__":
    main()
