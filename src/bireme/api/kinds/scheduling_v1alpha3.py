"""The kinds of scheduling_v1alpha3, as the published schema gives them. Made by tools/generate_kinds.py: do not edit."""

from __future__ import annotations

from typing import Any

from msgspec import field

from bireme.api.kinds import meta
from bireme.api.kinds.meta import Object
from bireme.api.model import Model


class CompositeDisruptionMode(Model):
    all: Any = None
    single: Any = None


class CompositeGangSchedulingPolicy(Model):
    min_group_count: int | None = None


class CompositePodGroup(Object):
    __gvk__ = ("scheduling.k8s.io", "v1alpha3", "CompositePodGroup")
    spec: CompositePodGroupSpec = field(default_factory=lambda: CompositePodGroupSpec())
    status: CompositePodGroupStatus = field(default_factory=lambda: CompositePodGroupStatus())


class CompositePodGroupSchedulingConstraints(Model):
    topology: list[TopologyConstraint] = []


class CompositePodGroupSchedulingPolicy(Model):
    basic: Any = None
    gang: CompositeGangSchedulingPolicy | None = None


class CompositePodGroupSpec(Model):
    disruption_mode: CompositeDisruptionMode | None = None
    parent_composite_pod_group_name: str = ""
    preemption_policy: str = ""
    priority: int | None = None
    priority_class_name: str = ""
    scheduling_constraints: CompositePodGroupSchedulingConstraints | None = None
    scheduling_policy: CompositePodGroupSchedulingPolicy = field(
        default_factory=lambda: CompositePodGroupSchedulingPolicy()
    )
    workload_ref: WorkloadReference = field(default_factory=lambda: WorkloadReference())


class CompositePodGroupStatus(Model):
    conditions: list[meta.Condition] = []


class CompositePodGroupTemplate(Model):
    composite_pod_group_templates: list[CompositePodGroupTemplate] = []
    disruption_mode: CompositeDisruptionMode | None = None
    name: str = ""
    pod_group_templates: list[PodGroupTemplate] = []
    preemption_policy: str = ""
    priority: int | None = None
    priority_class_name: str = ""
    scheduling_constraints: CompositePodGroupSchedulingConstraints | None = None
    scheduling_policy: CompositePodGroupSchedulingPolicy = field(
        default_factory=lambda: CompositePodGroupSchedulingPolicy()
    )


class DisruptionMode(Model):
    all: Any = None
    single: Any = None


class GangSchedulingPolicy(Model):
    min_count: int | None = None


class PodGroup(Object):
    __gvk__ = ("scheduling.k8s.io", "v1alpha3", "PodGroup")
    spec: PodGroupSpec = field(default_factory=lambda: PodGroupSpec())
    status: PodGroupStatus = field(default_factory=lambda: PodGroupStatus())


class PodGroupResourceClaim(Model):
    name: str = ""
    resource_claim_name: str = ""
    resource_claim_template_name: str = ""


class PodGroupResourceClaimStatus(Model):
    name: str = ""
    resource_claim_name: str = ""


class PodGroupSchedulingConstraints(Model):
    topology: list[TopologyConstraint] = []


class PodGroupSchedulingPolicy(Model):
    basic: Any = None
    gang: GangSchedulingPolicy | None = None


class PodGroupSpec(Model):
    disruption_mode: DisruptionMode | None = None
    parent_composite_pod_group_name: str = ""
    preemption_policy: str = ""
    priority: int | None = None
    priority_class_name: str = ""
    resource_claims: list[PodGroupResourceClaim] = []
    scheduling_constraints: PodGroupSchedulingConstraints | None = None
    scheduling_policy: PodGroupSchedulingPolicy = field(default_factory=lambda: PodGroupSchedulingPolicy())
    workload_ref: WorkloadReference | None = None


class PodGroupStatus(Model):
    conditions: list[meta.Condition] = []
    resource_claim_statuses: list[PodGroupResourceClaimStatus] = []


class PodGroupTemplate(Model):
    disruption_mode: DisruptionMode | None = None
    name: str = ""
    preemption_policy: str = ""
    priority: int | None = None
    priority_class_name: str = ""
    resource_claims: list[PodGroupResourceClaim] = []
    scheduling_constraints: PodGroupSchedulingConstraints | None = None
    scheduling_policy: PodGroupSchedulingPolicy = field(default_factory=lambda: PodGroupSchedulingPolicy())


class TopologyConstraint(Model):
    key: str = ""


class TypedLocalObjectReference(Model):
    api_group: str = ""
    kind: str = ""
    name: str = ""


class Workload(Object):
    __gvk__ = ("scheduling.k8s.io", "v1alpha3", "Workload")
    spec: WorkloadSpec = field(default_factory=lambda: WorkloadSpec())


class WorkloadPodGroupDisruptionMode(Model):
    all: Any = None
    single: Any = None


class WorkloadPodGroupGangSchedulingPolicy(Model):
    min_count: int | None = None


class WorkloadPodGroupResourceClaim(Model):
    name: str = ""
    resource_claim_name: str = ""
    resource_claim_template_name: str = ""


class WorkloadPodGroupSchedulingConstraints(Model):
    topology: list[TopologyConstraint] = []


class WorkloadPodGroupSchedulingPolicy(Model):
    basic: Any = None
    gang: WorkloadPodGroupGangSchedulingPolicy | None = None


class WorkloadReference(Model):
    template_name: str = ""
    workload_name: str = ""


class WorkloadSpec(Model):
    composite_pod_group_templates: list[CompositePodGroupTemplate] = []
    controller_ref: TypedLocalObjectReference | None = None
    pod_group_templates: list[PodGroupTemplate] = []
