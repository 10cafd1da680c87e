"""The rules of metadata, for every kind: names, labels, annotations, finalizers, owners.

How the name itself may be spelled depends on the kind; `NAME_RULES` lists those that aren't DNS subdomains.
Source: the Kubernetes documentation.
"""

from collections.abc import Mapping
from typing import Any

from bireme.api.scheme import Resource
from bireme.api.validation.field import IMMUTABLE, NOT_NEGATIVE, Problems, Tree
from bireme.api.validation.names import (
    LABEL_MAX,
    Rule,
    dns_label,
    dns_subdomain,
    ip_address,
    label_value,
    longest,
    path_segment,
    qualified_name,
)

ANNOTATIONS_MAX = 256 * 1024
_CRON_JOB_NAME_MAX = 52  # a Job's name is the CronJob's with 11 more characters
_STANDARD_FINALIZERS = frozenset(("kubernetes", "orphan", "foregroundDeletion"))
_IMMUTABLE = ("name", "namespace", "uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds")


def _cron_job_name(text: str) -> tuple[str, ...]:
    faults = dns_subdomain(text)
    return faults if len(text) <= _CRON_JOB_NAME_MAX else (*faults, longest(_CRON_JOB_NAME_MAX))


NAME_RULES: Mapping[tuple[str, str], Rule] = {
    ("", "Namespace"): dns_label,
    ("", "Service"): dns_label,
    ("batch", "CronJob"): _cron_job_name,
    ("apiregistration.k8s.io", "APIService"): path_segment,
    ("certificates.k8s.io", "CertificateSigningRequest"): path_segment,
    ("certificates.k8s.io", "ClusterTrustBundle"): path_segment,
    ("networking.k8s.io", "IPAddress"): ip_address,
    ("rbac.authorization.k8s.io", "ClusterRole"): path_segment,
    ("rbac.authorization.k8s.io", "ClusterRoleBinding"): path_segment,
    ("rbac.authorization.k8s.io", "Role"): path_segment,
    ("rbac.authorization.k8s.io", "RoleBinding"): path_segment,
}


def check_metadata(problems: Problems, resource: Resource, metadata: Tree) -> None:
    """The metadata of a new object."""
    get = metadata.get
    rule = NAME_RULES.get((resource.group, resource.kind), dns_subdomain)
    prefix = get("generateName")
    if prefix:
        # A cut-off prefix ends in whatever is then followed by random characters.
        problems.invalid_each("metadata.generateName", prefix, rule(_as_name(prefix)))
    name = get("name")
    if name:
        problems.invalid_each("metadata.name", name, rule(name))
    else:
        problems.required("metadata.name", "name or generateName is required")
    namespace = get("namespace")
    if resource.namespaced:
        if not namespace:
            problems.required("metadata.namespace")
        else:
            problems.invalid_each("metadata.namespace", namespace, dns_label(namespace))
    elif namespace:
        problems.forbidden("metadata.namespace", "not allowed on this type")
    generation = get("generation")
    if generation is not None and generation < 0:
        problems.invalid("metadata.generation", generation, NOT_NEGATIVE)
    labels = get("labels")
    if labels:
        check_labels(problems, labels, "metadata.labels")
    annotations = get("annotations")
    if annotations:
        check_annotations(problems, annotations, "metadata.annotations")
    if get("ownerReferences"):
        _check_owners(problems, metadata["ownerReferences"])
    if get("finalizers"):
        _check_finalizers(problems, resource, metadata["finalizers"])


def check_metadata_update(problems: Problems, new: Tree, old: Tree) -> None:
    """What an update may not change in metadata."""
    for field in _IMMUTABLE:
        if new.get(field) != old.get(field) and old.get(field) is not None:
            problems.invalid(f"metadata.{field}", new.get(field), IMMUTABLE)
    if (new.get("generation") or 0) < (old.get("generation") or 0):
        problems.invalid("metadata.generation", new.get("generation"), "must not be decremented")


def check_template_metadata(problems: Problems, metadata: Tree, path: str) -> None:
    """The metadata of a pod template: labels, annotations, finalizers."""
    if metadata.get("labels"):
        check_labels(problems, metadata["labels"], f"{path}.labels")
    if metadata.get("annotations"):
        check_annotations(problems, metadata["annotations"], f"{path}.annotations")
    for finalizer in metadata.get("finalizers") or ():
        problems.invalid_each(f"{path}.finalizers", finalizer, qualified_name(finalizer))


def check_labels(problems: Problems, labels: Mapping[str, Any], path: str) -> None:
    """A map of labels: keys are qualified names, values short words."""
    for key, value in labels.items():
        faults = qualified_name(key)
        if faults:
            problems.invalid_each(path, key, faults)
        faults = label_value(value)
        if faults:
            problems.invalid_each(path, value, faults)


def check_annotations(problems: Problems, annotations: Mapping[str, str], path: str) -> None:
    """A map of annotations: keys are qualified names, the total is bounded."""
    size = 0
    for key, value in annotations.items():
        faults = qualified_name(key.lower())
        if faults:
            problems.invalid_each(path, key, faults)
        size += len(key) + (len(value) if value.isascii() else len(value.encode(errors="surrogatepass")))
    if size > ANNOTATIONS_MAX:
        problems.too_long(path, ANNOTATIONS_MAX)


def _as_name(prefix: str) -> str:
    """The longest base that a generated name takes, ending as the name would."""
    base = prefix[: LABEL_MAX - 5] if len(prefix) <= LABEL_MAX else prefix
    return f"{base[:-1]}a" if base.endswith("-") else base


def _check_finalizers(problems: Problems, resource: Resource, finalizers: list[str]) -> None:
    builtin = "." not in resource.group or resource.group.endswith(".k8s.io")
    for index, finalizer in enumerate(finalizers):
        faults = qualified_name(finalizer)
        problems.invalid_each("metadata.finalizers", finalizer, faults)
        if not faults and builtin and "/" not in finalizer and finalizer not in _STANDARD_FINALIZERS:
            fault = "name is neither a standard finalizer name nor is it fully qualified"
            problems.invalid(f"metadata.finalizers[{index}]", finalizer, fault)
    if "orphan" in finalizers and "foregroundDeletion" in finalizers:
        fault = "finalizer orphan and foregroundDeletion cannot be both set"
        problems.invalid("metadata.finalizers", finalizers, fault)


def _check_owners(problems: Problems, owners: list[Tree]) -> None:
    controller = ""
    for index, owner in enumerate(owners):
        path = f"metadata.ownerReferences[{index}]"
        version = owner.get("apiVersion") or ""
        if not version.rpartition("/")[2] or version.count("/") > 1:
            problems.invalid(f"{path}.apiVersion", version, "version must not be empty")
        for field in ("kind", "name", "uid"):
            if not owner.get(field):
                problems.invalid(f"{path}.{field}", owner.get(field) or "", "must not be empty")
        if owner.get("kind") == "Event" and version in ("v1", "events.k8s.io/v1"):
            problems.invalid(path, owner, f"{version}, Kind=Event is disallowed from being an owner")
        if owner.get("controller"):
            this = f"{owner.get('kind')}/{owner.get('name')}"
            if controller:
                fault = (
                    'Only one reference can have Controller set to true. Found "true" in references for '
                    f"{controller} and {this}"
                )
                problems.invalid("metadata.ownerReferences", owners, fault)
            controller = this
