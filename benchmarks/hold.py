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
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from pipes import Pace, Pipe, pipes

import msgspec
import psutil
import uvloop
from api_requests import cpu_s, started_core
from cluster import end_on_signal
from density import NAMESPACE
from door import message
from fleet import endable, own_target
from report import Figure, report
from state import first, write

from bireme.aio.clock import RealClock
from bireme.api.times import rfc3339_micro
from bireme.assembly.core import STATUS_PATH
from bireme.client.kubeconfig import Access
from bireme.config import Config
from bireme.simulation.wire import WireRenewer

PODS = f"/api/v1/namespaces/{NAMESPACE}/pods"
MERGE = "application/merge-patch+json"
STRATEGIC = "application/strategic-merge-patch+json"
WATCHED = "density-0"
LIVES_S = 10.0
GRACE_S = 5.0
EVERY_S, TICK_S = 10.0, 0.1
GROUPS = 4
LOOK_S, CALM = 2.0, 0.6
"""The core is calm when it uses less than this part of a core, renewals included."""
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

    def __init__(self, where: Access, nodes: int, pods: list[str]) -> None:
        self._where, self._nodes, self._pods = where, nodes, pods
        self._dice = random.Random(7)
        self.churn = Pace(0)
        self.gets, self.lists, self.watched = Pace(20), Pace(10), Pace(5)

    async def go_on(self, seconds: float, *, churn: float) -> None:
        """Live for so long."""
        self.churn = Pace(churn)
        async with pipes(self._where, 24) as lives, pipes(self._where, 4) as asks:
            self._ask, self._live = asks.ask, lives.ask
            with suppress(TimeoutError):  # what is not done by then counts as failed
                async with asyncio.timeout(seconds + LIVES_S + GRACE_S), asyncio.TaskGroup() as tasks:
                    tasks.create_task(self.churn.run(self._come_and_go, seconds))
                    tasks.create_task(self.gets.run(self._get, seconds))
                    tasks.create_task(self.lists.run(self._list, seconds))
                    tasks.create_task(self._watch(seconds))

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
        watching = await Pipe(self._where).open()

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


class Leases:
    """All leases, renewed every ten seconds as nodes would, from when there is a server on."""

    def __init__(self, where: Access, nodes: int) -> None:
        self._where = where
        self._names = [f"density-{number}" for number in range(nodes)]
        self.renewed = 0

    async def run(self) -> None:
        """Renew until cancelled; who is behind does not skip. Some nodes don't wait for the others."""
        async with asyncio.TaskGroup() as tasks:
            for group in range(GROUPS):
                tasks.create_task(self._renew(self._names[group::GROUPS]), name="leases")

    async def _renew(self, nodes: Sequence[str]) -> None:
        renewer = WireRenewer(self._where)
        turn = max(1, round(len(nodes) * TICK_S / EVERY_S))
        due = time.monotonic()
        while True:
            for place in range(0, len(nodes), turn):
                names = nodes[place : place + turn]
                failed = await renewer.renew(names, rfc3339_micro(RealClock().now()))
                self.renewed += len(names) - len(failed)
                due += EVERY_S * len(names) / len(nodes)
                await asyncio.sleep(max(0.0, due - time.monotonic()))


async def calm_down(where: Access, process: psutil.Process, pods: int, *, most_s: float) -> float:
    """Return once the scheduler has booked all pods and the core has little to do; the CPU that it used by then."""
    deadline = time.monotonic() + most_s
    used, calm, booked = cpu_s(process), 0, 0
    async with pipes(where, 1) as one:
        while time.monotonic() < deadline and calm < 2:
            await asyncio.sleep(LOOK_S)
            used, before = cpu_s(process), used
            if booked < pods and (said := await one.ask(message("GET", STATUS_PATH))).status == 200:
                booked = json.loads(said.body)["ledger"]["pods"]
            calm = calm + 1 if booked >= pods and (used - before) / LOOK_S < CALM else 0
    return used


@contextmanager
def scratch() -> Iterator[Path]:
    """A folder that goes with the block."""
    with tempfile.TemporaryDirectory(prefix="bireme-bench-", dir="/var/tmp") as temporary:
        yield Path(temporary)


