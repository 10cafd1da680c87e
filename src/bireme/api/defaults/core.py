"""Defaults of the core group, pods apart (`pods.py`)."""

import base64
from collections.abc import Callable, Mapping

from bireme.api.defaults.fill import Tree, canonical_amounts, fill, fill_text, section
from bireme.api.defaults.pods import default_claim_spec, default_pod, default_spec, default_template

NAMESPACE_LABEL = "kubernetes.io/metadata.name"
_SESSION_AFFINITY_TIMEOUT_S = 10_800
# Clients with strict types miss what is always written, empty or not.
_CONTAINER_STATUSES = ("containerStatuses", "initContainerStatuses", "ephemeralContainerStatuses")
_CONTAINER_STATUS: Mapping[str, str | int | bool] = {"image": "", "imageID": "", "ready": False, "restartCount": 0}
_NODE_INFO: Mapping[str, str] = dict.fromkeys(
    (
        "architecture",
        "bootID",
        "containerRuntimeVersion",
        "kernelVersion",
        "kubeProxyVersion",
        "kubeletVersion",
        "machineID",
        "operatingSystem",
        "osImage",
        "systemUUID",
    ),
    "",
)


def default_service(tree: Tree) -> None:
    """A Service; addresses and node ports are given by the registry."""
    spec = section(tree, "spec")
    fill_text(spec, "sessionAffinity", "None")
    fill_text(spec, "type", "ClusterIP")
    _default_affinity(spec)
    for port in spec.get("ports") or ():
        fill_text(port, "protocol", "TCP")
        if port.get("targetPort") in (None, 0, "") and port.get("port") is not None:
            port["targetPort"] = port["port"]
    kind = spec["type"]
    if kind == "ExternalName":
        return
    fill(spec, {"internalTrafficPolicy": "Cluster", "ipFamilyPolicy": "SingleStack"})
    if kind in ("NodePort", "LoadBalancer") or spec.get("externalIPs"):
        fill_text(spec, "externalTrafficPolicy", "Cluster")
    elif spec.get("externalTrafficPolicy") == "Cluster":
        del spec["externalTrafficPolicy"]  # filled in while the type was another
    if kind == "LoadBalancer":
        fill(spec, {"allocateLoadBalancerNodePorts": True})
    elif spec.get("allocateLoadBalancerNodePorts"):
        del spec["allocateLoadBalancerNodePorts"]
    _default_addresses(spec)


def _default_affinity(spec: Tree) -> None:
    if spec["sessionAffinity"] == "ClientIP":
        client = section(section(spec, "sessionAffinityConfig"), "clientIP")
        fill(client, {"timeoutSeconds": _SESSION_AFFINITY_TIMEOUT_S})
    elif spec["sessionAffinity"] == "None":
        spec.pop("sessionAffinityConfig", None)


def _default_addresses(spec: Tree) -> None:
    """The single and the plural form of the cluster IP agree; families follow from the addresses."""
    if spec.get("clusterIP") and not spec.get("clusterIPs"):
        spec["clusterIPs"] = [spec["clusterIP"]]
    elif spec.get("clusterIPs") and not spec.get("clusterIP"):
        spec["clusterIP"] = spec["clusterIPs"][0]
    if not spec.get("ipFamilies"):
        addresses = [address for address in spec.get("clusterIPs") or () if address != "None"]
        spec["ipFamilies"] = ["IPv6" if ":" in address else "IPv4" for address in addresses[:2]] or ["IPv4"]


def default_namespace(tree: Tree) -> None:
    """A Namespace: its name as a label, for selectors, and its phase."""
    metadata = section(tree, "metadata")
    if metadata.get("name"):
        section(metadata, "labels")[NAMESPACE_LABEL] = metadata["name"]
    fill_text(section(tree, "status"), "phase", "Active")


def default_secret(tree: Tree) -> None:
    """A Secret: text that came in plain is folded into the encoded data."""
    fill_text(tree, "type", "Opaque")
    plain = tree.pop("stringData", None)
    if plain:
        data = section(tree, "data")
        for key, text in plain.items():
            data[key] = base64.b64encode((text or "").encode()).decode()


