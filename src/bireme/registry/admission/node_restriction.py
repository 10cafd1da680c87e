"""NodeRestriction: a kubelet writes its own node, its lease and the pods on it, and nothing that leads further.

Acts on users of the group `system:nodes` alone; what they may read and which verbs they have is the authorizer's
business. Source: the Kubernetes documentation on node authorization; CVE-2021-25735, CVE-2025-4563, CVE-2025-5187.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from bireme.api.errors import not_found
from bireme.registry.access import Attempt
from bireme.registry.admission.chain import Attributes, Judges, Objects, Operation, Place, Plugin
from bireme.registry.admission.refusals import refused
from bireme.registry.kinds import Kind
from bireme.registry.signing_requests import subject_of

Tree = dict[str, Any]
GROUP = "system:nodes"
USER = "system:node:"
MIRROR = "kubernetes.io/config.mirror"
LEASES = "kube-node-lease"
AUDIENCE_VERB = "request-serviceaccounts-token-audience"
OWN_SIGNERS = ("kubernetes.io/kubelet-serving", "kubernetes.io/kube-apiserver-client-kubelet")
KUBELET_LABELS = frozenset(
    (
        "kubernetes.io/hostname",
        "kubernetes.io/os",
        "kubernetes.io/arch",
        "beta.kubernetes.io/os",
        "beta.kubernetes.io/arch",
        "node.kubernetes.io/instance-type",
        "beta.kubernetes.io/instance-type",
        "topology.kubernetes.io/zone",
        "topology.kubernetes.io/region",
        "failure-domain.beta.kubernetes.io/zone",
        "failure-domain.beta.kubernetes.io/region",
    )
)
KUBELET_DOMAINS = ("kubelet.kubernetes.io", "node.kubernetes.io")
RESERVED_DOMAIN = "node-restriction.kubernetes.io"
# What may change in the status of a claim, and what this server itself keeps beside it.
CLAIM_STATUS = ("capacity", "conditions", "allocatedResources", "allocatedResourceStatuses")


class NodeRestriction(Plugin):
    """See the module."""

    name = "NodeRestriction"

    def __init__(self, objects: Objects, judges: Judges) -> None:
        self._objects = objects
        self._judges = judges
        self._rules: Mapping[str, Callable[[str, Attributes], str]] = {
            "pods": self._pod,
            "nodes": _node,
            "persistentvolumeclaims": _claim,
            "serviceaccounts": self._token,
            "leases.coordination.k8s.io": _lease,
            "csinodes.storage.k8s.io": _csi_node,
            "resourceslices.resource.k8s.io": _slice,
            "certificatesigningrequests.certificates.k8s.io": _signing_request,
            "podcertificaterequests.certificates.k8s.io": self._pod_certificate,
        }

    def handles(self, operation: Operation, kind: Kind, subresource: str) -> bool:
        return operation != "CONNECT" and kind.stored.title in self._rules

    def looks_at(self, attributes: Attributes) -> Sequence[Place] | None:
        return None if _is_node(attributes) else ()

    def is_quiet(self, attributes: Attributes) -> bool:
        if not _is_node(attributes):
            return True
        node = attributes.call.user.name.removeprefix(USER)
        return bool(node) and not self._rules[attributes.kind.stored.title](node, attributes)

    async def admit(self, attributes: Attributes) -> None:
        if not _is_node(attributes):
            return
        user = attributes.call.user
        node = user.name.removeprefix(USER)
        if not node:
            raise refused(attributes, f'could not determine node from user "{user.name}"')
        why = self._rules[attributes.kind.stored.title](node, attributes)
        if why:
            raise refused(attributes, why)

    # Pods

    def _pod(self, node: str, attributes: Attributes) -> str:
        match attributes.subresource:
            case "":
                return self._whole_pod(node, attributes)
            case "status":
                return _pod_status(node, attributes)
            case "eviction":
                if self._node_of(attributes, attributes.name) != node:
                    return f"node {node} can only evict pods with spec.nodeName set to itself"
                return ""
        return f"unexpected pod subresource \"{attributes.subresource}\", only 'status' and 'eviction' are allowed"

    def _whole_pod(self, node: str, attributes: Attributes) -> str:
        if attributes.operation == "DELETE":
            if self._node_of(attributes, attributes.name) != node:
                return f'node "{node}" can only delete pods with spec.nodeName set to itself'
            return ""
        if attributes.operation != "CREATE" or attributes.tree is None:
            return (
                f'unexpected operation "{attributes.operation}", node "{node}" can only create and delete mirror pods'
            )
        return self._mirror_pod(node, attributes.tree)

    def _node_of(self, attributes: Attributes, name: str) -> str:
        pod = self._objects.find("", "v1", "pods", attributes.namespace, name)
        if pod is None:
            raise not_found("pods", name)
        found: str = (pod.get("spec") or {}).get("nodeName") or ""
        return found

    def _mirror_pod(self, node: str, pod: Tree) -> str:
        spec, metadata = pod.get("spec") or {}, pod["metadata"]
        if MIRROR not in (metadata.get("annotations") or {}):
            return f'pod does not have "{MIRROR}" annotation, node "{node}" can only create mirror pods'
        if spec.get("nodeName") != node:
            return f'node "{node}" can only create pods with spec.nodeName set to itself'
        if why := self._owner_fault(node, metadata.get("ownerReferences") or []):
            return why
        for what in _referred(spec):
            return f'node "{node}" can not create pods that reference {what}'
        return ""

    def _owner_fault(self, node: str, owners: list[Tree]) -> str:
        if len(owners) > 1:
            return f'node "{node}" can only create pods with a single owner reference set to itself'
        owner = owners[0] if owners else {}
        if (owner.get("apiVersion"), owner.get("kind"), owner.get("name")) != ("v1", "Node", node):
            return f'node "{node}" can only create pods with an owner reference set to itself'
        if not owner.get("controller"):
            return f'node "{node}" can only create pods with a controller owner reference set to itself'
        if owner.get("blockOwnerDeletion"):
            return f'node "{node}" must not set blockOwnerDeletion on an owner reference'
        there = self._objects.find("", "v1", "nodes", "", node)
        if there is None:
            raise not_found("nodes", node)
        uid = there["metadata"]["uid"]
        return "" if owner.get("uid") == uid else f"node {node} UID mismatch: expected {owner.get('uid')} got {uid}"

    # Tokens

    def _token(self, node: str, attributes: Attributes) -> str:
        if (attributes.operation, attributes.subresource) != ("CREATE", "token") or attributes.tree is None:
            return ""
        spec = attributes.tree.get("spec") or {}
        bound = spec.get("boundObjectRef") or {}
        name, uid = bound.get("name"), bound.get("uid")
        if (bound.get("apiVersion"), bound.get("kind")) != ("v1", "Pod") or not name:
            return "node requested token not bound to a pod"
        if not uid:
            return "node requested token with a pod binding without a uid"
        pod = self._objects.find("", "v1", "pods", attributes.namespace, name)
        if pod is None:
            raise not_found("pods", name)
        if pod["metadata"]["uid"] != uid:
            return (
                f"the UID in the bound object reference ({uid}) does not match the UID in record. "
                "The object might have been deleted and then recreated"
            )
        if (pod.get("spec") or {}).get("nodeName") != node:
            return "node requested token bound to a pod scheduled on a different node"
        return self._audience_fault(spec.get("audiences") or [""], pod, attributes)

    def _pod_certificate(self, node: str, attributes: Attributes) -> str:
        """A kubelet asks for certificates of the pods that run on it, as the accounts that they run as."""
        if attributes.operation != "CREATE" or attributes.subresource or attributes.tree is None:
            return f'unexpected operation "{attributes.operation}"'
        spec = attributes.tree.get("spec") or {}
        if spec.get("nodeName") != node:
            said = spec.get("nodeName") or ""
            return f'PodCertificateRequest.Spec.NodeName="{said}", which is not the requesting node "{node}"'
        name = spec.get("podName") or ""
        pod = self._objects.find("", "v1", "pods", attributes.namespace, name)
        if pod is None:
            return f'while retrieving pod "{name}" named in the PodCertificateRequest: pods "{name}" not found'
        there, account = pod.get("spec") or {}, self._account_of(pod, attributes.namespace)
        head = f'PodCertificateRequest for pod "{name}" contains'
        if there.get("nodeName") != node:
            return f'pod "{name}" is not running on node "{node}"'
        for field, title, known in (
            ("podUID", "pod UID", pod["metadata"]["uid"]),
            ("serviceAccountName", "serviceAccountName", there.get("serviceAccountName") or ""),
            ("serviceAccountUID", "service account UID", account),
        ):
            if (spec.get(field) or "") != known:
                return f'{head} {title} ("{spec.get(field) or ""}") that differs from running pod ("{known}")'
        return ""

    def _account_of(self, pod: Tree, namespace: str) -> str:
        name = (pod.get("spec") or {}).get("serviceAccountName") or ""
        account = self._objects.find("", "v1", "serviceaccounts", namespace, name)
        uid: str = account["metadata"]["uid"] if account is not None else ""
        return uid

    def _audience_fault(self, audiences: list[str], pod: Tree, attributes: Attributes) -> str:
        """A kubelet asks for the tokens that the pod's volumes name, their drivers ask for, or it has a right to."""
        known = set(_audiences(pod))
        for driver in _drivers(pod):
            found = self._objects.find("storage.k8s.io", "v1", "csidrivers", "", driver) or {}
            known.update(one.get("audience") or "" for one in (found.get("spec") or {}).get("tokenRequests") or ())
        user, namespace = attributes.call.user, attributes.namespace
        for audience in audiences:
            wanted = Attempt(AUDIENCE_VERB, resource=audience, name=attributes.name, namespace=namespace)
            if audience not in known and not self._judges.authorizer.decide(user, wanted).allowed:
                return (
                    f'audience "{audience}" not found in pod spec volume, {user.name} is not authorized to request '
                    "tokens for this audience"
                )
        return ""


