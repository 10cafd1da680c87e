"""What the API refuses: the rules of metadata for all kinds, and the rules of each kind.

Trees have passed the schema's type check and have their defaults. One module an API group lists its kinds' rules;
a rule that needs other objects (a class that must exist, a quota) is admission's. The registry turns the causes
into one Invalid error. Source: the Kubernetes documentation; the validation of the original, by its messages.
"""

from collections.abc import Mapping
from typing import Any

from bireme.api.errors import Cause
from bireme.api.scheme import Resource
from bireme.api.validation import (
    admission_policies,
    admissionregistration,
    apiextensions,
    apiregistration,
    apps,
    autoscaling,
    batch,
    certificates,
    coordination,
    core,
    discovery,
    flowcontrol,
    networking,
    node,
    policy,
    rbac,
    resource,
    scheduling,
    storage,
)
from bireme.api.validation.field import Enough, Problems, Rules, and_more
from bireme.api.validation.meta import check_metadata, check_metadata_update

_GROUPS: Mapping[str, Mapping[str, Rules]] = {
    "": core.RULES,
    "admissionregistration.k8s.io": {**admissionregistration.RULES, **admission_policies.RULES},
    "apiextensions.k8s.io": apiextensions.RULES,
    "apiregistration.k8s.io": apiregistration.RULES,
    "apps": apps.RULES,
    "autoscaling": autoscaling.RULES,
    "batch": batch.RULES,
    "certificates.k8s.io": certificates.RULES,
    "coordination.k8s.io": coordination.RULES,
    "discovery.k8s.io": discovery.RULES,
    "flowcontrol.apiserver.k8s.io": flowcontrol.RULES,
    "networking.k8s.io": networking.RULES,
    "node.k8s.io": node.RULES,
    "policy": policy.RULES,
    "rbac.authorization.k8s.io": rbac.RULES,
    "resource.k8s.io": resource.RULES,
    "scheduling.k8s.io": scheduling.RULES,
    "storage.k8s.io": storage.RULES,
}

_RULES: Mapping[tuple[str, str], Rules] = {
    (group, kind): rules for group, kinds in _GROUPS.items() for kind, rules in kinds.items()
}
_NOT_CHECKED_AGAIN = ("metadata", "status", "kind", "apiVersion")


def has_rules(resource: Resource, subresource: str) -> bool:
    """Whether a subresource has rules of its own, which every update through it is held to."""
    return (resource.group, f"{resource.kind}/{subresource}") in _RULES


def validate(resource: Resource, tree: dict[str, Any]) -> list[Cause]:
    """What is wrong with a new object, in the order of its fields; of very many faults, the first."""
    problems = Problems(bounded=True)
    try:
        check_metadata(problems, resource, tree.get("metadata") or {})
        rules = _RULES.get((resource.group, resource.kind))
        if rules is not None:
            rules.check(problems, tree)
    except Enough:
        return and_more(problems)
    return problems


def validate_update(
    resource: Resource, new: dict[str, Any], old: dict[str, Any], *, subresource: str = ""
) -> list[Cause]:
    """What is wrong with an updated object, and with what was changed in it.

    What did not change is not checked again, so status writes are cheap and old objects stay writable.
    """
    problems = Problems(bounded=True)
    try:
        _check_update(problems, resource, new, old, subresource)
    except Enough:
        return and_more(problems)
    return problems


def _check_update(
    problems: Problems, resource: Resource, new: dict[str, Any], old: dict[str, Any], subresource: str
) -> None:
    metadata, before = new.get("metadata") or {}, old.get("metadata") or {}
    if _told(metadata) != _told(before):
        check_metadata(problems, resource, metadata)
        check_metadata_update(problems, metadata, before)
    rules = _RULES.get((resource.group, f"{resource.kind}/{subresource}")) if subresource else None
    if rules is None and _same_body(new, old):
        return
    rules = rules or _RULES.get((resource.group, resource.kind))
    if rules is not None:
        rules.check(problems, new)
        if rules.update is not None:
            rules.update(problems, new, old)


def _told(metadata: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in metadata.items() if name != "managedFields"}


def _same_body(new: dict[str, Any], old: dict[str, Any]) -> bool:
    fields = {*new, *old}.difference(_NOT_CHECKED_AGAIN)
    return all(new.get(field) == old.get(field) for field in fields)
