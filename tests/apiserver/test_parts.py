"""Parts of objects with verbs of their own, and kinds that are served in two versions, through the door."""

from typing import Any

import pytest

PODS = "/api/v1/namespaces/default/pods"
MERGE = "application/merge-patch+json"


def pod(name: str = "a", **labels: str) -> dict[str, Any]:
    return {
        "metadata": {"name": name, "labels": labels},
        "spec": {"containers": [{"name": "main", "image": "busybox"}]},
    }


async def test_the_status_is_written_by_itself(opened):
    async with opened() as door:
        made = await door.make(PODS, pod())
        status = await door.ask(
            "PATCH", f"{PODS}/a/status", {"status": {"phase": "Running"}, "spec": {"x": 1}}, content_type=MERGE
        )
        assert status.tree["status"]["phase"] == "Running"
        main = await door.ask("PUT", f"{PODS}/a", {**status.tree, "status": {"phase": "Failed"}})
        assert main.tree["status"]["phase"] == "Running"
        assert made["metadata"]["generation"] == 1


async def test_a_pod_on_a_node_is_given_time_to_stop(opened):
    async with opened() as door:
        await door.make(PODS, pod())
        await door.make(f"{PODS}/a/binding", {"target": {"kind": "Node", "name": "n1"}})
        marked = await door.ask("DELETE", f"{PODS}/a")
        assert marked.tree["kind"] == "Pod"
        assert marked.tree["metadata"]["deletionGracePeriodSeconds"] == 30
        assert marked.tree["metadata"]["deletionTimestamp"] == "2026-01-01T00:00:30Z"
        gone = await door.ask("DELETE", f"{PODS}/a?gracePeriodSeconds=0")
        assert (gone.tree["kind"], gone.tree["status"]) == ("Status", "Success")
        assert (await door.ask("GET", f"{PODS}/a")).status == 404


async def test_a_second_binding_is_a_conflict(opened):
    async with opened() as door:
        await door.make(PODS, pod())
        await door.make(f"{PODS}/a/binding", {"target": {"kind": "Node", "name": "n1"}})
        bound = (await door.ask("GET", f"{PODS}/a")).tree
        assert bound["spec"]["nodeName"] == "n1"
        assert bound["status"]["conditions"][0]["type"] == "PodScheduled"
        again = await door.ask("POST", f"{PODS}/a/binding", {"target": {"kind": "Node", "name": "n2"}})
        assert again.status == 409


async def test_scale(opened):
    async with opened() as door:
        path = "/apis/apps/v1/namespaces/default/deployments"
        template = {"metadata": {"labels": {"app": "x"}}, "spec": pod()["spec"]}
        spec = {"replicas": 2, "selector": {"matchLabels": {"app": "x"}}, "template": template}
        await door.make(path, {"metadata": {"name": "a"}, "spec": spec})
        scale = (await door.ask("GET", f"{path}/a/scale")).tree
        assert (scale["spec"]["replicas"], scale["status"]["selector"]) == (2, "app=x")
        patched = await door.ask("PATCH", f"{path}/a/scale", {"spec": {"replicas": 5}}, content_type=MERGE)
        assert patched.tree["spec"]["replicas"] == 5
        assert (await door.ask("GET", f"{path}/a")).tree["metadata"]["generation"] == 2
        stale = await door.ask("PUT", f"{path}/a/scale", scale)
        assert stale.status == 409
        table = (await door.ask("GET", f"{path}/a/scale", accept="application/json;as=Table;v=v1;g=meta.k8s.io")).tree
        assert [column["name"] for column in table["columnDefinitions"]] == ["Name", "Desired", "Available", "Age"]
        assert table["rows"][0]["cells"][:3] == ["a", 5, 0]


