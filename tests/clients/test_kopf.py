"""A kopf operator with a custom kind, a finalizer and a timer, as it comes from the shelf."""

from pathlib import Path

import pytest

from bireme.testing.operators import running

GROUP = "/apis/clients.bireme.dev/v1"
DEFINITION = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": "databases.clients.bireme.dev"},
    "spec": {
        "group": "clients.bireme.dev",
        "scope": "Namespaced",
        "names": {"plural": "databases", "singular": "database", "kind": "Database", "shortNames": ["db"]},
        "versions": [
            {
                "name": "v1",
                "served": True,
                "storage": True,
                "subresources": {"status": {}},
                "schema": {
                    "openAPIV3Schema": {
                        "type": "object",
                        "required": ["spec"],
                        "properties": {
                            "spec": {
                                "type": "object",
                                "required": ["image"],
                                "properties": {
                                    "image": {"type": "string"},
                                    "size": {"type": "integer", "minimum": 0, "default": 1},
                                },
                            },
                            "status": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
                        },
                    }
                },
            }
        ],
    },
}


@pytest.fixture
def operator(server):
    definitions = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
    server.ask("POST", definitions, DEFINITION)
    with running(Path(__file__).parent / "kopf_operator.py", server.kubeconfig, {}) as started:
        yield started
    server.ask("DELETE", f"{definitions}/databases.clients.bireme.dev")


def test_a_database_is_made_counted_resized_and_taken_leave_of(server, namespace, operator, until):
    databases = f"{GROUP}/namespaces/{namespace}/databases"
    deployments = f"/apis/apps/v1/namespaces/{namespace}/deployments"

    def deployment():
        return next(iter(server.ask("GET", deployments)["items"]), None)

    until(lambda: {"databases"} <= {one["name"] for one in server.ask("GET", GROUP)["resources"]})
    body = {"apiVersion": "clients.bireme.dev/v1", "kind": "Database", "metadata": {"name": "one"}}
    server.ask("POST", databases, {**body, "spec": {"image": "db:1"}})
    made = until(deployment, seconds=40)
    assert made["metadata"]["ownerReferences"][0]["kind"] == "Database"
    until(lambda: deployment()["status"].get("readyReplicas") == 1)
    one = until(
        lambda: (found := server.ask("GET", f"{databases}/one")).get("status", {}).get("ticks", 0) > 1 and found
    )
    assert one["status"]["create"] == {"deployment": "one"}
    assert one["metadata"]["finalizers"] == ["clients.bireme.dev/kopf"]

    server.patch(f"{databases}/one", {"spec": {"size": 3}})
    until(lambda: deployment()["status"].get("readyReplicas") == 3)

    server.ask("DELETE", f"{databases}/one")
    until(lambda: not server.ask("GET", databases)["items"])
    assert server.ask("GET", f"/api/v1/namespaces/{namespace}/configmaps/one-farewell")
    until(lambda: deployment() is None)
    assert "Traceback" not in operator.log()
