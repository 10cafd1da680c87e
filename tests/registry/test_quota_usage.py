from datetime import UTC, datetime
from typing import Any

import pytest

from bireme.api.amounts import write
from bireme.registry.quota_usage import in_scope, title_of, unsaid, usage_of

NOW = datetime(2026, 1, 1, tzinfo=UTC)
Tree = dict[str, Any]


def pod(*resources: Tree, phase: str = "Pending", metadata: Tree | None = None, **spec: Any) -> Tree:
    containers = [{"name": f"c{number}", "resources": one} for number, one in enumerate(resources)]
    return {"metadata": metadata or {}, "spec": {"containers": containers, **spec}, "status": {"phase": phase}}


def used(title: str, tree: Tree) -> dict[str, str]:
    return write(usage_of(title, tree, now=NOW))


def test_what_a_pod_uses() -> None:
    asked = {"requests": {"cpu": "100m", "memory": "64Mi", "example.com/gpu": "2"}, "limits": {"cpu": "1"}}
    side = {"name": "s", "restartPolicy": "Always", "resources": {"requests": {"memory": "64Mi"}}}
    big = {"name": "i", "resources": {"requests": {"cpu": "3"}}}
    found = used("pods", pod(asked, asked, initContainers=[side, big], overhead={"cpu": "50m"}))
    assert found == {
        "count/pods": "1",
        "pods": "1",
        "cpu": "3050m",
        "requests.cpu": "3050m",
        "memory": "192Mi",
        "requests.memory": "192Mi",
        "requests.example.com/gpu": "4",
        "limits.cpu": "2050m",
    }


@pytest.mark.parametrize("phase", ["Succeeded", "Failed"])
def test_an_ended_pod_only_counts_as_an_object(phase: str) -> None:
    assert used("pods", pod({"requests": {"cpu": "1"}}, phase=phase)) == {"count/pods": "1"}


def test_a_pod_that_should_be_gone_uses_nothing() -> None:
    late = {"deletionTimestamp": "2025-12-31T23:00:00Z", "deletionGracePeriodSeconds": 30}
    assert used("pods", pod({}, metadata=late)) == {"count/pods": "1"}


@pytest.mark.parametrize(
    ("spec", "ports", "balancers"),
    [
        ({"type": "ClusterIP", "ports": [{}, {}]}, "0", "0"),
        ({"type": "NodePort", "ports": [{}, {}]}, "2", "0"),
        ({"type": "LoadBalancer", "ports": [{}]}, "1", "1"),
        ({"type": "LoadBalancer", "allocateLoadBalancerNodePorts": False, "ports": [{}, {"nodePort": 1}]}, "1", "1"),
    ],
)
def test_what_a_service_uses(spec: Tree, ports: str, balancers: str) -> None:
    found = used("services", {"metadata": {}, "spec": spec})
    assert (found["services.nodeports"], found["services.loadbalancers"], found["services"]) == (
        ports,
        balancers,
        "1",
    )


def test_what_a_claim_uses() -> None:
    spec = {"storageClassName": "fast", "resources": {"requests": {"storage": "1Gi"}}}
    assert used("persistentvolumeclaims", {"metadata": {}, "spec": spec}) == {
        "count/persistentvolumeclaims": "1",
        "persistentvolumeclaims": "1",
        "requests.storage": "1Gi",
        "fast.storageclass.storage.k8s.io/requests.storage": "1Gi",
        "fast.storageclass.storage.k8s.io/persistentvolumeclaims": "1",
    }


def test_what_a_device_claim_uses() -> None:
    requests = [
        {"name": "a", "exactly": {"deviceClassName": "gpu", "count": 2}},
        {"name": "b", "firstAvailable": [{"deviceClassName": "gpu"}, {"deviceClassName": "fpga", "count": 3}]},
    ]
    found = used("resourceclaims.resource.k8s.io", {"metadata": {}, "spec": {"devices": {"requests": requests}}})
    assert found["gpu.deviceclass.resource.k8s.io/devices"] == "3"
    assert found["fpga.deviceclass.resource.k8s.io/devices"] == "3"


@pytest.mark.parametrize(
    ("name", "title"),
    [
        ("pods", "pods"),
        ("limits.memory", "pods"),
        ("hugepages-2Mi", "pods"),
        ("requests.example.com/gpu", "pods"),
        ("requests.storage", "persistentvolumeclaims"),
        ("fast.storageclass.storage.k8s.io/requests.storage", "persistentvolumeclaims"),
        ("services.nodeports", "services"),
        ("count/widgets.example.com", "widgets.example.com"),
        ("gpu.deviceclass.resource.k8s.io/devices", "resourceclaims.resource.k8s.io"),
        ("nonsense", ""),
    ],
)
def test_whose_objects_a_name_limits(name: str, title: str) -> None:
    assert title_of(name) == title


AFFINE = {"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [{"namespaces": ["other"]}]}}
NAMED = {"scopeName": "PriorityClass", "operator": "In", "values": ["high"]}


@pytest.mark.parametrize(
    ("quota", "tree", "covers"),
    [
        ({"scopes": ["BestEffort"]}, pod({}), True),
        ({"scopes": ["BestEffort"]}, pod({"requests": {"cpu": "1"}}), False),
        ({"scopes": ["NotBestEffort", "Terminating"]}, pod({"requests": {"cpu": "1"}}), False),
        (
            {"scopes": ["NotBestEffort", "Terminating"]},
            pod({"requests": {"cpu": "1"}}, activeDeadlineSeconds=9),
            True,
        ),
        ({"scopes": ["NotTerminating"]}, pod({}), True),
        ({"scopes": ["CrossNamespacePodAffinity"]}, pod({}, affinity=AFFINE), True),
        ({"scopes": ["PriorityClass"]}, pod({}), False),
        ({"scopeSelector": {"matchExpressions": [NAMED]}}, pod({}, priorityClassName="high"), True),
        ({"scopeSelector": {"matchExpressions": [NAMED]}}, pod({}, priorityClassName="low"), False),
        ({"scopeSelector": {"matchExpressions": [{**NAMED, "operator": "NotIn"}]}}, pod({}), True),
    ],
)
def test_scopes(quota: Tree, tree: Tree, covers: bool) -> None:
    assert in_scope("pods", tree, {"spec": quota}) is covers


def test_what_a_pod_must_say() -> None:
    tree = pod({"requests": {"cpu": "1"}}, {"limits": {"cpu": "1"}}, {})
    assert unsaid("pods", tree, ["requests.cpu", "limits.cpu", "pods"]) == (
        "limits.cpu for: c0,c2; requests.cpu for: c1,c2"
    )
    assert (
        unsaid("pods", {**tree, "spec": {**tree["spec"], "resources": {"limits": {"cpu": "1"}}}}, ["limits.cpu"])
        == ""
    )
    assert unsaid("services", {}, ["requests.cpu"]) == ""
