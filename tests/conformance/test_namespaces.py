"""The life of a namespace, and what it takes with it."""

import pytest
from conformance_tools import wait_until

SPEC = {"containers": [{"name": "c", "image": "i"}]}


@pytest.mark.conformance("AM-068")
def test_finalizers_are_set_and_taken_off(api, namespace):
    path = f"/api/v1/namespaces/{namespace}"
    there = api.get(path)
    assert there["spec"]["finalizers"] == ["kubernetes"]
    there["spec"]["finalizers"].append("example.com/held")
    made = api.update(f"{path}/finalize", there)
    assert made["spec"]["finalizers"] == ["kubernetes", "example.com/held"]
    made["spec"]["finalizers"].remove("example.com/held")
    assert api.update(f"{path}/finalize", made)["spec"]["finalizers"] == ["kubernetes"]
    made["spec"]["finalizers"] = []
    assert api.update(path, {**made, "metadata": {"name": namespace}})["spec"]["finalizers"] == ["kubernetes"]


@pytest.mark.conformance("AM-069")
def test_an_update_keeps_a_new_label(api, namespace):
    path = f"/api/v1/namespaces/{namespace}"
    there = api.get(path)
    there["metadata"]["labels"]["example.com/mine"] = "yes"
    api.update(path, there)
    labels = api.get(path)["metadata"]["labels"]
    assert labels["example.com/mine"] == "yes"
    assert labels["kubernetes.io/metadata.name"] == namespace


@pytest.mark.conformance("AM-070")
def test_the_status_is_read_patched_and_updated(api, namespace):
    path = f"/api/v1/namespaces/{namespace}/status"
    assert api.get(path)["status"]["phase"] == "Active"
    condition = {"type": "StatusPatch", "status": "True", "reason": "E2E", "message": "patched"}
    made = api.patch(path, {"metadata": {"annotations": {"a": "b"}}, "status": {"conditions": [condition]}})
    assert made["status"]["conditions"][0]["message"] == "patched"
    made["status"]["conditions"].append({**condition, "type": "StatusUpdate"})
    made = api.update(path, made)
    assert [one["type"] for one in made["status"]["conditions"]] == ["StatusPatch", "StatusUpdate"]
    assert made["status"]["phase"] == "Active"


@pytest.mark.conformance("AM-073")
def test_a_label_is_patched(api, namespace):
    path = f"/api/v1/namespaces/{namespace}"
    api.patch(path, {"metadata": {"labels": {"testLabel": "testValue"}}})
    assert api.get(path)["metadata"]["labels"]["testLabel"] == "testValue"


@pytest.mark.conformance("AM-071")
@pytest.mark.conformance("AM-072")
@pytest.mark.parametrize("kind", ["pods", "services"])
def test_what_is_in_it_goes_first(api, namespace, kind):
    spec = SPEC if kind == "pods" else {"ports": [{"port": 80}]}
    path = f"/api/v1/namespaces/{namespace}"
    api.create(f"{path}/{kind}", {"metadata": {"name": "a"}, "spec": spec})
    api.delete(path)
    wait_until(lambda: api.ask("GET", path).status_code == 404, what="the namespace to go", seconds=40)
    api.create("/api/v1/namespaces", {"metadata": {"name": namespace}})
    assert api.get(f"{path}/{kind}")["items"] == []


@pytest.mark.conformance("AM-074")
def test_pods_go_before_the_rest(api, namespace):
    path = f"/api/v1/namespaces/{namespace}"
    held = {"metadata": {"name": "p", "finalizers": ["example.com/held"]}, "spec": SPEC}
    api.create(f"{path}/pods", held)
    api.create(f"{path}/configmaps", {"metadata": {"name": "stays"}})
    api.delete(path)

    def conditions():
        return {one["type"]: one for one in api.get(path)["status"].get("conditions") or ()}

    remaining = wait_until(lambda: conditions().get("NamespaceContentRemaining"), what="the condition")
    assert remaining["status"] == "True"
    assert "pods. has 1 resource instances" in remaining["message"]
    assert conditions()["NamespaceFinalizersRemaining"]["status"] == "True"
    assert api.get(f"{path}/configmaps/stays")["metadata"].get("deletionTimestamp") is None
    answer = api.ask("POST", f"{path}/configmaps", {"metadata": {"name": "late"}})
    assert answer.status_code == 403
    assert answer.json()["details"]["causes"][0]["reason"] == "NamespaceTerminating"
    api.patch(f"{path}/pods/p", {"metadata": {"finalizers": None}})
    wait_until(lambda: api.ask("GET", path).status_code == 404, what="the namespace to go", seconds=40)


@pytest.mark.parametrize("name", ["default", "kube-system", "kube-public"])
def test_the_first_namespaces_stay(api, name):
    answer = api.ask("DELETE", f"/api/v1/namespaces/{name}")
    assert answer.status_code == 403
    assert answer.json()["message"] == f'namespaces "{name}" is forbidden: this namespace may not be deleted'


@pytest.mark.conformance("AU-012")
def test_every_namespace_has_the_root_certificate(api, namespace):
    path = f"/api/v1/namespaces/{namespace}/configmaps/kube-root-ca.crt"
    first = wait_until(lambda: (a := api.ask("GET", path)).status_code == 200 and a.json(), what="the certificate")
    assert first["data"]["ca.crt"].startswith("-----BEGIN CERTIFICATE-----")
    api.delete(path)
    wait_until(lambda: api.ask("GET", path).status_code == 200, what="the certificate made again")
    api.patch(path, {"data": {"ca.crt": "wrong"}})
    wait_until(lambda: api.get(path)["data"] == first["data"], what="the certificate put right")


def test_custom_objects_are_counted_and_go_too(api, namespace):
    group = f"{namespace}.example.com"
    schema = {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}
    definition = {
        "metadata": {"name": f"widgets.{group}"},
        "spec": {
            "group": group,
            "names": {"plural": "widgets", "singular": "widget", "kind": "Widget"},
            "scope": "Namespaced",
            "versions": [{"name": "v1", "served": True, "storage": True, "schema": schema}],
        },
    }
    definitions = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
    api.create(definitions, definition)
    try:
        widgets = f"/apis/{group}/v1/namespaces/{namespace}/widgets"
        wait_until(lambda: api.ask("GET", widgets).status_code == 200, what="the kind to be served")
        name = f"count/widgets.{group}"
        quota = f"/api/v1/namespaces/{namespace}/resourcequotas"
        api.create(quota, {"metadata": {"name": "q"}, "spec": {"hard": {name: "1"}}})
        wait_until(lambda: name in (api.get(f"{quota}/q").get("status") or {}).get("used", {}), what="the quota")
        widget = {"apiVersion": f"{group}/v1", "kind": "Widget", "metadata": {"name": "a"}}
        api.create(widgets, widget)
        refused = api.ask("POST", widgets, {**widget, "metadata": {"name": "b"}})
        assert refused.status_code == 403
        assert f"exceeded quota: q, requested: {name}=1" in refused.json()["message"]
        path = f"/api/v1/namespaces/{namespace}"
        api.delete(path)
        wait_until(lambda: api.ask("GET", path).status_code == 404, what="the namespace to go", seconds=40)
        assert api.get(f"/apis/{group}/v1/widgets")["items"] == []
    finally:
        api.delete(f"{definitions}/widgets.{group}")
