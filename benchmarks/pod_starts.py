"""How long until a pod runs: one by one through kubectl, and 30 of one Deployment at once on one node?

A single pod's time is taken by the user's clock: from before `kubectl create` is typed to the change that shows
it Running, seen on a watch that stands already. The image is on the node. A second figure leaves kubectl's own
start out: from the server's answer to Running. The 30 pods have a readiness probe, and count when the Deployment
says that all are ready.
"""

import argparse
import json
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from cluster import get, kubectl, run, running, wait_until
from door import api_door
from report import Figure, report

IMAGE = "bireme.local/busybox:1"
MANY = 30


def pod(name: str) -> str:
    """A pod that sleeps."""
    container = {"name": "main", "image": IMAGE, "command": ["sleep", "3600"]}
    spec = {"containers": [container], "terminationGracePeriodSeconds": 0}
    return json.dumps({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec})


def deployment(replicas: int) -> dict[str, Any]:
    """Web servers with a readiness probe."""
    labels = {"app": "many"}
    container = {
        "name": "web",
        "image": IMAGE,
        "command": ["httpd", "-f", "-p", "8080"],
        "readinessProbe": {"tcpSocket": {"port": 8080}, "periodSeconds": 1},
        "resources": {"requests": {"cpu": "5m", "memory": "8Mi"}},
    }
    spec = {"containers": [container], "terminationGracePeriodSeconds": 0}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "many"},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": spec},
        },
    }


@contextmanager
def watching(path: str) -> Iterator[Iterator[dict[str, Any]]]:
    """The objects of a watch, as they change."""
    with api_door(timeout_s=60) as door:
        yield (event["object"] for event in door.stream(f"{path}?watch=true"))


def start_one(name: str) -> tuple[float, float]:
    """Seconds from the start of kubectl, and from the end of it, to Running."""
    with watching("/api/v1/namespaces/default/pods") as pods:
        began = time.perf_counter()
        run("kubectl", "create", "-f", "-", text=pod(name))
        answered = time.perf_counter()
        for seen in pods:
            if seen["metadata"]["name"] == name and seen.get("status", {}).get("phase") == "Running":
                break
        ended = time.perf_counter()
    kubectl("delete", "pod", name, "--wait=false")
    return ended - began, max(0.0, ended - answered)


def start_many(replicas: int) -> float:
    """Seconds from `kubectl create` of a Deployment to all of its pods ready."""
    with watching("/apis/apps/v1/namespaces/default/deployments") as deployments:
        began = time.perf_counter()
        kubectl("create", "-f", "-", text=json.dumps(deployment(replicas)))
        for seen in deployments:
            if seen.get("status", {}).get("readyReplicas") == replicas:
                break
        took = time.perf_counter() - began
    kubectl("delete", "deployment", "many", "--wait=false")
    wait_until("the end of the pods", lambda: not get("pods")["items"], every_s=0.5)
    return took


def measure(pods: int, repeats: int) -> list[Figure]:
    """All figures, over one cluster. The first pod warms it."""
    with running():
        start_one("first")
        singles = [start_one(f"single-{number}") for number in range(pods)]
        wait_until("the end of the pods", lambda: not get("pods")["items"], every_s=0.5)
        many = [start_many(MANY) for _ in range(repeats)]
    return [
        Figure("kubectl create to Running, single pods", "s", [whole for whole, _ in singles], "at most 1.0 (p50)"),
        Figure("answer to Running, single pods", "s", [rest for _, rest in singles]),
        Figure(f"{MANY} pods of one Deployment to Ready", "s", many, "at most 15"),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pods", type=int, default=20, help="how many single pods")
    parser.add_argument("--repeats", type=int, default=2, help="how many Deployments")
    arguments = parser.parse_args()
    try:
        figures = measure(arguments.pods, arguments.repeats)
    except subprocess.TimeoutExpired as error:
        raise SystemExit(str(error)) from error
    report("Starting pods", figures)


if __name__ == "__main__":
    main()
