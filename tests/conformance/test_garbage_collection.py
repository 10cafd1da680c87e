"""What becomes of dependents when their owner goes."""

import time

import pytest
from conformance_tools import wait_until

BACKGROUND, FOREGROUND, ORPHAN = ({"propagationPolicy": name} for name in ("Background", "Foreground", "Orphan"))
TEMPLATE = {"metadata": {"labels": {"app": "a"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}


def controller(replicas=2, **metadata):
    return {"metadata": {"name": "rc", **metadata}, "spec": {"replicas": replicas, "template": TEMPLATE}}


def deployment():
    spec = {"replicas": 2, "selector": {"matchLabels": {"app": "a"}}, "template": TEMPLATE}
    return {"metadata": {"name": "d"}, "spec": spec}


@pytest.fixture
def home(namespace):
    """The paths of kinds in the test's namespace."""
    return {
        "rc": f"/api/v1/namespaces/{namespace}/replicationcontrollers",
        "pods": f"/api/v1/namespaces/{namespace}/pods",
        "rs": f"/apis/apps/v1/namespaces/{namespace}/replicasets",
        "deployments": f"/apis/apps/v1/namespaces/{namespace}/deployments",
    }


def pods_of(api, home, wanted=2):
    return wait_until(lambda: len(found := api.get(home["pods"])["items"]) == wanted and found, what=f"{wanted} pods")


def gone(api, path):
    wait_until(lambda: not api.get(path)["items"], what=f"{path} to be empty", seconds=40)


@pytest.mark.conformance("AM-057")
def test_what_a_deployment_made_goes_with_it(api, home):
    api.create(home["deployments"], deployment())
    pods_of(api, home)
    api.delete(f"{home['deployments']}/d", BACKGROUND)
    gone(api, home["rs"])
    gone(api, home["pods"])


@pytest.mark.conformance("AM-062")
def test_a_replica_set_is_left_by_its_deployment(api, home):
    api.create(home["deployments"], deployment())
    pods_of(api, home)
    api.delete(f"{home['deployments']}/d", ORPHAN)
    wait_until(lambda: not api.get(home["deployments"])["items"], what="the deployment to go")
    time.sleep(1)
    (left,) = api.get(home["rs"])["items"]
    assert "ownerReferences" not in left["metadata"]
    assert len(api.get(home["pods"])["items"]) == 2


@pytest.mark.conformance("AM-058")
def test_pods_of_a_controller_go_in_the_background(api, home):
    api.create(home["rc"], controller())
    pods_of(api, home)
    api.delete(f"{home['rc']}/rc", BACKGROUND)
    assert api.ask("GET", f"{home['rc']}/rc").status_code == 404
    gone(api, home["pods"])


@pytest.mark.conformance("AM-059")
def test_a_controller_stays_until_its_pods_are_gone(api, home):
    api.create(home["rc"], controller())
    pods = pods_of(api, home)
    for pod in pods:
        api.patch(f"{home['pods']}/{pod['metadata']['name']}", {"metadata": {"finalizers": ["example.com/held"]}})
    there = api.delete(f"{home['rc']}/rc", FOREGROUND)
    assert there["metadata"]["finalizers"] == ["foregroundDeletion"]
    wait_until(lambda: all(one["metadata"].get("deletionTimestamp") for one in api.get(home["pods"])["items"]))
    assert api.get(f"{home['rc']}/rc")["metadata"]["deletionTimestamp"]
    for pod in pods:
        api.patch(f"{home['pods']}/{pod['metadata']['name']}", {"metadata": {"finalizers": None}})
    gone(api, home["rc"])
    assert not api.get(home["pods"])["items"]


@pytest.mark.conformance("AM-060")
def test_a_circle_of_owners_goes_whole(api, home):
    made = [
        api.create(home["pods"], {"metadata": {"name": f"pod{number}"}, "spec": TEMPLATE["spec"]})
        for number in range(3)
    ]
    for pod, owner in zip(made, [made[-1], *made], strict=False):
        reference = {
            "apiVersion": "v1",
            "kind": "Pod",
            "name": owner["metadata"]["name"],
            "uid": owner["metadata"]["uid"],
            "controller": True,
            "blockOwnerDeletion": True,
        }
        path = f"{home['pods']}/{pod['metadata']['name']}"
        api.patch(path, {"metadata": {"ownerReferences": [reference]}})
    api.delete(f"{home['pods']}/pod0", FOREGROUND)
    gone(api, home["pods"])


@pytest.mark.conformance("AM-061")
def test_dependents_with_another_owner_stay(api, home):
    api.create(home["rc"], controller(4))
    other = {"replicas": 0, "template": {**TEMPLATE, "metadata": {"labels": {"app": "another"}}}}
    stays = api.create(home["rc"], {"metadata": {"name": "stays"}, "spec": other})
    pods = pods_of(api, home, 4)
    shared = {pod["metadata"]["name"] for pod in pods[:2]}
    reference = {
        "apiVersion": "v1",
        "kind": "ReplicationController",
        "name": "stays",
        "uid": stays["metadata"]["uid"],
    }
    for name in shared:
        owners = api.get(f"{home['pods']}/{name}")["metadata"]["ownerReferences"]
        api.patch(f"{home['pods']}/{name}", {"metadata": {"ownerReferences": [*owners, reference]}})
    api.delete(f"{home['rc']}/rc", FOREGROUND)
    wait_until(lambda: api.ask("GET", f"{home['rc']}/rc").status_code == 404, what="the owner to go", seconds=40)
    left = api.get(home["pods"])["items"]
    assert {pod["metadata"]["name"] for pod in left} == shared
    assert [[one["name"] for one in pod["metadata"]["ownerReferences"]] for pod in left] == [["stays"]] * 2


@pytest.mark.conformance("AM-063")
def test_pods_are_left_by_their_controller(api, home):
    api.create(home["rc"], controller())
    names = {pod["metadata"]["name"] for pod in pods_of(api, home)}
    api.delete(f"{home['rc']}/rc", ORPHAN)
    wait_until(lambda: not api.get(home["rc"])["items"], what="the controller to go")
    deadline = time.monotonic() + 3
    while time.monotonic() < deadline:
        left = api.get(home["pods"])["items"]
        assert {pod["metadata"]["name"] for pod in left} == names
        time.sleep(0.3)
    assert not any("ownerReferences" in pod["metadata"] for pod in left)


@pytest.mark.conformance("CL-015")
@pytest.mark.conformance("CL-016")
def test_kubectl_makes_scales_and_deletes_a_controller(kubectl, api, home):
    text = """
apiVersion: v1
kind: ReplicationController
metadata: {name: demo}
spec:
  replicas: 2
  selector: {app: demo}
  template:
    metadata: {labels: {app: demo}}
    spec: {containers: [{name: demo, image: i}]}
"""
    kubectl("create", "-f", "-", text=text)
    pods_of(api, home, 2)
    for size in (1, 2):
        kubectl("scale", "rc", "demo", f"--replicas={size}", "--timeout=20s")
        pods_of(api, home, size)
    kubectl("delete", "rc", "demo", "--grace-period=0", "--force")
    gone(api, home["pods"])
