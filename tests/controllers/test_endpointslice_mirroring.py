import pytest
from controller_objects import ago, metadata, service

from bireme.api.kinds import core
from bireme.controllers import endpointslice_mirroring as mirroring
from bireme.controllers import slices


def endpoints(**more: object) -> core.Endpoints:
    subset = core.EndpointSubset(
        addresses=[core.EndpointAddress(ip="192.0.2.1"), core.EndpointAddress(ip="fd00::1")],
        not_ready_addresses=[core.EndpointAddress(ip="192.0.2.2")],
        ports=[core.EndpointPort(name="db", port=5432, protocol="TCP")],
    )
    return core.Endpoints(metadata=metadata("s", **more), subsets=[subset])


@pytest.mark.parametrize(
    ("more", "selector", "expected"),
    [
        pytest.param({}, {}, True, id="hand-made"),
        pytest.param({}, {"app": "a"}, False, id="the service has a selector"),
        pytest.param({"labels": {mirroring.SKIP: "true"}}, {}, False, id="marked to be skipped"),
        pytest.param({"annotations": {mirroring.LEADER: "x"}}, {}, False, id="somebody's lock"),
        pytest.param({"deletion_timestamp": ago(0)}, {}, False, id="going"),
    ],
)
def test_is_mirrored(more: dict[str, object], selector: dict[str, str], expected: bool) -> None:
    assert mirroring.is_mirrored(endpoints(**more), service(selector=selector)) is expected
    assert not mirroring.is_mirrored(endpoints(**more), None)


def test_wanted() -> None:
    made = mirroring.wanted(endpoints(labels={"a": "b"}), changed=ago(0))
    ports = (("db", "TCP", 5432, ""),)
    assert set(made.groups) == {("IPv4", ports), ("IPv6", ports)}
    states = [(item.addresses[0], item.conditions and item.conditions.ready) for item in made.groups["IPv4", ports]]
    assert states == [("192.0.2.1", True), ("192.0.2.2", False)]
    assert made.labels == {"a": "b", slices.SERVICE_NAME: "s", slices.MANAGED_BY: mirroring.MANAGER}


def test_nothing_to_mirror_makes_no_slice() -> None:
    empty = core.Endpoints(metadata=metadata("s"))
    assert slices.plan(mirroring.wanted(empty, changed=ago(0)), []) == []
