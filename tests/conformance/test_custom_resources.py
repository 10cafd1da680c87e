"""Custom resources: definitions, objects, documents and kubectl."""

import pytest
import yaml
from conformance_tools import manifest, wait_until
from kubernetes import dynamic

CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
AGGREGATED = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
FOO = {
    "type": "object",
    "description": "Foo CRD for Testing",
    "properties": {
        "spec": {
            "type": "object",
            "description": "Specification of Foo",
            "properties": {
                "bars": {
                    "description": "List of Bars and their specs.",
                    "type": "array",
                    "items": {
                        "type": "object",
                        "required": ["name"],
                        "properties": {
                            "name": {"description": "Name of Bar.", "type": "string"},
                            "age": {"description": "Age of Bar.", "type": "string"},
                            "color": {"type": "string", "enum": ["red", "blue"]},
                        },
                    },
                }
            },
        },
        "status": {"type": "object", "description": "Status of Foo", "properties": {"ready": {"type": "boolean"}}},
    },
}
OPEN = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
EMBEDDED = {
    "type": "object",
    "properties": {
        "spec": {
            "type": "object",
            "x-kubernetes-preserve-unknown-fields": True,
            "description": "Specification of Waldo",
            "properties": {"dummy": {"description": "Dummy property.", "type": "object"}},
        }
    },
}


def version(name="v1", schema=None, *, storage=True, served=True, **more):
    schema = {"openAPIV3Schema": FOO if schema is None else schema}
    return {"name": name, "served": served, "storage": storage, "schema": schema, **more}


class Definition:
    """A definition in the cluster, of a group of the test's own."""

    def __init__(self, api, namespace, kind="Foo", versions=None, group="", labels=None):
        self.api, self.namespace, self.kind, self.plural = api, namespace, kind, f"{kind.lower()}s"
        self.group = group or f"{namespace}.example.com"
        self.path = f"{CRDS}/{self.plural}.{self.group}"
        names = {"plural": self.plural, "singular": kind.lower(), "kind": kind, "listKind": f"{kind}List"}
        self.made = api.create(
            CRDS,
            {
                "metadata": {"name": f"{self.plural}.{self.group}", "labels": labels or {}},
                "spec": {
                    "group": self.group,
                    "scope": "Namespaced",
                    "names": names,
                    "versions": versions or [version()],
                },
            },
        )

    def objects(self, version="v1"):
        return f"/apis/{self.group}/{version}/namespaces/{self.namespace}/{self.plural}"

    def tree(self, name="a", version="v1", **fields):
        return {"apiVersion": f"{self.group}/{version}", "kind": self.kind, "metadata": {"name": name}, **fields}

    def change(self, change):
        tree = self.api.get(self.path)
        change(tree)
        return self.api.update(self.path, tree)

    def published(self, version="v1"):
        """The name of the kind's definition in OpenAPI."""
        return ".".join([*reversed(self.group.split(".")), version, self.kind])


@pytest.fixture
def define(api, namespace):
    made = []

    def make(**said):
        made.append(Definition(api, namespace, **said))
        return made[-1]

    yield make
    for each in made:
        api.ask("DELETE", each.path)


def v2_definitions(api):
    return api.get("/openapi/v2")["definitions"]


@pytest.mark.conformance("AM-033")
def test_definitions_are_made_and_deleted(api, define):
    foos = define()
    conditions = {each["type"]: each["status"] for each in foos.made["status"]["conditions"]}
    assert conditions["Established"] == "True"
    api.create(foos.objects(), foos.tree())
    api.delete(foos.path)
    wait_until(lambda: api.ask("GET", foos.path).status_code == 404)
    assert api.ask("GET", foos.objects()).status_code == 404


@pytest.mark.conformance("AM-032")
def test_a_watch_sees_what_becomes_of_objects(api, define):
    foos = define()
    watch = api.watch(f"{foos.objects()}?fieldSelector=metadata.name%3Da")
    api.create(foos.objects(), foos.tree())
    api.create(foos.objects(), foos.tree("b"))
    api.patch(f"{foos.objects()}/a", {"metadata": {"labels": {"x": "y"}}})
    api.delete(f"{foos.objects()}/a")
    watch.wait(lambda seen: [event["type"] for event in seen] == ["ADDED", "MODIFIED", "DELETED"])
    watch.close()


@pytest.mark.conformance("AM-034")
def test_the_status_of_a_definition(api, define):
    foos = define()
    condition = {"type": "StatusUpdate", "status": "True", "reason": "E2E", "message": "Set from a test"}
    assert api.get(f"{foos.path}/status")["kind"] == "CustomResourceDefinition"
    tree = api.get(f"{foos.path}/status")
    tree["status"]["conditions"].append(condition)
    api.update(f"{foos.path}/status", tree)
    api.patch(f"{foos.path}/status", {"metadata": {"annotations": {"a": "b"}}})
    status = api.get(f"{foos.path}/status")["status"]
    assert {"StatusUpdate", "Established"} <= {each["type"] for each in status["conditions"]}


