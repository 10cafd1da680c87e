"""The pytest plugin, as a project of its users has it: warnings are errors, and nothing is paid until it is used."""

import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path

TESTS = """
import os
import sys
import pytest

def test_nothing_is_imported_until_a_fixture_is_used():
    assert "bireme.testing.cluster" not in sys.modules
    assert "numpy" not in sys.modules

def test_objects_go_into_the_namespace_of_the_test(bireme_cluster, bireme_namespace):
    assert bireme_namespace.startswith("test-objects-go-into-the-namespace-of-th")
    bireme_cluster.apply({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}})
    assert bireme_cluster.get("cm/a")["metadata"]["namespace"] == bireme_namespace
    assert len(bireme_cluster.list("nodes")) == 1

def test_the_next_test_has_another(bireme_cluster, bireme_namespace):
    assert [one["metadata"]["name"] for one in bireme_cluster.list("cm")] == ["kube-root-ca.crt"]

@pytest.mark.bireme(nodes=3)
def test_a_cluster_of_its_own(bireme_fresh_cluster):
    assert len(bireme_fresh_cluster.list("nodes")) == 3
"""


def test_a_project_with_strict_warnings_uses_it(tmp_path: Path) -> None:
    (tmp_path / "test_theirs.py").write_text(TESTS)
    (tmp_path / "pytest.ini").write_text(
        "[pytest]\nfilterwarnings = error\nbireme_nodes = 1\naddopts = --strict-markers\n"
    )
    installed = any(point.name == "bireme" for point in entry_points(group="pytest11"))
    plugin = [] if installed else ["-p", "bireme.testing.plugin"]
    others = [word for name in ("asyncio", "schemathesis", "cacheprovider") for word in ("-p", f"no:{name}")]
    done = subprocess.run(
        [sys.executable, "-W", "error", "-m", "pytest", *plugin, *others, "-rA"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "4 passed" in done.stdout
