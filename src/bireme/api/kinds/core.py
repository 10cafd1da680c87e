"""The kinds of core, as the published schema gives them. Made by tools/generate_kinds.py: do not edit."""

from __future__ import annotations

from msgspec import field

from bireme.api.kinds import meta
from bireme.api.kinds.meta import Object
from bireme.api.model import IntOrString, Model, Quantity


class AWSElasticBlockStoreVolumeSource(Model):
    fs_type: str = ""
    partition: int | None = None
    read_only: bool | None = None
    volume_id: str = field(default="", name="volumeID")


class Affinity(Model):
    node_affinity: NodeAffinity | None = None
    pod_affinity: PodAffinity | None = None
    pod_anti_affinity: PodAntiAffinity | None = None


class AppArmorProfile(Model):
    localhost_profile: str = ""
    type: str = ""


class AttachedVolume(Model):
    device_path: str = ""
    name: str = ""


class AzureDiskVolumeSource(Model):
    caching_mode: str = ""
    disk_name: str = ""
    disk_uri: str = field(default="", name="diskURI")
    fs_type: str = ""
    kind: str = ""
    read_only: bool | None = None


class AzureFilePersistentVolumeSource(Model):
    read_only: bool | None = None
    secret_name: str = ""
    secret_namespace: str = ""
    share_name: str = ""


class AzureFileVolumeSource(Model):
    read_only: bool | None = None
    secret_name: str = ""
    share_name: str = ""


class Binding(Object):
    __gvk__ = ("", "v1", "Binding")
    target: ObjectReference = field(default_factory=lambda: ObjectReference())


class CSIPersistentVolumeSource(Model):
    controller_expand_secret_ref: SecretReference | None = None
    controller_publish_secret_ref: SecretReference | None = None
    driver: str = ""
    fs_type: str = ""
    node_expand_secret_ref: SecretReference | None = None
    node_publish_secret_ref: SecretReference | None = None
    node_stage_secret_ref: SecretReference | None = None
    read_only: bool | None = None
    volume_attributes: dict[str, str] = {}
    volume_handle: str = ""


class CSIVolumeSource(Model):
    driver: str = ""
    fs_type: str = ""
    node_publish_secret_ref: LocalObjectReference | None = None
    read_only: bool | None = None
    volume_attributes: dict[str, str] = {}


class Capabilities(Model):
    add: list[str] = []
    drop: list[str] = []


class CephFSPersistentVolumeSource(Model):
    monitors: list[str] = []
    path: str = ""
    read_only: bool | None = None
    secret_file: str = ""
    secret_ref: SecretReference | None = None
    user: str = ""


class CephFSVolumeSource(Model):
    monitors: list[str] = []
    path: str = ""
    read_only: bool | None = None
    secret_file: str = ""
    secret_ref: LocalObjectReference | None = None
    user: str = ""


class CinderPersistentVolumeSource(Model):
    fs_type: str = ""
    read_only: bool | None = None
    secret_ref: SecretReference | None = None
    volume_id: str = field(default="", name="volumeID")


class CinderVolumeSource(Model):
    fs_type: str = ""
    read_only: bool | None = None
    secret_ref: LocalObjectReference | None = None
    volume_id: str = field(default="", name="volumeID")


class ClientIPConfig(Model):
    timeout_seconds: int | None = None


class ClusterTrustBundleProjection(Model):
    label_selector: meta.LabelSelector | None = None
    name: str = ""
    optional: bool | None = None
    path: str = ""
    signer_name: str = ""
    user: int | None = None


class ComponentCondition(Model):
    error: str = ""
    message: str = ""
    status: str = ""
    type: str = ""


class ComponentStatus(Object):
    __gvk__ = ("", "v1", "ComponentStatus")
    conditions: list[ComponentCondition] = []


class ConfigMap(Object):
    __gvk__ = ("", "v1", "ConfigMap")
    binary_data: dict[str, str] = {}
    data: dict[str, str] = {}
    immutable: bool | None = None


class ConfigMapEnvSource(Model):
    name: str = ""
    optional: bool | None = None


class ConfigMapKeySelector(Model):
    key: str = ""
    name: str = ""
    optional: bool | None = None


class ConfigMapNodeConfigSource(Model):
    kubelet_config_key: str = ""
    name: str = ""
    namespace: str = ""
    resource_version: str = ""
    uid: str = ""


class ConfigMapProjection(Model):
    items: list[KeyToPath] = []
    name: str = ""
    optional: bool | None = None


class ConfigMapVolumeSource(Model):
    default_mode: int | None = None
    default_user: int | None = None
    items: list[KeyToPath] = []
    name: str = ""
    optional: bool | None = None


class Container(Model):
    args: list[str] = []
    command: list[str] = []
    env: list[EnvVar] = []
    env_from: list[EnvFromSource] = []
    image: str = ""
    image_pull_policy: str = ""
    lifecycle: Lifecycle | None = None
    liveness_probe: Probe | None = None
    name: str = ""
    ports: list[ContainerPort] = []
    readiness_probe: Probe | None = None
    resize_policy: list[ContainerResizePolicy] = []
    resources: ResourceRequirements | None = None
    restart_policy: str = ""
    restart_policy_rules: list[ContainerRestartRule] = []
    security_context: SecurityContext | None = None
    startup_probe: Probe | None = None
    stdin: bool | None = None
    stdin_once: bool | None = None
    termination_message_path: str = ""
    termination_message_policy: str = ""
    tty: bool | None = None
    volume_devices: list[VolumeDevice] = []
    volume_mounts: list[VolumeMount] = []
    working_dir: str = ""


class ContainerExtendedResourceRequest(Model):
    container_name: str = ""
    request_name: str = ""
    resource_name: str = ""


