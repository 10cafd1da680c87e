from typing import Any

import orjson
import pytest

from bireme.api.scheme import Scheme, builtin
from bireme.apiserver import openapi
from bireme.apiserver.custom_schemas import CustomDefinitions
from bireme.apiserver.openapi import V2_PROTOBUF, OpenApiPages
from bireme.registry.kinds import Kinds

scheme = builtin()
definitions = CustomDefinitions(Kinds(Scheme()))
GROUP_VERSIONS = [(group, version) for group in scheme.groups() for version in scheme.versions(group)]


def references(tree: Any) -> set[str]:
    if isinstance(tree, dict):
        own = {tree["$ref"]} if isinstance(tree.get("$ref"), str) else set()
        return own.union(*map(references, tree.values()))
    return set().union(*map(references, tree)) if isinstance(tree, list) else set()


@pytest.mark.parametrize(("group", "version"), GROUP_VERSIONS)
def test_v3_documents_are_whole(group: str, version: str) -> None:
    document = openapi.document_v3(scheme, definitions, group, version)
    assert document is not None
    schemas = document["components"]["schemas"]
    assert references(document) <= {f"#/components/schemas/{name}" for name in schemas}
    for resource in scheme.of_group_version(group, version):
        assert resource.gvk._asdict() in schemas[resource.definition]["x-kubernetes-group-version-kind"]
    identifiers = [
        operation["operationId"]
        for item in document["paths"].values()
        for method, operation in item.items()
        if method != "parameters"
    ]
    assert len(set(identifiers)) == len(identifiers)


def test_v3_holds_what_kubectl_looks_for() -> None:
    document = openapi.document_v3(scheme, definitions, "apps", "v1")
    assert document is not None
    patch = document["paths"]["/apis/apps/v1/namespaces/{namespace}/deployments/{name}"]["patch"]
    assert patch["operationId"] == "patchAppsV1NamespacedDeployment"
    assert patch["x-kubernetes-action"] == "patch"
    assert patch["x-kubernetes-group-version-kind"] == {"group": "apps", "version": "v1", "kind": "Deployment"}
    assert {"fieldValidation", "dryRun"} <= {item["name"] for item in patch["parameters"]}
    assert "application/strategic-merge-patch+json" in patch["requestBody"]["content"]
    schemas = document["components"]["schemas"]
    strategy = schemas["io.k8s.api.apps.v1.DeploymentSpec"]["properties"]["strategy"]
    assert strategy["allOf"] == [{"$ref": "#/components/schemas/io.k8s.api.apps.v1.DeploymentStrategy"}]
    assert strategy["x-kubernetes-patch-strategy"] == "retainKeys"
    containers = schemas["io.k8s.api.core.v1.PodSpec"]["properties"]["containers"]
    assert containers["x-kubernetes-patch-merge-key"] == "name"
    assert containers["items"] == {"$ref": "#/components/schemas/io.k8s.api.core.v1.Container"}
    assert "io.k8s.api.core.v1.Node" not in schemas


def test_a_field_that_is_called_ref_is_no_reference() -> None:
    document = openapi.document_v3(scheme, definitions, "apiextensions.k8s.io", "v1")
    assert document is not None
    name = "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaProps"
    assert document["components"]["schemas"][name]["properties"]["$ref"]["type"] == "string"


def test_paths_and_verbs() -> None:
    paths = openapi.document_v2(scheme, definitions)["paths"]
    assert set(paths["/api/v1/namespaces/{namespace}/pods"]) == {"get", "post", "delete", "parameters"}
    assert set(paths["/api/v1/pods"]) == {"get", "parameters"}
    assert set(paths["/api/v1/namespaces/{namespace}/pods/{name}"]) == {"get", "put", "patch", "delete", "parameters"}
    assert set(paths["/api/v1/namespaces/{name}"]) == {"get", "put", "patch", "delete", "parameters"}
    assert "delete" not in paths["/api/v1/namespaces"]
    connect = paths["/api/v1/namespaces/{namespace}/pods/{name}/exec"]["post"]
    assert connect["x-kubernetes-action"] == "connect"
    assert connect["x-kubernetes-group-version-kind"]["kind"] == "PodExecOptions"
    scale = paths["/apis/apps/v1/namespaces/{namespace}/deployments/{name}/scale"]["get"]
    assert scale["responses"]["200"]["schema"] == {"$ref": "#/definitions/io.k8s.api.autoscaling.v1.Scale"}


def test_v2_says_only_what_v2_can() -> None:
    document = openapi.document_v2(scheme, definitions)
    texts = orjson.dumps(document["definitions"])
    assert b'"oneOf":[' not in texts
    assert references(document) - {"string"} <= {f"#/definitions/{name}" for name in document["definitions"]}
    quantity = document["definitions"]["io.k8s.apimachinery.pkg.api.resource.Quantity"]
    assert quantity["type"] == "string"
    number = document["definitions"]["io.k8s.apimachinery.pkg.util.intstr.IntOrString"]
    assert (number["type"], number["format"]) == ("string", "int-or-string")


def test_the_index_leads_to_pages_with_the_same_hash() -> None:
    pages = OpenApiPages(scheme)
    index = pages.page("/openapi/v3")
    assert index is not None
    entries = orjson.loads(index.body())["paths"]
    assert {"api/v1", "apis/apps/v1", "apis/autoscaling/v2"} <= set(entries)
    for place, entry in entries.items():
        path, _, tag = entry["serverRelativeURL"].partition("?hash=")
        assert path == f"/openapi/v3/{place}"
        page = pages.page(path)
        assert page is not None
        assert page.etag == tag
        assert page.headers["cache-control"] == "public, immutable"


def test_the_hash_follows_what_is_served() -> None:
    other = Scheme(item for item in scheme.resources() if item.plural != "jobs")
    before = openapi.hash_v3(scheme, definitions, "batch", "v1")
    assert openapi.hash_v3(other, definitions, "batch", "v1") != before
    assert openapi.hash_v3(other, definitions, "apps", "v1") == openapi.hash_v3(scheme, definitions, "apps", "v1")


def test_pages() -> None:
    pages = OpenApiPages(scheme)
    plain, packed = pages.page("/openapi/v2", "application/json"), pages.page("/openapi/v2", V2_PROTOBUF)
    assert plain is not None
    assert packed is not None
    assert plain is pages.page("/openapi/v2", "*/*")
    assert orjson.loads(plain.body())["swagger"] == "2.0"
    assert packed.media == "application/com.github.proto-openapi.spec.v2.v1.0+protobuf"
    for path in ("/openapi", "/openapi/v4", "/openapi/v3/apis", "/openapi/v3/apis/none/v1", "/openapi/v3/api/v2"):
        assert pages.page(path) is None
    pages.forget()
    assert pages.page("/openapi/v2") is not plain
