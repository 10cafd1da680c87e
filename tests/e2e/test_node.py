"""What a node does with real pods: their life from init to grace, what they are given, and a node that is killed."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import dns.message
import dns.query
import dns.rcode
import pytest
from tests.e2e.conftest import Cluster, wait_until

pytestmark = pytest.mark.e2e

IMAGE = {"image": "bireme.local/busybox:1", "imagePullPolicy": "IfNotPresent"}


def container(name: str, script: str, **more: Any) -> dict[str, Any]:
    return {"name": name, **IMAGE, "command": ["sh", "-c", script], **more}


def host_python(script: str) -> dict[str, Any]:
    """A container in which the machine's own Python runs, since busybox speaks no UDP."""
    mounts = [{"name": "host", "mountPath": "/host"}]
    return {
        "name": "c",
        **IMAGE,
        "command": ["chroot", "/host", sys.executable, "-c", script],
        "volumeMounts": mounts,
    }


UDP_ECHO = """
import socket
door = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
door.bind(("", 7000))
while True:
    door.sendto(b"{name}", door.recvfrom(100)[1])
"""


def pod(namespace: str, name: str, *containers: dict[str, Any], **spec: Any) -> dict[str, Any]:
    labels = spec.pop("labels", {})
    meta = {"name": name, "namespace": namespace, "labels": labels}
    body = {"terminationGracePeriodSeconds": 1, "containers": list(containers), **spec}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": body}


def apply(cluster: Cluster, *objects: dict[str, Any]) -> None:
    cluster.apply({"apiVersion": "v1", "kind": "List", "items": list(objects)})


def phase(cluster: Cluster, namespace: str, name: str, *, seconds: float = 30, wanted: str = "Succeeded") -> Any:
    def found() -> Any:
        made = cluster.get("pod", name, "-n", namespace)
        return made if made["status"]["phase"] == wanted else None

    return wait_until(f"{name} {wanted}", found, seconds=seconds)


def terminated(made: Any, name: str) -> Any:
    return next(each for each in made["status"]["containerStatuses"] if each["name"] == name)["state"]["terminated"]


def test_a_pods_way_from_init_to_its_last_words(cluster: Cluster, namespace: str) -> None:
    shared = {"volumeMounts": [{"name": "w", "mountPath": "/w"}]}
    side = "trap 'echo side ended; exit' TERM; echo side >> /w/log; touch /w/up; while true; do sleep 0.1; done"
    probe = {"exec": {"command": ["ls", "/w/up"]}, "periodSeconds": 1}
    order = pod(
        namespace,
        "order",
        container("app", "sleep 1; echo app >> /w/log; cat /w/log", **shared),
        initContainers=[
            container("one", "sleep 1; echo one > /w/log", **shared),
            container("side", side, restartPolicy="Always", startupProbe=probe, **shared),
            container("two", "echo two >> /w/log", **shared),
        ],
        volumes=[{"name": "w", "emptyDir": {}}],
        restartPolicy="Never",
    )
    fallback = {"terminationMessagePolicy": "FallbackToLogsOnError"}
    hungry = "x=aaaaaaaaaaaaaaaa; while true; do x=$x$x; done"
    words = pod(
        namespace,
        "words",
        container("file", "printf said > /dev/termination-log; exit 3"),
        container("log", "printf logged; exit 1", **fallback),
        container("well", "printf quiet", **fallback),
        container("hungry", hungry, resources={"limits": {"memory": "20Mi"}}),
        container("who", "id -u; id -g", securityContext={"runAsUser": 1001, "runAsGroup": 2002}),
        restartPolicy="Never",
    )
    apply(cluster, order, words)
    phase(cluster, namespace, "order")
    assert cluster.kubectl("logs", "order", "-n", namespace, "-c", "app").split() == ["one", "side", "two", "app"]
    made = phase(cluster, namespace, "words", wanted="Failed")
    ends = {name: terminated(made, name) for name in ("file", "log", "well", "hungry", "who")}
    assert (ends["file"]["exitCode"], ends["file"]["message"]) == (3, "said")
    assert (ends["log"]["message"], ends["well"].get("message", "")) == ("logged", "")
    assert (ends["hungry"]["exitCode"], ends["hungry"]["reason"]) == (137, "OOMKilled")
    assert cluster.kubectl("logs", "words", "-n", namespace, "-c", "who").split()[:2] == ["1001", "2002"]


