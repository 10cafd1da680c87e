"""The rules of the apiregistration group."""

from collections.abc import Mapping

from bireme.api.validation.field import Problems, Rules, Tree
from bireme.api.validation.names import dns_label, dns_subdomain, port_number


def check_api_service(problems: Problems, tree: Tree) -> None:
    """An APIService. One without a service is of the server itself, and needs no trust."""
    spec = tree.get("spec") or {}
    group, version = spec.get("group") or "", spec.get("version") or ""
    name = (tree.get("metadata") or {}).get("name") or ""
    wanted = f"{version}.{group}"
    if name and name != wanted:
        problems.invalid("metadata.name", name, f'must be `spec.version+"."+spec.group`: "{wanted}"')
    if group:
        problems.invalid_each("spec.group", group, dns_subdomain(group))
    elif spec.get("service") or version != "v1":
        problems.required("spec.group", "only v1 may have an empty group and it better be legacy kube")
    if version:
        problems.invalid_each("spec.version", version, dns_label(version))
    else:
        problems.required("spec.version")
    first, second = spec.get("groupPriorityMinimum") or 0, spec.get("versionPriority") or 0
    if not 0 < first <= 20000:
        problems.invalid("spec.groupPriorityMinimum", first, "must be positive and less than 20000")
    if not 0 < second <= 1000:
        problems.invalid("spec.versionPriority", second, "must be positive and less than 1000")
    _check_trust(problems, spec)


def _check_trust(problems: Problems, spec: Tree) -> None:
    bundle, insecure, service = spec.get("caBundle"), spec.get("insecureSkipTLSVerify"), spec.get("service")
    if service is None:
        if bundle:
            problems.invalid("spec.caBundle", f"{len(bundle)} bytes", "local APIServices may not have a caBundle")
        if insecure:
            problems.invalid(
                "spec.insecureSkipTLSVerify", insecure, "local APIServices may not have insecureSkipTLSVerify"
            )
        return
    for field in ("namespace", "name"):
        if not service.get(field):
            problems.required(f"spec.service.{field}")
    port = service.get("port")
    if port is not None:
        problems.invalid_each("spec.service.port", port, port_number(port))
    if insecure and bundle:
        problems.invalid("spec.insecureSkipTLSVerify", insecure, "may not be true if caBundle is present")


RULES: Mapping[str, Rules] = {"APIService": Rules(check_api_service)}
