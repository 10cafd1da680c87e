"""Small behaviours of discovery, versions and nodes."""

import pytest


@pytest.mark.conformance("AM-100")
def test_the_version_is_in_whole_numbers(api):
    said = api.get("/version")
    assert said["major"].isdigit()
    assert said["minor"].isdigit()


@pytest.mark.conformance("AR-001")
def test_two_nodes_take_pods(api):
    nodes = api.get("/api/v1/nodes")["items"]
    free = [one for one in nodes if not one["spec"].get("taints") and not one["spec"].get("unschedulable")]
    assert len(free) >= 2


@pytest.mark.conformance("CL-002")
def test_kubectl_lists_versions(kubectl):
    assert "v1" in kubectl("api-versions").split()


@pytest.mark.conformance("CL-003")
def test_kubectl_tells_where_the_control_plane_is(kubectl):
    assert "Kubernetes control plane" in kubectl("cluster-info")
    assert "is running at" in kubectl("cluster-info")


@pytest.mark.conformance("CL-012")
def test_kubectl_tells_both_versions(kubectl):
    said = kubectl("version")
    assert "Client Version:" in said
    assert "Server Version:" in said
