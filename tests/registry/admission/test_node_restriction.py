"""What a node may not do, as a matrix of requests; the attacks of CVE-2021-25735, CVE-2025-4563 and CVE-2025-5187."""

import base64
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from bireme.api.errors import Forbidden, NotFound
from bireme.http.interface import Identity
from bireme.registry.access import NO_OPINION, Attempt, Decision, Verdict
from bireme.registry.admission.node_restriction import NodeRestriction
from support.admission import Lookup, put_before

Tree = dict[str, Any]
NODE = Identity("system:node:a", ("system:nodes", "system:authenticated"))
LEASES, CSI = "coordination.k8s.io/v1/leases", "storage.k8s.io/v1/csinodes"
SLICES, CSR = "resource.k8s.io/v1/resourceslices", "certificates.k8s.io/v1/certificatesigningrequests"
PCR = "certificates.k8s.io/v1/podcertificaterequests"
PROJECTED = {"name": "v", "projected": {"sources": [{"serviceAccountToken": {"audience": "vault"}}]}}


def named(name: str, **more: Any) -> Tree:
    return {"metadata": {"name": name}, **more}


def stored(name: str, node: str, **spec: Any) -> Tree:
    return {
        "metadata": {"name": name, "uid": f"u-{name}", "namespace": "default"},
        "spec": {"nodeName": node, **spec},
    }


THERE = Lookup(
    nodes=[{"metadata": {"name": "a", "uid": "n-a"}}],
    pods=[stored("mine", "a", volumes=[PROJECTED, {"name": "c", "csi": {"driver": "d"}}]), stored("other", "b")],
    csidrivers=[{"metadata": {"name": "d"}, "spec": {"tokenRequests": [{"audience": "driver"}]}}],
)


class Judge:
    """An authorizer that allows one audience."""

    def __init__(self) -> None:
        self.authorizer = self

    def decide(self, user: Identity, attempt: Attempt) -> Decision:
        granted = ("request-serviceaccounts-token-audience", "granted", "default", "default")
        asked = (attempt.verb, attempt.resource, attempt.name, attempt.namespace)
        return Decision(Verdict.ALLOWED) if asked == granted else NO_OPINION


OWNER = {"apiVersion": "v1", "kind": "Node", "name": "a", "uid": "n-a", "controller": True}


def mirror(*, owner: Tree | None = OWNER, owners: list[Tree] | None = None, mark: bool = True, **spec: Any) -> Tree:
    metadata: Tree = {"name": "m", "annotations": {"kubernetes.io/config.mirror": "x"} if mark else {}}
    metadata["ownerReferences"] = owners if owners is not None else [owner] if owner else []
    return {"metadata": metadata, "spec": {"nodeName": "a", "containers": [{"name": "c"}], **spec}}


def node(name: str = "a", *, labels: Tree | None = None, owners: list[Tree] | None = None, **spec: Any) -> Tree:
    metadata: Tree = {"name": name, "labels": labels or {}}
    if owners:
        metadata["ownerReferences"] = owners
    return {"metadata": metadata, "spec": spec}


def token(*audiences: str, **bound: Any) -> Tree:
    reference = {"apiVersion": "v1", "kind": "Pod", "name": "mine", "uid": "u-mine", **bound}
    return named("default", spec={"audiences": list(audiences), "boundObjectRef": reference})


def claim(*, labels: Tree | None = None, **status: Any) -> Tree:
    return {"metadata": {"name": "d", "labels": labels or {}}, "spec": {}, "status": {"phase": "Bound", **status}}


def status(pod: str = "a", **more: Any) -> Tree:
    return {"metadata": {"name": "p", **more.pop("metadata", {})}, "spec": {"nodeName": pod}, "status": more}


def signing(name: str, signer: str = "kubernetes.io/kubelet-serving") -> Tree:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    request = x509.CertificateSigningRequestBuilder().subject_name(subject).sign(key, hashes.SHA256())
    pem = request.public_bytes(serialization.Encoding.PEM)
    return named("c", spec={"signerName": signer, "request": base64.b64encode(pem).decode()})


def certificate(**changes: Any) -> Tree:
    spec = {"nodeName": "a", "podName": "mine", "podUID": "u-mine", "serviceAccountName": "", "serviceAccountUID": ""}
    return named("r", spec={**spec, **changes})


def env(**source: Any) -> Tree:
    return {"containers": [{"name": "c", "env": [{"name": "E", "valueFrom": source}]}]}