class ContainerImage(Model):
    names: list[str] = []
    size_bytes: int | None = None


class ContainerPort(Model):
    container_port: int | None = None
    host_ip: str = field(default="", name="hostIP")
    host_port: int | None = None
    name: str = ""
    protocol: str = ""


class ContainerResizePolicy(Model):
    resource_name: str = ""
    restart_policy: str = ""


class ContainerRestartRule(Model):
    action: str = ""
    exit_codes: ContainerRestartRuleOnExitCodes | None = None


class ContainerRestartRuleOnExitCodes(Model):
    operator: str = ""
    values: list[int] = []


class ContainerState(Model):
    running: ContainerStateRunning | None = None
    terminated: ContainerStateTerminated | None = None
    waiting: ContainerStateWaiting | None = None


class ContainerStateRunning(Model):
    started_at: str = ""


class ContainerStateTerminated(Model):
    container_id: str = field(default="", name="containerID")
    exit_code: int | None = None
    finished_at: str = ""
    message: str = ""
    reason: str = ""
    signal: int | None = None
    started_at: str = ""


class ContainerStateWaiting(Model):
    message: str = ""
    reason: str = ""


class ContainerStatus(Model):
    allocated_resources: dict[str, Quantity] = {}
    allocated_resources_status: list[ResourceStatus] = []
    container_id: str = field(default="", name="containerID")
    image: str = ""
    image_id: str = field(default="", name="imageID")
    last_state: ContainerState | None = None
    name: str = ""
    ready: bool | None = None
    resources: ResourceRequirements | None = None
    restart_count: int | None = None
    started: bool | None = None
    state: ContainerState | None = None
    stop_signal: str = ""
    user: ContainerUser | None = None
    volume_mounts: list[VolumeMountStatus] = []


class ContainerUser(Model):
    linux: LinuxContainerUser | None = None


class DaemonEndpoint(Model):
    port: int | None = field(default=None, name="Port")


class DownwardAPIProjection(Model):
    items: list[DownwardAPIVolumeFile] = []


class DownwardAPIVolumeFile(Model):
    field_ref: ObjectFieldSelector | None = None
    mode: int | None = None
    path: str = ""
    resource_field_ref: ResourceFieldSelector | None = None
    user: int | None = None


class DownwardAPIVolumeSource(Model):
    default_mode: int | None = None
    default_user: int | None = None
    items: list[DownwardAPIVolumeFile] = []


class EmptyDirVolumeSource(Model):
    medium: str = ""
    mode: int | None = None
    size_limit: Quantity = ""


class EndpointAddress(Model):
    hostname: str = ""
    ip: str = ""
    node_name: str = ""
    target_ref: ObjectReference | None = None


class EndpointPort(Model):
    app_protocol: str = ""
    name: str = ""
    port: int | None = None
    protocol: str = ""


class EndpointSubset(Model):
    addresses: list[EndpointAddress] = []
    not_ready_addresses: list[EndpointAddress] = []
    ports: list[EndpointPort] = []


class Endpoints(Object):
    __gvk__ = ("", "v1", "Endpoints")
    subsets: list[EndpointSubset] = []


class EnvFromSource(Model):
    config_map_ref: ConfigMapEnvSource | None = None
    prefix: str = ""
    secret_ref: SecretEnvSource | None = None


class EnvVar(Model):
    name: str = ""
    value: str = ""
    value_from: EnvVarSource | None = None


class EnvVarSource(Model):
    config_map_key_ref: ConfigMapKeySelector | None = None
    field_ref: ObjectFieldSelector | None = None
    file_key_ref: FileKeySelector | None = None
    resource_field_ref: ResourceFieldSelector | None = None
    secret_key_ref: SecretKeySelector | None = None


class EphemeralContainer(Model):
    args: list[str] = []
    command: list[str] = []
    env: list[EnvVar] = []
    env_from: list[EnvFromSource] = []
    image: str = ""
    image_pull_policy: str = ""
    lifecycle: Lifecycle | None = None
    liveness_probe: Probe | None = None
    name: str = ""
    ports: list[ContainerPort] = []
    readiness_probe: Probe | None = None
    resize_policy: list[ContainerResizePolicy] = []
    resources: ResourceRequirements | None = None
    restart_policy: str = ""
    restart_policy_rules: list[ContainerRestartRule] = []
    security_context: SecurityContext | None = None
    startup_probe: Probe | None = None
    stdin: bool | None = None
    stdin_once: bool | None = None
    target_container_name: str = ""
    termination_message_path: str = ""
    termination_message_policy: str = ""
    tty: bool | None = None
    volume_devices: list[VolumeDevice] = []
    volume_mounts: list[VolumeMount] = []
    working_dir: str = ""


class EphemeralVolumeSource(Model):
    volume_claim_template: PersistentVolumeClaimTemplate | None = None


class Event(Object):
    __gvk__ = ("", "v1", "Event")
    action: str = ""
    count: int | None = None
    event_time: str = ""
    first_timestamp: str = ""
    involved_object: ObjectReference = field(default_factory=lambda: ObjectReference())
    last_timestamp: str = ""
    message: str = ""
    reason: str = ""
    related: ObjectReference | None = None
    reporting_component: str = ""
    reporting_instance: str = ""
    series: EventSeries | None = None
    source: EventSource | None = None
    type: str = ""


class EventSeries(Model):
    count: int | None = None
    last_observed_time: str = ""


class EventSource(Model):
    component: str = ""
    host: str = ""


class EvictionResponder(Model):
    name: str = ""
    priority: int | None = None


class ExecAction(Model):
    command: list[str] = []


