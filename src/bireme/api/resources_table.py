"""The built-in resources as rows: what each is called, where it lives and what may be done to it.

`scheme.py` reads the rows; columns, defaults and validation of a kind stand elsewhere, in files of the same
group. Source: the discovery documents of Kubernetes 1.37 (GA groups).
"""

from typing import NamedTuple

ALL = "create delete deletecollection get list patch update watch"
CHANGE = "get patch update"
CONNECT = "create delete get patch update"


class Row(NamedTuple):
    """One resource. Texts of several words are lists; `subresources` are keys of SUBRESOURCES."""

    group_version: str
    kind: str
    plural: str
    short_names: str = ""
    namespaced: bool = True
    categories: str = ""
    subresources: str = ""
    verbs: str = ALL
    fields: str = ""


NS, CLUSTER = True, False

# Name to (group/version Kind of its body, "" for the parent's own; verbs).
SUBRESOURCES: dict[str, tuple[str, str]] = {
    "approval": ("", CHANGE),
    "attach": ("v1 PodAttachOptions", "create get"),
    "binding": ("v1 Binding", "create"),
    "ephemeralcontainers": ("", CHANGE),
    "eviction": ("policy/v1 Eviction", "create"),
    "exec": ("v1 PodExecOptions", "create get"),
    "finalize": ("", "update"),
    "log": ("", "get"),
    "portforward": ("v1 PodPortForwardOptions", "create get"),
    "proxy": ("v1 {kind}ProxyOptions", CONNECT),
    "resize": ("", CHANGE),
    "scale": ("autoscaling/v1 Scale", CHANGE),
    "status": ("", CHANGE),
    "token": ("authentication.k8s.io/v1 TokenRequest", "create"),
}

# Groups in the order of /apis; groups that are not named here follow, by name.
GROUP_ORDER = (
    "",
    "apiregistration.k8s.io",
    "apps",
    "events.k8s.io",
    "authentication.k8s.io",
    "authorization.k8s.io",
    "autoscaling",
    "batch",
    "certificates.k8s.io",
    "networking.k8s.io",
    "policy",
    "rbac.authorization.k8s.io",
    "storage.k8s.io",
    "admissionregistration.k8s.io",
    "apiextensions.k8s.io",
    "scheduling.k8s.io",
    "coordination.k8s.io",
    "node.k8s.io",
    "discovery.k8s.io",
    "flowcontrol.apiserver.k8s.io",
    "resource.k8s.io",
    "storagemigration.k8s.io",
    "mesos.bireme.dev",
    "marathon.bireme.dev",
    "jobs.bireme.dev",
)

# Resources whose objects are kept as another's: (group/version, plural) to (group/version, plural).
SHARED_STORAGE = {
    ("autoscaling/v1", "horizontalpodautoscalers"): ("autoscaling/v2", "horizontalpodautoscalers"),
    ("events.k8s.io/v1", "events"): ("v1", "events"),
}

_INVOLVED = (
    "involvedObject.kind involvedObject.namespace involvedObject.name involvedObject.uid "
    "involvedObject.apiVersion involvedObject.resourceVersion involvedObject.fieldPath "
    "reason reportingComponent source type"
)
_REGARDING = (
    "regarding.kind regarding.namespace regarding.name regarding.uid regarding.apiVersion "
    "regarding.resourceVersion regarding.fieldPath reportingController"
)
_POD_FIELDS = (
    "spec.nodeName spec.restartPolicy spec.schedulerName spec.serviceAccountName spec.hostNetwork "
    "status.phase status.podIP status.podIPs status.nominatedNodeName"
)
_POD_SUBRESOURCES = "attach binding ephemeralcontainers eviction exec log portforward proxy resize status"
_NO_COLLECTION = "create delete get list patch update watch"

ADMISSION = "admissionregistration.k8s.io/v1"
AUTHORIZATION = "authorization.k8s.io/v1"
CERTIFICATES = "certificates.k8s.io/v1"
FLOW = "flowcontrol.apiserver.k8s.io/v1"
NETWORKING = "networking.k8s.io/v1"
RBAC = "rbac.authorization.k8s.io/v1"
RESOURCE = "resource.k8s.io/v1"
STORAGE = "storage.k8s.io/v1"

