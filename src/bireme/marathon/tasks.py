"""From an app and the offer's agent to a Mesos TaskInfo, in its JSON form. Source: Marathon 1.11's REST API."""

import re
from collections.abc import Iterable, Iterator, Sequence

from bireme.marathon import paths
from bireme.marathon.instances import Instance
from bireme.marathon.model import App, Tree

MAX_LABEL = 512
_NETWORKS = {"host": "HOST", "container/bridge": "BRIDGE", "container": "USER"}


def task_info(
    instance: Instance, resources: Sequence[Tree], *, bridge: str = "mesos-bridge", prefix: str = ""
) -> Tree:
    """The task of an instance on the agent where it was placed, with what it takes from the offer."""
    app = instance.app
    info: Tree = {
        "name": paths.task_name(app.id),
        "task_id": {"value": instance.task_id},
        "agent_id": {"value": instance.agent_id},
        "resources": list(resources),
        "command": _command(instance, prefix),
        "discovery": _discovery(instance),
    }
    if app.container.get("docker") or app.container.get("volumes"):
        info["container"] = _container(instance, bridge)
    if app.labels:
        info["labels"] = _labels(app.labels.items())
    check = app.mesos_check
    if check is not None:
        info["health_check"] = _health_check(instance, check)
    if "check" in app.tree:
        info["check"] = _check(instance, app.tree["check"])
    grace = app.tree.get("taskKillGracePeriodSeconds")
    if grace is not None:
        info["kill_policy"] = {"grace_period": {"nanoseconds": int(grace) * 1_000_000_000}}
    limits = {
        name: {"value": "Infinity" if limit == "unlimited" else limit}
        for name, limit in app.tree.get("resourceLimits", {}).items()
    }
    if limits:
        info["limits"] = limits
    return info


def _labels(pairs: Iterable[tuple[str, str]]) -> Tree:
    return {"labels": [{"key": key, "value": value} for key, value in pairs]}


def _command(instance: Instance, prefix: str) -> Tree:
    tree = instance.app.tree
    found: Tree = {"shell": "cmd" in tree}
    args = [str(each) for each in tree.get("args", ())]
    if "cmd" in tree:
        found["value"] = tree["cmd"]
    elif args and "docker" in instance.app.container:
        found["arguments"] = args
        if instance.app.container["type"] == "MESOS":
            found["value"], found["arguments"] = args[0], args
    elif args:
        found["value"], found["arguments"] = args[0], args
    if tree.get("user"):
        found["user"] = tree["user"]
    found["uris"] = [_uri(each) for each in tree.get("fetch", ())]
    variables = environment(instance, prefix=prefix)
    found["environment"] = {"variables": [{"name": name, "value": value} for name, value in variables.items()]}
    return found


def _uri(artifact: Tree) -> Tree:
    found: Tree = {
        "value": artifact["uri"],
        "extract": artifact["extract"],
        "executable": artifact["executable"],
        "cache": artifact["cache"],
    }
    if "destPath" in artifact:
        found["output_file"] = artifact["destPath"]
    return found


def environment(instance: Instance, *, prefix: str = "") -> dict[str, str]:
    """The variables of a task; the app's own win."""
    app = instance.app
    found = dict(_port_variables(instance))
    found |= {"HOST": instance.host, "MESOS_TASK_ID": instance.task_id}
    found |= {f"MARATHON_APP_{name}": value for name, value in _app_variables(app)}
    found = {prefix + name: value for name, value in found.items()}
    return found | {
        name: str(value) for name, value in app.tree.get("env", {}).items() if not isinstance(value, dict)
    }


def _port_variables(instance: Instance) -> Iterator[tuple[str, str]]:
    app = instance.app
    ports = [instance.host_ports[index] or instance.inner_port(index) for index in range(len(app.ports))]
    if not ports:
        return
    yield "PORT", str(ports[0])
    yield "PORTS", ",".join(map(str, ports))
    for index, number in enumerate(ports):
        given = app.ports[index]
        yield f"PORT{index}", str(number)
        yield f"PORT_{given.port or number}", str(number)
        if given.name:
            yield f"PORT_{given.name.upper()}", str(number)


def _app_variables(app: App) -> Iterator[tuple[str, str]]:
    yield "ID", app.id
    yield "VERSION", app.version
    docker = app.container.get("docker")
    if docker:
        yield "DOCKER_IMAGE", docker["image"]
    for name in ("cpus", "mem", "disk", "gpus"):
        number = app.number(name)
        yield f"RESOURCE_{name.upper()}", str(int(number)) if name == "gpus" else str(number)
    yield "ENFORCE_GROUP_ROLE", "TRUE" if app.role == paths.top_group(app.id)[1:] else "FALSE"
    kept = {name: value for name, value in app.labels.items() if len(name) <= MAX_LABEL and len(value) <= MAX_LABEL}
    yield "LABELS", " ".join(re.sub(r"\W", "_", name.upper(), flags=re.ASCII) for name in kept)
    for name, value in kept.items():
        yield "LABEL_" + re.sub(r"\W", "_", name.upper(), flags=re.ASCII), value


