"""Custom kinds at the API's door: defined, served at once, checked, gone with their definition."""

from typing import Any

import pytest
from tests.apiserver.conftest import Opened

Tree = dict[str, Any]
CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
PATH = "/apis/stable.example.com/v1/namespaces/default/crontabs"

SCHEMA: Tree = {
    "type": "object",
    "properties": {
        "spec": {
            "type": "object",
            "required": ["cronSpec"],
            "properties": {
                "cronSpec": {"type": "string", "pattern": "^[0-9* /,-]+$"},
                "replicas": {"type": "integer", "minimum": 1, "maximum": 10, "default": 1},
                "open": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
                "port": {"x-kubernetes-int-or-string": True},
                "template": {
                    "type": "object",
                    "x-kubernetes-embedded-resource": True,
                    "x-kubernetes-preserve-unknown-fields": True,
                },
                "parts": {
                    "type": "array",
                    "x-kubernetes-list-type": "map",
                    "x-kubernetes-list-map-keys": ["name"],
                    "items": {
                        "type": "object",
                        "required": ["name"],
                        "properties": {
                            "name": {"type": "string"},
                            "color": {"type": "string", "enum": ["red", "blue"]},
                        },
                    },
                },
            },
        },
        "status": {"type": "object", "properties": {"replicas": {"type": "integer"}, "selector": {"type": "string"}}},
    },
}


def definition(schema: Tree = SCHEMA, **version: Any) -> Tree:
    """A definition of CronTabs with one version."""
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": "crontabs.stable.example.com"},
        "spec": {
            "group": "stable.example.com",
            "scope": "Namespaced",
            "names": {"plural": "crontabs", "kind": "CronTab", "shortNames": ["ct"], "categories": ["all"]},
            "versions": [
                {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}, **version}
            ],
        },
    }


def cron_tab(name: str = "a", **spec: Any) -> Tree:
    """A CronTab."""
    body = {"cronSpec": "* * * * */5", **spec}
    return {"apiVersion": "stable.example.com/v1", "kind": "CronTab", "metadata": {"name": name}, "spec": body}


async def test_served_from_the_moment_it_is_defined(opened: Opened) -> None:
    async with opened() as door:
        assert (await door.ask("GET", PATH)).status == 404
        made = await door.make(CRDS, definition())
        conditions = {each["type"]: each["status"] for each in made["status"]["conditions"]}
        assert conditions == {"NamesAccepted": "True", "Established": "True"}
        assert made["status"]["storedVersions"] == ["v1"]
        assert made["status"]["acceptedNames"]["listKind"] == "CronTabList"
        tab = await door.make(PATH, cron_tab())
        assert tab["spec"] == {"cronSpec": "* * * * */5", "replicas": 1}
        assert tab["metadata"]["generation"] == 1
        assert (await door.ask("GET", PATH)).tree["kind"] == "CronTabList"
        found = (await door.ask("GET", "/apis/stable.example.com/v1")).tree["resources"][0]
        assert (found["name"], found["shortNames"], found["categories"]) == ("crontabs", ["ct"], ["all"])


@pytest.mark.parametrize(
    ("spec", "field", "message"),
    [
        pytest.param(
            {"cronSpec": 5}, "spec.cronSpec",
            'Invalid value: "integer": spec.cronSpec in body must be of type string: "integer"', id="type",
        ),
        pytest.param(
            {"cronSpec": "x"}, "spec.cronSpec",
            "Invalid value: \"x\": spec.cronSpec in body should match '^[0-9* /,-]+$'", id="pattern",
        ),
        pytest.param(
            {"replicas": 11}, "spec.replicas",
            "Invalid value: 11: spec.replicas in body should be less than or equal to 10", id="maximum",
        ),
        pytest.param({"cronSpec": None}, "spec.cronSpec", "Required value", id="a null is nothing"),
        pytest.param(
            {"parts": [{"name": "a", "color": "green"}]}, "spec.parts[0].color",
            'Unsupported value: "green": supported values: "red", "blue"', id="enum",
        ),
        pytest.param(
            {"parts": [{"name": "a"}, {"name": "a"}]}, "spec.parts[1]",
            'Duplicate value: {"name":"a"}', id="a key of a list map twice",
        ),
    ],
)  # fmt: skip
async def test_schema_is_kept_to(opened: Opened, spec: Tree, field: str, message: str) -> None:
    async with opened() as door:
        await door.make(CRDS, definition())
        reply = await door.ask("POST", PATH, cron_tab(**spec))
        assert reply.status == 422, reply.tree
        (cause,) = reply.tree["details"]["causes"]
        assert (cause["field"], cause["message"]) == (field, message)