def test_the_grace_of_a_pod_is_spent_on_its_hook_and_its_signal(cluster: Cluster, namespace: str) -> None:
    script = "trap 'echo asked; sleep 1; echo bye; exit' TERM; echo up; while true; do sleep 0.1; done"
    hook = {"preStop": {"exec": {"command": ["sh", "-c", "sleep 1; echo hook > /proc/1/fd/1"]}}}
    apply(cluster, pod(namespace, "polite", container("c", script, lifecycle=hook), terminationGracePeriodSeconds=20))
    phase(cluster, namespace, "polite", wanted="Running")
    command = ["kubectl", "logs", "-f", "polite", "-n", namespace]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=os.environ | cluster.environment) as follow:
        time.sleep(1)
        began = time.monotonic()
        cluster.kubectl("delete", "pod", "polite", "-n", namespace)
        took = time.monotonic() - began
        said, _ = follow.communicate(timeout=20)
    assert said.split() == ["up", "hook", "asked", "bye"]
    assert 2 <= took < 19  # less than its grace


def test_files_follow_what_they_show_at_once(cluster: Cluster, namespace: str) -> None:
    settings = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "m", "namespace": namespace}}
    fields = {"items": [{"path": "labels", "fieldRef": {"fieldPath": "metadata.labels"}}]}
    mounts = [{"name": name, "mountPath": f"/{name}"} for name in ("m", "d")]
    mounts.append({"name": "m", "mountPath": "/fixed", "subPath": "key"})
    volumes = [{"name": "m", "configMap": {"name": "m"}}, {"name": "d", "downwardAPI": fields}]
    reader = container("c", "sleep 1000", volumeMounts=mounts)
    apply(cluster, pod(namespace, "reader", reader, volumes=volumes, labels={"a": "b"}))
    wait_until(
        "the missing map told of",
        lambda: "FailedMount" in cluster.kubectl("get", "events", "-n", namespace),
        seconds=15,
    )
    apply(cluster, {**settings, "data": {"key": "one"}})
    phase(cluster, namespace, "reader", wanted="Running", seconds=60)

    def shown(path: str) -> str:
        return cluster.kubectl("exec", "reader", "-n", namespace, "--", "cat", path)

    apply(cluster, {**settings, "data": {"key": "two"}})
    cluster.kubectl("label", "pod", "reader", "-n", namespace, "a=c", "--overwrite")
    wait_until("the new text", lambda: shown("/m/key") == "two")
    wait_until("the new label", lambda: shown("/d/labels") == 'a="c"')
    assert shown("/fixed") == "one"


def test_a_look_into_a_running_pod(cluster: Cluster, namespace: str) -> None:
    if cluster.kubectl_minor() < 25:
        pytest.skip("this kubectl has no debug")
    apply(cluster, pod(namespace, "target", container("app", "exec sleep 4242")))
    phase(cluster, namespace, "target", wanted="Running")
    words = ["--image", IMAGE["image"], "--image-pull-policy", "IfNotPresent", "-n", namespace]
    cluster.kubectl("debug", "target", *words, "-c", "look", "--target", "app", "--", "sh", "-c", "ps; sleep 1000")

    def running() -> Any:
        return cluster.get("pod", "target", "-n", namespace)["status"].get("ephemeralContainerStatuses")

    (status,) = wait_until("the ephemeral container", running)
    assert (status["name"], status["restartCount"]) == ("look", 0)
    wait_until(
        "its log",
        lambda: "sleep 4242" in cluster.kubectl("logs", "target", "-n", namespace, "-c", "look"),
        seconds=10,
    )
    assert cluster.kubectl("exec", "target", "-n", namespace, "-c", "look", "--", "hostname").strip() == "target"


