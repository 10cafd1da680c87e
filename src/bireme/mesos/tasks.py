"""From TaskInfo to Pod: how a Mesos task is written down for the kubelet.

A task, or a task group with one container for each of its tasks, is a Pod that is born bound to its node, in a
namespace for its role. What Mesos must know of it again is in labels and annotations under `mesos.bireme.dev/`;
how its status reads as task states is `task_status.py`. A command task without an image enters the host's root
(annotation `host-root`) and runs in its sandbox folder, as Mesos does; with an image, the sandbox is mounted at
/mnt/mesos/sandbox. Source: Mesos 1.11's HTTP API.
"""

import hashlib
import math
import re
from collections.abc import Iterable, Sequence
from typing import Any

import orjson

from bireme.api.kinds import core
from bireme.api.model import Quantity
from bireme.mesos import amounts, json_form, task_fetch
from bireme.mesos.amounts import Amounts
from bireme.mesos.messages import Message, message
from bireme.mesos.task_command import (
    HOST_AT,
    Placement,
    argv,
    escaped,
    image_of,
    in_host_root,
    is_host_root,
    on_host_network,
)
from bireme.mesos.task_probes import set_probes

PREFIX = "mesos.bireme.dev/"
FRAMEWORK_ID = PREFIX + "framework-id"
FRAMEWORK_NAME = PREFIX + "framework-name"
AGENT_ID = PREFIX + "agent-id"
TASK_ID = PREFIX + "task-id"
TASK_NAME = PREFIX + "task-name"
EXECUTOR_ID = PREFIX + "executor-id"
CONTAINER_ID = PREFIX + "container-id"
ROLE = PREFIX + "role"
TASKS = PREFIX + "tasks"
EXECUTOR = PREFIX + "executor"
PORTS = PREFIX + "ports"
DISCOVERY = PREFIX + "discovery"
LABELS = PREFIX + "labels"
HOST_ROOT = PREFIX + "host-root"
SANDBOX = PREFIX + "sandbox"
ACKNOWLEDGED = PREFIX + "acknowledged"
VERDICT = PREFIX + "verdict"
FINALIZER = PREFIX + "acknowledgement"

HOST_IMAGE = "bireme.local/busybox:1"
SANDBOX_IN_CONTAINER = "/mnt/mesos/sandbox"
DEFAULT_GRACE_S = 3.0
EXTRA_CPUS, EXTRA_MEM = 100, 32 * amounts.UNIT
MAX_PORTS = 1024
_DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_NAME = 63
_PORT_NAME = re.compile(r"(?=.{1,15}$)(?=.*[a-z])[a-z0-9]+(-[a-z0-9]+)*")


def namespace_of(role: str) -> str:
    """The namespace that holds the pods of a role; different roles never share one."""
    if role == "*":
        return "mesos-default"
    name = "mesos-" + re.sub(r"[^a-z0-9-]+", "-", role.lower()).strip("-")
    if name == f"mesos-{role}" and name != "mesos-default" and len(name) <= _NAME:
        return name
    return f"{name[: _NAME - 9].rstrip('-')}-{hashlib.sha256(role.encode()).hexdigest()[:8]}"


def pod_name(task_id: str, container_id: str) -> str:
    """A name that people recognize and no other pod has."""
    slug = re.sub(r"[^a-z0-9-]+", "-", task_id.lower()).strip("-")
    return f"{slug[:50].strip('-') or 'task'}-{container_id[:8]}"


def container_name(place: int, *, group: bool) -> str:
    return f"task-{place}" if group else "task"