@pytest.mark.conformance("AM-035")
def test_definitions_are_listed_and_deleted_by_label(api, define, namespace):
    for number in range(10):
        define(kind=f"Foo{chr(97 + number)}", labels={"test": namespace})
    other = define(kind="Other")
    found = api.get(f"{CRDS}?labelSelector=test%3D{namespace}")["items"]
    assert len(found) == 10
    api.delete(f"{CRDS}?labelSelector=test%3D{namespace}")
    wait_until(lambda: not api.get(f"{CRDS}?labelSelector=test%3D{namespace}")["items"])
    assert api.get(other.path)["metadata"]["name"]


@pytest.mark.conformance("AM-036")
def test_defaults_reach_requests_and_what_is_stored(api, define):
    schema = {"type": "object", "properties": {"a": {"type": "string", "default": "A"}, "b": {"type": "string"}}}
    foos = define(versions=[version(schema=schema)])
    assert api.create(foos.objects(), foos.tree())["a"] == "A"
    later = {"type": "object", "properties": {"a": {"type": "string"}, "b": {"type": "string", "default": "B"}}}
    foos.change(lambda tree: tree["spec"]["versions"][0].update(schema={"openAPIV3Schema": later}))
    found = api.get(f"{foos.objects()}/a")
    assert (found["a"], found["b"]) == ("A", "B")
    fresh = api.create(foos.objects(), foos.tree("fresh"))
    assert "a" not in fresh
    assert fresh["b"] == "B"


@pytest.mark.conformance("AM-037")
def test_definitions_stand_in_discovery(api):
    groups = {each["name"]: each for each in api.get("/apis")["groups"]}
    assert {"groupVersion": "apiextensions.k8s.io/v1", "version": "v1"} in groups["apiextensions.k8s.io"]["versions"]
    assert api.get("/apis/apiextensions.k8s.io")["preferredVersion"]["version"] == "v1"
    assert "customresourcedefinitions" in {
        each["name"] for each in api.get("/apis/apiextensions.k8s.io/v1")["resources"]
    }


@pytest.mark.conformance("AM-026", "AM-028")
def test_a_new_kind_stands_in_aggregated_discovery(api, define):
    foos = define()
    groups = {each["metadata"]["name"]: each for each in api.get("/apis", accept=AGGREGATED)["items"]}
    (found,) = groups[foos.group]["versions"][0]["resources"]
    assert found["resource"] == "foos"
    assert found["responseKind"] == {"group": foos.group, "version": "v1", "kind": "Foo"}
    assert found["scope"] == "Namespaced"
    assert {"create", "watch", "deletecollection"} <= set(found["verbs"])


@pytest.mark.conformance("AM-039")
def test_a_version_that_is_served_no_more_is_described_no_more(api, define):
    foos = define(versions=[version("v1"), version("v2", storage=False)])
    assert {foos.published("v1"), foos.published("v2")} <= set(v2_definitions(api))
    foos.change(lambda tree: tree["spec"]["versions"][1].update(served=False))
    described = v2_definitions(api)
    assert foos.published("v1") in described
    assert foos.published("v2") not in described
    assert f"apis/{foos.group}/v2" not in api.get("/openapi/v3")["paths"]


@pytest.mark.conformance("AM-040")
def test_a_renamed_version_is_described_by_its_new_name(api, define):
    foos = define(versions=[version("v2"), version("v3", storage=False)])

    def rename(tree):
        tree["spec"]["versions"][1]["name"] = "v4"

    assert foos.published("v3") in v2_definitions(api)
    foos.change(rename)
    described = v2_definitions(api)
    assert foos.published("v4") in described
    assert foos.published("v3") not in described
    assert foos.published("v2") in described


@pytest.mark.conformance("AM-045", "AM-046", "AM-047")
def test_all_groups_kinds_and_versions_are_described(api, define, namespace):
    foos = define(versions=[version("v1"), version("v2", storage=False)])
    bars = define(kind="Bar")
    others = define(group=f"other.{namespace}.example.com")
    described = set(v2_definitions(api))
    assert {foos.published("v1"), foos.published("v2"), bars.published(), others.published()} <= described
    paths = set(api.get("/openapi/v3")["paths"])
    assert {f"apis/{foos.group}/v1", f"apis/{foos.group}/v2", f"apis/{others.group}/v1"} <= paths


