"""The Kubernetes deck as its users drive it: the real kubectl, real containers."""

import json
import os
import re
import socket
import subprocess
import time

import pytest
from tests.e2e.conftest import EXAMPLES, Cluster, run, wait_until

pytestmark = pytest.mark.e2e

IMAGE = "bireme.local/busybox:1"


def pod(name: str, command: list[str], **spec: object) -> dict[str, object]:
    container = {"name": "main", "image": IMAGE, "command": command, **spec.pop("container", {})}  # type: ignore[dict-item]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name},
        "spec": {"terminationGracePeriodSeconds": 1, "containers": [container], **spec},
    }


@pytest.fixture(scope="module")
def echo(cluster: Cluster) -> None:
    """The example deployed and rolled out."""
    cluster.kubectl("apply", "-f", str(EXAMPLES / "kubernetes.yaml"))
    cluster.kubectl("rollout", "status", "deployment/echo", "--timeout=60s")


def rolled_out(cluster: Cluster) -> None:
    """Return once the Deployment is rolled out and its old pods are gone: an old kubectl would ask those too."""
    cluster.kubectl("rollout", "status", "deployment/echo", "--timeout=60s")
    wanted = cluster.get("deployment", "echo")["spec"]["replicas"]
    wait_until("old pods to go", lambda: len(cluster.get("pods", "-l", "app=echo")["items"]) == wanted)


