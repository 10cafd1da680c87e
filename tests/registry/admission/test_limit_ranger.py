from typing import Any

import pytest

from bireme.api.errors import Forbidden
from bireme.registry.admission.limit_ranger import ANNOTATION, LimitRanger
from support.admission import Lookup, put_before

Tree = dict[str, Any]


def ranger(**item: Any) -> LimitRanger:
    return LimitRanger(Lookup(limitranges=[{"metadata": {"name": "l"}, "spec": {"limits": [item]}}]))


def pod(*containers: Tree, **spec: Any) -> Tree:
    named = [{"name": f"c{number}", "resources": resources} for number, resources in enumerate(containers)]
    return {"metadata": {"name": "p"}, "spec": {"containers": named, **spec}}


def asks(requests: Tree | None = None, limits: Tree | None = None) -> Tree:
    return {"requests": requests or {}, "limits": limits or {}}


async def test_defaults_fill_what_is_lacking_and_are_told_of() -> None:
    plugin = ranger(type="Container", default={"cpu": "500m", "memory": "1Gi"}, defaultRequest={"cpu": "100m"})
    tree = pod({}, asks({"cpu": "1"}, {"cpu": "2"}), initContainers=[{"name": "i"}])
    await put_before(plugin, "pods", tree)
    first, second = (container["resources"] for container in tree["spec"]["containers"])
    assert first == {"requests": {"cpu": "100m"}, "limits": {"cpu": "500m", "memory": "1Gi"}}
    assert second == {"requests": {"cpu": "1"}, "limits": {"cpu": "2", "memory": "1Gi"}}
    assert tree["metadata"]["annotations"][ANNOTATION] == (
        "LimitRanger plugin set: cpu request for container c0; cpu, memory limit for container c0; "
        "memory limit for container c1; cpu request for init container i; cpu, memory limit for init container i"
    )


async def test_nothing_is_said_where_nothing_is_filled_in() -> None:
    tree = pod(asks({"cpu": "1"}, {"cpu": "1"}))
    await put_before(ranger(type="Container", default={"cpu": "2"}), "pods", tree)
    assert "annotations" not in tree["metadata"]


@pytest.mark.parametrize(
    ("item", "resources", "text"),
    [
        pytest.param(
            {"min": {"cpu": "50m"}},
            asks(),
            "minimum cpu usage per Container is 50m.  No request is specified",
            id="a minimum asks for a request",
        ),
        pytest.param(
            {"min": {"cpu": "50m"}},
            asks({"cpu": "10m"}),
            "minimum cpu usage per Container is 50m, but request is 10m",
            id="less than the minimum",
        ),
        pytest.param(
            {"max": {"memory": "1Gi"}},
            asks({"memory": "1Mi"}),
            "maximum memory usage per Container is 1Gi.  No limit is specified",
            id="a maximum asks for a limit",
        ),
        pytest.param(
            {"max": {"memory": "1Gi"}},
            asks({"memory": "1Mi"}, {"memory": "2Gi"}),
            "maximum memory usage per Container is 1Gi, but limit is 2Gi",
            id="more than the maximum",
        ),
        pytest.param(
            {"maxLimitRequestRatio": {"cpu": "2"}},
            asks({"cpu": "100m"}, {"cpu": "300m"}),
            "cpu max limit to request ratio per Container is 2, but provided ratio is 3.000000",
            id="request and limit too far apart",
        ),
    ],
)
async def test_containers_out_of_bounds(item: Tree, resources: Tree, text: str) -> None:
    with pytest.raises(Forbidden) as refusal:
        await put_before(ranger(type="Container", **item), "pods", pod(resources))
    assert refusal.value.message == f'pods "p" is forbidden: {text}'


async def test_pods_are_measured_whole() -> None:
    plugin = ranger(type="Pod", max={"cpu": "1"})
    half = asks({"cpu": "500m"}, {"cpu": "500m"})
    await put_before(plugin, "pods", pod(half, half))
    with pytest.raises(Forbidden, match="maximum cpu usage per Pod is 1, but limit is 1500m"):
        await put_before(plugin, "pods", pod(half, half, half))


async def test_a_resize_is_measured_and_a_change_of_labels_is_not() -> None:
    plugin = ranger(type="Container", max={"cpu": "1"})
    tree = pod(asks({"cpu": "2"}, {"cpu": "2"}))
    await put_before(plugin, "pods", tree, old=tree)
    with pytest.raises(Forbidden):
        await put_before(plugin, "pods", tree, old=tree, subresource="resize")


@pytest.mark.parametrize(
    ("size", "text"),
    [
        ("1Gi", "minimum storage usage per PersistentVolumeClaim is 2Gi, but request is 1Gi"),
        ("9Gi", "maximum storage usage per PersistentVolumeClaim is 8Gi, but request is 9Gi"),
    ],
)
async def test_claims(size: str, text: str) -> None:
    plugin = ranger(type="PersistentVolumeClaim", min={"storage": "2Gi"}, max={"storage": "8Gi"})
    claim = {"metadata": {"name": "d"}, "spec": {"resources": {"requests": {"storage": size}}}}
    with pytest.raises(Forbidden) as refusal:
        await put_before(plugin, "persistentvolumeclaims", claim)
    assert refusal.value.message == f'persistentvolumeclaims "d" is forbidden: {text}'
