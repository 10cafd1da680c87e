"""Old forms, defaults and merges of apps."""

from typing import Any

import pytest

from bireme.marathon import rules, schema
from bireme.marathon.errors import MarathonError
from bireme.marathon.model import App
from bireme.marathon.normalize import Defaults, complete, merge, modern

BRIDGE = {"type": "DOCKER", "docker": {"image": "x", "network": "BRIDGE", "portMappings": [{"containerPort": 80}]}}


def made(**tree: Any) -> dict[str, Any]:
    return complete(modern(schema.read(schema.APP, {"id": "/a", **tree})), Defaults("net"))


def test_the_defaults_of_creation() -> None:
    found = made(cmd="sleep 1")
    assert {
        "cpus": 1,
        "mem": 128,
        "disk": 0,
        "gpus": 0,
        "instances": 1,
        "backoffSeconds": 1,
        "backoffFactor": 1.15,
        "maxLaunchDelaySeconds": 300,
        "upgradeStrategy": {"minimumHealthCapacity": 1, "maximumOverCapacity": 1},
        "killSelection": "YOUNGEST_FIRST",
        "unreachableStrategy": {"inactiveAfterSeconds": 0, "expungeAfterSeconds": 0},
        "networks": [{"mode": "host"}],
        "portDefinitions": [{"labels": {}, "name": "default", "port": 0, "protocol": "tcp"}],
        "executor": "",
        "requirePorts": False,
        "labels": {},
    }.items() <= found.items()
    assert not {"env", "healthChecks", "constraints", "fetch", "taskKillGracePeriodSeconds"} & set(found)


def test_old_bridge_mode_becomes_networks_and_port_mappings() -> None:
    found = made(container=BRIDGE)
    assert found["networks"] == [{"mode": "container/bridge"}]
    assert "network" not in found["container"]["docker"]
    assert found["container"]["portMappings"] == [
        {"containerPort": 80, "hostPort": 0, "labels": {}, "protocol": "tcp", "servicePort": 0}
    ]
    assert "portDefinitions" not in found


def test_old_ports_become_port_definitions() -> None:
    assert [each["port"] for each in made(cmd="x", ports=[0, 0])["portDefinitions"]] == [0, 0]
    assert made(cmd="x", ports=[])["portDefinitions"] == []


def test_old_ip_address_becomes_a_container_network() -> None:
    address = {"networkName": "blue", "labels": {"a": "b"}, "discovery": {"ports": [{"number": 80, "name": "http"}]}}
    found = made(cmd="x", ipAddress=address)
    assert found["networks"] == [{"mode": "container", "name": "blue", "labels": {"a": "b"}}]
    assert found["container"]["portMappings"][0]["containerPort"] == 80


def test_uris_are_fetched_and_unpacked_by_their_suffix() -> None:
    found = made(cmd="x", uris=["http://h/a.tgz", "http://h/b"])
    assert [(each["uri"][-1], each["extract"]) for each in found["fetch"]] == [("z", True), ("b", False)]


@pytest.mark.parametrize(
    ("tree", "words"),
    [
        pytest.param({"uris": ["a"], "fetch": [{"uri": "b"}]}, "both uris and fetch", id="uris and fetch"),
        pytest.param({"ports": [1], "portDefinitions": [{"port": 2}]}, "both ports and port", id="ports"),
        pytest.param({"ipAddress": {}, "networks": [{"mode": "host"}]}, "networks and ipAddress", id="ipAddress"),
        pytest.param({"container": BRIDGE, "networks": [{"mode": "host"}]}, "docker.network and", id="docker"),
    ],
)
def test_old_and_new_forms_together_clash(tree: dict[str, Any], words: str) -> None:
    with pytest.raises(MarathonError, match=words) as caught:
        made(cmd="x", **tree)
    assert caught.value.status == 422


def test_a_partial_update_keeps_what_it_does_not_name() -> None:
    before = made(cmd="x", env={"A": "1", "B": "2"}, instances=3)
    after = complete(merge(before, {"env": {"C": "3"}}))
    assert (after["instances"], after["env"], after["cmd"]) == (3, {"C": "3"}, "x")
    assert "cmd" not in merge(before, {"args": ["y"]})


def test_a_change_of_network_takes_the_old_ports_away() -> None:
    update = modern({"container": BRIDGE})
    after = complete(merge(made(cmd="x"), update))
    assert "portDefinitions" not in after
    assert not rules.problems(App(after))