def _is_node(attributes: Attributes) -> bool:
    user = attributes.call.user
    return GROUP in user.groups and user.name.startswith(USER)


def _pod_status(node: str, attributes: Attributes) -> str:
    new, old = attributes.tree, attributes.old
    if attributes.operation != "UPDATE" or new is None or old is None:
        return f'unexpected operation "{attributes.operation}"'
    if (old.get("spec") or {}).get("nodeName") != node:
        return f'node "{node}" can only update pod status for pods with spec.nodeName set to itself'
    if _labels(new) != _labels(old):
        return f'node "{node}" cannot update labels through pod status'
    if _claims(new) != _claims(old):
        return f'node "{node}" cannot update resource claim statues'
    return ""


def _labels(tree: Tree) -> dict[str, str]:
    return tree["metadata"].get("labels") or {}


def _claims(pod: Tree) -> list[tuple[str, str | None]]:
    said = (pod.get("status") or {}).get("resourceClaimStatuses") or ()
    return [(one.get("name", ""), one.get("resourceClaimName")) for one in said]


def _referred(spec: Tree) -> Iterator[str]:
    """Which other objects the pod would let its node read."""
    if spec.get("serviceAccountName") or spec.get("serviceAccount"):
        yield "a service account"
    volumes = spec.get("volumes") or []
    sources = [source for volume in volumes for source in (volume.get("projected") or {}).get("sources") or ()]
    if spec.get("imagePullSecrets") or _mentions(
        spec, ("secret", "secretRef", "secretKeyRef", "nodePublishSecretRef")
    ):
        yield "secrets"
    if any((volume.get("azureFile") or {}).get("secretName") for volume in volumes):
        yield "secrets"
    if _mentions(spec, ("configMap", "configMapRef", "configMapKeyRef")):
        yield "configmaps"
    if any("clusterTrustBundle" in source for source in sources):
        yield "clustertrustbundles"
    if any("serviceAccountToken" in source for source in sources):
        yield "service account tokens"
    if any("podCertificate" in source for source in sources):
        yield "podcertificaterequests"
    if any("persistentVolumeClaim" in volume or "ephemeral" in volume for volume in volumes):
        yield "persistentvolumeclaims"
    if spec.get("resourceClaims"):
        yield "resourceclaims"


