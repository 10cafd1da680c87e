"""What pods are shown of who they are and whom to trust: tokens, certificates of their own, trust bundles."""

import base64
import json
import socket
import ssl
import threading
from datetime import timedelta
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from tests.e2e.conftest import Cluster, wait_until
from tests.e2e.test_node import apply, container, phase, pod

from bireme.aio.clock import RealClock
from bireme.api.times import rfc3339
from bireme.http.certificates import Authority

pytestmark = pytest.mark.e2e
SLEEP = "sleep 3600"
ACCOUNT = "/var/run/secrets/kubernetes.io/serviceaccount"


def shown(cluster: Cluster, namespace: str, name: str, path: str) -> str:
    return cluster.kubectl("exec", "-n", namespace, name, "--", "cat", path)


def projected(*sources: dict[str, Any], name: str = "v", path: str = "/v") -> dict[str, Any]:
    """The part of a pod that shows projected sources at a path."""
    one = container("c", SLEEP, volumeMounts=[{"name": name, "mountPath": path}])
    return {"containers": [one], "volumes": [{"name": name, "projected": {"sources": list(sources)}}]}


def run(cluster: Cluster, namespace: str, name: str, spec: dict[str, Any]) -> None:
    containers = spec.pop("containers")
    apply(cluster, pod(namespace, name, *containers, **spec))


# Service accounts


@pytest.mark.conformance("AU-013")
def test_a_pod_is_given_its_token_the_ca_and_its_namespace(cluster: Cluster, namespace: str) -> None:
    apply(cluster, pod(namespace, "p", container("c", SLEEP)))
    phase(cluster, namespace, "p", wanted="Running")
    assert shown(cluster, namespace, "p", f"{ACCOUNT}/namespace") == namespace
    assert "BEGIN CERTIFICATE" in shown(cluster, namespace, "p", f"{ACCOUNT}/ca.crt")
    token = shown(cluster, namespace, "p", f"{ACCOUNT}/token")
    review = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": {"token": token}}
    path = "/apis/authentication.k8s.io/v1/tokenreviews"
    answer = json.loads(cluster.kubectl("create", "--raw", path, "-f", "-", text=json.dumps(review)))
    assert answer["status"]["authenticated"] is True
    assert answer["status"]["user"]["username"] == f"system:serviceaccount:{namespace}:default"


@pytest.mark.conformance("AU-014")
def test_a_projected_token_has_the_modes_that_its_pod_asks_for(cluster: Cluster, namespace: str) -> None:
    token = {"serviceAccountToken": {"path": "token", "audience": "vault", "expirationSeconds": 600}}
    cases = {
        "root": ({}, "644 0 0"),
        "group": ({"fsGroup": 10000}, "640 0 10000"),
        "user": ({"runAsUser": 1000}, "600 1000 0"),
    }
    for name, (context, _) in cases.items():
        run(cluster, namespace, name, {**projected(token), "securityContext": context})
    for name, (_, wanted) in cases.items():
        phase(cluster, namespace, name, wanted="Running")
        told = cluster.kubectl("exec", "-n", namespace, name, "--", "stat", "-L", "-c", "%a %u %g", "/v/token")
        assert told.strip() == wanted, name
        claims = jwt.decode(shown(cluster, namespace, name, "/v/token"), options={"verify_signature": False})
        assert claims["aud"] == ["vault"]
        assert claims["kubernetes.io"]["pod"]["name"] == name


# Trust bundles


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority.create(tmp_path / "one", now=RealClock().now(), common_name="one")


def bundle(name: str, text: str, *, signer: str = "", **labels: str) -> dict[str, Any]:
    spec = {"trustBundle": text} | ({"signerName": signer} if signer else {})
    metadata = {"name": name, "labels": labels}
    return {"apiVersion": "certificates.k8s.io/v1", "kind": "ClusterTrustBundle", "metadata": metadata, "spec": spec}


def remove(cluster: Cluster, *names: str) -> None:
    cluster.kubectl("delete", "clustertrustbundles", "--ignore-not-found", *names)


def anchors(text: str) -> int:
    return len(x509.load_pem_x509_certificates(text.encode()))


