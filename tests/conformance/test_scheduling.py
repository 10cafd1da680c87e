"""Where pods go, why they stay, and who leaves for others. Pods are told apart by resources of the test's own."""

import pytest
from conformance_tools import wait_until

CLASSES = "/apis/scheduling.k8s.io/v1/priorityclasses"
SETS = "/apis/apps/v1/namespaces/{}/replicasets"
JSON_PATCH = "application/json-patch+json"
FINALIZER = "example.com/test-finalizer"


def pod(name, *, requests=None, ports=None, **spec):
    sizes = {"requests": requests or {}, "limits": requests or {}}
    container = {"name": "c", "image": "i", "resources": sizes, "ports": ports or []}
    return {"metadata": {"name": name, "labels": {"name": name}}, "spec": {"containers": [container], **spec}}


@pytest.fixture
def home(namespace):
    return f"/api/v1/namespaces/{namespace}"


@pytest.fixture
def nodes(api):
    return [node["metadata"]["name"] for node in api.get("/api/v1/nodes")["items"]]


@pytest.fixture
def resource(api, nodes, namespace):
    """A resource of which every node has 1000."""
    name = f"example.com/{namespace}"
    escaped = name.replace("/", "~1")
    for node in nodes:
        adds = [
            {"op": "add", "path": f"/status/{part}/{escaped}", "value": "1000"}
            for part in ("capacity", "allocatable")
        ]
        api.patch(f"/api/v1/nodes/{node}/status", adds, media=JSON_PATCH)
    yield name
    for node in nodes:
        removes = [{"op": "remove", "path": f"/status/{part}/{escaped}"} for part in ("capacity", "allocatable")]
        api.ask("PATCH", f"/api/v1/nodes/{node}/status", removes, media=JSON_PATCH)


@pytest.fixture
def label(api, nodes, namespace):
    """A label that the first node alone has."""
    api.patch(f"/api/v1/nodes/{nodes[0]}", {"metadata": {"labels": {namespace: "42"}}})
    yield {namespace: "42"}
    api.patch(f"/api/v1/nodes/{nodes[0]}", {"metadata": {"labels": {namespace: None}}})


@pytest.fixture
def priorities(api, namespace):
    """Four classes of the test's own, by value."""
    names = {value: f"{namespace}-p{value}" for value in (1, 2, 3, 4)}
    for value, name in names.items():
        api.create(CLASSES, {"metadata": {"name": name}, "value": value})
    yield names
    for name in names.values():
        api.ask("DELETE", f"{CLASSES}/{name}")


def running(api, path):
    """The pod, once it runs."""

    def look():
        there = api.ask("GET", path)
        return there.status_code == 200 and there.json()["status"].get("phase") == "Running" and there.json()

    return wait_until(look, what=f"{path} runs", seconds=30)


def refused(api, home, name):
    """What the event and the condition of a pod say that finds no node."""

    def look():
        found = api.get(f"{home}/events?fieldSelector=involvedObject.name%3D{name},reason%3DFailedScheduling")
        return found["items"]

    event = wait_until(look, what=f"{name} is refused")[0]
    assert event["type"] == "Warning"
    assert event["source"]["component"] == "default-scheduler"
    status = wait_until(lambda: api.get(f"{home}/pods/{name}")["status"].get("conditions"))
    assert [(one["type"], one["status"], one["reason"]) for one in status] == [
        ("PodScheduled", "False", "Unschedulable")
    ]
    assert status[0]["message"] == event["message"]
    assert "nodeName" not in api.get(f"{home}/pods/{name}")["spec"]
    return event["message"]