def make_pod(infos: Sequence[Message], placement: Placement, *, executor: Message | None = None) -> core.Pod:
    """The pod of one task, or of a task group with its executor."""
    group = executor is not None
    containers: list[core.Container] = []
    volumes: dict[str, core.Volume] = {}
    for place, info in enumerate(infos):
        container, needed = _container(info, placement, container_name(place, group=group))
        containers.append(container)
        volumes |= {volume.name: volume for volume in needed}
    if executor is not None:
        _charge_executor(containers[0], executor)
    first = infos[0]
    host_root, host_network = is_host_root(first), on_host_network(first, executor)
    before: list[core.Container] = []
    uris = task_fetch.uris_of(infos)
    if uris:
        fetch, needed = task_fetch.init_container(
            uris, placement, image=HOST_IMAGE, host_root=host_root, sandbox=SANDBOX_IN_CONTAINER
        )
        before.append(fetch)
        volumes |= {volume.name: volume for volume in needed}
    spec = core.PodSpec(
        init_containers=before,
        containers=containers,
        volumes=list(volumes.values()),
        node_name=placement.node,
        restart_policy="Never",
        termination_grace_period_seconds=max(grace_s(info) for info in infos),
        active_deadline_seconds=_deadline(infos),
        automount_service_account_token=False,
        enable_service_links=False,
        dns_policy="ClusterFirstWithHostNet" if host_network else "ClusterFirst",
        tolerations=[
            core.Toleration(key=f"node.kubernetes.io/{word}", operator="Exists", effect="NoExecute")
            for word in ("not-ready", "unreachable")
        ],
    )
    if host_network:
        spec.host_network = True
    if host_root:
        spec.host_pid = spec.host_ipc = True
    if _hostname(first) and not host_network:
        spec.hostname = _hostname(first)
    pod = core.Pod(spec=spec)
    pod.metadata.name = pod_name(first["task_id"]["value"], placement.container_id)
    pod.metadata.namespace = namespace_of(placement.role)
    pod.metadata.finalizers = [FINALIZER]
    pod.metadata.labels = {FRAMEWORK_ID: placement.framework_id, AGENT_ID: placement.agent_id}
    pod.metadata.annotations = _annotations(infos, placement, host_root=host_root)
    if executor is not None:
        pod.metadata.annotations[EXECUTOR] = _json(json_form.write(executor, message("mesos.v1.ExecutorInfo")))
    return pod


def _annotations(infos: Sequence[Message], placement: Placement, *, host_root: bool) -> dict[str, str]:
    first = infos[0]
    found = {
        TASK_ID: first["task_id"]["value"],
        TASK_NAME: first["name"],
        FRAMEWORK_NAME: placement.framework_info["name"],
        EXECUTOR_ID: placement.executor_id,
        CONTAINER_ID: placement.container_id,
        ROLE: placement.role,
        SANDBOX: placement.sandbox,
        TASKS: _json([json_form.write(info, message("mesos.v1.TaskInfo")) for info in infos]),
        PORTS: ",".join(map(str, port_numbers(infos))),
    }
    if host_root:
        found[HOST_ROOT] = "true"
    if "discovery" in first:
        found[DISCOVERY] = _json(json_form.write(first["discovery"], message("mesos.v1.DiscoveryInfo")))
    if first.get("labels", {}).get("labels"):
        found[LABELS] = _json({each["key"]: each.get("value", "") for each in first["labels"]["labels"]})
    return found


def _json(tree: Any) -> str:
    return orjson.dumps(tree).decode()


def infos_of(pod: core.Pod) -> list[Message]:
    """The TaskInfos that a pod was made from. Raises json_form.Malformed if someone spoilt them."""
    trees = _tree(pod, TASKS, "[]")
    if not isinstance(trees, list):
        raise json_form.Malformed("the tasks of a pod are no list")
    return [json_form.read(tree, message("mesos.v1.TaskInfo")) for tree in trees]


def executor_of(pod: core.Pod) -> Message | None:
    """The executor of a pod that holds a task group. Raises json_form.Malformed."""
    tree = _tree(pod, EXECUTOR, "null")
    return None if tree is None else json_form.read(tree, message("mesos.v1.ExecutorInfo"))


def _tree(pod: core.Pod, name: str, default: str) -> Any:
    try:
        return orjson.loads(pod.metadata.annotations.get(name, default))
    except orjson.JSONDecodeError as error:
        raise json_form.Malformed(str(error)) from error


def port_numbers(infos: Iterable[Message]) -> list[int]:
    """The host ports that the tasks hold, in the order of their resources."""
    found: list[int] = []
    for info in infos:
        for resource in info.get("resources", []):
            if resource["name"] == "ports":
                for part in resource.get("ranges", {}).get("range", []):
                    found += range(part["begin"], min(part["end"], part["begin"] + MAX_PORTS) + 1)
    return found[:MAX_PORTS]


def grace_s(info: Message) -> int:
    """Whole seconds between SIGTERM and SIGKILL."""
    period = info.get("kill_policy", {}).get("grace_period")
    return math.ceil(period["nanoseconds"] / 1e9) if period else math.ceil(DEFAULT_GRACE_S)