class FCVolumeSource(Model):
    fs_type: str = ""
    lun: int | None = None
    read_only: bool | None = None
    target_ww_ns: list[str] = field(default_factory=list, name="targetWWNs")
    wwids: list[str] = []


class FileKeySelector(Model):
    key: str = ""
    optional: bool | None = None
    path: str = ""
    volume_name: str = ""


class FlexPersistentVolumeSource(Model):
    driver: str = ""
    fs_type: str = ""
    options: dict[str, str] = {}
    read_only: bool | None = None
    secret_ref: SecretReference | None = None


class FlexVolumeSource(Model):
    driver: str = ""
    fs_type: str = ""
    options: dict[str, str] = {}
    read_only: bool | None = None
    secret_ref: LocalObjectReference | None = None


class FlockerVolumeSource(Model):
    dataset_name: str = ""
    dataset_uuid: str = field(default="", name="datasetUUID")


class GCEPersistentDiskVolumeSource(Model):
    fs_type: str = ""
    partition: int | None = None
    pd_name: str = ""
    read_only: bool | None = None


class GRPCAction(Model):
    mode: str = ""
    port: int | None = None
    service: str = ""


class GitRepoVolumeSource(Model):
    directory: str = ""
    repository: str = ""
    revision: str = ""


class GlusterfsPersistentVolumeSource(Model):
    endpoints: str = ""
    endpoints_namespace: str = ""
    path: str = ""
    read_only: bool | None = None


class GlusterfsVolumeSource(Model):
    endpoints: str = ""
    path: str = ""
    read_only: bool | None = None


class HTTPGetAction(Model):
    host: str = ""
    http_headers: list[HTTPHeader] = []
    path: str = ""
    port: IntOrString | None = None
    protocol: str = ""
    scheme: str = ""


class HTTPHeader(Model):
    name: str = ""
    value: str = ""


class HostAlias(Model):
    hostnames: list[str] = []
    ip: str = ""


class HostIP(Model):
    ip: str = ""


class HostPathVolumeSource(Model):
    path: str = ""
    type: str = ""


class ISCSIPersistentVolumeSource(Model):
    chap_auth_discovery: bool | None = None
    chap_auth_session: bool | None = None
    fs_type: str = ""
    initiator_name: str = ""
    iqn: str = ""
    iscsi_interface: str = ""
    lun: int | None = None
    portals: list[str] = []
    read_only: bool | None = None
    secret_ref: SecretReference | None = None
    target_portal: str = ""


class ISCSIVolumeSource(Model):
    chap_auth_discovery: bool | None = None
    chap_auth_session: bool | None = None
    fs_type: str = ""
    initiator_name: str = ""
    iqn: str = ""
    iscsi_interface: str = ""
    lun: int | None = None
    portals: list[str] = []
    read_only: bool | None = None
    secret_ref: LocalObjectReference | None = None
    target_portal: str = ""


class ImageVolumeSource(Model):
    pull_policy: str = ""
    reference: str = ""


class ImageVolumeStatus(Model):
    image_ref: str = ""


class KeyToPath(Model):
    key: str = ""
    mode: int | None = None
    path: str = ""
    user: int | None = None


class Lifecycle(Model):
    post_start: LifecycleHandler | None = None
    pre_stop: LifecycleHandler | None = None
    stop_signal: str = ""


class LifecycleHandler(Model):
    exec: ExecAction | None = None
    http_get: HTTPGetAction | None = None
    sleep: SleepAction | None = None
    tcp_socket: TCPSocketAction | None = None


class LimitRange(Object):
    __gvk__ = ("", "v1", "LimitRange")
    spec: LimitRangeSpec = field(default_factory=lambda: LimitRangeSpec())


class LimitRangeItem(Model):
    default: dict[str, Quantity] = {}
    default_request: dict[str, Quantity] = {}
    max: dict[str, Quantity] = {}
    max_limit_request_ratio: dict[str, Quantity] = {}
    min: dict[str, Quantity] = {}
    type: str = ""


class LimitRangeSpec(Model):
    limits: list[LimitRangeItem] = []


class LinuxContainerUser(Model):
    gid: int | None = None
    supplemental_groups: list[int] = []
    uid: int | None = None


class LoadBalancerIngress(Model):
    hostname: str = ""
    ip: str = ""
    ip_mode: str = ""
    ports: list[PortStatus] = []


class LoadBalancerStatus(Model):
    ingress: list[LoadBalancerIngress] = []


class LocalObjectReference(Model):
    name: str = ""


class LocalVolumeSource(Model):
    fs_type: str = ""
    path: str = ""


class ModifyVolumeStatus(Model):
    status: str = ""
    target_volume_attributes_class_name: str = ""


class NFSVolumeSource(Model):
    path: str = ""
    read_only: bool | None = None
    server: str = ""


class Namespace(Object):
    __gvk__ = ("", "v1", "Namespace")
    spec: NamespaceSpec = field(default_factory=lambda: NamespaceSpec())
    status: NamespaceStatus = field(default_factory=lambda: NamespaceStatus())


class NamespaceCondition(Model):
    last_transition_time: str = ""
    message: str = ""
    reason: str = ""
    status: str = ""
    type: str = ""


class NamespaceSpec(Model):
    finalizers: list[str] = []


class NamespaceStatus(Model):
    conditions: list[NamespaceCondition] = []
    phase: str = ""


class Node(Object):
    __gvk__ = ("", "v1", "Node")
    spec: NodeSpec = field(default_factory=lambda: NodeSpec())
    status: NodeStatus = field(default_factory=lambda: NodeStatus())


class NodeAddress(Model):
    address: str = ""
    type: str = ""


