"""The kinds of autoscaling, as the published schema gives them. Made by tools/generate_kinds.py: do not edit."""

from __future__ import annotations

from msgspec import field

from bireme.api.kinds import meta
from bireme.api.kinds.meta import Object
from bireme.api.model import Model, Quantity


class ContainerResourceMetricSource(Model):
    container: str = ""
    name: str = ""
    target: MetricTarget = field(default_factory=lambda: MetricTarget())


class ContainerResourceMetricStatus(Model):
    container: str = ""
    current: MetricValueStatus = field(default_factory=lambda: MetricValueStatus())
    name: str = ""


class CrossVersionObjectReference(Model):
    api_version: str = ""
    kind: str = ""
    name: str = ""


class ExternalMetricSource(Model):
    metric: MetricIdentifier = field(default_factory=lambda: MetricIdentifier())
    target: MetricTarget = field(default_factory=lambda: MetricTarget())


class ExternalMetricStatus(Model):
    current: MetricValueStatus = field(default_factory=lambda: MetricValueStatus())
    metric: MetricIdentifier = field(default_factory=lambda: MetricIdentifier())


class HPAScalingPolicy(Model):
    period_seconds: int | None = None
    type: str = ""
    value: int | None = None


class HPAScalingRules(Model):
    policies: list[HPAScalingPolicy] = []
    select_policy: str = ""
    stabilization_window_seconds: int | None = None
    tolerance: Quantity = ""


class HorizontalPodAutoscaler(Object):
    __gvk__ = ("autoscaling", "v2", "HorizontalPodAutoscaler")
    spec: HorizontalPodAutoscalerSpec = field(default_factory=lambda: HorizontalPodAutoscalerSpec())
    status: HorizontalPodAutoscalerStatus = field(default_factory=lambda: HorizontalPodAutoscalerStatus())


class HorizontalPodAutoscalerBehavior(Model):
    scale_down: HPAScalingRules | None = None
    scale_up: HPAScalingRules | None = None


class HorizontalPodAutoscalerCondition(Model):
    last_transition_time: str = ""
    message: str = ""
    observed_generation: int | None = None
    reason: str = ""
    status: str = ""
    type: str = ""


class HorizontalPodAutoscalerSpec(Model):
    behavior: HorizontalPodAutoscalerBehavior | None = None
    max_replicas: int | None = None
    metrics: list[MetricSpec] = []
    min_replicas: int | None = None
    scale_target_ref: CrossVersionObjectReference = field(default_factory=lambda: CrossVersionObjectReference())


class HorizontalPodAutoscalerStatus(Model):
    conditions: list[HorizontalPodAutoscalerCondition] = []
    current_metrics: list[MetricStatus] = []
    current_replicas: int | None = None
    desired_replicas: int | None = None
    last_scale_time: str = ""
    observed_generation: int | None = None


class MetricIdentifier(Model):
    name: str = ""
    selector: meta.LabelSelector | None = None


class MetricSpec(Model):
    container_resource: ContainerResourceMetricSource | None = None
    external: ExternalMetricSource | None = None
    object: ObjectMetricSource | None = None
    pods: PodsMetricSource | None = None
    resource: ResourceMetricSource | None = None
    type: str = ""


class MetricStatus(Model):
    container_resource: ContainerResourceMetricStatus | None = None
    external: ExternalMetricStatus | None = None
    object: ObjectMetricStatus | None = None
    pods: PodsMetricStatus | None = None
    resource: ResourceMetricStatus | None = None
    type: str = ""


class MetricTarget(Model):
    average_utilization: int | None = None
    average_value: Quantity = ""
    type: str = ""
    value: Quantity = ""


class MetricValueStatus(Model):
    average_utilization: int | None = None
    average_value: Quantity = ""
    value: Quantity = ""


class ObjectMetricSource(Model):
    described_object: CrossVersionObjectReference = field(default_factory=lambda: CrossVersionObjectReference())
    metric: MetricIdentifier = field(default_factory=lambda: MetricIdentifier())
    target: MetricTarget = field(default_factory=lambda: MetricTarget())


class ObjectMetricStatus(Model):
    current: MetricValueStatus = field(default_factory=lambda: MetricValueStatus())
    described_object: CrossVersionObjectReference = field(default_factory=lambda: CrossVersionObjectReference())
    metric: MetricIdentifier = field(default_factory=lambda: MetricIdentifier())


class PodsMetricSource(Model):
    metric: MetricIdentifier = field(default_factory=lambda: MetricIdentifier())
    target: MetricTarget = field(default_factory=lambda: MetricTarget())


class PodsMetricStatus(Model):
    current: MetricValueStatus = field(default_factory=lambda: MetricValueStatus())
    metric: MetricIdentifier = field(default_factory=lambda: MetricIdentifier())


class ResourceMetricSource(Model):
    name: str = ""
    target: MetricTarget = field(default_factory=lambda: MetricTarget())


class ResourceMetricStatus(Model):
    current: MetricValueStatus = field(default_factory=lambda: MetricValueStatus())
    name: str = ""