@pytest.mark.conformance("AM-043")
def test_kubectl_keeps_to_a_schema(api, define, kubectl):
    foos = define()
    good = foos.tree(spec={"bars": [{"name": "test-bar", "age": "10"}]})
    kubectl("create", "-f", "-", text=manifest(good))
    kubectl("apply", "-f", "-", text=manifest(good))
    kubectl("delete", f"{foos.plural}.{foos.group}", "a")
    unknown = foos.tree(spec={"foo": True})
    assert 'unknown field "spec.foo"' in kubectl("create", "-f", "-", text=manifest(unknown), fails=True)
    missing = foos.tree(spec={"bars": [{"age": "10"}]})
    said = kubectl("apply", "-f", "-", text=manifest(missing), fails=True)
    assert "spec.bars[0].name" in said or 'missing required field "name"' in said
    wrong = foos.tree(spec={"bars": [{"name": "a", "color": "green"}]})
    assert 'supported values: "red", "blue"' in kubectl("create", "-f", "-", text=manifest(wrong), fails=True)
    explained = kubectl("explain", f"{foos.plural}.{foos.group}")
    assert "Foo CRD for Testing" in explained
    assert "Specification of Foo" in explained
    assert "Name of Bar" in kubectl("explain", f"{foos.plural}.{foos.group}.spec.bars")
    kubectl("explain", f"{foos.plural}.{foos.group}.spec.bars2", fails=True)


@pytest.mark.conformance("AM-041", "AM-044")
def test_kubectl_takes_anything_where_the_schema_is_open(api, define, kubectl):
    foos = define(versions=[version(schema=OPEN)])
    odd = foos.tree(spec={"a": None, "b": [{"c": "d"}]})
    kubectl("create", "-f", "-", text=manifest(odd))
    kubectl("apply", "-f", "-", text=manifest(odd))
    explained = kubectl("explain", f"{foos.plural}.{foos.group}")
    assert "KIND:" in explained
    assert "DESCRIPTION:" in explained


@pytest.mark.conformance("AM-042")
def test_kubectl_takes_unknown_fields_in_an_open_field(api, define, kubectl):
    waldos = define(kind="Waldo", versions=[version(schema=EMBEDDED)])
    odd = waldos.tree(spec={"b": [{"c": "d"}]})
    kubectl("create", "-f", "-", text=manifest(odd))
    kubectl("apply", "-f", "-", text=manifest(odd))
    assert api.get(f"{waldos.objects()}/a")["spec"] == {"b": [{"c": "d"}]}
    assert "x-kubernetes-preserve-unknown-fields" in str(
        api.get(f"/openapi/v3/apis/{waldos.group}/v1")["components"]["schemas"][waldos.published()]
    )
    assert "Specification of Waldo" in kubectl("explain", f"{waldos.plural}.{waldos.group}")


def apply(api, path, tree, query="fieldManager=test&fieldValidation=Strict"):
    text = tree if isinstance(tree, str) else yaml.safe_dump(tree)
    return api.ask("PATCH", f"{path}?{query}", text.encode(), media="application/apply-patch+yaml")


@pytest.mark.conformance("AM-050")
def test_strict_takes_unknown_fields_where_the_schema_is_open(api, define):
    foos = define(versions=[version(schema=OPEN)])
    answer = apply(api, f"{foos.objects()}/a", foos.tree(spec={"unknown": "x", "known": 1}))
    assert answer.status_code == 201, answer.text
    assert answer.json()["spec"] == {"unknown": "x", "known": 1}


@pytest.mark.conformance("AM-051", "AM-052")
def test_strict_refuses_what_the_schema_does_not_name(api, define):
    foos = define()
    assert apply(api, f"{foos.objects()}/a", foos.tree(spec={"bars": [{"name": "a"}]})).status_code == 201
    answer = apply(api, f"{foos.objects()}/b", foos.tree(spec={"extra": 1}))
    assert answer.status_code >= 400
    assert "extra" in answer.json()["message"]
    answer = api.ask("POST", f"{foos.objects()}?fieldValidation=Strict", foos.tree("c", spec={"extra": 1}))
    assert answer.status_code == 400
    assert 'strict decoding error: unknown field "spec.extra"' in answer.json()["message"]


@pytest.mark.conformance("AM-053")
def test_strict_refuses_repeated_fields_even_in_open_objects(api, define):
    foos = define(versions=[version(schema=OPEN)])
    text = (
        f"apiVersion: {foos.group}/v1\nkind: Foo\nmetadata:\n  name: a\n"
        "spec:\n  foo: foo1\n  foo: foo2\n  unknown: x\n"
    )
    answer = apply(api, f"{foos.objects()}/a", text)
    assert answer.status_code == 400
    assert 'key "foo" already set in map' in answer.json()["message"] or "duplicate" in answer.json()["message"]