class NodeAffinity(Model):
    preferred_during_scheduling_ignored_during_execution: list[PreferredSchedulingTerm] = []
    required_during_scheduling_ignored_during_execution: NodeSelector | None = None


class NodeAllocatableMappedResources(Model):
    name: str = ""
    quantity: Quantity = ""


class NodeAllocatableOverheadResources(Model):
    name: str = ""
    per_container: Quantity = ""
    per_pod: Quantity = ""


class NodeAllocatableResourceClaimStatus(Model):
    containers: list[str] = []
    mapping: list[NodeAllocatableMappedResources] = []
    overhead: list[NodeAllocatableOverheadResources] = []
    resource_claim_name: str = ""


class NodeCondition(Model):
    last_heartbeat_time: str = ""
    last_transition_time: str = ""
    message: str = ""
    reason: str = ""
    status: str = ""
    type: str = ""


class NodeConfigSource(Model):
    config_map: ConfigMapNodeConfigSource | None = None


class NodeConfigStatus(Model):
    active: NodeConfigSource | None = None
    assigned: NodeConfigSource | None = None
    error: str = ""
    last_known_good: NodeConfigSource | None = None


class NodeDaemonEndpoints(Model):
    kubelet_endpoint: DaemonEndpoint | None = None


class NodeFeatures(Model):
    supplemental_groups_policy: bool | None = None


class NodePodPreemptionPolicy(Model):
    disable_resize_preemption: list[str] = []


class NodeRuntimeHandler(Model):
    features: NodeRuntimeHandlerFeatures | None = None
    name: str = ""


class NodeRuntimeHandlerFeatures(Model):
    recursive_read_only_mounts: bool | None = None
    user_namespaces: bool | None = None


class NodeSelector(Model):
    node_selector_terms: list[NodeSelectorTerm] = []


class NodeSelectorRequirement(Model):
    key: str = ""
    operator: str = ""
    values: list[str] = []


class NodeSelectorTerm(Model):
    match_expressions: list[NodeSelectorRequirement] = []
    match_fields: list[NodeSelectorRequirement] = []


class NodeSpec(Model):
    config_source: NodeConfigSource | None = None
    external_id: str = field(default="", name="externalID")
    pod_cidr: str = field(default="", name="podCIDR")
    pod_cidrs: list[str] = field(default_factory=list, name="podCIDRs")
    pod_preemption_policy: NodePodPreemptionPolicy | None = None
    provider_id: str = field(default="", name="providerID")
    taints: list[Taint] = []
    unschedulable: bool | None = None


class NodeStatus(Model):
    addresses: list[NodeAddress] = []
    allocatable: dict[str, Quantity] = {}
    capacity: dict[str, Quantity] = {}
    conditions: list[NodeCondition] = []
    config: NodeConfigStatus | None = None
    daemon_endpoints: NodeDaemonEndpoints | None = None
    declared_features: list[str] = []
    features: NodeFeatures | None = None
    images: list[ContainerImage] = []
    node_info: NodeSystemInfo | None = None
    phase: str = ""
    runtime_handlers: list[NodeRuntimeHandler] = []
    volumes_attached: list[AttachedVolume] = []
    volumes_in_use: list[str] = []


class NodeSwapStatus(Model):
    capacity: int | None = None


class NodeSystemInfo(Model):
    architecture: str = ""
    boot_id: str = field(default="", name="bootID")
    container_runtime_version: str = ""
    kernel_version: str = ""
    kube_proxy_version: str = ""
    kubelet_version: str = ""
    machine_id: str = field(default="", name="machineID")
    operating_system: str = ""
    os_image: str = ""
    running_in_user_namespace: bool | None = None
    swap: NodeSwapStatus | None = None
    system_uuid: str = field(default="", name="systemUUID")


class ObjectFieldSelector(Model):
    api_version: str = ""
    field_path: str = ""


class ObjectReference(Model):
    api_version: str = ""
    field_path: str = ""
    kind: str = ""
    name: str = ""
    namespace: str = ""
    resource_version: str = ""
    uid: str = ""


class PersistentVolume(Object):
    __gvk__ = ("", "v1", "PersistentVolume")
    spec: PersistentVolumeSpec = field(default_factory=lambda: PersistentVolumeSpec())
    status: PersistentVolumeStatus = field(default_factory=lambda: PersistentVolumeStatus())


class PersistentVolumeClaim(Object):
    __gvk__ = ("", "v1", "PersistentVolumeClaim")
    spec: PersistentVolumeClaimSpec = field(default_factory=lambda: PersistentVolumeClaimSpec())
    status: PersistentVolumeClaimStatus = field(default_factory=lambda: PersistentVolumeClaimStatus())


class PersistentVolumeClaimCondition(Model):
    last_probe_time: str = ""
    last_transition_time: str = ""
    message: str = ""
    reason: str = ""
    status: str = ""
    type: str = ""


class PersistentVolumeClaimSpec(Model):
    access_modes: list[str] = []
    data_source: TypedLocalObjectReference | None = None
    data_source_ref: TypedObjectReference | None = None
    resources: VolumeResourceRequirements | None = None
    selector: meta.LabelSelector | None = None
    storage_class_name: str = ""
    volume_attributes_class_name: str = ""
    volume_mode: str = ""
    volume_name: str = ""


class PersistentVolumeClaimStatus(Model):
    access_modes: list[str] = []
    allocated_resource_statuses: dict[str, str] = {}
    allocated_resources: dict[str, Quantity] = {}
    capacity: dict[str, Quantity] = {}
    conditions: list[PersistentVolumeClaimCondition] = []
    current_volume_attributes_class_name: str = ""
    health_status: VolumeHealthStatus | None = None
    modify_volume_status: ModifyVolumeStatus | None = None
    phase: str = ""


