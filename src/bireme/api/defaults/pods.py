"""Defaults of pods and pod templates.

A template gets what every PodSpec gets; a Pod also gets what depends on the pod being real: requests from limits,
service links, host ports. Source: the Kubernetes documentation.
"""

from collections.abc import Mapping
from typing import Any

from bireme.api import quantity
from bireme.api.defaults.fill import Tree, canonical_amount, canonical_amounts, fill, section
from bireme.api.resources import CPU, MEMORY

_PROBES = ("livenessProbe", "readinessProbe", "startupProbe")
_FILE_MODE = {"defaultMode": 0o644}
_VOLUME_DEFAULTS: Mapping[str, Mapping[str, str | int | bool]] = {
    "configMap": _FILE_MODE,
    "secret": _FILE_MODE,
    "downwardAPI": _FILE_MODE,
    "projected": _FILE_MODE,
    "hostPath": {"type": ""},
    "iscsi": {"iscsiInterface": "default"},
    "rbd": {"pool": "rbd", "user": "admin", "keyring": "/etc/ceph/keyring"},
    "azureDisk": {"cachingMode": "ReadWrite", "kind": "Shared", "fsType": "ext4", "readOnly": False},
    "scaleIO": {"storageMode": "ThinProvisioned", "fsType": "xfs"},
}


def default_pod(tree: Tree) -> None:
    """A whole Pod."""
    spec = section(tree, "spec")
    default_spec(spec)
    if spec.get("enableServiceLinks") is None:
        spec["enableServiceLinks"] = True
    host_network = spec.get("hostNetwork")
    for field in ("containers", "initContainers"):
        for container in spec.get(field) or ():
            _default_requests(container.get("resources"))
            if host_network:
                _default_host_ports(container)
    if spec.get("resources"):
        _default_pod_requests(spec)


def default_template(owner_spec: Tree) -> None:
    """The pod template in the spec of what makes pods."""
    template = owner_spec.get("template")
    if template is not None:
        default_spec(section(template, "spec"))


def default_spec(spec: Tree) -> None:
    """The spec of a pod or of a pod template."""
    get = spec.get
    if not get("dnsPolicy"):
        spec["dnsPolicy"] = "ClusterFirst"
    if not get("restartPolicy"):
        spec["restartPolicy"] = "Always"
    if get("securityContext") is None:
        spec["securityContext"] = {}
    if get("terminationGracePeriodSeconds") is None:
        spec["terminationGracePeriodSeconds"] = 30
    if not get("schedulerName"):
        spec["schedulerName"] = "default-scheduler"
    _default_account(spec)
    for field in ("containers", "initContainers", "ephemeralContainers"):
        for container in get(field) or ():
            _default_container(container)
    for volume in get("volumes") or ():
        _default_volume(volume)
    canonical_amounts(get("overhead"))
    _canonical_resources(get("resources"))


def _default_account(spec: Tree) -> None:
    """The old name of the field and the new one always agree; the new one decides."""
    name = spec.get("serviceAccountName") or spec.get("serviceAccount")
    if name:
        spec["serviceAccountName"] = spec["serviceAccount"] = name


def _default_container(container: Tree) -> None:
    get = container.get
    if not get("imagePullPolicy"):
        container["imagePullPolicy"] = pull_policy(get("image") or "")
    if not get("terminationMessagePath"):
        container["terminationMessagePath"] = "/dev/termination-log"
    if not get("terminationMessagePolicy"):
        container["terminationMessagePolicy"] = "File"
    for port in get("ports") or ():
        if not port.get("protocol"):
            port["protocol"] = "TCP"
    for variable in get("env") or ():
        source = variable.get("valueFrom")
        if source:
            _default_field_ref(source.get("fieldRef"))
            _default_resource_ref(source.get("resourceFieldRef"))
            key_ref = source.get("fileKeyRef")
            if key_ref and key_ref.get("optional") is None:
                key_ref["optional"] = False
    for name in _PROBES:
        probe = get(name)
        if probe is not None:
            _default_probe(probe)
    for hook in (get("lifecycle") or {}).values():
        if isinstance(hook, dict) and hook.get("httpGet"):
            _default_http_get(hook["httpGet"])
    _canonical_resources(container.setdefault("resources", {}))


def pull_policy(image: str) -> str:
    """Always for an image that may move (no tag, or latest), IfNotPresent for a tag or a digest."""
    if "@" in image:
        return "IfNotPresent"
    tag = image.rsplit("/", 1)[-1].partition(":")[2]
    return "Always" if tag in ("", "latest") else "IfNotPresent"


def _default_probe(probe: Tree) -> None:
    # 0 counts as unset here: the API has no probe with a timeout or period of 0.
    get = probe.get
    if not get("timeoutSeconds"):
        probe["timeoutSeconds"] = 1
    if not get("periodSeconds"):
        probe["periodSeconds"] = 10
    if not get("successThreshold"):
        probe["successThreshold"] = 1
    if not get("failureThreshold"):
        probe["failureThreshold"] = 3
    http_get = get("httpGet")
    if http_get is not None:
        _default_http_get(http_get)
    grpc = get("grpc")
    if grpc is not None and grpc.get("service") is None:
        grpc["service"] = ""


