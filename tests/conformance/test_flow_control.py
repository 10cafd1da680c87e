"""The objects of API priority and fairness, and that they are kept to."""

import uuid

import pytest

GROUP = "/apis/flowcontrol.apiserver.k8s.io"
ROOT = f"{GROUP}/v1"

SCHEMA = {
    "priorityLevelConfiguration": {"name": "global-default"},
    "matchingPrecedence": 9999,
    "distinguisherMethod": {"type": "ByUser"},
    "rules": [
        {
            "subjects": [{"kind": "User", "user": {"name": "example-user"}}],
            "nonResourceRules": [{"verbs": ["*"], "nonResourceURLs": ["*"]}],
        }
    ],
}
LEVEL = {"type": "Limited", "limited": {"nominalConcurrencyShares": 2, "limitResponse": {"type": "Reject"}}}
CONDITION = {
    "type": "Dangling",
    "status": "Unknown",
    "reason": "Tried",
    "message": "by hand",
    "lastTransitionTime": "2026-01-01T00:00:00Z",
}


@pytest.mark.parametrize(
    ("plural", "spec", "change"),
    [
        pytest.param("flowschemas", SCHEMA, {"matchingPrecedence": 9998}, marks=pytest.mark.conformance("AM-001")),
        pytest.param(
            "prioritylevelconfigurations",
            LEVEL,
            {"limited": {"nominalConcurrencyShares": 4}},
            marks=pytest.mark.conformance("AM-002"),
        ),
    ],
)
def test_every_verb_works(api, plural, spec, change):
    group = next(one for one in api.get("/apis")["groups"] if one["name"] == "flowcontrol.apiserver.k8s.io")
    assert "v1" in [one["version"] for one in group["versions"]]
    assert "v1" in [one["version"] for one in api.get(GROUP)["versions"]]
    served = {one["name"] for one in api.get(ROOT)["resources"]}
    assert {plural, f"{plural}/status"} <= served

    mark = uuid.uuid4().hex
    path, selected = f"{ROOT}/{plural}", f"{ROOT}/{plural}?labelSelector=mark%3D{mark}"
    watch = api.watch(selected)
    made = [
        api.create(path, {"metadata": {"generateName": "tried-", "labels": {"mark": mark}}, "spec": spec})
        for _ in range(3)
    ]
    name = made[0]["metadata"]["name"]
    assert api.get(f"{path}/{name}")["metadata"]["uid"] == made[0]["metadata"]["uid"]
    assert len(api.get(selected)["items"]) == 3
    changed = api.patch(f"{path}/{name}", {"metadata": {"annotations": {"patched": "true"}}, "spec": change})
    assert changed["metadata"]["annotations"]["patched"] == "true"
    updated = api.update(
        f"{path}/{name}", {**changed, "metadata": {**changed["metadata"], "annotations": {"u": "1"}}}
    )
    assert updated["metadata"]["annotations"] == {"u": "1"}
    watch.wait(
        lambda events: (
            [one["type"] for one in events if one["object"]["metadata"]["name"] == name][-1:] == ["MODIFIED"]
        )
    )

    assert api.get(f"{path}/{name}/status")["metadata"]["name"] == name
    patched = api.patch(f"{path}/{name}/status", {"status": {"conditions": [CONDITION]}})
    assert CONDITION in patched["status"]["conditions"]
    patched["status"]["conditions"][0]["message"] = "again"
    assert api.update(f"{path}/{name}/status", patched)["status"]["conditions"][0]["message"] == "again"

    api.delete(f"{path}/{name}")
    watch.wait(lambda events: "DELETED" in [one["type"] for one in events])
    api.delete(selected)
    assert api.get(selected)["items"] == []
    watch.close()


def test_an_answer_names_the_flow_and_the_level(api):
    answer = api.ask("GET", "/api/v1/nodes")
    schemas = {one["metadata"]["uid"]: one["metadata"]["name"] for one in api.get(f"{ROOT}/flowschemas")["items"]}
    assert schemas[answer.headers["X-Kubernetes-PF-FlowSchema-UID"]] == "exempt"


def test_kubectl_shows_them(kubectl):
    shown = kubectl("get", "flowschemas")
    assert "catch-all" in shown
    assert "MISSINGPL" in shown
    assert "workload-low" in kubectl("get", "prioritylevelconfigurations")


def test_the_server_tells_that_it_is_alive(api):
    selected = "labelSelector=apiserver.kubernetes.io/identity%3Dkube-apiserver"
    (lease,) = api.get(f"/apis/coordination.k8s.io/v1/namespaces/kube-system/leases?{selected}")["items"]
    assert lease["metadata"]["name"] == lease["spec"]["holderIdentity"]
    assert lease["spec"]["leaseDurationSeconds"] == 3600
