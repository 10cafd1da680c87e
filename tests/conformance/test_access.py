"""Who may do what, as clients meet it: reviews, roles, impersonation."""

import json

import pytest
from conformance_tools import manifest, wait_until

RBAC = "/apis/rbac.authorization.k8s.io/v1"
REVIEWS = "/apis/authorization.k8s.io/v1"


def bind(api, namespace, role, user, *, name="bound"):
    subject = {"kind": "User", "name": user, "apiGroup": "rbac.authorization.k8s.io"}
    reference = {"kind": "ClusterRole", "name": role, "apiGroup": "rbac.authorization.k8s.io"}
    tree = {"metadata": {"name": name}, "roleRef": reference, "subjects": [subject]}
    api.create(f"{RBAC}/namespaces/{namespace}/rolebindings", tree)


@pytest.mark.conformance("AU-017")
def test_reviews_agree_with_what_somebody_may_do(api, namespace):
    bind(api, namespace, "view", "e2e")
    for verb, path, local in (("list", "pods", True), ("create", "pods", False), ("list", "secrets", False)):
        attributes = {"verb": verb, "resource": path, "version": "v1", "namespace": namespace}
        tree = {"metadata": {"namespace": namespace}, "spec": {"user": "e2e", "resourceAttributes": attributes}}
        whole = api.create(f"{REVIEWS}/subjectaccessreviews", {**tree, "metadata": {}})
        part = api.create(f"{REVIEWS}/namespaces/{namespace}/localsubjectaccessreviews", tree)
        assert whole["status"]["allowed"] is part["status"]["allowed"] is local
        method, body = ("GET", None) if verb == "list" else ("POST", {"metadata": {"name": "x"}, "spec": {}})
        answer = api.ask(method, f"/api/v1/namespaces/{namespace}/{path}", body, Impersonate_User="e2e")
        assert (answer.status_code != 403) is local


def test_a_review_that_asks_nothing_is_refused(api):
    answer = api.ask("POST", f"{REVIEWS}/subjectaccessreviews", {"spec": {"user": "a"}})
    assert answer.status_code == 422
    assert "exactly one of nonResourceAttributes or resourceAttributes" in answer.json()["message"]


def test_kubectl_tells_what_one_may_do(api, namespace, kubectl):
    bind(api, namespace, "edit", "bob")
    assert kubectl("auth", "can-i", "create", "pods", "--as", "bob").strip() == "yes"
    assert "no" in kubectl("auth", "can-i", "get", "nodes", "--as", "bob", fails=True)
    listed = kubectl("auth", "can-i", "--list", "--as", "bob")
    assert "configmaps" in listed
    assert "/healthz" in listed
    assert "kubernetes-admin" in kubectl("auth", "whoami")


def test_kubectl_reconciles_roles(namespace, kubectl):
    rules = [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}]
    role = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "Role",
        "metadata": {"name": "r", "namespace": namespace},
        "rules": rules,
    }
    kubectl("auth", "reconcile", "-f", "-", text=manifest(role))
    role["rules"] = [{"apiGroups": [""], "resources": ["secrets"], "verbs": ["get"]}]
    kubectl("auth", "reconcile", "-f", "-", text=manifest(role))
    found = json.loads(kubectl("get", "role", "r", "-o", "json"))["rules"]
    assert sorted(rule["resources"][0] for rule in found) == ["pods", "secrets"]


def test_nobody_gives_on_what_he_does_not_hold(api, namespace):
    bind(api, namespace, "admin", "carol")
    subject = {"kind": "User", "name": "dave", "apiGroup": "rbac.authorization.k8s.io"}
    reference = {"kind": "ClusterRole", "name": "cluster-admin", "apiGroup": "rbac.authorization.k8s.io"}
    tree = {"metadata": {"name": "more"}, "roleRef": reference, "subjects": [subject]}
    path = f"{RBAC}/namespaces/{namespace}/rolebindings"
    refused = api.ask("POST", path, tree, Impersonate_User="carol")
    assert refused.status_code == 403
    assert "is attempting to grant RBAC permissions not currently held" in refused.json()["message"]
    tree["roleRef"]["name"] = "view"
    assert api.ask("POST", path, tree, Impersonate_User="carol").status_code == 201


def test_a_sum_of_roles_follows_its_parts(api):
    label = {"rbac.example.com/into-monitoring": "true"}
    rule = {"clusterRoleSelectors": [{"matchLabels": label}]}
    api.create(f"{RBAC}/clusterroles", {"metadata": {"name": "monitoring-sum"}, "aggregationRule": rule})
    part = {"metadata": {"name": "monitoring-part", "labels": label}}
    part["rules"] = [{"apiGroups": [""], "resources": ["services"], "verbs": ["get"]}]
    api.create(f"{RBAC}/clusterroles", part)
    wait_until(lambda: api.get(f"{RBAC}/clusterroles/monitoring-sum").get("rules") == part["rules"])
    api.delete(f"{RBAC}/clusterroles/monitoring-part")
    wait_until(lambda: not api.get(f"{RBAC}/clusterroles/monitoring-sum").get("rules"))
    api.delete(f"{RBAC}/clusterroles/monitoring-sum")


def test_without_credentials_there_is_health_and_no_more(as_user):
    nobody = as_user()
    assert nobody.ask("GET", "/livez").status_code == 200
    assert nobody.ask("GET", "/version").status_code == 200
    assert nobody.ask("GET", "/api/v1/namespaces").status_code == 401
    assert as_user(token="nonsense").ask("GET", "/api/v1/namespaces").status_code == 401
