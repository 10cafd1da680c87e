"""The rules of the core group; those of pods and Services stand in modules of their own."""

import base64
import binascii
import json
from collections.abc import Mapping

from bireme.api.validation.amounts import check_amounts
from bireme.api.validation.containers import PROTOCOLS
from bireme.api.validation.field import (
    Problems,
    Rules,
    Tree,
    check_not_negative,
    check_one_of,
    check_unchanged,
)
from bireme.api.validation.meta import check_labels
from bireme.api.validation.names import (
    cidr,
    config_key,
    dns_label,
    dns_subdomain,
    ip_address,
    port_number,
    qualified_name,
)
from bireme.api.validation.persistent import check_claim, check_claim_update, check_volume, check_volume_update
from bireme.api.validation.pod_update import check_ephemeral_update, check_pod_update, check_resize
from bireme.api.validation.pods import check_pod, check_taint, check_template
from bireme.api.validation.quotas import check_limit_range, check_resource_quota, check_resource_quota_update
from bireme.api.validation.services import check_service, check_service_update

DATA_MAX = 1 << 20
_SECRET_KEYS: Mapping[str, tuple[str, ...]] = {
    "kubernetes.io/dockercfg": (".dockercfg",),
    "kubernetes.io/dockerconfigjson": (".dockerconfigjson",),
    "kubernetes.io/ssh-auth": ("ssh-privatekey",),
    "kubernetes.io/tls": ("tls.crt", "tls.key"),
}
_JSON_KEYS = frozenset((".dockercfg", ".dockerconfigjson"))


def check_config_map(problems: Problems, tree: Tree) -> None:
    """A ConfigMap: good keys, none twice, and at most 1 MiB."""
    data, binary = tree.get("data") or {}, tree.get("binaryData") or {}
    size = 0
    for key, text in data.items():
        problems.invalid_each(f"data[{key}]", key, config_key(key))
        if key in binary:
            problems.invalid(f"data[{key}]", key, "duplicate of key present in binaryData")
        size += len((text or "").encode(errors="surrogatepass"))
    for key, encoded in binary.items():
        problems.invalid_each(f"binaryData[{key}]", key, config_key(key))
        size += _decoded_size(problems, encoded, f"binaryData[{key}]")
    if size > DATA_MAX:
        problems.too_long("", DATA_MAX)


def check_config_map_update(problems: Problems, new: Tree, old: Tree) -> None:
    """An immutable ConfigMap stays as it is."""
    _check_frozen(problems, new, old, ("data", "binaryData"))


def check_secret(problems: Problems, tree: Tree) -> None:
    """A Secret: good keys, at most 1 MiB, and what its type needs."""
    data = tree.get("data") or {}
    size = 0
    for key, encoded in data.items():
        problems.invalid_each(f"data[{key}]", key, config_key(key))
        size += _decoded_size(problems, encoded, f"data[{key}]")
    if size > DATA_MAX:
        problems.too_long("data", DATA_MAX)
    kind = tree.get("type") or "Opaque"
    for key in _SECRET_KEYS.get(kind, ()):
        if key not in data:
            problems.required(f"data[{key}]")
        elif key in _JSON_KEYS and (fault := _json_fault(data[key])):
            problems.invalid(f"data[{key}]", "<secret contents redacted>", fault)
    if kind == "kubernetes.io/basic-auth" and not ("username" in data or "password" in data):
        problems.required("data[username]")
        problems.required("data[password]")
    annotations = (tree.get("metadata") or {}).get("annotations") or {}
    if kind == "kubernetes.io/service-account-token" and not annotations.get("kubernetes.io/service-account.name"):
        problems.required("metadata.annotations[kubernetes.io/service-account.name]")


def _json_fault(encoded: str | None) -> str:
    """Why what is encoded is no JSON object; empty if it is one. What is not even base64 is told elsewhere."""
    try:
        text = base64.b64decode(encoded or "", validate=True).decode(errors="replace")
        value = json.loads(text)
    except json.JSONDecodeError as error:
        if error.pos >= len(text):
            return "unexpected end of JSON input"
        return f"invalid character '{text[error.pos]}' looking for beginning of value"
    except (binascii.Error, ValueError):
        return ""
    return "" if isinstance(value, dict) or value is None else "must be a JSON object"


