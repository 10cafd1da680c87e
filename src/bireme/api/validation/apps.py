"""The rules of the apps group. Source: the Kubernetes documentation."""

from collections.abc import Mapping
from typing import Any

from bireme.api.validation.field import (
    IMMUTABLE,
    NOT_NEGATIVE,
    Problems,
    Rules,
    Tree,
    check_not_negative,
    check_one_of,
)
from bireme.api.validation.names import is_percent
from bireme.api.validation.pods import check_template
from bireme.api.validation.selectors import check_selector, is_empty, matches
from bireme.api.validation.volumes import check_claim_spec

_STATEFUL_SET_MUTABLE = (
    "replicas",
    "ordinals",
    "template",
    "updateStrategy",
    "revisionHistoryLimit",
    "persistentVolumeClaimRetentionPolicy",
    "minReadySeconds",
)
_STATEFUL_SET_FAULT = (
    "updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', 'updateStrategy', "
    "'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden"
)


def check_share(problems: Problems, value: Any, path: str) -> None:
    """A number of things, or a share of them such as "25%"."""
    if isinstance(value, str):
        if not is_percent(value):
            fault = (
                "a valid percent string must be a numeric string followed by an ending '%' "
                "(e.g. '1%',  or '93%', regex used for validation is '[0-9]+%')"
            )
            problems.invalid(path, value, fault)
    elif value is not None and value < 0:
        problems.invalid(path, value, NOT_NEGATIVE)


def is_share_over(value: Any, limit: int) -> bool:
    """Whether it is a percentage over the limit."""
    return isinstance(value, str) and is_percent(value) and int(value[:-1]) > limit


def _is_zero(value: Any) -> bool:
    return value == 0 or (isinstance(value, str) and is_percent(value) and int(value[:-1]) == 0)


def check_selector_and_template(problems: Problems, spec: Tree, kind: str) -> None:
    """A selector that says something and matches the template; a good template."""
    selector = spec.get("selector")
    if selector is None:
        problems.required("spec.selector")
    else:
        check_selector(problems, selector, "spec.selector")
        if is_empty(selector):
            problems.invalid("spec.selector", selector, f"empty selector is invalid for {kind.lower()}")
    template = spec.get("template")
    if template is not None and not is_empty(selector):
        labels = (template.get("metadata") or {}).get("labels") or {}
        if not matches(selector, labels):
            fault = "`selector` does not match template `labels`"
            problems.invalid("spec.template.metadata.labels", labels, fault)
    check_template(problems, template, "spec.template")
    pod = (template or {}).get("spec") or {}
    if template is not None and pod.get("restartPolicy") != "Always":
        problems.unsupported("spec.template.spec.restartPolicy", pod.get("restartPolicy"), ("Always",))
    if pod.get("activeDeadlineSeconds") is not None:
        fault = f"activeDeadlineSeconds in {kind} is not Supported"
        problems.forbidden("spec.template.spec.activeDeadlineSeconds", fault)


def check_deployment(problems: Problems, tree: Tree) -> None:
    """A Deployment."""
    spec = tree.get("spec") or {}
    numbers = ("replicas", "minReadySeconds", "revisionHistoryLimit", "progressDeadlineSeconds")
    check_not_negative(problems, spec, numbers, "spec")
    check_selector_and_template(problems, spec, "Deployment")
    deadline, ready = spec.get("progressDeadlineSeconds"), spec.get("minReadySeconds") or 0
    if deadline is not None and 0 <= deadline <= ready:
        problems.invalid("spec.progressDeadlineSeconds", deadline, "must be greater than minReadySeconds")
    strategy = spec.get("strategy") or {}
    check_one_of(problems, strategy, "type", "spec.strategy", ("Recreate", "RollingUpdate"))
    rolling = strategy.get("rollingUpdate")
    if strategy.get("type") == "Recreate":
        if rolling is not None:
            fault = "may not be specified when strategy `type` is 'Recreate'"
            problems.forbidden("spec.strategy.rollingUpdate", fault)
    elif rolling is not None:
        _check_rolling(problems, rolling, "spec.strategy.rollingUpdate")


def _check_rolling(problems: Problems, rolling: Tree, path: str) -> None:
    unavailable, surge = rolling.get("maxUnavailable"), rolling.get("maxSurge")
    check_share(problems, unavailable, f"{path}.maxUnavailable")
    check_share(problems, surge, f"{path}.maxSurge")
    if _is_zero(unavailable) and _is_zero(surge):
        problems.invalid(f"{path}.maxUnavailable", unavailable, "may not be 0 when `maxSurge` is 0")
    if is_share_over(unavailable, 100):
        problems.invalid(f"{path}.maxUnavailable", unavailable, "must not be greater than 100%")


def check_replica_set(problems: Problems, tree: Tree) -> None:
    """A ReplicaSet."""
    spec = tree.get("spec") or {}
    check_not_negative(problems, spec, ("replicas", "minReadySeconds"), "spec")
    check_selector_and_template(problems, spec, "ReplicaSet")


