"""Certificates by request, and what goes with them: CSRs, trust bundles, pods' requests, a node's way in."""

import base64
import json
from datetime import timedelta

import pytest
from conformance_tools import wait_until
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from bireme.aio.clock import RealClock

GROUP = "/apis/certificates.k8s.io/v1"
REQUESTS = f"{GROUP}/certificatesigningrequests"
CLIENT = "kubernetes.io/kube-apiserver-client"


def key_and_request(name: str, *groups: str) -> tuple[bytes, str]:
    key = ec.generate_private_key(ec.SECP256R1())
    parts = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, group) for group in groups]
    subject = x509.Name([*parts, x509.NameAttribute(NameOID.COMMON_NAME, name)])
    asked = x509.CertificateSigningRequestBuilder().subject_name(subject).sign(key, hashes.SHA256())
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return pem, base64.b64encode(asked.public_bytes(serialization.Encoding.PEM)).decode()


def csr(name: str, request: str, *, signer: str = CLIENT, **spec) -> dict:
    spec = {"request": request, "signerName": signer, "usages": ["digital signature", "client auth"], **spec}
    return {"metadata": {"name": name}, "spec": spec}


def issued(api, name: str) -> bytes:
    def certificate():
        return api.get(f"{REQUESTS}/{name}").get("status", {}).get("certificate")

    wait_until(certificate, what="certificate")
    return base64.b64decode(certificate())


@pytest.mark.conformance("AU-001")
def test_operations_of_signing_requests(api, namespace):
    found = {one["name"]: one["verbs"] for one in api.get(GROUP)["resources"]}
    assert {"certificatesigningrequests/approval", "certificatesigningrequests/status"} <= set(found)
    _, request = key_and_request("ada")
    made = api.create(REQUESTS, csr(namespace, request, signer="example.com/ours"))
    assert made["spec"]["username"] == "kubernetes-admin"
    assert "system:masters" in made["spec"]["groups"]
    one = f"{REQUESTS}/{namespace}"
    watch = api.watch(f"{REQUESTS}?fieldSelector=metadata.name%3D{namespace}")
    assert api.patch(one, {"metadata": {"annotations": {"a": "b"}}})["metadata"]["annotations"] == {"a": "b"}
    condition = {"type": "Approved", "status": "True", "reason": "Test", "message": "m"}
    approved = api.patch(f"{one}/approval", {"status": {"conditions": [condition]}})
    assert approved["status"]["conditions"][0]["type"] == "Approved"
    tried = api.ask(
        "PATCH",
        f"{one}/approval",
        {"status": {"conditions": [condition, {**condition, "type": "Denied"}]}},
        media="application/merge-patch+json",
    )
    assert tried.status_code == 422
    changed = {"spec": {"usages": ["server auth"]}}
    assert api.patch(one, changed)["spec"]["usages"] == made["spec"]["usages"]
    other = {"type": "Ready", "status": "True", "reason": "Test"}
    status = {"status": {"conditions": [*approved["status"]["conditions"], other]}}
    assert len(api.patch(f"{one}/status", status)["status"]["conditions"]) == 2
    assert api.get(f"{one}/approval")["metadata"]["name"] == namespace
    assert [item["metadata"]["name"] for item in api.get(f"{REQUESTS}?labelSelector=")["items"]].count(namespace) == 1
    api.delete(one)
    watch.wait(lambda seen: seen and seen[-1]["type"] == "DELETED")
    watch.close()
    assert api.ask("GET", one).status_code == 404


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"usages": []}, "spec.usages"),
        ({"usages": ["everything"]}, "spec.usages[0]"),
        ({"signerName": "kubernetes.io/legacy-unknown"}, "spec.signerName"),
        ({"signerName": "one"}, "spec.signerName"),
        ({"request": base64.b64encode(b"nothing").decode()}, "spec.request"),
        ({"expirationSeconds": 599}, "spec.expirationSeconds"),
    ],
)
def test_requests_that_make_no_sense(api, change, field):
    tree = csr("wrong", key_and_request("ada")[1])
    tree["spec"].update(change)
    answer = api.ask("POST", REQUESTS, tree)
    assert answer.status_code == 422
    assert answer.json()["details"]["causes"][0]["field"] == field


