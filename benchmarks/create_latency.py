"""How long does a create take at a steady rate, by the clock: from when it was due to its answer?

A core of its own with all that users have on (TLS, roles, defaults, validation, admission, field owners, synced
writes, controllers) is asked by another process over kept connections. The pods name a scheduler that does not
exist, so nobody moves them.
"""

import argparse
import asyncio
import os
import statistics
from functools import partial
from pipes import Pace, pipes

import uvloop
from api_requests import cpu_s
from cluster import end_on_signal
from density import NAMESPACE, deployment, populated
from door import message
from fleet import Cluster, endable, own_core
from report import Figure, report

from bireme.api.codec.json import to_tree

PODS = f"/api/v1/namespaces/{NAMESPACE}/pods"
WARM_S = 2.0


def pod(number: int) -> bytes:
    """A request that makes a pod as a Deployment would."""
    template = deployment("steady", 1).spec.template
    tree = to_tree(template)
    tree["metadata"]["name"] = f"steady-{number}"
    tree["spec"]["schedulerName"] = "nobody"
    return message("POST", PODS, tree)


async def measure(cluster: Cluster, *, rate: float, seconds: float, connections: int, repeats: int) -> list[Figure]:
    """Creates at that rate, some times over."""
    figures: dict[str, list[float]] = {"p50": [], "p99": [], "cpu": [], "missing": []}
    assert cluster.process is not None
    async with populated(cluster, 1), pipes(cluster.target, connections) as doors:

        async def create(number: int, *, first: int = 0) -> bool:
            return (await doors.ask(pod(first + number))).status == 201

        await Pace(rate).run(create, WARM_S)
        for repeat in range(repeats):
            pace, first, used = Pace(rate), (repeat + 1) * 1_000_000, cpu_s(cluster.process)
            await pace.run(partial(create, first=first), seconds)
            cuts = statistics.quantiles(pace.took_s, n=100)
            figures["p50"].append(cuts[49] * 1e3)
            figures["p99"].append(cuts[98] * 1e3)
            figures["cpu"].append((cpu_s(cluster.process) - used) * 1e6 / pace.begun)
            figures["missing"].append(pace.missing)
    what = f"create of a pod at {rate:,.0f}/s"
    notes = {"missing": figures["missing"], "load_averages": os.getloadavg()}
    return [
        Figure(f"{what}, p99", "ms", figures["p99"], "at most 50", notes),
        Figure(f"{what}, p50", "ms", figures["p50"]),
        Figure(f"{what}, CPU of the core", "us", figures["cpu"]),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rate", type=float, default=500)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--connections", type=int, default=16)
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    end_on_signal()
    with own_core() as cluster, asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        work = measure(
            cluster,
            rate=arguments.rate,
            seconds=arguments.seconds,
            connections=arguments.connections,
            repeats=arguments.repeats,
        )
        figures = runner.run(endable(work))
    report("Creating at a steady rate", figures)


if __name__ == "__main__":
    main()