class PersistentVolumeClaimTemplate(Model):
    metadata: meta.ObjectMeta = field(default_factory=lambda: meta.ObjectMeta())
    spec: PersistentVolumeClaimSpec = field(default_factory=lambda: PersistentVolumeClaimSpec())


class PersistentVolumeClaimVolumeSource(Model):
    claim_name: str = ""
    read_only: bool | None = None


class PersistentVolumeSpec(Model):
    access_modes: list[str] = []
    aws_elastic_block_store: AWSElasticBlockStoreVolumeSource | None = None
    azure_disk: AzureDiskVolumeSource | None = None
    azure_file: AzureFilePersistentVolumeSource | None = None
    capacity: dict[str, Quantity] = {}
    cephfs: CephFSPersistentVolumeSource | None = None
    cinder: CinderPersistentVolumeSource | None = None
    claim_ref: ObjectReference | None = None
    csi: CSIPersistentVolumeSource | None = None
    fc: FCVolumeSource | None = None
    flex_volume: FlexPersistentVolumeSource | None = None
    flocker: FlockerVolumeSource | None = None
    gce_persistent_disk: GCEPersistentDiskVolumeSource | None = None
    glusterfs: GlusterfsPersistentVolumeSource | None = None
    host_path: HostPathVolumeSource | None = None
    iscsi: ISCSIPersistentVolumeSource | None = None
    local: LocalVolumeSource | None = None
    mount_options: list[str] = []
    nfs: NFSVolumeSource | None = None
    node_affinity: VolumeNodeAffinity | None = None
    persistent_volume_reclaim_policy: str = ""
    photon_persistent_disk: PhotonPersistentDiskVolumeSource | None = None
    portworx_volume: PortworxVolumeSource | None = None
    quobyte: QuobyteVolumeSource | None = None
    rbd: RBDPersistentVolumeSource | None = None
    scale_io: ScaleIOPersistentVolumeSource | None = field(default=None, name="scaleIO")
    storage_class_name: str = ""
    storageos: StorageOSPersistentVolumeSource | None = None
    volume_attributes_class_name: str = ""
    volume_mode: str = ""
    vsphere_volume: VsphereVirtualDiskVolumeSource | None = None


class PersistentVolumeStatus(Model):
    last_phase_transition_time: str = ""
    message: str = ""
    phase: str = ""
    reason: str = ""


class PhotonPersistentDiskVolumeSource(Model):
    fs_type: str = ""
    pd_id: str = field(default="", name="pdID")


class Pod(Object):
    __gvk__ = ("", "v1", "Pod")
    spec: PodSpec = field(default_factory=lambda: PodSpec())
    status: PodStatus = field(default_factory=lambda: PodStatus())


class PodAffinity(Model):
    preferred_during_scheduling_ignored_during_execution: list[WeightedPodAffinityTerm] = []
    required_during_scheduling_ignored_during_execution: list[PodAffinityTerm] = []


class PodAffinityTerm(Model):
    label_selector: meta.LabelSelector | None = None
    match_label_keys: list[str] = []
    mismatch_label_keys: list[str] = []
    namespace_selector: meta.LabelSelector | None = None
    namespaces: list[str] = []
    topology_key: str = ""


class PodAntiAffinity(Model):
    preferred_during_scheduling_ignored_during_execution: list[WeightedPodAffinityTerm] = []
    required_during_scheduling_ignored_during_execution: list[PodAffinityTerm] = []


class PodCertificateProjection(Model):
    certificate_chain_path: str = ""
    credential_bundle_path: str = ""
    key_path: str = ""
    key_type: str = ""
    max_expiration_seconds: int | None = None
    signer_name: str = ""
    user: int | None = None
    user_annotations: dict[str, str] = {}


class PodCondition(Model):
    last_probe_time: str = ""
    last_transition_time: str = ""
    message: str = ""
    observed_generation: int | None = None
    reason: str = ""
    status: str = ""
    type: str = ""


class PodDNSConfig(Model):
    nameservers: list[str] = []
    options: list[PodDNSConfigOption] = []
    searches: list[str] = []


class PodDNSConfigOption(Model):
    name: str = ""
    value: str = ""


class PodExtendedResourceClaimStatus(Model):
    request_mappings: list[ContainerExtendedResourceRequest] = []
    resource_claim_name: str = ""


class PodIP(Model):
    ip: str = ""


class PodOS(Model):
    name: str = ""


class PodReadinessGate(Model):
    condition_type: str = ""


class PodResourceClaim(Model):
    name: str = ""
    resource_claim_name: str = ""
    resource_claim_template_name: str = ""


class PodResourceClaimStatus(Model):
    name: str = ""
    resource_claim_name: str = ""


class PodSchedulingGate(Model):
    name: str = ""


class PodSchedulingGroup(Model):
    pod_group_name: str = ""


class PodSecurityContext(Model):
    app_armor_profile: AppArmorProfile | None = None
    fs_group: int | None = None
    fs_group_change_policy: str = ""
    run_as_group: int | None = None
    run_as_non_root: bool | None = None
    run_as_user: int | None = None
    se_linux_change_policy: str = ""
    se_linux_options: SELinuxOptions | None = None
    seccomp_profile: SeccompProfile | None = None
    supplemental_groups: list[int] = []
    supplemental_groups_policy: str = ""
    sysctls: list[Sysctl] = []
    windows_options: WindowsSecurityContextOptions | None = None