@pytest.mark.parametrize(
    ("tree", "path"),
    [
        pytest.param({}, "/", id="nothing to run"),
        pytest.param({"cmd": "x", "args": ["y"]}, "/", id="cmd and args"),
        pytest.param({"cmd": "x", "id": "/a/tasks"}, "/id", id="reserved word"),
        pytest.param({"cmd": "x", "container": {"type": "DOCKER"}}, "/container/docker", id="no image"),
        pytest.param({"cmd": "x", "networks": [{"mode": "container/bridge"}]}, "/container", id="bridge, no image"),
        pytest.param(
            {"container": BRIDGE, "portDefinitions": [{"port": 1}]},
            "/portDefinitions",
            id="definitions in bridge mode",
        ),
        pytest.param(
            {"cmd": "x", "portDefinitions": [{"port": 1}, {"port": 1}]}, "/portDefinitions", id="ports twice"
        ),
        pytest.param(
            {"cmd": "x", "healthChecks": [{"portIndex": 1}]}, "/healthChecks(0)/portIndex", id="no such port"
        ),
        pytest.param(
            {"cmd": "x", "healthChecks": [{"protocol": "MESOS_TCP"}, {"protocol": "MESOS_HTTP"}]},
            "/healthChecks",
            id="two of Mesos",
        ),
        pytest.param({"cmd": "x", "constraints": [["a", "LIKE", "("]]}, "/constraints(0)", id="bad regex"),
        pytest.param({"cmd": "x", "constraints": [["a", "NEAR"]]}, "/constraints(0)", id="unknown operator"),
        pytest.param({"cmd": "x", "constraints": [["a", "MAX_PER", "b"]]}, "/constraints(0)", id="no number"),
        pytest.param({"cmd": "x", "acceptedResourceRoles": ["z"]}, "/acceptedResourceRoles", id="other role"),
        pytest.param({"cmd": "x", "env": {"A": {"secret": "s"}}}, "/", id="secrets"),
        pytest.param(
            {"cmd": "x", "unreachableStrategy": {"inactiveAfterSeconds": 2, "expungeAfterSeconds": 1}},
            "/unreachableStrategy",
            id="forgotten before replaced",
        ),
        pytest.param(
            {"cmd": "x", "labels": {"MARATHON_SINGLE_INSTANCE_APP": "true"}, "instances": 2},
            "/instances",
            id="single",
        ),
        pytest.param({"cmd": "x", "resourceLimits": {"cpus": 0.5}}, "/resourceLimits/cpus", id="limit below request"),
        pytest.param(
            {"container": {**BRIDGE, "volumes": [{"containerPath": "d", "persistent": {"size": 1}, "mode": "RW"}]}},
            "/container/volumes(0)/persistent",
            id="persistent volume",
        ),
    ],
)
def test_rules(tree: dict[str, Any], path: str) -> None:
    assert path in [problem.path for problem in rules.problems(App(made(**tree)))]


@pytest.mark.parametrize(
    ("tree", "status", "path"),
    [
        pytest.param({"id": "/a", "cpus": "1"}, 400, "/cpus", id="text for a number"),
        pytest.param({"id": "/a", "instances": 1.5}, 400, "/instances", id="half an instance"),
        pytest.param({"id": "/a", "env": {"A": 1}}, 400, "/env(A)", id="number in env"),
        pytest.param({"cmd": "x"}, 400, "/id", id="no id"),
        pytest.param({"id": "/A"}, 422, "/id", id="capital letters"),
        pytest.param({"id": "/a", "backoffFactor": 0.5}, 422, "/backoffFactor", id="factor below one"),
        pytest.param({"id": "/a", "constraints": [["x"]]}, 422, "/constraints(0)", id="short constraint"),
        pytest.param({"id": "/a", "networks": [{"mode": "x"}]}, 400, "/networks(0)/mode", id="unknown word"),
        pytest.param([], 400, "/", id="a list"),
    ],
)
def test_shapes(tree: Any, status: int, path: str) -> None:
    with pytest.raises(MarathonError) as caught:
        schema.read(schema.APP, tree)
    assert (caught.value.status, caught.value.body["details"][0]["path"]) == (status, path)


def test_nulls_and_unknown_fields_are_dropped() -> None:
    assert schema.read(schema.APP, {"id": "/a", "cmd": None, "nonsense": {"x": 1}}) == {"id": "/a"}
