"""What a framework or a task may not be, in the words of the original.

Functions return the reason for a refusal, or None. A task's refusal becomes TASK_ERROR; that it asks for more
than was offered is among them. Source: Mesos 1.11's HTTP API; Mesos' master/validation.cpp.
"""

import math
import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field

from bireme.mesos import amounts, task_fetch, tasks
from bireme.mesos.amounts import Amounts, Unusable
from bireme.mesos.messages import Message

_ROLE_SEGMENT = re.compile(r"[^\s\x00-\x1f\x7f/*]+")
_MAX_DATA = 64 * 1024
_PROTOCOLS = frozenset(("tcp", "udp"))


def identifier(text: str, what: str) -> str | None:
    """Ids that become names of folders: not empty, no slash, no control character, at most 255 bytes."""
    if not text:
        return f"{what} must not be empty"
    if len(text.encode("utf-8", "replace")) > 255:
        return f"{what} must not be greater than 255 characters"
    if text in (".", ".."):
        return f"'{text}' is disallowed"
    if any(letter in "/\\" or ord(letter) < 32 or ord(letter) == 127 for letter in text):
        return f"'{text}' contains invalid characters"
    return None


def role(name: str) -> str | None:
    """A role: `*`, or segments between slashes."""
    if name == "*":
        return None
    if not name:
        return "Empty role name is invalid"
    for segment in name.split("/"):
        if not segment:
            return f"Role '{name}' has an empty segment"
        if segment in (".", ".."):
            return f"Role name '{segment}' is invalid"
        if segment.startswith("-"):
            return f"Role '{name}' is invalid because it cannot start with '-'"
        if not _ROLE_SEGMENT.fullmatch(segment):
            return f"Role '{name}' contains invalid characters"
    return None


def capabilities(info: Message) -> frozenset[str]:
    """The names of a framework's capabilities."""
    return frozenset(each["type"] for each in info.get("capabilities", []) if "type" in each)


def roles_of(info: Message) -> tuple[str, ...]:
    """The roles that a framework subscribes to."""
    if "MULTI_ROLE" in capabilities(info):
        return tuple(info.get("roles", ()))
    return (info.get("role", "*"),)


def framework(info: Message, suppressed: Iterable[str] = ()) -> str | None:
    """Why a framework cannot subscribe so."""
    if "id" in info and info["id"]["value"]:
        reason = identifier(info["id"]["value"], "Framework ID")
        if reason:
            return reason
    return _roles(info, suppressed) or _failover_timeout(info)


def _roles(info: Message, suppressed: Iterable[str]) -> str | None:
    if "MULTI_ROLE" in capabilities(info):
        if "role" in info:
            return "'FrameworkInfo.role' must not be set when the framework is MULTI_ROLE capable"
    elif info.get("roles"):
        return "'FrameworkInfo.roles' must not be set when the framework is not MULTI_ROLE capable"
    roles = roles_of(info)
    twice = sorted({name for name in roles if roles.count(name) > 1})
    if twice:
        return f"'FrameworkInfo.roles' contains duplicate items: {', '.join(twice)}"
    for name in roles:
        reason = role(name)
        if reason:
            return f"'FrameworkInfo.roles' contains invalid role: {reason}"
    stray = sorted(set(suppressed) - set(roles))
    if stray:
        return f"Suppressed role '{stray[0]}' is not contained in the list of roles"
    return None