class PodSpec(Model):
    active_deadline_seconds: int | None = None
    affinity: Affinity | None = None
    automount_service_account_token: bool | None = None
    containers: list[Container] = []
    dns_config: PodDNSConfig | None = None
    dns_policy: str = ""
    enable_service_links: bool | None = None
    ephemeral_containers: list[EphemeralContainer] = []
    eviction_responders: list[EvictionResponder] = []
    host_aliases: list[HostAlias] = []
    host_ipc: bool | None = field(default=None, name="hostIPC")
    host_network: bool | None = None
    host_pid: bool | None = field(default=None, name="hostPID")
    host_users: bool | None = None
    hostname: str = ""
    hostname_override: str = ""
    image_pull_secrets: list[LocalObjectReference] = []
    init_containers: list[Container] = []
    node_name: str = ""
    node_selector: dict[str, str] = {}
    os: PodOS | None = None
    overhead: dict[str, Quantity] = {}
    preemption_policy: str = ""
    priority: int | None = None
    priority_class_name: str = ""
    readiness_gates: list[PodReadinessGate] = []
    resource_claims: list[PodResourceClaim] = []
    resources: ResourceRequirements | None = None
    restart_policy: str = ""
    runtime_class_name: str = ""
    scheduler_name: str = ""
    scheduling_gates: list[PodSchedulingGate] = []
    scheduling_group: PodSchedulingGroup | None = None
    security_context: PodSecurityContext | None = None
    service_account: str = ""
    service_account_name: str = ""
    set_hostname_as_fqdn: bool | None = field(default=None, name="setHostnameAsFQDN")
    share_process_namespace: bool | None = None
    subdomain: str = ""
    termination_grace_period_seconds: int | None = None
    tolerations: list[Toleration] = []
    topology_spread_constraints: list[TopologySpreadConstraint] = []
    volumes: list[Volume] = []


class PodStatus(Model):
    allocated_resources: dict[str, Quantity] = {}
    conditions: list[PodCondition] = []
    container_statuses: list[ContainerStatus] = []
    ephemeral_container_statuses: list[ContainerStatus] = []
    extended_resource_claim_status: PodExtendedResourceClaimStatus | None = None
    host_ip: str = field(default="", name="hostIP")
    host_ips: list[HostIP] = field(default_factory=list, name="hostIPs")
    init_container_statuses: list[ContainerStatus] = []
    message: str = ""
    node_allocatable_resource_claim_statuses: list[NodeAllocatableResourceClaimStatus] = []
    nominated_node_name: str = ""
    observed_generation: int | None = None
    phase: str = ""
    pod_ip: str = field(default="", name="podIP")
    pod_ips: list[PodIP] = field(default_factory=list, name="podIPs")
    qos_class: str = ""
    reason: str = ""
    resize: str = ""
    resource_claim_statuses: list[PodResourceClaimStatus] = []
    resources: ResourceRequirements | None = None
    start_time: str = ""
    volume_health: list[PodVolumeHealth] = []


class PodTemplate(Object):
    __gvk__ = ("", "v1", "PodTemplate")
    template: PodTemplateSpec | None = None


class PodTemplateSpec(Model):
    metadata: meta.ObjectMeta = field(default_factory=lambda: meta.ObjectMeta())
    spec: PodSpec = field(default_factory=lambda: PodSpec())


class PodVolumeHealth(Model):
    health_conditions: list[VolumeHealthCondition] = []
    last_transition_time: str = ""
    name: str = ""


class PortStatus(Model):
    error: str = ""
    port: int | None = None
    protocol: str = ""


class PortworxVolumeSource(Model):
    fs_type: str = ""
    read_only: bool | None = None
    volume_id: str = field(default="", name="volumeID")


class PreferredSchedulingTerm(Model):
    preference: NodeSelectorTerm = field(default_factory=lambda: NodeSelectorTerm())
    weight: int | None = None


class Probe(Model):
    exec: ExecAction | None = None
    failure_threshold: int | None = None
    grpc: GRPCAction | None = None
    http_get: HTTPGetAction | None = None
    initial_delay_seconds: int | None = None
    period_seconds: int | None = None
    success_threshold: int | None = None
    tcp_socket: TCPSocketAction | None = None
    termination_grace_period_seconds: int | None = None
    timeout_seconds: int | None = None


class ProjectedVolumeSource(Model):
    default_mode: int | None = None
    default_user: int | None = None
    sources: list[VolumeProjection] = []


class QuobyteVolumeSource(Model):
    group: str = ""
    read_only: bool | None = None
    registry: str = ""
    tenant: str = ""
    user: str = ""
    volume: str = ""


class RBDPersistentVolumeSource(Model):
    fs_type: str = ""
    image: str = ""
    keyring: str = ""
    monitors: list[str] = []
    pool: str = ""
    read_only: bool | None = None
    secret_ref: SecretReference | None = None
    user: str = ""


class RBDVolumeSource(Model):
    fs_type: str = ""
    image: str = ""
    keyring: str = ""
    monitors: list[str] = []
    pool: str = ""
    read_only: bool | None = None
    secret_ref: LocalObjectReference | None = None
    user: str = ""


class ReplicationController(Object):
    __gvk__ = ("", "v1", "ReplicationController")
    spec: ReplicationControllerSpec = field(default_factory=lambda: ReplicationControllerSpec())
    status: ReplicationControllerStatus = field(default_factory=lambda: ReplicationControllerStatus())


class ReplicationControllerCondition(Model):
    last_transition_time: str = ""
    message: str = ""
    reason: str = ""
    status: str = ""
    type: str = ""


class ReplicationControllerSpec(Model):
    min_ready_seconds: int | None = None
    replicas: int | None = None
    selector: dict[str, str] = {}
    template: PodTemplateSpec | None = None


class ReplicationControllerStatus(Model):
    available_replicas: int | None = None
    conditions: list[ReplicationControllerCondition] = []
    fully_labeled_replicas: int | None = None
    observed_generation: int | None = None
    ready_replicas: int | None = None
    replicas: int | None = None


