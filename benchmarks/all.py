"""Run every benchmark, one after the other, in 25 minutes; exit code 1 if any failed or was cut short.

With `--large` those of ten thousand nodes alone are run, which take half an hour or more. Those that start a
cluster need root, containerd and kubectl. A program that takes too long is told to end, and cleans up; the next
ones still run.
"""

import argparse
import signal
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).parent
GROWTH = "growth.svg"
Program = tuple[str, ...]
PROGRAMS: tuple[str | Program, ...] = (
    "store_writes",
    "api_requests",
    "api_load",
    "watch_fanout",
    "field_owners",
    "custom_resources",
    "expressions",
    "webhooks",
    "authorization",
    "scheduler_placements",
    "rules",
    ("preemption", "--repeats", "1"),
    "why",
    "extender_lists",
    "mesos_allocation",
    "cluster_up",
    "pod_starts",
    "idle",
    ("density", "--nodes", "100", "--pods", "1000"),
    "create_latency",
    "created_to_bound",
    ("hold", "--nodes", "1000", "--pods", "20000"),
    ("growth", "--plot", GROWTH),
)
LARGE: tuple[Program, ...] = (
    ("density", "--nodes", "1000", "--pods", "10000"),
    ("density", "--nodes", "10000", "--pods", "50000", "--repeats", "1"),
    ("renewals", "--repeats", "1"),
    ("hold", "--nodes", "10000", "--pods", "300000", "--seconds", "60"),
    ("growth", "--large", "--pods", "2000", "--plot", GROWTH),
)
MOST_S, MOST_LARGE_S = 300.0, 1800.0
ALTOGETHER_S, ALTOGETHER_LARGE_S = 1500.0, 7200.0
CLEANING_S = 60.0


def run(name: str, *arguments: str, seconds: float) -> str:
    """Run one program; what went wrong, "" if nothing did."""
    with subprocess.Popen([sys.executable, HERE / f"{name}.py", *arguments]) as process:
        try:
            code = process.wait(seconds)
        except subprocess.TimeoutExpired:
            end(process)
            return f"cut short after {seconds:.0f}s"
        except BaseException:
            end(process)
            raise
    return f"exit {code}" if code else ""


def end(process: subprocess.Popen[bytes]) -> None:
    """Have the program clean up and end."""
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(CLEANING_S)
    except subprocess.TimeoutExpired:
        process.kill()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--large", action="store_true", help="the benchmarks of ten thousand nodes alone")
    large = parser.parse_args().large
    most, altogether = (MOST_LARGE_S, ALTOGETHER_LARGE_S) if large else (MOST_S, ALTOGETHER_S)
    began, failed = time.monotonic(), []
    for program in LARGE if large else PROGRAMS:
        name, *arguments = (program,) if isinstance(program, str) else program
        left = altogether - (time.monotonic() - began)
        problem = run(name, *arguments, seconds=min(most, left)) if left > 0 else "not run: the time is up"
        if problem:
            failed.append(f"{name}: {problem}")
        sys.stdout.write("\n")
        sys.stdout.flush()
    sys.exit("\n".join(failed) if failed else 0)


if __name__ == "__main__":
    main()