def volume(**source: Any) -> Tree:
    return {"volumes": [{"name": "v", **source}]}


LABEL = "node-restriction.kubernetes.io/tier"
ANOTHER = {"apiVersion": "v1", "kind": "Pod", "name": "x", "uid": "u"}

# Path, what is sent, and the rest of the request; the last is part of why it is refused.
REFUSED: list[tuple[str, Tree | None, Tree, str]] = [
    ("nodes", node("b"), {}, 'not allowed to modify node "b"'),
    ("nodes", node("b"), {"old": node("b")}, 'not allowed to modify node "b"'),
    ("nodes", None, {"old": node("b"), "operation": "DELETE"}, 'not allowed to modify node "b"'),
    ("nodes", node("b"), {"old": node("b"), "subresource": "status"}, 'not allowed to modify node "b"'),
    ("nodes", node(labels={LABEL: "x"}), {}, "not allowed to set the following labels"),
    ("nodes", node(labels={f"sub.{LABEL}": "x"}), {}, "not allowed to set the following labels"),
    ("nodes", node(labels={"node-role.kubernetes.io/control-plane": ""}), {}, "the following labels"),
    ("nodes", node(labels={"k8s.io/x": ""}), {}, "the following labels"),
    ("nodes", node(configSource={}), {}, "configSource"),
    ("nodes", node(owners=[ANOTHER]), {}, "ownerReferences"),
    ("nodes", node(labels={LABEL: "x"}), {"old": node()}, f"not allowed to modify labels: {LABEL}"),
    ("nodes", node(), {"old": node(labels={LABEL: "x"})}, f"not allowed to modify labels: {LABEL}"),
    ("nodes", node(labels={LABEL: "y"}), {"old": node(labels={LABEL: "x"})}, "not allowed to modify labels"),
    ("nodes", node(labels={"x.kubernetes.io/y": "1"}), {"old": node()}, "not allowed to modify labels"),
    ("nodes", node(labels={LABEL: "x"}), {"old": node(), "subresource": "status"}, "not allowed to modify labels"),
    ("nodes", node(), {"old": node(taints=[{"key": "k"}])}, "not allowed to modify taints"),
    ("nodes", node(taints=[{"key": "k"}]), {"old": node()}, "not allowed to modify taints"),
    ("nodes", node(), {"old": node(taints=[{"key": "k"}]), "subresource": "status"}, "not allowed to modify taints"),
    ("nodes", node(configSource={"a": 1}), {"old": node()}, "configSource"),
    ("nodes", node(owners=[ANOTHER]), {"old": node()}, "not allowed to modify ownerReferences"),
    ("nodes", node(owners=[ANOTHER]), {"old": node(), "subresource": "status"}, "modify ownerReferences"),
    ("nodes", node(), {"old": node(owners=[ANOTHER])}, "not allowed to modify ownerReferences"),
    ("pods", mirror(mark=False), {}, "can only create mirror pods"),
    ("pods", mirror(nodeName="b"), {}, "spec.nodeName set to itself"),
    ("pods", mirror(nodeName=""), {}, "spec.nodeName set to itself"),
    ("pods", mirror(owner=None), {}, "with an owner reference set to itself"),
    ("pods", mirror(owners=[OWNER, ANOTHER]), {}, "a single owner reference"),
    ("pods", mirror(owner={**OWNER, "name": "b"}), {}, "with an owner reference set to itself"),
    ("pods", mirror(owner={**OWNER, "kind": "Pod"}), {}, "with an owner reference set to itself"),
    ("pods", mirror(owner={**OWNER, "controller": False}), {}, "a controller owner reference"),
    ("pods", mirror(owner={**OWNER, "blockOwnerDeletion": True}), {}, "must not set blockOwnerDeletion"),
    ("pods", mirror(owner={**OWNER, "uid": "old"}), {}, "UID mismatch"),
    ("pods", mirror(serviceAccountName="admin"), {}, "a service account"),
    ("pods", mirror(**volume(secret={"secretName": "s"})), {}, "reference secrets"),
    ("pods", mirror(**volume(projected={"sources": [{"secret": {"name": "s"}}]})), {}, "reference secrets"),
    ("pods", mirror(**volume(csi={"driver": "d", "nodePublishSecretRef": {"name": "s"}})), {}, "reference secrets"),
    ("pods", mirror(**volume(azureFile={"secretName": "s"})), {}, "reference secrets"),
    ("pods", mirror(imagePullSecrets=[{"name": "s"}]), {}, "reference secrets"),
    ("pods", mirror(**env(secretKeyRef={"name": "s"})), {}, "reference secrets"),
    ("pods", mirror(initContainers=[{"name": "i", "envFrom": [{"secretRef": {}}]}]), {}, "reference secrets"),
    ("pods", mirror(**env(configMapKeyRef={"name": "s"})), {}, "reference configmaps"),
    ("pods", mirror(**volume(configMap={"name": "s"})), {}, "reference configmaps"),
    ("pods", mirror(**volume(projected={"sources": [{"clusterTrustBundle": {}}]})), {}, "clustertrustbundles"),
    ("pods", mirror(**volume(projected={"sources": [{"serviceAccountToken": {}}]})), {}, "account tokens"),
    ("pods", mirror(**volume(persistentVolumeClaim={"claimName": "d"})), {}, "persistentvolumeclaims"),
    ("pods", mirror(resourceClaims=[{"name": "gpu"}]), {}, "resourceclaims"),
    ("pods", stored("mine", "a"), {"old": stored("mine", "a")}, 'unexpected operation "UPDATE"'),
    ("pods", None, {"old": stored("other", "b"), "operation": "DELETE"}, "can only delete pods"),
    ("pods", named("other"), {"subresource": "eviction"}, "can only evict pods"),
    ("pods", {**named("mine"), "target": {"name": "a"}}, {"subresource": "binding"}, "unexpected pod subresource"),
    ("pods", stored("mine", "a"), {"old": stored("mine", "a"), "subresource": "ephemeralcontainers"}, "unexpected"),
    ("pods", stored("mine", "a"), {"old": stored("mine", "a"), "subresource": "resize"}, "unexpected pod sub"),
    ("pods", status("b"), {"old": status("b"), "subresource": "status"}, "can only update pod status"),
    (
        "pods",
        status(metadata={"labels": {"app": "x"}}),
        {"old": status(), "subresource": "status"},
        "cannot update labels through pod status",
    ),
    (
        "pods",
        status(resourceClaimStatuses=[{"name": "a", "resourceClaimName": "b"}]),
        {"old": status(), "subresource": "status"},
        "cannot update resource claim",
    ),
    ("persistentvolumeclaims", claim(), {"old": claim()}, "may only update PVC status"),
    ("persistentvolumeclaims", claim(), {}, "may only update PVC status"),
    ("persistentvolumeclaims", claim(phase="Lost"), {"old": claim(), "subresource": "status"}, "other than status"),
    ("persistentvolumeclaims", claim(labels={"a": "b"}), {"old": claim(), "subresource": "status"}, "other than"),
    ("serviceaccounts", named("default", spec={}), {"subresource": "token"}, "token not bound to a pod"),
    ("serviceaccounts", token(kind="Secret"), {"subresource": "token"}, "token not bound to a pod"),
    ("serviceaccounts", token(kind="Node", name="a"), {"subresource": "token"}, "token not bound to a pod"),
    ("serviceaccounts", token(uid=""), {"subresource": "token"}, "without a uid"),
    ("serviceaccounts", token(uid="old"), {"subresource": "token"}, "does not match the UID in record"),
    ("serviceaccounts", token(name="other", uid="u-other"), {"subresource": "token"}, "on a different node"),
    ("serviceaccounts", token("elsewhere"), {"subresource": "token"}, 'audience "elsewhere" not found'),
    ("serviceaccounts", token("vault", "elsewhere"), {"subresource": "token"}, 'audience "elsewhere" not found'),
    (LEASES, named("a"), {}, 'leases in the "kube-node-lease" system namespace'),
    (LEASES, named("b"), {"namespace": "kube-node-lease"}, "the same name as the requesting node"),
    (LEASES, named("b"), {"old": named("b"), "namespace": "kube-node-lease"}, "the same name as the requesting node"),
    (LEASES, None, {"old": named("b"), "operation": "DELETE", "namespace": "kube-node-lease"}, "the same name"),
    (CSI, named("b"), {}, "CSINode with the same name"),
    (CSI, named("b"), {"old": named("b")}, "CSINode with the same name"),
    (CSI, None, {"old": named("b"), "operation": "DELETE"}, "CSINode with the same name"),
    (SLICES, named("s", spec={"nodeName": "b"}), {}, "can only create ResourceSlice"),
    (SLICES, named("s", spec={"allNodes": True}), {}, "can only create ResourceSlice"),
    (SLICES, None, {"old": named("s", spec={"nodeName": "b"}), "operation": "DELETE"}, "can only delete"),
    (CSR, signing("system:node:b"), {}, "CN=system:node:a"),
    (CSR, signing("admin", "kubernetes.io/kube-apiserver-client-kubelet"), {}, "CN=system:node:a"),
    (PCR, certificate(nodeName="b"), {}, "which is not the requesting node"),
    (PCR, certificate(podName="other", podUID="u-other"), {}, 'not running on node "a"'),
    (PCR, certificate(podName="gone"), {}, "while retrieving pod"),
    (PCR, certificate(podUID="old"), {}, "contains pod UID"),
    (PCR, certificate(serviceAccountName="admin"), {}, "contains serviceAccountName"),
    (PCR, certificate(serviceAccountUID="u"), {}, "contains service account UID"),
    (PCR, certificate(), {"old": certificate(), "subresource": "status"}, "unexpected operation"),
    (CSR, named("c", spec={"signerName": "kubernetes.io/kubelet-serving", "request": "eA=="}), {}, "unable to parse"),
]

