"""Does an offer suit: constraints, resources, roles, ports."""

import sys
from pathlib import Path
from random import Random
from typing import Any

import pytest

sys.path[:0] = [str(Path(__file__).parent)]

from marathon_build import app  # noqa: E402

from bireme.marathon.placement import Match, Offer, Reason, Site, match, meets, scalar  # noqa: E402


def rack(name: str, host: str = "a") -> Site:
    return Site(host, attributes=[{"name": "rack", "type": "TEXT", "text": {"value": name}}])


@pytest.mark.parametrize(
    ("constraint", "placed", "here", "expected"),
    [
        pytest.param(["hostname", "UNIQUE"], ["r1"], rack("r1", "b"), True, id="UNIQUE host that is free"),
        pytest.param(["hostname", "UNIQUE"], ["r1"], rack("r2", "a"), False, id="UNIQUE host that is taken"),
        pytest.param(["rack", "CLUSTER", "r1"], [], rack("r1"), True, id="CLUSTER on its value"),
        pytest.param(["rack", "CLUSTER", "r1"], [], rack("r2"), False, id="CLUSTER elsewhere"),
        pytest.param(["rack", "CLUSTER"], ["r2"], rack("r2"), True, id="CLUSTER with the first"),
        pytest.param(["rack", "CLUSTER"], ["r2"], rack("r1"), False, id="CLUSTER away from the first"),
        pytest.param(["rack", "GROUP_BY"], ["r1", "r2"], rack("r1"), True, id="GROUP_BY evenly filled"),
        pytest.param(["rack", "GROUP_BY"], ["r1", "r1", "r2"], rack("r1"), False, id="GROUP_BY the fuller one"),
        pytest.param(["rack", "GROUP_BY", "3"], ["r1", "r2"], rack("r1"), False, id="GROUP_BY waits for a third"),
        pytest.param(["rack", "GROUP_BY", "2"], ["r1", "r2"], rack("r3"), False, id="GROUP_BY has its two"),
        pytest.param(["rack", "LIKE", "r[12]"], [], rack("r1"), True, id="LIKE"),
        pytest.param(["rack", "LIKE", "r"], [], rack("r1"), False, id="LIKE takes the whole value"),
        pytest.param(["rack", "UNLIKE", "r1"], [], rack("r1"), False, id="UNLIKE"),
        pytest.param(["rack", "UNLIKE", "r1"], [], Site("a"), True, id="UNLIKE without the attribute"),
        pytest.param(["rack", "LIKE", "r1"], [], Site("a"), False, id="LIKE without the attribute"),
        pytest.param(["rack", "MAX_PER", "2"], ["r1"], rack("r1"), True, id="MAX_PER with room"),
        pytest.param(["rack", "MAX_PER", "1"], ["r1"], rack("r1"), False, id="MAX_PER full"),
        pytest.param(["rack", "IS", "r1"], [], rack("r1"), True, id="IS"),
        pytest.param(["@zone", "IS", "z"], [], Site("a", zone="z"), True, id="IS on a zone"),
    ],
)
def test_constraints(constraint: list[str], placed: list[str], here: Site, expected: bool) -> None:
    assert meets(constraint, here, [rack(name) for name in placed]) is expected


def test_scalars_have_three_decimals_half_to_even() -> None:
    assert [scalar(value) for value in (1.0, 0.5, 0.1235, 0.1245, 100.0)] == ["1", "0.5", "0.124", "0.124", "100"]


def offer(**more: Any) -> Offer:
    resources = [
        {"name": "cpus", "type": "SCALAR", "scalar": {"value": 2.0}},
        {"name": "mem", "type": "SCALAR", "scalar": {"value": 512.0}},
        {"name": "disk", "type": "SCALAR", "scalar": {"value": 1000.0}},
        {"name": "ports", "type": "RANGES", "ranges": {"range": [{"begin": 31000, "end": 31003}]}},
    ]
    tree = {"id": {"value": "o"}, "agent_id": {"value": "s"}, "hostname": "a", "resources": resources, **more}
    return Offer(tree)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        pytest.param({"cpus": 3}, Reason.CPUS, id="too many cpus"),
        pytest.param({"mem": 1024}, Reason.MEMORY, id="too much memory"),
        pytest.param({"disk": 2000}, Reason.DISK, id="too much disk"),
        pytest.param({"gpus": 1}, Reason.GPUS, id="no gpus"),
        pytest.param({"role": "other"}, Reason.ROLE, id="another role"),
        pytest.param({"acceptedResourceRoles": ["prod"], "role": "*"}, Reason.CPUS, id="only reserved"),
        pytest.param({"constraints": [["rack", "IS", "x"]]}, Reason.CONSTRAINT, id="constraint"),
        pytest.param({"portDefinitions": [{"port": 80}], "requirePorts": True}, Reason.PORTS, id="a fixed port"),
        pytest.param({"portDefinitions": [{"port": 0}] * 5}, Reason.PORTS, id="more ports than there are"),
    ],
)
def test_refusals(fields: dict[str, Any], expected: Reason) -> None:
    assert match(app(**fields), offer(), [], Random(1)) is expected


def test_what_is_taken_is_no_longer_left() -> None:
    here, spec = offer(), app(cpus=1, mem=100, portDefinitions=[{"port": 0}, {"port": 0}])
    one, two = (match(spec, here, [], Random(seed)) for seed in (1, 2))
    assert isinstance(one, Match)
    assert isinstance(two, Match)
    assert sorted([*one.host_ports, *two.host_ports]) == [31000, 31001, 31002, 31003]
    assert match(spec, here, [], Random(3)) is Reason.CPUS


def test_fixed_and_any_ports_do_not_collide() -> None:
    ports = [{"containerPort": 80, "hostPort": 31002}, {"containerPort": 81, "hostPort": 0}, {"containerPort": 82}]
    container = {"type": "DOCKER", "docker": {"image": "x"}, "portMappings": ports}
    spec = app(container=container, networks=[{"mode": "container", "name": "n"}])
    for seed in range(20):
        found = match(spec, offer(), [], Random(seed))
        assert isinstance(found, Match)
        fixed, free, none = found.host_ports
        assert (fixed, none) == (31002, None)
        assert free in (31000, 31001, 31003)


def test_reserved_resources_go_first() -> None:
    resources = [
        {"name": "cpus", "type": "SCALAR", "scalar": {"value": 1.0}},
        {"name": "cpus", "type": "SCALAR", "scalar": {"value": 0.5}, "role": "prod"},
        {"name": "mem", "type": "SCALAR", "scalar": {"value": 512.0}},
    ]
    here = offer(resources=resources, allocation_info={"role": "prod"})
    found = match(app(cpus=1, role="prod", portDefinitions=[]), here, [], Random(1))
    assert isinstance(found, Match)
    cpus = [each for each in found.resources if each["name"] == "cpus"]
    assert [(each.get("role", "*"), each["scalar"]["value"]) for each in cpus] == [("prod", 0.5), ("*", 0.5)]
