"""The kinds of autoscaling_v1, as the published schema gives them. Made by tools/generate_kinds.py: do not edit."""

from __future__ import annotations

from msgspec import field

from bireme.api.kinds.meta import Object
from bireme.api.model import Model


class CrossVersionObjectReference(Model):
    api_version: str = ""
    kind: str = ""
    name: str = ""


class HorizontalPodAutoscaler(Object):
    __gvk__ = ("autoscaling", "v1", "HorizontalPodAutoscaler")
    spec: HorizontalPodAutoscalerSpec = field(default_factory=lambda: HorizontalPodAutoscalerSpec())
    status: HorizontalPodAutoscalerStatus = field(default_factory=lambda: HorizontalPodAutoscalerStatus())


class HorizontalPodAutoscalerSpec(Model):
    max_replicas: int | None = None
    min_replicas: int | None = None
    scale_target_ref: CrossVersionObjectReference = field(default_factory=lambda: CrossVersionObjectReference())
    target_cpu_utilization_percentage: int | None = field(default=None, name="targetCPUUtilizationPercentage")


class HorizontalPodAutoscalerStatus(Model):
    current_cpu_utilization_percentage: int | None = field(default=None, name="currentCPUUtilizationPercentage")
    current_replicas: int | None = None
    desired_replicas: int | None = None
    last_scale_time: str = ""
    observed_generation: int | None = None


class Scale(Object):
    __gvk__ = ("autoscaling", "v1", "Scale")
    spec: ScaleSpec = field(default_factory=lambda: ScaleSpec())
    status: ScaleStatus = field(default_factory=lambda: ScaleStatus())


class ScaleSpec(Model):
    replicas: int | None = None


class ScaleStatus(Model):
    replicas: int | None = None
    selector: str = ""