def check_secret_update(problems: Problems, new: Tree, old: Tree) -> None:
    """A Secret keeps its type; an immutable one keeps all."""
    check_unchanged(problems, new.get("type"), old.get("type"), "type")
    _check_frozen(problems, new, old, ("data",))


def _check_frozen(problems: Problems, new: Tree, old: Tree, fields: tuple[str, ...]) -> None:
    if not old.get("immutable"):
        return
    if not new.get("immutable"):
        problems.forbidden("immutable", "field is immutable when `immutable` is set")
    for field in fields:
        if (new.get(field) or {}) != (old.get(field) or {}):
            problems.forbidden(field, "field is immutable when `immutable` is set")


def _decoded_size(problems: Problems, encoded: str | None, path: str) -> int:
    try:
        return len(base64.b64decode(encoded or "", validate=True))
    except (binascii.Error, ValueError):
        problems.invalid(path, "", "must be base64")  # the value itself may be a secret
        return 0


def check_namespace(problems: Problems, tree: Tree) -> None:
    """A Namespace: what holds it must have a good name."""
    for index, finalizer in enumerate((tree.get("spec") or {}).get("finalizers") or ()):
        path = f"spec.finalizers[{index}]"
        problems.invalid_each(path, finalizer, qualified_name(finalizer))
        if "/" not in finalizer and finalizer != "kubernetes":
            problems.invalid(path, finalizer, "name is neither a standard finalizer name nor is it fully qualified")


def check_node(problems: Problems, tree: Tree) -> None:
    """A Node: taints, pod ranges, amounts."""
    spec = tree.get("spec") or {}
    seen: set[tuple[str, str]] = set()
    for index, taint in enumerate(spec.get("taints") or ()):
        check_taint(problems, taint, f"spec.taints[{index}]")
        key = (taint.get("key") or "", taint.get("effect") or "")
        if key in seen:
            problems.duplicate(f"spec.taints[{index}]", taint)
        seen.add(key)
    for index, text in enumerate(spec.get("podCIDRs") or ()):
        problems.invalid_each(f"spec.podCIDRs[{index}]", text, cidr(text))
    status = tree.get("status") or {}
    for field in ("capacity", "allocatable"):
        check_amounts(problems, status.get(field) or {}, f"status.{field}")


def check_node_update(problems: Problems, new: Tree, old: Tree) -> None:
    """A Node's pod range and provider are given once."""
    spec, before = new.get("spec") or {}, old.get("spec") or {}
    if before.get("podCIDR") and spec.get("podCIDR") != before["podCIDR"]:
        problems.forbidden("spec.podCIDRs", 'node updates may not change podCIDR except from "" to valid')
    if before.get("providerID") and spec.get("providerID") != before["providerID"]:
        problems.forbidden("spec.providerID", 'node updates may not change providerID except from "" to valid')


def check_endpoints(problems: Problems, tree: Tree) -> None:
    """Endpoints: addresses that may be served from, and ports."""
    for index, subset in enumerate(tree.get("subsets") or ()):
        path = f"subsets[{index}]"
        if not subset.get("addresses") and not subset.get("notReadyAddresses"):
            problems.required(path, "must specify `addresses` or `notReadyAddresses`")
        for field in ("addresses", "notReadyAddresses"):
            for number, address in enumerate(subset.get(field) or ()):
                check_endpoint_address(problems, address.get("ip") or "", f"{path}.{field}[{number}].ip")
                if address.get("hostname"):
                    faults = dns_label(address["hostname"])
                    problems.invalid_each(f"{path}.{field}[{number}].hostname", address["hostname"], faults)
        ports = subset.get("ports") or ()
        for number, port in enumerate(ports):
            at = f"{path}.ports[{number}]"
            if len(ports) > 1 and not port.get("name"):
                problems.required(f"{at}.name")
            elif port.get("name"):
                problems.invalid_each(f"{at}.name", port["name"], dns_label(port["name"]))
            problems.invalid_each(f"{at}.port", port.get("port") or 0, port_number(port.get("port") or 0))
            check_one_of(problems, port, "protocol", at, PROTOCOLS, needed=True)