def test_kubectl_approves_and_the_certificate_lets_one_in(api, namespace, kubectl, as_user, tmp_path):
    key, request = key_and_request("ada", "dev")
    api.create(REQUESTS, csr(namespace, request, expirationSeconds=3600))
    assert "Pending" in kubectl("get", "csr", namespace)
    assert "approved" in kubectl("certificate", "approve", namespace)
    pem = issued(api, namespace)
    (tmp_path / "c.crt").write_bytes(pem)
    (tmp_path / "c.key").write_bytes(key)
    certificate = x509.load_pem_x509_certificate(pem)
    assert 3500 < (certificate.not_valid_after_utc - certificate.not_valid_before_utc).total_seconds() < 4000
    ada = as_user(certificate=(str(tmp_path / "c.crt"), str(tmp_path / "c.key")))
    me = ada.create("/apis/authentication.k8s.io/v1/selfsubjectreviews", {})["status"]["userInfo"]
    assert (me["username"], me["groups"]) == ("ada", ["dev", "system:authenticated"])
    answer = ada.ask("GET", "/api/v1/namespaces")
    assert answer.json()["message"] == (
        'namespaces is forbidden: User "ada" cannot list resource "namespaces" in API group "" at the cluster scope'
    )
    api.delete(f"{REQUESTS}/{namespace}")


def test_kubectl_denies(api, namespace, kubectl):
    api.create(REQUESTS, csr(namespace, key_and_request("ada")[1]))
    assert "denied" in kubectl("certificate", "deny", namespace)
    assert "Denied" in kubectl("get", "csr", namespace)
    assert "certificate" not in api.get(f"{REQUESTS}/{namespace}")["status"]
    api.delete(f"{REQUESTS}/{namespace}")


def test_nobody_approves_through_the_status(api, namespace):
    """Who may write the status alone can neither approve nor take an approval away."""
    api.create(REQUESTS, csr(namespace, key_and_request("eve")[1], signer="example.com/ours"))
    one = f"{REQUESTS}/{namespace}"
    condition = {"type": "Approved", "status": "True", "reason": "Eve"}
    assert "conditions" not in api.patch(f"{one}/status", {"status": {"conditions": [condition]}}).get("status", {})
    api.patch(f"{one}/approval", {"status": {"conditions": [condition]}})
    kept = api.patch(f"{one}/status", {"status": {"conditions": []}})["status"]["conditions"]
    assert [one["type"] for one in kept] == ["Approved"]
    api.delete(one)


def test_nobody_rules_by_a_certificate(api, namespace):
    _, request = key_and_request("eve", "system:masters")
    answer = api.ask("POST", REQUESTS, csr(namespace, request))
    assert answer.status_code == 403


def test_a_node_finds_its_way_in_by_a_bootstrap_token(api, namespace, as_user, tmp_path):
    """Token, request, certificate, node: as `kubelet --bootstrap-kubeconfig` walks it."""
    identity = f"{abs(hash(namespace)) % 10**6:06d}"
    data = {
        "token-id": identity,
        "token-secret": "0123456789abcdef",
        "usage-bootstrap-authentication": "true",
        "auth-extra-groups": "system:bootstrappers:test",
    }
    secrets = "/api/v1/namespaces/kube-system/secrets"
    name = f"bootstrap-token-{identity}"
    kind = "bootstrap.kubernetes.io/token"
    api.create(secrets, {"metadata": {"name": name}, "type": kind, "stringData": data})
    roles = ("system:node-bootstrapper", "system:certificates.k8s.io:certificatesigningrequests:nodeclient")
    bindings = "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings"
    for number, role in enumerate(roles):
        subject = {"kind": "Group", "name": "system:bootstrappers:test", "apiGroup": "rbac.authorization.k8s.io"}
        reference = {"kind": "ClusterRole", "name": role, "apiGroup": "rbac.authorization.k8s.io"}
        tree = {"metadata": {"name": f"{namespace}-{number}"}, "roleRef": reference, "subjects": [subject]}
        api.create(bindings, tree)
    newcomer = as_user(token=f"{identity}.0123456789abcdef")
    node = f"node-{namespace}"
    key, request = key_and_request(f"system:node:{node}", "system:nodes")
    newcomer.create(REQUESTS, csr(namespace, request, signer=f"{CLIENT}-kubelet"))
    assert newcomer.ask("GET", "/api/v1/nodes").status_code == 403
    (tmp_path / "n.crt").write_bytes(issued(api, namespace))
    (tmp_path / "n.key").write_bytes(key)
    kubelet = as_user(certificate=(str(tmp_path / "n.crt"), str(tmp_path / "n.key")))
    assert kubelet.create("/api/v1/nodes", {"metadata": {"name": node}})["metadata"]["name"] == node
    assert kubelet.ask("POST", "/api/v1/nodes", {"metadata": {"name": "other"}}).status_code == 403
    api.delete(f"{secrets}/{name}")
    assert newcomer.ask("GET", f"{REQUESTS}/{namespace}").status_code == 401
    for path in (
        f"/api/v1/nodes/{node}",
        f"{REQUESTS}/{namespace}",
        *(f"{bindings}/{namespace}-{n}" for n in (0, 1)),
    ):
        api.delete(path)


