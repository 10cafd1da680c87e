"""The rules of one container: image, ports, environment, mounts, probes, hooks."""

from collections.abc import Collection, Mapping
from typing import Any

from bireme.api.validation.amounts import check_amount, check_container_resources
from bireme.api.validation.field import NOT_NEGATIVE, Problems, Tree, check_one_of
from bireme.api.validation.names import (
    config_key,
    dns_label,
    dns_subdomain,
    environment_name,
    http_header,
    ip_address,
    port_name,
    port_number,
    qualified_name,
)
from bireme.api.validation.paths import check_descending

PULL_POLICIES = ("Always", "IfNotPresent", "Never")
PROTOCOLS = ("SCTP", "TCP", "UDP")
RESTART_POLICIES = ("Always", "OnFailure", "Never")
_MESSAGE_POLICIES = ("FallbackToLogsOnError", "File")
_PROPAGATIONS = ("Bidirectional", "HostToContainer", "None")
_RESIZE_POLICIES = ("NotRequired", "RestartContainer")
_PROBE_NUMBERS = ("initialDelaySeconds", "timeoutSeconds", "periodSeconds", "successThreshold", "failureThreshold")
_PROBE_HANDLERS = ("exec", "httpGet", "tcpSocket", "grpc")
_HOOK_HANDLERS = ("exec", "httpGet", "tcpSocket", "sleep")
_ENV_SOURCES = ("fieldRef", "resourceFieldRef", "configMapKeyRef", "secretKeyRef", "fileKeyRef")
_ENV_FIELDS = (
    "metadata.name",
    "metadata.namespace",
    "metadata.uid",
    "spec.nodeName",
    "spec.serviceAccountName",
    "status.hostIP",
    "status.hostIPs",
    "status.podIP",
    "status.podIPs",
)
_ENV_RESOURCES = (
    "limits.cpu",
    "limits.ephemeral-storage",
    "limits.memory",
    "requests.cpu",
    "requests.ephemeral-storage",
    "requests.memory",
)
_LARGEST_ID = 2**31 - 1


def check_container(
    problems: Problems,
    container: Tree,
    path: str,
    *,
    volumes: Mapping[str, Tree],
    claims: Collection[str],
    grace_s: int,
    host_network: bool,
) -> None:
    """All that holds for a container of any sort but for its name's being taken."""
    get = container.get
    name = get("name")
    if not name:
        problems.required(f"{path}.name")
    else:
        faults = dns_label(name)
        if faults:
            problems.invalid_each(f"{path}.name", name, faults)
    image = get("image")
    if not image:
        problems.required(f"{path}.image")
    elif image != image.strip():
        problems.invalid(f"{path}.image", image, "must not have leading or trailing whitespace")
    if get("terminationMessagePolicy") not in _MESSAGE_POLICIES:
        check_one_of(problems, container, "terminationMessagePolicy", path, _MESSAGE_POLICIES, needed=True)
    if get("imagePullPolicy") not in PULL_POLICIES:
        check_one_of(problems, container, "imagePullPolicy", path, PULL_POLICIES, needed=True)
    if get("ports"):
        _check_ports(problems, container["ports"], f"{path}.ports", host_network=host_network)
    if get("env"):
        check_environment(problems, container["env"], f"{path}.env", volumes)
    if get("envFrom"):
        _check_env_from(problems, container["envFrom"], f"{path}.envFrom")
    if get("volumeMounts") or get("volumeDevices"):
        _check_mounts(problems, container, path, volumes)
    for field in ("livenessProbe", "readinessProbe", "startupProbe"):
        probe = get(field)
        if probe is not None:
            _check_probe(problems, probe, f"{path}.{field}", field=field, grace_s=grace_s)
    if get("lifecycle"):
        _check_lifecycle(problems, container["lifecycle"], f"{path}.lifecycle", grace_s)
    if get("resources"):
        check_container_resources(problems, container["resources"], f"{path}.resources", claims)
    if get("resizePolicy"):
        _check_resize(problems, container["resizePolicy"], f"{path}.resizePolicy")
    if get("securityContext"):
        check_security(problems, container["securityContext"], f"{path}.securityContext")
    if get("restartPolicy") or get("restartPolicyRules"):
        check_one_of(problems, container, "restartPolicy", path, RESTART_POLICIES, needed=True)


