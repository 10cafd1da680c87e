"""The benchmark of filling runs, small: five nodes, twenty pods, a core of its own. Its figures are not looked at."""

import json
import subprocess
import sys
from pathlib import Path

PROGRAM = Path(__file__).parents[2] / "benchmarks" / "density.py"


def test_a_small_cluster_is_filled() -> None:
    command = [sys.executable, PROGRAM, "--nodes", "5", "--pods", "20", "--repeats", "1"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stderr
    figures = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    filled = figures[0]
    assert filled["unit"] == "pods/s"
    assert filled["value"] > 0
    asked = filled["requests_a_pod"]
    assert asked["POST pods 201"] == asked["POST pods binding 201"] == 1.0