def _mentions(part: Any, fields: tuple[str, ...]) -> bool:
    if isinstance(part, dict):
        return any(
            (name in fields and value is not None) or _mentions(value, fields)
            for name, value in part.items()
            if name not in ("labels", "annotations", "nodeSelector")
        )
    return isinstance(part, list) and any(_mentions(one, fields) for one in part)


def _audiences(pod: Tree) -> Iterator[str]:
    for volume in (pod.get("spec") or {}).get("volumes") or ():
        for source in (volume.get("projected") or {}).get("sources") or ():
            if source.get("serviceAccountToken") is not None:
                yield source["serviceAccountToken"].get("audience") or ""


def _drivers(pod: Tree) -> Iterator[str]:
    for volume in (pod.get("spec") or {}).get("volumes") or ():
        if volume.get("csi"):
            yield volume["csi"].get("driver") or ""


# Nodes and what goes with them


def _node(node: str, attributes: Attributes) -> str:
    if attributes.name != node:
        return f'node "{node}" is not allowed to modify node "{attributes.name}"'
    new, old = attributes.tree, attributes.old
    if new is None:
        return ""
    if attributes.operation == "CREATE":
        if (new.get("spec") or {}).get("configSource") is not None:
            return f'node "{node}" is not allowed to create pods with a non-nil configSource'
        if new["metadata"].get("ownerReferences"):
            return f'node "{node}" is not allowed to set ownerReferences'
        forbidden = _forbidden(_labels(new), {})
        listed = ", ".join(forbidden)
        return f'node "{node}" is not allowed to set the following labels: {listed}' if forbidden else ""
    spec, known = new.get("spec") or {}, (old or {}).get("spec") or {}
    if spec.get("configSource") is not None and spec["configSource"] != known.get("configSource"):
        return f'node "{node}" is not allowed to update configSource to a new non-nil configSource'
    if (spec.get("taints") or []) != (known.get("taints") or []):
        return f'node "{node}" is not allowed to modify taints'
    before = old or {"metadata": {}}
    if (new["metadata"].get("ownerReferences") or []) != (before["metadata"].get("ownerReferences") or []):
        return f'node "{node}" is not allowed to modify ownerReferences'
    forbidden = _forbidden(_labels(new), _labels(before))
    return f"is not allowed to modify labels: {', '.join(forbidden)}" if forbidden else ""


