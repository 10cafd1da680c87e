import threading
from contextlib import suppress
from typing import Any

import pytest

from bireme.api.errors import Forbidden, Invalid
from bireme.registry.admission.pod_security import PodSecurity
from bireme.registry.pod_security.policy import PRIVILEGED, Exempt
from support.admission import Lookup, attributes_of, put_before

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


async def audited(plugin: PodSecurity, tree: Tree) -> dict[str, str]:
    """What is noted of a new pod for the audit log."""
    attributes = attributes_of("pods", tree)
    with suppress(Forbidden):
        await plugin.validate(attributes)
    return {name.removeprefix(PREFIX): text for name, text in attributes.call.audit.items()}


async def test_what_is_refused_is_noted_too() -> None:
    plugin = PodSecurity(Lookup(namespaces=[namespace(enforce="baseline", audit="baseline")]))
    assert await audited(plugin, pod()) == {
        "enforce-policy": "baseline:latest",
        "audit-violations": 'would violate PodSecurity "baseline:latest": host namespaces (hostPID)',
    }


async def test_labels_that_cannot_be_read_are_noted() -> None:
    noted = await audited(PodSecurity(Lookup(namespaces=[namespace(enforce="high")])), pod())
    assert noted["enforce-policy"] == "restricted:latest"
    assert noted["error"] == (
        'Failed to parse policy: metadata.labels[pod-security.kubernetes.io/enforce]: Invalid value: "high": must be '
        "one of privileged, baseline, restricted"
    )


def of_controller(name: str, uid: str, **spec: Any) -> Tree:
    owner = {"uid": uid, "controller": True}
    return {"metadata": {"name": name, "ownerReferences": [owner]}, "spec": {**BAD, **spec}}


async def test_of_very_many_pods_one_of_each_controller_is_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bireme.registry.admission.pod_security.MOST_PODS", 3)
    pods = [
        of_controller("a", "1"),
        of_controller("b", "1"),
        of_controller("c", "2", hostIPC=True),
        pod(hostIPC=True),
    ]
    plugin = PodSecurity(Lookup(pods=pods))
    assert await put_before(plugin, "namespaces", namespace(enforce="baseline"), old=namespace()) == [
        "new PodSecurity enforce level only checked against the first 3 of 4 existing pods",
        'existing pods in namespace "default" violate the new PodSecurity enforce level "baseline:latest"',
        "a (and 2 other pods): host namespaces",
    ]


async def test_pods_of_exempt_runtime_classes_are_not_warned_of() -> None:
    exempt = Exempt(runtime_classes=frozenset({"vm"}))
    plugin = PodSecurity(Lookup(pods=[pod(runtimeClassName="vm")]), PRIVILEGED, exempt)
    assert await put_before(plugin, "namespaces", namespace(enforce="baseline"), old=namespace()) == []


async def test_an_exempt_namespace_is_told_that_its_labels_do_nothing() -> None:
    plugin = PodSecurity(Lookup(pods=[pod()]), PRIVILEGED, Exempt(namespaces=frozenset({"default"})))
    asked = namespace(enforce="baseline", warn="restricted", audit="privileged")
    text = (
        'namespace "default" is exempt from Pod Security, and the policy (enforce=baseline:latest, warn={}) will be '
    )
    told = [text.format("restricted:latest") + "ignored"]
    assert await put_before(plugin, "namespaces", asked) == told
    assert await put_before(plugin, "namespaces", asked, old=namespace()) == told
    assert await put_before(plugin, "namespaces", asked, old=asked) == []
    assert await put_before(plugin, "namespaces", namespace(**{"enforce-version": "v1.30"})) == []
    with pytest.raises(Invalid):
        await put_before(plugin, "namespaces", namespace(enforce="high"))
    assert await put_before(plugin, "pods", pod()) == []


async def test_many_pods_are_looked_at_in_a_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []

    def looked(*args: Any, total: int) -> list[str]:
        seen.append((threading.current_thread() is threading.main_thread(), total))
        return []

    monkeypatch.setattr("bireme.registry.admission.pod_security.warnings_of", looked)
    for count in (1, 151):
        plugin = PodSecurity(Lookup(pods=[pod() for _ in range(count)]))
        await put_before(plugin, "namespaces", namespace(enforce="baseline"), old=namespace())
    assert seen == [(True, 1), (False, 151)]
