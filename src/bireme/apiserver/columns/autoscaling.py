"""The rows of a HorizontalPodAutoscaler, v1 or v2, and of a Scale."""

from collections.abc import Mapping
from datetime import datetime

from bireme.apiserver.columns.column import (
    NONE,
    UNKNOWN,
    UNSET,
    Cells,
    Printer,
    Tree,
    age_of,
    columns,
    listed,
    name_of,
)

_SOURCES = {
    "ContainerResource": "containerResource",
    "External": "external",
    "Object": "object",
    "Pods": "pods",
    "Resource": "resource",
}


def autoscaler_cells(tree: Tree, now: datetime) -> Cells:
    """A HorizontalPodAutoscaler."""
    spec, status = tree.get("spec") or {}, tree.get("status") or {}
    target = spec.get("scaleTargetRef") or {}
    least = spec.get("minReplicas")
    return [
        name_of(tree),
        f"{target.get('kind') or ''}/{target.get('name') or ''}",
        _targets(spec, status),
        UNSET if least is None else str(least),
        spec.get("maxReplicas") or 0,
        status.get("currentReplicas") or 0,
        age_of(tree, now),
    ]


def _targets(spec: Tree, status: Tree) -> str:
    wanted = spec.get("targetCPUUtilizationPercentage")
    if wanted is not None:
        now = status.get("currentCPUUtilizationPercentage")
        return f"cpu: {UNKNOWN if now is None else f'{now}%'}/{wanted}%"
    current = status.get("currentMetrics") or ()
    metrics = spec.get("metrics") or ()
    texts = [_metric(metric, current[i] if i < len(current) else {}) for i, metric in enumerate(metrics)]
    return listed(texts, empty=NONE, comma=", ")


def _metric(metric: Tree, current: Tree) -> str:
    field = _SOURCES.get(metric.get("type") or "", "")
    source, now = metric.get(field) or {}, (current.get(field) or {}).get("current") or {}
    target = source.get("target") or {}
    name = f"{source.get('name')}: " if field in ("resource", "containerResource") else ""
    if target.get("averageUtilization") is not None:
        have = now.get("averageUtilization")
        return f"{name}{UNKNOWN if have is None else f'{have}%'}/{target['averageUtilization']}%"
    if target.get("averageValue") is not None:
        suffix = " (avg)" if field in ("object", "external") else ""
        return f"{name}{now.get('averageValue') or UNKNOWN}/{target['averageValue']}{suffix}"
    return f"{name}{now.get('value') or UNKNOWN}/{target.get('value') or '<auto>'}"


def scale_cells(tree: Tree, now: datetime) -> Cells:
    """A Scale."""
    replicas = (tree.get("spec") or {}).get("replicas") or 0
    return [name_of(tree), replicas, (tree.get("status") or {}).get("replicas") or 0, age_of(tree, now)]


PRINTERS: Mapping[str, Printer] = {
    "HorizontalPodAutoscaler": Printer(
        columns(
            "Reference",
            "Targets",
            "MinPods",
            "MaxPods",
            "Replicas",
            "Age",
            numbers=("MaxPods", "Replicas"),
        ),
        autoscaler_cells,
    ),
    "Scale": Printer(columns("Desired", "Available", "Age", numbers=("Desired", "Available")), scale_cells),
}
