"""The rows of the core group, pods apart (`pods.py`)."""

from collections.abc import Iterable, Mapping
from datetime import datetime

from bireme.apiserver.columns.column import (
    AGE,
    CREATED,
    NAME,
    NONE,
    UNKNOWN,
    UNSET,
    Cells,
    Column,
    Printer,
    Tree,
    age_of,
    columns,
    containers_text,
    created_at,
    joined,
    labels_text,
    listed,
    name_of,
    since,
)
from bireme.apiserver.columns.pods import POD

_MODES = {
    "ReadWriteOnce": "RWO",
    "ReadOnlyMany": "ROX",
    "ReadWriteMany": "RWX",
    "ReadWriteOncePod": "RWOP",
}
_ROLE_PREFIX = "node-role.kubernetes.io/"
_CLASS_ANNOTATION = "volume.beta.kubernetes.io/storage-class"


def config_map_cells(tree: Tree, now: datetime) -> Cells:
    """A ConfigMap."""
    return [name_of(tree), len(tree.get("data") or ()) + len(tree.get("binaryData") or ()), age_of(tree, now)]


def secret_cells(tree: Tree, now: datetime) -> Cells:
    """A Secret."""
    return [name_of(tree), tree.get("type") or "", len(tree.get("data") or ()), age_of(tree, now)]


def named_cells(tree: Tree, now: datetime) -> Cells:
    """An object of which there is nothing to say but its age."""
    return [name_of(tree), age_of(tree, now)]


def namespace_cells(tree: Tree, now: datetime) -> Cells:
    """A Namespace."""
    return [name_of(tree), (tree.get("status") or {}).get("phase") or "", age_of(tree, now)]


def endpoints_cells(tree: Tree, now: datetime) -> Cells:
    """Endpoints."""
    return [name_of(tree), listed(_endpoints(tree)), age_of(tree, now)]


def _endpoints(tree: Tree) -> Iterable[str]:
    for subset in tree.get("subsets") or ():
        ports = subset.get("ports") or ()
        for address in subset.get("addresses") or ():
            ip = address.get("ip") or ""
            if not ports:
                yield ip
            for port in ports:
                yield f"[{ip}]:{port.get('port')}" if ":" in ip else f"{ip}:{port.get('port')}"


def event_cells(tree: Tree, now: datetime) -> Cells:
    """An Event, of either group."""
    about = tree.get("involvedObject") or tree.get("regarding") or {}
    source = tree.get("source") or tree.get("deprecatedSource") or {}
    series = tree.get("series") or {}
    first = tree.get("firstTimestamp") or tree.get("deprecatedFirstTimestamp") or tree.get("eventTime")
    last = tree.get("lastTimestamp") or tree.get("deprecatedLastTimestamp") or first
    count = tree.get("count") or tree.get("deprecatedCount") or 1
    if series:
        count = series.get("count") or count
        last = series.get("lastObservedTime") or last
    seen = since(last, now)
    if count > 1:
        seen = f"{seen} (x{count} over {since(first, now)})"
    component = source.get("component") or tree.get("reportingComponent") or tree.get("reportingController") or ""
    host = source.get("host") or tree.get("reportingInstance") or ""
    return [
        seen,
        tree.get("type") or "",
        tree.get("reason") or "",
        f"{(about.get('kind') or '').lower()}/{about.get('name') or ''}",
        (tree.get("message") or tree.get("note") or "").strip(),
        about.get("fieldPath") or "",
        f"{component}, {host}" if component and host else component,
        since(first, now),
        count,
        name_of(tree),
    ]


EVENT = Printer(
    (
        Column("Last Seen"),
        Column("Type"),
        Column("Reason"),
        Column("Object"),
        Column("Message"),
        Column("Subobject", priority=1),
        Column("Source", priority=1),
        Column("First Seen", priority=1),
        Column("Count", type="integer", priority=1),
        Column("Name", format="name", priority=1),
    ),
    event_cells,
)


