"""CertificateApproval, CertificateSigning, CertificateSubjectRestriction, ClusterTrustBundleAttest.

Who approves, signs or vouches for a signer needs that verb on the signer, or on all signers of its domain; and
nobody gets the administrators' group by a certificate for clients. Source: the Kubernetes documentation on
certificate signing requests and trust bundles.
"""

from typing import Any

from bireme.http.interface import Identity
from bireme.registry.access import Attempt
from bireme.registry.admission.chain import Attributes, Judges, Operation, Plugin
from bireme.registry.admission.refusals import refused
from bireme.registry.kinds import Kind
from bireme.registry.signing_requests import subject_of

Tree = dict[str, Any]
GROUP = "certificates.k8s.io"
REQUEST, POD_REQUEST, BUNDLE = "CertificateSigningRequest", "PodCertificateRequest", "ClusterTrustBundle"
CLIENT_SIGNER = "kubernetes.io/kube-apiserver-client"
MASTERS = "system:masters"


def may_for_signer(judges: Judges, user: Identity, verb: str, signer: str) -> bool:
    """Whether the user has `verb` on the signer, or on `DOMAIN/*`."""
    domain = signer.partition("/")[0]
    attempts = (Attempt(verb, GROUP, "*", "signers", name=name) for name in (signer, f"{domain}/*"))
    return any(judges.authorizer.decide(user, attempt).allowed for attempt in attempts)


def _signer(tree: Tree | None) -> str:
    return ((tree or {}).get("spec") or {}).get("signerName") or ""


class CertificateApproval(Plugin):
    """Approving or denying needs the verb `approve`."""

    name = "CertificateApproval"

    def __init__(self, judges: Judges) -> None:
        self._judges = judges

    def handles(self, operation: Operation, kind: Kind, subresource: str) -> bool:
        return operation == "UPDATE" and kind.is_a(REQUEST, GROUP) and subresource == "approval"

    async def validate(self, attributes: Attributes) -> None:
        signer = _signer(attributes.old)
        if not may_for_signer(self._judges, attributes.call.user, "approve", signer):
            raise refused(attributes, f'user not permitted to approve requests with signerName "{signer}"')


class CertificateSigning(Plugin):
    """Writing the certificate, or that it failed, needs the verb `sign`."""

    name = "CertificateSigning"

    def __init__(self, judges: Judges) -> None:
        self._judges = judges

    def handles(self, operation: Operation, kind: Kind, subresource: str) -> bool:
        asks = kind.is_a(REQUEST, GROUP) or kind.is_a(POD_REQUEST, GROUP)
        return asks and operation == "UPDATE" and subresource == "status"

    async def validate(self, attributes: Attributes) -> None:
        if _signed(attributes.tree) == _signed(attributes.old):
            return
        signer = _signer(attributes.old)
        if not may_for_signer(self._judges, attributes.call.user, "sign", signer):
            raise refused(attributes, f'user not permitted to sign requests with signerName "{signer}"')


def _signed(tree: Tree | None) -> tuple[Any, Any]:
    status = (tree or {}).get("status") or {}
    given = status.get("certificate") or status.get("certificateChain")
    return given or None, status.get("conditions") or None


class CertificateSubjectRestriction(Plugin):
    """A certificate for clients does not make administrators."""

    name = "CertificateSubjectRestriction"

    def handles(self, operation: Operation, kind: Kind, subresource: str) -> bool:
        return operation == "CREATE" and kind.is_a(REQUEST, GROUP) and not subresource

    async def validate(self, attributes: Attributes) -> None:
        if attributes.tree is None or _signer(attributes.tree) != CLIENT_SIGNER:
            return
        subject = subject_of(attributes.tree)
        if subject is None:
            raise refused(attributes, "failed to parse the request")
        if MASTERS in subject.groups:
            raise refused(attributes, f"use of {CLIENT_SIGNER} signer with {MASTERS} group is not allowed")


class ClusterTrustBundleAttest(Plugin):
    """Writing a signer's trust bundle needs the verb `attest`."""

    name = "ClusterTrustBundleAttest"

    def __init__(self, judges: Judges) -> None:
        self._judges = judges

    def handles(self, operation: Operation, kind: Kind, subresource: str) -> bool:
        return operation in ("CREATE", "UPDATE") and kind.is_a(BUNDLE, GROUP) and not subresource

    async def validate(self, attributes: Attributes) -> None:
        signer = _signer(attributes.tree)
        if not signer or _only_metadata(attributes):
            return
        if not may_for_signer(self._judges, attributes.call.user, "attest", signer):
            raise refused(attributes, f'user not permitted to attest for signerName "{signer}"')


def _only_metadata(attributes: Attributes) -> bool:
    """Whether an update leaves what is vouched for alone, as the removal of a finalizer does."""
    new, old = attributes.tree, attributes.old
    return new is not None and old is not None and new.get("spec") == old.get("spec")