ALLOWED: list[tuple[str, Tree | None, Tree]] = [
    ("nodes", node(labels={"kubernetes.io/hostname": "a", "example.com/x": "y", "x.node.kubernetes.io/y": "z"}), {}),
    ("nodes", node(labels={"kubelet.kubernetes.io/x": "y"}, taints=[{"key": "k"}]), {}),
    ("nodes", node(labels={LABEL: "x", "a": "b"}), {"old": node(labels={LABEL: "x"})}),
    ("nodes", node(), {"old": node(), "subresource": "status"}),
    ("pods", mirror(), {}),
    ("pods", None, {"old": stored("mine", "a"), "operation": "DELETE"}),
    ("pods", named("mine"), {"subresource": "eviction"}),
    ("pods", status(phase="Running"), {"old": status(), "subresource": "status"}),
    ("persistentvolumeclaims", claim(capacity={"storage": "1Gi"}), {"old": claim(), "subresource": "status"}),
    ("serviceaccounts", token("vault"), {"subresource": "token"}),
    ("serviceaccounts", token("driver"), {"subresource": "token"}),
    ("serviceaccounts", token("granted"), {"subresource": "token"}),
    (LEASES, named("a"), {"namespace": "kube-node-lease"}),
    (CSI, named("a"), {}),
    (SLICES, named("s", spec={"nodeName": "a"}), {}),
    (PCR, certificate(), {}),
    (CSR, signing("system:node:a"), {}),
    (CSR, signing("anybody", "example.com/own"), {}),
]