class ResourceClaim(Model):
    name: str = ""
    request: str = ""


class ResourceFieldSelector(Model):
    container_name: str = ""
    divisor: Quantity = ""
    resource: str = ""


class ResourceHealth(Model):
    health: str = ""
    message: str = ""
    resource_id: str = field(default="", name="resourceID")


class ResourceQuota(Object):
    __gvk__ = ("", "v1", "ResourceQuota")
    spec: ResourceQuotaSpec = field(default_factory=lambda: ResourceQuotaSpec())
    status: ResourceQuotaStatus = field(default_factory=lambda: ResourceQuotaStatus())


class ResourceQuotaSpec(Model):
    hard: dict[str, Quantity] = {}
    scope_selector: ScopeSelector | None = None
    scopes: list[str] = []


class ResourceQuotaStatus(Model):
    hard: dict[str, Quantity] = {}
    used: dict[str, Quantity] = {}


class ResourceRequirements(Model):
    claims: list[ResourceClaim] = []
    limits: dict[str, Quantity] = {}
    requests: dict[str, Quantity] = {}


class ResourceStatus(Model):
    name: str = ""
    resources: list[ResourceHealth] = []


class SELinuxOptions(Model):
    level: str = ""
    role: str = ""
    type: str = ""
    user: str = ""


class ScaleIOPersistentVolumeSource(Model):
    fs_type: str = ""
    gateway: str = ""
    protection_domain: str = ""
    read_only: bool | None = None
    secret_ref: SecretReference = field(default_factory=lambda: SecretReference())
    ssl_enabled: bool | None = None
    storage_mode: str = ""
    storage_pool: str = ""
    system: str = ""
    volume_name: str = ""


class ScaleIOVolumeSource(Model):
    fs_type: str = ""
    gateway: str = ""
    protection_domain: str = ""
    read_only: bool | None = None
    secret_ref: LocalObjectReference = field(default_factory=lambda: LocalObjectReference())
    ssl_enabled: bool | None = None
    storage_mode: str = ""
    storage_pool: str = ""
    system: str = ""
    volume_name: str = ""


class ScopeSelector(Model):
    match_expressions: list[ScopedResourceSelectorRequirement] = []


class ScopedResourceSelectorRequirement(Model):
    operator: str = ""
    scope_name: str = ""
    values: list[str] = []


class SeccompProfile(Model):
    localhost_profile: str = ""
    type: str = ""


class Secret(Object):
    __gvk__ = ("", "v1", "Secret")
    data: dict[str, str] = {}
    immutable: bool | None = None
    string_data: dict[str, str] = {}
    type: str = ""


class SecretEnvSource(Model):
    name: str = ""
    optional: bool | None = None


class SecretKeySelector(Model):
    key: str = ""
    name: str = ""
    optional: bool | None = None


class SecretProjection(Model):
    items: list[KeyToPath] = []
    name: str = ""
    optional: bool | None = None


class SecretReference(Model):
    name: str = ""
    namespace: str = ""


class SecretVolumeSource(Model):
    default_mode: int | None = None
    default_user: int | None = None
    items: list[KeyToPath] = []
    optional: bool | None = None
    secret_name: str = ""


class SecurityContext(Model):
    allow_privilege_escalation: bool | None = None
    app_armor_profile: AppArmorProfile | None = None
    capabilities: Capabilities | None = None
    privileged: bool | None = None
    proc_mount: str = ""
    read_only_root_filesystem: bool | None = None
    run_as_group: int | None = None
    run_as_non_root: bool | None = None
    run_as_user: int | None = None
    se_linux_options: SELinuxOptions | None = None
    seccomp_profile: SeccompProfile | None = None
    windows_options: WindowsSecurityContextOptions | None = None


class Service(Object):
    __gvk__ = ("", "v1", "Service")
    spec: ServiceSpec = field(default_factory=lambda: ServiceSpec())
    status: ServiceStatus = field(default_factory=lambda: ServiceStatus())


class ServiceAccount(Object):
    __gvk__ = ("", "v1", "ServiceAccount")
    automount_service_account_token: bool | None = None
    image_pull_secrets: list[LocalObjectReference] = []
    secrets: list[ObjectReference] = []


class ServiceAccountTokenProjection(Model):
    audience: str = ""
    expiration_seconds: int | None = None
    path: str = ""
    user: int | None = None


class ServicePort(Model):
    app_protocol: str = ""
    name: str = ""
    node_port: int | None = None
    port: int | None = None
    protocol: str = ""
    target_port: IntOrString | None = None


class ServiceSpec(Model):
    allocate_load_balancer_node_ports: bool | None = None
    cluster_ip: str = field(default="", name="clusterIP")
    cluster_ips: list[str] = field(default_factory=list, name="clusterIPs")
    external_ips: list[str] = field(default_factory=list, name="externalIPs")
    external_name: str = ""
    external_traffic_policy: str = ""
    health_check_node_port: int | None = None
    internal_traffic_policy: str = ""
    ip_families: list[str] = []
    ip_family_policy: str = ""
    load_balancer_class: str = ""
    load_balancer_ip: str = field(default="", name="loadBalancerIP")
    load_balancer_source_ranges: list[str] = []
    ports: list[ServicePort] = []
    publish_not_ready_addresses: bool | None = None
    selector: dict[str, str] = {}
    session_affinity: str = ""
    session_affinity_config: SessionAffinityConfig | None = None
    traffic_distribution: str = ""
    type: str = ""


class ServiceStatus(Model):
    conditions: list[meta.Condition] = []
    load_balancer: LoadBalancerStatus | None = None