def check_daemon_set(problems: Problems, tree: Tree) -> None:
    """A DaemonSet."""
    spec = tree.get("spec") or {}
    check_not_negative(problems, spec, ("minReadySeconds", "revisionHistoryLimit"), "spec")
    check_selector_and_template(problems, spec, "DaemonSet")
    strategy = spec.get("updateStrategy") or {}
    check_one_of(problems, strategy, "type", "spec.updateStrategy", ("RollingUpdate", "OnDelete"))
    rolling = strategy.get("rollingUpdate")
    if rolling is not None:
        path = "spec.updateStrategy.rollingUpdate"
        unavailable, surge = rolling.get("maxUnavailable"), rolling.get("maxSurge")
        check_share(problems, unavailable, f"{path}.maxUnavailable")
        check_share(problems, surge, f"{path}.maxSurge")
        if not _is_zero(unavailable or 0) and not _is_zero(surge or 0):
            problems.invalid(f"{path}.maxSurge", surge, "may not be set when maxUnavailable is non-zero")
        elif _is_zero(unavailable or 0) and _is_zero(surge or 0):
            problems.required(f"{path}.maxUnavailable", "cannot be 0 when maxSurge is 0")


def check_stateful_set(problems: Problems, tree: Tree) -> None:
    """A StatefulSet."""
    spec = tree.get("spec") or {}
    check_not_negative(problems, spec, ("replicas", "minReadySeconds", "revisionHistoryLimit"), "spec")
    check_one_of(problems, spec, "podManagementPolicy", "spec", ("OrderedReady", "Parallel"), needed=True)
    strategy = spec.get("updateStrategy") or {}
    check_one_of(problems, strategy, "type", "spec.updateStrategy", ("RollingUpdate", "OnDelete"), needed=True)
    rolling = strategy.get("rollingUpdate")
    if rolling is not None:
        path = "spec.updateStrategy.rollingUpdate"
        if strategy.get("type") == "OnDelete":
            problems.invalid(path, rolling, "only allowed for updateStrategy 'RollingUpdate'")
        check_not_negative(problems, rolling, ("partition",), path)
        check_share(problems, rolling.get("maxUnavailable"), f"{path}.maxUnavailable")
        if _is_zero(rolling.get("maxUnavailable")):
            problems.invalid(f"{path}.maxUnavailable", rolling["maxUnavailable"], "cannot be 0")
    retention = spec.get("persistentVolumeClaimRetentionPolicy") or {}
    for field in ("whenDeleted", "whenScaled"):
        at = "spec.persistentVolumeClaimRetentionPolicy"
        check_one_of(problems, retention, field, at, ("Retain", "Delete"))
    check_not_negative(problems, spec.get("ordinals") or {}, ("start",), "spec.ordinals")
    for index, claim in enumerate(spec.get("volumeClaimTemplates") or ()):
        check_claim_spec(problems, claim.get("spec") or {}, f"spec.volumeClaimTemplates[{index}].spec")
    _check_stateful_template(problems, spec)


def _check_stateful_template(problems: Problems, spec: Tree) -> None:
    """Mounts may name the claims that the set makes, so these count as the template's volumes."""
    template = spec.get("template")
    pod = (template or {}).get("spec") or {}
    claims = [
        {"name": (claim.get("metadata") or {}).get("name"), "persistentVolumeClaim": {"claimName": "made-by-the-set"}}
        for claim in spec.get("volumeClaimTemplates") or ()
    ]
    names = {claim["name"] for claim in claims}
    if claims and template:
        own = [volume for volume in pod.get("volumes") or () if volume.get("name") not in names]
        spec = {**spec, "template": {**template, "spec": {**pod, "volumes": [*own, *claims]}}}
    check_selector_and_template(problems, spec, "StatefulSet")


def check_selector_unchanged(problems: Problems, new: Tree, old: Tree) -> None:
    """What owns pods keeps its selector."""
    selector, before = (new.get("spec") or {}).get("selector"), (old.get("spec") or {}).get("selector")
    if selector != before:
        problems.invalid("spec.selector", selector, IMMUTABLE)


def check_stateful_set_update(problems: Problems, new: Tree, old: Tree) -> None:
    """A StatefulSet changes in a few fields only."""
    spec, before = new.get("spec") or {}, old.get("spec") or {}
    fixed = (spec.keys() | before.keys()).difference(_STATEFUL_SET_MUTABLE)
    if any(spec.get(field) != before.get(field) for field in fixed):
        problems.forbidden("spec", _STATEFUL_SET_FAULT)


def check_revision(problems: Problems, tree: Tree) -> None:
    """A ControllerRevision."""
    if tree.get("data") is None:
        problems.required("data", "data is mandatory")
    check_not_negative(problems, tree, ("revision",), "")


def check_revision_update(problems: Problems, new: Tree, old: Tree) -> None:
    """A ControllerRevision keeps its data."""
    if new.get("data") != old.get("data"):
        problems.invalid("data", None, IMMUTABLE)


RULES: Mapping[str, Rules] = {
    "ControllerRevision": Rules(check_revision, check_revision_update),
    "DaemonSet": Rules(check_daemon_set, check_selector_unchanged),
    "Deployment": Rules(check_deployment, check_selector_unchanged),
    "ReplicaSet": Rules(check_replica_set, check_selector_unchanged),
    "StatefulSet": Rules(check_stateful_set, check_stateful_set_update),
}
