"""What a node may do: what every node must, and of secrets and the like only what its own pods refer to.

What is refused here may still be allowed by a role. Which pods are a node's is asked of the pods' index, and what a
pod refers to is worked out when it is first asked for. Source: the Kubernetes documentation on node authorization.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import orjson

from bireme.http.interface import Identity
from bireme.registry.access import NO_OPINION, Attempt, Decision, Verdict
from bireme.registry.default_roles import CLUSTER_ROLES, rules_of
from bireme.registry.rbac_rules import Rule, compiled
from bireme.registry.reader import Reader
from bireme.registry.record import Record

Tree = dict[str, Any]
NODES = "system:nodes"
PREFIX = "system:node:"
MIRROR = "kubernetes.io/config.mirror"
READING = frozenset({"get", "list", "watch"})
REMEMBERED = 8192

# Resources that a node sees only where something binds them to it.
_THROUGH_PODS = frozenset(
    {
        ("", "secrets"),
        ("", "configmaps"),
        ("", "persistentvolumeclaims"),
        ("", "persistentvolumes"),
        ("", "serviceaccounts"),
        ("resource.k8s.io", "resourceclaims"),
        ("storage.k8s.io", "volumeattachments"),
    }
)


def node_name(user: Identity) -> str:
    """The node that `user` is, or ""."""
    return user.name.removeprefix(PREFIX) if user.name.startswith(PREFIX) and NODES in user.groups else ""


class NodeAuthorizer:
    """Decides for the nodes of a registry."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._rules: tuple[Rule, ...] = compiled(rules_of(CLUSTER_ROLES["system:node"]))
        self._pods = reader.cache.of(reader.kind("", "v1", "pods").stored)
        self._speaking: dict[tuple[str, str, str, str], tuple[Rule, ...]] = {}
        self._referred: dict[str, tuple[int, frozenset[tuple[str, str]]]] = {}
        self._own: Mapping[tuple[str, str], Callable[[str, Attempt], bool]] = {
            ("", "pods"): self._pods_of,
            ("", "nodes"): self._itself,
            ("coordination.k8s.io", "leases"): self._lease,
            ("storage.k8s.io", "csinodes"): self._named,
            ("resource.k8s.io", "resourceslices"): self._slices,
            ("certificates.k8s.io", "podcertificaterequests"): self._requests,
        }

    def decide(self, user: Identity, attempt: Attempt) -> Decision:
        """Whether the node that `user` is may do it; no opinion on others."""
        node = node_name(user)
        if not node or attempt.path or not self._is_for_nodes(attempt):
            return NO_OPINION
        place = (attempt.group, attempt.resource)
        if place in _THROUGH_PODS:
            return self._through_pods(node, attempt)
        own = self._own.get(place)
        if own is not None and not own(node, attempt):
            return _no(f"node '{node}' cannot {attempt.verb} {attempt.resource} that are not its own")
        return Decision(Verdict.ALLOWED)

    def _is_for_nodes(self, attempt: Attempt) -> bool:
        """Whether the role of nodes has it; which of its rules speak of such an attempt is remembered."""
        place = (attempt.verb, attempt.group, attempt.resource, attempt.subresource)
        rules = self._speaking.get(place)
        if rules is None:
            if len(self._speaking) >= REMEMBERED:
                self._speaking.clear()
            rules = self._speaking[place] = tuple(rule for rule in self._rules if rule.speaks_of(*place))
        return any(not rule.names or attempt.name in rule.names for rule in rules)

    # What is a node's own

    def _pods_of(self, node: str, attempt: Attempt) -> bool:
        """Reading pods by the node's name; which it may write is for admission to say, which sees the pod."""
        if attempt.verb in ("list", "watch"):
            return _asks(attempt, "spec.nodeName") == node or self._is_on(node, attempt)
        return attempt.verb != "get" or self._is_on(node, attempt)

    def _is_on(self, node: str, attempt: Attempt) -> bool:
        name = attempt.name or _asks(attempt, "metadata.name")
        return any(r.namespace == attempt.namespace and r.name == name for r in self._records(node))

    def _itself(self, node: str, attempt: Attempt) -> bool:
        if attempt.verb in READING:
            return (attempt.name or _asks(attempt, "metadata.name")) == node
        return attempt.name in ("", node)

    def _named(self, node: str, attempt: Attempt) -> bool:
        return attempt.name == node or (attempt.verb == "create" and not attempt.name)

    def _lease(self, node: str, attempt: Attempt) -> bool:
        return attempt.namespace == "kube-node-lease" and self._named(node, attempt)

    def _slices(self, node: str, attempt: Attempt) -> bool:
        if attempt.verb in ("list", "watch", "deletecollection"):
            return _asks(attempt, "spec.nodeName") == node
        return True

    def _requests(self, node: str, attempt: Attempt) -> bool:
        if attempt.verb in ("list", "watch"):
            return _asks(attempt, "spec.nodeName") == node
        if attempt.verb != "get":
            return True
        found = self._reader.find(attempt.group, "v1", "podcertificaterequests", attempt.namespace, attempt.name)
        return found is None or (found.get("spec") or {}).get("nodeName") == node

    # What its pods refer to

    def _through_pods(self, node: str, attempt: Attempt) -> Decision:
        name = attempt.name or _asks(attempt, "metadata.name")
        if not name:
            return _no("No Object name found")
        if attempt.resource == "volumeattachments":
            known = self._attached(node, name)
        elif attempt.resource == "persistentvolumes":
            known = self._has_volume(node, name)
        else:
            known = self._refers(node, attempt.resource, attempt.namespace, name)
        if known:
            return Decision(Verdict.ALLOWED)
        return _no(f"no relationship found between node '{node}' and this object")

    def _refers(self, node: str, resource: str, namespace: str, name: str) -> bool:
        wanted = (resource, name)
        return any(wanted in self._references(r) for r in self._records(node) if r.namespace == namespace)

    def _has_volume(self, node: str, name: str) -> bool:
        for record in self._records(node):
            for resource, claim in self._references(record):
                if resource == "persistentvolumeclaims":
                    found = self._reader.find("", "v1", resource, record.namespace, claim)
                    if found is not None and (found.get("spec") or {}).get("volumeName") == name:
                        return True
        return False

    def _attached(self, node: str, name: str) -> bool:
        found = self._reader.find("storage.k8s.io", "v1", "volumeattachments", "", name)
        return found is not None and (found.get("spec") or {}).get("nodeName") == node

    def _records(self, node: str) -> list[Record]:
        return self._pods.indexed("spec.nodeName", node)

    def _references(self, record: Record) -> frozenset[tuple[str, str]]:
        known = self._referred.get(record.key)
        if known is not None and known[0] == record.revision:
            return known[1]
        if len(self._referred) >= REMEMBERED:
            self._referred.clear()
        found = frozenset(references_of(orjson.loads(record.value)))
        self._referred[record.key] = (record.revision, found)
        return found


