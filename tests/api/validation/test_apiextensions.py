"""What is wrong with definitions of custom kinds, and that none takes long to refuse."""

import time
from copy import deepcopy
from typing import Any

import pytest

from bireme.api.scheme import builtin
from bireme.api.validation.validate import validate, validate_update

Tree = dict[str, Any]
RESOURCE = builtin().of_kind("apiextensions.k8s.io", "v1", "CustomResourceDefinition")
BASE = "spec.versions[0].schema.openAPIV3Schema"
GOOD: Tree = {
    "metadata": {"name": "tabs.example.com"},
    "spec": {
        "group": "example.com",
        "scope": "Namespaced",
        "names": {"plural": "tabs", "singular": "tab", "kind": "Tab", "listKind": "TabList"},
        "conversion": {"strategy": "None"},
        "versions": [
            {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": {"type": "object"}}}
        ],
    },
}


def faults(tree: Tree) -> list[tuple[str, str]]:
    assert RESOURCE is not None
    return [(cause.field, cause.message) for cause in validate(RESOURCE, tree)]


def of_schema(**properties: Any) -> list[tuple[str, str]]:
    """The faults of a definition whose objects have these properties."""
    tree = deepcopy(GOOD)
    tree["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"] = properties
    return [(field.removeprefix(f"{BASE}."), message) for field, message in faults(tree)]


def of_version(**fields: Any) -> list[tuple[str, str]]:
    tree = deepcopy(GOOD)
    tree["spec"]["versions"][0].update(fields)
    return [(field.removeprefix("spec.versions[0]."), message) for field, message in faults(tree)]


def test_a_good_one() -> None:
    assert faults(GOOD) == []


@pytest.mark.parametrize(
    ("schema", "field", "message"),
    [
        pytest.param(
            {}, "properties[a].type", "Required value: must not be empty for specified object fields", id="no type"
        ),
        pytest.param(
            {"$ref": "#/x", "type": "object"}, "properties[a].$ref", "Forbidden: $ref is not supported", id="ref"
        ),
        pytest.param(
            {"type": "array", "items": {"type": "string"}, "uniqueItems": True},
            "properties[a].uniqueItems",
            "Forbidden: uniqueItems cannot be set to true since the runtime complexity becomes quadratic",
            id="unique items",
        ),
        pytest.param(
            {"type": "object", "properties": {"b": {"type": "string"}}, "additionalProperties": {"type": "string"}},
            "properties[a].additionalProperties",
            "Forbidden: additionalProperties and properties are mutual exclusive",
            id="properties beside values",
        ),
        pytest.param(
            {"type": "string", "anyOf": [{"type": "string"}, {"default": "x"}]},
            "properties[a].anyOf[1].default",
            "Forbidden: must be undefined to be structural",
            id="a default in a constraint",
        ),
        pytest.param(
            {"type": "object", "oneOf": [{"required": ["b"], "properties": {"b": {"minLength": 1}}}]},
            "properties[a].properties[b]",
            f"Required value: because it is defined in {BASE}.properties[a].oneOf[0].properties[b]",
            id="a constraint of what is not specified",
        ),
        pytest.param(
            {"type": "integer", "default": "x"},
            "properties[a].default",
            'Invalid value: "string": must be of type integer: "string"',
            id="a default of another type",
        ),
        pytest.param(
            {"type": "object", "default": {"b": 1}},
            "properties[a].default",
            'Invalid value: {"b":1}: must not have unknown fields, but has: b',
            id="a default that would be pruned",
        ),
        pytest.param(
            {"type": "string", "pattern": "("},
            "properties[a].pattern",
            'Invalid value: "(": must be a valid regular expression, but isn\'t: error parsing regexp: missing ): (',
            id="no pattern",
        ),
        pytest.param(
            {"type": "array", "items": {"type": "object"}, "x-kubernetes-list-type": "map"},
            "properties[a].x-kubernetes-list-map-keys",
            "Required value: must not be empty if x-kubernetes-list-type is map",
            id="a list map without keys",
        ),
        pytest.param(
            {"type": "object", "x-kubernetes-preserve-unknown-fields": False},
            "properties[a].x-kubernetes-preserve-unknown-fields",
            "Invalid value: false: must be true or undefined",
            id="not preserving, said aloud",
        ),
    ],
)  # fmt: skip
def test_schemas_that_are_refused(schema: Tree, field: str, message: str) -> None:
    assert of_schema(a=schema) == [(field, message)]


@pytest.mark.parametrize(
    "schema",
    [
        pytest.param(
            {"x-kubernetes-int-or-string": True, "anyOf": [{"type": "integer"}, {"type": "string"}]},
            id="int or string",
        ),
        pytest.param({"x-kubernetes-preserve-unknown-fields": True}, id="anything"),
        pytest.param(
            {"type": "object", "default": {"b": 1}, "properties": {"b": {"type": "integer"}}}, id="a default object"
        ),
        pytest.param({"type": "string", "nullable": True, "default": None}, id="a null by default"),
    ],
)  # fmt: skip
def test_schemas_that_are_taken(schema: Tree) -> None:
    assert of_schema(a=schema) == []


def test_metadata_is_not_the_schemas_business() -> None:
    text = (
        "Forbidden: must not specify anything other than name and generateName, but metadata is implicitly specified"
    )
    bad: Tree = {"type": "object", "properties": {"labels": {"type": "object"}}}
    assert of_schema(metadata=bad) == [("properties[metadata]", text)]
    assert of_schema(metadata={"type": "object", "properties": {"name": {"type": "string", "maxLength": 5}}}) == []


@pytest.mark.parametrize(
    ("fields", "field", "message"),
    [
        pytest.param(
            {"additionalPrinterColumns": [{"name": "A", "type": "string", "jsonPath": "spec.x"}]},
            "additionalPrinterColumns[0].jsonPath",
            'Invalid value: "spec.x": must be a json path in the form .some.path',
            id="a column's path",
        ),
        pytest.param(
            {"subresources": {"scale": {"specReplicasPath": ".status.x", "statusReplicasPath": ".status.replicas"}}},
            "subresources.scale.specReplicasPath",
            'Invalid value: ".status.x": should be a json path under .spec',
            id="a scale's path",
        ),
        pytest.param(
            {"selectableFields": [{"jsonPath": f".spec.a{number}"} for number in range(9)]},
            "selectableFields",
            "Too many: 9: must have at most 8 items",
            id="nine selectable fields",
        ),
        pytest.param(
            {"deprecationWarning": "old"},
            "deprecationWarning",
            'Invalid value: "old": can only be set for deprecated versions',
            id="a warning of what is not deprecated",
        ),
    ],
)
def test_versions_that_are_refused(fields: Tree, field: str, message: str) -> None:
    assert of_version(**fields) == [(field, message)]


def test_groups_of_kubernetes_need_approval() -> None:
    tree = deepcopy(GOOD)
    tree["spec"]["group"], tree["metadata"]["name"] = "x.k8s.io", "tabs.x.k8s.io"
    ((field, _),) = faults(tree)
    assert field == "metadata.annotations[api-approved.kubernetes.io]"
    tree["metadata"]["annotations"] = {"api-approved.kubernetes.io": "https://example.com/pull/1"}
    assert faults(tree) == []


def test_a_version_that_objects_are_stored_in_may_not_go() -> None:
    assert RESOURCE is not None
    new = deepcopy(GOOD)
    new["spec"]["versions"][0]["name"] = "v2"
    new["status"] = {"storedVersions": ["v1", "v2"]}
    ((field, message),) = [
        (each.field, each.message) for each in validate_update(RESOURCE, new, {**GOOD, "status": {}})
    ]
    assert field == "status.storedVersions[0]"
    assert "v1 was previously a storage version" in message


def nested(depth: int) -> Tree:
    schema: Tree = {"type": "string"}
    for _ in range(depth):
        schema = {"type": "object", "properties": {"a": schema}}
    return schema


@pytest.mark.parametrize(
    "schema",
    [
        pytest.param(nested(5_000), id="deep"),
        pytest.param(
            {"type": "object", "properties": {f"p{n}": {"type": "string"} for n in range(50_000)}}, id="wide"
        ),
    ],
)
def test_bombs_are_refused_at_once(schema: Tree) -> None:
    began = time.process_time()
    ((_, message),) = of_schema(a=schema)
    assert "must not" in message
    assert time.process_time() - began < 4