@pytest.mark.conformance("AU-020", "AU-021", "AU-022", "AU-023", "AU-024", "AU-025")
def test_trust_bundles_are_shown_by_name_and_by_signer(
    cluster: Cluster, namespace: str, authority: Authority, tmp_path: Path
) -> None:
    other = Authority.create(tmp_path / "two", now=RealClock().now(), common_name="two")
    signer, prefix = f"example.com/{namespace}", f"example.com:{namespace}"
    names = [f"{namespace}-one", f"{prefix}:a", f"{prefix}:b"]
    one, two = authority.certificate.decode(), other.certificate.decode()
    apply(
        cluster,
        bundle(names[0], one),
        bundle(names[1], one, signer=signer, use="yes"),
        bundle(names[2], two, signer=signer),
    )

    def source(path: str, **said: Any) -> dict[str, Any]:
        return {"clusterTrustBundle": {**said, "path": path}}

    chosen = {"matchLabels": {"use": "yes"}}
    spec = projected(
        source("one.pem", name=names[0]),
        source("all.pem", signerName=signer, labelSelector={}),
        source("some.pem", signerName=signer, labelSelector=chosen),
        source("nothing.pem", signerName=signer, labelSelector={"matchLabels": {"use": "no"}}, optional=True),
        source("nil.pem", signerName=signer, optional=True),
    )
    second = {"name": "w", "projected": {"sources": [source("one.pem", name=names[0])]}}
    spec["volumes"].append(second)
    spec["containers"][0]["volumeMounts"].append({"name": "w", "mountPath": "/w"})
    try:
        run(cluster, namespace, "p", spec)
        phase(cluster, namespace, "p", wanted="Running")
        assert anchors(shown(cluster, namespace, "p", "/v/one.pem")) == 1
        assert anchors(shown(cluster, namespace, "p", "/v/all.pem")) == 2
        assert anchors(shown(cluster, namespace, "p", "/v/some.pem")) == 1
        assert anchors(shown(cluster, namespace, "p", "/w/one.pem")) == 1
        listed = cluster.kubectl("exec", "-n", namespace, "p", "--", "ls", "/v").split()
        assert listed == ["all.pem", "one.pem", "some.pem"]
    finally:
        remove(cluster, *names)


@pytest.mark.conformance("AU-019")
def test_more_than_a_hundred_bundles_in_one_pod(cluster: Cluster, namespace: str, authority: Authority) -> None:
    text = authority.certificate.decode()
    names = [f"{namespace}-{number}" for number in range(101)]
    apply(cluster, *(bundle(name, text) for name in names))
    sources = [{"clusterTrustBundle": {"name": name, "path": f"{name}.pem"}} for name in names]
    try:
        run(cluster, namespace, "p", projected(*sources))
        phase(cluster, namespace, "p", wanted="Running")
        assert len(cluster.kubectl("exec", "-n", namespace, "p", "--", "ls", "/v").split()) == 101
    finally:
        remove(cluster, *names)


@pytest.mark.conformance("AU-026", "AU-027")
def test_a_pod_does_not_start_without_the_bundle_that_it_needs(
    cluster: Cluster, namespace: str, authority: Authority
) -> None:
    named = {"name": f"{namespace}-absent", "path": "x.pem"}
    signed = {"signerName": f"example.com/{namespace}", "labelSelector": {}, "path": "x.pem"}
    for name, source in (("named", named), ("signed", signed)):
        run(cluster, namespace, name, projected({"clusterTrustBundle": {**source, "optional": False}}))
    for name, why in (("named", "not found"), ("signed", "matched zero ClusterTrustBundles")):

        def told(name: str = name, why: str = why) -> bool:
            field = f"involvedObject.name={name},reason=FailedMount"
            return why in cluster.kubectl("get", "events", "-n", namespace, "--field-selector", field, "-o", "json")

        wait_until(f"{name} is told why it waits", told)
        assert cluster.get("pod", name, "-n", namespace)["status"]["phase"] == "Pending"


# Certificates of their own