def _default_http_get(action: Tree) -> None:
    if not action.get("path"):
        action["path"] = "/"
    if not action.get("scheme"):
        action["scheme"] = "HTTP"


def _default_field_ref(reference: Tree | None) -> None:
    if reference is not None and not reference.get("apiVersion"):
        reference["apiVersion"] = "v1"


def _default_resource_ref(reference: Tree | None) -> None:
    if reference is not None and reference.get("divisor") is not None:
        reference["divisor"] = canonical_amount(reference["divisor"])


def _default_volume(volume: Tree) -> None:
    if len(volume) < 2 or not any(source is not None for name, source in volume.items() if name != "name"):
        volume["emptyDir"] = {}
        return
    for kind, source in volume.items():
        if kind == "name" or source is None:
            continue
        defaults = _VOLUME_DEFAULTS.get(kind)
        if defaults is not None:
            fill(source, defaults)
        handle = _VOLUME_PARTS.get(kind)
        if handle is not None:
            handle(source)


def _default_empty_dir(source: Tree) -> None:
    if source.get("sizeLimit") is not None:
        source["sizeLimit"] = canonical_amount(source["sizeLimit"])


def _default_downward(source: Tree) -> None:
    for item in source.get("items") or ():
        _default_field_ref(item.get("fieldRef"))
        _default_resource_ref(item.get("resourceFieldRef"))


def _default_projected(source: Tree) -> None:
    for part in source.get("sources") or ():
        downward = part.get("downwardAPI")
        if downward:
            _default_downward(downward)
        token = part.get("serviceAccountToken")
        if token is not None and token.get("expirationSeconds") is None:
            token["expirationSeconds"] = 3600
        certificate = part.get("podCertificate")
        if certificate is not None and certificate.get("maxExpirationSeconds") is None:
            certificate["maxExpirationSeconds"] = 86400


def _default_image(source: Tree) -> None:
    if not source.get("pullPolicy"):
        source["pullPolicy"] = pull_policy(source.get("reference") or "")


def _default_ephemeral(source: Tree) -> None:
    template = source.get("volumeClaimTemplate")
    if template is not None:
        default_claim_spec(section(template, "spec"))


_VOLUME_PARTS: Mapping[str, Any] = {
    "downwardAPI": _default_downward,
    "emptyDir": _default_empty_dir,
    "ephemeral": _default_ephemeral,
    "image": _default_image,
    "projected": _default_projected,
}


def default_claim_spec(spec: Tree) -> None:
    """The spec of a PersistentVolumeClaim, wherever it stands."""
    if not spec.get("volumeMode"):
        spec["volumeMode"] = "Filesystem"
    _canonical_resources(spec.get("resources"))


def _canonical_resources(resources: Tree | None) -> None:
    if resources:
        canonical_amounts(resources.get("requests"))
        canonical_amounts(resources.get("limits"))


def _default_requests(resources: Tree | None) -> None:
    """What has a limit and no request asks for its limit."""
    limits = resources.get("limits") if resources else None
    if resources is None or not limits:
        return
    requests = resources.get("requests")
    if requests is None:
        resources["requests"] = dict(limits)
        return
    for name, amount in limits.items():
        requests.setdefault(name, amount)


def _default_host_ports(container: Tree) -> None:
    for port in container.get("ports") or ():
        if not port.get("hostPort"):
            port["hostPort"] = port.get("containerPort", 0)


def _default_pod_requests(spec: Tree) -> None:
    """A limit on the pod as a whole is a request for what its containers ask of that resource, or for the limit."""
    resources = spec["resources"]
    limits = resources.get("limits") or {}
    requests = resources.get("requests") or {}
    for name in limits:
        if name in requests or not (name in (CPU, MEMORY) or name.startswith("hugepages-")):
            continue
        asked = _asked_by_containers(spec, name)
        requests[name] = limits[name] if asked is None else asked
    if requests:
        resources["requests"] = requests


def _asked_by_containers(spec: Tree, name: str) -> str | None:
    """The sum that the containers request of one resource; None when none of them does."""
    inits = spec.get("initContainers") or ()
    asking = [*(spec.get("containers") or ()), *(each for each in inits if each.get("restartPolicy") == "Always")]
    amounts = [((each.get("resources") or {}).get("requests") or {}).get(name) for each in asking]
    found = [amount for amount in amounts if amount is not None]
    if not found or not all(quantity.is_quantity(amount) for amount in found):
        return None
    if name == CPU:
        return quantity.from_milli(sum(quantity.milli(amount) for amount in found))
    return quantity.canonical(sum(quantity.value(amount) for amount in found))
