"""The rules of the autoscaling group, v1 and v2. Source: the Kubernetes documentation, HPA."""

from collections.abc import Mapping

from bireme.api.validation.amounts import check_amount
from bireme.api.validation.field import POSITIVE, Problems, Rules, Tree, check_not_negative, check_one_of
from bireme.api.validation.names import path_segment

_SOURCES = {
    "ContainerResource": "containerResource",
    "External": "external",
    "Object": "object",
    "Pods": "pods",
    "Resource": "resource",
}
_MAX_WINDOW_S = 3600
_MAX_PERIOD_S = 1800


def check_autoscaler(problems: Problems, tree: Tree) -> None:
    """A HorizontalPodAutoscaler."""
    spec = tree.get("spec") or {}
    least, most = spec.get("minReplicas"), spec.get("maxReplicas") or 0
    if least is not None and least < 0:
        problems.invalid("spec.minReplicas", least, "must be greater than or equal to 0")
    elif least == 0 and not _scales_from_zero(spec):
        problems.invalid("spec.minReplicas", least, "must be greater than or equal to 1")
    if most < 1:
        problems.invalid("spec.maxReplicas", most, "must be greater than 0")
    if least is not None and most < least:
        problems.invalid("spec.maxReplicas", most, "must be greater than or equal to `minReplicas`")
    _check_target(problems, spec.get("scaleTargetRef") or {}, "spec.scaleTargetRef")
    percent = spec.get("targetCPUUtilizationPercentage")
    if percent is not None and percent < 1:
        problems.invalid("spec.targetCPUUtilizationPercentage", percent, "must be greater than 0")
    for index, metric in enumerate(spec.get("metrics") or ()):
        _check_metric(problems, metric, f"spec.metrics[{index}]")
    behavior = spec.get("behavior") or {}
    for field in ("scaleUp", "scaleDown"):
        if behavior.get(field) is not None:
            _check_rules(problems, behavior[field], f"spec.behavior.{field}")


def _scales_from_zero(spec: Tree) -> bool:
    return any(metric.get("type") in ("Object", "External") for metric in spec.get("metrics") or ())


def _check_target(problems: Problems, target: Tree, path: str) -> None:
    for field in ("kind", "name"):
        if not target.get(field):
            problems.required(f"{path}.{field}")
        else:
            problems.invalid_each(f"{path}.{field}", target[field], path_segment(target[field]))


def _check_metric(problems: Problems, metric: Tree, path: str) -> None:
    kind = metric.get("type") or ""
    if not kind:
        problems.required(f"{path}.type", "must specify a metric source type")
        return
    if kind not in _SOURCES:
        problems.unsupported(f"{path}.type", kind, sorted(_SOURCES))
        return
    field = _SOURCES[kind]
    source = metric.get(field)
    if source is None:
        problems.required(f"{path}.{field}", "must populate information for the given metric source")
        return
    named = source if kind in ("Resource", "ContainerResource") else source.get("metric") or {}
    if not named.get("name"):
        name_path = "name" if named is source else "metric.name"
        problems.required(
            f"{path}.{field}.{name_path}", f"must specify a {'resource' if named is source else 'metric'} name"
        )
    _check_metric_target(problems, source.get("target") or {}, f"{path}.{field}.target")


def _check_metric_target(problems: Problems, target: Tree, path: str) -> None:
    check_one_of(problems, target, "type", path, ("AverageValue", "Utilization", "Value"), needed=True)
    percent = target.get("averageUtilization")
    if percent is not None and percent < 1:
        problems.invalid(f"{path}.averageUtilization", percent, "must be greater than 0")
    for field in ("value", "averageValue"):
        if target.get(field) is not None:
            check_amount(problems, target[field], f"{path}.{field}")


def _check_rules(problems: Problems, rules: Tree, path: str) -> None:
    check_not_negative(problems, rules, ("stabilizationWindowSeconds",), path)
    window = rules.get("stabilizationWindowSeconds") or 0
    if window > _MAX_WINDOW_S:
        problems.invalid(
            f"{path}.stabilizationWindowSeconds", window, f"must be less than or equal to {_MAX_WINDOW_S}"
        )
    check_one_of(problems, rules, "selectPolicy", path, ("Disabled", "Max", "Min"))
    if not rules.get("policies"):
        problems.required(f"{path}.policies", "must specify at least one Policy")
    for index, policy in enumerate(rules.get("policies") or ()):
        at = f"{path}.policies[{index}]"
        check_one_of(problems, policy, "type", at, ("Percent", "Pods"), needed=True)
        for field in ("value", "periodSeconds"):
            number = policy.get(field) or 0
            if number <= 0:
                problems.invalid(f"{at}.{field}", number, POSITIVE)
        if (policy.get("periodSeconds") or 0) > _MAX_PERIOD_S:
            problems.invalid(
                f"{at}.periodSeconds", policy["periodSeconds"], f"must be less than or equal to {_MAX_PERIOD_S}"
            )


RULES: Mapping[str, Rules] = {"HorizontalPodAutoscaler": Rules(check_autoscaler)}
