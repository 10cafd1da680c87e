"""How many pods a second get their node, from a burst that waits to the last binding, all through the API?

API server (store in memory) and scheduler are one process, as in the core; the pods are there when the scheduler
begins. Beside the rate stand the CPU that a pod costs in all, what of it the decision takes, and the longest time for
which the event loop did nothing else.
"""

import argparse
import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import uvloop
from report import Figure, report

from bireme.aio.clock import RealClock
from bireme.api.kinds import core, meta
from bireme.assembly.api import Api, serve_api
from bireme.assembly.parts import memory_store
from bireme.assembly.process import settle_memory
from bireme.client.client import Client
from bireme.client.events import EventRecorder
from bireme.ledger.ledger import Ledger
from bireme.scheduler.caches import Caches
from bireme.scheduler.scheduler import Scheduler

NODES = (100, 1_000)
PODS = 3_000
PULSE_S = 0.001


@dataclass(frozen=True, slots=True)
class Run:
    """One burst: pods a second, microseconds of CPU a pod in all and to decide, and the longest pause in seconds."""

    rate: float
    cpu_us: float
    decision_us: float
    pause_s: float


@asynccontextmanager
async def crowded(nodes: int, pods: int) -> AsyncIterator[Api]:
    """An API with pods that wait."""
    clock = RealClock()
    store = memory_store(clock)
    async with serve_api(store, clock=clock) as api:
        client = api.admin()
        await client.create(core.ServiceAccount(metadata=meta.ObjectMeta(name="default", namespace="default")))
        for number in range(nodes):
            await add_node(client, f"node-{number}")
        for number in range(pods):
            sizes = core.ResourceRequirements(requests={"cpu": "10m", "memory": "10Mi"})
            container = core.Container(name="c", image="i", resources=sizes)
            spec = core.PodSpec(containers=[container], service_account_name="default")
            await client.create(core.Pod(metadata=meta.ObjectMeta(name=f"p{number}", namespace="default"), spec=spec))
        yield api
    await store.close()


async def add_node(client: Client, name: str) -> None:
    room: dict[str, str | int | float] = {"cpu": "64", "memory": "256Gi", "pods": "500"}
    status = core.NodeStatus(capacity=room, allocatable=room)
    made = await client.create(core.Node(metadata=meta.ObjectMeta(name=name), status=status))
    made.spec.taints = []  # of a new node
    await client.update(made)


class Pulse:
    """Beats each millisecond, and remembers the longest time without a beat."""

    def __init__(self) -> None:
        self.longest = 0.0

    async def run(self) -> None:
        last = time.perf_counter()
        while True:
            await asyncio.sleep(PULSE_S)
            now = time.perf_counter()
            self.longest, last = max(self.longest, now - last), now


async def all_bound(caches: Caches, pods: int) -> None:
    """Return once the pods have nodes. Raises TimeoutError after two minutes."""
    bound, done = set(), asyncio.Event()

    def look(old: core.Pod | None, new: core.Pod | None) -> None:
        if new is not None and new.spec.node_name:
            bound.add(new.metadata.uid)
            if len(bound) == pods:
                done.set()

    caches.pods.on_change(look)
    async with asyncio.timeout(120):
        await done.wait()


async def burst(nodes: int, pods: int) -> Run:
    clock, ledger, pulse = RealClock(), Ledger(), Pulse()
    async with crowded(nodes, pods) as api:
        client = api.client("system:kube-scheduler")
        caches, events = Caches.of(client, clock=clock), EventRecorder(client, "default-scheduler", clock=clock)
        scheduler = Scheduler(client, caches=caches, ledger=ledger, events=events, clock=clock)
        async with asyncio.TaskGroup() as tasks:
            running = [tasks.create_task(caches.run())]
            await caches.wait_synced()
            settle_memory()
            running += [tasks.create_task(part) for part in (pulse.run(), events.run(), scheduler.run())]
            began, cpu = time.perf_counter(), time.process_time()
            await all_bound(caches, pods)
            seconds, used = time.perf_counter() - began, time.process_time() - cpu
            for task in running:
                task.cancel()
    decided = sum(each.total for each in scheduler.figures.seconds.values())
    return Run(pods / seconds, used / pods * 1e6, decided / pods * 1e6, pulse.longest)


def measure(repeats: int, pods: int) -> list[Figure]:
    figures = []
    for nodes in NODES:
        runs = []
        for _ in range(repeats):
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                runs.append(runner.run(burst(nodes, pods)))
        what = f"{pods:,} pods on {nodes:,} nodes"
        figures.append(Figure(f"bound, {what}", "pods/s", [run.rate for run in runs], target="at least 1,500"))
        figures.append(Figure(f"CPU of everything, {what}", "us/pod", [run.cpu_us for run in runs]))
        figures.append(Figure(f"time of the decision, {what}", "us/pod", [run.decision_us for run in runs]))
        figures.append(Figure(f"longest pause, {what}", "ms", [run.pause_s * 1e3 for run in runs]))
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--pods", type=int, default=PODS)
    chosen = parser.parse_args()
    report("The scheduling cycle", measure(chosen.repeats, chosen.pods))


if __name__ == "__main__":
    main()
