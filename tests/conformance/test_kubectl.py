"""What people type: kubectl's verbs on controllers, pods, services and nodes, and its proxies."""

import contextlib
import http.client
import json
import re
import socket
import subprocess
import urllib.request

import pytest
from conformance_tools import manifest, program_named, wait_until

IMAGE, OTHER = "example.com/agnhost:1", "example.com/agnhost:2"


def replication_controller(name="primary", *, replicas=1, port=6379, **annotations):
    labels = {"app": name, "role": "primary"}
    container = {"name": name, "image": IMAGE, "ports": [{"name": "server", "containerPort": port}]}
    template = {"metadata": {"labels": labels, "annotations": annotations}, "spec": {"containers": [container]}}
    spec = {"replicas": replicas, "selector": labels, "template": template}
    return {"apiVersion": "v1", "kind": "ReplicationController", "metadata": {"name": name}, "spec": spec}


def pod(name="p", **annotations):
    named = {f"hollow.bireme.dev/{key}": text for key, text in annotations.items()}
    metadata = {"name": name, "labels": {"name": name}, "annotations": named}
    containers = [{"name": "main", "image": IMAGE}]
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": {"containers": containers}}


def running(kubectl, selector, count):
    """The pods of a selector, once there are as many as that and all of them run."""

    def look():
        items = [
            one
            for one in json.loads(kubectl("get", "pods", "-l", selector, "-o", "json"))["items"]
            if "deletionTimestamp" not in one["metadata"]
        ]
        fine = len(items) == count and all(one["status"]["phase"] == "Running" for one in items)
        return items if fine else None

    return wait_until(look, what=f"{count} pods of {selector}")


@pytest.mark.conformance("CL-004")
def test_describe_tells_of_a_controller_its_pods_a_service_a_node_and_a_namespace(kubectl, api, namespace):
    kubectl("create", "-f", "-", text=manifest(replication_controller()))
    service = {"selector": {"app": "primary"}, "ports": [{"port": 6379, "targetPort": "server"}]}
    kubectl(
        "create",
        "-f",
        "-",
        text=manifest({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "primary"}, "spec": service}),
    )
    (found,) = running(kubectl, "app=primary", 1)

    said = kubectl("describe", "rc", "primary")
    assert re.search(rf"^Name: +primary\nNamespace: +{namespace}\n", said)
    assert "app=primary" in said
    assert re.search(rf"^ +Image: +{IMAGE}$", said, re.MULTILINE)
    assert re.search(r"Replicas: +1 current / 1 desired", said)
    assert re.search(r"Pods Status: +1 Running / 0 Waiting / 0 Succeeded / 0 Failed", said)
    assert "SuccessfulCreate" in said

    said = kubectl("describe", "pod", found["metadata"]["name"])
    assert re.search(r"^Status: +Running$", said, re.MULTILINE)
    assert re.search(r"^Controlled By: +ReplicationController/primary$", said, re.MULTILINE)
    assert re.search(rf"^ +Image: +{IMAGE}$", said, re.MULTILINE)
    assert re.search(r"^IP: +10\.", said, re.MULTILINE)

    def service_has_endpoints():
        text = kubectl("describe", "service", "primary")
        return text if f"{found['status']['podIP']}:6379" in text else None

    said = wait_until(service_has_endpoints)
    assert re.search(r"^Selector: +app=primary$", said, re.MULTILINE)
    assert re.search(r"^Type: +ClusterIP$", said, re.MULTILINE)
    assert re.search(r"^TargetPort: +server/TCP$", said, re.MULTILINE)
    assert re.search(r"^Session Affinity: +None$", said, re.MULTILINE)

    name = api.get("/api/v1/nodes")["items"][0]["metadata"]["name"]
    said = kubectl("describe", "node", name)
    for part in ("Labels:", "Annotations:", "CreationTimestamp:", "Conditions:", "MemoryPressure", "Ready"):
        assert part in said
    for part in (
        "Addresses:",
        "Capacity:",
        "Allocatable:",
        "System Info:",
        "Kubelet Version:",
        "Non-terminated Pods:",
    ):
        assert part in said

    said = kubectl("describe", "namespace", namespace)
    assert re.search(rf"^Name: +{namespace}$", said, re.MULTILINE)
    assert re.search(r"^Status: +Active$", said, re.MULTILINE)
    assert "No resource quota." in said


@pytest.mark.conformance("CL-006")
def test_a_controller_and_a_service_are_exposed(kubectl, api, namespace):
    kubectl("create", "-f", "-", text=manifest(replication_controller()))
    (found,) = running(kubectl, "app=primary", 1)
    kubectl("expose", "rc", "primary", "--name=rm2", "--port=1234", "--target-port=6379")
    kubectl("expose", "service", "rm2", "--name=rm3", "--port=2345", "--target-port=6379")
    for name, port in (("rm2", 1234), ("rm3", 2345)):
        service = api.get(f"/api/v1/namespaces/{namespace}/services/{name}")
        assert [(each["port"], each["targetPort"]) for each in service["spec"]["ports"]] == [(port, 6379)]
        place = f"/api/v1/namespaces/{namespace}/endpoints/{name}"

        def whole(place=place):
            answer = api.ask("GET", place)
            return answer.status_code == 200 and answer.json().get("subsets")

        (subset,) = wait_until(whole, what=f"endpoints of {name}")
        assert [each["ip"] for each in subset["addresses"]] == [found["status"]["podIP"]]
        assert [each["port"] for each in subset["ports"]] == [6379]


