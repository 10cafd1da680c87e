"""Services, names and ports as packets: what answers, from where, and what is refused."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from tests.e2e.conftest import Cluster, run, wait_until

pytestmark = pytest.mark.e2e

IMAGE = "bireme.local/busybox:1"
NAMES = ("red", "blue")


def server(name: str, **port: object) -> dict[str, Any]:
    """A pod that answers HTTP on 8080 with its own name."""
    script = f"mkdir /www; echo {name} > /www/index.html; exec httpd -f -p 8080 -h /www"
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": {"app": "colour"}},
        "spec": {
            "terminationGracePeriodSeconds": 0,
            "hostname": name,
            "subdomain": "colours",
            "containers": [
                {
                    "name": "web",
                    "image": IMAGE,
                    "command": ["sh", "-c", script],
                    "ports": [{"name": "http", "containerPort": 8080, **port}],
                    "readinessProbe": {"tcpSocket": {"port": 8080}, "periodSeconds": 1},
                }
            ],
        },
    }


def service(name: str, **spec: object) -> dict[str, Any]:
    ports = [{"name": "http", "port": 80, "targetPort": "http"}]
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name},
        "spec": {"selector": {"app": "colour"}, "ports": ports, **spec},
    }


@pytest.fixture(scope="module")
def colours(cluster: Cluster) -> Iterator[str]:
    """Two servers behind a plain, a sticky and a headless Service; the namespace's name."""
    name = "colours"
    cluster.kubectl("create", "namespace", name)
    wait_until("the account", lambda: "default" in cluster.kubectl("get", "sa", "-n", name, "-o", "name"))
    objects = [
        server("red", hostPort=30999),
        server("blue"),
        service("plain"),
        service("sticky", sessionAffinity="ClientIP"),
        service("colours", clusterIP="None"),
        {**service("nobody"), "spec": {"ports": [{"port": 80}], "selector": {"app": "nobody"}}},
    ]
    for each in objects:
        cluster.kubectl("create", "-n", name, "-f", "-", text=json.dumps(each))
    cluster.kubectl("wait", "-n", name, "--for=condition=Ready", "pod/red", "pod/blue", "--timeout=60s")
    address = cluster.get("service", "plain", "-n", name)["spec"]["clusterIP"]
    wait_until("both to answer", lambda: answers(cluster, f"http://{address}") == set(NAMES))
    yield name
    cluster.kubectl("delete", "namespace", name, "--wait=false")


def answers(cluster: Cluster, url: str, *, times: int = 12) -> set[str]:
    """Who answered the host's requests."""
    return {cluster.curl(url).strip() for _ in range(times)}


def inside(cluster: Cluster, namespace: str, pod: str, *command: str) -> str:
    return cluster.kubectl("exec", "-n", namespace, pod, "--", *command, check=False)


def test_a_service_spreads_over_its_pods(cluster: Cluster, colours: str) -> None:
    address = cluster.get("service", "plain", "-n", colours)["spec"]["clusterIP"]
    assert answers(cluster, f"http://{address}", times=30) == set(NAMES)


def test_session_affinity_keeps_a_client_with_its_pod(cluster: Cluster, colours: str) -> None:
    address = cluster.get("service", "sticky", "-n", colours)["spec"]["clusterIP"]
    wait_until("an answer", lambda: answers(cluster, f"http://{address}", times=1) <= set(NAMES))
    assert len(answers(cluster, f"http://{address}", times=20)) == 1


def test_a_pod_reaches_itself_through_its_service(cluster: Cluster, colours: str) -> None:
    seen = {inside(cluster, colours, "red", "wget", "-qO-", "http://plain").strip() for _ in range(12)}
    assert seen == set(NAMES)


def test_a_headless_service_names_each_pod(cluster: Cluster, colours: str) -> None:
    addresses = {
        pod["metadata"]["name"]: pod["status"]["podIP"]
        for pod in cluster.get("pods", "-n", colours, "-l", "app=colour")["items"]
    }
    listed = inside(cluster, colours, "red", "nslookup", f"colours.{colours}.svc.cluster.local")
    assert all(address in listed for address in addresses.values())
    assert inside(cluster, colours, "red", "wget", "-qO-", f"http://blue.colours.{colours}:8080").strip() == "blue"


def test_a_host_port_leads_to_its_pod(cluster: Cluster, colours: str) -> None:
    node = cluster.get("nodes")["items"][0]["status"]["addresses"][0]["address"]
    for host in ("127.0.0.1", node):
        assert cluster.curl(f"http://{host}:30999").strip() == "red"


def test_a_service_without_pods_is_refused_at_once(cluster: Cluster, colours: str) -> None:
    address = cluster.get("service", "nobody", "-n", colours)["spec"]["clusterIP"]
    assert "refused" in inside(cluster, colours, "red", "wget", "-qO-", f"http://{address}")


def test_names_that_are_not_there_do_not_exist(cluster: Cluster, colours: str) -> None:
    assert "NXDOMAIN" in inside(cluster, colours, "red", "nslookup", "nobody.at.all.svc.cluster.local")


def test_the_api_answers_inside_with_its_own_certificate(cluster: Cluster, colours: str) -> None:
    folder = "/var/run/secrets/kubernetes.io/serviceaccount"
    ca = inside(cluster, colours, "red", "cat", f"{folder}/ca.crt")
    assert ca.startswith("-----BEGIN CERTIFICATE-----")
    address = cluster.get("service", "kubernetes")["spec"]["clusterIP"]
    done = run("curl", "--silent", "--cacert", "/dev/stdin", f"https://{address}/version", text=ca)
    assert json.loads(done)["major"] == "1"


def test_rules_that_someone_flushed_come_back(cluster: Cluster, colours: str) -> None:
    address = cluster.get("service", "plain", "-n", colours)["spec"]["clusterIP"]
    run("nft", "flush", "table", "ip", "e2e")
    wait_until("the repair", lambda: answers(cluster, f"http://{address}", times=1) <= set(NAMES))