def _failover_timeout(info: Message) -> str | None:
    seconds = info.get("failover_timeout", 0.0)
    if not math.isfinite(seconds) or seconds < 0 or seconds > 9.2e9:
        return "The framework failover_timeout is invalid: Argument out of the range of a Duration"
    return None


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a task is checked against: its agent, what is left of the offer, ids in use."""

    agent_id: str
    role: str
    left: Amounts
    live: Collection[str] = ()
    unreachable: Collection[str] = ()
    group: bool = False
    executor: Amounts = field(default_factory=Amounts)


def task(info: Message, around: Surroundings) -> str | None:
    """Why a task cannot be launched."""
    task_id = info["task_id"]["value"]
    reason = identifier(task_id, "Task ID")
    if reason:
        return reason
    if task_id in around.live:
        return f"Task has duplicate ID: {task_id}"
    if task_id in around.unreachable:
        return f"Task reuses the ID of an unreachable task: {task_id}"
    if info["agent_id"]["value"] != around.agent_id:
        return f"Task uses invalid agent {info['agent_id']['value']} while agent {around.agent_id} is expected"
    return (
        _sort_of_task(info, around)
        or _kill_policy(info)
        or _health_check(info.get("health_check"))
        or _command(info.get("command", {}))
        or container(info.get("container"))
        or _resources(info, around)
        or _limits(info)
    )


def _sort_of_task(info: Message, around: Surroundings) -> str | None:
    if len(info.get("data", b"")) > _MAX_DATA:
        return f"Task data is more than {_MAX_DATA} bytes"
    if around.group:
        return _in_group(info)
    if ("command" in info) == ("executor" in info):
        return "Task should have at least one (but not both) of CommandInfo or ExecutorInfo present"
    if "executor" in info:
        return "Task uses a custom executor, which agents here do not run; use a command or a task group"
    return None


def _in_group(info: Message) -> str | None:
    if "command" not in info and "container" not in info:
        return "Task in a task group needs a CommandInfo or an image"
    if info.get("container", {}).get("type") == "DOCKER":
        return "Docker ContainerInfo is not supported on the task"
    if info.get("container", {}).get("network_infos"):
        return "NetworkInfos must not be set on the task"
    return None


def _kill_policy(info: Message) -> str | None:
    if info.get("kill_policy", {}).get("grace_period", {}).get("nanoseconds", 0) < 0:
        return "Task's 'kill_policy.grace_period' must be non-negative"
    if info.get("max_completion_time", {}).get("nanoseconds", 0) < 0:
        return "Task's 'max_completion_time' must be non-negative"
    return None


def _health_check(check: Message | None) -> str | None:
    if check is None:
        return None
    kind = check.get("type")
    if kind is None or kind == "UNKNOWN":
        return "Task uses invalid health check: HealthCheck must specify 'type'"
    if kind.lower() not in check:
        return f"Task uses invalid health check: Expecting '{kind.lower()}' to be set for {kind} health check"
    if kind == "HTTP":
        http = check["http"]
        if http.get("scheme", "http") not in ("http", "https"):
            return f"Task uses invalid health check: Unsupported HTTP health check scheme: '{http['scheme']}'"
        if http.get("path", "/")[:1] != "/":
            return (
                f"Task uses invalid health check: The path '{http['path']}' of HTTP health check must start with '/'"
            )
    if kind in ("HTTP", "TCP") and not 0 < check[kind.lower()]["port"] < 65536:
        return "Task uses invalid health check: port must be between 1 and 65535"
    if kind == "COMMAND" and "value" not in check["command"]:
        return "Task uses invalid health check: Command health check must contain 'shell command'"
    for name in ("delay_seconds", "interval_seconds", "timeout_seconds", "grace_period_seconds"):
        seconds = check.get(name, 0.0)
        if not 0 <= seconds < 1e9:
            return f"Task uses invalid health check: Expecting '{name}' to be non-negative"
    return None


def _command(command: Message) -> str | None:
    for variable in command.get("environment", {}).get("variables", []):
        kind = variable.get("type", "VALUE")
        if not variable["name"] or "=" in variable["name"] or "\0" in variable["name"]:
            return f"Environment variable '{variable['name']}' has an invalid name"
        if kind == "VALUE" and "value" not in variable:
            return f"Environment variable '{variable['name']}' of type 'VALUE' must have a value set"
        if kind == "SECRET" and "secret" not in variable:
            return f"Environment variable '{variable['name']}' of type 'SECRET' must have a secret set"
        if "\0" in variable.get("value", ""):
            return f"Environment variable '{variable['name']}' contains a null byte"
    for uri in command.get("uris", []):
        reason = task_fetch.problem(uri)
        if reason:
            return reason
    if "\0" in command.get("value", "") or any("\0" in each for each in command.get("arguments", [])):
        return "CommandInfo contains a null byte"
    return None


def container(info: Message | None) -> str | None:
    """Why a container cannot be run so."""
    if info is None:
        return None
    if info["type"] == "DOCKER" and "docker" not in info:
        return "DockerInfo 'docker' is not set for DOCKER typed ContainerInfo"
    image = info.get("mesos", {}).get("image")
    if image is not None and ("docker" not in image or image["type"] != "DOCKER"):
        return "Only images of type DOCKER are supported"
    for volume in info.get("volumes", []):
        if not volume["container_path"] or "\0" in volume["container_path"]:
            return "Volume's 'container_path' must be set"
        source = volume.get("source", {}).get("type", "HOST_PATH")
        if source not in ("HOST_PATH", "SANDBOX_PATH"):
            return f"Volume source of type {source} is not supported"
        paths = (volume.get("host_path", ""), volume.get("source", {}).get("sandbox_path", {}).get("path", ""))
        if any(".." in path.split("/") for path in (*paths, volume["container_path"])):
            return "Volume's path must not contain '..'"
    return _port_mappings(info)


def _port_mappings(info: Message) -> str | None:
    parts = [*info.get("docker", {}).get("port_mappings", [])]
    for network in info.get("network_infos", []):
        parts += network.get("port_mappings", [])
    for part in parts:
        if not 0 < part["container_port"] < 65536 or not 0 < part["host_port"] < 65536:
            return "Port mapping uses a port out of range"
        words = {word.strip().lower() for word in part.get("protocol", "tcp").split(",")}
        if not words <= _PROTOCOLS:
            return f"Port mapping uses an unknown protocol '{part['protocol']}'"
    return None


def _resources(info: Message, around: Surroundings) -> str | None:
    resources = info.get("resources", [])
    if not resources and not around.group:
        return "Task uses no resources"
    try:
        wanted = amounts.read(resources)
    except Unusable as error:
        return f"Task uses invalid resources: {error}"
    roles = {each["allocation_info"].get("role", around.role) for each in resources if "allocation_info" in each}
    if roles - {around.role}:
        return f"Task uses resources allocated to other roles than '{around.role}'"
    if not wanted and not around.group:
        return "Task uses no resources"
    if not around.left.contains(wanted + around.executor):
        return f"Task uses more resources {wanted + around.executor} than available {around.left}"
    return _mapped_ports(info, wanted)


def _mapped_ports(info: Message, wanted: Amounts) -> str | None:
    """A host port that a mapping opens must be among the task's ports."""
    held = wanted.ranges.get("ports", ())
    for port in tasks.mapped_host_ports(info):
        if amounts.difference([(port, port)], held):
            return f"Port {port} of a port mapping is not among the task's resources"
    return None


