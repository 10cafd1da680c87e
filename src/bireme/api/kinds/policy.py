"""The kinds of policy, as the published schema gives them. Made by tools/generate_kinds.py: do not edit."""

from __future__ import annotations

from msgspec import field

from bireme.api.kinds import meta
from bireme.api.kinds.meta import Object
from bireme.api.model import IntOrString, Model


class Eviction(Object):
    __gvk__ = ("policy", "v1", "Eviction")
    delete_options: meta.DeleteOptions | None = None


class PodDisruptionBudget(Object):
    __gvk__ = ("policy", "v1", "PodDisruptionBudget")
    spec: PodDisruptionBudgetSpec = field(default_factory=lambda: PodDisruptionBudgetSpec())
    status: PodDisruptionBudgetStatus = field(default_factory=lambda: PodDisruptionBudgetStatus())


class PodDisruptionBudgetSpec(Model):
    max_unavailable: IntOrString | None = None
    min_available: IntOrString | None = None
    selector: meta.LabelSelector | None = None
    unhealthy_pod_eviction_policy: str = ""


class PodDisruptionBudgetStatus(Model):
    conditions: list[meta.Condition] = []
    current_healthy: int | None = None
    desired_healthy: int | None = None
    disrupted_pods: dict[str, str] = {}
    disruptions_allowed: int | None = None
    expected_pods: int | None = None
    observed_generation: int | None = None