def _check_ports(problems: Problems, ports: list[Tree], path: str, *, host_network: bool) -> None:
    seen: set[str] = set()
    for index, port in enumerate(ports):
        get = port.get
        name = get("name")
        if name:
            faults = port_name(name)
            if faults:
                problems.invalid_each(f"{path}[{index}].name", name, faults)
            elif name in seen:
                problems.duplicate(f"{path}[{index}].name", name)
            seen.add(name)
        number = get("containerPort") or 0
        if not number:
            problems.required(f"{path}[{index}].containerPort")
        elif not 1 <= number <= 65535:
            problems.invalid_each(f"{path}[{index}].containerPort", number, port_number(number))
        host_port = get("hostPort") or 0
        if host_port:
            problems.invalid_each(f"{path}[{index}].hostPort", host_port, port_number(host_port))
        # Unset in a template only: pods have it filled in.
        if host_network and host_port and host_port != number:
            fault = "must match `containerPort` when `hostNetwork` is true"
            problems.invalid(f"{path}[{index}].hostPort", host_port, fault)
        if get("protocol") not in PROTOCOLS:
            check_one_of(problems, port, "protocol", f"{path}[{index}]", PROTOCOLS, needed=True)
        if get("hostIP"):
            problems.invalid_each(f"{path}[{index}].hostIP", port["hostIP"], ip_address(port["hostIP"]))


def check_environment(problems: Problems, variables: list[Tree], path: str, volumes: Mapping[str, Tree]) -> None:
    """A list of environment variables."""
    for index, variable in enumerate(variables):
        name = variable.get("name")
        if not name:
            problems.required(f"{path}[{index}].name")
        elif environment_name(name):
            problems.invalid_each(f"{path}[{index}].name", name, environment_name(name))
        source = variable.get("valueFrom")
        if source is not None:
            _check_env_source(problems, variable, source, f"{path}[{index}].valueFrom", volumes)


def _check_env_source(
    problems: Problems, variable: Tree, source: Tree, path: str, volumes: Mapping[str, Tree]
) -> None:
    kinds = [kind for kind in _ENV_SOURCES if source.get(kind) is not None]
    if not kinds:
        choices = ", ".join(f"`{kind}`" for kind in _ENV_SOURCES)
        problems.invalid(path, "", f"must specify one of: {choices}")
    elif variable.get("value"):
        problems.invalid(path, "", "may not be specified when `value` is not empty")
    elif len(kinds) > 1:
        problems.invalid(path, "", "may not have more than one field specified at a time")
    for kind in kinds:
        reference = source[kind]
        if kind == "fieldRef":
            check_field_ref(problems, reference, f"{path}.fieldRef", _ENV_FIELDS)
        elif kind == "resourceFieldRef":
            check_resource_ref(problems, reference, f"{path}.resourceFieldRef", container_needed=False)
        elif kind == "fileKeyRef":
            _check_file_ref(problems, reference, f"{path}.fileKeyRef", volumes)
        else:
            check_reference(problems, reference, f"{path}.{kind}")
            if not reference.get("key"):
                problems.required(f"{path}.{kind}.key")
            else:
                problems.invalid_each(f"{path}.{kind}.key", reference["key"], config_key(reference["key"]))


def check_reference(problems: Problems, reference: Tree, path: str, field: str = "name") -> None:
    """The name of another object in the same namespace."""
    name = reference.get(field)
    if not name:
        problems.required(f"{path}.{field}")
    else:
        problems.invalid_each(f"{path}.{field}", name, dns_subdomain(name))


def _check_file_ref(problems: Problems, reference: Tree, path: str, volumes: Mapping[str, Tree]) -> None:
    for field in ("key", "path", "volumeName"):
        if not reference.get(field):
            problems.required(f"{path}.{field}")
    if reference.get("path"):
        check_descending(problems, reference["path"], f"{path}.path")
    if reference.get("volumeName") and reference["volumeName"] not in volumes:
        problems.not_found(f"{path}.volumeName", reference["volumeName"])


def check_field_ref(problems: Problems, reference: Tree, path: str, supported: Collection[str]) -> None:
    """A field of the pod itself, by its path."""
    field_path = reference.get("fieldPath") or ""
    if not field_path:
        problems.required(f"{path}.fieldPath")
        return
    base, bracket, rest = field_path.partition("['")
    if bracket and rest.endswith("']") and base in ("metadata.labels", "metadata.annotations"):
        key = rest[:-2]
        problems.invalid_each(path, key, qualified_name(key.lower() if base.endswith("annotations") else key))
    elif bracket:
        problems.invalid(
            f"{path}.fieldPath", field_path, f'error converting fieldPath: field label not supported: "{base}"'
        )
    elif field_path not in supported:
        problems.unsupported(f"{path}.fieldPath", field_path, sorted(supported))