@pytest.mark.conformance("SC-003")
def test_a_pod_over_the_free_cpu_stays(api, home, nodes):
    for node in nodes:
        cpu = int(api.get(f"/api/v1/nodes/{node}")["status"]["allocatable"]["cpu"])
        filler = pod(f"filler-{node}", requests={"cpu": str(cpu * 7 // 10)})
        filler["spec"]["nodeSelector"] = {"kubernetes.io/hostname": node}
        api.create(f"{home}/pods", filler)
        running(api, f"{home}/pods/filler-{node}")
    api.create(f"{home}/pods", pod("additional", requests={"cpu": str(cpu // 2)}))
    assert refused(api, home, "additional").startswith(
        f"0/{len(nodes)} nodes are available: {len(nodes)} Insufficient cpu."
    )
    api.delete(f"{home}/pods/filler-{nodes[0]}", {"gracePeriodSeconds": 0})
    assert running(api, f"{home}/pods/additional")["spec"]["nodeName"] == nodes[0]


@pytest.mark.conformance("SC-004")
def test_a_pod_goes_to_the_node_that_it_selects(api, home, nodes, label):
    api.create(f"{home}/pods", pod("with-labels", nodeSelector=label))
    assert running(api, f"{home}/pods/with-labels")["spec"]["nodeName"] == nodes[0]


@pytest.mark.conformance("SC-005")
def test_a_pod_that_selects_no_node_stays(api, home, nodes):
    api.create(f"{home}/pods", pod("restricted", nodeSelector={"label": "nonempty"}))
    count = len(nodes)
    assert refused(api, home, "restricted") == (
        f"0/{count} nodes are available: {count} node(s) didn't match Pod's node affinity/selector. "
        f"preemption: 0/{count} nodes are available: {count} Preemption is not helpful for scheduling."
    )


@pytest.mark.conformance("SC-006")
def test_a_host_port_is_taken_for_every_address_by_one_that_names_none(api, home, nodes, label):
    port = {"containerPort": 5555, "hostPort": 54322, "protocol": "TCP"}
    api.create(f"{home}/pods", pod("pod4", ports=[port], nodeSelector=label))
    running(api, f"{home}/pods/pod4")
    api.create(f"{home}/pods", pod("pod5", ports=[{**port, "hostIP": "127.0.0.1"}], nodeSelector=label))
    said = refused(api, home, "pod5")
    assert "1 node(s) didn't have free ports for the requested pod ports" in said


def replica_set(name, replicas, priority, requests, label):
    template = pod(name, requests=requests, priorityClassName=priority, nodeSelector=label)
    return {
        "metadata": {"name": name},
        "spec": {"replicas": replicas, "selector": {"matchLabels": {"name": name}}, "template": template},
    }


@pytest.mark.conformance("SC-007")
def test_replica_sets_run_the_path_of_preemption(api, home, namespace, resource, label, priorities):
    sets = SETS.format(namespace)

    def available(name):
        return api.get(f"{sets}/{name}")["status"].get("availableReplicas", 0)

    wishes = {"pod1": (5, 1, 40), "pod2": (4, 2, 50), "pod3": (4, 3, 95), "pod4": (1, 4, 400)}
    for name, (count, value, amount) in wishes.items():
        api.create(sets, replica_set(name, count, priorities[value], {resource: str(amount)}, label))
        wait_until(lambda name=name, count=count: available(name) == count, what=f"{name} is available", seconds=30)
    # Of 1000, 980 are taken by the other three: none of the least important pods has a place.
    wait_until(lambda: available("pod1") == 0, what="pod1 leaves", seconds=30)
    assert (available("pod2"), available("pod3")) == (4, 4)
    found = api.get(f"{home}/pods?labelSelector=name%3Dpod1")["items"]
    assert [each["spec"].get("nodeName") for each in found if "deletionTimestamp" not in each["metadata"]] == [
        None
    ] * 5


def crowd(api, home, nodes, resource, priorities):
    """Two pods of 400 on every node: the first of the lowest priority, the others of one above."""
    names = []
    for number, node in enumerate(nodes):
        for half in (0, 1):
            name = f"pod{number}-{half}"
            priority = priorities[1 if not names else 2]
            selector = {"kubernetes.io/hostname": node}
            wanted = pod(name, requests={resource: "400"}, priorityClassName=priority, nodeSelector=selector)
            wanted["metadata"]["finalizers"] = [FINALIZER] if not names else []
            api.create(f"{home}/pods", wanted)
            names.append(name)
    for name in names:
        running(api, f"{home}/pods/{name}")
    return names


def let_go(api, path):
    api.patch(path, {"metadata": {"finalizers": None}})
    wait_until(lambda: api.ask("GET", path).status_code == 404, what="the victim is gone", seconds=60)


def only_victim(api, home, names):
    """The first pod leaves and no other."""
    victim = f"{home}/pods/{names[0]}"
    wait_until(lambda: "deletionTimestamp" in api.get(victim)["metadata"], what="the victim leaves")
    found = api.get(victim)
    let_go(api, victim)
    for name in names[1:]:
        assert "deletionTimestamp" not in api.get(f"{home}/pods/{name}")["metadata"]
    return found


@pytest.mark.conformance("SC-009")
@pytest.mark.conformance("SC-011")
def test_the_least_important_pod_leaves_for_a_higher_one(api, home, nodes, resource, priorities):
    names = crowd(api, home, nodes, resource, priorities)
    api.create(f"{home}/pods", pod("preemptor", requests={resource: "400"}, priorityClassName=priorities[4]))
    victim = only_victim(api, home, names)
    said = next(one for one in victim["status"]["conditions"] if one["type"] == "DisruptionTarget")
    assert (said["status"], said["reason"]) == ("True", "PreemptionByScheduler")
    found = running(api, f"{home}/pods/preemptor")
    assert found["spec"]["nodeName"] == nodes[0]
    assert "nominatedNodeName" not in found["status"]


@pytest.mark.conformance("SC-010")
def test_a_critical_pod_has_others_leave(api, home, nodes, resource, priorities):
    names = crowd(api, home, nodes, resource, priorities)
    system = "/api/v1/namespaces/kube-system/pods"
    name = f"critical-{resource.rpartition('/')[2]}"
    api.create(system, pod(name, requests={resource: "400"}, priorityClassName="system-cluster-critical"))
    try:
        only_victim(api, home, names)
        running(api, f"{system}/{name}")
    finally:
        api.delete(f"{system}/{name}", {"gracePeriodSeconds": 0})
