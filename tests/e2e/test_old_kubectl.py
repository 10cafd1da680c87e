"""The kubectl that Debian 12 carries, 1.20, against the cluster: seventeen minor versions behind the API."""

import dataclasses
import json
import re
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.e2e.conftest import EXAMPLES, Cluster, wait_until

pytestmark = pytest.mark.e2e

PROGRAM = Path(__file__).resolve().parents[2] / ".build" / "kubectl-1.20" / "usr" / "bin" / "kubectl"
IMAGE = "bireme.local/busybox:1"
DEPLOYMENT = """\
apiVersion: apps/v1
kind: Deployment
metadata: {name: old}
spec:
  replicas: 2
  selector: {matchLabels: {app: old}}
  template:
    metadata: {labels: {app: old}}
    spec:
      terminationGracePeriodSeconds: 1
      containers:
      - name: web
        image: bireme.local/busybox:1
        command: [sh, -c, "echo served > /index.html; echo started; exec httpd -f -p 80 -h /"]
        ports: [{containerPort: 80}]
        readinessProbe: {httpGet: {path: /, port: 80}, periodSeconds: 1}
---
apiVersion: v1
kind: Service
metadata: {name: old}
spec: {selector: {app: old}, ports: [{port: 80}]}
"""


@pytest.fixture(scope="module")
def old(cluster: Cluster) -> Cluster:
    """The cluster, asked through kubectl 1.20."""
    if not PROGRAM.exists():
        pytest.skip("tools/setup-e2e.sh fetches kubectl 1.20")
    found = dataclasses.replace(cluster, kubectl_program=str(PROGRAM))
    assert 'Minor:"20"' in found.kubectl("version", "--client")
    return found


@pytest.fixture(scope="module")
def web(old: Cluster) -> Iterator[str]:
    """Two web servers and their Service, applied and rolled out; gives the namespace."""
    name = "old-kubectl"
    old.kubectl("create", "namespace", name)
    wait_until("the service account", lambda: "default" in old.kubectl("get", "sa", "-n", name, "-o", "name"))
    old.kubectl("apply", "-n", name, "-f", "-", text=DEPLOYMENT)
    old.kubectl("rollout", "status", "-n", name, "deployment/old", "--timeout=60s")
    yield name
    old.kubectl("delete", "namespace", name, "--wait=false")


def test_versions_groups_and_health(old: Cluster) -> None:
    assert re.search(r'Server Version: .*Major:"1", Minor:"37"', old.kubectl("version"))
    assert "is running at" in old.kubectl("cluster-info")
    assert "apps/v1" in old.kubectl("api-versions").split()
    assert re.search(r"^deployments +deploy +apps/v1 +true +Deployment$", old.kubectl("api-resources"), re.MULTILINE)
    assert "ok" in old.kubectl("get", "--raw", "/healthz")
    assert re.search(r"^\S+ +Ready ", old.kubectl("get", "nodes", "--no-headers", "-o", "wide"), re.MULTILINE)
    assert "Allocatable:" in old.kubectl("describe", "nodes")


def test_explain(old: Cluster) -> None:
    text = old.kubectl("explain", "pod.spec.containers.livenessProbe")
    assert text.startswith("KIND:     Pod\nVERSION:  v1\n")
    assert "failureThreshold" in text
    assert "strategy" in old.kubectl("explain", "deployment.spec")
    assert "FIELDS:" in old.kubectl("explain", "service", "--recursive")


def test_the_example_is_taken_with_validation(old: Cluster, namespace: str) -> None:
    example = (EXAMPLES / "kubernetes.yaml").read_text().replace(", nodePort: 30080", "")
    said = old.kubectl("apply", "--validate=true", "--dry-run=server", "-n", namespace, "-f", "-", text=example)
    assert "deployment.apps/echo" in said
    bad = DEPLOYMENT.replace("replicas: 2", "replicsa: 2")
    said = old.kubectl("apply", "-n", namespace, "-f", "-", text=bad, check=False)
    assert 'unknown field "replicsa"' in said


def test_apply_get_describe_and_apply_again(old: Cluster, web: str) -> None:
    table = old.kubectl("get", "-n", web, "deployment,replicaset,pod,service")
    assert re.search(r"^deployment.apps/old +2/2 +2 +2 ", table, re.MULTILINE)
    assert len(re.findall(r"^pod/old-\w+-\w+ +1/1 +Running +0 ", table, re.MULTILINE)) == 2
    assert re.search(r"^service/old +ClusterIP +[\d.]+ +<none> +80/TCP ", table, re.MULTILINE)
    described = old.kubectl("describe", "-n", web, "deployment,pod,service")
    for word in ("RollingUpdateStrategy:", "Readiness:", "Scheduled", "Started", "Endpoints:"):
        assert word in described
    assert "unchanged" in old.kubectl("apply", "-n", web, "-f", "-", text=DEPLOYMENT)
    assert "configured" in old.kubectl(
        "apply", "-n", web, "-f", "-", text=DEPLOYMENT.replace("replicas: 2", "replicas: 1")
    )
    assert "replicas: 3" in old.kubectl(
        "diff", "-n", web, "-f", "-", text=DEPLOYMENT.replace("replicas: 2", "replicas: 3"), check=False
    )

    def names() -> list[str]:
        return old.kubectl("get", "pods", "-n", web, "-o", "jsonpath={.items[*].metadata.name}").split()

    wait_until("one pod to be left", lambda: len(names()) == 1)
    assert names()[0].startswith("old-")
    assert "NAME" in old.kubectl("get", "pods", "-n", web, "-o", "custom-columns=NAME:.metadata.name")


