"""A container's environment: what the pod spec asks for, and the addresses of services.

Plain functions over objects that were fetched before. Sources: Kubernetes, "Define Environment Variables for a
Container", "Define Dependent Environment Variables" (the $(NAME) rule), "Downward API", "Service".
"""

import base64
import binascii
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from bireme.api.kinds import core
from bireme.api.model import Quantity
from bireme.api.quantity import milli, value

MASTER = ("default", "kubernetes")


class EnvironmentProblem(Exception):
    """The environment can't be made as asked: something referred to is missing or malformed."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What variables may refer to. Config maps and secrets are by name, in the pod's namespace."""

    host_ip: str = ""
    pod_ips: tuple[str, ...] = ()
    allocatable: Mapping[str, Quantity] = field(default_factory=dict)
    config_maps: Mapping[str, core.ConfigMap] = field(default_factory=dict)
    secrets: Mapping[str, core.Secret] = field(default_factory=dict)
    services: Sequence[core.Service] = ()
    api_host: str = ""
    api_port: int = 6443


def environment(pod: core.Pod, container: core.Container, facts: Facts) -> list[tuple[str, str]]:
    """All variables, each once, those of the spec over those of services. Raises EnvironmentProblem."""
    wide = service_variables(pod, facts)
    result: dict[str, str] = dict(wide)
    for source in container.env_from:
        result.update(_from_source(source, facts))
    for variable in container.env:
        text = _value(pod, container, variable, facts, result)
        if text is not None:
            result[variable.name] = text
    return list(result.items())


def expand(text: str, variables: Mapping[str, str]) -> str:
    """Replace $(NAME); $$ stands for $, and names that are not known stay as they are."""
    parts: list[str] = []
    at = 0
    while (dollar := text.find("$", at)) >= 0 and dollar + 1 < len(text):
        parts.append(text[at:dollar])
        follower = text[dollar + 1]
        end = text.find(")", dollar) if follower == "(" else -1
        if follower == "$":
            parts.append("$")
            at = dollar + 2
        elif end >= 0:
            name = text[dollar + 2 : end]
            parts.append(variables.get(name, text[dollar : end + 1]))
            at = end + 1
        else:
            parts.append("$")
            at = dollar + 1
    return "".join(parts) + text[at:]


def service_variables(pod: core.Pod, facts: Facts) -> dict[str, str]:
    """NAME_SERVICE_HOST and its kin for the services that a pod is told of."""
    variables: dict[str, str] = {}
    if facts.api_host:
        variables["KUBERNETES_SERVICE_HOST"] = facts.api_host
        variables["KUBERNETES_SERVICE_PORT"] = str(facts.api_port)
    linked = pod.spec.enable_service_links is not False
    for service in facts.services:
        key = (service.metadata.namespace, service.metadata.name)
        mine = linked and key[0] == pod.metadata.namespace
        if (mine or key == MASTER) and service.spec.cluster_ip not in ("", "None"):
            variables.update(_links(service))
    return variables


def _links(service: core.Service) -> Iterable[tuple[str, str]]:
    host = service.spec.cluster_ip
    bracketed = f"[{host}]" if ":" in host else host
    name = _upper(service.metadata.name)
    yield f"{name}_SERVICE_HOST", host
    for number, port in enumerate(service.spec.ports):
        protocol = port.protocol or "TCP"
        url = f"{protocol.lower()}://{bracketed}:{port.port}"
        if number == 0:
            yield f"{name}_SERVICE_PORT", str(port.port)
            yield f"{name}_PORT", url
        if port.name:
            yield f"{name}_SERVICE_PORT_{_upper(port.name)}", str(port.port)
        prefix = f"{name}_PORT_{port.port}_{protocol}"
        yield prefix, url
        yield f"{prefix}_PROTO", protocol.lower()
        yield f"{prefix}_PORT", str(port.port)
        yield f"{prefix}_ADDR", host


def _upper(name: str) -> str:
    return name.upper().replace("-", "_")


def _from_source(source: core.EnvFromSource, facts: Facts) -> Iterable[tuple[str, str]]:
    if source.config_map_ref is not None:
        reference = source.config_map_ref
        config_map = facts.config_maps.get(reference.name)
        if config_map is None:
            _must(reference.optional, f'configmap "{reference.name}" not found')
            return
        for key, text in sorted(config_map.data.items()):
            yield source.prefix + key, text
    if source.secret_ref is not None:
        wanted = source.secret_ref
        secret = facts.secrets.get(wanted.name)
        if secret is None:
            _must(wanted.optional, f'secret "{wanted.name}" not found')
            return
        for key in sorted(secret.data):
            yield source.prefix + key, _text(secret, key)