def check_endpoint_address(problems: Problems, address: str, path: str) -> None:
    """An address to which a service may send: not the machine's own, not a whole group's."""
    faults = ip_address(address)
    problems.invalid_each(path, address, faults)
    if faults:
        return
    if address in ("0.0.0.0", "::"):
        problems.invalid(path, address, f"may not be unspecified ({address})")
    elif address.startswith("127.") or address == "::1":
        problems.invalid(path, address, "may not be in the loopback range (127.0.0.0/8, ::1/128)")
    elif address.startswith("169.254.") or address.lower().startswith("fe80:"):
        problems.invalid(path, address, "may not be in the link-local range (169.254.0.0/16, fe80::/10)")
    elif address.startswith("224.0.0."):
        problems.invalid(path, address, "may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)")


def check_event(problems: Problems, tree: Tree) -> None:
    """An Event: it stands where what it is about stands; for what has no namespace, in the default one."""
    namespace = (tree.get("metadata") or {}).get("namespace") or ""
    about = (tree.get("involvedObject") or tree.get("regarding") or {}).get("namespace") or ""
    if namespace != (about or "default"):
        problems.invalid("involvedObject.namespace", about, "does not match event.namespace")


def check_replication_controller(problems: Problems, tree: Tree) -> None:
    """A ReplicationController."""
    spec = tree.get("spec") or {}
    check_not_negative(problems, spec, ("minReadySeconds", "replicas"), "spec")
    selector = spec.get("selector") or {}
    if not selector:
        problems.required("spec.selector")
    check_labels(problems, selector, "spec.selector")
    template = spec.get("template")
    check_template(problems, template, "spec.template")
    labels = ((template or {}).get("metadata") or {}).get("labels") or {}
    if selector and any(labels.get(key) != value for key, value in selector.items()):
        problems.invalid("spec.template.metadata.labels", labels, "`selector` does not match template `labels`")
    policy = ((template or {}).get("spec") or {}).get("restartPolicy")
    if template and policy != "Always":
        problems.unsupported("spec.template.spec.restartPolicy", policy, ("Always",))


def check_pod_template(problems: Problems, tree: Tree) -> None:
    """A PodTemplate."""
    check_template(problems, tree.get("template"), "template")


def check_service_account(problems: Problems, tree: Tree) -> None:
    """A ServiceAccount: the secrets that it names."""
    for index, secret in enumerate(tree.get("imagePullSecrets") or ()):
        name = secret.get("name") or ""
        problems.invalid_each(f"imagePullSecrets[{index}].name", name, dns_subdomain(name) if name else ())


RULES: Mapping[str, Rules] = {
    "ConfigMap": Rules(check_config_map, check_config_map_update),
    "Endpoints": Rules(check_endpoints),
    "Event": Rules(check_event),
    "LimitRange": Rules(check_limit_range),
    "Namespace": Rules(check_namespace),
    "Node": Rules(check_node, check_node_update),
    "PersistentVolume": Rules(check_volume, check_volume_update),
    "PersistentVolumeClaim": Rules(check_claim, check_claim_update),
    "Pod": Rules(check_pod, check_pod_update),
    "Pod/ephemeralcontainers": Rules(check_pod, check_ephemeral_update),
    "Pod/resize": Rules(check_pod, check_resize),
    "PodTemplate": Rules(check_pod_template),
    "ReplicationController": Rules(check_replication_controller),
    "ResourceQuota": Rules(check_resource_quota, check_resource_quota_update),
    "Secret": Rules(check_secret, check_secret_update),
    "Service": Rules(check_service, check_service_update),
    "ServiceAccount": Rules(check_service_account),
}
