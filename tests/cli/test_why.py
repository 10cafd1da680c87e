"""`bireme why` against a server in this process: what it finds, and what it says when it cannot."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result

from bireme.cli.errors import CliError
from bireme.cli.why import target, why
from bireme.testing.cluster import Cluster


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with Cluster(nodes=2) as there:
        yield there


def ask(cluster: Cluster, *words: str) -> Result:
    return CliRunner().invoke(why, [*words, "--kubeconfig", str(cluster.kubeconfig)])


def failed(result: Result) -> CliError:
    assert isinstance(result.exception, CliError), result.output
    return result.exception


def pod(name: str, **spec: Any) -> dict[str, Any]:
    container = {"name": "c", "image": "i", "resources": {"requests": spec.pop("requests", {})}}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {"containers": [container], **spec},
    }


def is_refused(tree: dict[str, Any]) -> bool:
    return any(each.get("reason") == "Unschedulable" for each in tree["status"].get("conditions") or ())


def refused(cluster: Cluster, name: str) -> None:
    cluster.wait(f"pod/{name}", until=is_refused)


def test_a_pod_that_waits(cluster: Cluster) -> None:
    cluster.apply(pod("big", requests={"cpu": "20"}))
    refused(cluster, "big")
    text = ask(cluster, "big").output
    assert "default/big: Pending" in text
    assert "0 of 2 nodes fit" in text
    assert "cpu: wants 20, free 16 of 16" in text
    assert "1. ask for 4 less cpu (16 instead of 20)" in text
    told = json.loads(ask(cluster, "pod/big", "-o", "json").output)
    assert told["report"]["refused"][0]["count"] == 2
    assert told["report"]["advice"][0]["nodes"] == ["hollow-0", "hollow-1"]


def test_the_scheduler_says_so_itself_once_in_an_event_of_its_own(cluster: Cluster) -> None:
    cluster.apply(pod("wide", requests={"cpu": "17"}))
    refused(cluster, "wide")
    events = [each for each in cluster.list("events") if each["involvedObject"]["name"] == "wide"]
    by_reason = {each["reason"]: each for each in events}
    assert by_reason["FailedScheduling"]["message"].startswith("0/2 nodes are available: 2 Insufficient cpu.")
    advice = by_reason["SchedulingAdvice"]
    assert advice["type"] == "Normal"
    assert advice["message"].startswith("What would help: ask for 1 less cpu (16 instead of 17) (then hollow-0 and 1")


def test_a_pod_that_has_a_place(cluster: Cluster) -> None:
    cluster.apply(pod("small", requests={"cpu": "1"}))
    cluster.wait("pod/small", until=lambda it: bool(it["spec"].get("nodeName")))
    text = ask(cluster, "small").output
    assert "As things stand, 2 of 2 nodes would do" in text
    assert "NodeResourcesFit×1" in text


def test_an_owner_stands_for_its_pods(cluster: Cluster) -> None:
    template = {"metadata": {"labels": {"app": "d"}}, "spec": pod("x", requests={"cpu": "30"})["spec"]}
    spec = {"replicas": 2, "selector": {"matchLabels": {"app": "d"}}, "template": template}
    cluster.apply(
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": "d", "namespace": "default"},
            "spec": spec,
        }
    )
    cluster.wait("deployment/d", until=lambda it: it["status"].get("replicas") == 2)
    assert "one of 2 pods, of which 2 wait" in ask(cluster, "deployment/d").output


def test_gates_and_claims_are_told(cluster: Cluster) -> None:
    cluster.apply(pod("gated", schedulingGates=[{"name": "example.com/wait"}]))
    assert "scheduling gates: example.com/wait" in ask(cluster, "gated").output
    volume = {"name": "v", "persistentVolumeClaim": {"claimName": "none"}}
    cluster.apply(pod("claiming", volumes=[volume], schedulingGates=[{"name": "example.com/wait"}]))
    assert 'persistentvolumeclaim "none" not found' in ask(cluster, "claiming").output


PROFILES = """
apiVersion: kubescheduler.config.k8s.io/v1
kind: KubeSchedulerConfiguration
profiles:
- schedulerName: loose
  plugins: {filter: {disabled: [{name: NodeResourcesFit}]}}