@pytest.mark.conformance("CL-007")
def test_a_label_is_put_on_found_by_and_taken_off(kubectl):
    kubectl("create", "-f", "-", text=manifest(pod("pause")))
    kubectl("label", "pods", "pause", "testing-label=testing-label-value")
    assert "testing-label-value" in kubectl("get", "pod", "pause", "-L", "testing-label")
    assert kubectl("get", "pods", "-l", "testing-label=testing-label-value", "-o", "name") == "pod/pause\n"
    kubectl("label", "pods", "pause", "testing-label-")
    assert "testing-label-value" not in kubectl("get", "pod", "pause", "-L", "testing-label")
    assert "already has a value" in kubectl("label", "pods", "pause", "name=other", fails=True)


@pytest.mark.conformance("CL-008")
def test_a_patch_annotates_every_pod_of_a_controller(kubectl):
    kubectl("create", "-f", "-", text=manifest(replication_controller(replicas=2)))
    for one in running(kubectl, "app=primary", 2):
        kubectl("patch", "pod", one["metadata"]["name"], "-p", '{"metadata":{"annotations":{"x":"y"}}}')
    assert {one["metadata"]["annotations"]["x"] for one in running(kubectl, "app=primary", 2)} == {"y"}


@pytest.mark.conformance("CL-009")
def test_replace_gives_a_pod_another_image(kubectl):
    kubectl("run", "httpd", f"--image={IMAGE}", "--labels=run=httpd")
    running(kubectl, "run=httpd", 1)
    tree = json.loads(kubectl("get", "pod", "httpd", "-o", "json"))
    tree["spec"]["containers"][0]["image"] = OTHER
    kubectl("replace", "-f", "-", text=json.dumps(tree))
    said = kubectl("get", "pod", "httpd", "-o", "jsonpath={.spec.containers[0].image}")
    assert said == OTHER


@pytest.mark.conformance("CL-010")
def test_run_makes_a_pod_that_is_not_restarted(kubectl):
    kubectl("run", "httpd", "--restart=Never", f"--image={IMAGE}")
    tree = json.loads(kubectl("get", "pod", "httpd", "-o", "json"))
    assert tree["spec"]["restartPolicy"] == "Never"
    assert [one["image"] for one in tree["spec"]["containers"]] == [IMAGE]
    kubectl("delete", "pod", "httpd", "--wait")
    assert "NotFound" in kubectl("get", "pod", "httpd", fails=True)


class UnixConnection(http.client.HTTPConnection):
    """HTTP over a unix socket."""

    def __init__(self, path):
        super().__init__("localhost", timeout=10)
        self._path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(self._path)


