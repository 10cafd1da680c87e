"""TaskInfos: commands, containers, variables, discovery; each is what the Mesos master takes."""

import sys
from pathlib import Path
from typing import Any

import pytest

sys.path[:0] = [str(Path(__file__).parent)]

from marathon_build import app, instance  # noqa: E402

from bireme.marathon.tasks import environment, task_info  # noqa: E402
from bireme.mesos import amounts, json_form, validation  # noqa: E402
from bireme.mesos.messages import message  # noqa: E402

RESOURCES = [
    {"name": "cpus", "type": "SCALAR", "scalar": {"value": 1.0}},
    {"name": "mem", "type": "SCALAR", "scalar": {"value": 128.0}},
    {"name": "ports", "type": "RANGES", "ranges": {"range": [{"begin": 31000, "end": 31009}]}},
]
BRIDGE = {
    "type": "DOCKER",
    "docker": {"image": "nginx:1", "parameters": [{"key": "hostname", "value": "x"}]},
    "portMappings": [
        {"containerPort": 80, "hostPort": 0, "name": "http", "labels": {"VIP_0": "/cart:80"}},
        {"containerPort": 0, "hostPort": 0, "protocol": "udp,tcp"},
    ],
    "volumes": [{"containerPath": "/data", "hostPath": "/srv", "mode": "RO"}],
}
SHAPES: dict[str, dict[str, Any]] = {
    "command": {"cmd": "sleep 1"},
    "arguments without a container": {"args": ["sleep", "1"]},
    "bridge": {"container": BRIDGE, "networks": [{"mode": "container/bridge"}]},
    "docker on the host": {"container": {"type": "DOCKER", "docker": {"image": "x"}}, "args": ["-v"]},
    "container network": {"container": BRIDGE, "networks": [{"mode": "container", "name": "blue"}]},
    "universal runtime": {
        "container": {"type": "MESOS", "docker": {"image": "x"}, "portMappings": [{"containerPort": 80}]},
        "networks": [{"mode": "container/bridge"}],
        "args": ["run", "-v"],
    },
    "checks": {
        "cmd": "x",
        "healthChecks": [{"protocol": "MESOS_HTTP", "path": "/h"}],
        "check": {"tcp": {"portIndex": 0}},
        "taskKillGracePeriodSeconds": 7,
        "resourceLimits": {"cpus": "unlimited", "mem": 256},
    },
    "command check": {"cmd": "x", "healthChecks": [{"protocol": "COMMAND", "command": {"value": "true"}}]},
    "fetch and user": {"cmd": "x", "user": "nobody", "fetch": [{"uri": "http://h/a.tgz", "destPath": "b"}]},
}


@pytest.mark.parametrize("fields", SHAPES.values(), ids=SHAPES)
def test_the_master_takes_it(fields: dict[str, Any]) -> None:
    tree = task_info(instance(app(**fields)), RESOURCES)
    info = json_form.read(tree, message("mesos.v1.TaskInfo"))
    around = validation.Surroundings("agent-0", "*", amounts.read(info["resources"]))
    assert validation.task(info, around) is None


def test_a_bridged_container() -> None:
    tree = task_info(instance(app(**SHAPES["bridge"])), RESOURCES)
    docker = tree["container"]["docker"]
    assert (docker["network"], docker["image"]) == ("BRIDGE", "nginx:1")
    assert docker["port_mappings"] == [
        {"host_port": 31000, "container_port": 80, "protocol": "tcp"},
        {"host_port": 31001, "container_port": 31001, "protocol": "tcp,udp"},
    ]
    assert tree["name"] == "cart.shop"
    ports = tree["discovery"]["ports"]["ports"]
    assert [(each["number"], each["protocol"]) for each in ports] == [(31000, "tcp"), (31001, "tcp"), (31001, "udp")]
    assert {"key": "VIP_0", "value": "/cart:80"} in ports[0]["labels"]["labels"]


def test_health_checks_of_mesos_look_from_inside() -> None:
    checks = [{"protocol": "MESOS_HTTP", "path": "/h", "portIndex": 0}]
    inside = task_info(instance(app(**SHAPES["bridge"], healthChecks=checks)), RESOURCES)
    assert inside["health_check"]["http"]["port"] == 80
    outside = task_info(instance(app(cmd="x", healthChecks=checks)), RESOURCES)
    assert outside["health_check"]["http"]["port"] == 31000


def test_the_variables_of_a_task() -> None:
    spec = app(
        cmd="x",
        env={"HOST": "mine", "A": "1"},
        labels={"team-a": "blue", "long": "x" * 600},
        portDefinitions=[{"port": 10001, "name": "http"}, {"port": 10002}],
    )
    found = environment(instance(spec))
    assert {
        "HOST": "mine",
        "A": "1",
        "PORT": "31000",
        "PORT0": "31000",
        "PORT1": "31001",
        "PORTS": "31000,31001",
        "PORT_10001": "31000",
        "PORT_HTTP": "31000",
        "MARATHON_APP_ID": "/shop/cart",
        "MARATHON_APP_RESOURCE_CPUS": "1.0",
        "MARATHON_APP_RESOURCE_GPUS": "0",
        "MARATHON_APP_LABELS": "TEAM_A",
        "MARATHON_APP_LABEL_TEAM_A": "blue",
        "MARATHON_APP_ENFORCE_GROUP_ROLE": "FALSE",
        "MESOS_TASK_ID": "i._app.1",
    }.items() <= found.items()
    assert "MARATHON_APP_LABEL_LONG" not in found
