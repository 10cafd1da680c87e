"""What does it cost to make a Deployment's pods and give each a node, apart from the door, the kubelets and TLS?

API, controllers and scheduler stand in this process as in the core, over a store on disk; nodes are objects that
nobody looks after. CPU is that of the process from the Deployment to the last pod that has a node, taken apart into
the loop's thread and all others, which is the store's.
"""

import argparse
import asyncio
import os
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import uvloop
from density import NAMESPACE, account, deployment
from report import Figure, report

from bireme.aio.clock import RealClock
from bireme.api.codec.json import to_tree
from bireme.api.kinds import core, meta
from bireme.api.times import rfc3339
from bireme.assembly.api import Api, serve_api
from bireme.assembly.parts import run_controllers, run_scheduler
from bireme.assembly.process import SWITCH_S, set_up_logs, settle_memory
from bireme.client.client import Client
from bireme.client.informer import Informer
from bireme.controllers.settings import Settings
from bireme.ledger.ledger import Ledger
from bireme.store.sqlite import SqliteStore


@dataclass(frozen=True, slots=True)
class Run:
    """CPU in seconds of the loop and of other threads, what passed, and how many commits that took."""

    loop_s: float
    other_s: float
    took_s: float
    commits: int


@asynccontextmanager
async def control_plane(path: Path) -> AsyncIterator[Api]:
    """All parts of a core that have a hand in it."""
    clock = RealClock()
    store = SqliteStore(path / "state.db", clock=clock)
    settings = Settings(root_ca="none", sign=lambda *_: b"")
    try:
        async with serve_api(store, clock=clock) as api, asyncio.TaskGroup() as tasks:
            running = [
                tasks.create_task(run_controllers(api, settings, clock=clock)),
                tasks.create_task(run_scheduler(api, Ledger(), clock=clock)),
            ]
            yield api
            for task in running:
                task.cancel()
    finally:
        await store.close()


def node(number: int, *, now: str) -> core.Node:
    """A machine that is well."""
    name = f"node-{number:05}"
    amounts: dict[str, str | int | float] = {"cpu": "32", "memory": "256Gi", "pods": "250"}
    ready = core.NodeCondition(type="Ready", status="True", last_heartbeat_time=now, last_transition_time=now)
    return core.Node(
        metadata=meta.ObjectMeta(name=name, labels={"kubernetes.io/hostname": name}),
        status=core.NodeStatus(capacity=amounts, allocatable=amounts, conditions=[ready]),
    )


async def measure(nodes: int, pods: int) -> Run:
    """One fill of a cluster of its own."""
    with tempfile.TemporaryDirectory(dir=os.environ.get("BENCH_DIR")) as path:
        async with control_plane(Path(path)) as api:
            client = api.admin()
            for number in range(nodes):
                made = node(number, now=rfc3339(api.registry.clock.now()))
                status = {"status": to_tree(made.status)}
                await client.create(made)
                await client.patch(core.Node, made.metadata.name, status, subresource="status")
            await client.create(core.Namespace(metadata=meta.ObjectMeta(name=NAMESPACE)))
            await account(client)
            return await fill(api, client, pods)


async def fill(api: Api, client: Client, pods: int) -> Run:
    """Make the Deployment and wait until every pod has a node."""
    bound: set[str] = set()
    done = asyncio.Event()

    def heard(old: core.Pod | None, new: core.Pod | None) -> None:
        if new is not None and new.spec.node_name:
            bound.add(new.metadata.uid)
            if len(bound) == pods:
                done.set()

    informer = Informer(client, core.Pod, clock=api.registry.clock)
    informer.on_change(heard)
    async with asyncio.TaskGroup() as tasks:
        following = tasks.create_task(informer.run())
        await informer.wait_synced()
        await asyncio.sleep(1.0)
        settle_memory()
        commits, began = api.store.statistics().commits, time.perf_counter()
        process, loop = time.process_time(), time.thread_time()
        await client.create(deployment("fill", pods))
        await done.wait()
        loop = time.thread_time() - loop
        process = time.process_time() - process
        took, commits = time.perf_counter() - began, api.store.statistics().commits - commits
        following.cancel()
    return Run(loop, process - loop, took, commits)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--nodes", type=int, default=1_000)
    parser.add_argument("--pods", type=int, default=10_000)
    parser.add_argument("--repeats", type=int, default=1)
    arguments = parser.parse_args()
    set_up_logs("benchmark", level="warning")
    sys.setswitchinterval(SWITCH_S)
    runs = []
    for _ in range(arguments.repeats):
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runs.append(runner.run(measure(arguments.nodes, arguments.pods)))
    pods = arguments.pods
    size = f"{pods:,} pods, {arguments.nodes:,} nodes"
    figures = [
        Figure(f"{size}: CPU of the loop", "us/pod", [run.loop_s * 1e6 / pods for run in runs]),
        Figure(f"{size}: CPU of the store's thread", "us/pod", [run.other_s * 1e6 / pods for run in runs]),
        Figure(f"{size}: rate", "pods/s", [pods / run.took_s for run in runs]),
        Figure(f"{size}: commits", "/1,000 pods", [run.commits * 1e3 / pods for run in runs]),
    ]
    report("From a Deployment to pods with nodes", figures)


if __name__ == "__main__":
    main()