@pytest.mark.conformance("AM-055")
def test_strict_refuses_unknown_metadata_at_the_root_and_within(api, define):
    template = {
        "type": "object",
        "x-kubernetes-embedded-resource": True,
        "x-kubernetes-preserve-unknown-fields": True,
    }
    schema = {"type": "object", "properties": {"spec": {"type": "object", "properties": {"template": template}}}}
    foos = define(versions=[version(schema=schema)])
    held = {"apiVersion": "foo/v1", "kind": "Sub", "metadata": {"name": "sub", "unknownSubMeta": {"foo": "bar"}}}
    tree = foos.tree(spec={"template": held})
    tree["metadata"]["unknownMeta"] = {"foo": "bar"}
    answer = api.ask("POST", f"{foos.objects()}?fieldValidation=Strict", tree)
    assert answer.status_code == 400
    assert 'unknown field "metadata.unknownMeta"' in answer.json()["message"]
    assert 'unknown field "spec.template.metadata.unknownSubMeta"' in answer.json()["message"]


@pytest.mark.conformance("AM-090")
def test_migrations_of_storage_versions(api, define):
    path = "/apis/storagemigration.k8s.io/v1/storageversionmigrations"
    foos = define(versions=[version("v1"), version("v2", storage=False)])
    api.create(foos.objects(), foos.tree())

    def switch(tree):
        tree["spec"]["versions"][0]["storage"], tree["spec"]["versions"][1]["storage"] = False, True

    foos.change(switch)
    name = f"m-{foos.namespace}"
    body = {"metadata": {"name": name}, "spec": {"resource": {"group": foos.group, "resource": "foos"}}}
    api.create(path, body)

    def succeeded():
        conditions = api.get(f"{path}/{name}").get("status", {}).get("conditions", [])
        return any(each["type"] == "Succeeded" and each["status"] == "True" for each in conditions)

    wait_until(succeeded)
    assert api.patch(f"{path}/{name}", {"metadata": {"labels": {"a": "b"}}})["metadata"]["labels"] == {"a": "b"}
    assert name in {each["metadata"]["name"] for each in api.get(f"{path}?labelSelector=a%3Db")["items"]}
    assert api.get(f"{path}/{name}/status")["status"]["conditions"]
    api.patch(f"{foos.path}/status", {"status": {"storedVersions": ["v2"]}})
    foos.change(lambda tree: tree["spec"].update(versions=tree["spec"]["versions"][1:]))
    assert api.get(f"{foos.objects('v2')}/a")["apiVersion"] == f"{foos.group}/v2"
    api.delete(f"{path}/{name}")


def test_the_python_client_finds_new_kinds(python, define, namespace):
    foos = define()
    objects = dynamic.DynamicClient(python).resources.get(api_version=f"{foos.group}/v1", kind="Foo")
    objects.create(body=foos.tree(spec={"bars": [{"name": "x"}]}), namespace=namespace)
    assert objects.get(name="a", namespace=namespace).spec.bars[0].name == "x"


def test_kubectl_gets_custom_columns_and_categories(define, kubectl, api, namespace):
    columns = [{"name": "Bar", "type": "string", "jsonPath": ".spec.bars[0].name"}]
    foos = define(versions=[version(additionalPrinterColumns=columns, subresources={"status": {}})])
    foos.change(lambda tree: tree["spec"]["names"].update(categories=["all"], shortNames=[f"f{namespace[-5:]}"]))
    api.create(foos.objects(), foos.tree(spec={"bars": [{"name": "the-bar"}]}))
    assert "the-bar" in kubectl("get", f"{foos.plural}.{foos.group}")
    assert "foo." in kubectl("get", "all", "-o", "name")


@pytest.mark.parametrize("verb", ["GET", "POST", "PUT", "PATCH", "DELETE", "watch"])
def test_objects_of_the_cluster_have_no_place_in_a_namespace(api, namespace, verb):
    """Class C10: a role in a namespace may not reach what belongs to the cluster by a path within it."""
    group = f"{namespace}.example.com"
    names = {"plural": "globals", "kind": "Global"}
    spec = {"group": group, "scope": "Cluster", "names": names, "versions": [version(schema=OPEN)]}
    made = api.create(CRDS, {"metadata": {"name": f"globals.{group}"}, "spec": spec})
    try:
        api.create(f"/apis/{group}/v1/globals", {"metadata": {"name": "a"}})
        path = f"/apis/{group}/v1/namespaces/{namespace}/globals"
        if verb == "watch":
            answer = api.ask("GET", f"{path}?watch=1")
        else:
            path = path if verb == "POST" else f"{path}/a"
            answer = api.ask(verb, path, {"metadata": {"name": "a"}} if verb in ("POST", "PUT", "PATCH") else None)
        assert answer.status_code in (403, 404, 405)
        assert api.get(f"/apis/{group}/v1/globals/a")["metadata"]["name"] == "a"
    finally:
        api.delete(f"{CRDS}/{made['metadata']['name']}")
