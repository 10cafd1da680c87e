"""Admission policies in CEL, as kubectl and the Python client use them."""

import pytest
from conformance_tools import manifest, wait_until
from kubernetes import client as official

GROUP = "/apis/admissionregistration.k8s.io/v1"
DEPLOYMENTS = {
    "apiGroups": ["apps"],
    "apiVersions": ["v1"],
    "operations": ["CREATE", "UPDATE"],
    "resources": ["deployments"],
}


def deployment(name, *, replicas=1, labels=None):
    chosen = {"app": name}
    pod = {"metadata": {"labels": chosen}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
    spec = {"replicas": replicas, "selector": {"matchLabels": chosen}, "template": pod}
    return {"metadata": {"name": name, "labels": labels or {}}, "spec": spec}


@pytest.fixture
def policy(api, namespace):
    """Make a policy of either kind that holds in the test's namespace, and take it away in the end."""
    made = []

    def make(kind, spec, **binding):
        name = f"{namespace}-{len(made)}"
        plural = f"{kind}admissionpolicies"
        matched = {"resourceRules": [DEPLOYMENTS], **spec.pop("match", {})}
        api.create(f"{GROUP}/{plural}", {"metadata": {"name": name}, "spec": {"matchConstraints": matched, **spec}})
        made.append(f"{GROUP}/{plural}/{name}")
        bindings = f"{GROUP}/{kind}admissionpolicybindings"
        here = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}}}
        body = {"metadata": {"name": name}, "spec": {"policyName": name, "matchResources": here, **binding}}
        api.create(bindings, body)
        made.append(f"{bindings}/{name}")
        return name

    yield make
    for path in reversed(made):
        api.ask("DELETE", path)


@pytest.mark.conformance("AM-094")
def test_a_deployment_is_held_against_a_policy(api, namespace, policy, python):
    claims = [
        {
            "expression": "object.spec.replicas > 1",
            "messageExpression": "'wants replicas, has ' + string(object.spec.replicas)",
        }
    ]
    name = policy("validating", {"validations": claims}, validationActions=["Deny"])
    path = f"/apis/apps/v1/namespaces/{namespace}/deployments"
    text = f"ValidatingAdmissionPolicy '{name}' with binding '{name}' denied request: wants replicas, has 1"
    with pytest.raises(official.ApiException) as refusal:
        official.AppsV1Api(python).create_namespaced_deployment(namespace, deployment("one"))
    assert refusal.value.status == 422
    assert f'deployments.apps \\"one\\" is forbidden: {text}' in refusal.value.body
    status = api.ask("POST", path, deployment("one")).json()
    assert status["reason"] == "Invalid"
    assert status["details"]["causes"] == [{"message": text}]
    assert api.create(path, deployment("two", replicas=2))["spec"]["replicas"] == 2
    assert (
        api.ask("PATCH", f"{path}/two", {"spec": {"replicas": 1}}, media="application/merge-patch+json").status_code
        == 422
    )


@pytest.mark.conformance("AM-091")
def test_the_expressions_of_a_policy_use_its_variables(api, namespace, policy):
    spec = {
        "variables": [
            {"name": "replicas", "expression": "object.spec.replicas"},
            {"name": "isOdd", "expression": "variables.replicas % 2 == 1"},
        ],
        "validations": [
            {"expression": "variables.replicas > 1"},
            {"expression": "variables.isOdd", "message": "must be odd"},
        ],
    }
    policy("validating", spec, validationActions=["Deny"])
    path = f"/apis/apps/v1/namespaces/{namespace}/deployments"
    assert "failed expression: variables.replicas > 1" in api.ask("POST", path, deployment("a")).json()["message"]
    assert "must be odd" in api.ask("POST", path, deployment("a", replicas=2)).json()["message"]
    api.create(path, deployment("a", replicas=3))


def test_kubectl_shows_the_warning_of_a_policy(namespace, policy, kubectl):
    claims = [{"expression": "object.spec.replicas > 1", "message": "one is few"}]
    name = policy("validating", {"validations": claims}, validationActions=["Warn"])
    said = kubectl("create", "deployment", "d", "--image=i", "--warnings-as-errors", fails=True)
    place = f"ValidatingAdmissionPolicy '{name}' with binding '{name}'"
    assert f"Warning: Validation failed for {place}: one is few" in said


def test_kubectl_is_told_what_does_not_compile(kubectl, namespace):
    match = {"resourceRules": [DEPLOYMENTS]}
    spec = {"matchConstraints": match, "validations": [{"expression": "object.spec.replicas > "}]}
    head = {"apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicy"}
    text = manifest({**head, "metadata": {"name": namespace}, "spec": spec})
    said = kubectl("apply", "-f", "-", text=text, fails=True)
    assert "compilation failed: ERROR: <input>:1:24: Syntax error" in said


@pytest.mark.conformance("AM-064")
def test_a_deployment_is_changed_by_a_policy(api, namespace, policy):
    labels = "metadata: Object.metadata{labels: Object.metadata.labels{env: 'test'}}"
    expression = f"Object{{{labels}, spec: Object.spec{{replicas: 3}}}}"
    patch = {"patchType": "ApplyConfiguration", "applyConfiguration": {"expression": expression}}
    policy("mutating", {"mutations": [patch], "reinvocationPolicy": "Never"})
    path = f"/apis/apps/v1/namespaces/{namespace}/deployments"
    made = api.create(path, deployment("d", labels={"own": "x"}))
    assert made["metadata"]["labels"] == {"own": "x", "env": "test"}
    assert made["spec"]["replicas"] == 3
    assert made["spec"]["template"]["spec"]["containers"][0]["image"] == "i"


