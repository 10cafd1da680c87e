import base64
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from bireme.api.errors import Forbidden
from bireme.http.interface import Identity
from bireme.registry.access import Attempt, Decision, Verdict
from bireme.registry.admission.certificates import (
    CertificateApproval,
    CertificateSigning,
    CertificateSubjectRestriction,
    ClusterTrustBundleAttest,
)
from bireme.registry.admission.chain import Plugin
from support.admission import put_before

Tree = dict[str, Any]
CSR, BUNDLES = "certificates.k8s.io/v1/certificatesigningrequests", "certificates.k8s.io/v1/clustertrustbundles"


class Allowing:
    """An authorizer that allows one verb on one signer."""

    def __init__(self, verb: str = "", signer: str = "") -> None:
        self._allowed = (verb, signer)
        self.authorizer = self

    def decide(self, user: Identity, attempt: Attempt) -> Decision:
        assert (attempt.group, attempt.resource) == ("certificates.k8s.io", "signers")
        return Decision(Verdict.ALLOWED if (attempt.verb, attempt.name) == self._allowed else Verdict.NO_OPINION)


def request(**status: Any) -> Tree:
    return {"metadata": {"name": "c"}, "spec": {"signerName": "example.com/own"}, "status": status}


DEEDS = [
    pytest.param(CertificateApproval, "approve", CSR, request(), "approval", "approve requests with", id="approve"),
    pytest.param(
        CertificateSigning, "sign", CSR, request(certificate="x"), "status", "sign requests with", id="sign"
    ),
    pytest.param(
        CertificateSigning,
        "sign",
        CSR,
        request(conditions=[{"type": "Failed"}]),
        "status",
        "sign requests",
        id="fail",
    ),
    pytest.param(
        CertificateSigning,
        "sign",
        "certificates.k8s.io/v1/podcertificaterequests",
        request(certificateChain="x"),
        "status",
        "sign requests",
        id="sign for a pod",
    ),
]


@pytest.mark.parametrize(("plugin", "verb", "path", "tree", "subresource", "text"), DEEDS)
async def test_the_verb_on_the_signer_or_its_domain_is_needed(
    plugin: type[Any], verb: str, path: str, tree: Tree, subresource: str, text: str
) -> None:
    async def tried(judges: Allowing) -> None:
        await put_before(plugin(judges), path, tree, old=request(), subresource=subresource)

    for signer in ("example.com/own", "example.com/*"):
        await tried(Allowing(verb, signer))
    for judges in (Allowing(), Allowing("get", "example.com/own"), Allowing(verb, "example.com/other")):
        with pytest.raises(Forbidden, match=f'user not permitted to {text}.*"example.com/own"'):
            await tried(judges)


async def test_a_status_without_a_certificate_needs_nothing() -> None:
    await put_before(CertificateSigning(Allowing()), CSR, request(x=1), old=request(), subresource="status")


async def test_trust_bundles_of_a_signer_need_its_word() -> None:
    bundle = {"metadata": {"name": "b"}, "spec": {"signerName": "example.com/own", "trustBundle": "x"}}
    await put_before(ClusterTrustBundleAttest(Allowing("attest", "example.com/own")), BUNDLES, bundle)
    await put_before(ClusterTrustBundleAttest(Allowing()), BUNDLES, bundle, old=bundle)
    await put_before(ClusterTrustBundleAttest(Allowing()), BUNDLES, {"metadata": {"name": "b"}, "spec": {}})
    with pytest.raises(Forbidden, match="user not permitted to attest for signerName"):
        await put_before(ClusterTrustBundleAttest(Allowing()), BUNDLES, bundle)


def asked(*groups: str, signer: str = "kubernetes.io/kube-apiserver-client") -> Tree:
    names = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, group) for group in groups]
    key = ec.generate_private_key(ec.SECP256R1())
    made = x509.CertificateSigningRequestBuilder().subject_name(x509.Name(names)).sign(key, hashes.SHA256())
    pem = base64.b64encode(made.public_bytes(serialization.Encoding.PEM)).decode()
    return {"metadata": {"name": "c"}, "spec": {"signerName": signer, "request": pem}}


async def test_no_administrator_by_certificate() -> None:
    plugin: Plugin = CertificateSubjectRestriction()
    await put_before(plugin, CSR, asked("developers"))
    await put_before(plugin, CSR, asked("system:masters", signer="example.com/own"))
    with pytest.raises(Forbidden, match="signer with system:masters group is not allowed"):
        await put_before(plugin, CSR, asked("developers", "system:masters"))