def check_resource_ref(problems: Problems, reference: Tree, path: str, *, container_needed: bool) -> None:
    """A request or limit of a container, by its name."""
    if container_needed and not reference.get("containerName"):
        problems.required(f"{path}.containerName")
    name = reference.get("resource") or ""
    if not name:
        problems.required(f"{path}.resource")
    elif name not in _ENV_RESOURCES and not name.startswith(("limits.hugepages-", "requests.hugepages-")):
        problems.unsupported(f"{path}.resource", name, _ENV_RESOURCES)
    if reference.get("divisor") is not None:
        check_amount(problems, reference["divisor"], f"{path}.divisor")


def _check_env_from(problems: Problems, sources: list[Tree], path: str) -> None:
    for index, source in enumerate(sources):
        if source.get("prefix"):
            problems.invalid_each(f"{path}[{index}].prefix", source["prefix"], environment_name(source["prefix"]))
        kinds = [kind for kind in ("configMapRef", "secretRef") if source.get(kind) is not None]
        if not kinds:
            problems.invalid(f"{path}[{index}]", "", "must specify one of: `configMapRef` or `secretRef`")
        elif len(kinds) > 1:
            problems.invalid(f"{path}[{index}]", "", "may not have more than one field specified at a time")
        for kind in kinds:
            check_reference(problems, source[kind], f"{path}[{index}].{kind}")


def _check_mounts(problems: Problems, container: Tree, path: str, volumes: Mapping[str, Tree]) -> None:
    taken: set[str] = set()
    privileged = bool((container.get("securityContext") or {}).get("privileged"))
    for index, mount in enumerate(container.get("volumeMounts") or ()):
        get = mount.get
        name, at = get("name"), get("mountPath")
        if not name:
            problems.required(f"{path}.volumeMounts[{index}].name")
        elif name not in volumes:
            problems.not_found(f"{path}.volumeMounts[{index}].name", name)
        if not at:
            problems.required(f"{path}.volumeMounts[{index}].mountPath")
        elif at in taken:
            problems.invalid(f"{path}.volumeMounts[{index}].mountPath", at, "must be unique")
        taken.add(at or "")
        for field in ("subPath", "subPathExpr"):
            if get(field):
                check_descending(problems, mount[field], f"{path}.volumeMounts[{index}].{field}")
        if get("subPath") and get("subPathExpr"):
            fault = "subPathExpr and subPath are mutually exclusive"
            problems.invalid(f"{path}.volumeMounts[{index}].subPathExpr", mount["subPathExpr"], fault)
        if get("mountPropagation"):
            check_one_of(problems, mount, "mountPropagation", f"{path}.volumeMounts[{index}]", _PROPAGATIONS)
            if mount["mountPropagation"] == "Bidirectional" and not privileged:
                fault = "Bidirectional mount propagation is available only to privileged containers"
                problems.forbidden(f"{path}.volumeMounts[{index}].mountPropagation", fault)
    for index, device in enumerate(container.get("volumeDevices") or ()):
        name, at = device.get("name"), device.get("devicePath")
        if not name:
            problems.required(f"{path}.volumeDevices[{index}].name")
        elif name not in volumes:
            problems.not_found(f"{path}.volumeDevices[{index}].name", name)
        if not at:
            problems.required(f"{path}.volumeDevices[{index}].devicePath")
        elif at in taken:
            problems.invalid(f"{path}.volumeDevices[{index}].devicePath", at, "must be unique")
        taken.add(at or "")


def _check_probe(problems: Problems, probe: Tree, path: str, *, field: str, grace_s: int) -> None:
    get = probe.get
    check_handler(problems, probe, path, _PROBE_HANDLERS, grace_s)
    for number in _PROBE_NUMBERS:
        if get(number, 0) < 0:
            problems.invalid(f"{path}.{number}", probe[number], NOT_NEGATIVE)
    grace = get("terminationGracePeriodSeconds")
    if grace is not None:
        if field == "readinessProbe":
            problems.invalid(f"{path}.terminationGracePeriodSeconds", grace, "must not be set for readinessProbes")
        elif grace <= 0:
            problems.invalid(f"{path}.terminationGracePeriodSeconds", grace, "must be greater than 0")
    if field != "readinessProbe" and get("successThreshold", 1) != 1:
        problems.invalid(f"{path}.successThreshold", probe["successThreshold"], "must be 1")


