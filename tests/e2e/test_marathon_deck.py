"""The Marathon deck as its users drive it, with curl, and how both decks meet."""

import json
import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from typing import Any

import dns.message
import dns.query
import pytest
from tests.e2e.conftest import EXAMPLES, FLAGS, Cluster, wait_until

pytestmark = pytest.mark.e2e

DNS = FLAGS["--dns-address"]
JSON = ("-H", "content-type: application/json")


class MarathonClient:
    """curl on /v2."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster

    def ask(self, method: str, path: str, body: object = None) -> tuple[int, Any]:
        """Status and decoded body of a call."""
        words = ["-X", method, "-w", "\n%{http_code}", *JSON]
        if body is not None:
            words += ["--data-binary", body if isinstance(body, str) else json.dumps(body)]
        text, _, status = self.cluster.curl(self.cluster.marathon + path, *words).rpartition("\n")
        try:
            return int(status), json.loads(text) if text else None
        except ValueError:
            return int(status), text

    def get(self, path: str) -> Any:
        status, body = self.ask("GET", path)
        assert status == 200, (path, status, body)
        return body

    def app(self, path: str) -> Any:
        return self.get(f"/v2/apps/{path}")["app"]

    def settled(self, *, seconds: float = 90) -> None:
        """Return once no deployment is under way."""
        wait_until("the deployments to end", lambda: self.get("/v2/deployments") == [], seconds=seconds)

    def healthy(self, path: str, count: int) -> bool:
        app = self.app(path)
        return bool(app["tasksHealthy"] == app["tasksRunning"] == count and not app["deployments"])


@pytest.fixture(scope="module")
def marathon(cluster: Cluster) -> MarathonClient:
    return MarathonClient(cluster)


@pytest.fixture(scope="module")
def shop(cluster: Cluster, marathon: MarathonClient) -> Iterator[None]:
    """Both examples running: the group /shop, and the Deployment echo."""
    cluster.kubectl("apply", "-f", str(EXAMPLES / "kubernetes.yaml"))
    told = cluster.curl(f"{cluster.marathon}/v2/groups", "-X", "POST", "-d", f"@{EXAMPLES / 'marathon.json'}")
    assert "deploymentId" in told
    wait_until("cart to be healthy", lambda: marathon.healthy("/shop/cart", 2), seconds=90)
    wait_until("worker to run", lambda: marathon.app("/shop/worker")["tasksRunning"] == 1)
    cluster.kubectl("rollout", "status", "deployment/echo", "--timeout=60s")
    yield
    marathon.ask("DELETE", "/v2/groups/shop?force=true")


def tasks(marathon: MarathonClient, path: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = marathon.get(f"/v2/apps/{path}/tasks")["tasks"]
    return found


def from_pod(cluster: Cluster, url: str) -> str:
    """What a pod of the Kubernetes deck reads there."""
    return cluster.kubectl("exec", "deploy/echo", "--", "wget", "-qO-", url)


def ask_dns(name: str, kind: str) -> set[str]:
    reply = dns.query.udp(dns.message.make_query(name, kind), DNS, timeout=5)
    return {str(item) for answer in reply.answer for item in answer}


@pytest.mark.usefixtures("shop")
class TestDecksMeet:
    """Names, addresses and ports of each deck, asked from the other and from the host."""

    def test_a_pod_reaches_an_app_by_its_mesos_name(self, cluster: Cluster) -> None:
        assert "Marathon deck" in from_pod(cluster, "http://cart.shop.marathon.mesos:8080")

    def test_a_pod_reaches_an_app_by_its_named_vip(self, cluster: Cluster) -> None:
        url = "http://cart.marathon.l4lb.thisdcos.directory"
        wait_until("the VIP", lambda: "Marathon deck" in from_pod(cluster, url))

    def test_a_task_reaches_a_service_by_name_and_address(self, cluster: Cluster, marathon: MarathonClient) -> None:
        address = cluster.get("service", "echo")["spec"]["clusterIP"]
        pods = cluster.get("pods", "-A", "-l", "mesos.bireme.dev/framework-id")["items"]
        cart = next(pod["metadata"] for pod in pods if pod["metadata"]["name"].startswith("shop-cart"))
        for host in ("echo.default.svc.cluster.local", address):
            command = ["exec", "-n", cart["namespace"], cart["name"], "--", "wget", "-qO-", f"http://{host}"]
            assert "Kubernetes deck" in cluster.kubectl(*command)

    def test_a_task_in_the_hosts_root_knows_the_clusters_names(self, marathon: MarathonClient) -> None:
        command = "/bin/busybox wget -qO- http://echo.default.svc.cluster.local | grep -q Kubernetes && sleep 3600"
        app = {"id": "/asker", "cmd": command, "cpus": 0.01, "mem": 16, "instances": 1}
        status, _ = marathon.ask("POST", "/v2/apps", app)
        assert status == 201
        try:
            wait_until("it to run", lambda: marathon.app("/asker")["tasksRunning"] == 1)
            time.sleep(1)
            assert marathon.app("/asker")["tasksRunning"] == 1
        finally:
            marathon.ask("DELETE", "/v2/apps//asker?force=true")

    def test_the_host_reaches_the_dynamic_port(self, cluster: Cluster, marathon: MarathonClient) -> None:
        for task in tasks(marathon, "/shop/cart"):
            (port,) = task["ports"]
            assert 31000 <= port <= 32000
            assert "Marathon deck" in cluster.curl(f"http://127.0.0.1:{port}")

    def test_srv_records_name_the_ports(self, marathon: MarathonClient) -> None:
        ports = {task["ports"][0] for task in tasks(marathon, "/shop/cart")}
        answers = ask_dns("_cart.shop._tcp.marathon.mesos", "SRV")
        assert {int(answer.split()[2]) for answer in answers} == ports
        assert any(
            "80 echo.default.svc" in each for each in ask_dns("_http._tcp.echo.default.svc.cluster.local", "SRV")
        )

    def test_kubectl_sees_apps_and_tasks(self, cluster: Cluster) -> None:
        assert "cart" in cluster.kubectl("get", "apps.marathon.bireme.dev", "-A")
        assert "marathon" in cluster.kubectl("get", "frameworks.mesos.bireme.dev")


@pytest.mark.usefixtures("shop")
class TestApps:
    """Scale, restart, update, roll back, events, errors."""

    def test_scaling_up_and_down(self, marathon: MarathonClient) -> None:
        for count in (3, 2):
            status, body = marathon.ask("PUT", "/v2/apps//shop/cart", {"instances": count})
            assert status == 200
            assert body["deploymentId"]
            wait_until(f"{count} instances", lambda n=count: marathon.healthy("/shop/cart", n))

    def test_restart_replaces_every_task(self, marathon: MarathonClient) -> None:
        before = {task["id"] for task in tasks(marathon, "/shop/cart")}
        status, _ = marathon.ask("POST", "/v2/apps//shop/cart/restart")
        assert status == 200
        wait_until("new tasks", lambda: marathon.healthy("/shop/cart", 2) and not before & ids(marathon))

    def test_a_failing_update_is_rolled_back(self, cluster: Cluster, marathon: MarathonClient) -> None:
        good = marathon.app("/shop/cart")["version"]
        update = {"cmd": "sleep 3600", "upgradeStrategy": {"minimumHealthCapacity": 1, "maximumOverCapacity": 0.5}}
        status, body = marathon.ask("PUT", "/v2/apps//shop/cart", update)
        assert status == 200

        def stuck() -> bool:
            app = marathon.app("/shop/cart")
            return bool(app["deployments"]) and app["tasksRunning"] >= 3

        wait_until("the new version to start and not become healthy", stuck)
        assert marathon.app("/shop/cart")["tasksHealthy"] >= 2
        conflict, answer = marathon.ask("PUT", "/v2/apps//shop/cart", {"instances": 5})
        assert conflict == 409
        assert answer["deployments"][0]["id"] == body["deploymentId"]
        status, _ = marathon.ask("DELETE", f"/v2/deployments/{body['deploymentId']}")
        assert status == 200
        wait_until("the old version to be back", lambda: marathon.healthy("/shop/cart", 2), seconds=90)
        app = marathon.app("/shop/cart")
        assert "httpd" in app["cmd"]
        assert good in marathon.get("/v2/apps//shop/cart/versions")["versions"]

    def test_a_killed_task_is_replaced(self, marathon: MarathonClient) -> None:
        victim = tasks(marathon, "/shop/cart")[0]["id"]
        status, _ = marathon.ask("POST", "/v2/tasks/delete", {"ids": [victim]})
        assert status == 200
        wait_until("a replacement", lambda: marathon.healthy("/shop/cart", 2) and victim not in ids(marathon))

    def test_events_stream(self, cluster: Cluster, marathon: MarathonClient) -> None:
        stream = subprocess.Popen(
            ["curl", "-sN", "-m", "20", "-H", "accept: text/event-stream", f"{cluster.marathon}/v2/events"],
            stdout=subprocess.PIPE,
            text=True,
        )
        try:
            assert stream.stdout is not None
            assert "event_stream_attached" in stream.stdout.readline()
            marathon.ask("PUT", "/v2/apps//shop/worker", {"labels": {"at": str(time.time_ns())}})
            kinds = set()
            for line in stream.stdout:
                if line.startswith("event: "):
                    kinds.add(line.split()[1])
                if "deployment_success" in kinds:
                    break
            assert {"api_post_event", "deployment_info", "deployment_success"} <= kinds
        finally:
            stream.terminate()
            stream.communicate()

    def test_queue_info_leader_and_ping(self, marathon: MarathonClient) -> None:
        assert marathon.get("/v2/queue") == {"queue": []}
        assert marathon.get("/v2/info")["name"] == "marathon"
        assert re.fullmatch(r".+:\d+", marathon.get("/v2/leader")["leader"])
        assert marathon.ask("GET", "/ping")[1].strip() == "pong"


def ids(marathon: MarathonClient) -> set[str]:
    return {task["id"] for task in tasks(marathon, "/shop/cart")}


class TestRefusals:
    """Bad input gets Marathon's own answers."""

    @pytest.mark.parametrize(
        ("body", "status", "words"),
        [
            pytest.param("{", 400, "Invalid JSON", id="malformed"),
            pytest.param({"id": "/bad name", "cmd": "true"}, 422, "Object is not valid", id="bad id"),
            pytest.param({"id": "/x"}, 422, "Object is not valid", id="nothing to run"),
            pytest.param({"id": "/x", "cmd": "true", "cpus": "many"}, 400, "Invalid JSON", id="wrong type"),
            pytest.param({"id": "/x", "cmd": "true", "instances": -1}, 422, "Object is not valid", id="negative"),
        ],
    )
    def test_bad_apps(self, marathon: MarathonClient, body: object, status: int, words: str) -> None:
        answer = marathon.ask("POST", "/v2/apps", body)
        assert answer[0] == status, answer
        assert words in answer[1]["message"]

    def test_unknown_apps_are_not_found(self, marathon: MarathonClient) -> None:
        assert marathon.ask("GET", "/v2/apps//nobody") == (404, {"message": "App '/nobody' does not exist"})

    def test_nobody_gets_in_without_credentials(self, cluster: Cluster) -> None:
        for port, path in ((FLAGS["--marathon-port"], "/v2/apps"), (FLAGS["--mesos-port"], "/state")):
            code = cluster.curl(f"http://127.0.0.1:{port}{path}", "-o", "/dev/null", "-w", "%{http_code}")
            assert code == "401"


@pytest.mark.usefixtures("shop")
def test_a_deployment_goes_on_after_the_core_was_killed(cluster: Cluster, marathon: MarathonClient) -> None:
    before = ids(marathon)
    marathon.ask("PUT", "/v2/apps//shop/cart", {"instances": 4})
    os.kill(cluster.status()["parts"]["core"]["pid"], signal.SIGKILL)

    def there() -> bool:
        try:
            return marathon.healthy("/shop/cart", 4)
        except (AssertionError, KeyError, ValueError):
            return False

    wait_until("four instances", there, seconds=90)
    assert before <= ids(marathon)
    marathon.ask("PUT", "/v2/apps//shop/cart", {"instances": 2})
    wait_until("two again", lambda: marathon.healthy("/shop/cart", 2))
