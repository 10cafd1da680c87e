"""What is made to hurt a server is cut off in bounded time, and nobody else waits for it meanwhile."""

import json

import pytest
from conformance_tools import sent

CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
POLICIES = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies"
APPLY = "application/apply-patch+yaml"


def aliases(depth=9):
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, depth)]
    return "\n".join(lines).encode()


def nested(depth, opening, closing):
    return (opening * depth + closing * depth).encode()


BODIES = {
    "aliases in YAML": (aliases(), "application/yaml"),
    "flow in YAML": (b"a: " + nested(100_000, "[", "]"), "application/yaml"),
    "deep JSON": (b'{"a":' + nested(100_000, "[", "]") + b"}", "application/json"),
    "objects in JSON": (b'{"a":' * 50_000 + b"1" + b"}" * 50_000, "application/json"),
    "a long number": (b'{"a":' + b"9" * 100_000 + b"}", "application/json"),
    "half a surrogate": (b'{"metadata":{"name":"\\ud800"}}', "application/json"),
    "not UTF-8": (b'{"metadata":{"name":"\xff\xfe"}}', "application/json"),
}


@pytest.mark.parametrize("name", BODIES)
def test_c6_c7_bodies_that_grow_or_are_malformed(api, namespace, pulse, name):
    body, media = BODIES[name]
    answer = sent(api, "POST", f"/api/v1/namespaces/{namespace}/configmaps", body, media=media)
    assert 400 <= answer.status_code < 500, answer.text


def test_c6_aliases_in_a_configuration_to_apply(api, namespace, pulse):
    path = f"/api/v1/namespaces/{namespace}/configmaps/m?fieldManager=t"
    answer = sent(api, "PATCH", path, aliases(), media=APPLY)
    assert 400 <= answer.status_code < 500


def test_c8_patches_that_double(api, namespace, pulse):
    path = f"/api/v1/namespaces/{namespace}/configmaps"
    api.create(path, {"metadata": {"name": "m"}, "data": {"a": "x" * 1000}})
    doubling = [{"op": "copy", "from": "/data", "path": f"/data/c{number}"} for number in range(40)]
    media = "application/json-patch+json"
    assert 400 <= sent(api, "PATCH", f"{path}/m", doubling, media=media).status_code < 500
    many = [{"op": "test", "path": "/data/a", "value": "x"}] * 10_001
    assert sent(api, "PATCH", f"{path}/m", many, media=media).status_code == 413


def definition(group, schema):
    version = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
    names = {"plural": "bombs", "singular": "bomb", "kind": "Bomb", "listKind": "BombList"}
    spec = {"group": group, "scope": "Namespaced", "names": names, "versions": [version]}
    return {"metadata": {"name": f"bombs.{group}"}, "spec": spec}


def deep(levels):
    schema = {"type": "string"}
    for _ in range(levels):
        schema = {"type": "object", "properties": {"a": schema}}
    return schema


def ruled(rule, **more):
    spec = {"type": "array", "items": {"type": "string"}, **more}
    return {"type": "object", "properties": {"spec": spec}, "x-kubernetes-validations": [{"rule": rule}]}


SCHEMAS = {
    "deep": deep(200),
    "a reference": {"type": "object", "properties": {"a": {"$ref": "#/x"}}},
    "a rule that loops thrice": ruled("self.spec.all(a, self.spec.all(b, self.spec.all(c, a == b + c)))"),
    "a rule nested deep": ruled("(" * 500 + "true" + ")" * 500),
    "a rule that is long": ruled(" && ".join(["true"] * 20_000)),
}


@pytest.mark.parametrize("name", SCHEMAS)
def test_c28_schemas_that_cost_too_much_are_refused(api, namespace, pulse, name):
    group = f"{namespace}.bombs.example.com"
    answer = sent(api, "POST", CRDS, definition(group, SCHEMAS[name]))
    if answer.status_code == 201:
        api.delete(f"{CRDS}/bombs.{group}")
    assert 400 <= answer.status_code < 500, answer.text[:300]


def test_c28_patterns_take_time_in_proportion(api, namespace, pulse):
    group = f"{namespace}.patterns.example.com"
    schema = {"type": "object", "properties": {"spec": {"type": "string", "pattern": "^(a+)+$"}}}
    api.create(CRDS, definition(group, schema))
    tree = {"apiVersion": f"{group}/v1", "kind": "Bomb", "metadata": {"name": "b"}, "spec": "a" * 100_000 + "!"}
    answer = sent(api, "POST", f"/apis/{group}/v1/namespaces/{namespace}/bombs", tree)
    assert answer.status_code == 422
    api.delete(f"{CRDS}/bombs.{group}")


@pytest.mark.parametrize(
    "expression",
    [
        pytest.param("[1,2,3].all(a, " * 40 + "true" + ")" * 40, id="loops in loops"),
        pytest.param("'" + "a" * 200_000 + "' == object.metadata.name", id="a long text"),
        pytest.param("object.spec.replicas" + " + 1" * 5_000 + " > 0", id="a long sum"),
    ],
)
def test_f_api_4_expressions_of_policies(api, namespace, pulse, expression):
    rules = [{"apiGroups": ["apps"], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["deployments"]}]
    spec = {"matchConstraints": {"resourceRules": rules}, "validations": [{"expression": expression}]}
    answer = sent(api, "POST", POLICIES, {"metadata": {"name": namespace}, "spec": spec})
    assert answer.status_code in (201, 422)
    api.ask("DELETE", f"{POLICIES}/{namespace}")


def test_f_api_3_bodies_up_to_the_limit_and_no_further(api, namespace, pulse):
    path = f"/api/v1/namespaces/{namespace}/configmaps"
    large = json.dumps({"metadata": {"name": "large"}, "data": {"a": "x" * (4 << 20)}}).encode()
    assert sent(api, "POST", path, large).status_code == 413
    fits = {"metadata": {"name": "fits"}, "data": {"a": "x" * (900 << 10)}}
    assert sent(api, "POST", path, fits).status_code == 201