def _container(instance: Instance, bridge: str) -> Tree:
    app = instance.app
    container = app.container
    docker = container.get("docker")
    found: Tree = {"type": container["type"], "volumes": [_volume(each) for each in container["volumes"]]}
    if docker is None:
        return found
    mappings = list(_mappings(instance))
    if container["type"] == "MESOS":
        image = {"type": "DOCKER", "docker": {"name": docker["image"]}, "cached": not docker["forcePullImage"]}
        found["mesos"] = {"image": image}
        if app.mode != "host":
            found["network_infos"] = [_network(each, bridge, mappings) for each in app.networks]
    else:
        found["docker"] = {
            "image": docker["image"],
            "network": _NETWORKS[app.mode],
            "force_pull_image": docker["forcePullImage"],
            "privileged": docker["privileged"],
            "parameters": [*docker["parameters"], {"key": "label", "value": f"MESOS_TASK_ID={instance.task_id}"}],
            "port_mappings": mappings,
        }
        if app.mode == "container":
            found["network_infos"] = [_network(each, bridge, []) for each in app.networks]
    if container.get("linuxInfo", {}).get("ipcInfo"):
        ipc = container["linuxInfo"]["ipcInfo"]
        found["linux_info"] = {"ipc_mode": ipc["mode"]} | ({"shm_size": ipc["shmSize"]} if "shmSize" in ipc else {})
    if app.tree.get("tty"):
        found["tty_info"] = {}
    return found


def _mappings(instance: Instance) -> Iterator[Tree]:
    for index, port in enumerate(instance.app.ports):
        host_port = instance.host_ports[index]
        if host_port:
            inner = instance.inner_port(index)
            yield {"host_port": host_port, "container_port": inner, "protocol": ",".join(port.protocols)}


def _network(tree: Tree, bridge: str, mappings: list[Tree]) -> Tree:
    found: Tree = {"name": tree.get("name", bridge), "port_mappings": mappings}
    if tree.get("labels"):
        found["labels"] = _labels(tree["labels"].items())
    return found


def _volume(tree: Tree) -> Tree:
    source = {"type": "HOST_PATH", "host_path": {"path": tree["hostPath"]}}
    return {"container_path": tree["containerPath"], "mode": tree["mode"], "source": source}


def _discovery(instance: Instance) -> Tree:
    app = instance.app
    ports: list[Tree] = []
    for index, port in enumerate(app.ports):
        inside = app.mode == "container" and not instance.host_ports[index]
        scope = {"network-scope": "container" if inside else "host"}
        if inside and "name" in app.networks[0]:
            scope["network-name"] = app.networks[0]["name"]
        labels = _labels({**port.labels, **scope}.items())
        number = instance.host_ports[index] or instance.inner_port(index)
        ports += (
            {"number": number, "name": port.name, "protocol": protocol, "labels": labels}
            for protocol in port.protocols
        )
    return {"visibility": "FRAMEWORK", "name": paths.task_name(app.id), "ports": {"ports": ports}}


def check_port(instance: Instance, check: Tree) -> int:
    """The port of a check within the task's own network."""
    if "port" in check:
        return int(check["port"])
    index = int(check.get("portIndex", 0))
    return instance.inner_port(index) if index < len(instance.host_ports) else 0


def _health_check(instance: Instance, check: Tree) -> Tree:
    found: Tree = {
        "delay_seconds": check["delaySeconds"],
        "interval_seconds": check["intervalSeconds"],
        "timeout_seconds": check["timeoutSeconds"],
        "consecutive_failures": check["maxConsecutiveFailures"],
        "grace_period_seconds": check["gracePeriodSeconds"],
    }
    protocol = check["protocol"]
    if protocol == "COMMAND":
        return found | {"type": "COMMAND", "command": {"shell": True, "value": check["command"]["value"]}}
    where: Tree = {"port": check_port(instance, check), "protocol": check["ipProtocol"]}
    if protocol == "MESOS_TCP":
        return found | {"type": "TCP", "tcp": where}
    scheme = "https" if protocol == "MESOS_HTTPS" else "http"
    return found | {"type": "HTTP", "http": {**where, "scheme": scheme, "path": check["path"]}}


def _check(instance: Instance, check: Tree) -> Tree:
    found: Tree = {
        "delay_seconds": check["delaySeconds"],
        "interval_seconds": check["intervalSeconds"],
        "timeout_seconds": check["timeoutSeconds"],
    }
    if "exec" in check:
        command = check["exec"]["command"]
        words = command.get("argv")
        value: Tree = (
            {"shell": False, "value": words[0], "arguments": words}
            if words
            else {"shell": True, "value": command.get("shell", "")}
        )
        return found | {"type": "COMMAND", "command": {"command": value}}
    if "tcp" in check:
        return found | {"type": "TCP", "tcp": {"port": check_port(instance, check["tcp"])}}
    path = check["http"].get("path", "/")
    return found | {"type": "HTTP", "http": {"port": check_port(instance, check["http"]), "path": path}}
