"""The kinds of certificates, as the published schema gives them. Made by tools/generate_kinds.py: do not edit."""

from __future__ import annotations

from msgspec import field

from bireme.api.kinds import meta
from bireme.api.kinds.meta import Object
from bireme.api.model import Model


class CertificateSigningRequest(Object):
    __gvk__ = ("certificates.k8s.io", "v1", "CertificateSigningRequest")
    spec: CertificateSigningRequestSpec = field(default_factory=lambda: CertificateSigningRequestSpec())
    status: CertificateSigningRequestStatus = field(default_factory=lambda: CertificateSigningRequestStatus())


class CertificateSigningRequestCondition(Model):
    last_transition_time: str = ""
    last_update_time: str = ""
    message: str = ""
    reason: str = ""
    status: str = ""
    type: str = ""


class CertificateSigningRequestSpec(Model):
    expiration_seconds: int | None = None
    extra: dict[str, list[str]] = {}
    groups: list[str] = []
    request: str = ""
    signer_name: str = ""
    uid: str = ""
    usages: list[str] = []
    username: str = ""


class CertificateSigningRequestStatus(Model):
    certificate: str = ""
    conditions: list[CertificateSigningRequestCondition] = []


class ClusterTrustBundle(Object):
    __gvk__ = ("certificates.k8s.io", "v1", "ClusterTrustBundle")
    spec: ClusterTrustBundleSpec = field(default_factory=lambda: ClusterTrustBundleSpec())


class ClusterTrustBundleSpec(Model):
    signer_name: str = ""
    trust_bundle: str = ""


class PodCertificateRequest(Object):
    __gvk__ = ("certificates.k8s.io", "v1", "PodCertificateRequest")
    spec: PodCertificateRequestSpec = field(default_factory=lambda: PodCertificateRequestSpec())
    status: PodCertificateRequestStatus = field(default_factory=lambda: PodCertificateRequestStatus())


class PodCertificateRequestSpec(Model):
    max_expiration_seconds: int | None = None
    node_name: str = ""
    node_uid: str = field(default="", name="nodeUID")
    pod_name: str = ""
    pod_uid: str = field(default="", name="podUID")
    service_account_name: str = ""
    service_account_uid: str = field(default="", name="serviceAccountUID")
    signer_name: str = ""
    stub_pkcs10_request: str = field(default="", name="stubPKCS10Request")
    unverified_user_annotations: dict[str, str] = {}


class PodCertificateRequestStatus(Model):
    begin_refresh_at: str = ""
    certificate_chain: str = ""
    conditions: list[meta.Condition] = []
    not_after: str = ""
    not_before: str = ""
