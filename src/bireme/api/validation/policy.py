"""The rules of the policy group."""

from collections.abc import Mapping

from bireme.api.validation.apps import check_share, is_share_over
from bireme.api.validation.field import Problems, Rules, Tree, check_one_of
from bireme.api.validation.selectors import check_selector


def check_budget(problems: Problems, tree: Tree) -> None:
    """A PodDisruptionBudget: one of its two bounds."""
    spec = tree.get("spec") or {}
    least, most = spec.get("minAvailable"), spec.get("maxUnavailable")
    if least is not None and most is not None:
        fault = "minAvailable and maxUnavailable cannot be both set"
        problems.invalid("spec", spec, fault)
    for field, value in (("minAvailable", least), ("maxUnavailable", most)):
        check_share(problems, value, f"spec.{field}")
        if is_share_over(value, 100):
            problems.invalid(f"spec.{field}", value, "must not be greater than 100%")
    check_selector(problems, spec.get("selector"), "spec.selector")
    check_one_of(problems, spec, "unhealthyPodEvictionPolicy", "spec", ("AlwaysAllow", "IfHealthyBudget"))


RULES: Mapping[str, Rules] = {"PodDisruptionBudget": Rules(check_budget)}
