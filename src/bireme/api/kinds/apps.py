"""The kinds of apps, as the published schema gives them. Made by tools/generate_kinds.py: do not edit."""

from __future__ import annotations

from typing import Any

from msgspec import field

from bireme.api.kinds import core, meta
from bireme.api.kinds.meta import Object
from bireme.api.model import IntOrString, Model


class ControllerRevision(Object):
    __gvk__ = ("apps", "v1", "ControllerRevision")
    data: Any = None
    revision: int | None = None


class DaemonSet(Object):
    __gvk__ = ("apps", "v1", "DaemonSet")
    spec: DaemonSetSpec = field(default_factory=lambda: DaemonSetSpec())
    status: DaemonSetStatus = field(default_factory=lambda: DaemonSetStatus())


class DaemonSetCondition(Model):
    last_transition_time: str = ""
    message: str = ""
    reason: str = ""
    status: str = ""
    type: str = ""


class DaemonSetSpec(Model):
    min_ready_seconds: int | None = None
    revision_history_limit: int | None = None
    selector: meta.LabelSelector = field(default_factory=lambda: meta.LabelSelector())
    template: core.PodTemplateSpec = field(default_factory=lambda: core.PodTemplateSpec())
    update_strategy: DaemonSetUpdateStrategy | None = None


class DaemonSetStatus(Model):
    collision_count: int | None = None
    conditions: list[DaemonSetCondition] = []
    current_number_scheduled: int | None = None
    desired_number_scheduled: int | None = None
    number_available: int | None = None
    number_misscheduled: int | None = None
    number_ready: int | None = None
    number_unavailable: int | None = None
    observed_generation: int | None = None
    updated_number_scheduled: int | None = None


class DaemonSetUpdateStrategy(Model):
    rolling_update: RollingUpdateDaemonSet | None = None
    type: str = ""


class Deployment(Object):
    __gvk__ = ("apps", "v1", "Deployment")
    spec: DeploymentSpec = field(default_factory=lambda: DeploymentSpec())
    status: DeploymentStatus = field(default_factory=lambda: DeploymentStatus())


class DeploymentCondition(Model):
    last_transition_time: str = ""
    last_update_time: str = ""
    message: str = ""
    reason: str = ""
    status: str = ""
    type: str = ""


class DeploymentSpec(Model):
    min_ready_seconds: int | None = None
    paused: bool | None = None
    progress_deadline_seconds: int | None = None
    replicas: int | None = None
    revision_history_limit: int | None = None
    selector: meta.LabelSelector = field(default_factory=lambda: meta.LabelSelector())
    strategy: DeploymentStrategy | None = None
    template: core.PodTemplateSpec = field(default_factory=lambda: core.PodTemplateSpec())


class DeploymentStatus(Model):
    available_replicas: int | None = None
    collision_count: int | None = None
    conditions: list[DeploymentCondition] = []
    observed_generation: int | None = None
    ready_replicas: int | None = None
    replicas: int | None = None
    terminating_replicas: int | None = None
    unavailable_replicas: int | None = None
    updated_replicas: int | None = None


class DeploymentStrategy(Model):
    rolling_update: RollingUpdateDeployment | None = None
    type: str = ""


class ReplicaSet(Object):
    __gvk__ = ("apps", "v1", "ReplicaSet")
    spec: ReplicaSetSpec = field(default_factory=lambda: ReplicaSetSpec())
    status: ReplicaSetStatus = field(default_factory=lambda: ReplicaSetStatus())


class ReplicaSetCondition(Model):
    last_transition_time: str = ""
    message: str = ""
    reason: str = ""
    status: str = ""
    type: str = ""


class ReplicaSetSpec(Model):
    min_ready_seconds: int | None = None
    replicas: int | None = None
    selector: meta.LabelSelector = field(default_factory=lambda: meta.LabelSelector())
    template: core.PodTemplateSpec | None = None


class ReplicaSetStatus(Model):
    available_replicas: int | None = None
    conditions: list[ReplicaSetCondition] = []
    fully_labeled_replicas: int | None = None
    observed_generation: int | None = None
    ready_replicas: int | None = None
    replicas: int | None = None
    terminating_replicas: int | None = None


class RollingUpdateDaemonSet(Model):
    max_surge: IntOrString | None = None
    max_unavailable: IntOrString | None = None


class RollingUpdateDeployment(Model):
    max_surge: IntOrString | None = None
    max_unavailable: IntOrString | None = None


class RollingUpdateStatefulSetStrategy(Model):
    max_unavailable: IntOrString | None = None
    partition: int | None = None


class StatefulSet(Object):
    __gvk__ = ("apps", "v1", "StatefulSet")
    spec: StatefulSetSpec = field(default_factory=lambda: StatefulSetSpec())
    status: StatefulSetStatus = field(default_factory=lambda: StatefulSetStatus())


class StatefulSetCondition(Model):
    last_transition_time: str = ""
    message: str = ""
    reason: str = ""
    status: str = ""
    type: str = ""


class StatefulSetOrdinals(Model):
    start: int | None = None


class StatefulSetPersistentVolumeClaimRetentionPolicy(Model):
    when_deleted: str = ""
    when_scaled: str = ""


class StatefulSetSpec(Model):
    min_ready_seconds: int | None = None
    ordinals: StatefulSetOrdinals | None = None
    persistent_volume_claim_retention_policy: StatefulSetPersistentVolumeClaimRetentionPolicy | None = None
    pod_management_policy: str = ""
    replicas: int | None = None
    revision_history_limit: int | None = None
    selector: meta.LabelSelector = field(default_factory=lambda: meta.LabelSelector())
    service_name: str = ""
    template: core.PodTemplateSpec = field(default_factory=lambda: core.PodTemplateSpec())
    update_strategy: StatefulSetUpdateStrategy | None = None
    volume_claim_templates: list[core.PersistentVolumeClaim] = []


class StatefulSetStatus(Model):
    available_replicas: int | None = None
    collision_count: int | None = None
    conditions: list[StatefulSetCondition] = []
    current_replicas: int | None = None
    current_revision: str = ""
    observed_generation: int | None = None
    ready_replicas: int | None = None
    replicas: int | None = None
    update_revision: str = ""
    updated_replicas: int | None = None


class StatefulSetUpdateStrategy(Model):
    rolling_update: RollingUpdateStatefulSetStrategy | None = None
    type: str = ""
