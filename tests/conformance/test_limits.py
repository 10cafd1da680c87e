"""What bounds pods: limit ranges, runtime classes, priority classes, sizes that change in place."""

import pytest
from conformance_tools import wait_until

CLASSES = "/apis/node.k8s.io/v1/runtimeclasses"
PRIORITIES = "/apis/scheduling.k8s.io/v1/priorityclasses"
STRATEGIC = "application/strategic-merge-patch+json"


def pod(name, *resources, **spec):
    containers = [{"name": f"c{n}", "image": "i", "resources": one} for n, one in enumerate(resources or [{}])]
    return {"metadata": {"name": name}, "spec": {"containers": containers, **spec}}


@pytest.fixture
def home(namespace):
    return f"/api/v1/namespaces/{namespace}"


LIMITS = {
    "type": "Container",
    "min": {"cpu": "50m", "memory": "100Mi"},
    "max": {"cpu": "500m", "memory": "500Mi"},
    "default": {"cpu": "300m", "memory": "500Mi"},
    "defaultRequest": {"cpu": "100m", "memory": "200Mi"},
}


@pytest.mark.conformance("SC-001")
def test_a_limit_range_fills_in_and_bounds(api, home):
    path = f"{home}/limitranges/l"
    api.create(f"{home}/limitranges", {"metadata": {"name": "l"}, "spec": {"limits": [LIMITS]}})

    def sizes(made):
        return made["spec"]["containers"][0]["resources"]

    made = sizes(api.create(f"{home}/pods", pod("plain")))
    assert made == {"limits": LIMITS["default"], "requests": LIMITS["defaultRequest"]}
    some = {"requests": {"cpu": "150m"}, "limits": {"memory": "400Mi"}}
    made = sizes(api.create(f"{home}/pods", pod("some", some)))
    # What is only limited is asked for too, before a limit range is looked at.
    assert made["requests"] == {"cpu": "150m", "memory": "400Mi"}
    assert made["limits"] == {"cpu": "300m", "memory": "400Mi"}
    for refused in ({"requests": {"cpu": "10m"}}, {"requests": {"memory": "600Mi"}, "limits": {"memory": "600Mi"}}):
        answer = api.ask("POST", f"{home}/pods", pod("no", refused))
        assert answer.status_code == 403
        assert "usage per Container" in answer.json()["message"]
    there = api.get(path)
    there["spec"]["limits"][0]["min"] = {"cpu": "9m", "memory": "9Mi"}
    api.update(path, there)
    small = {"requests": {"cpu": "10m", "memory": "10Mi"}, "limits": {"cpu": "20m", "memory": "20Mi"}}
    api.create(f"{home}/pods", pod("small", small))
    api.delete(path)
    assert api.ask("GET", path).status_code == 404
    assert sizes(api.create(f"{home}/pods", pod("free"))) == {}


@pytest.mark.conformance("SC-002")
def test_limit_ranges_are_listed_everywhere_and_deleted_together(api, home, namespace):
    labels = {"example.com/test": namespace}
    body = {"metadata": {"name": "l", "labels": labels}, "spec": {"limits": [LIMITS]}}
    api.create(f"{home}/limitranges", body)
    query = f"labelSelector=example.com/test%3D{namespace}"
    assert len(api.get(f"/api/v1/limitranges?{query}")["items"]) == 1
    made = api.patch(f"{home}/limitranges/l", {"metadata": {"labels": {"patched": "yes"}}})
    assert made["metadata"]["labels"] == {**labels, "patched": "yes"}
    api.delete(f"{home}/limitranges?{query}")
    assert api.get(f"/api/v1/limitranges?{query}")["items"] == []


@pytest.fixture
def runtime_class(api, namespace):
    """A class with an overhead, and the name of one without."""
    names = [f"{namespace}-heavy", f"{namespace}-light"]
    api.create(CLASSES, {"metadata": {"name": names[0]}, "handler": "h", "overhead": {"podFixed": {"cpu": "10m"}}})
    api.create(CLASSES, {"metadata": {"name": names[1]}, "handler": "h"})
    yield names
    for name in names:
        api.ask("DELETE", f"{CLASSES}/{name}")


