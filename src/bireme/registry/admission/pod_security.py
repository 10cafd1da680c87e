"""PodSecurity: pods keep to the standard that the labels of their namespace name; templates are warned of.

The standards stand in `registry/pod_security/`. A change of the labels warns of pods that are there already.
An operator may set what holds where a namespace says nothing, and whom it spares (`configuration.py`). Source: the
Kubernetes documentation on pod security admission.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from bireme.registry.admission.chain import Attributes, Objects, Operation, Place, Plugin
from bireme.registry.admission.refusals import joined, refused
from bireme.registry.apart import apart
from bireme.registry.kinds import Kind
from bireme.registry.pod_security.policy import (
    NOBODY,
    PREFIX,
    PRIVILEGED,
    Exempt,
    Policy,
    faults_of,
    ignored,
    is_stricter,
    one_of_each_first,
    policy_of,
    told,
    warnings_of,
)
from bireme.registry.strategy import invalid

Tree = dict[str, Any]
MOST_PODS = 3000
MANY_PODS = 150
"""Some three milliseconds of work; more is done in a thread."""


def _template(tree: Tree) -> Tree:
    return (tree.get("spec") or {}).get("template") or {}


_TEMPLATES: Mapping[str, Callable[[Tree], Tree]] = {
    "podtemplates": lambda tree: tree.get("template") or {},
    "replicationcontrollers": _template,
    "replicasets.apps": _template,
    "deployments.apps": _template,
    "statefulsets.apps": _template,
    "daemonsets.apps": _template,
    "jobs.batch": _template,
    "cronjobs.batch": lambda tree: _template((tree.get("spec") or {}).get("jobTemplate") or {}),
}


class PodSecurity(Plugin):
    """See the module."""

    name = "PodSecurity"

    def __init__(self, objects: Objects, default: Policy = PRIVILEGED, exempt: Exempt = NOBODY) -> None:
        self._objects = objects
        self._default = default
        self._exempt = exempt

    def handles(self, operation: Operation, kind: Kind, subresource: str) -> bool:
        if operation not in ("CREATE", "UPDATE"):
            return False
        if kind.is_a("Pod"):
            return subresource in ("", "ephemeralcontainers")
        return not subresource and (kind.is_a("Namespace") or kind.stored.title in _TEMPLATES)

    def looks_at(self, attributes: Attributes) -> Sequence[Place] | None:
        # What a standard finds, and who is exempt, is noted for the audit log each time.
        exempt = self._exempt
        if exempt.namespaces or exempt.users or exempt.runtime_classes:
            return None
        return (("", "v1", "namespaces"),) if self._policy(attributes.namespace) is PRIVILEGED else None

    async def validate(self, attributes: Attributes) -> None:
        tree = attributes.tree
        if tree is None:
            return
        if attributes.kind.is_a("Namespace"):
            await self._check_namespace(attributes, tree)
            return
        if self._is_spared(attributes):
            return
        policy = self._policy(attributes.namespace)
        if policy is PRIVILEGED:
            return
        if attributes.kind.is_a("Pod"):
            if self._is_of_spared_class(attributes, tree.get("spec") or {}):
                return
            if attributes.old is None or _is_significant(tree, attributes.old):
                _check_pod(attributes, policy, tree["metadata"], tree.get("spec") or {}, enforce=True)
            return
        template = _TEMPLATES[attributes.kind.stored.title](tree)
        if template and not self._is_of_spared_class(attributes, template.get("spec") or {}):
            _check_pod(attributes, policy, template.get("metadata") or {}, template.get("spec") or {}, enforce=False)

    def _policy(self, name: str) -> Policy:
        namespace = self._objects.find("", "v1", "namespaces", "", name)
        return policy_of(namespace["metadata"].get("labels"), self._default) if namespace is not None else PRIVILEGED

    def _is_spared(self, attributes: Attributes) -> bool:
        if attributes.namespace in self._exempt.namespaces:
            attributes.call.audit[PREFIX + "exempt"] = "namespace"
            return True
        if attributes.call.user.name in self._exempt.users:
            attributes.call.audit[PREFIX + "exempt"] = "user"
            return True
        return False

    def _is_of_spared_class(self, attributes: Attributes, spec: Tree) -> bool:
        if spec.get("runtimeClassName") not in self._exempt.runtime_classes:
            return False
        attributes.call.audit[PREFIX + "exempt"] = "runtimeClass"
        return True

    async def _check_namespace(self, attributes: Attributes, tree: Tree) -> None:
        policy = policy_of(tree["metadata"].get("labels"), self._default)
        old = policy_of((attributes.old or {"metadata": {}})["metadata"].get("labels"), self._default)
        if policy.faults and policy.faults != old.faults:
            raise invalid(attributes.kind.resource, attributes.name, list(policy.faults))
        if attributes.old is not None and not is_stricter(policy.enforce, old.enforce):
            return
        if attributes.name in self._exempt.namespaces:
            if policy.restricts and policy != self._default:
                attributes.call.warn(ignored(attributes.name, policy, tree["metadata"].get("labels") or {}))
            return
        if attributes.old is None:
            return
        spared = self._exempt.runtime_classes
        pods = one_of_each_first(
            pod
            for pod in self._objects.every("", "v1", "pods", attributes.name)
            if (pod.get("spec") or {}).get("runtimeClassName") not in spared
        )
        first, total = pods[:MOST_PODS], len(pods)
        many = total > MANY_PODS
        for text in await apart(many, warnings_of, attributes.name, policy.enforce, first, total=total):
            attributes.call.warn(text)


def _check_pod(attributes: Attributes, policy: Policy, metadata: Tree, spec: Tree, *, enforce: bool) -> None:
    audit = attributes.call.audit
    if policy.faults:
        why = joined([f"{fault.field}: {fault.message}" for fault in policy.faults])
        audit[PREFIX + "error"] = f"Failed to parse policy: {why}"
    if faults := faults_of(policy.audit, metadata, spec):
        audit[PREFIX + "audit-violations"] = f'would violate PodSecurity "{policy.audit}": {told(faults)}'
    if enforce:
        audit[PREFIX + "enforce-policy"] = str(policy.enforce)
        if faults := faults_of(policy.enforce, metadata, spec):
            raise refused(attributes, f'violates PodSecurity "{policy.enforce}": {told(faults)}')
    if faults := faults_of(policy.warn, metadata, spec):
        attributes.call.warn(f'would violate PodSecurity "{policy.warn}": {told(faults)}')


def _is_significant(pod: Tree, old: Tree) -> bool:
    """Whether an update changes what a standard looks at and an update may change: images, and who is there."""
    return _looked_at(pod) != _looked_at(old)


def _looked_at(pod: Tree) -> tuple[list[Any], dict[str, str]]:
    spec, annotations = pod.get("spec") or {}, pod["metadata"].get("annotations") or {}
    images = [
        [(container.get("name"), container.get("image")) for container in spec.get(field) or ()]
        for field in ("containers", "initContainers", "ephemeralContainers")
    ]
    return images, {name: value for name, value in annotations.items() if "seccomp." in name}
