"""What keeps pods: Deployments, ReplicaSets, ReplicationControllers, StatefulSets, DaemonSets."""

import pytest
from conformance_tools import wait_until

STRATEGIC = "application/strategic-merge-patch+json"
NEVER_READY = {"hollow.bireme.dev/ready-seconds": "never"}
GROUPS = {
    "deployments": ("apps/v1", "Deployment"),
    "replicasets": ("apps/v1", "ReplicaSet"),
    "statefulsets": ("apps/v1", "StatefulSet"),
    "daemonsets": ("apps/v1", "DaemonSet"),
    "replicationcontrollers": ("v1", "ReplicationController"),
}


class Workload:
    """One object that keeps pods, its path, and the pods of its namespace."""

    def __init__(self, api, namespace, plural):
        self.api = api
        self.pods_path = f"/api/v1/namespaces/{namespace}/pods"
        version, self.kind = GROUPS[plural]
        base = f"/apis/{version}" if "/" in version else f"/api/{version}"
        self.path = f"{base}/namespaces/{namespace}/{plural}"
        self.at = f"{self.path}/w"

    def create(self, *, annotations=None, name="w", image="one", **spec):
        labels = {"app": name}
        template = {
            "metadata": {"labels": labels, "annotations": annotations or {}},
            "spec": {"containers": [{"name": "c", "image": image}]},
        }
        selector = labels if self.kind == "ReplicationController" else {"matchLabels": labels}
        body = {"metadata": {"name": name, "labels": labels}, "spec": {"selector": selector, "template": template}}
        body["spec"] |= spec
        return self.api.create(self.path, body)

    def get(self):
        return self.api.get(self.at)

    def patch(self, body, path=""):
        return self.api.patch(f"{self.at}{path}", body)

    def set_image(self, image):
        containers = [{"name": "c", "image": image}]
        self.api.patch(self.at, {"spec": {"template": {"spec": {"containers": containers}}}}, media=STRATEGIC)

    def pods(self, label="w"):
        found = self.api.get(f"{self.pods_path}?labelSelector=app%3D{label}")["items"]
        return sorted(
            (one for one in found if not one["metadata"].get("deletionTimestamp")),
            key=lambda one: one["metadata"]["name"],
        )

    def names(self):
        return [one["metadata"]["name"] for one in self.pods()]

    def images(self):
        return [one["spec"]["containers"][0]["image"] for one in self.pods()]

    def wait_images(self, images):
        wait_until(lambda: self.images() == images and self.all_ready(), what=f"{images}: {self.images()}")

    def all_ready(self):
        status = self.get().get("status") or {}
        ready = status.get("readyReplicas", status.get("numberReady")) or 0
        seen = status.get("observedGeneration") == self.get()["metadata"]["generation"]
        return seen and ready == len(self.pods())

    def wait_pods(self, number):
        wait_until(lambda: len(self.pods()) == number and self.all_ready(), what=f"{number} ready pods")
        return self.pods()


@pytest.fixture
def workload(api, namespace):
    return lambda plural: Workload(api, namespace, plural)


@pytest.fixture(params=["deployments", "replicasets", "statefulsets"])
def scalable(request, workload):
    return workload(request.param)


@pytest.mark.conformance("AP-014", "AP-042", "AP-056")
def test_the_scale_is_read_updated_and_patched(scalable):
    scalable.create(replicas=1)
    scalable.wait_pods(1)
    scale = scalable.api.get(f"{scalable.at}/scale")
    assert (scale["spec"]["replicas"], scale["status"]["replicas"]) == (1, 1)
    scale["spec"]["replicas"] = 2
    scalable.api.update(f"{scalable.at}/scale", scale)
    scalable.wait_pods(2)
    scalable.patch({"spec": {"replicas": 3}}, "/scale")
    scalable.wait_pods(3)


@pytest.mark.conformance("AP-048")
def test_the_scale_of_a_replication_controller(workload):
    controller = workload("replicationcontrollers")
    controller.create(replicas=1)
    controller.wait_pods(1)
    scale = controller.api.get(f"{controller.at}/scale")
    scale["spec"]["replicas"] = 2
    controller.api.update(f"{controller.at}/scale", scale)
    controller.wait_pods(2)


@pytest.fixture(params=list(GROUPS))
def any_workload(request, workload):
    return workload(request.param)