async def test_unknown_fields_are_pruned_warned_of_or_refused(opened: Opened) -> None:
    async with opened() as door:
        await door.make(CRDS, definition())
        body = cron_tab(
            unknown=1,
            open={"any": {"thing": 1}},
            template={"apiVersion": "v1", "kind": "X", "a": 1, "metadata": {"name": "a", "odd": 1}},
        )
        body["metadata"]["odd"] = 1
        reply = await door.ask("POST", PATH + "?fieldValidation=Strict", body)
        assert reply.status == 400
        for path in ("metadata.odd", "spec.unknown", "spec.template.metadata.odd"):
            assert f'unknown field "{path}"' in reply.tree["message"]
        made = await door.ask("POST", PATH, body)
        assert made.tree["spec"]["open"] == {"any": {"thing": 1}}
        assert made.tree["spec"]["template"] == {"apiVersion": "v1", "kind": "X", "a": 1, "metadata": {"name": "a"}}
        assert "unknown" not in made.tree["spec"]
        assert 'unknown field \\"spec.unknown\\"' in made.headers["warning"]


async def test_status_and_scale_are_parts_of_their_own(opened: Opened) -> None:
    paths = {
        "specReplicasPath": ".spec.replicas",
        "statusReplicasPath": ".status.replicas",
        "labelSelectorPath": ".status.selector",
    }
    async with opened() as door:
        await door.make(CRDS, definition(subresources={"status": {}, "scale": paths}))
        made = await door.make(PATH, cron_tab(replicas=3) | {"status": {"replicas": 9}})
        assert "status" not in made
        status = {**made, "status": {"replicas": 2, "selector": "a=b"}, "spec": {"cronSpec": "1"}}
        status["metadata"] = {**made["metadata"], "labels": {"not": "taken"}}
        done = (await door.ask("PUT", f"{PATH}/a/status", status)).tree
        assert (done["spec"]["replicas"], done["metadata"]["generation"]) == (3, 1)
        assert "labels" not in done["metadata"]
        scale = (await door.ask("GET", f"{PATH}/a/scale")).tree
        assert (scale["spec"], scale["status"]) == ({"replicas": 3}, {"replicas": 2, "selector": "a=b"})
        patch = {"spec": {"replicas": 5}}
        reply = await door.ask("PATCH", f"{PATH}/a/scale", patch, content_type="application/merge-patch+json")
        assert reply.tree["spec"] == {"replicas": 5}
        whole = (await door.ask("GET", f"{PATH}/a")).tree
        assert (whole["spec"]["replicas"], whole["metadata"]["generation"]) == (5, 2)


async def test_every_patch_but_strategic(opened: Opened) -> None:
    async with opened() as door:
        await door.make(CRDS, definition())
        await door.make(PATH, cron_tab())
        patch = {"spec": {"replicas": 2}}
        merge = await door.ask("PATCH", f"{PATH}/a", patch, content_type="application/merge-patch+json")
        assert merge.tree["spec"]["replicas"] == 2
        strategic = await door.ask("PATCH", f"{PATH}/a", patch, content_type="application/strategic-merge-patch+json")
        assert strategic.status == 415
        put = await door.ask("PUT", f"{PATH}/a", cron_tab(replicas=3))
        assert put.status == 422
        assert "metadata.resourceVersion: Invalid value: 0x0" in put.tree["message"]


