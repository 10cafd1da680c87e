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


@pytest.mark.conformance("AM-098")
def test_an_object_that_leaves_the_selection_is_deleted_to_its_watchers(api, namespace):
    maps = f"/api/v1/namespaces/{namespace}/configmaps"
    watch = api.watch(f"{maps}?labelSelector=a%3Db")
    api.create(maps, {"metadata": {"name": "m", "labels": {"a": "b"}}})
    api.patch(f"{maps}/m", {"metadata": {"labels": {"a": "c"}}})
    api.patch(f"{maps}/m", {"data": {"unseen": "yes"}})
    api.patch(f"{maps}/m", {"metadata": {"labels": {"a": "b"}}})
    api.delete(f"{maps}/m")
    watch.wait(lambda seen: [event["type"] for event in seen] == ["ADDED", "DELETED", "ADDED", "DELETED"])
    assert watch.seen[2]["object"]["data"] == {"unseen": "yes"}
    watch.close()