@pytest.mark.conformance("AM-065")
def test_a_policy_adds_annotations(api, namespace, policy):
    expression = (
        "has(object.metadata.annotations) ?"
        " [JSONPatch{op: 'add', path: '/metadata/annotations/' + jsonpatch.escapeKey('a.io/by'), value: 'policy'}] :"
        " [JSONPatch{op: 'add', path: '/metadata/annotations', value: {'a.io/by': 'policy'}}]"
    )
    patch = {"patchType": "JSONPatch", "jsonPatch": {"expression": expression}}
    policy("mutating", {"mutations": [patch], "reinvocationPolicy": "Never"})
    path = f"/apis/apps/v1/namespaces/{namespace}/deployments"
    bare = api.create(path, deployment("bare"))
    assert bare["metadata"]["annotations"]["a.io/by"] == "policy"
    tree = deployment("more")
    tree["metadata"]["annotations"] = {"own": "x"}
    assert api.create(path, tree)["metadata"]["annotations"] == {"own": "x", "a.io/by": "policy"}


VALIDATION = {"validations": [{"expression": "true"}]}
MUTATION = {
    "reinvocationPolicy": "Never",
    "mutations": [{"patchType": "ApplyConfiguration", "applyConfiguration": {"expression": "Object{}"}}],
}


def whole_life(api, plural, name, spec, change):
    """Every verb of a kind of this group, once."""
    path, labels = f"{GROUP}/{plural}", {"life": name}
    made = api.create(path, {"metadata": {"name": name, "labels": labels}, "spec": spec})
    assert made["metadata"]["generation"] == 1
    assert [item["metadata"]["name"] for item in api.get(f"{path}?labelSelector=life%3D{name}")["items"]] == [name]
    watch = api.watch(f"{path}?labelSelector=life%3D{name}")
    patched = api.patch(f"{path}/{name}", {"metadata": {"annotations": {"patched": "true"}}})
    assert patched["metadata"]["annotations"] == {"patched": "true"}
    changed = api.update(f"{path}/{name}", {**patched, "spec": {**patched["spec"], **change}})
    assert changed["metadata"]["generation"] == 2
    assert api.get(f"{path}/{name}")["spec"] == changed["spec"]
    api.delete(f"{path}/{name}")
    assert api.ask("GET", f"{path}/{name}").status_code == 404
    api.create(path, {"metadata": {"name": name, "labels": labels}, "spec": spec})
    api.delete(f"{path}?labelSelector=life%3D{name}")
    assert api.get(f"{path}?labelSelector=life%3D{name}")["items"] == []
    lives = ["ADDED", "DELETED", "ADDED", "DELETED"]  # beside changes, some of which a controller makes
    watch.wait(lambda seen: [event["type"] for event in seen if event["type"] != "MODIFIED"] == lives)
    changes = [event["object"]["metadata"] for event in watch.seen if event["type"] == "MODIFIED"]
    assert [each["generation"] for each in changes if "annotations" in each][:2] == [1, 2]
    watch.close()


@pytest.mark.conformance("AM-092")
def test_verbs_of_validating_policies(api, namespace):
    spec = {"matchConstraints": {"resourceRules": [DEPLOYMENTS]}, **VALIDATION}
    whole_life(api, "validatingadmissionpolicies", namespace, spec, {"failurePolicy": "Ignore"})


@pytest.mark.conformance("AM-092")
def test_the_status_of_a_validating_policy(api, namespace):
    path = f"{GROUP}/validatingadmissionpolicies"
    claims = {
        "validations": [{"expression": "object.spec.replicas > 'a'"}, {"expression": "object.spec.nothing == 1"}]
    }
    spec = {"matchConstraints": {"resourceRules": [DEPLOYMENTS]}, **claims}
    api.create(path, {"metadata": {"name": namespace}, "spec": spec})
    checked = wait_until(
        lambda: (
            (api.get(f"{path}/{namespace}/status").get("status") or {}).get("typeChecking")
            and api.get(f"{path}/{namespace}")
        )
    )
    assert checked["status"]["observedGeneration"] == 1
    warnings = checked["status"]["typeChecking"]["expressionWarnings"]
    assert [warning["fieldRef"] for warning in warnings] == [
        "spec.validations[0].expression",
        "spec.validations[1].expression",
    ]
    assert warnings[0]["warning"].startswith(
        "apps/v1, Kind=Deployment: ERROR: <input>:1:22: found no matching overload for '_>_'"
    )
    assert "undefined field 'nothing'" in warnings[1]["warning"]
    condition = {
        "type": "Seen",
        "status": "True",
        "reason": "Test",
        "message": "",
        "lastTransitionTime": "2024-01-01T00:00:00Z",
    }
    patched = api.patch(f"{path}/{namespace}/status", {"status": {"conditions": [condition]}})
    assert [each["type"] for each in patched["status"]["conditions"]] == ["Seen"]
    api.delete(f"{path}/{namespace}")


@pytest.mark.conformance("AM-093")
def test_verbs_of_bindings_of_validating_policies(api, namespace):
    spec = {"policyName": f"{namespace}-none", "validationActions": ["Deny"]}
    whole_life(api, "validatingadmissionpolicybindings", namespace, spec, {"validationActions": ["Warn"]})


@pytest.mark.conformance("AM-066")
def test_verbs_of_mutating_policies(api, namespace):
    spec = {"matchConstraints": {"resourceRules": [DEPLOYMENTS]}, **MUTATION}
    whole_life(api, "mutatingadmissionpolicies", namespace, spec, {"failurePolicy": "Ignore"})


@pytest.mark.conformance("AM-067")
def test_verbs_of_bindings_of_mutating_policies(api, namespace):
    spec = {"policyName": f"{namespace}-none"}
    whole_life(api, "mutatingadmissionpolicybindings", namespace, spec, {"policyName": f"{namespace}-other"})