def default_node(tree: Tree) -> None:
    """A Node: all of its capacity may be used unless it says less."""
    section(tree, "spec")
    status = section(tree, "status")
    canonical_amounts(status.get("capacity"))
    canonical_amounts(status.get("allocatable"))
    if not status.get("allocatable") and status.get("capacity"):
        status["allocatable"] = dict(status["capacity"])

    if status.get("nodeInfo"):
        fill(status["nodeInfo"], _NODE_INFO)


def default_pod_status(tree: Tree) -> None:
    """A Pod's status: what stands in each container's, though it be empty."""
    status = section(tree, "status")
    for name in _CONTAINER_STATUSES:
        for each in status.get(name) or ():
            fill(each, _CONTAINER_STATUS)


def default_claim(tree: Tree) -> None:
    """A PersistentVolumeClaim."""
    default_claim_spec(section(tree, "spec"))
    fill_text(section(tree, "status"), "phase", "Pending")


def default_volume(tree: Tree) -> None:
    """A PersistentVolume."""
    spec = section(tree, "spec")
    fill_text(spec, "persistentVolumeReclaimPolicy", "Retain")
    fill_text(spec, "volumeMode", "Filesystem")
    canonical_amounts(spec.get("capacity"))
    if spec.get("hostPath"):
        fill(spec["hostPath"], {"type": ""})
    fill_text(section(tree, "status"), "phase", "Pending")


def default_endpoints(tree: Tree) -> None:
    """Endpoints: ports are TCP."""
    for subset in tree.get("subsets") or ():
        for port in subset.get("ports") or ():
            fill_text(port, "protocol", "TCP")


def default_replication_controller(tree: Tree) -> None:
    """A ReplicationController: selector and labels follow the template's labels."""
    spec = section(tree, "spec")
    fill(spec, {"replicas": 1})
    labels = ((spec.get("template") or {}).get("metadata") or {}).get("labels")
    if labels:
        if not spec.get("selector"):
            spec["selector"] = dict(labels)
        metadata = section(tree, "metadata")
        if not metadata.get("labels"):
            metadata["labels"] = dict(labels)
    default_template(spec)


def default_pod_template(tree: Tree) -> None:
    """A PodTemplate."""
    template = tree.get("template")
    if template is not None:
        default_spec(section(template, "spec"))


def default_limit_range(tree: Tree) -> None:
    """A LimitRange: for containers the default is the maximum, the default request the default or the minimum."""
    for item in section(tree, "spec").get("limits") or ():
        for field in ("min", "max", "default", "defaultRequest", "maxLimitRequestRatio"):
            canonical_amounts(item.get(field))
        if item.get("type") != "Container":
            continue
        _inherit(item, "default", "max")
        _inherit(item, "defaultRequest", "default")
        _inherit(item, "defaultRequest", "min")


def _inherit(item: Tree, field: str, source: str) -> None:
    if item.get(source):
        item[field] = {**item[source], **(item.get(field) or {})}


def default_resource_quota(tree: Tree) -> None:
    """A ResourceQuota: amounts in their canonical form."""
    canonical_amounts(section(tree, "spec").get("hard"))


def default_spec_only(tree: Tree) -> None:
    """A ServiceAccount or a ConfigMap has nothing to fill in but its metadata."""
    section(tree, "metadata")


DEFAULTS: Mapping[str, Callable[[Tree], None]] = {
    "ConfigMap": default_spec_only,
    "Endpoints": default_endpoints,
    "LimitRange": default_limit_range,
    "Namespace": default_namespace,
    "Node": default_node,
    "PersistentVolume": default_volume,
    "PersistentVolumeClaim": default_claim,
    "Pod": default_pod,
    "PodTemplate": default_pod_template,
    "ReplicationController": default_replication_controller,
    "ResourceQuota": default_resource_quota,
    "Secret": default_secret,
    "Service": default_service,
    "ServiceAccount": default_spec_only,
}