def test_names_of_others_and_of_pods_and_of_nobody(cluster: Cluster, namespace: str) -> None:
    server = cluster.environment["BIREME_DNS"]

    def ask(name: str, *, tcp: bool = False) -> dns.message.Message:
        question = dns.message.make_query(name, "A")
        return (dns.query.tcp if tcp else dns.query.udp)(question, server, timeout=8)

    assert ask("kubernetes.default.svc.cluster.local", tcp=True).answer
    (spelled,) = ask("10-244-0-7.default.pod.cluster.local").answer
    assert str(spelled[0]) == "10.244.0.7"
    assert ask("nobody.default.svc.cluster.local").rcode() == dns.rcode.NXDOMAIN
    began = time.monotonic()
    assert ask("bireme.invalid").rcode() in (dns.rcode.NXDOMAIN, dns.rcode.SERVFAIL)
    assert time.monotonic() - began < 8


def test_udp_flows_find_the_backend_that_is_there(cluster: Cluster, namespace: str) -> None:
    meta = {"name": "echo", "namespace": namespace}
    spec = {"selector": {"app": "echo"}, "ports": [{"port": 7000, "protocol": "UDP"}], "type": "NodePort"}
    apply(cluster, {"apiVersion": "v1", "kind": "Service", "metadata": meta, "spec": spec})
    made = cluster.get("service", "echo", "-n", namespace)
    doors = [(made["spec"]["clusterIP"], 7000), ("127.0.0.1", made["spec"]["ports"][0]["nodePort"])]
    clients = {door: socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for door in doors}

    def answer(door: tuple[str, int]) -> str:
        client = clients[door]
        client.settimeout(1)
        try:
            client.sendto(b"hello\n", door)
            return client.recv(100).decode().strip()
        except OSError:
            return ""

    host = {"volumes": [{"name": "host", "hostPath": {"path": "/"}}]}
    assert [answer(door) for door in doors] == ["", ""]  # the flows begin while nobody is there
    for name in ("first", "second"):
        apply(cluster, pod(namespace, name, host_python(UDP_ECHO.format(name=name)), **host, labels={"app": "echo"}))
        phase(cluster, namespace, name, wanted="Running")
        for door in doors:
            wait_until(f"{name} behind {door}", partial(_says, answer, door, name))
        cluster.kubectl("delete", "pod", name, "-n", namespace, "--grace-period=0", "--force")
    for client in clients.values():
        client.close()
    with pytest.raises(OSError), socket.create_connection((made["spec"]["clusterIP"], 7001), timeout=2):
        pass


def test_f_node_1_a_node_killed_again_and_again_leaves_nothing_behind(cluster: Cluster, namespace: str) -> None:
    template = pod(namespace, "", container("c", "sleep 9999"), labels={"app": "many"})
    apply(
        cluster,
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": "many", "namespace": namespace},
            "spec": {
                "replicas": 1,
                "selector": {"matchLabels": {"app": "many"}},
                "template": {"metadata": {"labels": {"app": "many"}}, "spec": template["spec"]},
            },
        },
    )
    for replicas, wait_s in ((6, 0.3), (1, 0.5), (5, 0.9), (2, 0.1)):
        cluster.kubectl("scale", "deployment", "many", "-n", namespace, f"--replicas={replicas}")
        time.sleep(wait_s)
        os.kill(cluster.status()["parts"]["node"]["pid"], signal.SIGKILL)
        time.sleep(1.5)

    name = cluster.status()["cluster"]

    def settled() -> bool:
        pods = cluster.get("pods", "-n", namespace)["items"]
        ready = [each for each in pods if each["status"]["phase"] == "Running"]
        return len(pods) == len(ready) == 2 and len(_shims(name)) == len(cluster.get("pods", "-A")["items"])

    wait_until("two pods, and a sandbox for each pod there is", settled)


def _says(answer: Callable[[tuple[str, int]], str], door: tuple[str, int], name: str) -> bool:
    return answer(door) == name


def _shims(cluster: str) -> list[str]:
    """The command lines of the cluster's shims: one for each sandbox."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            found.append(path.read_bytes().decode(errors="replace"))
    return [line for line in found if "containerd-shim" in line and f"/run/bireme/{cluster}/" in line]