@contextlib.contextmanager
def proxy(server, *flags):
    """kubectl proxy, and the line in which it says where it serves."""
    process = subprocess.Popen(
        [program_named("kubectl"), "--kubeconfig", str(server.kubeconfig), "proxy", *flags],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield process.stdout.readline()
    finally:
        process.terminate()
        process.wait(10)
        process.stdout.close()


@pytest.mark.conformance("CL-013")
def test_the_proxy_answers_on_a_unix_socket(server, tmp_path):
    path = str(tmp_path / "s")
    with proxy(server, f"--unix-socket={path}") as said:
        assert said.startswith("Starting to serve on ")
        connection = UnixConnection(path)
        connection.request("GET", "/api/")
        assert "v1" in json.loads(connection.getresponse().read())["versions"]
        connection.close()


@pytest.mark.conformance("CL-014")
def test_the_proxy_answers_on_a_port_of_its_choice(server):
    with proxy(server, "-p", "0", "--disable-filter") as said:
        port = int(re.search(r"127\.0\.0\.1:(\d+)", said)[1])
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/api/", timeout=10) as answer:
            assert "v1" in json.loads(answer.read())["versions"]


@pytest.mark.conformance("CL-015")
def test_a_controller_is_made_and_stopped(kubectl):
    kubectl("create", "-f", "-", text=manifest(replication_controller("nautilus", replicas=2, port=80)))
    running(kubectl, "app=nautilus", 2)
    kubectl("delete", "rc", "nautilus", "--grace-period=0", "--force")
    wait_until(lambda: kubectl("get", "rc,pods", "-l", "app=nautilus", "-o", "name") == "")


@pytest.mark.conformance("CL-016")
def test_a_controller_is_scaled_down_and_up(kubectl):
    kubectl("create", "-f", "-", text=manifest(replication_controller("nautilus", replicas=2, port=80)))
    running(kubectl, "app=nautilus", 2)
    kubectl("scale", "rc", "nautilus", "--replicas=1", "--timeout=1m")
    running(kubectl, "app=nautilus", 1)
    kubectl("scale", "rc", "nautilus", "--replicas=2", "--timeout=1m")
    running(kubectl, "app=nautilus", 2)


@pytest.mark.conformance("CL-017")
def test_logs_are_cut_as_the_reader_wants(kubectl):
    """The words are a hollow pod's, the cutting is done where logs are read; e2e reads a real container's."""
    kubectl("create", "-f", "-", text=manifest(pod("talker", log="first\nsecond\nlast\n")))
    kubectl("wait", "--for=condition=Ready", "pod/talker", "--timeout=20s")
    assert kubectl("logs", "talker") == "first\nsecond\nlast\n"
    assert kubectl("logs", "talker", "--tail=1") == "last\n"
    assert kubectl("logs", "talker", "--limit-bytes=1") == "f"
    stamped = kubectl("logs", "talker", "--tail=1", "--timestamps")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z last\n", stamped)
    assert kubectl("logs", "talker", "--since=24h") == "first\nsecond\nlast\n"
    wait_until(lambda: kubectl("logs", "talker", "--since=1s") == "", what="a second without words")


def test_exec_in_a_hollow_pod_ends_well(kubectl):
    kubectl("create", "-f", "-", text=manifest(pod("doer", exec="done\n")))
    kubectl("wait", "--for=condition=Ready", "pod/doer", "--timeout=20s")
    assert kubectl("exec", "doer", "--", "true") == "done\n"
    assert "not found" in kubectl("exec", "nobody", "--", "true", fails=True)


def test_a_pod_that_fails_at_once_backs_off(kubectl):
    kubectl("create", "-f", "-", text=manifest(pod("failing", **{"end-seconds": "0", "exit-code": "7"})))

    def failed():
        states = json.loads(kubectl("get", "pod", "failing", "-o", "json"))["status"].get("containerStatuses")
        return states and states[0]["state"].get("terminated", {}).get("exitCode") == 7

    wait_until(failed)


def test_rollouts_are_told_undone_and_restarted(kubectl):
    kubectl("create", "deployment", "web", f"--image={IMAGE}", "--replicas=2")
    kubectl("rollout", "status", "deployment/web", "--timeout=30s")
    kubectl("set", "image", "deployment/web", f"agnhost={OTHER}")
    kubectl("rollout", "status", "deployment/web", "--timeout=30s")
    kubectl("rollout", "undo", "deployment/web")
    kubectl("rollout", "status", "deployment/web", "--timeout=30s")
    image = "jsonpath={.spec.template.spec.containers[0].image}"
    assert kubectl("get", "deployment", "web", "-o", image) == IMAGE
    kubectl("rollout", "restart", "deployment/web")
    kubectl("rollout", "status", "deployment/web", "--timeout=30s")
    assert len(kubectl("rollout", "history", "deployment/web").strip().splitlines()) >= 4


def test_a_kustomization_is_built_and_applied(kubectl, tmp_path):
    (tmp_path / "base.yaml").write_text(manifest(replication_controller("kept")))
    (tmp_path / "kustomization.yaml").write_text(
        "resources: [base.yaml]\nnamePrefix: one-\nconfigMapGenerator: [{name: settings, literals: [a=b]}]\n"
    )
    built = kubectl("kustomize", str(tmp_path))
    assert "one-kept" in built
    kubectl("apply", "-f", "-", text=built)
    assert "unchanged" in kubectl("apply", "-k", str(tmp_path))
    assert "configmap/one-settings-" in kubectl("get", "cm", "-o", "name")


def test_roles_are_reconciled(kubectl, namespace):
    role = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "Role",
        "metadata": {"name": "reader", "namespace": namespace},
        "rules": [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}],
    }
    assert "reconciled" in kubectl("auth", "reconcile", "-f", "-", text=manifest(role))
    role["rules"] = [{"apiGroups": [""], "resources": ["pods"], "verbs": ["list"]}]
    kubectl("auth", "reconcile", "-f", "-", text=manifest(role))
    rules = json.loads(kubectl("get", "role", "reader", "-o", "json"))["rules"]
    assert {verb for rule in rules for verb in rule["verbs"]} == {"get", "list"}
    kubectl("auth", "reconcile", "--remove-extra-permissions", "-f", "-", text=manifest(role))
    rules = json.loads(kubectl("get", "role", "reader", "-o", "json"))["rules"]
    assert {verb for rule in rules for verb in rule["verbs"]} == {"list"}


def test_debug_puts_an_ephemeral_container_into_a_pod(kubectl):
    kubectl("create", "-f", "-", text=manifest(pod("patient")))
    kubectl("wait", "--for=condition=Ready", "pod/patient", "--timeout=20s")
    kubectl("debug", "patient", f"--image={OTHER}", "--container=look", "--target=main", "--profile=general")

    def runs():
        states = json.loads(kubectl("get", "pod", "patient", "-o", "json"))["status"].get(
            "ephemeralContainerStatuses", ()
        )
        return [one["name"] for one in states if "running" in one["state"]] == ["look"]

    wait_until(runs)
