"""The rules of pods and pod templates; those of changes to a pod stand in `pod_update.py`.

Source: the Kubernetes documentation; the original's messages.
"""

import re
from collections.abc import Collection, Mapping

from bireme.api.validation.amounts import check_amounts, check_pod_resources
from bireme.api.validation.containers import RESTART_POLICIES, check_container, check_security
from bireme.api.validation.field import NOT_NEGATIVE, Problems, Tree, check_one_of
from bireme.api.validation.memory import Memory
from bireme.api.validation.meta import check_labels, check_template_metadata
from bireme.api.validation.names import dns_label, dns_subdomain, ip_address, label_value, qualified_name
from bireme.api.validation.placement import check_affinity, check_spread, check_tolerations
from bireme.api.validation.volumes import check_volumes

DNS_POLICIES = ("ClusterFirstWithHostNet", "ClusterFirst", "Default", "None")
_MAX_NAMESERVERS = 3
_MAX_SEARCHES = 32
_MAX_SEARCH_CHARS = 2048
_LARGEST = 2**31 - 1
_SYSCTL = re.compile(r"[a-z0-9](?:[-_a-z0-9]*+(?<![-_]))?(?:[./][a-z0-9](?:[-_a-z0-9]*+(?<![-_]))?)*+")
_SYSCTL_MAX = 253
_INIT_ONLY_FOR_SIDECARS = ("lifecycle", "livenessProbe", "readinessProbe", "startupProbe")
_right = Memory()
_NOT_FOR_EPHEMERAL = ("ports", "livenessProbe", "readinessProbe", "startupProbe", "lifecycle", "resources")


def check_pod(problems: Problems, tree: Tree) -> None:
    """A whole Pod."""
    check_spec(problems, tree.get("spec") or {}, "spec")


def check_template(problems: Problems, template: Tree | None, path: str) -> None:
    """A pod template."""
    if template is None:
        problems.required(path)
        return
    check_template_metadata(problems, template.get("metadata") or {}, f"{path}.metadata")
    spec = template.get("spec") or {}
    check_spec(problems, spec, f"{path}.spec")
    if spec.get("ephemeralContainers"):
        problems.forbidden(f"{path}.spec.ephemeralContainers", "ephemeral containers not allowed in pod template")


def check_spec(problems: Problems, spec: Tree, path: str) -> None:
    """The spec of a pod or of a template; one that was found right before is not looked at again."""
    digest = _right.digest(spec)
    if digest in _right:
        return
    before = len(problems)
    _check_whole(problems, spec, path)
    if len(problems) == before:
        _right.learn(digest)


def _check_whole(problems: Problems, spec: Tree, path: str) -> None:
    get = spec.get
    volumes = check_volumes(problems, spec["volumes"], f"{path}.volumes") if get("volumes") else {}
    claims = _check_claims(problems, spec["resourceClaims"], path) if get("resourceClaims") else ()
    _check_all_containers(problems, spec, path, volumes, claims)
    if get("restartPolicy") not in RESTART_POLICIES:
        check_one_of(problems, spec, "restartPolicy", path, RESTART_POLICIES, needed=True)
    if get("dnsPolicy") not in DNS_POLICIES:
        check_one_of(problems, spec, "dnsPolicy", path, DNS_POLICIES, needed=True)
    _check_numbers(problems, spec, path)
    if get("dnsConfig") is not None or get("dnsPolicy") == "None":
        _check_dns(problems, spec, f"{path}.dnsConfig")
    if get("nodeSelector"):
        check_labels(problems, spec["nodeSelector"], f"{path}.nodeSelector")
    if get("affinity"):
        check_affinity(problems, spec["affinity"], f"{path}.affinity")
    if get("tolerations"):
        check_tolerations(problems, spec["tolerations"], f"{path}.tolerations")
    if get("topologySpreadConstraints"):
        check_spread(problems, spec["topologySpreadConstraints"], f"{path}.topologySpreadConstraints")
    if get("securityContext"):
        _check_security(problems, spec["securityContext"], f"{path}.securityContext")
    if get("overhead"):
        check_amounts(problems, spec["overhead"], f"{path}.overhead")
    if get("resources"):
        check_pod_resources(problems, spec["resources"], f"{path}.resources")
    _check_identity(problems, spec, path)
    _check_lists(problems, spec, path)