def references_of(pod: Tree) -> Iterator[tuple[str, str]]:
    """The objects of its namespace that a pod refers to: resource and name. A mirror pod gives a node nothing."""
    if MIRROR in (pod["metadata"].get("annotations") or {}):
        return
    spec = pod.get("spec") or {}
    if spec.get("serviceAccountName"):
        yield "serviceaccounts", spec["serviceAccountName"]
    for secret in spec.get("imagePullSecrets") or ():
        yield "secrets", secret.get("name", "")
    for part in ("containers", "initContainers", "ephemeralContainers"):
        for container in spec.get(part) or ():
            yield from _of_container(container)
    for volume in spec.get("volumes") or ():
        yield from _of_volume(volume, pod["metadata"]["name"])
    for claim in (pod.get("status") or {}).get("resourceClaimStatuses") or ():
        yield "resourceclaims", claim.get("resourceClaimName") or ""
    for claim in spec.get("resourceClaims") or ():
        yield "resourceclaims", claim.get("resourceClaimName") or ""


def _of_container(container: Tree) -> Iterator[tuple[str, str]]:
    for source in container.get("envFrom") or ():
        yield "configmaps", (source.get("configMapRef") or {}).get("name", "")
        yield "secrets", (source.get("secretRef") or {}).get("name", "")
    for variable in container.get("env") or ():
        source = variable.get("valueFrom") or {}
        yield "configmaps", (source.get("configMapKeyRef") or {}).get("name", "")
        yield "secrets", (source.get("secretKeyRef") or {}).get("name", "")


def _of_volume(volume: Tree, pod: str) -> Iterator[tuple[str, str]]:
    if "persistentVolumeClaim" in volume:
        yield "persistentvolumeclaims", (volume["persistentVolumeClaim"] or {}).get("claimName", "")
    if "ephemeral" in volume:
        yield "persistentvolumeclaims", f"{pod}-{volume.get('name', '')}"
    yield "configmaps", (volume.get("configMap") or {}).get("name", "")
    yield "secrets", (volume.get("secret") or {}).get("secretName", "")
    for source in (volume.get("projected") or {}).get("sources") or ():
        yield "configmaps", (source.get("configMap") or {}).get("name", "")
        yield "secrets", (source.get("secret") or {}).get("name", "")
    for kind in ("csi", "flexVolume", "iscsi", "rbd", "cephfs", "storageos", "scaleIO"):
        source = volume.get(kind) or {}
        for reference in ("secretRef", "nodePublishSecretRef"):
            yield "secrets", (source.get(reference) or {}).get("name", "")
    yield "secrets", (volume.get("azureFile") or {}).get("secretName", "")


def _asks(attempt: Attempt, field: str) -> str:
    """The one value that the selector of a list or watch asks of a field."""
    return dict(attempt.fields).get(field, "")


def _no(reason: str) -> Decision:
    return Decision(Verdict.NO_OPINION, reason)
