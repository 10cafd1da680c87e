"""What does it take to hold a large cluster: memory, the time of a restart, and answers while it lives?

The state is written into the store beside a core that is stopped (`state.py`); then the core is started. While
all leases are renewed every ten seconds, and pods come, run and go (made on their nodes, told Running,
deleted), a GET of a pod, a LIST of a node's pods and a watch of a node's pods are timed by the clock, from when
each was due: the watch, from when a change of a pod was due to be sent to when the watcher heard of it.
"""

import argparse
import asyncio
import json
import os
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from pipes import Pace, Pipe, pipes

import psutil
import uvloop
from api_requests import cpu_s, started_core
from cluster import end_on_signal
from density import NAMESPACE
from door import message
from fleet import own_target
from kubeconfigs import Target
from report import Figure, report
from state import first, write

from bireme.aio.clock import RealClock
from bireme.api.times import rfc3339_micro
from bireme.config import Config

PODS = f"/api/v1/namespaces/{NAMESPACE}/pods"
LEASES = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases"
MERGE = "application/merge-patch+json"
STRATEGIC = "application/strategic-merge-patch+json"
WATCHED = "density-0"
LIVES_S = 10.0
GRACE_S = 5.0
CALM = 0.25
MB = 1e6


def pod(name: str, node: str) -> dict[str, object]:
    """A pod that is made on its node."""
    container = {"name": "web", "image": "registry.example/web:1.0", "resources": {"requests": {"cpu": "10m"}}}
    return {
        "metadata": {"name": name, "labels": {"app": "churn"}},
        "spec": {"nodeName": node, "containers": [container]},
    }


