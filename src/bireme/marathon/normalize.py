"""Old words into new ones, and what goes without saying: what Marathon makes of an app before it keeps it.

`modern` turns the forms of Marathon 1.4 and earlier into those of 1.5 and later; `complete` adds the defaults.
Both make new trees. Source: Marathon 1.11's REST API.
"""

from dataclasses import dataclass
from typing import Any

from bireme.marathon import paths
from bireme.marathon.errors import unprocessable
from bireme.marathon.model import MESOS_CHECKS, SINGLE_INSTANCE, Tree
from bireme.marathon.paths import PathId

ARCHIVES = (".tgz", ".tar.gz", ".tbz2", ".tar.bz2", ".txz", ".tar.xz", ".zip")
_MODES = {"HOST": "host", "BRIDGE": "container/bridge", "USER": "container"}


@dataclass(frozen=True, slots=True)
class Defaults:
    """What depends on how this Marathon was set up."""

    default_network: str = ""


def modern(update: Tree, *, base: PathId = paths.ROOT) -> Tree:
    """The fields of a request in today's words, ids absolute. Raises MarathonError where two forms clash."""
    tree = dict(update)
    if "id" in tree:
        tree["id"] = paths.absolute(tree["id"], base)
    if "dependencies" in tree:
        within = paths.parent(tree["id"]) if "id" in tree else base
        tree["dependencies"] = [paths.absolute(each, within) for each in tree["dependencies"]]
    _modern_fetch(tree)
    _modern_networks(tree)
    _modern_ports(tree)
    tree.pop("residency", None)
    return tree


def _modern_fetch(tree: Tree) -> None:
    uris = tree.pop("uris", None)
    if not uris:
        return
    fetch = [{"uri": uri, "extract": uri.lower().endswith(ARCHIVES)} for uri in uris]
    if tree.get("fetch") and [each["uri"] for each in tree["fetch"]] != uris:
        raise unprocessable("cannot specify both uris and fetch fields")
    tree.setdefault("fetch", fetch)


def _modern_networks(tree: Tree) -> None:
    container = dict(tree["container"]) if "container" in tree else None
    docker = dict(container["docker"]) if container and "docker" in container else None
    if docker is not None and container is not None:
        mode = docker.pop("network", None)
        mappings = docker.pop("portMappings", None)
        if mappings is not None:
            container.setdefault("portMappings", mappings)
        if mode in _MODES and "ipAddress" not in tree:
            if tree.get("networks"):
                raise unprocessable("must not specify both container.docker.network and networks")
            tree["networks"] = [{"mode": _MODES[mode]}]
        container["docker"] = docker
    address = tree.pop("ipAddress", None)
    if address is not None:
        if tree.get("networks"):
            raise unprocessable("must not specify both networks and ipAddress")
        network: Tree = {"mode": "container", "labels": address.get("labels", {})}
        if "networkName" in address:
            network["name"] = address["networkName"]
        tree["networks"] = [network]
        ports = address.get("discovery", {}).get("ports")
        if ports:
            container = container if container is not None else {"type": "MESOS"}
            found = [{"containerPort": each.get("number", 0), **_without(each, "number")} for each in ports]
            container.setdefault("portMappings", found)
    if container is not None:
        tree["container"] = container


def _modern_ports(tree: Tree) -> None:
    ports = tree.pop("ports", None)
    if ports is None:
        return
    definitions = tree.get("portDefinitions")
    if definitions is not None and [each.get("port", 0) for each in definitions] != ports:
        raise unprocessable("cannot specify both ports and port definitions")
    networks = tree.get("networks") or [{"mode": "host"}]
    if networks[0].get("mode", "container") == "host":
        tree.setdefault(
            "portDefinitions", [{"port": each, "name": _default_name(place)} for place, each in enumerate(ports)]
        )
    elif "container" in tree:
        mappings = tree["container"].get("portMappings")
        if mappings is not None:  # the old way to give service ports
            tree["container"]["portMappings"] = [
                {**each, "servicePort": each.get("servicePort") or (ports[place] if place < len(ports) else 0)}
                for place, each in enumerate(mappings)
            ]


def _default_name(place: int) -> str:
    return "default" if place == 0 else f"default-{place}"


def _without(tree: Tree, *names: str) -> Tree:
    return {name: value for name, value in tree.items() if name not in names}


def merge(existing: Tree, update: Tree) -> Tree:
    """An app with the fields of a partial update; what no longer fits the new ones goes."""
    tree = {**existing, **update}
    if "cmd" in update and "args" not in update:
        tree.pop("args", None)
    if "args" in update and "cmd" not in update:
        tree.pop("cmd", None)
    for name in ("version", "versionInfo"):
        tree.pop(name, None)
    networks = update.get("networks")
    if networks is not None:
        host = not networks or networks[0].get("mode", "container") == "host"
        if not host and "portDefinitions" not in update:
            tree.pop("portDefinitions", None)
        if host and "container" not in update and "container" in tree:
            tree["container"] = _without(tree["container"], "portMappings")
    return tree