def _check_numbers(problems: Problems, spec: Tree, path: str) -> None:
    grace = spec.get("terminationGracePeriodSeconds")
    if grace is not None and grace < 0:
        problems.invalid(f"{path}.terminationGracePeriodSeconds", grace, NOT_NEGATIVE)
    deadline = spec.get("activeDeadlineSeconds")
    if deadline is not None and not 1 <= deadline <= _LARGEST:
        fault = f"must be between 1 and {_LARGEST}, inclusive"
        problems.invalid(f"{path}.activeDeadlineSeconds", deadline, fault)


def _check_identity(problems: Problems, spec: Tree, path: str) -> None:
    for field in ("serviceAccountName", "nodeName", "priorityClassName", "runtimeClassName", "hostnameOverride"):
        value = spec.get(field)
        if value:
            faults = dns_subdomain(value)
            if faults:
                problems.invalid_each(f"{path}.{field}", value, faults)
    for field in ("hostname", "subdomain"):
        value = spec.get(field)
        if value:
            problems.invalid_each(f"{path}.{field}", value, dns_label(value))
    check_one_of(problems, spec, "preemptionPolicy", path, ("Never", "PreemptLowerPriority"))
    if spec.get("os") is not None:
        check_one_of(problems, spec["os"], "name", f"{path}.os", ("linux", "windows"), needed=True)
    if spec.get("hostPID") and spec.get("shareProcessNamespace"):
        problems.invalid(
            f"{path}.shareProcessNamespace", True, "ShareProcessNamespace and HostPID cannot both be enabled"
        )


def _check_lists(problems: Problems, spec: Tree, path: str) -> None:
    for index, alias in enumerate(spec.get("hostAliases") or ()):
        at = f"{path}.hostAliases[{index}]"
        problems.invalid_each(f"{at}.ip", alias.get("ip") or "", ip_address(alias.get("ip") or ""))
        for hostname in alias.get("hostnames") or ():
            problems.invalid_each(f"{at}.hostnames", hostname, dns_subdomain(hostname))
    for index, gate in enumerate(spec.get("readinessGates") or ()):
        kind = gate.get("conditionType") or ""
        problems.invalid_each(f"{path}.readinessGates[{index}].conditionType", kind, qualified_name(kind))
    seen: set[str] = set()
    for index, gate in enumerate(spec.get("schedulingGates") or ()):
        name = gate.get("name") or ""
        problems.invalid_each(f"{path}.schedulingGates[{index}]", name, qualified_name(name))
        if name in seen:
            problems.duplicate(f"{path}.schedulingGates[{index}]", name)
        seen.add(name)
    if seen and spec.get("nodeName"):
        problems.forbidden(f"{path}.nodeName", "cannot be set until all schedulingGates have been cleared")


def _check_claims(problems: Problems, claims: list[Tree], path: str) -> Collection[str]:
    names: dict[str, None] = {}
    for index, claim in enumerate(claims):
        at = f"{path}.resourceClaims[{index}]"
        name = claim.get("name") or ""
        if not name:
            problems.required(f"{at}.name")
        else:
            problems.invalid_each(f"{at}.name", name, dns_label(name))
        if name in names:
            problems.duplicate(f"{at}.name", name)
        names[name] = None
        if bool(claim.get("resourceClaimName")) == bool(claim.get("resourceClaimTemplateName")):
            fault = "must specify one of: `resourceClaimName`, `resourceClaimTemplateName`"
            problems.invalid(at, claim, fault)
    return names


def _check_all_containers(
    problems: Problems, spec: Tree, path: str, volumes: Mapping[str, Tree], claims: Collection[str]
) -> None:
    host_network = bool(spec.get("hostNetwork"))
    grace = spec.get("terminationGracePeriodSeconds")
    grace_s = 30 if grace is None else grace
    if not spec.get("containers"):
        problems.required(f"{path}.containers")
    names: set[str] = set()
    ports: set[str] = set()
    for field in ("containers", "initContainers", "ephemeralContainers"):
        for index, container in enumerate(spec.get(field) or ()):
            at = f"{path}.{field}[{index}]"
            check_container(
                problems,
                container,
                at,
                volumes=volumes,
                claims=claims,
                grace_s=grace_s,
                host_network=host_network,
            )
            name = container.get("name")
            if name in names:
                problems.duplicate(f"{at}.name", name)
            elif name:
                names.add(name)
            if field == "containers":
                _check_host_ports(problems, container, at, ports)
            elif field == "initContainers":
                _check_init(problems, container, at, ports)
            else:
                _check_ephemeral(problems, container, at)