RUNNING = {"status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}}
AT_ONCE = {"gracePeriodSeconds": 0}


class Life:
    """What goes on in the cluster, over connections of its own."""

    def __init__(self, where: Target, nodes: int, pods: list[str]) -> None:
        self._where, self._nodes, self._pods = where, nodes, pods
        self._dice = random.Random(7)
        self.leases = Pace(nodes / 10)
        self.churn = Pace(0)
        self.gets, self.lists, self.watched = Pace(20), Pace(10), Pace(5)

    async def go_on(self, seconds: float, *, churn: float) -> None:
        """Live for so long."""
        self.churn = Pace(churn)
        async with pipes(self._where, 24) as lives, pipes(self._where, 4) as asks:
            self._ask, self._live = asks.ask, lives.ask
            with suppress(TimeoutError):  # what is not done by then counts as failed
                async with asyncio.timeout(seconds + LIVES_S + GRACE_S), asyncio.TaskGroup() as tasks:
                    tasks.create_task(self.leases.run(self._renew, seconds))
                    tasks.create_task(self.churn.run(self._come_and_go, seconds))
                    tasks.create_task(self.gets.run(self._get, seconds))
                    tasks.create_task(self.lists.run(self._list, seconds))
                    tasks.create_task(self._watch(seconds))

    async def _renew(self, number: int) -> bool:
        body = {"spec": {"renewTime": rfc3339_micro(RealClock().now())}}
        path = f"{LEASES}/density-{number % self._nodes}"
        return (await self._live(message("PATCH", path, body, media=MERGE))).status == 200

    async def _come_and_go(self, number: int) -> bool:
        name, node = f"churn-{os.getpid()}-{number}", f"density-{self._dice.randrange(self._nodes)}"
        made = await self._live(message("POST", PODS, pod(name, node)))
        told = await self._live(message("PATCH", f"{PODS}/{name}/status", RUNNING, media=STRATEGIC))
        await asyncio.sleep(LIVES_S)
        gone = await self._live(message("DELETE", f"{PODS}/{name}", AT_ONCE))
        return (made.status, told.status, gone.status) == (201, 200, 200)

    async def _get(self, number: int) -> bool:
        return (await self._ask(message("GET", f"{PODS}/{self._dice.choice(self._pods)}"))).status == 200

    async def _list(self, number: int) -> bool:
        node = f"density-{self._dice.randrange(self._nodes)}"
        return (await self._ask(message("GET", f"/api/v1/pods?fieldSelector=spec.nodeName%3D{node}"))).status == 200

    async def _watch(self, seconds: float) -> None:
        """Watch the pods of one node, change one of them by the clock, and wait each time until that was heard."""
        heard: dict[str, asyncio.Event] = {}
        node, name = WATCHED, self._pods[0]
        watching = await Pipe.open(self._where.url, self._where.tls)

        async def listen() -> None:
            request = message("GET", f"/api/v1/pods?watch=1&fieldSelector=spec.nodeName%3D{node}")
            async for line in watching.lines(request):
                mark = json.loads(line)["object"]["metadata"].get("annotations", {}).get("mark", "")
                if mark in heard:
                    heard.pop(mark).set()

        async def change(number: int) -> bool:
            event = heard[str(number)] = asyncio.Event()
            body = {"metadata": {"annotations": {"mark": str(number)}}}
            said = await self._ask(message("PATCH", f"{PODS}/{name}", body, media=MERGE))
            await event.wait()
            return said.status == 200

        async with asyncio.TaskGroup() as tasks:
            listening = tasks.create_task(listen())
            await asyncio.sleep(1.0)
            await self.watched.run(change, seconds - 1.0)
            listening.cancel()
        watching.close()


def calm_down(process: psutil.Process, *, most_s: float) -> float:
    """Wait until the core has no more to do from its start; the CPU that it has used by then."""
    deadline = time.monotonic() + most_s
    used = cpu_s(process)
    while time.monotonic() < deadline:
        time.sleep(2.0)
        used, before = cpu_s(process), used
        if (used - before) / 2.0 < CALM:
            break
    return used


@contextmanager
def folder_of(given: Path | None) -> Iterator[Path]:
    """The folder that was given, else one that goes with the block."""
    if given is not None:
        given.mkdir(parents=True, exist_ok=True)
        yield given
        return
    with tempfile.TemporaryDirectory(prefix="bireme-bench-", dir="/var/tmp") as temporary:
        yield Path(temporary)


async def state_in(folder: Path, nodes: int, pods: int) -> Config:
    """The settings of a core with that state, which is made where it is not there yet."""
    file = folder / "data" / "config.json"
    if file.exists():
        return Config.load(file)
    config = await first(folder)
    await write(config, nodes=nodes, pods=pods)
    return config


def measure(folder: Path, arguments: argparse.Namespace) -> list[Figure]:
    """All figures, over one life of the core."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        nodes, pods = arguments.nodes, arguments.pods
        config = runner.run(state_in(folder, nodes, pods))
        began = time.monotonic()
        with started_core(config, seconds=300) as process:
            serving, cpu_serving = time.monotonic() - began, cpu_s(process)
            tell(f"serving after {serving:.1f} s")
            cpu_calm = calm_down(process, most_s=arguments.settle)
            calm = time.monotonic() - began
            resident = process.memory_info().rss / MB
            tell(f"calm after {calm:.1f} s, {resident:,.0f} MB")
            before = cpu_s(process)
            life = runner.run(lived(own_target(config), nodes, arguments))
            used = cpu_s(process) - before
            after = process.memory_info().rss / MB
    size = f"{nodes:,} nodes, {pods:,} pods"
    notes: dict[str, object] = {"load_averages": os.getloadavg()}
    paces = {"GET of a pod": (life.gets, 20), "LIST of a node's pods": (life.lists, 50), "watch": (life.watched, 250)}
    figures = [
        Figure(f"{size}: start to serving", "s", [serving], "at most 60", {**notes, "cpu_s": round(cpu_serving, 1)}),
        Figure(f"{size}: start until all caches follow", "s", [calm], notes={"cpu_s": round(cpu_calm, 1)}),
        Figure(f"{size}: memory of the core, at rest", "MB", [resident], "at most 4,000"),
        Figure(f"{size}: memory of the core, living", "MB", [after], "at most 4,000"),
        Figure(f"{size}: CPU of the core, living", "% of a core", [100 * used / arguments.seconds]),
    ]
    for name, (pace, most) in paces.items():
        told = {
            "failed": pace.missing,
            "asked": pace.begun,
            "p50_ms": round(statistics.median(pace.took_s) * 1e3, 1),
        }
        figures.append(Figure(f"{size}: {name}, p99", "ms", [p99(pace.took_s)], f"at most {most}", told))
    for name, pace in (("lease renewals", life.leases), ("pods that came and went", life.churn)):
        told = {"failed": pace.missing, "begun": pace.begun}
        figures.append(Figure(f"{size}: {name}", "1/s", [len(pace.took_s) / arguments.seconds], notes=told))
    return figures


async def lived(where: Target, nodes: int, arguments: argparse.Namespace) -> Life:
    """A life of some time."""
    async with pipes(where, 1) as one:
        page = await one.ask(message("GET", f"{PODS}?limit=500&fieldSelector=spec.nodeName%3D{WATCHED}"))
        here = [item["metadata"]["name"] for item in json.loads(page.body)["items"]]
        page = await one.ask(message("GET", f"{PODS}?limit=500"))
        some = [item["metadata"]["name"] for item in json.loads(page.body)["items"]]
    life = Life(where, nodes, [here[0], *some])
    await life.go_on(arguments.seconds, churn=arguments.churn)
    return life


def tell(text: str) -> None:
    """How far it has come, for who waits."""
    sys.stderr.write(f"{text}\n")


def p99(took_s: list[float]) -> float:
    return statistics.quantiles(took_s, n=100)[98] * 1e3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--nodes", type=int, default=1_000)
    parser.add_argument("--pods", type=int, default=20_000)
    parser.add_argument("--churn", type=float, default=100, help="pods a second that come, and go")
    parser.add_argument("--seconds", type=float, default=40, help="how long the cluster lives")
    parser.add_argument("--settle", type=float, default=120, help="seconds to wait at most for the core to calm down")
    parser.add_argument("--state", type=Path, help="a folder for the state; one that holds a state is used as it is")
    arguments = parser.parse_args()
    end_on_signal()
    with folder_of(arguments.state) as folder:
        figures = measure(folder, arguments)
    report("Holding a cluster", figures)


if __name__ == "__main__":
    main()
