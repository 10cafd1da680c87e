"""What does a cluster cost that does nothing: memory after a minute, and CPU over the next?

Core and node are what the target is about; the supervisor and containerd are shown apart. Resident memory counts
pages that processes share in each of them; the proportional size, in the notes, shares them out.
"""

import argparse
import time
from collections.abc import Mapping

import psutil
from cluster import processes, running
from report import Figure, report

OURS = ("core", "node", "supervisor")
MB = 1e6


def memory(parts: Mapping[str, psutil.Process]) -> list[Figure]:
    """Resident memory now."""
    full = {name: process.memory_full_info() for name, process in parts.items()}
    resident = {name: one.rss / MB for name, one in full.items()}
    figures = [
        Figure("resident memory, core + node", "MB", [resident["core"] + resident["node"]], "at most 250"),
    ]
    for name, one in full.items():
        shared = {"proportional_mb": round(one.pss / MB, 1)}
        figures.append(Figure(f"resident memory, {name}", "MB", [resident[name]], notes=shared))
    return figures


def cpu_seconds(parts: Mapping[str, psutil.Process]) -> dict[str, float]:
    """What each process and the children that it has waited for have used so far."""
    return {name: sum(process.cpu_times()[:4]) for name, process in parts.items()}


def cpu(parts: Mapping[str, psutil.Process], seconds: float, repeats: int) -> list[Figure]:
    """CPU in percent of one core, over equal parts of `seconds`."""
    shares: dict[str, list[float]] = {name: [] for name in parts}
    for _ in range(repeats):
        before, began = cpu_seconds(parts), time.perf_counter()
        time.sleep(seconds / repeats)
        took, after = time.perf_counter() - began, cpu_seconds(parts)
        for name in parts:
            shares[name].append(100 * (after[name] - before[name]) / took)
    whole = [sum(each) for each in zip(*(shares[name] for name in OURS), strict=True)]
    figures = [Figure("idle CPU, whole of Bireme", "% of a core", whole, "at most 5")]
    return figures + [Figure(f"idle CPU, {name}", "% of a core", each) for name, each in shares.items()]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--wait", type=float, default=60, help="seconds before memory is measured")
    parser.add_argument("--seconds", type=float, default=60, help="how long CPU is measured")
    parser.add_argument("--repeats", type=int, default=3, help="into how many parts that time is cut")
    arguments = parser.parse_args()
    with running():
        time.sleep(arguments.wait)
        parts = processes()
        figures = memory(parts) + cpu(parts, arguments.seconds, arguments.repeats)
    report("Idle", figures)


if __name__ == "__main__":
    main()