@pytest.mark.conformance("ND-074")
@pytest.mark.conformance("ND-075")
def test_a_runtime_class_must_be_there(api, home, runtime_class):
    api.delete(f"{CLASSES}/{runtime_class[1]}")
    for name in (runtime_class[1], "nonexistent"):
        answer = api.ask("POST", f"{home}/pods", pod("p", runtimeClassName=name))
        assert answer.status_code == 403
        assert answer.json()["message"] == (f'pods "p" is forbidden: pod rejected: RuntimeClass "{name}" not found')


@pytest.mark.conformance("ND-076")
@pytest.mark.conformance("ND-077")
def test_a_runtime_class_adds_its_overhead(api, home, runtime_class):
    for name, overhead in zip(runtime_class, ({"cpu": "10m"}, None), strict=True):
        made = api.create(f"{home}/pods", pod(name, runtimeClassName=name))
        assert made["spec"].get("overhead") == overhead
        path = f"{home}/pods/{name}"
        wait_until(lambda path=path: api.get(path)["spec"].get("nodeName"), what="the pod to have a node")


@pytest.mark.conformance("SC-008")
def test_a_priority_class_keeps_its_value(api, namespace):
    path = f"{PRIORITIES}/{namespace}"
    api.create(PRIORITIES, {"metadata": {"name": namespace}, "value": 7, "description": "d"})
    try:
        assert any(one["metadata"]["name"] == namespace for one in api.get(PRIORITIES)["items"])
        assert api.patch(path, {"description": "other"})["description"] == "other"
        there = api.get(path)
        answer = api.ask("PUT", path, {**there, "value": 8})
        assert answer.status_code == 422
        assert api.ask("PATCH", path, {"value": 8}, media="application/merge-patch+json").status_code == 422
        assert api.update(path, {**there, "description": "third"})["value"] == 7
    finally:
        api.delete(path)


@pytest.mark.conformance("ND-045")
def test_a_pod_is_resized_by_replacing(api, home):
    sizes = {"requests": {"cpu": "10m", "memory": "10Mi"}, "limits": {"cpu": "20m", "memory": "20Mi"}}
    api.create(f"{home}/pods", pod("p", sizes))
    wait_until(lambda: api.get(f"{home}/pods/p")["spec"].get("nodeName"))
    there = api.get(f"{home}/pods/p/resize")
    assert there["spec"] == api.get(f"{home}/pods/p")["spec"]
    more = {"requests": {"cpu": "15m", "memory": "10Mi"}, "limits": {"cpu": "30m", "memory": "20Mi"}}
    there = api.get(f"{home}/pods/p")
    del there["metadata"]["resourceVersion"]  # its node writes its status all the while
    there["spec"]["containers"][0]["resources"] = more
    assert api.update(f"{home}/pods/p/resize", there)["spec"]["containers"][0]["resources"] == more
    assert api.get(f"{home}/pods/p")["spec"]["containers"][0]["resources"] == more
    answer = api.ask("PUT", f"{home}/pods/p", {**there, "spec": {**there["spec"], "hostname": "x"}})
    assert answer.status_code == 422


def test_a_resize_is_bounded_and_charged(api, home):
    sizes = {"requests": {"cpu": "100m"}, "limits": {"cpu": "200m"}}
    bounds = {"type": "Container", "max": {"cpu": "400m"}}
    api.create(f"{home}/limitranges", {"metadata": {"name": "l"}, "spec": {"limits": [bounds]}})
    api.create(f"{home}/resourcequotas", {"metadata": {"name": "q"}, "spec": {"hard": {"requests.cpu": "150m"}}})
    wait_until(lambda: "used" in (api.get(f"{home}/resourcequotas/q").get("status") or {}), what="the quota")
    api.create(f"{home}/pods", pod("p", sizes))

    def resize(requests, limits):
        change = {"name": "c0", "resources": {"requests": {"cpu": requests}, "limits": {"cpu": limits}}}
        return api.ask("PATCH", f"{home}/pods/p/resize", {"spec": {"containers": [change]}}, media=STRATEGIC)

    answer = resize("100m", "500m")
    assert answer.status_code == 403
    assert "maximum cpu usage per Container is 400m, but limit is 500m" in answer.json()["message"]
    answer = resize("200m", "300m")
    assert answer.status_code == 403
    assert "requested: requests.cpu=100m, used: requests.cpu=100m, limited: requests.cpu=150m" in answer.text
    assert resize("50m", "200m").status_code == 200
    assert api.get(f"{home}/resourcequotas/q")["status"]["used"] == {"requests.cpu": "50m"}