async def test_eviction_asks_the_budget(opened):
    async with opened() as door:
        await door.make(PODS, pod("a", app="x"))
        await door.make(f"{PODS}/a/binding", {"target": {"kind": "Node", "name": "n1"}})
        ready = {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}
        await door.ask("PATCH", f"{PODS}/a/status", {"status": ready}, content_type=MERGE)
        budgets = "/apis/policy/v1/namespaces/default/poddisruptionbudgets"
        await door.make(
            budgets,
            {"metadata": {"name": "b"}, "spec": {"minAvailable": 1, "selector": {"matchLabels": {"app": "x"}}}},
        )
        counted = {
            "observedGeneration": 1,
            "disruptionsAllowed": 0,
            "currentHealthy": 1,
            "desiredHealthy": 1,
            "expectedPods": 1,
        }
        budget = await door.ask("PATCH", f"{budgets}/b/status", {"status": counted}, content_type=MERGE)
        assert budget.status == 200, budget.tree
        refused = await door.ask("POST", f"{PODS}/a/eviction", {"metadata": {"name": "a"}})
        assert refused.status == 429
        assert refused.tree["details"]["causes"][0]["reason"] == "DisruptionBudget"
        await door.ask("PATCH", f"{budgets}/b/status", {"status": {"disruptionsAllowed": 1}}, content_type=MERGE)
        assert (await door.ask("POST", f"{PODS}/a/eviction", {"metadata": {"name": "a"}})).status == 201
        assert "deletionTimestamp" in (await door.ask("GET", f"{PODS}/a")).tree["metadata"]


async def test_events_are_one_in_both_versions(opened):
    async with opened() as door:
        event = {
            "metadata": {"name": "e"},
            "involvedObject": {"kind": "Pod", "name": "a", "namespace": "default"},
            "reason": "Started",
            "message": "hello",
            "type": "Normal",
            "count": 2,
        }
        await door.make("/api/v1/namespaces/default/events", event)
        seen = (await door.ask("GET", "/apis/events.k8s.io/v1/namespaces/default/events/e")).tree
        assert (seen["note"], seen["regarding"]["name"], seen["deprecatedCount"]) == ("hello", "a", 2)
        assert seen["apiVersion"] == "events.k8s.io/v1"
        chosen = await door.ask("GET", "/apis/events.k8s.io/v1/events?fieldSelector=regarding.name%3Da")
        assert len(chosen.tree["items"]) == 1


async def test_autoscalers_are_one_in_both_versions(opened):
    async with opened() as door:
        spec = {
            "maxReplicas": 3,
            "minReplicas": 1,
            "targetCPUUtilizationPercentage": 50,
            "scaleTargetRef": {"kind": "Deployment", "name": "a", "apiVersion": "apps/v1"},
        }
        path = "/apis/autoscaling/{}/namespaces/default/horizontalpodautoscalers"
        made = await door.make(path.format("v1"), {"metadata": {"name": "a"}, "spec": spec})
        assert made["spec"]["targetCPUUtilizationPercentage"] == 50
        newer = (await door.ask("GET", path.format("v2") + "/a")).tree
        target = newer["spec"]["metrics"][0]["resource"]["target"]
        assert target == {"type": "Utilization", "averageUtilization": 50}


@pytest.mark.parametrize("body", [{"metadata": 1}, {"metadata": {"name": 1}}, {"metadata": "x"}, {"kind": "Other"}])
@pytest.mark.parametrize(
    ("path", "version"),
    [
        pytest.param(f"{PODS}/a/binding", "v1", id="binding"),
        pytest.param("/api/v1/namespaces/default/bindings", "v1", id="bindings"),
        pytest.param(f"{PODS}/a/eviction", "policy/v1", id="eviction"),
        pytest.param(f"{PODS}/a/eviction", "policy/v1beta1", id="the older eviction"),
        pytest.param("/api/v1/namespaces/default/serviceaccounts/default/token", "", id="token"),
    ],
)
async def test_bodies_of_a_wrong_type_are_refused(opened, path, version, body):
    target = {"target": {"kind": "Node", "name": "n"}} if "binding" in path else {}
    async with opened() as door:
        await door.make(PODS, pod())
        said = {"apiVersion": version} if version else {}
        reply = await door.ask("POST", path, {**said, **target, **body})
        assert reply.status == 400, reply.tree


@pytest.mark.parametrize(
    "query", ["limit=%C2%B2", "timeoutSeconds=%C2%B2&watch=1", "resourceVersion=%C2%B2", "timeout=%C2%B2"]
)
async def test_digits_that_are_none_are_refused(opened, query):
    async with opened() as door:
        assert (await door.ask("GET", f"{PODS}?{query}")).status == 400
