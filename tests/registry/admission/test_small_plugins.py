"""Plugins of a few lines: classes, finalizers, labels."""

from typing import Any

import pytest

from bireme.api.errors import Forbidden
from bireme.registry.admission.claim_resize import PersistentVolumeClaimResize
from bireme.registry.admission.default_ingress_class import DefaultIngressClass
from bireme.registry.admission.default_storage_class import DefaultStorageClass
from bireme.registry.admission.deny_external_ips import DenyServiceExternalIPs
from bireme.registry.admission.pod_topology_labels import PodTopologyLabels
from bireme.registry.admission.priority import Priority
from bireme.registry.admission.runtime_class import RuntimeClass
from bireme.registry.admission.storage_object_in_use import StorageObjectInUseProtection
from support.admission import Lookup, put_before

Tree = dict[str, Any]
INGRESSES = "networking.k8s.io/v1/ingresses"
GVISOR = {
    "metadata": {"name": "gvisor"},
    "handler": "runsc",
    "overhead": {"podFixed": {"cpu": "250m"}},
    "scheduling": {"nodeSelector": {"sandbox": "yes"}, "tolerations": [{"key": "sandbox", "operator": "Exists"}]},
}


def ingress_class(name: str, made: str, *, default: str = "true") -> Tree:
    annotations = {"ingressclass.kubernetes.io/is-default-class": default}
    return {"metadata": {"name": name, "creationTimestamp": made, "annotations": annotations}}


async def test_an_ingress_gets_the_newest_default_class() -> None:
    there = [ingress_class("old", "2026-01-01T00:00:00Z"), ingress_class("new", "2026-02-01T00:00:00Z")]
    there.append(ingress_class("no", "2026-03-01T00:00:00Z", default="false"))
    plugin = DefaultIngressClass(Lookup(ingressclasses=there))
    plain: Tree = {"metadata": {"name": "i"}, "spec": {}}
    await put_before(plugin, INGRESSES, plain)
    assert plain["spec"]["ingressClassName"] == "new"
    old_way: Tree = {"metadata": {"name": "i", "annotations": {"kubernetes.io/ingress.class": "x"}}, "spec": {}}
    await put_before(plugin, INGRESSES, old_way)
    assert "ingressClassName" not in old_way["spec"]


async def test_a_claim_gets_the_newest_default_class() -> None:
    def storage_class(name: str, made: str) -> Tree:
        annotations = {"storageclass.kubernetes.io/is-default-class": "true"}
        return {"metadata": {"name": name, "creationTimestamp": made, "annotations": annotations}}

    there = [storage_class("b", "2026-02-01T00:00:00Z"), storage_class("a", "2026-02-01T00:00:00Z")]
    plugin = DefaultStorageClass(Lookup(storageclasses=[*there, storage_class("c", "2026-01-01T00:00:00Z")]))
    for spec, chosen in (({}, "a"), ({"volumeName": "v"}, "a"), ({"storageClassName": ""}, "")):
        claim: Tree = {"metadata": {"name": "d"}, "spec": dict(spec)}
        await put_before(plugin, "persistentvolumeclaims", claim)
        assert claim["spec"]["storageClassName"] == chosen


async def test_volumes_and_claims_are_held() -> None:
    claim: Tree = {"metadata": {"name": "d"}}
    volume: Tree = {"metadata": {"name": "d", "finalizers": ["kubernetes.io/pv-protection"]}}
    await put_before(StorageObjectInUseProtection(), "persistentvolumeclaims", claim)
    await put_before(StorageObjectInUseProtection(), "persistentvolumes", volume)
    assert claim["metadata"]["finalizers"] == ["kubernetes.io/pvc-protection"]
    assert volume["metadata"]["finalizers"] == ["kubernetes.io/pv-protection"]


def claim_of(size: str, *, phase: str = "Bound", name: str = "fast") -> Tree:
    spec = {"storageClassName": name, "resources": {"requests": {"storage": size}}}
    return {"metadata": {"name": "d"}, "spec": spec, "status": {"phase": phase}}


async def test_a_claim_grows_when_bound_and_allowed() -> None:
    classes = [{"metadata": {"name": "fast"}, "allowVolumeExpansion": True}, {"metadata": {"name": "slow"}}]
    plugin = PersistentVolumeClaimResize(Lookup(storageclasses=classes))
    path = "persistentvolumeclaims"
    await put_before(plugin, path, claim_of("2Gi"), old=claim_of("1Gi"))
    await put_before(plugin, path, claim_of("1Gi", name="slow"), old=claim_of("1Gi", name="slow"))
    with pytest.raises(Forbidden, match="must support resize"):
        await put_before(plugin, path, claim_of("2Gi", name="slow"), old=claim_of("1Gi", name="slow"))
    with pytest.raises(Forbidden, match="Only bound persistent volume claims can be expanded"):
        await put_before(plugin, path, claim_of("2Gi", phase="Pending"), old=claim_of("1Gi", phase="Pending"))