def authority(name: str) -> str:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = RealClock().now()
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now)
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    return made.public_bytes(serialization.Encoding.PEM).decode()


@pytest.mark.conformance("AU-018")
def test_trust_bundles(api, namespace):
    bundles = f"{GROUP}/clustertrustbundles"
    name = f"example.com:ours:{namespace}"
    spec = {"signerName": "example.com/ours", "trustBundle": authority("one")}
    labels = {"test": namespace}
    made = api.create(bundles, {"metadata": {"name": name, "labels": labels}, "spec": spec})
    assert made["spec"] == spec
    one = f"{bundles}/{name}"
    second = authority("two")
    assert api.patch(one, {"spec": {"trustBundle": second}})["spec"]["trustBundle"] == second
    made = api.get(one)
    made["metadata"]["annotations"] = {"a": "b"}
    assert api.update(one, made)["metadata"]["annotations"] == {"a": "b"}
    chosen = api.get(f"{bundles}?fieldSelector=spec.signerName%3Dexample.com/ours&labelSelector=test%3D{namespace}")
    assert [item["metadata"]["name"] for item in chosen["items"]] == [name]
    wrong = {"metadata": {"name": f"other-{namespace}"}, "spec": spec}
    assert api.ask("POST", bundles, wrong).status_code == 422
    empty = {"metadata": {"name": f"other-{namespace}"}, "spec": {"trustBundle": "no certificate"}}
    assert api.ask("POST", bundles, empty).status_code == 422
    api.delete(f"{bundles}?labelSelector=test%3D{namespace}")
    assert api.ask("GET", one).status_code == 404


@pytest.mark.conformance("AU-002")
def test_requests_of_pods(api, namespace):
    found = {one["name"]: one for one in api.get(GROUP)["resources"]}
    assert found["podcertificaterequests"]["namespaced"]
    assert {"get", "patch", "update"} <= set(found["podcertificaterequests/status"]["verbs"])
    requests = f"{GROUP}/namespaces/{namespace}/podcertificaterequests"
    spec = {
        "signerName": "example.com/ours",
        "podName": "p",
        "podUID": "1",
        "serviceAccountName": "default",
        "serviceAccountUID": "2",
        "nodeName": "n",
        "nodeUID": "3",
        "stubPKCS10Request": key_and_request("stub")[1],
    }
    made = api.create(requests, {"metadata": {"name": "r"}, "spec": spec})
    assert made["spec"]["maxExpirationSeconds"] == 86400
    for seconds in (3599, 91 * 86400 + 1):
        wrong = {"metadata": {"name": "w"}, "spec": {**spec, "maxExpirationSeconds": seconds}}
        assert api.ask("POST", requests, wrong).status_code == 422
    one = f"{requests}/r"
    assert api.patch(one, {"metadata": {"labels": {"a": "b"}}})["metadata"]["labels"] == {"a": "b"}
    changed = api.ask("PATCH", one, {"spec": {"podName": "q"}}, media="application/merge-patch+json")
    assert changed.status_code == 422
    condition = {
        "type": "Denied",
        "status": "True",
        "reason": "Test",
        "message": "m",
        "lastTransitionTime": "2026-01-01T00:00:00Z",
    }
    status = api.patch(f"{one}/status", {"status": {"conditions": [condition]}})
    assert status["status"]["conditions"][0]["reason"] == "Test"
    current = api.get(f"{one}/status")
    assert api.update(f"{one}/status", current)["status"] == status["status"]
    assert [item["metadata"]["name"] for item in api.get(requests)["items"]] == ["r"]
    api.delete(one)
    assert json.loads(api.ask("GET", requests).text)["items"] == []
