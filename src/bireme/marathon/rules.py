"""What an app may not be, beyond its shape: the rules between its fields.

Source: Marathon 1.11's REST API.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import re2

from bireme.marathon import paths
from bireme.marathon.errors import Problem
from bireme.marathon.model import MESOS_CHECKS, SINGLE_INSTANCE, App, Tree

OPERATORS = frozenset(("UNIQUE", "CLUSTER", "GROUP_BY", "LIKE", "UNLIKE", "MAX_PER", "IS"))
_ONE_OF = "AppDefinition must either contain one of 'cmd' or 'args', and/or a 'container'."
_NO_PERSISTENT = "persistent volumes are not supported: the master takes no reservations"


def problems(app: App) -> list[Problem]:
    """Everything wrong with a complete app."""
    rules = (
        _identity,
        _command,
        _container,
        _networks,
        _ports,
        _checks,
        _readiness,
        _strategy,
        _constraints,
        _roles,
        _secrets,
    )
    return [problem for rule in rules for problem in rule(app)]


def _identity(app: App) -> Iterator[Problem]:
    if app.id == paths.ROOT:
        yield Problem("/id", "Path must contain at least one path element")
    elif paths.is_reserved(app.id):
        yield Problem("/id", f"{app.id} ends with a reserved word: restart, tasks, versions, ., ..")
    if app.id in app.dependencies:
        yield Problem("/dependencies", "an app cannot depend on itself")


def _command(app: App) -> Iterator[Problem]:
    tree = app.tree
    given = [name for name in ("cmd", "args") if name in tree]
    if len(given) == 2 or not (given or app.container.get("docker")):
        yield Problem("/", _ONE_OF)
    if tree["executor"] not in ("", "//cmd"):
        yield Problem("/executor", "custom executors are not supported: use the command executor")
    for name, limit in tree.get("resourceLimits", {}).items():
        if limit != "unlimited" and limit < app.number(name):
            yield Problem(f"/resourceLimits/{name}", "Resource limit must be greater than or equal to the request")
    for place, artifact in enumerate(tree.get("fetch", ())):
        if "\0" in artifact["uri"] or ".." in artifact.get("destPath", "").split("/"):
            yield Problem(f"/fetch({place})", "destPath must stay within the sandbox")


def _container(app: App) -> Iterator[Problem]:
    container = app.container
    if not container:
        return
    docker = container.get("docker")
    if container["type"] == "DOCKER" and docker is None:
        yield Problem("/container/docker", "not defined")
    if docker is not None:
        if not docker.get("image"):
            yield Problem("/container/docker/image", "undefined")
        if container["type"] == "DOCKER" and "pullConfig" in docker:
            yield Problem("/container/docker/pullConfig", "pullConfig is not supported with Docker containerizer")
        if container["type"] == "MESOS":
            for name in ("credential", "parameters", "privileged"):
                if docker.get(name):
                    yield Problem(f"/container/docker/{name}", "must be empty")
    for place, volume in enumerate(container["volumes"]):
        yield from _volume(volume, f"/container/volumes({place})")


def _volume(volume: Tree, where: str) -> Iterator[Problem]:
    kinds = [name for name in ("hostPath", "persistent", "external", "secret") if name in volume]
    if "\0" in volume["containerPath"] or ".." in volume["containerPath"].split("/"):
        yield Problem(f"{where}/containerPath", "must not contain '..'")
    if len(kinds) != 1:
        yield Problem(where, "must have exactly one of hostPath, persistent, external, secret")
    elif kinds == ["persistent"]:
        yield Problem(f"{where}/persistent", _NO_PERSISTENT)
    elif kinds == ["external"]:
        yield Problem(
            where, "Feature external_volumes is not enabled. Enable with --enable_features external_volumes)"
        )
    elif kinds == ["secret"]:
        yield Problem(where, "Feature secrets is not enabled. Enable with --enable_features secrets)")
    elif ".." in volume["hostPath"].split("/"):
        yield Problem(f"{where}/hostPath", "must not contain '..'")


def _networks(app: App) -> Iterator[Problem]:
    modes = [each["mode"] for each in app.networks]
    if len(set(modes)) > 1:
        yield Problem("/networks", "mixed networking modes are not allowed")
    if len(modes) > 1 and modes[0] != "container":
        yield Problem("/networks", "you may only specify a single bridge or host network")
    if len(modes) > 1 and app.container.get("type") == "DOCKER":
        yield Problem("/networks", "only a single network is supported by the Docker containerizer")
    for place, network in enumerate(app.networks):
        if network["mode"] == "container" and "name" not in network:
            yield Problem(f"/networks({place})/name", "must be defined: there is no default network name")
        if network["mode"] != "container" and "name" in network:
            yield Problem(f"/networks({place})/name", "is allowed for container networks only")
    if app.mode == "host" and app.mappings:
        yield Problem("/container/portMappings", "portMappings are not allowed with host-networking")
    if app.mode != "host" and app.definitions:
        yield Problem("/portDefinitions", "portDefinitions are only allowed with host-networking")
    if app.mode != "host" and not app.container.get("docker"):
        yield Problem("/container", "networks other than the host's need a container image")


def _ports(app: App) -> Iterator[Problem]:
    where = "/portDefinitions" if app.mode == "host" else "/container/portMappings"
    fixed = [
        (protocol, each.port if app.mode == "host" else each.host_port)
        for each in app.ports
        for protocol in each.protocols
    ]
    fixed = [(protocol, port) for protocol, port in fixed if port]
    if len(set(fixed)) != len(fixed):
        yield Problem(where, "Ports must be unique.")
    names = [each.name for each in app.ports if each.name]
    if len(set(names)) != len(names):
        yield Problem(where, "Port names must be unique.")


def _index(app: App, check: Tree, where: str) -> Iterator[Problem]:
    if "port" in check or "portIndex" not in check:
        return
    if not 0 <= check["portIndex"] < len(app.ports):
        text = "Health check port indices must address an element of the ports array or container port mappings."
        yield Problem(f"{where}/portIndex", text)


def _checks(app: App) -> Iterator[Problem]:
    if sum(each["protocol"] in MESOS_CHECKS for each in app.health_checks) > 1:
        yield Problem("/healthChecks", "AppDefinition can contain at most one Mesos health check")
    for place, check in enumerate(app.health_checks):
        where = f"/healthChecks({place})"
        yield from _index(app, check, where)
        if check["protocol"] == "COMMAND":
            if "command" not in check:
                yield Problem(f"{where}/command", "must be defined")
        elif "command" in check:
            yield Problem(f"{where}/command", "must be empty")
        if check.get("path", "/")[:1] != "/":
            yield Problem(f"{where}/path", "must start with '/'")
        if "path" in check and check["protocol"] in ("TCP", "MESOS_TCP", "COMMAND"):
            yield Problem(f"{where}/path", "is allowed for HTTP checks only")
    plain: Tree = app.tree.get("check", {})
    kinds = [name for name in ("http", "tcp", "exec") if name in plain]
    if plain and len(kinds) != 1:
        yield Problem("/check", "must have exactly one of http, tcp, exec")
    elif kinds and kinds != ["exec"]:
        yield from _index(app, {"portIndex": 0, **plain[kinds[0]]}, f"/check/{kinds[0]}")


def _readiness(app: App) -> Iterator[Problem]:
    if len(app.readiness_checks) > 1:
        yield Problem("/readinessChecks", "may not have more than 1 element")
    names = {each.name for each in app.ports}
    for place, check in enumerate(app.readiness_checks):
        where = f"/readinessChecks({place})"
        if check["portName"] not in names:
            yield Problem(f"{where}/portName", "No port definition reference for portName " + check["portName"])
        if check["timeoutSeconds"] >= check["intervalSeconds"]:
            yield Problem(f"{where}/timeoutSeconds", "Timeout must be less than the interval")


def _strategy(app: App) -> Iterator[Problem]:
    if app.labels.get(SINGLE_INSTANCE, "").lower() == "true":
        if app.instances > 1:
            yield Problem("/instances", "Number of instances must be 0 or 1 for single instance apps")
        if app.maximum_over_capacity:
            yield Problem("/upgradeStrategy/maximumOverCapacity", "must be 0 for single instance apps")
    if app.unreachable is not None and app.unreachable[0] > app.unreachable[1]:
        yield Problem("/unreachableStrategy", "inactiveAfterSeconds must be less or equal to expungeAfterSeconds")


def _constraints(app: App) -> Iterator[Problem]:
    for place, constraint in enumerate(app.constraints):
        reason = constraint_problem(constraint)
        if reason:
            yield Problem(f"/constraints({place})", reason)


def constraint_problem(constraint: Sequence[str]) -> str | None:
    """Why `[field, OPERATOR, value?]` is no constraint."""
    name, operator, *values = constraint
    value = values[0] if values else None
    if operator not in OPERATORS:
        return f"'{operator}' is not a valid operator: use one of {', '.join(sorted(OPERATORS))}"
    if not name:
        return "a field must be named"
    if operator == "UNIQUE":
        return "Value specified but not used" if value is not None else None
    if operator in ("LIKE", "UNLIKE"):
        return _regex_problem(value)
    if operator == "MAX_PER" and value is None:
        return "A number value must be provided"
    if operator in ("MAX_PER", "GROUP_BY") and value is not None and not value.isdecimal():
        return "Value was specified but is not a number"
    if operator == "IS" and value is None:
        return "A value must be provided"
    return None


def _regex_problem(value: str | None) -> str | None:
    if value is None:
        return "A regular expression value must be provided"
    try:
        re2.compile(value, _quiet())
    except re2.error as error:
        return f"'{value}' is not a valid regular expression: {error}"
    return None


def _quiet() -> Any:
    options = re2.Options()
    options.log_errors = False
    return options


def _roles(app: App) -> Iterator[Problem]:
    accepted = app.tree.get("acceptedResourceRoles")
    if accepted is not None and not set(accepted) <= {"*", app.role}:
        text = f"acceptedResourceRoles can only contain * and {app.role}"
        yield Problem("/acceptedResourceRoles", text)
    if any(letter.isspace() or ord(letter) < 32 for letter in app.role) or app.role in (".", "..", "/"):
        yield Problem("/role", f"'{app.role}' is not a valid role")


def _secrets(app: App) -> Iterator[Problem]:
    hidden = any(isinstance(value, dict) for value in app.tree.get("env", {}).values())
    if hidden or app.tree.get("secrets"):
        yield Problem("/", "Feature secrets is not enabled. Enable with --enable_features secrets)")
    for name in app.tree.get("env", {}):
        if not name or "=" in name or "\0" in name:
            yield Problem("/env", f"'{name}' is not a valid name of a variable")
