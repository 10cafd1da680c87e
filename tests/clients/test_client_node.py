"""@kubernetes/client-node, the official client of JavaScript: `tools/setup-other-clients.sh` installs it."""

import shutil
import subprocess
from pathlib import Path

import pytest

HERE = Path(__file__).parent
INSTALLED = HERE.parents[1] / ".build" / "client-node"


def test_objects_watches_errors_logs_and_commands(server, namespace):
    if not (INSTALLED / "node_modules").is_dir() or shutil.which("node") is None:
        pytest.skip("tools/setup-other-clients.sh installs what this needs")
    script = INSTALLED / "scenario.js"  # beside its packages, where node looks for them
    shutil.copy(HERE / "node" / "scenario.js", script)
    done = subprocess.run(
        ["node", script, server.kubeconfig, namespace], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "all of it held" in done.stdout