class SessionAffinityConfig(Model):
    client_ip: ClientIPConfig | None = field(default=None, name="clientIP")


class SleepAction(Model):
    seconds: int | None = None


class StorageOSPersistentVolumeSource(Model):
    fs_type: str = ""
    read_only: bool | None = None
    secret_ref: ObjectReference | None = None
    volume_name: str = ""
    volume_namespace: str = ""


class StorageOSVolumeSource(Model):
    fs_type: str = ""
    read_only: bool | None = None
    secret_ref: LocalObjectReference | None = None
    volume_name: str = ""
    volume_namespace: str = ""


class Sysctl(Model):
    name: str = ""
    value: str = ""


class TCPSocketAction(Model):
    host: str = ""
    port: IntOrString | None = None


class Taint(Model):
    effect: str = ""
    key: str = ""
    time_added: str = ""
    value: str = ""


class Toleration(Model):
    effect: str = ""
    key: str = ""
    operator: str = ""
    toleration_seconds: int | None = None
    value: str = ""


class TopologySelectorLabelRequirement(Model):
    key: str = ""
    values: list[str] = []


class TopologySelectorTerm(Model):
    match_label_expressions: list[TopologySelectorLabelRequirement] = []


class TopologySpreadConstraint(Model):
    label_selector: meta.LabelSelector | None = None
    match_label_keys: list[str] = []
    max_skew: int | None = None
    min_domains: int | None = None
    node_affinity_policy: str = ""
    node_taints_policy: str = ""
    topology_key: str = ""
    when_unsatisfiable: str = ""


class TypedLocalObjectReference(Model):
    api_group: str = ""
    kind: str = ""
    name: str = ""


class TypedObjectReference(Model):
    api_group: str = ""
    kind: str = ""
    name: str = ""
    namespace: str = ""


class Volume(Model):
    aws_elastic_block_store: AWSElasticBlockStoreVolumeSource | None = None
    azure_disk: AzureDiskVolumeSource | None = None
    azure_file: AzureFileVolumeSource | None = None
    cephfs: CephFSVolumeSource | None = None
    cinder: CinderVolumeSource | None = None
    config_map: ConfigMapVolumeSource | None = None
    csi: CSIVolumeSource | None = None
    downward_api: DownwardAPIVolumeSource | None = field(default=None, name="downwardAPI")
    empty_dir: EmptyDirVolumeSource | None = None
    ephemeral: EphemeralVolumeSource | None = None
    fc: FCVolumeSource | None = None
    flex_volume: FlexVolumeSource | None = None
    flocker: FlockerVolumeSource | None = None
    gce_persistent_disk: GCEPersistentDiskVolumeSource | None = None
    git_repo: GitRepoVolumeSource | None = None
    glusterfs: GlusterfsVolumeSource | None = None
    host_path: HostPathVolumeSource | None = None
    image: ImageVolumeSource | None = None
    iscsi: ISCSIVolumeSource | None = None
    name: str = ""
    nfs: NFSVolumeSource | None = None
    persistent_volume_claim: PersistentVolumeClaimVolumeSource | None = None
    photon_persistent_disk: PhotonPersistentDiskVolumeSource | None = None
    portworx_volume: PortworxVolumeSource | None = None
    projected: ProjectedVolumeSource | None = None
    quobyte: QuobyteVolumeSource | None = None
    rbd: RBDVolumeSource | None = None
    scale_io: ScaleIOVolumeSource | None = field(default=None, name="scaleIO")
    secret: SecretVolumeSource | None = None
    storageos: StorageOSVolumeSource | None = None
    vsphere_volume: VsphereVirtualDiskVolumeSource | None = None


class VolumeDevice(Model):
    device_path: str = ""
    name: str = ""


class VolumeHealthCondition(Model):
    message: str = ""
    reason: str = ""
    status: str = ""


class VolumeHealthStatus(Model):
    health_conditions: list[VolumeHealthCondition] = []
    last_transition_time: str = ""


class VolumeMount(Model):
    bind_mount_options: list[str] = []
    mount_path: str = ""
    mount_propagation: str = ""
    name: str = ""
    read_only: bool | None = None
    recursive_read_only: str = ""
    sub_path: str = ""
    sub_path_expr: str = ""


class VolumeMountStatus(Model):
    mount_path: str = ""
    name: str = ""
    read_only: bool | None = None
    recursive_read_only: str = ""
    volume_status: VolumeStatus | None = None


class VolumeNodeAffinity(Model):
    required: NodeSelector | None = None


class VolumeProjection(Model):
    cluster_trust_bundle: ClusterTrustBundleProjection | None = None
    config_map: ConfigMapProjection | None = None
    downward_api: DownwardAPIProjection | None = field(default=None, name="downwardAPI")
    pod_certificate: PodCertificateProjection | None = None
    secret: SecretProjection | None = None
    service_account_token: ServiceAccountTokenProjection | None = None


class VolumeResourceRequirements(Model):
    limits: dict[str, Quantity] = {}
    requests: dict[str, Quantity] = {}


class VolumeStatus(Model):
    image: ImageVolumeStatus | None = None


class VsphereVirtualDiskVolumeSource(Model):
    fs_type: str = ""
    storage_policy_id: str = field(default="", name="storagePolicyID")
    storage_policy_name: str = ""
    volume_path: str = ""


class WeightedPodAffinityTerm(Model):
    pod_affinity_term: PodAffinityTerm = field(default_factory=lambda: PodAffinityTerm())
    weight: int | None = None


class WindowsSecurityContextOptions(Model):
    gmsa_credential_spec: str = ""
    gmsa_credential_spec_name: str = ""
    host_process: bool | None = None
    run_as_user_name: str = ""
