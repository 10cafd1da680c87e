"""Server-side apply, diff, prune and the owners of fields, as kubectl and other clients use them."""

import json

import pytest
import yaml
from conformance_tools import manifest
from kubernetes.dynamic import DynamicClient

MERGE, APPLY = "application/merge-patch+json", "application/apply-patch+yaml"


def deployment(*, replicas=2, image="web:1", labels=None):
    selected = {"app": "web"}
    spec = {"containers": [{"name": "web", "image": image, "ports": [{"containerPort": 80}]}]}
    said = {"selector": {"matchLabels": selected}, "template": {"metadata": {"labels": selected}, "spec": spec}}
    if replicas is not None:
        said["replicas"] = replicas
    metadata = {"name": "web", "labels": labels or {"tier": "front"}}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": said}


def config_map(name, labels=None, **data):
    metadata = {"name": name, "labels": labels} if labels else {"name": name}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}


def owners(tree):
    return {
        (entry["manager"], entry["operation"], entry.get("subresource", "")): entry["fieldsV1"]
        for entry in tree["metadata"].get("managedFields", [])
    }


def read(kubectl, kind, name):
    return json.loads(kubectl("get", kind, name, "-o", "json", "--show-managed-fields"))


@pytest.mark.conformance("CL-005")
def test_diff_finds_the_change_of_an_image(kubectl):
    kubectl("create", "-f", "-", text=manifest(deployment()))
    before = read(kubectl, "deployment", "web")
    said = kubectl("diff", "-f", "-", text=manifest(deployment(image="web:2")), fails=True)
    lines = said.splitlines()
    assert any(line.startswith("-") and line.endswith("image: web:1") for line in lines), said
    assert any(line.startswith("+") and line.endswith("image: web:2") for line in lines), said
    after = read(kubectl, "deployment", "web")
    assert after["spec"] == before["spec"]


def test_diff_on_the_server_finds_it_too(kubectl):
    kubectl("apply", "--server-side", "-f", "-", text=manifest(deployment()))
    said = kubectl("diff", "--server-side", "-f", "-", text=manifest(deployment(image="web:2")), fails=True)
    assert any(line.startswith("+") and line.endswith("image: web:2") for line in said.splitlines()), said
    assert kubectl("diff", "--server-side", "-f", "-", text=manifest(deployment())) == ""


@pytest.mark.conformance("CL-011")
def test_a_dry_run_on_the_server_takes_a_patch_and_changes_nothing(kubectl):
    kubectl("create", "-f", "-", text=manifest(deployment()))
    before = read(kubectl, "deployment", "web")
    patch = json.dumps({"spec": {"template": {"spec": {"containers": [{"name": "web", "image": "web:9"}]}}}})
    said = kubectl("patch", "deployment", "web", "--dry-run=server", "-p", patch, "-o", "json")
    assert json.loads(said)["spec"]["template"]["spec"]["containers"][0]["image"] == "web:9"
    after = read(kubectl, "deployment", "web")
    assert after["spec"] == before["spec"]
    assert after["metadata"]["generation"] == before["metadata"]["generation"]


def test_apply_on_the_server_and_its_conflicts(kubectl):
    said = kubectl("apply", "--server-side", "-f", "-", text=manifest(deployment()))
    assert said.strip() == "deployment.apps/web serverside-applied"
    found = read(kubectl, "deployment", "web")
    assert "f:replicas" in owners(found)["kubectl", "Apply", ""]["f:spec"]
    again = ("apply", "--server-side", "--field-manager=ci", "-f", "-")
    refused = kubectl(*again, text=manifest(deployment(replicas=5)), fails=True)
    assert 'Apply failed with 1 conflict: conflict with "kubectl": .spec.replicas' in refused
    assert "--force-conflicts" in refused
    kubectl(*again, "--force-conflicts", text=manifest(deployment(replicas=5)))
    found = read(kubectl, "deployment", "web")
    assert found["spec"]["replicas"] == 5
    assert "f:replicas" not in owners(found)["kubectl", "Apply", ""]["f:spec"]
    assert "f:replicas" in owners(found)["ci", "Apply", ""]["f:spec"]


def test_an_unchanged_apply_writes_nothing(kubectl):
    kubectl("apply", "--server-side", "-f", "-", text=manifest(config_map("a", k="1")))
    before = read(kubectl, "configmap", "a")["metadata"]
    kubectl("apply", "--server-side", "-f", "-", text=manifest(config_map("a", k="1")))
    assert read(kubectl, "configmap", "a")["metadata"] == before


def test_what_client_side_apply_owned_goes_over_to_server_side_apply(kubectl):
    kubectl("apply", "-f", "-", text=manifest(config_map("a", k="1", gone="1")))
    assert ("kubectl-client-side-apply", "Update", "") in owners(read(kubectl, "configmap", "a"))
    kubectl("apply", "--server-side", "-f", "-", text=manifest(config_map("a", k="2")))
    found = read(kubectl, "configmap", "a")
    assert found["data"] == {"k": "2"}
    # kubectl keeps its own note under a second name.
    assert sorted(owners(found)) == [("kubectl", "Apply", ""), ("kubectl-last-applied", "Apply", "")]
    assert owners(found)["kubectl", "Apply", ""] == {"f:data": {"f:k": {}}}
    noted = json.loads(found["metadata"]["annotations"]["kubectl.kubernetes.io/last-applied-configuration"])
    assert noted["data"] == {"k": "2"}