def complete(tree: Tree, defaults: Defaults | None = None) -> Tree:
    """An app in today's words with all defaults."""
    resident = any("persistent" in each for each in tree.get("container", {}).get("volumes", ()))
    single = tree.get("labels", {}).get(SINGLE_INSTANCE, "").lower() == "true"
    upgrade = (0.5, 0) if resident else (0, 0) if single else (1, 1)
    found: Tree = {
        "backoffFactor": 1.15,
        "backoffSeconds": 1,
        "cpus": 1,
        "disk": 0,
        "executor": "",
        "gpus": 0,
        "instances": 1,
        "killSelection": "YOUNGEST_FIRST",
        "labels": {},
        "maxLaunchDelaySeconds": 300,
        "mem": 128,
        "requirePorts": False,
        **{name: value for name, value in tree.items() if value not in ([], {}) or name in _KEPT_EMPTY},
    }
    strategy = tree.get("upgradeStrategy", {})
    found["upgradeStrategy"] = {
        "minimumHealthCapacity": strategy.get("minimumHealthCapacity", upgrade[0]),
        "maximumOverCapacity": strategy.get("maximumOverCapacity", upgrade[1]),
    }
    unreachable = tree.get("unreachableStrategy", "disabled" if resident else {})
    if unreachable != "disabled":
        unreachable = {"inactiveAfterSeconds": 0, "expungeAfterSeconds": 0, **unreachable}
    found["unreachableStrategy"] = unreachable
    _complete_networks(found, tree, defaults or Defaults())
    for name, fill in _LISTS.items():
        if name in found:
            found[name] = [fill(each) for each in found[name]]
    if "check" in found:
        found["check"] = {"intervalSeconds": 60, "timeoutSeconds": 20, "delaySeconds": 15, **found["check"]}
    return found


_KEPT_EMPTY = frozenset(("labels", "portDefinitions", "networks"))


def _complete_networks(found: Tree, tree: Tree, defaults: Defaults) -> None:
    networks = [{"mode": "container", **each} for each in tree.get("networks") or [{"mode": "host"}]]
    for network in networks:
        if network["mode"] == "container" and "name" not in network and defaults.default_network:
            network["name"] = defaults.default_network
    found["networks"] = [_without(each, *(["labels"] if not each.get("labels") else [])) for each in networks]
    mode = networks[0]["mode"]
    container = tree.get("container")
    if mode == "host":
        given = tree.get("portDefinitions", [{"port": 0, "name": "default"}])
        found["portDefinitions"] = [{"labels": {}, "port": 0, "protocol": "tcp", **each} for each in given]
        if container is not None:
            kept = container if container.get("portMappings") else _without(container, "portMappings")
            found["container"] = _container(kept)
        return
    if not tree.get("portDefinitions"):
        found.pop("portDefinitions", None)
    container = container if container is not None else {"type": "MESOS"}
    bridge = mode == "container/bridge"
    mappings = container.get("portMappings", [{"name": "default"}])
    found["container"] = _container(container) | {"portMappings": [_port_mapping(each, bridge) for each in mappings]}


def _port_mapping(tree: Tree, bridge: bool) -> Tree:
    found = {"containerPort": 0, "labels": {}, "protocol": "tcp", "servicePort": 0, **tree}
    if bridge:
        found.setdefault("hostPort", 0)
    return found


def _container(tree: Tree) -> Tree:
    found = {"type": "DOCKER", "volumes": [], **tree}
    if "docker" in found:
        mesos = found["type"] == "MESOS"
        extra: Tree = {} if mesos else {"parameters": [], "privileged": False}
        found["docker"] = {"forcePullImage": False, **extra, **found["docker"]}
    found["volumes"] = [{"mode": "RW", **each} for each in found["volumes"]]
    return found


def _artifact(tree: Tree) -> Tree:
    return {"cache": False, "executable": False, "extract": True, **tree}


def _health_check(tree: Tree) -> Tree:
    protocol = tree.get("protocol", "COMMAND" if "command" in tree else "HTTP")
    found: Tree = {
        "gracePeriodSeconds": 300,
        "intervalSeconds": 60,
        "maxConsecutiveFailures": 3,
        "timeoutSeconds": 20,
        "delaySeconds": 15,
        **tree,
        "protocol": protocol,
    }
    if protocol in MESOS_CHECKS and protocol != "COMMAND":
        found.setdefault("ipProtocol", "IPv4")
    if protocol in ("HTTP", "HTTPS"):
        found.setdefault("ignoreHttp1xx", False)
    if "HTTP" in protocol:
        found.setdefault("path", "/")
    if protocol != "COMMAND" and "port" not in found:
        found.setdefault("portIndex", 0)
    return found


def _readiness_check(tree: Tree) -> Tree:
    return {
        "name": "readinessCheck",
        "protocol": "HTTP",
        "path": "/",
        "portName": "http-api",
        "intervalSeconds": 30,
        "timeoutSeconds": 10,
        "httpStatusCodesForReady": [200],
        "preserveLastResponse": False,
        **tree,
    }


_LISTS: dict[str, Any] = {"fetch": _artifact, "healthChecks": _health_check, "readinessChecks": _readiness_check}