def _forbidden(new: dict[str, str], old: dict[str, str]) -> list[str]:
    """The changed labels that are not a kubelet's to set."""
    changed = {label for label, _ in new.items() ^ old.items()}
    return sorted(label for label in changed if not _is_own(label))


def _is_own(label: str) -> bool:
    domain = label.rpartition("/")[0]
    if _within(domain, RESERVED_DOMAIN):
        return False
    if not (_within(domain, "kubernetes.io") or _within(domain, "k8s.io")):
        return True
    return label in KUBELET_LABELS or any(_within(domain, own) for own in KUBELET_DOMAINS)


def _within(domain: str, parent: str) -> bool:
    return domain == parent or domain.endswith(f".{parent}")


def _claim(node: str, attributes: Attributes) -> str:
    new, old = attributes.tree, attributes.old
    if attributes.subresource != "status":
        return "may only update PVC status"
    if attributes.operation != "UPDATE" or new is None or old is None:
        return f'unexpected operation "{attributes.operation}"'
    if _unchangeable(new) != _unchangeable(old):
        return f'node "{node}" is not allowed to update fields other than status.capacity and status.conditions'
    return ""


def _unchangeable(claim: Tree) -> Tree:
    status = {name: value for name, value in (claim.get("status") or {}).items() if name not in CLAIM_STATUS}
    metadata = {
        name: value for name, value in claim["metadata"].items() if name not in ("resourceVersion", "managedFields")
    }
    return {**claim, "metadata": metadata, "status": status}


def _lease(node: str, attributes: Attributes) -> str:
    if attributes.namespace != LEASES:
        return f'can only access leases in the "{LEASES}" system namespace'
    if attributes.name != node:
        return "can only access node lease with the same name as the requesting node"
    return ""


def _csi_node(node: str, attributes: Attributes) -> str:
    return "" if attributes.name == node else "can only access CSINode with the same name as the requesting node"


def _slice(node: str, attributes: Attributes) -> str:
    slice_ = attributes.old if attributes.operation == "DELETE" else attributes.tree
    if attributes.operation == "UPDATE" or ((slice_ or {}).get("spec") or {}).get("nodeName") == node:
        return ""
    verb = "delete" if attributes.operation == "DELETE" else "create"
    return f"can only {verb} ResourceSlice with the same NodeName as the requesting node"


def _signing_request(node: str, attributes: Attributes) -> str:
    """A certificate for a kubelet names that kubelet alone."""
    if attributes.operation != "CREATE" or attributes.subresource or attributes.tree is None:
        return ""
    if (attributes.tree.get("spec") or {}).get("signerName") not in OWN_SIGNERS:
        return ""
    subject = subject_of(attributes.tree)
    if subject is None:
        return "unable to parse csr"
    if subject.name != USER + node:
        return f"can only create a node CSR with CN={USER}{node}"
    return ""
