"""Volumes, claims, classes and drivers, as objects and as they are bound; immutable ConfigMaps and Secrets."""

import base64
import uuid

import pytest
from conformance_tools import live_through, wait_until

STORAGE = "/apis/storage.k8s.io/v1"
VOLUMES = "/api/v1/persistentvolumes"


def drivers_of(*names):
    return {"drivers": [{"name": name, "nodeID": name} for name in names]}


@pytest.mark.parametrize(
    ("plural", "body", "change"),
    [
        pytest.param(
            "csidrivers",
            {"spec": {"attachRequired": False, "fsGroupPolicy": "File"}},
            {"spec": {"requiresRepublish": True}},
            marks=pytest.mark.conformance("ST-001"),
        ),
        pytest.param(
            "csinodes",
            {"spec": drivers_of("d")},
            {"spec": drivers_of("d", "e")},
            marks=pytest.mark.conformance("ST-003"),
        ),
        pytest.param(
            "storageclasses",
            {"provisioner": "example.com/p", "reclaimPolicy": "Delete"},
            {"allowVolumeExpansion": True},
            marks=pytest.mark.conformance("ST-083"),
        ),
    ],
)
def test_every_verb_works(api, plural, body, change):
    live_through(api, f"{STORAGE}/{plural}", body, change)


@pytest.mark.conformance("ST-004")
def test_every_verb_works_on_capacities(api, namespace):
    path = f"{STORAGE}/namespaces/{namespace}/csistoragecapacities"
    live_through(api, path, {"storageClassName": "s", "capacity": "1Gi"}, {"capacity": "2Gi"})
    assert "items" in api.get(f"{STORAGE}/csistoragecapacities")


@pytest.mark.conformance("ST-002")
def test_a_pod_with_a_volume_of_a_driver_in_its_spec(api, namespace):
    path = f"/api/v1/namespaces/{namespace}/pods"
    volume = {"name": "v", "csi": {"driver": "inline.example.com", "volumeAttributes": {"a": "b"}}}
    spec = {"containers": [{"name": "c", "image": "i"}], "volumes": [volume]}
    made = api.create(path, {"metadata": {"name": "p", "labels": {"a": "b"}}, "spec": spec})
    assert made["spec"]["volumes"][0]["csi"]["volumeAttributes"] == {"a": "b"}
    assert api.get(f"{path}/p")["spec"]["volumes"][0]["csi"]["driver"] == "inline.example.com"
    assert len(api.get(f"{path}?labelSelector=a%3Db")["items"]) == 1
    assert api.patch(f"{path}/p", {"metadata": {"labels": {"x": "y"}}})["metadata"]["labels"]["x"] == "y"
    api.delete(f"{path}/p")
    wait_until(lambda: api.ask("GET", f"{path}/p").status_code == 404, what="the pod is gone")


def pair(api, namespace, *, set_aside=True):
    """A volume and a claim of a class of their own; gives their paths."""
    name = f"s-{uuid.uuid4().hex[:12]}"
    spec = {
        "capacity": {"storage": "1Gi"},
        "accessModes": ["ReadWriteOnce"],
        "hostPath": {"path": "/tmp/x"},
        "storageClassName": name,
    }
    if set_aside:
        spec["claimRef"] = {"namespace": namespace, "name": name}
    api.create(VOLUMES, {"metadata": {"name": name}, "spec": spec})
    claims = f"/api/v1/namespaces/{namespace}/persistentvolumeclaims"
    wish = {"accessModes": ["ReadWriteOnce"], "storageClassName": name, "resources": {"requests": {"storage": "1Gi"}}}
    api.create(claims, {"metadata": {"name": name}, "spec": wish})
    return f"{VOLUMES}/{name}", f"{claims}/{name}"


def phase(api, path, wanted):
    return wait_until(
        lambda: (tree := api.get(path)) and tree["status"].get("phase") == wanted and tree, what=f"{path} {wanted}"
    )


