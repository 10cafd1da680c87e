"""The Mesos deck as its users drive it: pymesos from PyPI, real containers, sandboxes read through the agent."""

import base64
import json
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import pytest
from tests.e2e.conftest import FLAGS, Cluster, run, wait_until

pytestmark = pytest.mark.e2e

HERE = Path(__file__).parent
TOOLS = HERE.parents[1] / "tools"
IMAGE = "bireme.local/busybox:1"


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment of its own with pymesos."""
    folder = tmp_path_factory.mktemp("pymesos")
    uv = next(
        (path for path in (HERE.parents[1] / ".build/uv/bin/uv", Path("/usr/bin/uv")) if path.exists()), Path("uv")
    )
    run(uv, "venv", "--quiet", "--python", sys.executable, folder / "venv")
    run(TOOLS / "install_pymesos.sh", uv, folder / "venv/bin/python")
    return folder / "venv/bin/python"


def play(python: Path, cluster: Cluster) -> list[dict[str, Any]]:
    door = urlsplit(cluster.mesos)
    words = [f"{door.hostname}:{door.port}", door.username or "", door.password or "", IMAGE]
    done = subprocess.run(
        [python, HERE / "pymesos_framework.py", *words], capture_output=True, text=True, timeout=200, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_a_pymesos_framework_from_offer_to_kill(python: Path, cluster: Cluster) -> None:
    happened = play(python, cluster)
    states = next(each for each in happened if each["what"] == "states")
    assert states["command"] == ["TASK_STARTING", "TASK_RUNNING", "TASK_FINISHED"]
    assert states["image"] == ["TASK_STARTING", "TASK_RUNNING", "TASK_KILLED"]
    reconciled = [each for each in happened if each.get("reason") == "REASON_RECONCILIATION"]
    assert [each["state"] for each in reconciled] == ["TASK_RUNNING"]
    assert not [each for each in happened if each["what"] == "error"]
    allocatable = cluster.get("nodes")["items"][0]["status"]["allocatable"]
    cpus = float(allocatable["cpu"].removesuffix("m")) / (1000 if allocatable["cpu"].endswith("m") else 1)
    assert all(each["cpus"] <= cpus for each in happened if each["what"] == "offer")


def test_the_sandbox_of_a_task_is_read_through_the_agent(python: Path, cluster: Cluster) -> None:
    door = urlsplit(cluster.mesos)
    agent = f"http://{door.hostname}:{FLAGS['--agent-port']}"
    secret = base64.b64encode(f"{door.username}:{door.password}".encode()).decode()
    process = subprocess.Popen(
        [python, HERE / "pymesos_framework.py", f"{door.hostname}:{door.port}", door.username, door.password, IMAGE]
    )
    try:

        def output() -> str:
            state = json.loads(cluster.curl(f"{agent}/state", "-H", f"Authorization: Basic {secret}"))
            folders = [
                executor["directory"]
                for framework in state["frameworks"]
                for executor in framework["executors"]
                if executor["id"] == "command"
            ]
            url = (
                f"{agent}/files/read?path={quote(folders[0] + '/stdout')}&offset=0" if folders else f"{agent}/health"
            )
            return cluster.curl(url, "-H", f"Authorization: Basic {secret}")

        wait_until("the task's output", lambda: "hello from command" in output())
    finally:
        process.wait(timeout=200)


def test_the_doors_are_closed_without_credentials(cluster: Cluster) -> None:
    door = urlsplit(cluster.mesos)
    for path in ("/state", "/slaves", "/frameworks", "/tasks", "/metrics/snapshot", "/api/v1", "/api/v1/scheduler"):
        code = cluster.curl(f"http://{door.hostname}:{door.port}{path}", "-o", "/dev/null", "-w", "%{http_code}")
        assert (path, code) == (path, "401")
    for path in ("/health", "/version"):
        code = cluster.curl(f"http://{door.hostname}:{door.port}{path}", "-o", "/dev/null", "-w", "%{http_code}")
        assert (path, code) == (path, "200")