def node_cells(tree: Tree, now: datetime) -> Cells:
    """A Node."""
    status = tree.get("status") or {}
    info = status.get("nodeInfo") or {}
    return [
        name_of(tree),
        _node_status(tree.get("spec") or {}, status),
        joined(_roles((tree.get("metadata") or {}).get("labels") or {})),
        age_of(tree, now),
        info.get("kubeletVersion") or "",
        _address(status, "InternalIP"),
        _address(status, "ExternalIP"),
        info.get("osImage") or UNKNOWN,
        info.get("kernelVersion") or UNKNOWN,
        info.get("containerRuntimeVersion") or UNKNOWN,
    ]


def _node_status(spec: Tree, status: Tree) -> str:
    ready = [each.get("status") for each in status.get("conditions") or () if each.get("type") == "Ready"]
    text = "Unknown" if not ready else "Ready" if ready[0] == "True" else "NotReady"
    return f"{text},SchedulingDisabled" if spec.get("unschedulable") else text


def _roles(labels: Mapping[str, str]) -> list[str]:
    roles = {key.removeprefix(_ROLE_PREFIX) for key in labels if key.startswith(_ROLE_PREFIX)}
    if labels.get("kubernetes.io/role"):
        roles.add(labels["kubernetes.io/role"])
    return sorted(role for role in roles if role)


def _address(status: Tree, kind: str) -> str:
    found = [each.get("address") for each in status.get("addresses") or () if each.get("type") == kind]
    return found[0] or NONE if found else NONE


def service_cells(tree: Tree, now: datetime) -> Cells:
    """A Service."""
    spec = tree.get("spec") or {}
    kind = spec.get("type") or "ClusterIP"
    addresses = spec.get("clusterIPs") or [spec.get("clusterIP")]
    return [
        name_of(tree),
        kind,
        addresses[0] or NONE,
        _external_ip(kind, spec, tree.get("status") or {}),
        joined(_port(port) for port in spec.get("ports") or ()),
        age_of(tree, now),
        labels_text(spec.get("selector")),
    ]


def _external_ip(kind: str, spec: Tree, status: Tree) -> str:
    fixed = list(spec.get("externalIPs") or ())
    if kind == "ExternalName":
        return spec.get("externalName") or NONE
    if kind == "LoadBalancer":
        entries = (status.get("loadBalancer") or {}).get("ingress") or ()
        return joined(
            [*(each.get("ip") or each.get("hostname") or "" for each in entries), *fixed], empty="<pending>"
        )
    return joined(fixed)


def _port(port: Tree) -> str:
    node_port = f":{port['nodePort']}" if port.get("nodePort") else ""
    return f"{port.get('port')}{node_port}/{port.get('protocol') or 'TCP'}"


def access_modes(modes: Iterable[str] | None) -> str:
    """The short forms of access modes."""
    found = set(modes or ())
    return ",".join(short for mode, short in _MODES.items() if mode in found)


def _class_of(tree: Tree) -> str:
    annotations = (tree.get("metadata") or {}).get("annotations") or {}
    return annotations.get(_CLASS_ANNOTATION) or (tree.get("spec") or {}).get("storageClassName") or ""


def claim_cells(tree: Tree, now: datetime) -> Cells:
    """A PersistentVolumeClaim."""
    spec, status = tree.get("spec") or {}, tree.get("status") or {}
    deleting = (tree.get("metadata") or {}).get("deletionTimestamp")
    bound = bool(spec.get("volumeName"))
    return [
        name_of(tree),
        "Terminating" if deleting else status.get("phase") or "",
        spec.get("volumeName") or "",
        str((status.get("capacity") or {}).get("storage") or "") if bound else "",
        access_modes(status.get("accessModes")) if bound else "",
        _class_of(tree),
        spec.get("volumeAttributesClassName") or UNSET,
        age_of(tree, now),
        spec.get("volumeMode") or UNSET,
    ]


def volume_cells(tree: Tree, now: datetime) -> Cells:
    """A PersistentVolume."""
    spec, status = tree.get("spec") or {}, tree.get("status") or {}
    deleting = (tree.get("metadata") or {}).get("deletionTimestamp")
    claim = spec.get("claimRef")
    return [
        name_of(tree),
        str((spec.get("capacity") or {}).get("storage") or ""),
        access_modes(spec.get("accessModes")),
        spec.get("persistentVolumeReclaimPolicy") or "",
        "Terminating" if deleting else status.get("phase") or "",
        f"{claim.get('namespace') or ''}/{claim.get('name') or ''}" if claim else "",
        _class_of(tree),
        spec.get("volumeAttributesClassName") or UNSET,
        status.get("reason") or "",
        age_of(tree, now),
        spec.get("volumeMode") or UNSET,
    ]


