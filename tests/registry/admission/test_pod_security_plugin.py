from typing import Any

import pytest

from bireme.api.errors import Forbidden, Invalid
from bireme.registry.admission.pod_security import PodSecurity
from support.admission import Lookup, put_before

Tree = dict[str, Any]
PREFIX = "pod-security.kubernetes.io/"
BAD = {"hostPID": True, "containers": [{"name": "c", "image": "i"}]}


def namespace(**labels: str) -> Tree:
    return {"metadata": {"name": "default", "labels": {PREFIX + name: value for name, value in labels.items()}}}


def pod(**spec: Any) -> Tree:
    return {"metadata": {"name": "p"}, "spec": {**BAD, **spec}}


async def test_what_is_enforced_is_refused() -> None:
    plugin = PodSecurity(Lookup(namespaces=[namespace(enforce="baseline")]))
    with pytest.raises(Forbidden) as refusal:
        await put_before(plugin, "pods", pod())
    assert refusal.value.message == (
        'pods "p" is forbidden: violates PodSecurity "baseline:latest": host namespaces (hostPID)'
    )
    assert await put_before(PodSecurity(Lookup(namespaces=[namespace()])), "pods", pod()) == []


async def test_templates_are_only_warned_of() -> None:
    plugin = PodSecurity(Lookup(namespaces=[namespace(enforce="baseline", warn="baseline")]))
    template = {"metadata": {}, "spec": BAD}
    text = 'would violate PodSecurity "baseline:latest": host namespaces (hostPID)'
    deployment = {"metadata": {"name": "d"}, "spec": {"template": template}}
    assert await put_before(plugin, "apps/v1/deployments", deployment) == [text]
    job = {"metadata": {"name": "j"}, "spec": {"jobTemplate": {"spec": {"template": template}}}}
    assert await put_before(plugin, "batch/v1/cronjobs", job) == [text]


async def test_updates_that_change_no_image_are_let_be() -> None:
    plugin = PodSecurity(Lookup(namespaces=[namespace(enforce="baseline")]))
    await put_before(plugin, "pods", pod(), old=pod())
    with pytest.raises(Forbidden):
        await put_before(plugin, "pods", pod(), old=pod(containers=[{"name": "c", "image": "other"}]))
    debugged = pod(ephemeralContainers=[{"name": "e", "image": "i"}])
    with pytest.raises(Forbidden):
        await put_before(plugin, "pods", debugged, old=pod(), subresource="ephemeralcontainers")


async def test_a_stricter_namespace_warns_of_its_pods() -> None:
    plugin = PodSecurity(Lookup(pods=[pod()]))
    assert await put_before(plugin, "namespaces", namespace(enforce="baseline"), old=namespace()) == [
        'existing pods in namespace "default" violate the new PodSecurity enforce level "baseline:latest"',
        "p: host namespaces",
    ]
    assert await put_before(plugin, "namespaces", namespace(enforce="baseline")) == []


async def test_labels_must_be_right_when_they_are_set() -> None:
    plugin = PodSecurity(Lookup())
    with pytest.raises(Invalid, match="must be one of privileged, baseline, restricted"):
        await put_before(plugin, "namespaces", namespace(enforce="high"))
    await put_before(plugin, "namespaces", namespace(enforce="high"), old=namespace(enforce="high"))