def _value(
    pod: core.Pod, container: core.Container, variable: core.EnvVar, facts: Facts, known: Mapping[str, str]
) -> str | None:
    source = variable.value_from
    if source is None:
        return expand(variable.value, known)
    if source.field_ref is not None:
        return field_value(pod, source.field_ref.field_path, facts)
    if source.resource_field_ref is not None:
        return resource_value(pod, container, source.resource_field_ref, facts)
    if source.config_map_key_ref is not None:
        return _config_map_key(source.config_map_key_ref, facts)
    if source.secret_key_ref is not None:
        return _secret_key(source.secret_key_ref, facts)
    raise EnvironmentProblem(f"the source of variable {variable.name} is not known")


def _config_map_key(reference: core.ConfigMapKeySelector, facts: Facts) -> str | None:
    config_map = facts.config_maps.get(reference.name)
    if config_map is None:
        _must(reference.optional, f'configmap "{reference.name}" not found')
        return None
    if reference.key not in config_map.data:
        _must(reference.optional, f"couldn't find key {reference.key} in ConfigMap {reference.name}")
        return None
    return config_map.data[reference.key]


def _secret_key(reference: core.SecretKeySelector, facts: Facts) -> str | None:
    secret = facts.secrets.get(reference.name)
    if secret is None:
        _must(reference.optional, f'secret "{reference.name}" not found')
        return None
    if reference.key not in secret.data:
        _must(reference.optional, f"couldn't find key {reference.key} in Secret {reference.name}")
        return None
    return _text(secret, reference.key)


def _must(optional: bool | None, problem: str) -> None:
    if not optional:
        raise EnvironmentProblem(problem)


def _text(secret: core.Secret, key: str) -> str:
    try:
        return base64.b64decode(secret.data[key], validate=True).decode()
    except (binascii.Error, UnicodeDecodeError) as error:
        raise EnvironmentProblem(f"key {key} of secret {secret.metadata.name} is no text") from error


def field_value(pod: core.Pod, path: str, facts: Facts) -> str:
    """What a fieldRef stands for. Raises EnvironmentProblem for a path that is not offered."""
    meta = pod.metadata
    simple = {
        "metadata.name": meta.name,
        "metadata.namespace": meta.namespace,
        "metadata.uid": meta.uid,
        "spec.nodeName": pod.spec.node_name,
        "spec.serviceAccountName": pod.spec.service_account_name,
        "status.hostIP": facts.host_ip,
        "status.hostIPs": facts.host_ip,
        "status.podIP": facts.pod_ips[0] if facts.pod_ips else "",
        "status.podIPs": ",".join(facts.pod_ips),
        "metadata.labels": _listed(meta.labels),
        "metadata.annotations": _listed(meta.annotations),
    }
    if path in simple:
        return simple[path]
    for name, values in (("metadata.labels", meta.labels), ("metadata.annotations", meta.annotations)):
        if path.startswith(f"{name}['") and path.endswith("']"):
            return values.get(path[len(name) + 2 : -2], "")
    raise EnvironmentProblem(f"field path {path!r} is not supported")


def _listed(values: Mapping[str, str]) -> str:
    """Labels as a downward API file shows them: name="value", quoted as Go does."""
    return "\n".join(f'{key}="{_quoted(text)}"' for key, text in sorted(values.items()))


def _quoted(text: str) -> str:
    known = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\t": "\\t", "\r": "\\r"}
    return "".join(known.get(letter, letter) for letter in text)


def resource_value(
    pod: core.Pod, container: core.Container, reference: core.ResourceFieldSelector, facts: Facts
) -> str:
    """What a resourceFieldRef stands for: an amount over the divisor, rounded up; an unset limit is the node's."""
    if reference.container_name and reference.container_name != container.name:
        everyone = [*pod.spec.containers, *pod.spec.init_containers]
        found = [other for other in everyone if other.name == reference.container_name]
        if not found:
            raise EnvironmentProblem(f"container {reference.container_name} not found")
        container = found[0]
    kind, _, name = reference.resource.partition(".")
    resources = container.resources or core.ResourceRequirements()
    if kind not in ("limits", "requests") or not name:
        raise EnvironmentProblem(f"unsupported container resource: {reference.resource}")
    amounts = resources.limits if kind == "limits" else resources.requests
    amount = amounts.get(name, facts.allocatable.get(name, 0) if kind == "limits" else 0)
    unit = reference.divisor or "1"
    if name == "cpu":
        return str(-(-milli(amount) // (milli(unit) or 1000)))
    return str(-(-value(amount) // (value(unit) or 1)))