async def test_columns_are_those_of_the_definition(opened: Opened) -> None:
    columns = [
        {"name": "Spec", "type": "string", "jsonPath": ".spec.cronSpec"},
        {"name": "Parts", "type": "string", "jsonPath": ".spec.parts[*].name", "priority": 1},
        {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"},
    ]
    async with opened() as door:
        await door.make(CRDS, definition(additionalPrinterColumns=columns))
        await door.make(PATH, cron_tab(parts=[{"name": "a"}, {"name": "b"}]))
        table = (await door.ask("GET", PATH, accept="application/json;as=Table;v=v1;g=meta.k8s.io")).tree
        assert [each["name"] for each in table["columnDefinitions"]] == ["Name", "Spec", "Parts", "Age"]
        assert table["rows"][0]["cells"] == ["a", "* * * * */5", "a,b", "0s"]


async def test_defaults_reach_what_was_stored_before(opened: Opened) -> None:
    later: Tree = {**SCHEMA, "properties": {**SCHEMA["properties"]}}
    later["properties"]["spec"] = {**SCHEMA["properties"]["spec"]}
    later["properties"]["spec"]["properties"] = {
        **SCHEMA["properties"]["spec"]["properties"],
        "image": {"type": "string", "default": "nginx"},
    }
    async with opened() as door:
        await door.make(CRDS, definition())
        await door.make(PATH, cron_tab())
        made = (await door.ask("GET", f"{CRDS}/crontabs.stable.example.com")).tree
        made["spec"]["versions"][0]["schema"]["openAPIV3Schema"] = later
        assert (await door.ask("PUT", f"{CRDS}/crontabs.stable.example.com", made)).status == 200
        assert (await door.ask("GET", f"{PATH}/a")).tree["spec"]["image"] == "nginx"
        assert (await door.ask("GET", PATH)).tree["items"][0]["spec"]["image"] == "nginx"


async def test_selectable_fields(opened: Opened) -> None:
    async with opened() as door:
        await door.make(CRDS, definition(selectableFields=[{"jsonPath": ".spec.cronSpec"}]))
        await door.make(PATH, cron_tab("a", cronSpec="1"))
        await door.make(PATH, cron_tab("b", cronSpec="2"))
        found = (await door.ask("GET", f"{PATH}?fieldSelector=spec.cronSpec=2")).tree
        assert [each["metadata"]["name"] for each in found["items"]] == ["b"]
        assert (await door.ask("GET", f"{PATH}?fieldSelector=spec.replicas=2")).status == 400


async def test_two_versions_by_name_alone(opened: Opened) -> None:
    two = definition()
    first = two["spec"]["versions"][0]
    two["spec"]["versions"] = [{**first, "name": "v1beta1", "storage": False, "deprecated": True}, first]
    old = PATH.replace("/v1/", "/v1beta1/")
    async with opened() as door:
        await door.make(CRDS, two)
        reply = await door.ask("POST", old, {**cron_tab(), "apiVersion": "stable.example.com/v1beta1"})
        assert reply.status == 201, reply.tree
        assert reply.tree["apiVersion"] == "stable.example.com/v1beta1"
        assert "stable.example.com/v1beta1 CronTab is deprecated" in reply.headers["warning"]
        assert (await door.ask("GET", f"{PATH}/a")).tree["apiVersion"] == "stable.example.com/v1"
        listed = (await door.ask("GET", old)).tree
        assert (listed["apiVersion"], listed["items"][0]["apiVersion"]) == ("stable.example.com/v1beta1",) * 2
        group = (await door.ask("GET", "/apis/stable.example.com")).tree
        assert [each["version"] for each in group["versions"]] == ["v1", "v1beta1"]
        frames = door.watch(f"{old}?watch=1&timeoutSeconds=5&resourceVersion={listed['metadata']['resourceVersion']}")
        await door.make(PATH, cron_tab("b"))
        event = await anext(frames)
        assert (event["type"], event["object"]["apiVersion"]) == ("ADDED", "stable.example.com/v1beta1")


async def test_objects_go_before_their_definition(opened: Opened) -> None:
    async with opened() as door:
        await door.make(CRDS, definition())
        await door.make(PATH, cron_tab() | {"metadata": {"name": "a", "finalizers": ["example.com/held"]}})
        reply = await door.ask("DELETE", f"{CRDS}/crontabs.stable.example.com")
        assert reply.tree["metadata"]["finalizers"] == ["customresourcecleanup.apiextensions.k8s.io"]
        await door.clock.advance(0.1)
        assert (await door.ask("POST", PATH, cron_tab("b"))).status == 405
        held = (await door.ask("GET", f"{PATH}/a")).tree
        assert held["metadata"]["deletionTimestamp"]
        free = {"metadata": {"finalizers": None}}
        await door.ask("PATCH", f"{PATH}/a", free, content_type="application/merge-patch+json")
        await door.clock.advance(2)
        assert (await door.ask("GET", f"{CRDS}/crontabs.stable.example.com")).status == 404
        assert (await door.ask("GET", PATH)).status == 404


async def test_names_that_others_hold_are_refused_until_they_are_free(opened: Opened) -> None:
    other = definition()
    other["metadata"]["name"] = "tabs.stable.example.com"
    other["spec"]["names"] = {"plural": "tabs", "singular": "tab", "kind": "CronTab"}
    async with opened() as door:
        await door.make(CRDS, definition())
        made = await door.make(CRDS, other)
        conditions = {each["type"]: (each["status"], each["reason"]) for each in made["status"]["conditions"]}
        assert conditions == {"NamesAccepted": ("False", "KindConflict"), "Established": ("False", "NotAccepted")}
        assert (await door.ask("GET", PATH.replace("crontabs", "tabs"))).status == 404
        await door.ask("DELETE", f"{CRDS}/crontabs.stable.example.com")
        await door.clock.advance(2)
        assert (await door.ask("GET", PATH.replace("crontabs", "tabs"))).status == 200


async def test_documents_follow(opened: Opened) -> None:
    accept = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
    async with opened() as door:
        before = (await door.ask("GET", "/openapi/v3")).tree["paths"]
        await door.make(CRDS, definition())
        groups = (await door.ask("GET", "/apis", accept=accept)).tree["items"]
        assert groups[-1]["metadata"]["name"] == "stable.example.com"
        after = (await door.ask("GET", "/openapi/v3")).tree["paths"]
        assert set(after) - set(before) == {"apis/stable.example.com/v1"}
        schemas = (await door.ask("GET", "/openapi/v3/apis/stable.example.com/v1")).tree["components"]["schemas"]
        spec = schemas["com.example.stable.v1.CronTab"]["properties"]["spec"]
        assert spec["properties"]["replicas"]["maximum"] == 10
        old = (await door.ask("GET", "/openapi/v2")).tree["definitions"]["com.example.stable.v1.CronTab"]
        assert old["properties"]["spec"]["properties"]["cronSpec"]["type"] == "string"
        await door.ask("DELETE", f"{CRDS}/crontabs.stable.example.com")
        await door.clock.advance(2)
        assert (await door.ask("GET", "/openapi/v3")).tree["paths"] == before


async def test_rules_hold_between_states(opened: Opened) -> None:
    schema: Tree = {**SCHEMA, "properties": {**SCHEMA["properties"]}}
    schema["properties"]["spec"] = {
        **SCHEMA["properties"]["spec"],
        "x-kubernetes-validations": [
            {"rule": "self.replicas <= 5", "messageExpression": "'too many: %d'.format([self.replicas])"},
            {"rule": "self.cronSpec == oldSelf.cronSpec", "message": "the time may not be changed"},
        ],
    }
    async with opened() as door:
        await door.make(CRDS, definition(schema))
        reply = await door.ask("POST", PATH, cron_tab(replicas=6))
        assert (reply.status, reply.tree["details"]["causes"][0]["field"]) == (422, "spec")
        assert "too many: 6" in reply.tree["message"]
        made = await door.make(PATH, cron_tab())
        made["spec"]["cronSpec"] = "1"
        reply = await door.ask("PUT", f"{PATH}/a", made)
        assert "the time may not be changed" in reply.tree["message"]
        reply = await door.ask("POST", PATH, cron_tab(cronSpec=1))
        assert "some validation rules were not checked because the object was invalid" in reply.tree["message"]


async def test_rules_that_cost_too_much_are_refused(opened: Opened) -> None:
    schema: Tree = {
        "type": "object",
        "properties": {
            "a": {
                "type": "array",
                "items": {"type": "array", "items": {"type": "string"}},
                "x-kubernetes-validations": [{"rule": "self.all(x, x.all(y, y.matches('(a+)+$')))"}],
            }
        },
    }
    async with opened() as door:
        reply = await door.ask("POST", CRDS, definition(schema))
        assert reply.status == 422
        assert "estimated rule cost exceeds budget" in reply.tree["message"]


async def test_an_update_is_excused_from_what_it_leaves_as_it_was(opened: Opened) -> None:
    stricter: Tree = {**SCHEMA, "properties": {**SCHEMA["properties"]}}
    stricter["properties"]["spec"] = {**SCHEMA["properties"]["spec"]}
    stricter["properties"]["spec"]["properties"] = {
        **SCHEMA["properties"]["spec"]["properties"],
        "cronSpec": {"type": "string", "maxLength": 3},
    }
    async with opened() as door:
        await door.make(CRDS, definition())
        await door.make(PATH, cron_tab())
        made = (await door.ask("GET", f"{CRDS}/crontabs.stable.example.com")).tree
        made["spec"]["versions"][0]["schema"]["openAPIV3Schema"] = stricter
        assert (await door.ask("PUT", f"{CRDS}/crontabs.stable.example.com", made)).status == 200
        media = "application/merge-patch+json"
        assert (await door.ask("PATCH", f"{PATH}/a", {"spec": {"replicas": 3}}, content_type=media)).status == 200
        refused = await door.ask("PATCH", f"{PATH}/a", {"spec": {"cronSpec": "1 2 3"}}, content_type=media)
        assert "spec.cronSpec: Too long: may not be more than 3 bytes" in refused.tree["message"]