ROWS: tuple[Row, ...] = (
    Row("v1", "Binding", "bindings", verbs="create"),
    Row("v1", "ComponentStatus", "componentstatuses", "cs", CLUSTER, verbs="get list"),
    Row("v1", "ConfigMap", "configmaps", "cm"),
    Row("v1", "Endpoints", "endpoints", "ep"),
    Row("v1", "Event", "events", "ev", fields=_INVOLVED),
    Row("v1", "LimitRange", "limitranges", "limits"),
    Row("v1", "Namespace", "namespaces", "ns", CLUSTER, "", "finalize status", _NO_COLLECTION, "status.phase"),
    Row("v1", "Node", "nodes", "no", CLUSTER, "", "proxy status", fields="spec.unschedulable"),
    Row("v1", "PersistentVolumeClaim", "persistentvolumeclaims", "pvc", subresources="status"),
    Row("v1", "PersistentVolume", "persistentvolumes", "pv", CLUSTER, subresources="status"),
    Row("v1", "Pod", "pods", "po", NS, "all", _POD_SUBRESOURCES, fields=_POD_FIELDS),
    Row("v1", "PodTemplate", "podtemplates"),
    Row(
        "v1",
        "ReplicationController",
        "replicationcontrollers",
        "rc",
        NS,
        "all",
        "scale status",
        ALL,
        "status.replicas",
    ),
    Row("v1", "ResourceQuota", "resourcequotas", "quota", subresources="status"),
    Row("v1", "Secret", "secrets", fields="type"),
    Row("v1", "Service", "services", "svc", NS, "all", "proxy status", fields="spec.clusterIP spec.type"),
    Row("v1", "ServiceAccount", "serviceaccounts", "sa", subresources="token"),
    Row("apps/v1", "ControllerRevision", "controllerrevisions"),
    Row("apps/v1", "DaemonSet", "daemonsets", "ds", NS, "all", "status"),
    Row("apps/v1", "Deployment", "deployments", "deploy", NS, "all", "scale status"),
    Row("apps/v1", "ReplicaSet", "replicasets", "rs", NS, "all", "scale status", fields="status.replicas"),
    Row("apps/v1", "StatefulSet", "statefulsets", "sts", NS, "all", "scale status"),
    Row("batch/v1", "CronJob", "cronjobs", "cj", NS, "all", "status"),
    Row("batch/v1", "Job", "jobs", "", NS, "all", "status", fields="status.successful"),
    # The preferred version of a group comes first.
    Row("autoscaling/v2", "HorizontalPodAutoscaler", "horizontalpodautoscalers", "hpa", NS, "all", "status"),
    Row("autoscaling/v1", "HorizontalPodAutoscaler", "horizontalpodautoscalers", "hpa", NS, "all", "status"),
    Row("policy/v1", "PodDisruptionBudget", "poddisruptionbudgets", "pdb", subresources="status"),
    Row(NETWORKING, "Ingress", "ingresses", "ing", subresources="status"),
    Row(NETWORKING, "IngressClass", "ingressclasses", "", CLUSTER),
    Row(NETWORKING, "NetworkPolicy", "networkpolicies", "netpol"),
    Row(NETWORKING, "IPAddress", "ipaddresses", "ip", CLUSTER),
    Row(NETWORKING, "ServiceCIDR", "servicecidrs", "", CLUSTER, subresources="status"),
    Row("discovery.k8s.io/v1", "EndpointSlice", "endpointslices"),
    Row("events.k8s.io/v1", "Event", "events", "ev", fields=f"{_REGARDING} {_INVOLVED}"),
    Row("coordination.k8s.io/v1", "Lease", "leases"),
    Row(RBAC, "ClusterRole", "clusterroles", "", CLUSTER),
    Row(RBAC, "ClusterRoleBinding", "clusterrolebindings", "", CLUSTER),
    Row(RBAC, "Role", "roles"),
    Row(RBAC, "RoleBinding", "rolebindings"),
    Row(STORAGE, "CSIDriver", "csidrivers", "", CLUSTER),
    Row(STORAGE, "CSINode", "csinodes", "", CLUSTER),
    Row(STORAGE, "CSIStorageCapacity", "csistoragecapacities"),
    Row(STORAGE, "StorageClass", "storageclasses", "sc", CLUSTER),
    Row(STORAGE, "VolumeAttachment", "volumeattachments", "", CLUSTER, subresources="status"),
    Row(STORAGE, "VolumeAttributesClass", "volumeattributesclasses", "vac", CLUSTER),
    Row("scheduling.k8s.io/v1", "PriorityClass", "priorityclasses", "pc", CLUSTER),
    Row("scheduling.k8s.io/v1alpha3", "PodGroup", "podgroups", subresources="status"),
    Row("scheduling.k8s.io/v1alpha3", "Workload", "workloads"),
    Row("node.k8s.io/v1", "RuntimeClass", "runtimeclasses", "", CLUSTER),
    Row(
        CERTIFICATES,
        "CertificateSigningRequest",
        "certificatesigningrequests",
        "csr",
        CLUSTER,
        subresources="approval status",
        fields="spec.signerName",
    ),
    Row(CERTIFICATES, "ClusterTrustBundle", "clustertrustbundles", "", CLUSTER, fields="spec.signerName"),
    Row(
        CERTIFICATES,
        "PodCertificateRequest",
        "podcertificaterequests",
        subresources="status",
        fields="spec.signerName spec.podName spec.nodeName",
    ),
    Row(ADMISSION, "MutatingWebhookConfiguration", "mutatingwebhookconfigurations", "", CLUSTER, "api-extensions"),
    Row(
        ADMISSION, "ValidatingWebhookConfiguration", "validatingwebhookconfigurations", "", CLUSTER, "api-extensions"
    ),
    Row(
        ADMISSION, "ValidatingAdmissionPolicy", "validatingadmissionpolicies", "", CLUSTER, "api-extensions", "status"
    ),
    Row(
        ADMISSION,
        "ValidatingAdmissionPolicyBinding",
        "validatingadmissionpolicybindings",
        "",
        CLUSTER,
        "api-extensions",
    ),
    Row(ADMISSION, "MutatingAdmissionPolicy", "mutatingadmissionpolicies", "", CLUSTER, "api-extensions"),
    Row(
        ADMISSION, "MutatingAdmissionPolicyBinding", "mutatingadmissionpolicybindings", "", CLUSTER, "api-extensions"
    ),
    Row(FLOW, "FlowSchema", "flowschemas", "", CLUSTER, subresources="status"),
    Row(FLOW, "PriorityLevelConfiguration", "prioritylevelconfigurations", "", CLUSTER, subresources="status"),
    Row(RESOURCE, "DeviceClass", "deviceclasses", "", CLUSTER),
    Row(RESOURCE, "ResourceClaim", "resourceclaims", subresources="status"),
    Row(RESOURCE, "ResourceClaimTemplate", "resourceclaimtemplates"),
    Row(RESOURCE, "ResourceSlice", "resourceslices", "", CLUSTER, fields="spec.nodeName spec.driver"),
    Row(RESOURCE, "DeviceTaintRule", "devicetaintrules", "", CLUSTER, subresources="status"),
    Row(
        "storagemigration.k8s.io/v1", "StorageVersionMigration", "storageversionmigrations", "", CLUSTER, "", "status"
    ),
    Row(
        "apiextensions.k8s.io/v1",
        "CustomResourceDefinition",
        "customresourcedefinitions",
        "crd crds",
        CLUSTER,
        "api-extensions",
        "status",
    ),
    Row("apiregistration.k8s.io/v1", "APIService", "apiservices", "", CLUSTER, "api-extensions", "status"),
    Row("authentication.k8s.io/v1", "TokenReview", "tokenreviews", "", CLUSTER, verbs="create"),
    Row("authentication.k8s.io/v1", "SelfSubjectReview", "selfsubjectreviews", "", CLUSTER, verbs="create"),
    Row(AUTHORIZATION, "SubjectAccessReview", "subjectaccessreviews", "", CLUSTER, verbs="create"),
    Row(AUTHORIZATION, "SelfSubjectAccessReview", "selfsubjectaccessreviews", "", CLUSTER, verbs="create"),
    Row(AUTHORIZATION, "SelfSubjectRulesReview", "selfsubjectrulesreviews", "", CLUSTER, verbs="create"),
    Row(AUTHORIZATION, "LocalSubjectAccessReview", "localsubjectaccessreviews", verbs="create"),
)