def check_handler(problems: Problems, holder: Tree, path: str, kinds: Collection[str], grace_s: int) -> None:
    """What a probe or a hook does: exactly one of the kinds of handler."""
    found = [kind for kind in kinds if holder.get(kind) is not None]
    if not found:
        problems.required(path, "must specify a handler type")
    for kind in found[1:]:
        problems.forbidden(f"{path}.{kind}", "may not specify more than 1 handler type")
    for kind in found[:1]:
        action = holder[kind]
        if kind == "exec":
            if not action.get("command"):
                problems.required(f"{path}.exec.command")
        elif kind == "sleep":
            seconds = action.get("seconds") or 0
            if not 0 <= seconds <= grace_s:
                fault = (
                    "must be greater than or equal to 0 and less than or equal to "
                    f"terminationGracePeriodSeconds ({grace_s})"
                )
                problems.invalid(f"{path}.sleep", seconds, fault)
        else:
            _check_port(problems, action.get("port"), f"{path}.{kind}.port")
        if kind == "httpGet":
            _check_http_get(problems, action, f"{path}.httpGet")


def _check_port(problems: Problems, port: Any, path: str) -> None:
    if isinstance(port, str):
        problems.invalid_each(path, port, port_name(port))
    elif port is None or not 1 <= port <= 65535:
        problems.invalid_each(path, port or 0, port_number(port or 0))


def _check_http_get(problems: Problems, action: Tree, path: str) -> None:
    if not action.get("path"):
        problems.required(f"{path}.path")
    check_one_of(problems, action, "scheme", path, ("HTTP", "HTTPS"))
    for index, header in enumerate(action.get("httpHeaders") or ()):
        name = header.get("name") or ""
        problems.invalid_each(f"{path}.httpHeaders[{index}].name", name, http_header(name))


def _check_lifecycle(problems: Problems, lifecycle: Tree, path: str, grace_s: int) -> None:
    for field in ("postStart", "preStop"):
        if lifecycle.get(field) is not None:
            check_handler(problems, lifecycle[field], f"{path}.{field}", _HOOK_HANDLERS, grace_s)


def _check_resize(problems: Problems, policies: list[Tree], path: str) -> None:
    seen: set[str] = set()
    for index, policy in enumerate(policies):
        check_one_of(problems, policy, "resourceName", f"{path}[{index}]", ("cpu", "memory"), needed=True)
        check_one_of(problems, policy, "restartPolicy", f"{path}[{index}]", _RESIZE_POLICIES, needed=True)
        name = policy.get("resourceName") or ""
        if name in seen:
            problems.duplicate(f"{path}[{index}]", name)
        seen.add(name)


def check_security(problems: Problems, context: Tree, path: str) -> None:
    """What holds for the security context of a container, and for what a pod's has in common with it."""
    for field in ("runAsUser", "runAsGroup", "fsGroup"):
        value = context.get(field)
        if value is not None and not 0 <= value <= _LARGEST_ID:
            problems.invalid(f"{path}.{field}", value, f"must be between 0 and {_LARGEST_ID}, inclusive")
    for index, value in enumerate(context.get("supplementalGroups") or ()):
        if not 0 <= value <= _LARGEST_ID:
            fault = f"must be between 0 and {_LARGEST_ID}, inclusive"
            problems.invalid(f"{path}.supplementalGroups[{index}]", value, fault)
    check_one_of(problems, context, "procMount", path, ("Default", "Unmasked"))
    if context.get("privileged") and context.get("allowPrivilegeEscalation") is False:
        fault = "cannot set `allowPrivilegeEscalation` to false and `privileged` to true"
        problems.invalid(path, context, fault)
    for field in ("seccompProfile", "appArmorProfile"):
        profile = context.get(field)
        if profile is not None:
            _check_profile(problems, profile, f"{path}.{field}")


def _check_profile(problems: Problems, profile: Tree, path: str) -> None:
    check_one_of(problems, profile, "type", path, ("Localhost", "RuntimeDefault", "Unconfined"), needed=True)
    local = profile.get("localhostProfile")
    if profile.get("type") == "Localhost":
        if not local:
            problems.required(f"{path}.localhostProfile", "must be set when type is Localhost")
        elif path.endswith("seccompProfile"):
            check_descending(problems, local, f"{path}.localhostProfile")
    elif local is not None:
        problems.invalid(f"{path}.localhostProfile", local, "can only be set when type is Localhost")