def _check_host_ports(problems: Problems, container: Tree, path: str, taken: set[str]) -> None:
    """No two containers that run side by side claim one port of the node."""
    for index, port in enumerate(container.get("ports") or ()):
        number = port.get("hostPort")
        if number:
            claim = f"{port.get('protocol')}/{port.get('hostIP') or ''}/{number}"
            if claim in taken:
                problems.duplicate(f"{path}.ports[{index}].hostPort", claim)
            taken.add(claim)


def _check_init(problems: Problems, container: Tree, path: str, taken: set[str]) -> None:
    if container.get("restartPolicy") == "Always":
        _check_host_ports(problems, container, path, taken)
        return
    for field in _INIT_ONLY_FOR_SIDECARS:
        if container.get(field) is not None:
            problems.forbidden(f"{path}.{field}", "may not be set for init containers without restartPolicy=Always")


def _check_ephemeral(problems: Problems, container: Tree, path: str) -> None:
    for field in _NOT_FOR_EPHEMERAL:
        if container.get(field):
            problems.forbidden(f"{path}.{field}", "cannot be set for an Ephemeral Container")


def _check_dns(problems: Problems, spec: Tree, path: str) -> None:
    config = spec.get("dnsConfig")
    if spec.get("dnsPolicy") == "None":
        if config is None:
            problems.required(path, "must provide `dnsConfig` when `dnsPolicy` is None")
        elif not config.get("nameservers"):
            fault = "must provide at least one DNS nameserver when `dnsPolicy` is None"
            problems.required(f"{path}.nameservers", fault)
    if config is None:
        return
    servers, searches = config.get("nameservers") or [], config.get("searches") or []
    if len(servers) > _MAX_NAMESERVERS:
        problems.invalid(f"{path}.nameservers", servers, f"must not have more than {_MAX_NAMESERVERS} nameservers")
    for index, server in enumerate(servers):
        problems.invalid_each(f"{path}.nameservers[{index}]", server, ip_address(server))
    if len(searches) > _MAX_SEARCHES:
        problems.invalid(f"{path}.searches", searches, f"must not have more than {_MAX_SEARCHES} search paths")
    if len(" ".join(searches)) > _MAX_SEARCH_CHARS:
        fault = f"must not have more than {_MAX_SEARCH_CHARS} characters (including spaces) in the search list"
        problems.invalid(f"{path}.searches", searches, fault)
    for index, search in enumerate(searches):
        # A root dot alone and names with underscores are real search paths.
        name = search.removesuffix(".").replace("_", "a")
        if name:
            problems.invalid_each(f"{path}.searches[{index}]", search, dns_subdomain(name))
    for index, option in enumerate(config.get("options") or ()):
        if not option.get("name"):
            problems.required(f"{path}.options[{index}]", "must not be empty")


def _check_security(problems: Problems, context: Tree, path: str) -> None:
    check_security(problems, context, path)
    check_one_of(problems, context, "fsGroupChangePolicy", path, ("Always", "OnRootMismatch"))
    check_one_of(problems, context, "supplementalGroupsPolicy", path, ("Merge", "Strict"))
    seen: set[str] = set()
    for index, sysctl in enumerate(context.get("sysctls") or ()):
        name = sysctl.get("name") or ""
        at = f"{path}.sysctls[{index}].name"
        if not name:
            problems.required(at)
        elif len(name) > _SYSCTL_MAX or not _SYSCTL.fullmatch(name):
            fault = (
                f"must have at most {_SYSCTL_MAX} characters and match regex "
                "^([a-z0-9]([-_a-z0-9]*[a-z0-9])?[\\./])*[a-z0-9]([-_a-z0-9]*[a-z0-9])?$"
            )
            problems.invalid(at, name, fault)
        elif name in seen:
            problems.duplicate(at, name)
        seen.add(name)


def check_taint(problems: Problems, taint: Tree, path: str) -> None:
    """One taint of a node."""
    key = taint.get("key") or ""
    problems.invalid_each(f"{path}.key", key, qualified_name(key))
    problems.invalid_each(f"{path}.value", taint.get("value"), label_value(taint.get("value") or ""))
    check_one_of(problems, taint, "effect", path, ("NoSchedule", "PreferNoSchedule", "NoExecute"), needed=True)
