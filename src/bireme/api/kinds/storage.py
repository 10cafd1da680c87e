"""The kinds of storage, as the published schema gives them. Made by tools/generate_kinds.py: do not edit."""

from __future__ import annotations

from msgspec import field

from bireme.api.kinds import core, meta
from bireme.api.kinds.meta import Object
from bireme.api.model import Model, Quantity


class CSIDriver(Object):
    __gvk__ = ("storage.k8s.io", "v1", "CSIDriver")
    spec: CSIDriverSpec = field(default_factory=lambda: CSIDriverSpec())


class CSIDriverSpec(Model):
    attach_required: bool | None = None
    fs_group_policy: str = ""
    node_allocatable_update_period_seconds: int | None = None
    pod_info_on_mount: bool | None = None
    prevent_pod_scheduling_if_missing: bool | None = None
    requires_republish: bool | None = None
    se_linux_mount: bool | None = None
    service_account_token_in_secrets: bool | None = None
    storage_capacity: bool | None = None
    token_requests: list[TokenRequest] = []
    volume_lifecycle_modes: list[str] = []


class CSINode(Object):
    __gvk__ = ("storage.k8s.io", "v1", "CSINode")
    spec: CSINodeSpec = field(default_factory=lambda: CSINodeSpec())
    status: CSINodeStatus = field(default_factory=lambda: CSINodeStatus())


class CSINodeDriver(Model):
    allocatable: VolumeNodeResources | None = None
    name: str = ""
    node_id: str = field(default="", name="nodeID")
    topology_keys: list[str] = []


class CSINodeSpec(Model):
    drivers: list[CSINodeDriver] = []


class CSINodeStatus(Model):
    storage_health: list[StorageHealth] = []


class CSIStorageCapacity(Object):
    __gvk__ = ("storage.k8s.io", "v1", "CSIStorageCapacity")
    capacity: Quantity = ""
    maximum_volume_size: Quantity = ""
    node_topology: meta.LabelSelector | None = None
    storage_class_name: str = ""


class StorageClass(Object):
    __gvk__ = ("storage.k8s.io", "v1", "StorageClass")
    allow_volume_expansion: bool | None = None
    allowed_topologies: list[core.TopologySelectorTerm] = []
    mount_options: list[str] = []
    parameters: dict[str, str] = {}
    provisioner: str = ""
    reclaim_policy: str = ""
    volume_binding_mode: str = ""


class StorageHealth(Model):
    health_conditions: list[StorageHealthCondition] = []
    name: str = ""


class StorageHealthCondition(Model):
    access_mode: str = ""
    last_transition_time: str = ""
    message: str = ""
    reason: str = ""
    status: str = ""
    volume_mode: str = ""


class TokenRequest(Model):
    audience: str = ""
    expiration_seconds: int | None = None


class VolumeAttachment(Object):
    __gvk__ = ("storage.k8s.io", "v1", "VolumeAttachment")
    spec: VolumeAttachmentSpec = field(default_factory=lambda: VolumeAttachmentSpec())
    status: VolumeAttachmentStatus = field(default_factory=lambda: VolumeAttachmentStatus())


class VolumeAttachmentSource(Model):
    inline_volume_spec: core.PersistentVolumeSpec | None = None
    persistent_volume_name: str = ""


class VolumeAttachmentSpec(Model):
    attacher: str = ""
    node_name: str = ""
    source: VolumeAttachmentSource = field(default_factory=lambda: VolumeAttachmentSource())


class VolumeAttachmentStatus(Model):
    attach_error: VolumeError | None = None
    attached: bool | None = None
    attachment_metadata: dict[str, str] = {}
    detach_error: VolumeError | None = None


class VolumeAttributesClass(Object):
    __gvk__ = ("storage.k8s.io", "v1", "VolumeAttributesClass")
    driver_name: str = ""
    parameters: dict[str, str] = {}


class VolumeError(Model):
    error_code: int | None = None
    message: str = ""
    time: str = ""


class VolumeNodeResources(Model):
    count: int | None = None