def test_the_matrix_is_large() -> None:
    assert len(REFUSED) >= 60


@pytest.mark.parametrize(("path", "tree", "rest", "why"), REFUSED, ids=range(len(REFUSED)))
async def test_refused(path: str, tree: Tree | None, rest: Tree, why: str) -> None:
    with pytest.raises(Forbidden) as refusal:
        await put_before(NodeRestriction(THERE, Judge()), path, tree, user=NODE, **rest)
    assert why in refusal.value.message


@pytest.mark.parametrize(("path", "tree", "rest"), ALLOWED, ids=range(len(ALLOWED)))
async def test_allowed(path: str, tree: Tree | None, rest: Tree) -> None:
    await put_before(NodeRestriction(THERE, Judge()), path, tree, user=NODE, **rest)


async def test_others_are_let_be() -> None:
    for user in (Identity("system:node:a"), Identity("admin", ("system:masters",))):
        await put_before(NodeRestriction(THERE, Judge()), "nodes", node("b"), user=user)


async def test_a_node_without_a_name_may_do_nothing() -> None:
    nameless = Identity("system:node:", ("system:nodes",))
    with pytest.raises(Forbidden, match="could not determine node"):
        await put_before(NodeRestriction(THERE, Judge()), "nodes", node(), user=nameless)


async def test_pods_that_are_not_there() -> None:
    for path, tree, deed in (("pods", named("gone"), "eviction"), ("serviceaccounts", token(name="gone"), "token")):
        with pytest.raises(NotFound):
            await put_before(NodeRestriction(THERE, Judge()), path, tree, user=NODE, subresource=deed)
