"""Run every benchmark, one after the other, within a quarter of an hour; exit code 1 if any failed or was cut short.

Those that start a cluster need root, containerd and kubectl. A program that takes too long is told to end, and
cleans up; the next ones still run.
"""

import signal
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).parent
PROGRAMS = (
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
    "mesos_allocation",
    "cluster_up",
    "pod_starts",
    "idle",
)
MOST_S = 180.0
ALTOGETHER_S = 870.0
CLEANING_S = 60.0


def run(name: str, *, seconds: float) -> str:
    """Run one program; what went wrong, "" if nothing did."""
    with subprocess.Popen([sys.executable, HERE / f"{name}.py"]) as process:
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
    began, failed = time.monotonic(), []
    for name in PROGRAMS:
        left = ALTOGETHER_S - (time.monotonic() - began)
        problem = run(name, seconds=min(MOST_S, left)) if left > 0 else "not run: the time is up"
        if problem:
            failed.append(f"{name}: {problem}")
        sys.stdout.write("\n")
        sys.stdout.flush()
    sys.exit("\n".join(failed) if failed else 0)


if __name__ == "__main__":
    main()
