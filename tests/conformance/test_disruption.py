"""Disruption budgets, and evictions that heed them; claims and volumes that are held."""

import pytest
from conformance_tools import wait_until


@pytest.fixture
def budgets(namespace):
    return f"/apis/policy/v1/namespaces/{namespace}/poddisruptionbudgets"


def budget(name="b", **spec):
    selector = {"matchLabels": {"app": "a"}}
    return {"metadata": {"name": name, "labels": {"app": "a"}}, "spec": {"selector": selector, **spec}}


def run(api, namespace, count):
    """So many ready pods of a replica set."""
    template = {"metadata": {"labels": {"app": "a"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
    spec = {"replicas": count, "selector": {"matchLabels": {"app": "a"}}, "template": template}
    path = f"/apis/apps/v1/namespaces/{namespace}/replicasets"
    api.create(path, {"metadata": {"name": "s"}, "spec": spec})

    def ready():
        return (api.get(f"{path}/s").get("status") or {}).get("readyReplicas") == count

    wait_until(ready, what="ready pods")
    return [one["metadata"]["name"] for one in api.get(f"/api/v1/namespaces/{namespace}/pods")["items"]]


def evict(api, namespace, name):
    body = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name, "namespace": namespace}}
    return api.ask("POST", f"/api/v1/namespaces/{namespace}/pods/{name}/eviction", body)


def allows(api, path, wanted):
    """Wait until the controller has seen the budget as it is, and finds that many to spare."""

    def found():
        tree = api.get(path)
        status = tree.get("status") or {}
        seen = status.get("observedGeneration") == tree["metadata"]["generation"]
        return seen and status.get("disruptionsAllowed") == wanted

    wait_until(found, what=f"{wanted} spare")


@pytest.mark.conformance("AP-024")
@pytest.mark.conformance("AP-022")
def test_budgets_are_made_changed_listed_and_deleted(api, budgets, namespace):
    for number, spec in enumerate(
        ({"minAvailable": 1}, {"minAvailable": "50%"}, {"maxUnavailable": 1}, {"maxUnavailable": "50%"})
    ):
        made = api.create(budgets, budget(f"b{number}", **spec))
        assert spec.items() <= made["spec"].items()
    there = api.get(f"{budgets}/b0")
    there["spec"]["minAvailable"] = 2
    assert api.update(f"{budgets}/b0", there)["spec"]["minAvailable"] == 2
    changed = api.patch(f"{budgets}/b0", {"spec": {"minAvailable": "30%"}})
    assert changed["spec"]["minAvailable"] == "30%"
    assert changed["metadata"]["generation"] == 3
    both = api.ask("POST", budgets, budget("both", minAvailable=1, maxUnavailable=1))
    assert both.status_code == 422
    everywhere = [one["metadata"]["namespace"] for one in api.get("/apis/policy/v1/poddisruptionbudgets")["items"]]
    assert everywhere.count(namespace) == 4
    api.delete(f"{budgets}?labelSelector=app%3Da")
    assert api.get(budgets)["items"] == []


@pytest.mark.conformance("AP-025")
def test_what_may_go_is_counted(api, budgets, namespace):
    run(api, namespace, 3)
    api.create(budgets, budget(minAvailable=1))
    allows(api, f"{budgets}/b", 2)
    status = api.get(f"{budgets}/b")["status"]
    counts = {"currentHealthy": 3, "desiredHealthy": 1, "expectedPods": 3, "observedGeneration": 1}
    assert counts.items() <= status.items()
    (condition,) = status["conditions"]
    assert (condition["type"], condition["status"], condition["reason"]) == (
        "DisruptionAllowed",
        "True",
        "SufficientPods",
    )


@pytest.mark.conformance("AP-023")
def test_an_eviction_waits_for_its_budget(api, budgets, namespace):
    first, *_ = run(api, namespace, 3)
    api.create(budgets, budget(minAvailable=3))
    allows(api, f"{budgets}/b", 0)
    answer = evict(api, namespace, first)
    assert answer.status_code == 429
    said = answer.json()
    assert said["message"] == "Cannot evict pod as it would violate the pod's disruption budget."
    assert said["details"]["causes"] == [
        {"reason": "DisruptionBudget", "message": "The disruption budget b needs 3 healthy pods and has 3 currently"}
    ]
    api.patch(f"{budgets}/b", {"spec": {"minAvailable": 2}})
    allows(api, f"{budgets}/b", 1)
    assert evict(api, namespace, first).status_code == 201
    wait_until(
        lambda: api.ask("GET", f"/api/v1/namespaces/{namespace}/pods/{first}").status_code == 404,
        what="the pod to go",
    )
    allows(api, f"{budgets}/b", 1)
    api.delete(f"{budgets}/b")


@pytest.mark.conformance("AP-026")
def test_the_status_of_a_budget_is_patched_and_updated(api, budgets, namespace):
    api.create(budgets, budget(minAvailable=1))
    allows(api, f"{budgets}/b", 0)
    made = api.patch(
        f"{budgets}/b/status", {"metadata": {"annotations": {"a": "b"}}, "status": {"observedGeneration": 1}}
    )
    assert made["metadata"]["annotations"] == {"a": "b"}
    made["status"]["disruptedPods"] = {"p": made["metadata"]["creationTimestamp"]}
    made["spec"]["minAvailable"] = 9
    updated = api.update(f"{budgets}/b/status", made)
    assert list(updated["status"]["disruptedPods"]) == ["p"]
    assert updated["spec"]["minAvailable"] == 1
    assert api.get(f"{budgets}/b/status")["metadata"]["name"] == "b"


def test_a_claim_is_held_while_a_pod_uses_it(api, namespace):
    claims = f"/api/v1/namespaces/{namespace}/persistentvolumeclaims"
    pods = f"/api/v1/namespaces/{namespace}/pods"
    spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}, "storageClassName": ""}
    made = api.create(claims, {"metadata": {"name": "d"}, "spec": spec})
    assert made["metadata"]["finalizers"] == ["kubernetes.io/pvc-protection"]
    nodes = api.get("/api/v1/nodes")["items"]
    volumes = [{"name": "v", "persistentVolumeClaim": {"claimName": "d"}}]
    body = {"containers": [{"name": "c", "image": "i"}], "volumes": volumes, "nodeName": nodes[0]["metadata"]["name"]}
    api.create(pods, {"metadata": {"name": "p"}, "spec": body})
    assert api.delete(f"{claims}/d")["metadata"]["deletionTimestamp"]
    assert api.get(f"{claims}/d")["metadata"]["finalizers"] == ["kubernetes.io/pvc-protection"]
    api.delete(f"{pods}/p", {"gracePeriodSeconds": 0})
    wait_until(lambda: api.ask("GET", f"{pods}/p").status_code == 404, what="the pod to go")
    wait_until(lambda: api.ask("GET", f"{claims}/d").status_code == 404, what="the claim to go")