class Signer:
    """Signs what pods of a namespace ask of it, in the background, until it is closed."""

    def __init__(self, cluster: Cluster, namespace: str, authority: Authority) -> None:
        self.cluster, self.namespace, self.authority = cluster, namespace, authority
        self.name = f"example.com/{namespace}"
        self.seen: list[dict[str, Any]] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def close(self) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.wait(0.3):
            for request in self.cluster.get("podcertificaterequests", "-n", self.namespace)["items"]:
                if request["spec"]["signerName"] == self.name and not request.get("status", {}).get(
                    "certificateChain"
                ):
                    self._sign(request)

    def _sign(self, request: dict[str, Any]) -> None:
        now, spec = RealClock().now(), request["spec"]
        asked = x509.load_der_x509_csr(base64.b64decode(spec["stubPKCS10Request"]))
        chain = self.authority.sign_request(
            asked.public_bytes(Encoding.PEM),
            now=now,
            common_name=spec["podName"],
            hosts=("localhost", "127.0.0.1"),
            server=True,
            days=1,
        )
        leaf = x509.load_pem_x509_certificate(chain)
        issued = {
            "type": "Issued",
            "status": "True",
            "reason": "Signed",
            "message": "",
            "lastTransitionTime": rfc3339(now),
        }
        status = {
            "certificateChain": chain.decode(),
            "notBefore": rfc3339(leaf.not_valid_before_utc),
            "notAfter": rfc3339(leaf.not_valid_after_utc),
            "beginRefreshAt": rfc3339(now + timedelta(hours=12)),
            "conditions": [issued],
        }
        patch = json.dumps({"status": status})
        name = request["metadata"]["name"]
        words = ("podcertificaterequest", name, "-n", self.namespace, "--subresource", "status", "--type", "merge")
        self.cluster.kubectl("patch", *words, "-p", patch)
        self.seen.append(request)


@pytest.mark.conformance("AU-003", "AU-004", "AU-007", "AU-008")
def test_pods_are_given_certificates_and_trust_each_other(
    cluster: Cluster, namespace: str, authority: Authority
) -> None:
    signer = Signer(cluster, namespace, authority)
    trusted = f"{namespace}-mtls"
    apply(cluster, bundle(trusted, authority.certificate.decode()))
    source = {"signerName": signer.name, "keyType": "ECDSAP256", "credentialBundlePath": "tls.pem"}
    hour = {**source, "maxExpirationSeconds": 3600, "userAnnotations": {"example.com/path": "spiffe"}}
    trust = {"clusterTrustBundle": {"name": trusted, "path": "ca.pem"}}
    try:
        run(cluster, namespace, "server", projected({"podCertificate": source}, trust))
        run(cluster, namespace, "client", projected({"podCertificate": hour}, trust))
        held = {}
        for name in ("server", "client"):
            phase(cluster, namespace, name, wanted="Running", seconds=60)
            held[name] = (shown(cluster, namespace, name, "/v/tls.pem"), shown(cluster, namespace, name, "/v/ca.pem"))
        asked = {request["spec"]["podName"]: request["spec"] for request in signer.seen}
        assert asked["server"]["maxExpirationSeconds"] == 86400
        assert asked["client"]["maxExpirationSeconds"] == 3600
        assert asked["client"]["unverifiedUserAnnotations"] == {"example.com/path": "spiffe"}
        assert greeted(held["server"], held["client"]) == "client"
    finally:
        signer.close()
        remove(cluster, trusted)


def greeted(server: tuple[str, str], client: tuple[str, str]) -> str:
    """Mutual TLS with what the two pods were shown: the name that the server reads off the client."""

    def context(held: tuple[str, str], purpose: int) -> ssl.SSLContext:
        made = ssl.SSLContext(purpose)
        made.load_verify_locations(cadata=held[1])
        made.verify_mode = ssl.CERT_REQUIRED
        path = Path("/dev/shm") / f"bundle-{purpose}.pem"
        path.touch(mode=0o600)
        try:
            path.write_text(held[0])
            made.load_cert_chain(path)
        finally:
            path.unlink()
        return made

    near, far = socket.socketpair()
    names: list[str] = []

    def serve() -> None:
        with context(server, ssl.PROTOCOL_TLS_SERVER).wrap_socket(far, server_side=True) as door:
            subject = dict(pair[0] for pair in door.getpeercert()["subject"])  # type: ignore[index]
            names.append(str(subject["commonName"]))
            door.send(b"!")

    thread = threading.Thread(target=serve)
    thread.start()
    with context(client, ssl.PROTOCOL_TLS_CLIENT).wrap_socket(near, server_hostname="localhost") as door:
        door.recv(1)
    thread.join()
    return names[0]


@pytest.mark.conformance("AU-005", "AU-006")
def test_lives_out_of_bounds_are_refused(cluster: Cluster, namespace: str) -> None:
    for seconds in (3599, 7862401):
        source = {"signerName": "example.com/s", "keyType": "ECDSAP256", "keyPath": "key"}
        spec = projected({"podCertificate": {**source, "maxExpirationSeconds": seconds}})
        tree = pod(namespace, "p", *spec.pop("containers"), **spec)
        said = cluster.kubectl("create", "-f", "-", text=json.dumps(tree), check=False)
        assert "maxExpirationSeconds" in said
        assert "is invalid" in said
