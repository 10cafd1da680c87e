"""The kinds of dynamic resource allocation: every verb, and their status."""

import uuid

import pytest
from conformance_tools import live_through

ROOT = "/apis/resource.k8s.io/v1"
REQUEST = {"name": "r", "exactly": {"deviceClassName": "c"}}


def driver():
    return f"{uuid.uuid4().hex[:8]}.example.com"


@pytest.mark.parametrize(
    ("plural", "body", "change"),
    [
        pytest.param(
            "deviceclasses",
            {"spec": {"selectors": [{"cel": {"expression": "true"}}]}},
            {"spec": {"selectors": [{"cel": {"expression": "false"}}]}},
            marks=pytest.mark.conformance("ND-100"),
        ),
        pytest.param(
            "devicetaintrules",
            {"spec": {"deviceSelector": {"driver": "d.example.com"}, "taint": {"key": "k", "effect": "NoSchedule"}}},
            {"spec": {"taint": {"value": "v"}}},
            marks=pytest.mark.conformance("ND-101"),
        ),
        pytest.param(
            "resourceslices",
            {
                "spec": {
                    "driver": driver(),
                    "nodeName": "none",
                    "pool": {"name": "p", "generation": 1, "resourceSliceCount": 1},
                    "devices": [{"name": "a"}],
                }
            },
            {"spec": {"devices": [{"name": "a", "attributes": {"x": {"bool": True}}}]}},
            marks=pytest.mark.conformance("ND-104"),
        ),
    ],
)
def test_every_verb_works(api, plural, body, change):
    live_through(api, f"{ROOT}/{plural}", body, change)


@pytest.mark.parametrize(
    ("plural", "body"),
    [
        pytest.param(
            "resourceclaims", {"spec": {"devices": {"requests": [REQUEST]}}}, marks=pytest.mark.conformance("ND-102")
        ),
        pytest.param(
            "resourceclaimtemplates",
            {"spec": {"spec": {"devices": {"requests": [REQUEST]}}}},
            marks=pytest.mark.conformance("ND-103"),
        ),
    ],
)
def test_every_verb_works_in_a_namespace(api, namespace, plural, body):
    live_through(api, f"{ROOT}/namespaces/{namespace}/{plural}", body, {"metadata": {"annotations": {"a": "b"}}})


@pytest.mark.conformance("ND-101")
def test_the_status_of_a_taint_rule(api):
    name = f"tried-{uuid.uuid4().hex[:12]}"
    path = f"{ROOT}/devicetaintrules/{name}"
    spec = {"deviceSelector": {"driver": name}, "taint": {"key": "k", "effect": "None"}}
    api.create(path.rpartition("/")[0], {"metadata": {"name": name}, "spec": spec})
    condition = {
        "type": "Tried",
        "status": "True",
        "reason": "ByHand",
        "message": "",
        "lastTransitionTime": "2026-01-01T00:00:00Z",
    }
    api.patch(f"{path}/status", {"status": {"conditions": [condition]}})
    tree = api.get(f"{path}/status")
    assert tree["status"]["conditions"][0]["type"] == "Tried"
    tree["status"]["conditions"][0]["reason"] = "Again"
    assert api.update(f"{path}/status", tree)["status"]["conditions"][0]["reason"] == "Again"
    api.delete(path)


@pytest.mark.conformance("ND-102")
def test_the_status_of_a_claim(api, namespace):
    claims = f"{ROOT}/namespaces/{namespace}/resourceclaims"
    api.create(claims, {"metadata": {"name": "c"}, "spec": {"devices": {"requests": [REQUEST]}}})
    result = {"request": "r", "driver": "d.example.com", "pool": "p", "device": "a"}
    api.patch(f"{claims}/c/status", {"status": {"allocation": {"devices": {"results": [result]}}}})
    tree = api.get(f"{claims}/c/status")
    assert tree["status"]["allocation"]["devices"]["results"] == [result]
    tree["status"]["devices"] = [{"driver": "d.example.com", "pool": "p", "device": "a", "data": {"x": 1}}]
    assert api.update(f"{claims}/c/status", tree)["status"]["devices"][0]["data"] == {"x": 1}
    assert api.get(f"{claims}/c")["spec"]["devices"]["requests"][0]["exactly"]["allocationMode"] == "ExactCount"
