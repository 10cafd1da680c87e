"""Jobs, CronJobs, StatefulSets and DaemonSets with real containers: exit codes, names, data and taints that count."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from tests.e2e.conftest import ROOT, Cluster, wait_until

pytestmark = pytest.mark.e2e

IMAGE = "bireme.local/busybox:1"
NAME = "workloads"


def template(script: str, labels: dict[str, str] | None = None, **spec: Any) -> dict[str, Any]:
    """Pods of one container that runs the script."""
    container = {"name": "main", "image": IMAGE, "command": ["sh", "-c", script], **spec.pop("container", {})}
    return {
        "metadata": {"labels": labels or {}},
        "spec": {"terminationGracePeriodSeconds": 1, "containers": [container], **spec},
    }


def job(name: str, script: str, **spec: Any) -> dict[str, Any]:
    pods = template(script, restartPolicy="Never")
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name}, "spec": {"template": pods, **spec}}


WEB = """
mkdir /www; [ -e /data/first ] || hostname > /data/first
cp /data/first /www/index.html; exec httpd -f -p 80 -h /www
"""


class Desk:
    """kubectl in a namespace."""

    def __init__(self, cluster: Cluster, namespace: str) -> None:
        self._cluster, self._namespace = cluster, namespace

    def __call__(self, *words: str, check: bool = True, text: str = "") -> str:
        verb, *rest = words
        return self._cluster.kubectl(verb, "-n", self._namespace, *rest, check=check, text=text)

    def apply(self, *objects: dict[str, Any]) -> None:
        self("apply", "-f", "-", text=json.dumps({"apiVersion": "v1", "kind": "List", "items": objects}))

    def get(self, *words: str) -> Any:
        return json.loads(self("get", *words, "-o", "json"))

    def pods(self, labels: str) -> list[dict[str, Any]]:
        """The pods that stay."""
        found: list[dict[str, Any]] = self.get("pods", "-l", labels)["items"]
        return [pod for pod in found if "deletionTimestamp" not in pod["metadata"]]


@pytest.fixture(scope="module")
def desk(cluster: Cluster) -> Iterator[Desk]:
    cluster.kubectl("create", "namespace", NAME)
    wait_until("the account", lambda: "default" in cluster.kubectl("get", "sa", "-n", NAME, "-o", "name"))
    yield Desk(cluster, NAME)
    cluster.kubectl("delete", "namespace", NAME, "--wait=false")


def unfinished(pods: list[dict[str, Any]]) -> list[str]:
    """Names of pods that a Job has not counted yet."""
    return [pod["metadata"]["name"] for pod in pods if pod["metadata"].get("finalizers")]


class TestJobs:
    """Work that ends."""

    def test_one_that_succeeds_is_complete_and_its_pod_is_let_go(self, desk: Desk) -> None:
        desk.apply(job("sum", "echo $((40 + 2))"))
        desk("wait", "--for=condition=Complete", "job/sum", "--timeout=90s")
        assert desk("logs", "job/sum") == "42\n"
        status = desk.get("job", "sum")["status"]
        assert (status["succeeded"], status.get("failed")) == (1, None)
        pods = desk.pods("job-name=sum")
        assert [pod["status"]["phase"] for pod in pods] == ["Succeeded"]
        wait_until("the finalizer to go", lambda: not unfinished(desk.pods("job-name=sum")))

    def test_one_that_fails_too_often_has_failed(self, desk: Desk) -> None:
        desk.apply(job("doomed", "exit 3", backoffLimit=0))
        desk("wait", "--for=condition=Failed", "job/doomed", "--timeout=90s")
        found = desk.get("job", "doomed")
        reasons = {item["type"]: item["reason"] for item in found["status"]["conditions"]}
        assert reasons["Failed"] == "BackoffLimitExceeded"
        assert found["status"]["failed"] == 1
        (pod,) = desk.pods("job-name=doomed")
        assert pod["status"]["containerStatuses"][0]["state"]["terminated"]["exitCode"] == 3
        desk("delete", "job", "doomed", "--timeout=60s")
        wait_until("its pods to go with it", lambda: not desk.get("pods", "-l", "job-name=doomed")["items"])

    def test_each_index_is_known_to_its_container(self, desk: Desk) -> None:
        desk.apply(
            job(
                "parts",
                "echo part $JOB_COMPLETION_INDEX on $(hostname)",
                completions=2,
                parallelism=2,
                completionMode="Indexed",
            )
        )
        desk("wait", "--for=condition=Complete", "job/parts", "--timeout=90s")
        for index in ("0", "1"):
            label = f"job-name=parts,batch.kubernetes.io/job-completion-index={index}"
            assert desk("logs", "-l", label) == f"part {index} on parts-{index}\n"
        assert desk.get("job", "parts")["status"]["completedIndexes"] == "0,1"

    def test_a_cron_job_is_run_by_hand(self, desk: Desk) -> None:
        spec = {"schedule": "0 0 1 1 *", "jobTemplate": {"spec": job("", "echo by hand")["spec"]}}
        desk.apply({"apiVersion": "batch/v1", "kind": "CronJob", "metadata": {"name": "yearly"}, "spec": spec})
        desk("create", "job", "now", "--from=cronjob/yearly")
        desk("wait", "--for=condition=Complete", "job/now", "--timeout=90s")
        assert desk("logs", "job/now") == "by hand\n"


@pytest.fixture(scope="module")
def web(cluster: Cluster, desk: Desk) -> Iterator[None]:
    """Two pods behind a headless Service, each with a claim."""
    labels = {"app": "web"}
    size = {"storage": "1Mi"}
    volumes = [
        {
            "apiVersion": "v1",
            "kind": "PersistentVolume",
            "metadata": {"name": f"web-data-{number}"},
            "spec": {
                "storageClassName": "web-data",
                "accessModes": ["ReadWriteOnce"],
                "capacity": size,
                "hostPath": {"path": str(ROOT / f"web-data-{number}")},
            },
        }
        for number in range(2)
    ]
    claim = {
        "metadata": {"name": "data"},
        "spec": {
            "storageClassName": "web-data",
            "accessModes": ["ReadWriteOnce"],
            "resources": {"requests": size},
        },
    }
    container = {
        "readinessProbe": {"tcpSocket": {"port": 80}, "periodSeconds": 1},
        "volumeMounts": [{"name": "data", "mountPath": "/data"}],
    }
    spec = {
        "serviceName": "web",
        "replicas": 2,
        "selector": {"matchLabels": labels},
        "template": template(WEB, labels, container=container),
        "volumeClaimTemplates": [claim],
    }
    service = {"clusterIP": "None", "selector": labels, "ports": [{"port": 80}]}
    desk.apply(
        {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web"}, "spec": service},
        {"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": "web"}, "spec": spec},
    )
    cluster.apply({"apiVersion": "v1", "kind": "List", "items": volumes})
    desk("rollout", "status", "statefulset/web", "--timeout=90s")
    yield
    cluster.kubectl("delete", "pv", "web-data-0", "web-data-1", "--wait=false")


@pytest.mark.usefixtures("web")
class TestStatefulSet:
    """Pods with names that last, and data that outlives them."""

    def test_each_pod_is_found_by_its_name(self, desk: Desk) -> None:
        for name, other in (("web-0", "web-1"), ("web-1", "web-0")):
            page = wait_until(
                "the name",
                lambda n=name, o=other: desk("exec", n, "--", "wget", "-qO-", f"http://{o}.web"),
            )
            assert page == f"{other}\n"

    def test_a_deleted_pod_comes_back_under_its_name_with_its_data(self, desk: Desk) -> None:
        before = desk.get("pod", "web-1")["metadata"]["uid"]
        desk("exec", "web-1", "--", "sh", "-c", "echo kept > /data/first")
        desk("delete", "pod", "web-1", "--wait=false")

        def is_back() -> bool:
            found = desk.get("pod", "web-1")
            ready = {item["type"]: item["status"] for item in found["status"].get("conditions", [])}
            return found["metadata"]["uid"] != before and ready.get("Ready") == "True"

        wait_until("its return", is_back, seconds=90)
        page = wait_until("the new address", lambda: desk("exec", "web-0", "--", "wget", "-qO-", "http://web-1.web"))
        assert page == "kept\n"

    def test_the_last_goes_first(self, desk: Desk) -> None:
        desk("scale", "statefulset/web", "--replicas=1")
        wait_until("one pod", lambda: len(desk.get("pods", "-l", "app=web")["items"]) == 1, seconds=90)
        assert [pod["metadata"]["name"] for pod in desk.pods("app=web")] == ["web-0"]


class TestDaemonSet:
    """One pod on the node, come what may."""

    def test_it_runs_on_a_cordoned_node_and_rolls(self, cluster: Cluster, desk: Desk) -> None:
        labels = {"app": "agent"}
        spec = {"selector": {"matchLabels": labels}, "template": template("exec sleep 3600", labels)}
        (node,) = cluster.get("nodes")["items"]
        cluster.kubectl("cordon", node["metadata"]["name"])
        try:
            desk.apply({"apiVersion": "apps/v1", "kind": "DaemonSet", "metadata": {"name": "agent"}, "spec": spec})
            desk("rollout", "status", "daemonset/agent", "--timeout=90s")
        finally:
            cluster.kubectl("uncordon", node["metadata"]["name"])
        (before,) = desk.pods("app=agent")
        assert before["spec"]["nodeName"] == node["metadata"]["name"]
        desk("set", "env", "daemonset/agent", "COLOUR=blue")
        desk("rollout", "status", "daemonset/agent", "--timeout=90s")
        (after,) = desk.pods("app=agent")
        assert after["metadata"]["name"] != before["metadata"]["name"]
        assert "COLOUR=blue" in desk("exec", after["metadata"]["name"], "--", "env")