def test_logs_and_exec_over_spdy(old: Cluster, web: str) -> None:
    assert old.kubectl("logs", "-n", web, "deployment/old", "--tail=1") == "started\n"
    assert "started" in old.kubectl("logs", "-n", web, "-l", "app=old", "--prefix", "--timestamps")
    assert old.kubectl("exec", "-n", web, "deploy/old", "--", "cat", "/index.html") == "served\n"
    assert (
        old.kubectl("exec", "-n", web, "-i", "deploy/old", "--", "sh", text="echo in and out\nexit 0\n")
        == "in and out\n"
    )
    assert "exit code 5" in old.kubectl("exec", "-n", web, "deploy/old", "--", "sh", "-c", "exit 5", check=False)
    large = old.kubectl("exec", "-n", web, "deploy/old", "--", "sh", "-c", "head -c 300000 /dev/zero | tr '\\0' x")
    assert len(large) == 300_000


def test_copy_there_and_back(old: Cluster, web: str, tmp_path: Path) -> None:
    (tmp_path / "note").write_text("carried\n" * 1000)
    running = ("--field-selector", "status.phase=Running")
    name = old.kubectl("get", "pods", "-n", web, *running, "-o", "jsonpath={.items[0].metadata.name}")
    old.kubectl("cp", "-n", web, str(tmp_path / "note"), f"{name}:/tmp/note")
    old.kubectl("cp", "-n", web, f"{name}:/tmp/note", str(tmp_path / "back"))
    assert (tmp_path / "back").read_text() == (tmp_path / "note").read_text()


def test_port_forward_over_spdy(old: Cluster, web: str) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    forward = subprocess.Popen(
        [PROGRAM, "port-forward", "-n", web, "service/old", f"{port}:80"],
        env={"PATH": "/usr/bin:/bin", **old.environment},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.STDOUT,
    )
    try:
        wait_until("the forward", lambda: "served" in old.curl(f"http://127.0.0.1:{port}"))
        assert all("served" in old.curl(f"http://127.0.0.1:{port}") for _ in range(5))
    finally:
        forward.terminate()
        forward.wait()


def test_scale_set_rollout_and_undo(old: Cluster, web: str) -> None:
    words = ("-n", web, "deployment/old")
    old.kubectl("scale", *words, "--replicas=3")
    old.kubectl("rollout", "status", *words, "--timeout=60s")
    old.kubectl("set", "env", *words, "COLOUR=blue")
    old.kubectl("rollout", "status", *words, "--timeout=60s")
    assert old.kubectl("rollout", "history", *words).count("<none>") == 2
    old.kubectl("rollout", "undo", *words)
    old.kubectl("rollout", "status", *words, "--timeout=60s")
    tree = json.loads(old.kubectl("get", *words, "-o", "json"))
    assert "env" not in tree["spec"]["template"]["spec"]["containers"][0]
    assert tree["status"]["readyReplicas"] == 3
    old.kubectl("rollout", "restart", *words)
    old.kubectl("rollout", "pause", *words)
    old.kubectl("rollout", "resume", *words)
    old.kubectl("rollout", "status", *words, "--timeout=60s")


def test_run_label_annotate_patch_wait_and_delete(old: Cluster, namespace: str) -> None:
    words = ("-n", namespace)
    old.kubectl("run", "lone", *words, "--image", IMAGE, "--command", "--", "sleep", "3600")
    old.kubectl("wait", *words, "--for=condition=Ready", "pod/lone", "--timeout=60s")
    old.kubectl("label", *words, "pod/lone", "team=oars")
    old.kubectl("annotate", *words, "pod/lone", "note=yes")
    old.kubectl("patch", *words, "pod/lone", "-p", '{"metadata":{"labels":{"more":"1"}}}')
    found = json.loads(old.kubectl("get", "pods", *words, "-l", "team=oars,more=1", "-o", "json"))["items"]
    assert [item["metadata"]["annotations"]["note"] for item in found] == ["yes"]
    old.kubectl("create", "configmap", "c", *words, "--from-literal=a=1")
    old.kubectl("create", "secret", "generic", "s", *words, "--from-literal=a=1")
    old.kubectl("delete", *words, "pod/lone", "--grace-period=1", "--timeout=60s")
    assert "NotFound" in old.kubectl("get", *words, "pod/lone", check=False)
    assert old.kubectl("delete", *words, "configmap,secret", "-l", "!x", "--timeout=60s")
    old.kubectl("create", "namespace", "old-brief")
    old.kubectl("delete", "namespace", "old-brief", "--timeout=60s")
