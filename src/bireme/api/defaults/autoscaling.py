"""Defaults of the autoscaling group, v1 and v2. Source: the Kubernetes documentation, HPA."""

from collections.abc import Callable, Mapping
from typing import Any

from bireme.api.defaults.fill import Tree, fill, fill_text, section

_TARGET_PERCENT = 80
_METRICS_ANNOTATION = "autoscaling.alpha.kubernetes.io/metrics"
_DOUBLE = {"type": "Percent", "value": 100, "periodSeconds": 15}
_FOUR = {"type": "Pods", "value": 4, "periodSeconds": 15}


def default_autoscaler(tree: Tree) -> None:
    """A HorizontalPodAutoscaler: by CPU at 80% unless it names metrics."""
    spec = section(tree, "spec")
    fill(spec, {"minReplicas": 1})
    if tree.get("apiVersion") == "autoscaling/v1":
        annotations = (tree.get("metadata") or {}).get("annotations") or {}
        if _METRICS_ANNOTATION not in annotations:
            fill(spec, {"targetCPUUtilizationPercentage": _TARGET_PERCENT})
        return
    if not spec.get("metrics"):
        target = {"type": "Utilization", "averageUtilization": _TARGET_PERCENT}
        spec["metrics"] = [{"type": "Resource", "resource": {"name": "cpu", "target": target}}]
    behavior = spec.get("behavior")
    if behavior is not None:
        _default_rules(section(behavior, "scaleUp"), [_FOUR, _DOUBLE], window_s=0)
        _default_rules(section(behavior, "scaleDown"), [_DOUBLE], window_s=None)


def _default_rules(rules: Tree, policies: list[dict[str, Any]], *, window_s: int | None) -> None:
    fill_text(rules, "selectPolicy", "Max")
    if window_s is not None:
        fill(rules, {"stabilizationWindowSeconds": window_s})
    if not rules.get("policies"):
        rules["policies"] = [dict(policy) for policy in policies]


DEFAULTS: Mapping[str, Callable[[Tree], None]] = {"HorizontalPodAutoscaler": default_autoscaler}
