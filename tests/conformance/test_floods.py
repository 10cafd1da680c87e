"""Bodies of as many small values as fit: each is answered soon, in little memory, and nobody else waits for it."""

import json

import pytest
from conformance_tools import sent, wait_until

CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
POLICIES = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies"
PROTOBUF = "application/vnd.kubernetes.protobuf"
JSON_PATCH = "application/json-patch+json"
SIZE = (3 << 20) - 4096
# Most values that are taken at all, and some that are too many.
FIT, MANY = 30_000, 1_000_000
MEMORY = 500 << 20
META = {"name": "x"}


@pytest.fixture
def little_memory(server):
    """What a request leaves behind in memory is a small multiple of its body."""
    before = server.memory()
    yield
    assert server.memory() - before < MEMORY


pytestmark = pytest.mark.usefixtures("pulse", "little_memory")


def filled(tree, item, count):
    """The JSON of a tree in which `[0]` stands for a list of `count` items."""
    head, tail = json.dumps(tree, separators=(",", ":")).split("[0]")
    text = json.dumps(item, separators=(",", ":"))
    count = min(count, (SIZE - len(head) - len(tail)) // (len(text) + 1))
    return f"{head}[{','.join([text] * count)}]{tail}".encode()


def pod(**spec):
    return {"metadata": META, "spec": {"containers": [{"name": "a", "image": "i"}], **spec}}


def service(ports):
    return {"metadata": META, "spec": {"ports": ports}}


FLOODS = {
    "containers": ("pods", {"metadata": META, "spec": {"containers": [0]}}, {}),
    "containers of one name": ("pods", {"metadata": META, "spec": {"containers": [0]}}, {"name": "a"}),
    "first containers": ("pods", pod(initContainers=[0]), {}),
    "volumes": ("pods", pod(volumes=[0]), {}),
    "finalizers": ("configmaps", {"metadata": {**META, "finalizers": [0]}}, ""),
    "owners": ("configmaps", {"metadata": {**META, "ownerReferences": [0]}}, {}),
    "ports": ("services", service([0]), {}),
}


@pytest.mark.parametrize("name", FLOODS)
def test_faults_by_the_thousand_are_told_in_part(api, namespace, name):
    plural, tree, item = FLOODS[name]
    answer = sent(api, "POST", f"/api/v1/namespaces/{namespace}/{plural}", filled(tree, item, FIT))
    assert answer.status_code == 422
    causes = answer.json()["details"]["causes"]
    assert len(causes) == 251
    assert causes[-1] == {"reason": "FieldValueTooMany", "message": "Too many: 250: further faults are not shown"}


@pytest.mark.parametrize("name", FLOODS)
def test_more_values_than_any_object_has_are_refused(api, namespace, name):
    plural, tree, item = FLOODS[name]
    answer = sent(api, "POST", f"/api/v1/namespaces/{namespace}/{plural}", filled(tree, item, MANY))
    assert answer.status_code == 413
    assert answer.json()["message"] == "Request entity too large: limit is 100000 values"


def test_owners_of_fields_by_the_thousand(api, namespace):
    path = f"/api/v1/namespaces/{namespace}/configmaps"
    api.create(path, {"metadata": {"name": "m"}})
    entry = {"operation": "Update", "fieldsType": "FieldsV1", "fieldsV1": {}, "apiVersion": "v1"}
    entries = [{**entry, "manager": str(number)} for number in range(15_000)]
    body = {"metadata": {"name": "m", "managedFields": entries}, "data": {"a": "b"}}
    answer = sent(api, "PUT", f"{path}/m", body)
    assert answer.status_code == 200
    assert len(answer.json()["metadata"]["managedFields"]) <= 11


def test_fields_that_nobody_knows_are_told_in_part(api, namespace):
    body = {"metadata": META, **{f"u{number}": 1 for number in range(FIT)}}
    answer = sent(api, "POST", f"/api/v1/namespaces/{namespace}/configmaps?dryRun=All", body)
    assert answer.status_code == 201
    assert len(answer.headers["warning"]) < 8192


def test_a_long_key_is_not_written_out_for_each_value_below(api, namespace):
    text = f'{{"metadata":{{"name":"x","labels":{{"{"k" * (2 << 20)}":[{",".join(["1"] * 90_000)}]}}}}}}'
    answer = sent(api, "POST", f"/api/v1/namespaces/{namespace}/configmaps", text.encode())
    assert answer.status_code == 400


def field(number, data):
    return _number(number << 3 | 2) + _number(len(data)) + data


def _number(value):
    made = b""
    while value > 127:
        made += bytes([value & 127 | 128])
        value >>= 7
    return made + bytes([value])


def envelope(api_version, kind, data):
    return b"k8s\0" + field(1, field(1, api_version.encode()) + field(2, kind.encode())) + field(2, data)


NAMED = field(1, field(1, b"x"))


def test_containers_in_protobuf(api, namespace):
    path = f"/api/v1/namespaces/{namespace}/pods"
    for count, code in ((FIT, 422), (MANY, 413)):
        body = envelope("v1", "Pod", NAMED + field(2, field(2, b"") * count))
        assert sent(api, "POST", path, body, media=PROTOBUF).status_code == code


def test_envelopes_in_envelopes_share_one_depth(api, namespace):
    path = f"/apis/apps/v1/namespaces/{namespace}/controllerrevisions?dryRun=All"
    answers = {}
    for depth in (5, 100, 2000):
        body = b'{"a":1}'
        for _ in range(depth):
            body = envelope("apps/v1", "ControllerRevision", NAMED + field(2, field(1, body)))
        answers[depth] = sent(api, "POST", path, body, media=PROTOBUF).status_code
    assert answers == {5: 201, 100: 400, 2000: 400}


@pytest.fixture
def wide(api, namespace):
    """The collection of a custom kind of lists."""
    group = f"{namespace}.wide.example.com"
    item = {"type": "object", "required": ["a"], "properties": {"a": {"type": "string"}, "n": {"type": "integer"}}}
    keyed = {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["a"]}
    lists = {"items": {"type": "array", "items": item}, "keyed": {"type": "array", "items": item, **keyed}}
    schema = {"type": "object", "properties": {"spec": {"type": "object", "properties": lists}}}
    version = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
    names = {"plural": "wides", "kind": "Wide"}
    spec = {"group": group, "scope": "Namespaced", "names": names, "versions": [version]}
    api.create(CRDS, {"metadata": {"name": f"wides.{group}"}, "spec": spec})
    path = f"/apis/{group}/v1/namespaces/{namespace}/wides"
    wait_until(lambda: api.ask("GET", path).status_code == 200)
    yield path
    api.delete(f"{CRDS}/wides.{group}")


def test_items_of_custom_objects(api, wide):
    for list_name, item in (("items", {}), ("items", {"a": 1}), ("keyed", {"a": "x"})):
        body = filled({"metadata": META, "kind": "Wide", "spec": {list_name: [0]}}, item, FIT)
        api_version = wide.split("/")[2] + "/v1"
        body = body.replace(b'"kind"', f'"apiVersion":"{api_version}","kind"'.encode(), 1)
        answer = sent(api, "POST", wide, body)
        assert answer.status_code == 422
        assert answer.json()["details"]["causes"][-1]["reason"] == "FieldValueTooMany"


def test_copies_in_a_patch_are_counted(api, namespace):
    path = f"/api/v1/namespaces/{namespace}/configmaps"
    api.create(path, {"metadata": {"name": "m"}, "data": {str(number): "" for number in range(100)}})
    copies = [{"op": "copy", "from": "/data", "path": f"/c{number}"} for number in range(2000)]
    assert sent(api, "PATCH", f"{path}/m", copies, media=JSON_PATCH).status_code == 413


def test_expressions_of_a_policy_by_the_thousand(api, namespace):
    rule = {"apiGroups": ["apps"], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["deployments"]}
    validations = [{"expression": f"object.spec.replicas == {number}"} for number in range(FIT)]
    spec = {"matchConstraints": {"resourceRules": [rule]}, "validations": validations}
    answer = sent(api, "POST", POLICIES, {"metadata": {"name": namespace}, "spec": spec})
    assert answer.status_code == 422
    assert "must have at most 500 items" in answer.text
