"""Whatever a task or framework is, it is refused with a reason or can be written down; nothing crashes."""

import string
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bireme.mesos import amounts, tasks, validation
from bireme.mesos.amounts import Amounts
from bireme.mesos.messages import EnumType, Field, Message, MessageType, find, message
from bireme.mesos.task_command import Placement
from bireme.mesos.validation import Surroundings

PLACEMENT = Placement("fw", {"user": "u", "name": "f"}, "S0", "node", "10.0.0.1:5051", "*", "/data", "c0123456", "t")
LEFT = Amounts({"cpus": 4000, "mem": 4_096_000}, {"ports": ((31000, 32000),)})
WORDS = [
    "",
    "..",
    "a",
    "/",
    "x/y",
    "tcp",
    "http",
    "http://[",
    "http://h/x.tgz",
    "/etc",
    "root",
    "\0",
    "$(x)",
    "cpus",
    "mem",
]


def whole(of: MessageType, depth: int = 0) -> st.SearchStrategy[Message]:
    """Values with every required field, and some others while not too deep."""
    required = {name: _value(field, depth) for name, field in of.fields.items() if field.required}
    optional = {
        name: _value(field, depth)
        for name, field in of.fields.items()
        if not field.required and (depth < 3 or field.is_scalar)
    }
    return st.fixed_dictionaries(required, optional=optional)


def _value(field: Field, depth: int) -> st.SearchStrategy[Any]:
    one = _one(field, depth)
    if field.map:
        return st.dictionaries(st.sampled_from(WORDS), one, max_size=2)
    return st.lists(one, max_size=2) if field.repeated else one


def _one(field: Field, depth: int) -> st.SearchStrategy[Any]:
    match field.type:
        case "double":
            return st.floats() | st.sampled_from([0.1, 1.0, 32.0])
        case "bool":
            return st.booleans()
        case "string":
            return st.sampled_from(WORDS) | st.text(string.printable, max_size=6)
        case "bytes":
            return st.binary(max_size=8)
        case "int32" | "int64":
            return st.integers(-5, 2**31 - 1)
        case "uint32" | "uint64":
            return st.integers(0, 2**32 - 1) | st.sampled_from([80, 31000])
    kind = find(field.type)
    if isinstance(kind, EnumType):
        return st.sampled_from(sorted(kind.numbers))
    return st.deferred(lambda: whole(kind, depth + 1))


def good(**more: Any) -> Message:
    resources = amounts.write(Amounts({"cpus": 500, "mem": 64_000}, {"ports": ((31000, 31001),)}))
    ids: Message = {"task_id": {"value": "t"}, "agent_id": {"value": "S0"}, "name": "t"}
    return ids | {"resources": resources, "command": {"value": "true"}} | more


@given(whole(message("mesos.v1.TaskInfo")), st.booleans(), st.booleans())
@settings(max_examples=300, deadline=None)
def test_any_task_is_refused_or_becomes_a_pod(info: Message, group: bool, nearly: bool) -> None:
    if nearly:  # most of what is random is refused at once: let the rest be looked at, too
        info = good() | {
            name: info[name] for name in info if name not in ("task_id", "agent_id", "resources", "executor")
        }
    reason = validation.task(info, Surroundings("S0", "*", LEFT, group=group))
    if reason is None:
        tasks.make_pod([info], PLACEMENT)
    else:
        assert reason


@given(whole(message("mesos.v1.FrameworkInfo")), st.lists(st.sampled_from(WORDS), max_size=2))
@settings(max_examples=200, deadline=None)
def test_any_framework_is_refused_or_taken(info: Message, suppressed: list[str]) -> None:
    reason = validation.framework(info, suppressed)
    assert reason is None or reason


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ({"task_id": {"value": ""}}, "Task ID must not be empty"),
        ({"task_id": {"value": "a/b"}}, "'a/b' contains invalid characters"),
        ({"task_id": {"value": "live"}}, "Task has duplicate ID: live"),
        ({"agent_id": {"value": "S1"}}, "Task uses invalid agent S1 while agent S0 is expected"),
        ({"resources": []}, "Task uses no resources"),
        ({"health_check": {}}, "Task uses invalid health check: HealthCheck must specify 'type'"),
        ({"health_check": {"type": "TCP", "tcp": {"port": 0}}},
         "Task uses invalid health check: port must be between 1 and 65535"),
        ({"kill_policy": {"grace_period": {"nanoseconds": -1}}},
         "Task's 'kill_policy.grace_period' must be non-negative"),
        ({"limits": {"disk": {"value": 1.0}}},
         "Resource 'disk' is not supported in task limits; only 'cpus' and 'mem' are"),
        ({"limits": {"cpus": {"value": 0.1}}}, "The limit of 'cpus' is below the task's request"),
        ({"container": {"type": "DOCKER"}}, "DockerInfo 'docker' is not set for DOCKER typed ContainerInfo"),
        ({"container": {"type": "DOCKER", "docker": {"image": "x", "network": "BRIDGE", "port_mappings":
          [{"host_port": 99, "container_port": 80}]}}},
         "Port 99 of a port mapping is not among the task's resources"),
        ({"limits": {"cpus": {"value": float("inf")}}}, None),
    ],
)  # fmt: skip
def test_reasons(more: Message, reason: str | None) -> None:
    assert validation.task(good(**more), Surroundings("S0", "*", LEFT, live=["live"])) == reason


@pytest.mark.parametrize("name", ["*", "eng", "eng/web", "a.b", "ünï"])
def test_good_roles(name: str) -> None:
    assert validation.role(name) is None


@pytest.mark.parametrize("name", ["", "/", "a/", "/a", "a//b", ".", "a/..", "-a", "a/-b", "a b", "a\tb", "a*", "*/a"])
def test_bad_roles(name: str) -> None:
    assert validation.role(name)


def test_roles_of_frameworks() -> None:
    multi = [{"type": "MULTI_ROLE"}]
    assert validation.framework({"role": "a", "capabilities": multi}) is not None
    assert validation.framework({"roles": ["a"]}) is not None
    assert validation.framework({"roles": ["a", "a"], "capabilities": multi}) is not None
    assert validation.framework({"roles": ["a"], "capabilities": multi}, ["b"]) is not None
    assert validation.framework({"roles": [], "capabilities": multi}) is None
    assert validation.framework({"failover_timeout": float("nan")}) is not None
