"""The shapes of what clients send: each field's type and limits, read from one table.

A shape takes a JSON value and a place and gives the value back, cleaned: nulls and unknown fields dropped. What is
wrong is collected, types apart from limits, since Marathon answers the one with 400 and the other with 422.
Defaults and what fields mean to each other: `normalize.py` and `rules.py`.
Source: Marathon 1.11's published types, restated.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import re2

from bireme.marathon import paths
from bireme.marathon.errors import Problem, invalid, wrong_types
from bireme.marathon.versions import read as read_stamp

Tree = dict[str, Any]


@dataclass(slots=True)
class Report:
    """What was found wrong."""

    types: list[Problem] = field(default_factory=list)
    limits: list[Problem] = field(default_factory=list)

    def settle(self) -> None:
        """Raise MarathonError if anything was wrong."""
        if self.types:
            raise wrong_types([*self.types, *self.limits])
        if self.limits:
            raise invalid(self.limits)


Shape = Callable[[Any, str, Report], Any]


def read(shape: Shape, value: Any, place: str = "") -> Any:
    """`value` in its shape. Raises MarathonError."""
    report = Report()
    found = shape(value, place, report)
    report.settle()
    return found


def text(
    *, least: int = 0, most: int = 1 << 20, pattern: str = "", among: Sequence[str] = (), fold: bool = False
) -> Shape:
    """Text; `among` are the allowed words, in any letter case with `fold`."""
    regex = re2.compile(pattern) if pattern else None

    def shape(value: Any, place: str, report: Report) -> str:
        if not isinstance(value, str):
            report.types.append(Problem(place, "error.expected.jsstring"))
            return ""
        if fold and value.upper() in among:
            return value.upper()
        if among and value not in among:
            report.types.append(Problem(place, f"error.unknown.enum.literal ({', '.join(among)})"))
        elif len(value) < least:
            report.limits.append(Problem(place, f"must have a minimum length of {least}"))
        elif len(value) > most:
            report.limits.append(Problem(place, f"must have a maximum length of {most}"))
        elif regex is not None and not regex.fullmatch(value):
            report.limits.append(Problem(place, f"must fully match regular expression '{pattern}'"))
        return value

    return shape


def number(*, least: float = -math.inf, most: float = math.inf, whole: bool = False) -> Shape:
    """A number within limits."""

    def shape(value: Any, place: str, report: Report) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            report.types.append(Problem(place, "error.expected.jsnumber"))
            return 0
        if whole:
            if value != int(value):
                report.types.append(Problem(place, "error.expected.int"))
                return 0
            value = int(value)
            if not -(2**63) <= value < 2**63:
                report.types.append(Problem(place, "error.expected.int"))
        if value < least:
            report.limits.append(Problem(place, f"must be greater than or equal to {least:g}"))
        elif value > most:
            report.limits.append(Problem(place, f"must be less than or equal to {most:g}"))
        return cast("float", value)

    return shape


def boolean(value: Any, place: str, report: Report) -> bool:
    """true or false."""
    if not isinstance(value, bool):
        report.types.append(Problem(place, "error.expected.jsboolean"))
        return False
    return value


def array(of: Shape, *, least: int = 0, most: int = 10_000, unique: bool = False) -> Shape:
    """A list; its places read `/name(0)`."""

    def shape(value: Any, place: str, report: Report) -> list[Any]:
        if not isinstance(value, list):
            report.types.append(Problem(place, "error.expected.jsarray"))
            return []
        if len(value) > most or len(value) < least:
            report.limits.append(Problem(place, f"must have between {least} and {most} elements"))
            return []
        found = [of(item, f"{place}({index})", report) for index, item in enumerate(value)]
        if unique and any(item in found[:index] for index, item in enumerate(found)):
            report.limits.append(Problem(place, "Elements must be unique"))
        return found

    return shape


def mapping(of: Shape) -> Shape:
    """An object with any keys."""

    def shape(value: Any, place: str, report: Report) -> Tree:
        if not isinstance(value, dict):
            report.types.append(Problem(place, "error.expected.jsobject"))
            return {}
        return {key: of(item, f"{place}({key})", report) for key, item in value.items() if item is not None}

    return shape


def record(fields: Mapping[str, Shape], *, required: Sequence[str] = ()) -> Shape:
    """An object with these fields; others are dropped."""

    def shape(value: Any, place: str, report: Report) -> Tree:
        if not isinstance(value, dict):
            report.types.append(Problem(place, "error.expected.jsobject"))
            return {}
        found = {
            name: of(value[name], f"{place}/{name}", report)
            for name, of in fields.items()
            if value.get(name) is not None
        }
        for name in required:
            if name not in found:
                report.types.append(Problem(f"{place}/{name}", "error.path.missing"))
        return found

    return shape


def either(test: Callable[[Any], bool], yes: Shape, no: Shape) -> Shape:
    """One of two shapes, chosen by the value."""
    return lambda value, place, report: (yes if test(value) else no)(value, place, report)


def path_id(value: Any, place: str, report: Report) -> str:
    """An id as it came, absolute or relative."""
    found = cast("str", text()(value, place, report))
    reason = paths.problem(found) if isinstance(value, str) else None
    if reason:
        report.limits.append(Problem(place, reason))
    return found


def moment(value: Any, place: str, report: Report) -> str:
    """A time stamp."""
    found = cast("str", text()(value, place, report))
    try:
        read_stamp(found)
    except ValueError:
        report.types.append(Problem(place, "error.expected.date.isoformat"))
    return found


_NAME = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_NETWORK_NAME = r"[a-z0-9]([-a-z0-9_]*[a-z0-9])?"
COUNT = number(least=0, most=2**31 - 1, whole=True)
LONG = number(least=0, whole=True)
AMOUNT = number(least=0, most=1e12)
PORT = number(least=0, most=65535, whole=True)
WORDS = text()
PATH = text(least=1, most=1024)
URI = text(least=1, most=1024)
LABELS = mapping(WORDS)
LEGACY_NAME = text(least=1, pattern=_NAME)
NAME = text(least=1, most=63, pattern=_NAME)
PROTOCOL = text(among=("tcp", "udp", "udp,tcp", "tcp,udp"))
ENGINE = text(among=("MESOS", "DOCKER"))

ENV_VALUE = either(
    lambda value: isinstance(value, dict), record({"secret": text(least=1)}, required=("secret",)), WORDS
)
ENV = mapping(ENV_VALUE)
ARTIFACT = record(
    {"uri": URI, "extract": boolean, "executable": boolean, "cache": boolean, "destPath": PATH}, required=("uri",)
)
PORT_MAPPING = record(
    {
        "containerPort": PORT,
        "hostPort": PORT,
        "labels": LABELS,
        "name": LEGACY_NAME,
        "protocol": PROTOCOL,
        "servicePort": PORT,
        "networkNames": array(NAME),
    }
)
PORT_DEFINITION = record({"port": PORT, "labels": LABELS, "name": LEGACY_NAME, "protocol": PROTOCOL})
DOCKER = record(
    {
        "credential": record({"principal": WORDS, "secret": WORDS}, required=("principal",)),
        "pullConfig": record({"secret": text(least=1)}, required=("secret",)),
        "forcePullImage": boolean,
        "image": text(least=1, most=1024),
        "network": text(among=("BRIDGE", "HOST", "NONE", "USER"), fold=True),
        "parameters": array(record({"key": text(least=1), "value": WORDS}, required=("key", "value"))),
        "portMappings": array(PORT_MAPPING),
        "privileged": boolean,
    }
)
PERSISTENT = record(
    {
        "type": text(among=("root", "path", "mount")),
        "size": LONG,
        "maxSize": LONG,
        "profileName": WORDS,
        "constraints": array(array(WORDS, least=2, most=3)),
    },
    required=("size",),
)
EXTERNAL = record(
    {
        "size": LONG,
        "name": WORDS,
        "provider": WORDS,
        "options": lambda value, place, report: value if isinstance(value, dict) else {},
        "shared": boolean,
    }
)
VOLUME = record(
    {
        "containerPath": text(least=1),
        "hostPath": text(least=1),
        "mode": text(among=("RO", "RW")),
        "persistent": PERSISTENT,
        "external": EXTERNAL,
        "secret": text(least=1),
    },
    required=("containerPath",),
)
LINUX = record(
    {
        "seccomp": record({"profileName": WORDS, "unconfined": boolean}),
        "ipcInfo": record({"mode": text(among=("PRIVATE", "SHARE_PARENT")), "shmSize": COUNT}, required=("mode",)),
    }
)
CONTAINER = record(
    {
        "type": ENGINE,
        "docker": DOCKER,
        "linuxInfo": LINUX,
        "volumes": array(VOLUME),
        "portMappings": array(PORT_MAPPING),
    }
)
COMMAND_CHECK = record({"value": text(least=1)}, required=("value",))
HEALTH_CHECK = record(
    {
        "command": COMMAND_CHECK,
        "gracePeriodSeconds": COUNT,
        "ignoreHttp1xx": boolean,
        "intervalSeconds": COUNT,
        "maxConsecutiveFailures": COUNT,
        "path": text(most=1024),
        "port": PORT,
        "portIndex": PORT,
        "protocol": text(among=("HTTP", "HTTPS", "TCP", "COMMAND", "MESOS_TCP", "MESOS_HTTP", "MESOS_HTTPS")),
        "ipProtocol": text(among=("IPv4", "IPv6")),
        "timeoutSeconds": COUNT,
        "delaySeconds": COUNT,
    }
)
_ENDPOINT = {"portIndex": PORT, "port": PORT}
CHECK = record(
    {
        "http": record(_ENDPOINT | {"path": PATH, "scheme": text(among=("HTTP", "HTTPS"))}),
        "tcp": record(_ENDPOINT),
        "exec": record(
            {"command": record({"shell": text(least=1), "argv": array(WORDS, least=1)})}, required=("command",)
        ),
        "intervalSeconds": COUNT,
        "timeoutSeconds": COUNT,
        "delaySeconds": COUNT,
    }
)
READINESS_CHECK = record(
    {
        "name": text(least=1),
        "protocol": text(among=("HTTP", "HTTPS")),
        "path": PATH,
        "portName": LEGACY_NAME,
        "intervalSeconds": COUNT,
        "timeoutSeconds": number(least=1, most=2**31 - 1, whole=True),
        "httpStatusCodesForReady": array(number(least=100, most=999, whole=True), least=1, unique=True),
        "preserveLastResponse": boolean,
    }
)
NETWORK = record(
    {
        "name": text(least=1, most=63, pattern=_NETWORK_NAME),
        "mode": text(among=("container", "container/bridge", "host")),
        "labels": LABELS,
    }
)
IP_ADDRESS = record(
    {
        "discovery": record(
            {
                "ports": array(
                    record(
                        {"number": PORT, "name": LEGACY_NAME, "protocol": PROTOCOL, "labels": LABELS},
                        required=("name",),
                    )
                )
            }
        ),
        "groups": array(WORDS),
        "labels": LABELS,
        "networkName": text(least=1),
    }
)
LIMIT = either(lambda value: isinstance(value, str), text(among=("unlimited",)), AMOUNT)
UNREACHABLE = either(
    lambda value: isinstance(value, str),
    text(among=("disabled",)),
    record({"inactiveAfterSeconds": LONG, "expungeAfterSeconds": LONG}),
)

APP_FIELDS: Mapping[str, Shape] = {
    "id": path_id,
    "acceptedResourceRoles": array(text(least=1), unique=True),
    "args": array(WORDS),
    "backoffFactor": number(least=1, most=1e6),
    "backoffSeconds": COUNT,
    "check": CHECK,
    "cmd": text(least=1),
    "constraints": array(array(WORDS, least=2, most=3), unique=True),
    "container": CONTAINER,
    "cpus": AMOUNT,
    "dependencies": array(path_id, unique=True),
    "disk": AMOUNT,
    "env": ENV,
    "executor": text(pattern=r"(//cmd)|(/?[^/]+(/[^/]+)*)|"),
    "executorResources": record({"cpus": number(least=0.1), "mem": number(least=32), "disk": number(least=10)}),
    "fetch": array(ARTIFACT),
    "gpus": COUNT,
    "healthChecks": array(HEALTH_CHECK, unique=True),
    "instances": COUNT,
    "ipAddress": IP_ADDRESS,
    "killSelection": text(among=("YOUNGEST_FIRST", "OLDEST_FIRST"), fold=True),
    "labels": LABELS,
    "maxLaunchDelaySeconds": COUNT,
    "mem": AMOUNT,
    "networks": array(NETWORK),
    "portDefinitions": array(PORT_DEFINITION),
    "ports": array(PORT),
    "readinessChecks": array(READINESS_CHECK),
    "requirePorts": boolean,
    "residency": record(
        {
            "relaunchEscalationTimeoutSeconds": LONG,
            "taskLostBehavior": text(among=("WAIT_FOREVER", "RELAUNCH_AFTER_TIMEOUT")),
        }
    ),
    "resourceLimits": record({"cpus": LIMIT, "mem": LIMIT}),
    "role": text(least=1),
    "secrets": mapping(record({"source": text(least=1)}, required=("source",))),
    "taskKillGracePeriodSeconds": COUNT,
    "tty": boolean,
    "unreachableStrategy": UNREACHABLE,
    "upgradeStrategy": record(
        {"maximumOverCapacity": number(least=0, most=1), "minimumHealthCapacity": number(least=0, most=1)}
    ),
    "uris": array(URI),
    "user": WORDS,
    "version": moment,
}
APP_UPDATE = record(APP_FIELDS)
APP = record(APP_FIELDS, required=("id",))


def _group(value: Any, place: str, report: Report, depth: int = 0) -> Tree:
    if depth > 32:
        report.limits.append(Problem(place, "Groups are nested too deep"))
        return {}
    fields: dict[str, Shape] = {
        "id": path_id,
        "apps": array(APP),
        "groups": array(lambda part, where, told: _group(part, where, told, depth + 1)),
        "dependencies": array(path_id, unique=True),
        "scaleBy": number(least=0, most=1e6),
        "version": moment,
        "enforceRole": boolean,
    }
    return cast("Tree", record(fields, required=() if depth == 0 else ("id",))(value, place, report))


GROUP_UPDATE: Shape = _group
GROUP_PATCH = record({"enforceRole": boolean})
APP_UPDATES = array(APP)
TASK_IDS = record({"ids": array(WORDS)}, required=("ids",))
