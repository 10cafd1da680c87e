"""Protobuf as Go reads and writes it: kubectl's typed commands (since 1.32) send it, and print what they read."""

import json

import pytest

CREATED = [
    ("deployment web --image=nginx --replicas=3 --port=80", "/apis/apps/v1/{ns}/deployments/web"),
    ("job hello --image=busybox", "/apis/batch/v1/{ns}/jobs/hello"),
    ("cronjob often --image=busybox --schedule=@hourly", "/apis/batch/v1/{ns}/cronjobs/often"),
    ("service nodeport np --tcp=80:8080", "/api/v1/{ns}/services/np"),
    ("configmap cm --from-literal=k=v --from-literal=a=b", "/api/v1/{ns}/configmaps/cm"),
    ("secret generic s --from-literal=k=v", "/api/v1/{ns}/secrets/s"),
    ("quota q --hard=cpu=1,pods=2", "/api/v1/{ns}/resourcequotas/q"),
    ("poddisruptionbudget p --selector=app=x --min-available=50%", "/apis/policy/v1/{ns}/poddisruptionbudgets/p"),
    (
        "rolebinding rb --clusterrole=view --user=u --group=g",
        "/apis/rbac.authorization.k8s.io/v1/{ns}/rolebindings/rb",
    ),
    ("ingress i --rule=a.example/b=svc:80", "/apis/networking.k8s.io/v1/{ns}/ingresses/i"),
]


@pytest.mark.parametrize(("command", "path"), CREATED, ids=lambda text: text.split()[0])
def test_go_reads_what_we_write(api, namespace, kubectl, command, path):
    seen = json.loads(kubectl("create", *command.split(), "-o", "json"))
    found = api.get(path.format(ns=f"namespaces/{namespace}"))
    for tree in (seen, found):
        for field in ("managedFields", "resourceVersion", "generation", "annotations", "finalizers"):
            tree["metadata"].pop(field, None)
        tree.pop("status", None)
    assert bare(seen) == bare(found)


def bare(tree):
    """A tree without what Go's printers leave out or add when empty."""
    if isinstance(tree, dict):
        made = {key: bare(value) for key, value in tree.items()}
        return {key: value for key, value in made.items() if value not in ({}, [], None, "")}
    return [bare(item) for item in tree] if isinstance(tree, list) else tree


def test_go_reads_errors_and_reviews(kubectl):
    kubectl("create", "configmap", "twice")
    assert 'configmaps "twice" already exists' in kubectl("create", "configmap", "twice", fails=True)
    assert kubectl("auth", "can-i", "create", "pods").strip() == "yes"
    assert "kubernetes-admin" in kubectl("auth", "whoami")
    assert kubectl("create", "token", "default").count(".") == 2
