"""What does a cluster cost that only lives: nodes renew their leases, and nothing else happens?

The core is a process of its own with all on that users have on; the hollow nodes are this process. CPU of both is
read from the kernel, for each renewal that was answered: what controllers and caches do about it is in it.
"""

import argparse
import asyncio
from dataclasses import dataclass
from pathlib import Path

import psutil
import uvloop
from api_requests import cpu_s
from cluster import end_on_signal
from density import core_cpu, populated, requests, sampling
from fleet import Cluster, endable, own_core
from report import Figure, report

RENEWED = "PATCH leases 200"
QUIET_S = 3.0


@dataclass(frozen=True, slots=True)
class Run:
    """So many renewals, and what each cost in microseconds."""

    renewals: int
    core_us: float
    load_us: float


async def measure(cluster: Cluster, *, nodes: int, seconds: float, profile: Path | None) -> Run:
    """Let nodes live for some time."""
    async with populated(cluster, nodes) as fleet:
        await asyncio.sleep(QUIET_S)
        own = psutil.Process()
        with sampling(cluster.process, profile):
            counted = (await requests(fleet.client))[RENEWED]
            core_before, load_before = core_cpu(cluster), cpu_s(own)
            await asyncio.sleep(seconds)
            core_s, load_s = core_cpu(cluster) - core_before, cpu_s(own) - load_before
            renewals = (await requests(fleet.client))[RENEWED] - counted
    return Run(renewals, core_s * 1e6 / renewals, load_s * 1e6 / renewals)


def one_run(arguments: argparse.Namespace) -> Run:
    """A cluster of its own for each run."""
    with own_core(profile=arguments.profile) as cluster:
        work = measure(cluster, nodes=arguments.nodes, seconds=arguments.seconds, profile=arguments.profile)
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            return runner.run(endable(work))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--nodes", type=int, default=10_000)
    parser.add_argument("--seconds", type=float, default=10.0, help="how long they live")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--profile", type=Path, help="write the core's stacks there (sampled.py)")
    arguments = parser.parse_args()
    end_on_signal()
    runs = [one_run(arguments) for _ in range(arguments.repeats)]
    size = f"a renewal, {arguments.nodes:,} nodes"
    notes: dict[str, object] = {"renewals": [run.renewals for run in runs]}
    figures = [
        Figure(f"{size}: CPU of the core", "us", [run.core_us for run in runs], notes=notes),
        Figure(f"{size}: CPU of the nodes", "us", [run.load_us for run in runs]),
    ]
    report("Renewing leases", figures)


if __name__ == "__main__":
    main()