@pytest.mark.conformance("AP-013", "AP-021", "AP-046", "AP-060", "AP-052")
def test_the_status_is_read_updated_and_patched(any_workload):
    any_workload.create()
    wait_until(lambda: any_workload.get().get("status", {}).get("observedGeneration") == 1, what="a first status")
    condition = {"type": "StatusUpdate", "status": "True", "reason": "E2E", "message": "set"}
    any_workload.patch({"status": {"conditions": [condition]}}, "/status")
    told = any_workload.api.get(f"{any_workload.at}/status")["status"]["conditions"]
    assert "StatusUpdate" in {one["type"] for one in told}
    assert any_workload.get()["metadata"]["generation"] == 1


@pytest.mark.conformance("AP-007", "AP-044", "AP-057", "AP-020")
def test_they_are_listed_and_deleted_together(any_workload):
    for name in ("a", "b"):
        any_workload.create(name=name)
    found = any_workload.api.get(f"{any_workload.path}?labelSelector=app+in+(a,b)")["items"]
    assert len(found) == 2
    any_workload.api.delete(f"{any_workload.path}?labelSelector=app+in+(a,b)&propagationPolicy=Background")
    wait_until(lambda: not any_workload.api.get(any_workload.path)["items"], what="none left")
    wait_until(lambda: not any_workload.pods("a") + any_workload.pods("b"), what="no pods left")


@pytest.mark.conformance("AP-041")
def test_a_replica_set_is_replaced_and_patched(workload):
    replicas = workload("replicasets")
    replicas.create(replicas=1)
    replicas.wait_pods(1)
    there = replicas.get()
    there["spec"]["replicas"] = 2
    replicas.api.update(replicas.at, there)
    replicas.wait_pods(2)
    replicas.set_image("two")
    replicas.patch({"spec": {"replicas": 3}, "metadata": {"labels": {"x": "y"}}})
    assert sorted(one["spec"]["containers"][0]["image"] for one in replicas.wait_pods(3)) == ["one", "one", "two"]


@pytest.mark.conformance("AP-043", "AP-047", "AP-049")
@pytest.mark.parametrize("plural", ["replicasets", "replicationcontrollers"])
def test_orphans_are_adopted_and_others_released(workload, plural):
    keeper = workload(plural)
    container = {"name": "c", "image": "one"}
    keeper.api.create(
        keeper.pods_path, {"metadata": {"name": "o", "labels": {"app": "w"}}, "spec": {"containers": [container]}}
    )
    keeper.create(replicas=1)
    wait_until(lambda: keeper.api.get(f"{keeper.pods_path}/o")["metadata"].get("ownerReferences"), what="an owner")
    keeper.api.patch(f"{keeper.pods_path}/o", {"metadata": {"labels": {"app": "free"}}})
    wait_until(
        lambda: not keeper.api.get(f"{keeper.pods_path}/o")["metadata"].get("ownerReferences"), what="no owner"
    )
    keeper.wait_pods(1)


@pytest.mark.conformance("AP-051")
def test_a_quota_in_the_way_is_told(workload, namespace):
    keeper = workload("replicationcontrollers")
    quotas = f"/api/v1/namespaces/{namespace}/resourcequotas"
    keeper.api.create(quotas, {"metadata": {"name": "q"}, "spec": {"hard": {"pods": "2"}}})
    wait_until(lambda: (keeper.api.get(f"{quotas}/q").get("status") or {}).get("hard"), what="a counted quota")
    keeper.create(replicas=3)

    def conditions():
        return {one["type"] for one in (keeper.get().get("status") or {}).get("conditions") or ()}

    wait_until(lambda: "ReplicaFailure" in conditions(), what="a failure that is told")
    keeper.patch({"spec": {"replicas": 2}})
    wait_until(lambda: "ReplicaFailure" not in conditions(), what="no failure any more")


@pytest.mark.conformance("AP-015")
def test_recreate_has_no_two_versions_at_once(workload):
    deployment = workload("deployments")
    deployment.create(replicas=2, strategy={"type": "Recreate"})
    deployment.wait_pods(2)
    events = deployment.api.watch(deployment.pods_path)
    deployment.set_image("two")
    deployment.wait_images(["two", "two"])
    running = {}
    for event in events.seen:
        pod = event["object"]
        image = pod["spec"]["containers"][0]["image"]
        if event["type"] == "DELETED":
            running.pop(pod["metadata"]["name"], None)
        else:
            running[pod["metadata"]["name"]] = image
        assert len(set(running.values())) <= 1
    events.close()


@pytest.mark.conformance("AP-016", "AP-019")
def test_a_rollout_is_overtaken_by_the_next(workload):
    deployment = workload("deployments")
    deployment.create(replicas=3, annotations=None)
    deployment.wait_pods(3)
    deployment.set_image("two")
    deployment.set_image("three")
    deployment.wait_images(["three"] * 3)
    sets = deployment.api.get(deployment.path.replace("deployments", "replicasets"))["items"]
    assert sum(one["spec"]["replicas"] for one in sets) == 3
    assert deployment.get()["metadata"]["annotations"]["deployment.kubernetes.io/revision"] == str(len(sets))