def test_prune_by_label_deletes_what_is_applied_no_more(kubectl):
    mine = {"set": "mine"}
    both = manifest(config_map("a", mine, k="1"), config_map("b", mine, k="1"))
    kubectl("apply", "-f", "-", text=both)
    kubectl("apply", "-f", "-", text=manifest(config_map("other", k="1")))
    pruning = ("apply", "--prune", "-l", "set=mine", "--prune-allowlist=core/v1/ConfigMap", "-f", "-")
    said = kubectl(*pruning, text=manifest(config_map("a", mine, k="1")))
    assert "configmap/b pruned" in said
    left = kubectl("get", "configmaps", "-o", "name").split()
    assert "configmap/a" in left
    assert "configmap/other" in left
    assert "configmap/b" not in left


def test_prune_by_applyset(kubectl):
    pruning = ("apply", "--server-side", "--prune", "--applyset=secrets/theset", "-f", "-")
    both = manifest(config_map("a", k="1"), config_map("b", k="1"))
    kubectl(*pruning, text=both, KUBECTL_APPLYSET="true")
    said = kubectl(*pruning, text=manifest(config_map("a", k="1")), KUBECTL_APPLYSET="true")
    assert "configmap/b pruned" in said
    assert "configmap/b" not in kubectl("get", "configmaps", "-o", "name").split()
    secret = json.loads(kubectl("get", "secret", "theset", "-o", "json"))
    assert secret["metadata"]["annotations"]["applyset.kubernetes.io/contains-group-kinds"] == "ConfigMap"


def test_owners_are_shown_when_asked_for(kubectl):
    kubectl("apply", "--server-side", "-f", "-", text=manifest(config_map("a", k="1")))
    assert "managedFields" not in kubectl("get", "configmap", "a", "-o", "yaml")
    shown = yaml.safe_load(kubectl("get", "configmap", "a", "-o", "yaml", "--show-managed-fields"))
    (entry,) = shown["metadata"]["managedFields"]
    assert entry["fieldsV1"] == {"f:data": {"f:k": {}}}


def test_every_way_of_writing_leaves_its_manager(api, kubectl, namespace):
    kubectl("create", "-f", "-", text=manifest(deployment()))
    kubectl("scale", "deployment", "web", "--replicas=3")
    kubectl("label", "deployment", "web", "colour=red")
    kubectl("set", "image", "deployment/web", "web=web:2")
    path = f"/apis/apps/v1/namespaces/{namespace}/deployments/web"
    api.patch(f"{path}/status?fieldManager=me", {"status": {"unavailableReplicas": 1}})
    found = owners(read(kubectl, "deployment", "web"))
    assert "f:selector" in found["kubectl-create", "Update", ""]["f:spec"]
    assert found["kubectl", "Update", "scale"] == {"f:spec": {"f:replicas": {}}}
    assert "f:colour" in found["kubectl-label", "Update", ""]["f:metadata"]["f:labels"]
    template = found["kubectl-set", "Update", ""]["f:spec"]["f:template"]
    assert template["f:spec"]["f:containers"] == {'k:{"name":"web"}': {"f:image": {}}}
    assert any(subresource == "status" for _, _, subresource in found)


def test_items_of_lists_are_shared_by_their_keys(api, namespace):
    services = f"/api/v1/namespaces/{namespace}/services"

    def service(*ports):
        said = {"ports": [{"name": name, "port": port} for name, port in ports]}
        return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web"}, "spec": said}

    def apply(manager, *ports):
        return api.patch(f"{services}/web?fieldManager={manager}", service(*ports), media=APPLY)

    apply("one", ("http", 80))
    both = apply("two", ("https", 443))
    assert [port["port"] for port in both["spec"]["ports"]] == [80, 443]
    left = apply("one", ("metrics", 9090))
    assert sorted(port["port"] for port in left["spec"]["ports"]) == [443, 9090]


def test_the_dynamic_client_of_python_applies(python, namespace):
    maps = DynamicClient(python).resources.get(api_version="v1", kind="ConfigMap")
    made = maps.server_side_apply(config_map("a", k="1"), namespace=namespace, field_manager="python")
    assert made.data.k == "1"
    assert made.metadata.managedFields[0].manager == "python"


def test_a_controller_keeps_what_it_owns_beside_an_apply(api, kubectl, namespace):
    """Replicas that nobody applies are the autoscaler's, and stay."""
    kubectl("apply", "--server-side", "-f", "-", text=manifest(deployment(replicas=None)))
    kubectl("scale", "deployment", "web", "--replicas=4")
    kubectl("apply", "--server-side", "-f", "-", text=manifest(deployment(replicas=None, image="web:2")))
    found = api.get(f"/apis/apps/v1/namespaces/{namespace}/deployments/web")
    assert found["spec"]["replicas"] == 4
    assert found["spec"]["template"]["spec"]["containers"][0]["image"] == "web:2"
