"""How kinds depart from the rule of what create, update and status updates may touch, and what all verbs check.

Plain functions over trees, and one table of exceptions. The rule for most kinds: the main resource ignores the
status, the status resource ignores the rest, the generation rises when anything but metadata and status
changes. Sources: the Kubernetes documentation on writing; the `strategy.go` files of Kubernetes for which kinds
differ.
"""

from dataclasses import dataclass
from typing import Any

from bireme.api.errors import BadRequest, Cause, Conflict, Invalid
from bireme.api.scheme import Resource

Tree = dict[str, Any]

FOREGROUND = "foregroundDeletion"
ORPHAN = "orphan"


@dataclass(frozen=True, slots=True)
class Strategy:
    """How a kind departs from the rule."""

    create_on_update: bool = False
    update_without_version: bool = True
    counts_generations: bool = False
    keeps_status_on_create: bool = False
    orphans_by_default: bool = False


def _table(text: str) -> frozenset[str]:
    """Names such as `apps/v1/Deployment`, from lines of a group version and its kinds."""
    lines = (line.split() for line in text.strip().splitlines())
    return frozenset(f"{group_version}/{kind}" for group_version, *kinds in lines for kind in kinds)


_CREATE_ON_UPDATE = _table("""
    v1 Endpoints Event LimitRange Service
    events.k8s.io/v1 Event
    coordination.k8s.io/v1 Lease
    rbac.authorization.k8s.io/v1 Role RoleBinding ClusterRole ClusterRoleBinding
""")
_VERSION_NEEDED = _table("""
    coordination.k8s.io/v1 Lease
    policy/v1 PodDisruptionBudget
    storage.k8s.io/v1 VolumeAttachment CSINode CSIDriver
    node.k8s.io/v1 RuntimeClass
    apiextensions.k8s.io/v1 CustomResourceDefinition
    apiregistration.k8s.io/v1 APIService
    admissionregistration.k8s.io/v1 MutatingWebhookConfiguration ValidatingWebhookConfiguration
    admissionregistration.k8s.io/v1 ValidatingAdmissionPolicy ValidatingAdmissionPolicyBinding
    admissionregistration.k8s.io/v1 MutatingAdmissionPolicy MutatingAdmissionPolicyBinding
""")
_GENERATIONS = _table("""
    v1 Pod ReplicationController
    apps/v1 DaemonSet Deployment ReplicaSet StatefulSet
    batch/v1 CronJob Job
    policy/v1 PodDisruptionBudget
    networking.k8s.io/v1 Ingress IngressClass NetworkPolicy
    discovery.k8s.io/v1 EndpointSlice
    apiextensions.k8s.io/v1 CustomResourceDefinition
    scheduling.k8s.io/v1 PriorityClass
    flowcontrol.apiserver.k8s.io/v1 FlowSchema PriorityLevelConfiguration
    resource.k8s.io/v1 ResourceSlice DeviceTaintRule
    admissionregistration.k8s.io/v1 MutatingWebhookConfiguration ValidatingWebhookConfiguration
    admissionregistration.k8s.io/v1 ValidatingAdmissionPolicy ValidatingAdmissionPolicyBinding
    admissionregistration.k8s.io/v1 MutatingAdmissionPolicy MutatingAdmissionPolicyBinding
""")
_STATUS_KEPT = _table("v1 Node")
_ORPHANS = _table("""
    v1 ReplicationController
    batch/v1 Job
""")


def is_builtin(resource: Resource) -> bool:
    """Whether the kind is one of Kubernetes itself."""
    return "." not in resource.group or resource.group.endswith(".k8s.io")


CUSTOM = Strategy(update_without_version=False, counts_generations=True)


def strategy_of(resource: Resource) -> Strategy:
    """The strategy of a kind. Kinds of other groups are treated as custom ones are."""
    name = f"{resource.api_version}/{resource.kind}"
    custom = not is_builtin(resource)
    return Strategy(
        create_on_update=name in _CREATE_ON_UPDATE,
        update_without_version=not custom and name not in _VERSION_NEEDED,
        counts_generations=custom or name in _GENERATIONS,
        keeps_status_on_create=name in _STATUS_KEPT,
        orphans_by_default=name in _ORPHANS,
    )


def check_preconditions(resource: Resource, name: str, tree: Tree, old: Tree, *, uid: str, version: str) -> None:
    """Raise Conflict where the caller means another object, or an older state of it."""
    metadata = old["metadata"]
    details = {"name": name, "group": resource.group, "kind": resource.plural}
    head = f'Operation cannot be fulfilled on {resource.title} "{name}": '
    if uid and uid != metadata.get("uid"):
        raise Conflict(
            f"{head}Precondition failed: UID in precondition: {uid}, UID in object meta: {metadata.get('uid', '')}",
            details=details,
        )
    if version and version != metadata.get("resourceVersion"):
        raise modified(resource, name)


def modified(resource: Resource, name: str) -> Conflict:
    """The object changed since it was read."""
    return Conflict(
        f'Operation cannot be fulfilled on {resource.title} "{name}": the object has been modified; '
        "please apply your changes to the latest version and try again",
        details={"name": name, "group": resource.group, "kind": resource.plural},
    )


def invalid(resource: Resource, name: str, causes: list[Cause]) -> Invalid:
    """`Deployment.apps "a" is invalid: spec.x: Required value`, as Kubernetes words it."""
    title = f"{resource.kind}.{resource.group}" if resource.group else resource.kind
    texts = [f"{cause.field}: {cause.message}" for cause in causes]
    body = texts[0] if len(texts) == 1 else "[" + ", ".join(texts) + "]"
    return Invalid(
        f'{title} "{name}" is invalid: {body}',
        details={"name": name, "group": resource.group, "kind": resource.kind},
        causes=causes,
    )


def settle_namespace(resource: Resource, tree: Tree, namespace: str) -> None:
    """Make the namespace of the body that of the path. Raises BadRequest where they differ."""
    metadata = tree["metadata"]
    if not resource.namespaced:
        metadata.pop("namespace", None)
        return
    said = metadata.get("namespace") or namespace
    if said != namespace:
        raise BadRequest(
            "the namespace of the provided object does not match the namespace sent on the request "
            f"({said} != {namespace})"
        )
    metadata["namespace"] = namespace


def settle_name(resource: Resource, tree: Tree, name: str) -> None:
    """Make the name of the body that of the path. Raises BadRequest where they differ."""
    said = tree["metadata"].get("name") or name
    if said != name:
        raise BadRequest(f"the name of the object ({said}) does not match the name on the URL ({name})")
    tree["metadata"]["name"] = name
