"""The kinds that are served in two versions and kept in one.

`autoscaling/v1` HorizontalPodAutoscalers are kept as v2, `events.k8s.io/v1` Events as core v1. What the older
version of an autoscaler cannot say goes into annotations, as in Kubernetes, so nothing is lost on the way there
and back.
"""

from collections.abc import Callable, Mapping
from typing import Any

import orjson

from bireme.registry.kinds import Kind
from bireme.registry.record import Document

Tree = dict[str, Any]
_ANNOTATION = "autoscaling.alpha.kubernetes.io/"

# Field of events.k8s.io/v1 to field of core v1.
_EVENT_FIELDS = {
    "regarding": "involvedObject",
    "note": "message",
    "reportingController": "reportingComponent",
    "deprecatedSource": "source",
    "deprecatedFirstTimestamp": "firstTimestamp",
    "deprecatedLastTimestamp": "lastTimestamp",
    "deprecatedCount": "count",
}


def to_stored(kind: Kind, tree: Tree) -> Tree:
    """`tree`, which came in `kind`'s version, as it is kept."""
    if not kind.is_alias:
        return tree
    made = _TO_STORED[kind.resource.kind](tree)
    return {**made, "apiVersion": kind.stored.api_version, "kind": kind.stored.kind}


def from_stored(kind: Kind, tree: Tree) -> Tree:
    """`tree`, as it is kept, in `kind`'s version."""
    if not kind.is_alias:
        return tree
    made = _FROM_STORED[kind.resource.kind](tree)
    return {**made, "apiVersion": kind.resource.api_version, "kind": kind.resource.kind}


def body(kind: Kind, document: Document, revision: int | None = None) -> bytes:
    """The JSON of `document` in `kind`'s version."""
    if not kind.is_alias:
        return document.stamped(revision)
    tree = document.tree()
    if revision is not None:
        tree["metadata"]["resourceVersion"] = str(revision)
    return orjson.dumps(from_stored(kind, tree))


def _event_to_core(tree: Tree) -> Tree:
    return {_EVENT_FIELDS.get(name, name): value for name, value in tree.items()}


def _event_from_core(tree: Tree) -> Tree:
    names = {core: name for name, core in _EVENT_FIELDS.items()}
    made = {names.get(name, name): value for name, value in tree.items()}
    made.setdefault("eventTime", None)
    return made


def _autoscaler_to_v2(tree: Tree) -> Tree:
    made = {**tree, "metadata": dict(tree["metadata"])}
    kept = _take_annotations(made["metadata"])
    spec = dict(tree.get("spec") or {})
    metrics = list(kept.get("metrics", ()))
    percent = spec.pop("targetCPUUtilizationPercentage", None)
    if percent is not None:
        metrics.insert(0, _cpu_metric("target", {"type": "Utilization", "averageUtilization": percent}))
    if metrics:
        spec["metrics"] = metrics
    if "behavior" in kept:
        spec["behavior"] = kept["behavior"]
    made["spec"] = spec
    if "status" in tree:
        status = dict(tree["status"] or {})
        current = list(kept.get("current-metrics", ()))
        percent = status.pop("currentCPUUtilizationPercentage", None)
        if percent is not None:
            current.insert(0, _cpu_metric("current", {"averageUtilization": percent}))
        if current:
            status["currentMetrics"] = current
        if "conditions" in kept:
            status["conditions"] = kept["conditions"]
        made["status"] = status
    return made


def _autoscaler_from_v2(tree: Tree) -> Tree:
    made = {**tree, "metadata": dict(tree["metadata"])}
    spec = dict(tree.get("spec") or {})
    status = dict(tree.get("status") or {})
    metrics = spec.pop("metrics", None) or []
    current = status.pop("currentMetrics", None) or []
    target = next((m for m in metrics if _cpu_utilization(m, "target") is not None), None)
    seen = next((m for m in current if _cpu_utilization(m, "current") is not None), None)
    if target is not None:
        spec["targetCPUUtilizationPercentage"] = _cpu_utilization(target, "target")
    if seen is not None:
        status["currentCPUUtilizationPercentage"] = _cpu_utilization(seen, "current")
    left = {
        "metrics": [metric for metric in metrics if metric is not target],
        "current-metrics": [metric for metric in current if metric is not seen],
        "behavior": spec.pop("behavior", None),
        "conditions": status.pop("conditions", None),
    }
    extra = {_ANNOTATION + name: orjson.dumps(value).decode() for name, value in left.items() if value}
    if extra:
        made["metadata"]["annotations"] = {**(tree["metadata"].get("annotations") or {}), **extra}
    made["spec"] = spec
    if status or "status" in tree:
        made["status"] = status
    return made


def _cpu_metric(side: str, value: Tree) -> Tree:
    return {"type": "Resource", "resource": {"name": "cpu", side: value}}


def _cpu_utilization(metric: Tree, side: str) -> int | None:
    resource = metric.get("resource") or {}
    if metric.get("type") != "Resource" or resource.get("name") != "cpu":
        return None
    percent: int | None = (resource.get(side) or {}).get("averageUtilization")
    return percent


def _take_annotations(metadata: Tree) -> dict[str, Any]:
    annotations = dict(metadata.get("annotations") or {})
    kept: dict[str, Any] = {}
    for name in ("metrics", "current-metrics", "behavior", "conditions"):
        text = annotations.pop(_ANNOTATION + name, None)
        if text is not None:
            try:
                kept[name] = orjson.loads(text)
            except orjson.JSONDecodeError:
                continue  # the user's own text: it says nothing that we could keep
    if annotations:
        metadata["annotations"] = annotations
    else:
        metadata.pop("annotations", None)
    return kept


_TO_STORED: Mapping[str, Callable[[Tree], Tree]] = {
    "Event": _event_to_core,
    "HorizontalPodAutoscaler": _autoscaler_to_v2,
}
_FROM_STORED: Mapping[str, Callable[[Tree], Tree]] = {
    "Event": _event_from_core,
    "HorizontalPodAutoscaler": _autoscaler_from_v2,
}