async def test_a_runtime_class_adds_overhead_selector_and_tolerations() -> None:
    plugin = RuntimeClass(Lookup(runtimeclasses=[GVISOR]))
    tree: Tree = {"metadata": {"name": "p"}, "spec": {"runtimeClassName": "gvisor", "nodeSelector": {"a": "b"}}}
    await put_before(plugin, "pods", tree)
    assert tree["spec"]["overhead"] == {"cpu": "250m"}
    assert tree["spec"]["nodeSelector"] == {"a": "b", "sandbox": "yes"}
    assert tree["spec"]["tolerations"] == [{"key": "sandbox", "operator": "Exists"}]


@pytest.mark.parametrize(
    ("spec", "text"),
    [
        ({"runtimeClassName": "kata"}, 'pod rejected: RuntimeClass "kata" not found'),
        (
            {"runtimeClassName": "gvisor", "overhead": {"cpu": "1"}},
            "pod rejected: Pod's Overhead doesn't match RuntimeClass's defined Overhead",
        ),
        (
            {"overhead": {"cpu": "1"}},
            "pod rejected: Pod Overhead set without corresponding RuntimeClass defined Overhead",
        ),
        (
            {"runtimeClassName": "gvisor", "nodeSelector": {"sandbox": "no"}},
            "conflict: runtimeClass.scheduling.nodeSelector[sandbox] = yes; pod.spec.nodeSelector[sandbox] = no",
        ),
    ],
)
async def test_pods_that_their_runtime_class_refuses(spec: Tree, text: str) -> None:
    with pytest.raises(Forbidden) as refusal:
        await put_before(
            RuntimeClass(Lookup(runtimeclasses=[GVISOR])), "pods", {"metadata": {"name": "p"}, "spec": spec}
        )
    assert refusal.value.message == f'pods "p" is forbidden: {text}'


async def test_a_bound_pod_gets_the_zone_of_its_node() -> None:
    zone = {"topology.kubernetes.io/zone": "z"}
    plugin = PodTopologyLabels(Lookup(nodes=[{"metadata": {"name": "n", "labels": {**zone, "x": "y"}}}]))
    binding: Tree = {"target": {"kind": "Node", "name": "n"}}
    await put_before(plugin, "pods", binding, subresource="binding")
    assert binding["metadata"]["labels"] == zone
    born: Tree = {"metadata": {"name": "p", "labels": {"a": "b"}}, "spec": {"nodeName": "n"}}
    await put_before(plugin, "pods", born)
    assert born["metadata"]["labels"] == {"a": "b", **zone}


async def test_external_addresses_may_stay_but_not_come() -> None:
    def service(*addresses: str) -> Tree:
        return {"metadata": {"name": "s"}, "spec": {"externalIPs": list(addresses)}}

    await put_before(
        DenyServiceExternalIPs(), "services", service("192.0.2.1"), old=service("192.0.2.1", "192.0.2.2")
    )
    with pytest.raises(Forbidden, match="Use of external IPs is denied by admission control"):
        await put_before(DenyServiceExternalIPs(), "services", service("192.0.2.1"), old=service())


CLASSES = [
    {"metadata": {"name": "gentle"}, "value": 7, "preemptionPolicy": "Never"},
    {"metadata": {"name": "usual"}, "value": 3, "globalDefault": True},
]


@pytest.mark.parametrize(
    ("spec", "priority", "policy"),
    [
        ({}, 3, "PreemptLowerPriority"),
        ({"priorityClassName": "gentle"}, 7, "Never"),
        ({"priorityClassName": "gentle", "priority": 7, "preemptionPolicy": "Never"}, 7, "Never"),
    ],
)
async def test_a_pod_gets_the_priority_of_its_class(spec: Tree, priority: int, policy: str) -> None:
    tree: Tree = {"metadata": {"name": "p"}, "spec": dict(spec)}
    await put_before(Priority(Lookup(priorityclasses=CLASSES)), "pods", tree)
    assert (tree["spec"]["priority"], tree["spec"]["preemptionPolicy"]) == (priority, policy)


@pytest.mark.parametrize(
    ("spec", "text"),
    [
        ({"priorityClassName": "none"}, "no PriorityClass with name none was found"),
        ({"priorityClassName": "gentle", "priority": 8}, "the integer value of priority"),
        ({"priorityClassName": "gentle", "preemptionPolicy": "PreemptLowerPriority"}, "the string value of Preem"),
    ],
)
async def test_a_pod_may_not_say_otherwise_than_its_class(spec: Tree, text: str) -> None:
    with pytest.raises(Forbidden, match=text):
        await put_before(
            Priority(Lookup(priorityclasses=CLASSES)), "pods", {"metadata": {"name": "p"}, "spec": dict(spec)}
        )