"""


def test_a_pod_of_another_profile_is_judged_by_it(cluster: Cluster, tmp_path: Path) -> None:
    cluster.apply(pod("foreign", requests={"cpu": "99"}, schedulerName="loose"))
    text = ask(cluster, "foreign").output
    assert "0 of 2 nodes fit" in text
    assert "it is placed by loose" in text
    file = tmp_path / "profiles.yaml"
    file.write_text(PROFILES)
    text = ask(cluster, "foreign", "--scheduler-config", str(file)).output
    assert "2 of 2 nodes fit" in text
    assert "it is placed by" not in text
    file.write_text("kind: Policy")
    assert failed(ask(cluster, "foreign", "--scheduler-config", str(file))).code == "BIR-050"


def grouped(name: str, group: str, **spec: Any) -> dict[str, Any]:
    return pod(name, schedulingGroup={"podGroupName": group}, **spec)


def pod_group(name: str, minimum: int) -> dict[str, Any]:
    return {
        "apiVersion": "scheduling.k8s.io/v1alpha3",
        "kind": "PodGroup",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {"schedulingPolicy": {"gang": {"minCount": minimum}}},
    }


def test_a_group_that_waits_for_members(cluster: Cluster) -> None:
    cluster.apply(grouped("early", "train"))
    assert "group train: there is no such PodGroup" in ask(cluster, "early").output
    cluster.apply(pod_group("train", 3))
    cluster.apply(grouped("second", "train"))
    text = ask(cluster, "early").output
    assert "group train: 2 of 3 members; it waits for 1 more" in text
    assert 'It would not be placed: pod group "train" has 2 of 3 pods' in text


def test_a_group_for_which_there_is_no_room_together(cluster: Cluster) -> None:
    cluster.apply(pod_group("fleet", 3))
    for number in range(3):
        cluster.apply(grouped(f"ship-{number}", "fleet", requests={"cpu": "12"}))
    refused(cluster, "ship-0")
    text = ask(cluster, "ship-0").output
    assert "group fleet: 3 of 3 members" in text
    assert 'no room for 3 pods of pod group "fleet" together' in text
    assert "2 of 2 nodes fit" in text, "alone, it would"


class Refusing(BaseHTTPRequestHandler):
    """An extender that has no licence for hollow-0, and likes hollow-1."""

    def do_POST(self) -> None:
        args = json.loads(self.rfile.read(int(self.headers["content-length"])))
        names = [each for each in args["NodeNames"] if each != "hollow-0"]
        said: Any = {"NodeNames": names, "FailedNodes": {"hollow-0": "no licence here"}}
        body = json.dumps(said).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing is written."""


@pytest.fixture
def extender() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Refusing) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


EXTENDED = """
apiVersion: kubescheduler.config.k8s.io/v1
kind: KubeSchedulerConfiguration
extenders:
- {{urlPrefix: {url}, filterVerb: filter, nodeCacheCapable: true, httpTimeout: 60s}}
"""


def test_an_extender_is_asked_and_named(cluster: Cluster, extender: str, tmp_path: Path) -> None:
    cluster.apply(pod("extended", schedulingGates=[{"name": "example.com/wait"}]))
    file = tmp_path / "extended.yaml"
    file.write_text(EXTENDED.format(url=extender))
    text = ask(cluster, "extended", "--scheduler-config", str(file)).output
    assert "1 of 2 nodes fit" in text
    assert f"1 node: extender {extender}: no licence here" in text
    assert "2 of 2 nodes fit" in ask(cluster, "extended").output
    file.write_text(EXTENDED.format(url="http://127.0.0.1:1"))
    text = ask(cluster, "extended", "--scheduler-config", str(file)).output
    assert "2 of 2 nodes fit" in text
    assert "note: extender http://127.0.0.1:1 was not heard: " in text


@pytest.mark.parametrize(
    ("words", "code", "part"),
    [
        pytest.param(["nobody"], "BIR-111", 'pods "nobody" not found', id="no such pod"),
        pytest.param(["sofa/x"], "BIR-111", "sofa is none of pod, deployment", id="no such kind"),
        pytest.param(["x", "--context", "elsewhere"], "BIR-110", 'no context "elsewhere"', id="no such context"),
    ],
)
def test_what_is_not_there(cluster: Cluster, words: list[str], code: str, part: str) -> None:
    error = failed(ask(cluster, *words))
    assert (error.code, part in error.message, bool(error.remedy)) == (code, True, True), error.message


def test_a_server_that_is_not_there_or_does_not_know_who_asks(cluster: Cluster, tmp_path: Path) -> None:
    tree = yaml.safe_load(cluster.kubeconfig.read_text())
    tree["clusters"][0]["cluster"]["certificate-authority"] = str(cluster.ca)
    tree["users"][0]["user"] = {"token": "stale"}
    path = tmp_path / "config"
    path.write_text(yaml.safe_dump(tree))
    error = failed(CliRunner().invoke(why, ["x", "--kubeconfig", str(path)]))
    assert (error.code, "renew the credentials" in error.remedy) == ("BIR-112", True)
    tree["clusters"][0]["cluster"]["server"] = "https://127.0.0.1:1"
    path.write_text(yaml.safe_dump(tree))
    assert failed(CliRunner().invoke(why, ["x", "--kubeconfig", str(path)])).code == "BIR-110"
    assert failed(CliRunner().invoke(why, ["x", "--kubeconfig", str(tmp_path / "none")])).code == "BIR-110"


@pytest.mark.parametrize(
    ("words", "expected"),
    [(["a"], ("pod", "a")), (["pod/a"], ("pod", "a")), (["Deploy", "b"], ("deploy", "b"))],
)
def test_what_is_meant(words: list[str], expected: tuple[str, str]) -> None:
    assert target(words) == expected
