"""Quotas: what is charged, refused, released."""

import pytest
from conformance_tools import wait_until

HARD = {
    "pods": "5",
    "requests.cpu": "1",
    "requests.memory": "500Mi",
    "requests.ephemeral-storage": "50Gi",
    "requests.example.com/dongle": "3",
    "services": "10",
    "services.nodeports": "1",
    "services.loadbalancers": "1",
    "replicationcontrollers": "10",
    "resourcequotas": "1",
    "configmaps": "10",
    "secrets": "10",
    "persistentvolumeclaims": "10",
    "requests.storage": "10Gi",
    "count/replicasets.apps": "5",
}
TEMPLATE = {"metadata": {"labels": {"app": "a"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}


@pytest.fixture
def home(namespace):
    return f"/api/v1/namespaces/{namespace}"


@pytest.fixture
def quota(api, home):
    """A quota of everything, once its status says what there is."""
    return make(api, home, "q", HARD)


def make(api, home, name, hard, **spec):
    api.create(f"{home}/resourcequotas", {"metadata": {"name": name}, "spec": {"hard": hard, **spec}})
    wait_until(lambda: set(status(api, home, name).get("used", ())) == set(hard), what="the quota's status")
    return name


def status(api, home, name="q"):
    return api.get(f"{home}/resourcequotas/{name}").get("status") or {}


def becomes(api, home, name="q", **wanted):
    """Wait until so much is used; `_` in a name stands for a dot."""
    named = {key.replace("_", "."): value for key, value in wanted.items()}
    wait_until(
        lambda: named.items() <= status(api, home, name)["used"].items(),
        what=f"{named}, not {status(api, home, name)['used']}",
    )


def refused(api, path, body):
    answer = api.ask("POST", path, body)
    assert answer.status_code == 403, answer.text
    message = answer.json()["message"]
    assert "exceeded quota" in message or "must specify" in message
    return message


def pod(name, requests=None, **spec):
    resources = {"requests": requests or {}}
    resources["limits"] = {key: value for key, value in resources["requests"].items() if "/" in key}
    container = {"name": "c", "image": "i", "resources": resources}
    return {"metadata": {"name": name}, "spec": {"containers": [container], **spec}}


@pytest.mark.conformance("AM-083")
def test_the_status_comes_promptly(api, home, quota):
    said = status(api, home)
    assert said["hard"] == HARD
    assert said["used"]["resourcequotas"] == "1"


@pytest.mark.conformance("AM-082")
def test_the_life_of_a_service(api, home, quota):
    ports = {"ports": [{"port": 80}]}
    api.create(f"{home}/services", {"metadata": {"name": "a"}, "spec": ports})
    api.create(f"{home}/services", {"metadata": {"name": "b"}, "spec": {**ports, "type": "NodePort"}})
    becomes(api, home, services="2", services_nodeports="1", services_loadbalancers="0")
    balancer = {**ports, "type": "LoadBalancer"}
    refused(api, f"{home}/services", {"metadata": {"name": "c"}, "spec": {**ports, "type": "NodePort"}})
    refused(api, f"{home}/services", {"metadata": {"name": "c"}, "spec": balancer})
    without = {**balancer, "allocateLoadBalancerNodePorts": False}
    api.create(f"{home}/services", {"metadata": {"name": "c"}, "spec": without})
    becomes(api, home, services="3", services_nodeports="1", services_loadbalancers="1")
    for name in "abc":
        api.delete(f"{home}/services/{name}")
    becomes(api, home, services="0", services_nodeports="0", services_loadbalancers="0")


@pytest.mark.conformance("AM-081")
def test_the_life_of_a_secret(api, home, namespace):
    api.create(f"{home}/secrets", {"metadata": {"name": "before"}})
    make(api, home, "q", {"secrets": "10"})
    assert status(api, home)["used"]["secrets"] == "1"
    api.create(f"{home}/secrets", {"metadata": {"name": "a"}, "data": {"top": "cXVlc3Q="}})
    becomes(api, home, secrets="2")
    api.delete(f"{home}/secrets/a")
    becomes(api, home, secrets="1")


@pytest.mark.conformance("AM-078")
def test_the_life_of_a_pod(api, home, quota):
    requests = {"cpu": "500m", "memory": "252Mi", "ephemeral-storage": "30Gi", "example.com/dongle": "2"}
    api.create(f"{home}/pods", pod("a", requests))
    expected = {
        "pods": "1",
        "requests_cpu": "500m",
        "requests_memory": "252Mi",
        "requests_ephemeral-storage": "30Gi",
        "requests_example.com/dongle": "2",
    }
    becomes(api, home, **expected)
    refused(api, f"{home}/pods", pod("b", {**requests, "cpu": "600m", "example.com/dongle": "1"}))
    few = {"cpu": "100m", "memory": "1Mi", "ephemeral-storage": "1Gi", "example.com/dongle": "2"}
    refused(api, f"{home}/pods", pod("b", few))
    path = f"{home}/pods/a"
    change = {"spec": {"containers": [{"name": "c", "image": "i", "resources": {"requests": {"cpu": "50m"}}}]}}
    assert api.ask("PATCH", path, change, media="application/strategic-merge-patch+json").status_code == 422
    becomes(api, home, **expected)
    api.delete(path, {"gracePeriodSeconds": 0})
    becomes(api, home, pods="0", requests_cpu="0", requests_memory="0")


@pytest.mark.conformance("AM-077")
def test_the_life_of_a_config_map(api, home, quota):
    before = int(status(api, home)["used"]["configmaps"])
    api.create(f"{home}/configmaps", {"metadata": {"name": "a"}, "data": {"a": "b"}})
    becomes(api, home, configmaps=str(before + 1))
    api.delete(f"{home}/configmaps/a")
    becomes(api, home, configmaps=str(before))


@pytest.mark.conformance("AM-080")
def test_the_life_of_a_replication_controller(api, home, quota):
    spec = {"replicas": 0, "template": TEMPLATE}
    api.create(f"{home}/replicationcontrollers", {"metadata": {"name": "rc"}, "spec": spec})
    becomes(api, home, replicationcontrollers="1")
    api.delete(f"{home}/replicationcontrollers/rc", {"propagationPolicy": "Background"})
    becomes(api, home, replicationcontrollers="0")


@pytest.mark.conformance("AM-079")
def test_the_life_of_a_replica_set(api, home, namespace, quota):
    path = f"/apis/apps/v1/namespaces/{namespace}/replicasets"
    spec = {"replicas": 0, "selector": {"matchLabels": {"app": "a"}}, "template": TEMPLATE}
    api.create(path, {"metadata": {"name": "rs"}, "spec": spec})
    becomes(api, home, **{"count/replicasets_apps": "1"})
    api.delete(f"{path}/rs", {"propagationPolicy": "Background"})
    becomes(api, home, **{"count/replicasets_apps": "0"})


@pytest.mark.conformance("AM-086")
def test_terminating_scopes(api, home, namespace):
    hard = {"pods": "5", "requests.cpu": "1", "limits.cpu": "2"}
    make(api, home, "ends", hard, scopes=["Terminating"])
    make(api, home, "stays", hard, scopes=["NotTerminating"])
    container = {"name": "c", "image": "i", "resources": {"requests": {"cpu": "500m"}, "limits": {"cpu": "1"}}}
    for name, more, inside, outside in (
        ("a", {}, "stays", "ends"),
        ("b", {"activeDeadlineSeconds": 3600}, "ends", "stays"),
    ):
        api.create(f"{home}/pods", {"metadata": {"name": name}, "spec": {"containers": [container], **more}})
        becomes(api, home, inside, pods="1", requests_cpu="500m", limits_cpu="1")
        assert status(api, home, outside)["used"]["pods"] == "0"
        api.delete(f"{home}/pods/{name}", {"gracePeriodSeconds": 0})
        becomes(api, home, inside, pods="0", requests_cpu="0", limits_cpu="0")


@pytest.mark.conformance("AM-085")
def test_the_best_effort_scope(api, home, namespace):
    make(api, home, "best", {"pods": "5"}, scopes=["BestEffort"])
    make(api, home, "other", {"pods": "5"}, scopes=["NotBestEffort"])
    for name, requests, inside, outside in (("a", {}, "best", "other"), ("b", {"cpu": "1m"}, "other", "best")):
        api.create(f"{home}/pods", pod(name, requests))
        becomes(api, home, inside, pods="1")
        assert status(api, home, outside)["used"]["pods"] == "0"
        api.delete(f"{home}/pods/{name}", {"gracePeriodSeconds": 0})
        becomes(api, home, inside, pods="0")


@pytest.mark.conformance("AM-076")
def test_a_quota_is_updated_and_deleted(api, home, namespace):
    path = f"{home}/resourcequotas/q"
    make(api, home, "q", {"cpu": "1", "memory": "500Mi"})
    there = api.get(path)
    there["spec"]["hard"] = {"cpu": "2", "memory": "1Gi"}
    assert api.update(path, there)["spec"]["hard"] == {"cpu": "2", "memory": "1Gi"}
    wait_until(lambda: status(api, home)["hard"] == {"cpu": "2", "memory": "1Gi"}, what="the new limits")
    api.delete(path)
    assert api.ask("GET", path).status_code == 404


@pytest.mark.conformance("AM-084")
def test_quotas_are_listed_everywhere_and_deleted_together(api, home, namespace):
    label = f"test={namespace}"
    made = {"metadata": {"name": "q", "labels": {"test": namespace}}, "spec": {"hard": {"cpu": "1"}}}
    api.create(f"{home}/resourcequotas", made)
    found = api.get(f"/api/v1/resourcequotas?labelSelector={label}")["items"]
    assert [one["metadata"]["namespace"] for one in found] == [namespace]
    patched = api.patch(
        f"{home}/resourcequotas/q", {"metadata": {"labels": {"x": "patched"}}, "spec": {"hard": {"memory": "750Mi"}}}
    )
    assert patched["spec"]["hard"] == {"cpu": "1", "memory": "750Mi"}
    api.delete(f"{home}/resourcequotas?labelSelector={label}")
    assert api.get(f"/api/v1/resourcequotas?labelSelector={label}")["items"] == []


@pytest.mark.conformance("AM-075")
def test_a_changed_status_is_put_right(api, home, namespace):
    path = f"{home}/resourcequotas/q"
    make(api, home, "q", {"cpu": "500m", "memory": "500Mi"})
    watch = api.watch(f"{home}/resourcequotas?fieldSelector=metadata.name%3Dq")
    there = api.get(path)
    there["status"]["hard"] = {"cpu": "400m", "memory": "1Gi"}
    there["spec"]["hard"] = {"cpu": "9"}
    made = api.update(f"{path}/status", there)
    assert made["status"]["hard"] == {"cpu": "400m", "memory": "1Gi"}
    assert made["spec"]["hard"] == {"cpu": "500m", "memory": "500Mi"}
    patched = api.patch(f"{path}/status", {"status": {"hard": {"cpu": "600m"}}})
    assert patched["status"]["hard"]["cpu"] == "600m"

    def restored(seen):
        return seen and seen[-1]["object"]["status"]["hard"] == {"cpu": "500m", "memory": "500Mi"}

    watch.wait(restored)
    watch.close()


def test_many_at_once_never_exceed(api, home, namespace):
    """Twenty creates at once where five may be."""
    from concurrent.futures import ThreadPoolExecutor

    make(api, home, "q", {"count/secrets": "5"})
    before = int(status(api, home)["used"]["count/secrets"])

    def one(number):
        return api.ask("POST", f"{home}/secrets", {"metadata": {"name": f"s{number}"}}).status_code

    with ThreadPoolExecutor(10) as pool:
        codes = list(pool.map(one, range(20)))
    assert codes.count(201) == 5 - before
    assert codes.count(403) == 15 + before
    becomes(api, home, **{"count/secrets": "5"})