def _limits(info: Message) -> str | None:
    limits = info.get("limits", {})
    held = amounts.read(info.get("resources", []))
    for name, scalar in limits.items():
        if name not in ("cpus", "mem"):
            return f"Resource '{name}' is not supported in task limits; only 'cpus' and 'mem' are"
        if name not in held.scalars:
            return f"Task has a limit of '{name}' but no request of it"
        if not scalar["value"] * amounts.UNIT >= held.scalar(name):
            return f"The limit of '{name}' is below the task's request"
    return None


def group_executor(executor: Message) -> str | None:
    """Why an executor cannot run a task group."""
    reason = identifier(executor["executor_id"]["value"], "Executor ID")
    if reason:
        return reason
    if executor.get("type") == "CUSTOM" or "command" in executor:
        return "Custom executors are not run here; a task group needs an executor of type DEFAULT"
    if executor.get("type") != "DEFAULT":
        return "'ExecutorInfo.type' must be set for a task group"
    try:
        held = amounts.read(executor.get("resources", []))
    except Unusable as error:
        return f"Executor uses invalid resources: {error}"
    if held.scalar("cpus") < amounts.thousandths(0.01) or held.scalar("mem") < amounts.thousandths(32):
        return "Executor needs at least 0.01 cpus and 32 MB of memory"
    return None
