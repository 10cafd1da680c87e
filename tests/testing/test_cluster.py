"""A cluster in the test's process, as tests use it: plain calls, real clients, a clock that can be put forward."""

import ssl
import urllib.request
from collections.abc import Iterator
from datetime import timedelta

import orjson
import pytest

from bireme.api.errors import ApiError, Forbidden, NotFound
from bireme.testing.cluster import Cluster

DEPLOYMENT = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: c, image: i}]}
"""


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with Cluster(nodes=1) as running:
        yield running


def test_what_is_applied_is_made_real_and_goes_when_it_is_deleted(cluster: Cluster) -> None:
    cluster.apply(DEPLOYMENT)
    cluster.wait("deploy/web", condition="Available", timeout=20)
    pods = cluster.list("po", labels="app=web")
    assert {pod["status"]["phase"] for pod in pods} == {"Running"}
    cluster.patch("deployments.apps/web", {"spec": {"replicas": 1}})
    cluster.wait("Deployment/web", until=lambda tree: tree["status"].get("replicas") == 1, timeout=20)
    cluster.delete("deploy/web")
    cluster.wait_gone("deploy/web")
    for pod in pods:
        cluster.wait_gone(f"pod/{pod['metadata']['name']}", timeout=20)


def test_it_is_reached_over_tls_by_others(cluster: Cluster) -> None:
    context = ssl.create_default_context(cafile=str(cluster.ca))
    context.load_cert_chain(cluster.ca.parent / "admin.crt", cluster.ca.parent / "admin.key")
    with urllib.request.urlopen(f"{cluster.url}/api/v1/namespaces/default", context=context) as answer:
        assert orjson.loads(answer.read())["kind"] == "Namespace"


def test_other_users_may_do_what_their_roles_allow(cluster: Cluster) -> None:
    with pytest.raises(Forbidden):
        cluster.client("nobody").list("secrets")


def test_more_nodes_are_ready_at_once(cluster: Cluster) -> None:
    (name,) = cluster.add_nodes(1, cpu=3, memory="5Gi", labels={"zone": "b"})
    node = cluster.wait(f"node/{name}", condition="Ready")
    assert node["status"]["capacity"]["cpu"] == "3"
    assert node["metadata"]["labels"]["zone"] == "b"


def test_a_node_without_power_is_lost_in_no_time_when_the_clock_is_put_forward(cluster: Cluster) -> None:
    (name,) = cluster.add_nodes(1)
    cluster.stop_node(name)
    before = cluster.clock.now()
    cluster.clock.advance(minutes=3)
    assert cluster.clock.now() - before >= timedelta(minutes=3)
    cluster.wait(f"node/{name}", until=lambda node: node["spec"].get("taints"), timeout=20)
    cluster.start_node(name)
    cluster.wait(f"node/{name}", condition="Ready", timeout=20)


def test_waiting_in_vain_shows_what_there_is(cluster: Cluster) -> None:
    with pytest.raises(TimeoutError, match="not there"):
        cluster.wait("configmap/none", timeout=0.05)
    with pytest.raises(TimeoutError, match=r"Odd within 0\.05s(.|\n)*Ready"):
        cluster.wait(f"node/{cluster.list('nodes')[0]['metadata']['name']}", condition="Odd", timeout=0.05)
    with pytest.raises(NotFound):
        cluster.get("configmap/none")


def test_an_operator_gets_the_kubeconfig_and_tells_when_it_failed(cluster: Cluster) -> None:
    command = ["sh", "-c", "grep server: $KUBECONFIG; exec sleep 60"]
    with cluster.run_operator(command) as operator:
        operator.wait_log(cluster.url)
    assert operator.process.returncode is not None
    with pytest.raises(RuntimeError, match="ended with 3"), cluster.run_operator(["sh", "-c", "exit 3"]) as operator:
        operator.process.wait()


def test_a_kind_that_nobody_serves_is_told(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bireme.testing.client.KIND_APPEARS_S", 0.05)
    with pytest.raises(ApiError, match="no resource 'unicorns'"):
        cluster.client().list("unicorns")


def test_the_folder_goes_with_the_cluster() -> None:
    with Cluster(controllers=False) as brief:
        assert brief.kubeconfig.stat().st_mode & 0o077 == 0
        folder = brief.kubeconfig.parent
    assert not folder.exists()
