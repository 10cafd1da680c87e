"""Server-side apply of custom objects: lists by key, what has no schema, scale and status."""

import itertools
import os

import pytest
from conformance_tools import wait_until

APPLY = "application/apply-patch+yaml"
GROUP = "apply.example.com"
STRING = {"type": "string"}
_numbers = itertools.count(1)

SPEC = {
    "type": "object",
    "properties": {
        "replicas": {"type": "integer"},
        "ports": {
            "type": "array",
            "x-kubernetes-list-type": "map",
            "x-kubernetes-list-map-keys": ["port", "protocol"],
            "items": {
                "type": "object",
                "required": ["port"],
                "properties": {
                    "port": {"type": "integer"},
                    "protocol": {"type": "string", "default": "TCP"},
                    "note": STRING,
                },
            },
        },
        "tags": {"type": "array", "x-kubernetes-list-type": "set", "items": STRING},
        "steps": {"type": "array", "items": STRING},
        "where": {"type": "object", "x-kubernetes-map-type": "atomic", "additionalProperties": STRING},
        "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
    },
}


@pytest.fixture
def boats(api, namespace):
    """The path of a custom resource of the test's own."""
    number = f"{os.getpid()}x{next(_numbers)}"
    plural, kind = f"boats{number}", f"Boat{number}"
    version = {
        "name": "v1",
        "served": True,
        "storage": True,
        "schema": {
            "openAPIV3Schema": {
                "type": "object",
                "properties": {
                    "spec": SPEC,
                    "status": {"type": "object", "properties": {"replicas": {"type": "integer"}, "phase": STRING}},
                },
            }
        },
        "subresources": {
            "status": {},
            "scale": {"specReplicasPath": ".spec.replicas", "statusReplicasPath": ".status.replicas"},
        },
    }
    names = {"plural": plural, "singular": plural[:-1], "kind": kind, "listKind": f"{kind}List"}
    definitions = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
    said = {"group": GROUP, "names": names, "scope": "Namespaced", "versions": [version]}
    api.create(definitions, {"metadata": {"name": f"{plural}.{GROUP}"}, "spec": said})
    path = f"/apis/{GROUP}/v1/namespaces/{namespace}/{plural}"
    wait_until(lambda: api.ask("GET", path).status_code == 200, what="the new resource")
    yield path, kind
    api.ask("DELETE", f"{definitions}/{plural}.{GROUP}")


@pytest.fixture
def apply(api, boats):
    path, kind = boats

    def run(manager, spec=None, *, part="", query="", code=200, **more):
        body = {"apiVersion": f"{GROUP}/v1", "kind": kind, "metadata": {"name": "b"}, **more}
        if spec is not None:
            body["spec"] = spec
        answer = api.ask("PATCH", f"{path}/b{part}?fieldManager={manager}{query}", body, media=APPLY)
        assert answer.status_code in ((200, 201) if code == 200 else (code,)), answer.text
        return answer.json()

    return run


def owned(tree, manager):
    (entry,) = [entry for entry in tree["metadata"]["managedFields"] if entry["manager"] == manager]
    return entry["fieldsV1"]


def test_lists_maps_and_what_has_no_schema(apply):
    made = apply(
        "one",
        {
            "ports": [{"port": 80}],
            "tags": ["a"],
            "steps": ["x", "y"],
            "where": {"a": "1"},
            "free": {"deep": {"er": 1}, "list": [1, 2]},
        },
    )
    assert owned(made, "one")["f:spec"] == {
        "f:ports": {'k:{"port":80,"protocol":"TCP"}': {".": {}, "f:port": {}}},
        "f:tags": {'v:"a"': {}},
        "f:steps": {},
        "f:where": {},
        "f:free": {"f:deep": {".": {}, "f:er": {}}, "f:list": {}},
    }
    both = apply("two", {"ports": [{"port": 81}], "tags": ["b"], "free": {"deep": {"too": 2}}})
    assert [port["port"] for port in both["spec"]["ports"]] == [80, 81]
    assert both["spec"]["tags"] == ["a", "b"]
    assert both["spec"]["free"] == {"deep": {"er": 1, "too": 2}, "list": [1, 2]}
    refused = apply("two", {"steps": ["z"], "where": {"b": "2"}}, code=409)
    fields = [cause["field"] for cause in refused["details"]["causes"]]
    assert fields == [".spec.steps", ".spec.where"]
    left = apply("one", {"free": {"deep": {"er": 1}}})
    assert left["spec"]["ports"] == [{"port": 81, "protocol": "TCP"}]
    assert left["spec"]["free"] == {"deep": {"er": 1, "too": 2}}
    assert left["spec"]["tags"] == ["b"]


def test_an_unknown_field_is_refused(apply, boats):
    refused = apply("one", {"nonsense": 1}, code=500)
    assert refused["message"].endswith(".spec.nonsense: field not declared in schema")


def test_replicas_go_over_to_whoever_scales(api, apply, boats):
    path, _ = boats
    apply("one", {"replicas": 1})
    api.patch(f"{path}/b/scale?fieldManager=scaler", {"spec": {"replicas": 3}})
    refused = apply("one", {"replicas": 1}, code=409)
    assert refused["message"] == (
        'Apply failed with 1 conflict: conflict with "scaler" with subresource "scale" '
        f"using {GROUP}/v1: .spec.replicas"
    )


def test_status_is_applied_by_itself(apply):
    apply("one", {"replicas": 1}, status={"phase": "Ignored"})
    made = apply("controller", part="/status", status={"phase": "Afloat"})
    assert made["status"] == {"phase": "Afloat"}
    assert owned(made, "controller") == {"f:status": {"f:phase": {}}}
    assert owned(made, "one") == {"f:spec": {"f:replicas": {}}}
    assert "phase" not in apply("controller", part="/status", status={}).get("status", {})


def test_a_maker_owns_structs_too_where_no_type_of_go_is_behind(api, boats):
    path, kind = boats
    made = api.create(
        f"{path}?fieldManager=me",
        {"apiVersion": f"{GROUP}/v1", "kind": kind, "metadata": {"name": "b"}, "spec": {"replicas": 1}},
    )
    assert owned(made, "me") == {"f:spec": {".": {}, "f:replicas": {}}}
