"""Pod security: what a namespace's labels refuse and warn of."""

import pytest
from conformance_tools import manifest, wait_until

LABEL = "pod-security.kubernetes.io/"
SPEC = {"containers": [{"name": "c", "image": "i"}]}


@pytest.fixture
def labelled(api, namespace):
    """Set the labels of the test's namespace; gives the warnings of that."""

    def put(**labels):
        body = {"metadata": {"labels": {LABEL + name.replace("_", "-"): value for name, value in labels.items()}}}
        answer = api.ask("PATCH", f"/api/v1/namespaces/{namespace}", body, media="application/merge-patch+json")
        assert answer.status_code == 200, answer.text
        return answer.headers.get("warning", "")

    return put


def test_the_restricted_level_is_enforced(api, namespace, labelled):
    labelled(enforce="restricted")
    answer = api.ask("POST", f"/api/v1/namespaces/{namespace}/pods", {"metadata": {"name": "p"}, "spec": SPEC})
    assert answer.status_code == 403
    assert answer.json()["message"].startswith(
        'pods "p" is forbidden: violates PodSecurity "restricted:latest": allowPrivilegeEscalation != false '
        '(container "c" must set securityContext.allowPrivilegeEscalation=false), unrestricted capabilities'
    )
    labelled(enforce="restricted", enforce_version="v1.7")
    answer = api.ask("POST", f"/api/v1/namespaces/{namespace}/pods", {"metadata": {"name": "p"}, "spec": SPEC})
    assert "allowPrivilegeEscalation" not in answer.text
    assert "runAsNonRoot != true" in answer.text


def test_kubectl_warns_of_templates_that_will_be_refused(kubectl, labelled, capfd):
    labelled(enforce="baseline", warn="baseline")
    spec = {**SPEC, "hostNetwork": True}
    template = {"metadata": {"labels": {"a": "b"}}, "spec": spec}
    deployment = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "d"},
        "spec": {"selector": {"matchLabels": {"a": "b"}}, "template": template},
    }
    kubectl("apply", "-f", "-", text=manifest(deployment))

    def told():
        return "violates PodSecurity" in kubectl("get", "deployment", "d", "-o", "yaml")

    wait_until(told, what="the deployment to say that its pods are refused")


def test_a_stricter_namespace_warns_of_its_pods(api, namespace, labelled):
    path = f"/api/v1/namespaces/{namespace}"
    api.create(f"{path}/pods", {"metadata": {"name": "p"}, "spec": {**SPEC, "hostPID": True}})
    warning = labelled(enforce="baseline")
    assert f'existing pods in namespace \\"{namespace}\\" violate the new PodSecurity enforce level' in warning
    assert "p: host namespaces" in warning
    body = {"metadata": {"labels": {LABEL + "enforce": "high"}}}
    answer = api.ask("PATCH", path, body, media="application/merge-patch+json")
    assert answer.status_code == 422
    assert "must be one of privileged, baseline, restricted" in answer.json()["message"]