@pytest.mark.conformance("AP-017")
def test_old_replica_sets_go(workload):
    deployment = workload("deployments")
    deployment.create(replicas=1, revisionHistoryLimit=0)
    deployment.wait_pods(1)
    deployment.set_image("two")
    deployment.wait_images(["two"])
    sets = deployment.path.replace("deployments", "replicasets")
    wait_until(lambda: len(deployment.api.get(sets)["items"]) == 1, what="one replica set")


@pytest.mark.conformance("AP-018")
def test_a_stuck_rollout_is_scaled_in_proportion(workload):
    deployment = workload("deployments")
    rolling = {"maxSurge": 3, "maxUnavailable": 2}
    deployment.create(replicas=10, strategy={"rollingUpdate": rolling})
    deployment.wait_pods(10)
    stuck = {"spec": {"template": {"metadata": {"annotations": NEVER_READY}}}}
    deployment.patch(stuck)
    sets = deployment.path.replace("deployments", "replicasets")

    def sizes():
        return sorted(one["spec"]["replicas"] for one in deployment.api.get(sets)["items"])

    wait_until(lambda: sizes() == [5, 8], what="a rollout that is stuck")
    deployment.patch({"spec": {"replicas": 30}})
    wait_until(lambda: sizes() == [13, 20], what=f"in proportion: {sizes()}")


@pytest.mark.conformance("AP-053")
def test_in_parallel_nobody_waits(workload):
    sets = workload("statefulsets")
    sets.create(replicas=3, podManagementPolicy="Parallel", serviceName="w", annotations=NEVER_READY)
    wait_until(lambda: sets.names() == ["w-0", "w-1", "w-2"], what="all pods, none ready")
    sets.patch({"spec": {"replicas": 1}})
    wait_until(lambda: sets.names() == ["w-0"], what="one pod")


@pytest.mark.conformance("AP-054")
def test_in_order_each_waits_for_the_one_before(workload):
    sets = workload("statefulsets")
    events = sets.api.watch(sets.pods_path)
    sets.create(replicas=3, serviceName="w")
    sets.wait_pods(3)
    sets.patch({"spec": {"replicas": 0}})
    wait_until(lambda: not sets.names(), what="no pods")
    events.wait(lambda seen: sum(one["type"] == "DELETED" for one in seen) == 3)
    order = [(one["type"], one["object"]["metadata"]["name"]) for one in events.seen if one["type"] != "MODIFIED"]
    assert order == [("ADDED", f"w-{n}") for n in range(3)] + [("DELETED", f"w-{n}") for n in (2, 1, 0)]
    events.close()
    sets.patch({"spec": {"template": {"metadata": {"annotations": NEVER_READY}}}})
    sets.patch({"spec": {"replicas": 2}})
    wait_until(lambda: sets.names() == ["w-0"], what="the first alone")
    wait_until(lambda: (sets.get().get("status") or {}).get("replicas") == 1, what="a status that says so")
    assert sets.names() == ["w-0"]


@pytest.mark.conformance("AP-055")
def test_a_failed_pod_is_made_anew(workload):
    sets = workload("statefulsets")
    sets.create(replicas=1, serviceName="w")
    (before,) = sets.wait_pods(1)
    sets.api.patch(f"{sets.pods_path}/w-0/status", {"status": {"phase": "Failed"}})

    def anew():
        return [one["metadata"]["uid"] for one in sets.pods()] not in ([], [before["metadata"]["uid"]])

    wait_until(anew, what="another pod of that name")
    sets.wait_pods(1)


@pytest.mark.conformance("AP-058")
def test_an_update_stops_at_the_partition(workload):
    sets = workload("statefulsets")
    sets.create(replicas=3, serviceName="w", updateStrategy={"rollingUpdate": {"partition": 2}})
    sets.wait_pods(3)
    sets.set_image("two")
    sets.wait_images(["one", "one", "two"])
    sets.api.delete(f"{sets.pods_path}/w-0")
    sets.api.delete(f"{sets.pods_path}/w-2")
    sets.wait_images(["one", "one", "two"])
    sets.patch({"spec": {"updateStrategy": {"rollingUpdate": {"partition": 1}}}})
    sets.wait_images(["one", "two", "two"])
    sets.patch({"spec": {"updateStrategy": {"rollingUpdate": {"partition": 0}}}})
    sets.wait_images(["two", "two", "two"])