def replication_controller_cells(tree: Tree, now: datetime) -> Cells:
    """A ReplicationController."""
    spec, status = tree.get("spec") or {}, tree.get("status") or {}
    counts = [status.get(field) or 0 for field in ("replicas", "readyReplicas")]
    names, images = containers_text(spec.get("template"))
    selector = labels_text(spec.get("selector"))
    return [name_of(tree), spec.get("replicas") or 0, *counts, age_of(tree, now), names, images, selector]


def pod_template_cells(tree: Tree, now: datetime) -> Cells:
    """A PodTemplate."""
    template = tree.get("template") or {}
    names, images = containers_text(template)
    return [name_of(tree), names, images, labels_text((template.get("metadata") or {}).get("labels"))]


def quota_cells(tree: Tree, now: datetime) -> Cells:
    """A ResourceQuota."""
    status = tree.get("status") or {}
    hard, used = status.get("hard") or {}, status.get("used") or {}
    requests = [f"{key}: {used.get(key, 0)}/{hard[key]}" for key in sorted(hard) if "limits" not in key]
    limits = [f"{key}: {used.get(key, 0)}/{hard[key]}" for key in sorted(hard) if "limits" in key]
    return [name_of(tree), ", ".join(requests), ", ".join(limits), age_of(tree, now)]


def component_status_cells(tree: Tree, now: datetime) -> Cells:
    """A ComponentStatus."""
    conditions = tree.get("conditions") or ()
    condition: Tree = next((each for each in conditions if each.get("type") == "Healthy"), {})
    status = {"True": "Healthy", "False": "Unhealthy"}.get(condition.get("status") or "", "Unknown")
    return [name_of(tree), status, condition.get("message") or "", condition.get("error") or ""]


PRINTERS: Mapping[str, Printer] = {
    "ComponentStatus": Printer(columns("Status", "Message", "Error"), component_status_cells),
    "ConfigMap": Printer(columns("Data", "Age", numbers=["Data"]), config_map_cells),
    "Endpoints": Printer(columns("Endpoints", "Age"), endpoints_cells),
    "Event": EVENT,
    "LimitRange": Printer((NAME, CREATED), lambda tree, now: [name_of(tree), created_at(tree)]),
    "Namespace": Printer(columns("Status", "Age"), namespace_cells),
    "Node": Printer(
        columns(
            "Status",
            "Roles",
            "Age",
            "Version",
            wide=("Internal-IP", "External-IP", "OS-Image", "Kernel-Version", "Container-Runtime"),
        ),
        node_cells,
    ),
    "PersistentVolume": Printer(
        columns(
            "Capacity",
            "Access Modes",
            "Reclaim Policy",
            "Status",
            "Claim",
            "StorageClass",
            "VolumeAttributesClass",
            "Reason",
            "Age",
            wide=["VolumeMode"],
        ),
        volume_cells,
    ),
    "PersistentVolumeClaim": Printer(
        columns(
            "Status",
            "Volume",
            "Capacity",
            "Access Modes",
            "StorageClass",
            "VolumeAttributesClass",
            "Age",
            wide=["VolumeMode"],
        ),
        claim_cells,
    ),
    "Pod": POD,
    "PodTemplate": Printer(columns("Containers", "Images", "Pod Labels"), pod_template_cells),
    "ReplicationController": Printer(
        columns(
            "Desired",
            "Current",
            "Ready",
            "Age",
            wide=("Containers", "Images", "Selector"),
            numbers=("Desired", "Current", "Ready"),
        ),
        replication_controller_cells,
    ),
    "ResourceQuota": Printer(columns("Request", "Limit", "Age"), quota_cells),
    "Secret": Printer(columns("Type", "Data", "Age", numbers=["Data"]), secret_cells),
    "Service": Printer(
        columns("Type", "Cluster-IP", "External-IP", "Port(s)", "Age", wide=["Selector"]), service_cells
    ),
    "ServiceAccount": Printer((NAME, AGE), named_cells),
}