def _deadline(infos: Sequence[Message]) -> int | None:
    limits = [info["max_completion_time"]["nanoseconds"] for info in infos if "max_completion_time" in info]
    return max(1, math.ceil(min(limits) / 1e9)) if limits else None


def _hostname(info: Message) -> str:
    name = str(info.get("container", {}).get("hostname", ""))
    return name if re.fullmatch(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", name) else ""


def _container(info: Message, placement: Placement, name: str) -> tuple[core.Container, list[core.Volume]]:
    container = core.Container(name=name, image=image_of(info) or HOST_IMAGE, image_pull_policy="IfNotPresent")
    if info.get("container", {}).get("docker", {}).get("force_pull_image"):
        container.image_pull_policy = "Always"
    command = info.get("command", {})
    if is_host_root(info):
        container.command = in_host_root(command, placement)
        container.security_context = core.SecurityContext(privileged=True)
    else:
        container.command, container.args = argv(command, docker="docker" in info["container"])
        container.security_context = _security(info, placement)
    container.env = environment(info, placement)
    container.resources = _resources(info)
    container.ports = _ports(info)
    volumes, container.volume_mounts = _volumes(info, placement)
    set_probes(container, info, placement)
    return container, volumes


def _security(info: Message, placement: Placement) -> core.SecurityContext | None:
    found = core.SecurityContext()
    if info["container"].get("docker", {}).get("privileged"):
        found.privileged = True
    user = str(info.get("command", {}).get("user", ""))
    if user.isdecimal() and len(user) < 10:
        found.run_as_user = int(user)
    return found if found != core.SecurityContext() else None


def environment(info: Message, placement: Placement) -> list[core.EnvVar]:
    """The variables of a task; those of its command come last and win."""
    inside = placement.sandbox if is_host_root(info) else SANDBOX_IN_CONTAINER
    found = {
        "MESOS_TASK_ID": info["task_id"]["value"],
        "MESOS_FRAMEWORK_ID": placement.framework_id,
        "MESOS_EXECUTOR_ID": placement.executor_id,
        "MESOS_SLAVE_ID": placement.agent_id,
        "MESOS_AGENT_ID": placement.agent_id,
        "MESOS_SLAVE_PID": f"slave(1)@{placement.agent_address}",
        "MESOS_AGENT_ENDPOINT": placement.agent_address,
        "MESOS_DIRECTORY": placement.sandbox,
        "MESOS_SANDBOX": inside,
        "MESOS_CHECKPOINT": "1" if placement.framework_info.get("checkpoint") else "0",
        "MESOS_HTTP_COMMAND_EXECUTOR": "0",
        "MESOS_EXECUTOR_SHUTDOWN_GRACE_PERIOD": "5secs",
        "MESOS_ALLOCATION_ROLE": placement.role,
    }
    if is_host_root(info):
        found["PATH"] = _DEFAULT_PATH
    if "docker" in info.get("container", {}):
        found["MESOS_CONTAINER_NAME"] = f"mesos-{placement.container_id}"
    own = info.get("command", {}).get("environment", {}).get("variables", [])
    found |= {each["name"]: _value(each) for each in own}
    variables = [core.EnvVar(name=name, value=escaped(value)) for name, value in found.items()]
    address = core.EnvVarSource(field_ref=core.ObjectFieldSelector(field_path="status.podIP"))
    return [core.EnvVar(name="MESOS_CONTAINER_IP", value_from=address), *variables]


def _value(variable: Message) -> str:
    if variable.get("type") == "SECRET":
        data: bytes = variable.get("secret", {}).get("value", {}).get("data", b"")
        return data.decode("utf-8", "replace")
    return str(variable.get("value", ""))


def _resources(info: Message) -> core.ResourceRequirements:
    """Requests are what the framework is charged; the memory limit has what the executor would have on top."""
    held = amounts.read(info.get("resources", []))
    requests: dict[str, Quantity] = {name: _quantity(name, of) for name, of in amounts.to_node(held).items()}
    limits: dict[str, Any] = {}
    given = info.get("limits", {})
    mem = given["mem"]["value"] * amounts.UNIT if "mem" in given else held.scalar("mem")
    if mem and math.isfinite(mem):
        limits["memory"] = str(math.ceil((mem + EXTRA_MEM) * amounts.MIB / amounts.UNIT))
    cpus = given.get("cpus", {}).get("value", math.inf)
    if math.isfinite(cpus):
        limits["cpu"] = f"{amounts.thousandths(cpus) + EXTRA_CPUS}m"
    return core.ResourceRequirements(requests=requests, limits=limits)


def _quantity(name: str, amount: int) -> str:
    return f"{amount}m" if name == "cpu" else str(amount)


def _charge_executor(container: core.Container, executor: Message) -> None:
    """Add what the group's executor takes to its first container."""
    requirements = container.resources
    if requirements is None:
        return
    extra = amounts.read(executor.get("resources", []))
    whole = amounts.read_node(requirements.requests) + extra
    requirements.requests = {name: _quantity(name, of) for name, of in amounts.to_node(whole).items()}


def _ports(info: Message) -> list[core.ContainerPort]:
    """The ports of a container, with the names that the discovery info gives to host ports (for SRV records)."""
    found = _bare_ports(info)
    named = {
        each["number"]: each.get("name", "") for each in info.get("discovery", {}).get("ports", {}).get("ports", [])
    }
    seen: set[str] = set()
    for port in found:
        name = named.get(port.host_port or 0, "")
        if name not in seen and _PORT_NAME.fullmatch(name):
            seen.add(name)
            port.name = name
    return found


def _bare_ports(info: Message) -> list[core.ContainerPort]:
    mappings = _mappings(info)
    if mappings:
        return [
            core.ContainerPort(host_port=host_port, container_port=port, protocol=protocol)
            for host_port, port, protocols in mappings
            for protocol in protocols
        ]
    if on_host_network(info, None):
        return [
            core.ContainerPort(host_port=port, container_port=port, protocol="TCP") for port in port_numbers([info])
        ]
    return []


def _mappings(info: Message) -> list[tuple[int, int, list[str]]]:
    container = info.get("container", {})
    docker = container.get("docker", {})
    if "docker" in container and docker.get("network", "HOST") in ("HOST", "NONE"):
        return []
    parts = [*docker.get("port_mappings", [])]
    for network in container.get("network_infos", []):
        parts += network.get("port_mappings", [])
    found = []
    for part in parts:
        words = [word.strip().upper() for word in part.get("protocol", "tcp").split(",")]
        found.append((part["host_port"], part["container_port"], [word for word in words if word in ("TCP", "UDP")]))
    return found


def mapped_host_ports(info: Message) -> list[int]:
    """The host ports that the task's port mappings open."""
    return [host_port for host_port, _, _ in _mappings(info)]


def _volumes(info: Message, placement: Placement) -> tuple[list[core.Volume], list[core.VolumeMount]]:
    volumes, mounts = [], []
    root, sandbox = (HOST_AT, placement.sandbox) if is_host_root(info) else ("", SANDBOX_IN_CONTAINER)
    for volume in info.get("container", {}).get("volumes", []):
        path = _host_path(volume, placement)
        target = volume["container_path"]
        target = root + (target if target.startswith("/") else f"{sandbox}/{target}")
        name = f"volume-{hashlib.sha256(path.encode()).hexdigest()[:10]}"
        made = "DirectoryOrCreate" if path.startswith(f"{placement.sandbox}/") else ""
        volumes.append(core.Volume(name=name, host_path=core.HostPathVolumeSource(path=path, type=made)))
        mounts.append(core.VolumeMount(name=name, mount_path=target, read_only=volume["mode"] == "RO" or None))
    return volumes, mounts


def _host_path(volume: Message, placement: Placement) -> str:
    source = volume.get("source", {})
    path = volume.get("host_path") or source.get("host_path", {}).get("path")
    path = path or source.get("sandbox_path", {}).get("path") or volume["container_path"].lstrip("/")
    return path if path.startswith("/") else f"{placement.sandbox}/{path}"


def held_by(infos: Iterable[Message], executor: Message | None = None) -> Amounts:
    """What tasks and their executor hold together. Raises amounts.Unusable."""
    parts = [amounts.read(info.get("resources", [])) for info in infos]
    if executor is not None:
        parts.append(amounts.read(executor.get("resources", [])))
    return amounts.total(parts)