@pytest.mark.conformance("AP-059")
def test_an_update_and_back(workload):
    sets = workload("statefulsets")
    sets.create(replicas=3, serviceName="w")
    sets.wait_pods(3)
    first = sets.get()["status"]["currentRevision"]
    events = sets.api.watch(sets.pods_path)
    sets.set_image("two")
    sets.wait_images(["two"] * 3)
    gone = [one["object"]["metadata"]["name"] for one in events.seen if one["type"] == "DELETED"]
    assert gone == ["w-2", "w-1", "w-0"]
    events.close()

    def current():
        status = sets.get()["status"]
        return status["currentRevision"], status["updateRevision"]

    wait_until(lambda: len(set(current())) == 1 and first not in current(), what="another current revision")
    sets.set_image("one")
    sets.wait_images(["one"] * 3)
    wait_until(lambda: current() == (first, first), what="the first revision again")


@pytest.fixture
def daemons(workload):
    return workload("daemonsets")


@pytest.fixture
def nodes(api):
    return sorted(one["metadata"]["name"] for one in api.get("/api/v1/nodes")["items"])


def on_nodes(daemons):
    return sorted(one["spec"].get("nodeName", "") for one in daemons.pods())


@pytest.mark.conformance("AP-011", "AP-008")
def test_a_daemon_runs_on_each_node_and_is_revived(daemons, nodes):
    daemons.create()
    wait_until(lambda: on_nodes(daemons) == nodes and daemons.all_ready(), what="a pod on each node")
    first, second = daemons.pods()
    daemons.api.delete(f"{daemons.pods_path}/{first['metadata']['name']}")
    daemons.api.patch(f"{daemons.pods_path}/{second['metadata']['name']}/status", {"status": {"phase": "Failed"}})

    def revived():
        uids = {one["metadata"]["uid"] for one in daemons.pods()}
        return on_nodes(daemons) == nodes and not uids & {first["metadata"]["uid"], second["metadata"]["uid"]}

    wait_until(revived, what="other pods")


@pytest.mark.conformance("AP-010")
def test_daemons_follow_the_labels_of_nodes(daemons, nodes, namespace):
    selects = {"spec": {"nodeSelector": {namespace: "yes"}}}
    body = {"metadata": {"labels": {"app": "w"}}, "spec": {"containers": [{"name": "c", "image": "one"}]}}
    body["spec"] |= selects["spec"]
    daemons.create(template=body)
    wait_until(lambda: (daemons.get().get("status") or {}).get("observedGeneration") == 1, what="a first status")
    assert on_nodes(daemons) == []
    daemons.api.patch(f"/api/v1/nodes/{nodes[0]}", {"metadata": {"labels": {namespace: "yes"}}})
    wait_until(lambda: on_nodes(daemons) == [nodes[0]], what="a pod on the node")
    daemons.api.patch(f"/api/v1/nodes/{nodes[0]}", {"metadata": {"labels": {namespace: None}}})
    wait_until(lambda: on_nodes(daemons) == [], what="no pod on the node")


@pytest.mark.conformance("AP-012", "AP-009", "AP-001")
def test_daemons_are_updated_and_brought_back(daemons, nodes, namespace):
    daemons.create()
    wait_until(lambda: on_nodes(daemons) == nodes and daemons.all_ready(), what="a pod on each node")
    revisions = f"/apis/apps/v1/namespaces/{namespace}/controllerrevisions"
    (first,) = daemons.api.get(revisions)["items"]
    daemons.set_image("two")
    daemons.wait_images(["two", "two"])
    known = sorted(daemons.api.get(revisions)["items"], key=lambda one: one["revision"])
    assert [one["revision"] for one in known] == [1, 2]
    newest = known[-1]["metadata"]["labels"]["controller.kubernetes.io/hash"]
    assert {one["metadata"]["labels"]["controller-revision-hash"] for one in daemons.pods()} == {newest}
    daemons.patch({"spec": {"updateStrategy": {"type": "OnDelete"}}})
    daemons.set_image("broken")
    wait_until(lambda: len(daemons.api.get(revisions)["items"]) == 3, what="a third revision")
    before = {one["metadata"]["uid"] for one in daemons.pods()}
    daemons.set_image("two")
    wait_until(daemons.all_ready, what="the old template")
    assert {one["metadata"]["uid"] for one in daemons.pods()} == before
    daemons.api.patch(f"{revisions}/{first['metadata']['name']}", {"metadata": {"labels": {"x": "y"}}})
    daemons.api.delete(f"{revisions}/{first['metadata']['name']}")
    wait_until(lambda: len(daemons.api.get(revisions)["items"]) == 2, what="two revisions")