@pytest.mark.usefixtures("echo")
class TestExample:
    """What the README promises of examples/two-decks/kubernetes.yaml."""

    def test_three_pods_serve_behind_the_node_port(self, cluster: Cluster) -> None:
        wait_until("an answer", lambda: "hello from the Kubernetes deck" in cluster.curl("http://127.0.0.1:30080"))
        ready = cluster.get("deployment", "echo")["status"]["readyReplicas"]
        assert ready == 3

    def test_the_table_is_the_original_one(self, cluster: Cluster) -> None:
        head, *rows = cluster.kubectl("get", "pods", "-l", "app=echo").splitlines()
        assert head.split() == ["NAME", "READY", "STATUS", "RESTARTS", "AGE"]
        assert all(re.match(r"echo-[a-z0-9]+-[a-z0-9]{5} +1/1 +Running +0 ", row) for row in rows)

    def test_describe_shows_the_events_of_a_start(self, cluster: Cluster) -> None:
        # A recent kubectl shows the events of several pods only where it is asked to.
        text = cluster.kubectl("describe", "pod", "-l", "app=echo", "--show-events=true")
        for reason in ("Scheduled", "Pulled", "Created", "Started"):
            assert reason in text

    def test_exec_sees_secret_config_and_service_variables(self, cluster: Cluster) -> None:
        cluster.kubectl("rollout", "restart", "deployment/echo")
        rolled_out(cluster)
        text = cluster.kubectl("exec", "deploy/echo", "--", "env")
        assert "PASSWORD=two-banks-of-oars" in text
        assert re.search(r"^ECHO_SERVICE_HOST=10\.97\.", text, re.MULTILINE)
        assert re.search(r"^POD_NAME=echo-", text, re.MULTILINE)
        page = cluster.kubectl("exec", "deploy/echo", "--", "cat", "/www/index.html")
        assert page == "hello from the Kubernetes deck\n"

    def test_names_and_addresses_of_the_service_answer_inside(self, cluster: Cluster) -> None:
        address = cluster.get("service", "echo")["spec"]["clusterIP"]
        for host in ("echo", "echo.default.svc.cluster.local", address):
            text = cluster.kubectl("exec", "deploy/echo", "--", "wget", "-qO-", f"http://{host}")
            assert "hello" in text

    def test_scale_and_undo(self, cluster: Cluster) -> None:
        cluster.kubectl("scale", "deployment/echo", "--replicas=4")
        wait_until("four", lambda: cluster.get("deployment", "echo")["status"].get("readyReplicas") == 4)
        cluster.kubectl("set", "env", "deployment/echo", "COLOUR=blue")
        rolled_out(cluster)
        assert "COLOUR=blue" in cluster.kubectl("exec", "deploy/echo", "--", "env")
        cluster.kubectl("rollout", "undo", "deployment/echo")
        rolled_out(cluster)
        assert "COLOUR" not in cluster.kubectl("exec", "deploy/echo", "--", "env")
        cluster.kubectl("scale", "deployment/echo", "--replicas=3")

    def test_a_deleted_pod_is_replaced(self, cluster: Cluster) -> None:
        before = cluster.kubectl("get", "pods", "-l", "app=echo", "-o", "name").split()
        cluster.kubectl("delete", before[0])
        wait_until("the replacement", lambda: cluster.get("deployment", "echo")["status"].get("readyReplicas") == 3)
        assert before[0] not in cluster.kubectl("get", "pods", "-l", "app=echo", "-o", "name").split()

    def test_port_forward_carries_requests(self, cluster: Cluster) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        forward = subprocess.Popen(
            ["kubectl", "port-forward", "service/echo", f"{port}:80"],
            env={**os.environ, **cluster.environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        try:
            wait_until("the forward", lambda: "hello" in cluster.curl(f"http://127.0.0.1:{port}"))
        finally:
            forward.terminate()
            forward.communicate()


class TestPods:
    """Single pods: streams, logs, probes, hooks, volumes, failures."""

    def test_logs_follow_previous_and_tail(self, cluster: Cluster, namespace: str) -> None:
        script = "i=0; while [ $i -lt 5 ]; do echo line $i; i=$((i+1)); done; sleep 3600"
        cluster.kubectl("create", "-n", namespace, "-f", "-", text=json.dumps(pod("talk", ["sh", "-c", script])))
        cluster.kubectl("wait", "-n", namespace, "--for=condition=Ready", "pod/talk", "--timeout=60s")
        logs = wait_until("lines", lambda: cluster.kubectl("logs", "-n", namespace, "talk"))
        assert logs.splitlines() == [f"line {i}" for i in range(5)]
        assert cluster.kubectl("logs", "-n", namespace, "talk", "--tail=2").split("\n")[:2] == ["line 3", "line 4"]
        stamped = cluster.kubectl("logs", "-n", namespace, "talk", "--timestamps", "--tail=1")
        assert re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z line 4", stamped)

    def test_exec_carries_input_and_exit_codes(self, cluster: Cluster, namespace: str) -> None:
        cluster.kubectl("create", "-n", namespace, "-f", "-", text=json.dumps(pod("sit", ["sleep", "3600"])))
        cluster.kubectl("wait", "-n", namespace, "--for=condition=Ready", "pod/sit", "--timeout=60s")
        assert cluster.kubectl("exec", "-n", namespace, "-i", "sit", "--", "cat", text="through\n") == "through\n"
        failed = cluster.kubectl("exec", "-n", namespace, "sit", "--", "sh", "-c", "exit 7", check=False)
        assert "exit code 7" in failed

    def test_a_failing_container_backs_off(self, cluster: Cluster, namespace: str) -> None:
        cluster.kubectl("create", "-n", namespace, "-f", "-", text=json.dumps(pod("die", ["sh", "-c", "exit 3"])))

        def backing_off() -> bool:
            status = cluster.get("pod", "-n", namespace, "die")["status"]["containerStatuses"][0]
            return (
                status["restartCount"] >= 1 and status["state"].get("waiting", {}).get("reason") == "CrashLoopBackOff"
            )

        wait_until("the back-off", backing_off)
        last = cluster.get("pod", "-n", namespace, "die")["status"]["containerStatuses"][0]["lastState"]
        assert last["terminated"]["exitCode"] == 3

    def test_a_failing_liveness_probe_restarts(self, cluster: Cluster, namespace: str) -> None:
        probe = {"exec": {"command": ["test", "-e", "/tmp/alive"]}, "periodSeconds": 1, "failureThreshold": 2}
        wanted = pod("frail", ["sh", "-c", "touch /tmp/alive; sleep 3; rm /tmp/alive; sleep 3600"])
        wanted["spec"]["containers"][0]["livenessProbe"] = probe  # type: ignore[index]
        cluster.kubectl("create", "-n", namespace, "-f", "-", text=json.dumps(wanted))

        def restarted() -> bool:
            return cluster.get("pod", "-n", namespace, "frail")["status"]["containerStatuses"][0]["restartCount"] >= 1

        wait_until("the restart", restarted)
        assert "Liveness probe failed" in cluster.kubectl("describe", "pod", "-n", namespace, "frail")

    def test_a_killed_container_is_restarted(self, cluster: Cluster, namespace: str) -> None:
        cluster.kubectl("create", "-n", namespace, "-f", "-", text=json.dumps(pod("victim", ["sleep", "3600"])))
        cluster.kubectl("wait", "-n", namespace, "--for=condition=Ready", "pod/victim", "--timeout=60s")
        cluster.kubectl("exec", "-n", namespace, "victim", "--", "sh", "-c", "kill -9 -1; kill -9 1", check=False)
        cluster.kubectl("exec", "-n", namespace, "victim", "--", "true", check=False)

    def test_init_containers_run_first_and_volumes_are_shared(self, cluster: Cluster, namespace: str) -> None:
        mount = {"volumeMounts": [{"name": "work", "mountPath": "/work"}]}
        wanted = pod(
            "staged",
            ["sh", "-c", "cat /work/note && sleep 3600"],
            container=mount,
            volumes=[{"name": "work", "emptyDir": {}}],
            initContainers=[
                {"name": "first", "image": IMAGE, "command": ["sh", "-c", "echo prepared > /work/note"], **mount}
            ],
        )
        cluster.kubectl("create", "-n", namespace, "-f", "-", text=json.dumps(wanted))
        cluster.kubectl("wait", "-n", namespace, "--for=condition=Ready", "pod/staged", "--timeout=60s")
        assert wait_until("the note", lambda: cluster.kubectl("logs", "-n", namespace, "staged")) == "prepared\n"

    def test_a_service_account_token_is_mounted_and_knows_its_pod(self, cluster: Cluster, namespace: str) -> None:
        cluster.kubectl("create", "-n", namespace, "-f", "-", text=json.dumps(pod("who", ["sleep", "3600"])))
        cluster.kubectl("wait", "-n", namespace, "--for=condition=Ready", "pod/who", "--timeout=60s")
        folder = "/var/run/secrets/kubernetes.io/serviceaccount"
        token = cluster.kubectl("exec", "-n", namespace, "who", "--", "cat", f"{folder}/token")
        assert token.count(".") == 2
        assert cluster.kubectl("exec", "-n", namespace, "who", "--", "cat", f"{folder}/namespace") == namespace
        assert "BEGIN CERTIFICATE" in cluster.kubectl("exec", "-n", namespace, "who", "--", "cat", f"{folder}/ca.crt")

    def test_a_full_node_leaves_the_pod_pending_with_the_reason(self, cluster: Cluster, namespace: str) -> None:
        wanted = pod("giant", ["sleep", "1"], container={"resources": {"requests": {"cpu": "500"}}})
        cluster.kubectl("create", "-n", namespace, "-f", "-", text=json.dumps(wanted))

        def refused() -> str:
            conditions = cluster.get("pod", "-n", namespace, "giant")["status"].get("conditions", [])
            return next((each["message"] for each in conditions if each.get("reason") == "Unschedulable"), "")

        assert "0/1 nodes are available: 1 Insufficient cpu" in wait_until("the refusal", refused)
        assert "FailedScheduling" in cluster.kubectl("describe", "pod", "-n", namespace, "giant")


class TestTalkingBack:
    """Bad input is answered as the original does, and nothing is lost."""

    def test_a_bad_manifest_names_the_field(self, cluster: Cluster, namespace: str) -> None:
        text = json.dumps(pod("Bad_Name", ["true"]))
        answer = cluster.kubectl("create", "-n", namespace, "--validate=false", "-f", "-", text=text, check=False)
        assert 'The Pod "Bad_Name" is invalid: metadata.name: Invalid value' in answer

    def test_an_unknown_field_is_refused_strictly(self, cluster: Cluster, namespace: str) -> None:
        wanted = pod("odd", ["true"])
        wanted["spec"]["colour"] = "blue"  # type: ignore[index]
        answer = cluster.kubectl("create", "-n", namespace, "-f", "-", text=json.dumps(wanted), check=False)
        assert 'unknown field "spec.colour"' in answer or 'unknown field "colour"' in answer  # new kubectl, old one

    def test_kubectl_explain_label_annotate_patch_and_wait(self, cluster: Cluster, namespace: str) -> None:
        assert "FIELDS" in cluster.kubectl("explain", "pod.spec.containers.livenessProbe")
        cluster.kubectl("create", "configmap", "c", "-n", namespace, "--from-literal=a=1")
        cluster.kubectl("label", "configmap", "c", "-n", namespace, "team=oars")
        cluster.kubectl("annotate", "configmap", "c", "-n", namespace, "note=yes")
        cluster.kubectl("patch", "configmap", "c", "-n", namespace, "-p", '{"data":{"b":"2"}}')
        found = cluster.get("configmap", "-n", namespace, "-l", "team=oars")["items"]
        assert [item["data"] for item in found] == [{"a": "1", "b": "2"}]
        cluster.kubectl("delete", "configmap", "c", "-n", namespace)
        gone = cluster.kubectl("get", "configmap", "c", "-n", namespace, check=False)
        assert 'configmaps "c" not found' in gone

    def test_a_deleted_namespace_takes_everything_with_it(self, cluster: Cluster) -> None:
        cluster.kubectl("create", "namespace", "brief")
        cluster.kubectl("create", "deployment", "d", "-n", "brief", "--image", IMAGE, "--", "sleep", "3600")
        cluster.kubectl("delete", "namespace", "brief", "--timeout=60s")
        answer = cluster.kubectl("get", "all", "-n", "brief", check=False)
        assert "No resources found" in answer


def test_time_from_create_to_running(cluster: Cluster, namespace: str) -> None:
    """Not a benchmark: only that a start takes no polling wait of many seconds."""
    cluster.kubectl("create", "-n", namespace, "-f", "-", text=json.dumps(pod("quick", ["sleep", "3600"])))
    began = time.monotonic()
    cluster.kubectl("wait", "-n", namespace, "--for=condition=Ready", "pod/quick", "--timeout=60s")
    assert time.monotonic() - began < 30
    assert run("true") == ""
