"""What claims may ask for and drivers publish, by the fields that are complained of."""

from typing import Any

import pytest

from bireme.api.scheme import builtin
from bireme.api.validation.validate import validate, validate_update


def faults(kind: str, spec: dict[str, Any]) -> list[str]:
    resource = next(each for each in builtin().resources() if each.kind == kind)
    name: dict[str, Any] = {"name": "x"} | ({"namespace": "default"} if resource.namespaced else {})
    return [cause.field for cause in validate(resource, {"metadata": name, "spec": spec})]


def claim(*requests: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"devices": {"requests": list(requests), **more}}


def exactly(name: str = "r", **more: Any) -> dict[str, Any]:
    return {"name": name, "exactly": {"deviceClassName": "c", "allocationMode": "ExactCount", "count": 1, **more}}


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        pytest.param(claim(exactly()), [], id="one device"),
        pytest.param(claim(exactly(), exactly()), ["spec.devices.requests[1].name"], id="a name twice"),
        pytest.param(claim({"name": "r"}), ["spec.devices.requests[0]"], id="nothing asked for"),
        pytest.param(
            claim(exactly(deviceClassName="")), ["spec.devices.requests[0].exactly.deviceClassName"], id="no class"
        ),
        pytest.param(claim(exactly(count=0)), ["spec.devices.requests[0].exactly.count"], id="no device"),
        pytest.param(
            claim(exactly(allocationMode="Some")),
            ["spec.devices.requests[0].exactly.allocationMode"],
            id="no such mode",
        ),
        pytest.param(
            claim(exactly(selectors=[{"cel": {"expression": "device.weight > 3"}}])),
            ["spec.devices.requests[0].exactly.selectors[0].cel.expression"],
            id="what no device has",
        ),
        pytest.param(
            claim(exactly(selectors=[{"cel": {"expression": "device.driver"}}])),
            ["spec.devices.requests[0].exactly.selectors[0].cel.expression"],
            id="an expression that is no claim",
        ),
        pytest.param(
            claim(exactly(), constraints=[{"matchAttribute": "a/b", "requests": ["other"]}]),
            ["spec.devices.constraints[0].requests[0]"],
            id="a request that is not there",
        ),
        pytest.param(claim(exactly(), constraints=[{}]), ["spec.devices.constraints[0]"], id="an empty constraint"),
        pytest.param(
            claim(exactly(), constraints=[{"matchAttribute": "a/b"}] * 33),
            ["spec.devices.constraints"],
            id="too many constraints",
        ),
        pytest.param(
            claim({"name": "r", "firstAvailable": [{"name": f"r{n}", "deviceClassName": "c"} for n in range(9)]}),
            ["spec.devices.requests[0].firstAvailable"],
            id="too many alternatives",
        ),
        pytest.param(
            claim(exactly(tolerations=[{"operator": "Exists"}] * 17)),
            ["spec.devices.requests[0].exactly.tolerations"],
            id="too many tolerations",
        ),
    ],
)
def test_claims(spec: dict[str, Any], expected: list[str]) -> None:
    assert faults("ResourceClaim", spec) == expected


def published(**more: Any) -> dict[str, Any]:
    pool = {"name": "p", "generation": 1, "resourceSliceCount": 1}
    return {"driver": "d.example.com", "nodeName": "n", "pool": pool, "devices": [{"name": "a"}], **more}


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        pytest.param(published(), [], id="of one node"),
        pytest.param(published(allNodes=True), ["spec"], id="of one node and of all"),
        pytest.param(published(nodeName=None), ["spec"], id="of no node"),
        pytest.param(
            published(devices=[{"name": "a"}, {"name": "a"}]), ["spec.devices[1].name"], id="a device twice"
        ),
        pytest.param(published(pool={"name": "p"}), ["spec.pool.resourceSliceCount"], id="a pool of nothing"),
    ],
)
def test_slices(spec: dict[str, Any], expected: list[str]) -> None:
    assert faults("ResourceSlice", spec) == expected


def test_a_claim_keeps_what_it_asks_for_and_its_allocation() -> None:
    resource = next(each for each in builtin().resources() if each.kind == "ResourceClaim")
    metadata = {"name": "x", "namespace": "default", "resourceVersion": "1"}
    old = {"metadata": metadata, "spec": claim(exactly()), "status": {"allocation": {"devices": {"results": [1]}}}}
    new = {**old, "spec": claim(exactly(count=2))}
    assert [cause.field for cause in validate_update(resource, new, old)] == ["spec"]
    other = {**old, "status": {"allocation": {"devices": {"results": [2]}}}}
    found = validate_update(resource, other, old, subresource="status")
    assert [cause.field for cause in found] == ["status.allocation"]
    assert not validate_update(resource, {**old, "status": {}}, old, subresource="status")


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        pytest.param({"gang": {"minCount": 2}}, [], id="a gang"),
        pytest.param({"basic": {}}, [], id="no gang"),
        pytest.param({}, ["spec.schedulingPolicy"], id="nothing said"),
        pytest.param({"gang": {"minCount": 0}}, ["spec.schedulingPolicy.gang.minCount"], id="a gang of none"),
    ],
)
def test_pod_groups(policy: dict[str, Any], expected: list[str]) -> None:
    assert faults("PodGroup", {"schedulingPolicy": policy}) == expected


@pytest.mark.parametrize(
    ("mode", "expected"),
    [
        pytest.param(None, [], id="none"),
        pytest.param({"all": {}}, [], id="all"),
        pytest.param({"single": {}}, [], id="single"),
        pytest.param({"all": {}, "single": {}}, ["spec.disruptionMode"], id="both"),
        pytest.param({}, ["spec.disruptionMode"], id="neither"),
    ],
)
def test_pod_groups_have_one_mode_of_disruption(mode: dict[str, Any] | None, expected: list[str]) -> None:
    spec = {"schedulingPolicy": {"basic": {}}, **({"disruptionMode": mode} if mode is not None else {})}
    assert faults("PodGroup", spec) == expected


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        pytest.param({"schedulingPolicy": {"gang": {"minCount": 5}}}, [], id="a gang may grow"),
        pytest.param({"schedulingPolicy": {"basic": {}}}, ["spec.schedulingPolicy"], id="it stays a gang"),
        pytest.param({"priority": 7}, ["spec.priority"], id="its priority stays"),
        pytest.param({"disruptionMode": {"single": {}}}, ["spec.disruptionMode"], id="its mode stays"),
    ],
)
def test_pod_groups_stay_what_they_are(change: dict[str, Any], expected: list[str]) -> None:
    kind = next(each for each in builtin().resources() if each.kind == "PodGroup")
    old: dict[str, Any] = {
        "metadata": {"name": "x", "namespace": "default", "resourceVersion": "1"},
        "spec": {"schedulingPolicy": {"gang": {"minCount": 2}}, "priority": 3, "disruptionMode": {"all": {}}},
    }
    new = {**old, "spec": {**old["spec"], **change}}
    assert [cause.field for cause in validate_update(kind, new, old)] == expected