async def state_in(folder: Path, arguments: argparse.Namespace) -> Config:
    """The settings of a core with that state: a copy of one that is kept, which is made where it is not there yet."""
    kept: Path = arguments.state or folder
    if not (kept / "data" / "config.json").exists():
        kept.mkdir(parents=True, exist_ok=True)
        await write(await first(kept), nodes=arguments.nodes, pods=arguments.pods)
    if kept != folder:
        shutil.copytree(kept / "data", folder / "data")
    config = Config.load(folder / "data" / "config.json")
    config = msgspec.structs.replace(config, data=folder / "data", run=folder / "run")
    config.save()
    return config


@dataclass(slots=True)
class Held:
    """What was seen of one life of the core."""

    serving_s: float
    serving_cpu_s: float
    calm_s: float = 0.0
    calm_cpu_s: float = 0.0
    at_rest_mb: float = 0.0
    living_mb: float = 0.0
    cpu: float = 0.0
    renewed: float = 0.0
    life: Life | None = None


async def hold(config: Config, process: psutil.Process, held: Held, arguments: argparse.Namespace) -> None:
    """Renew leases, wait until the core is calm, and let it live."""
    where, began = own_target(config), time.monotonic()
    leases = Leases(where, arguments.nodes)
    async with asyncio.TaskGroup() as tasks:
        renewing = tasks.create_task(leases.run())
        held.calm_cpu_s = await calm_down(where, process, arguments.pods, most_s=arguments.settle)
        held.calm_s = held.serving_s + time.monotonic() - began
        held.at_rest_mb = process.memory_info().rss / MB
        tell(f"calm after {held.calm_s:.1f} s, {held.at_rest_mb:,.0f} MB")
        used, renewed, began = cpu_s(process), leases.renewed, time.monotonic()
        held.life = await lived(where, arguments.nodes, arguments)
        took = time.monotonic() - began
        held.cpu = 100 * (cpu_s(process) - used) / took
        held.renewed = (leases.renewed - renewed) / took
        held.living_mb = process.memory_info().rss / MB
        renewing.cancel()


def measure(folder: Path, arguments: argparse.Namespace) -> list[Figure]:
    """All figures, over one life of the core."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        config = runner.run(state_in(folder, arguments))
        began = time.monotonic()
        with started_core(config, profile=arguments.profile, seconds=300) as process:
            held = Held(time.monotonic() - began, cpu_s(process))
            tell(f"serving after {held.serving_s:.1f} s")
            runner.run(endable(hold(config, process, held, arguments)))
    return figures(held, f"{arguments.nodes:,} nodes, {arguments.pods:,} pods", churn=arguments.churn)


def figures(held: Held, size: str, *, churn: float) -> list[Figure]:
    """What is told of it."""
    life = held.life
    assert life is not None
    notes: dict[str, object] = {"load_averages": os.getloadavg(), "cpu_s": round(held.serving_cpu_s, 1)}
    told = [
        Figure(f"{size}: start to serving", "s", [held.serving_s], "at most 60", notes),
        Figure(f"{size}: start until calm", "s", [held.calm_s], notes={"cpu_s": round(held.calm_cpu_s, 1)}),
        Figure(f"{size}: memory of the core, at rest", "MB", [held.at_rest_mb], "at most 4,000"),
        Figure(f"{size}: memory of the core, living", "MB", [held.living_mb], "at most 4,000"),
        Figure(f"{size}: CPU of the core, living", "% of a core", [held.cpu]),
        Figure(f"{size}: lease renewals", "1/s", [held.renewed]),
        Figure(f"{size}: pods that came and went", "1/s", [churn * len(life.churn.took_s) / life.churn.begun]),
    ]
    paces = {"GET of a pod": (life.gets, 20), "LIST of a node's pods": (life.lists, 50), "watch": (life.watched, 250)}
    for name, (pace, most) in paces.items():
        said = {
            "missing": pace.missing,
            "asked": pace.begun,
            "p50_ms": round(statistics.median(pace.took_s) * 1e3, 1),
        }
        told.append(Figure(f"{size}: {name}, p99", "ms", [p99(pace.took_s)], f"at most {most}", said))
    return told


async def lived(where: Access, nodes: int, arguments: argparse.Namespace) -> Life:
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
    parser.add_argument("--state", type=Path, help="a folder that keeps the state for the next time")
    parser.add_argument("--profile", type=Path, help="where the core may write its stacks (sampled.py)")
    arguments = parser.parse_args()
    end_on_signal()
    with scratch() as folder:
        told = measure(folder, arguments)
    report("Holding a cluster", told)


if __name__ == "__main__":
    main()