@pytest.mark.conformance("ST-045")
def test_a_volume_and_a_claim_from_their_making_to_their_end(api, namespace):
    volume, claim = pair(api, namespace)
    phase(api, claim, "Bound")
    assert phase(api, volume, "Bound")["spec"]["claimRef"]["uid"] == api.get(claim)["metadata"]["uid"]
    for path in (volume, claim):
        name = path.rpartition("/")[2]
        assert name in [each["metadata"]["name"] for each in api.get(path.rpartition("/")[0])["items"]]
        assert api.patch(path, {"metadata": {"labels": {"l": name}}})["metadata"]["labels"] == {"l": name}
    api.delete(claim)
    wait_until(lambda: api.ask("GET", claim).status_code == 404, what="the claim is gone")
    phase(api, volume, "Released")
    api.delete(volume)
    wait_until(lambda: api.ask("GET", volume).status_code == 404, what="the volume is gone")

    volume, claim = pair(api, namespace, set_aside=False)
    phase(api, claim, "Bound")
    for path in (claim, volume):
        tree = api.get(path)
        tree["metadata"]["labels"] = {"updated": "true"}
        assert wait_until(lambda tree=tree, path=path: _updated(api, path, tree))["metadata"]["labels"]
        collection = path.rpartition("/")[0]
        api.delete(f"{collection}?labelSelector=updated%3Dtrue")
        wait_until(lambda path=path: api.ask("GET", path).status_code == 404, what=f"{path} is gone")


def _updated(api, path, tree):
    tree["metadata"]["resourceVersion"] = api.get(path)["metadata"]["resourceVersion"]
    answer = api.ask("PUT", path, tree)
    return answer.status_code == 200 and answer.json()


@pytest.mark.conformance("ST-044")
def test_the_status_of_a_volume_and_of_a_claim(api, namespace):
    volume, claim = pair(api, namespace)
    phase(api, claim, "Bound")
    phase(api, volume, "Bound")
    condition = {"type": "Tried", "status": "True", "reason": "ByHand", "message": "m"}
    assert api.get(f"{claim}/status")["status"]["phase"] == "Bound"
    patched = api.patch(f"{claim}/status", {"status": {"conditions": [condition]}})
    assert [each["type"] for each in patched["status"]["conditions"]] == ["Tried"]
    patched["status"]["conditions"][0]["reason"] = "Again"
    assert api.update(f"{claim}/status", patched)["status"]["conditions"][0]["reason"] == "Again"
    assert api.get(f"{volume}/status")["status"]["phase"] == "Bound"
    assert api.patch(f"{volume}/status", {"status": {"message": "by hand", "reason": "Tried"}})["status"]["reason"]
    tree = api.get(f"{volume}/status")
    tree["status"]["reason"] = "Again"
    assert api.update(f"{volume}/status", tree)["status"]["reason"] == "Again"
    for path in (claim, volume):
        api.delete(path)
        wait_until(lambda path=path: api.ask("GET", path).status_code == 404, what=f"{path} is gone")


@pytest.mark.parametrize(
    "plural",
    [
        pytest.param("configmaps", marks=pytest.mark.conformance("ST-014")),
        pytest.param("secrets", marks=pytest.mark.conformance("ST-082")),
    ],
)
def test_what_is_immutable_stays_as_it_is(api, namespace, plural):
    path = f"/api/v1/namespaces/{namespace}/{plural}"
    one, two = (base64.b64encode(text).decode() for text in (b"one", b"two"))
    made = api.create(path, {"metadata": {"name": "m"}, "data": {"a": one}})
    changed = api.patch(f"{path}/m", {"data": {"a": two}})
    assert changed["metadata"]["resourceVersion"] != made["metadata"]["resourceVersion"]
    api.patch(f"{path}/m", {"immutable": True})
    for patch in ({"data": {"a": one}}, {"immutable": False}, {"immutable": None}):
        answer = api.ask("PATCH", f"{path}/m", patch, media="application/merge-patch+json")
        assert answer.status_code == 422
    assert api.patch(f"{path}/m", {"metadata": {"labels": {"l": "v"}}})["metadata"]["labels"] == {"l": "v"}
    api.delete(f"{path}/m")
