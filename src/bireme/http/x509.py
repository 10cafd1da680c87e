"""X.509 itself: keys and signatures, by `cryptography`. Imported only when something is to be signed.

Keys are EC P-256. Names and files are `certificates.py`'s business. Source: RFC 5280, RFC 2986.
"""

import ipaddress
from collections.abc import Sequence
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

SKEW = timedelta(minutes=5)
"""How far in the past a certificate begins, for clocks that are behind."""


def new_key() -> tuple[bytes, bytes]:
    """A new key: private and public, in PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    return _pem(key), _public_pem(key.public_key())


def self_signed(common_name: str, *, now: datetime, days: int) -> tuple[bytes, bytes]:
    """A new authority's certificate and key, in PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
    certificate = (
        _builder(subject, subject, key.public_key(), now, days)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs_certificates=True), critical=True)
        .sign(key, hashes.SHA256())
    )
    return certificate.public_bytes(serialization.Encoding.PEM), _pem(key)


def expires(certificate: bytes) -> datetime:
    """The moment after which a certificate is refused."""
    return x509.load_pem_x509_certificate(certificate).not_valid_after_utc


def common_name(certificate: bytes) -> str:
    """The common name of a certificate in PEM; "" for none."""
    names = x509.load_pem_x509_certificate(certificate).subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    return str(names[0].value) if names else ""


def requested_key(request: bytes) -> bytes:
    """The public key of a PKCS#10 request. ValueError when it is malformed or not signed by its own key."""
    asked = x509.load_pem_x509_csr(request)
    public_key = asked.public_key()
    if not asked.is_signature_valid or not isinstance(public_key, ec.EllipticCurvePublicKey):
        raise ValueError("the request's signature or kind of key is not accepted")
    return _public_pem(public_key)


def requested_subject(request: bytes) -> tuple[str, tuple[str, ...]]:
    """The common name ("" for none) and organizations that a PKCS#10 request asks for. ValueError if malformed."""
    subject = x509.load_pem_x509_csr(request).subject
    names = [str(one.value) for one in subject.get_attributes_for_oid(NameOID.COMMON_NAME)]
    groups = tuple(str(one.value) for one in subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME))
    return names[0] if names else "", groups


class Signer:
    """Signs with an authority's certificate and key, both in PEM. ValueError for another kind of key."""

    def __init__(self, certificate: bytes, key: bytes) -> None:
        self._certificate = x509.load_pem_x509_certificate(certificate)
        loaded = serialization.load_pem_private_key(key, password=None)
        if not isinstance(loaded, ec.EllipticCurvePrivateKey):
            raise ValueError("the authority's key is not an elliptic-curve key")
        self._key = loaded

    def sign(
        self,
        public_key: bytes,
        common_name: str,
        organizations: Sequence[str],
        hosts: Sequence[str],
        *,
        now: datetime,
        server: bool,
        client: bool,
        days: int,
    ) -> bytes:
        """The certificate, in PEM, of a public key in PEM."""
        loaded = serialization.load_pem_public_key(public_key)
        if not isinstance(loaded, ec.EllipticCurvePublicKey):
            raise ValueError("not an elliptic-curve key")
        names = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, name) for name in organizations]
        subject = x509.Name([*names, x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
        purposes = [ExtendedKeyUsageOID.SERVER_AUTH] * server + [ExtendedKeyUsageOID.CLIENT_AUTH] * client
        builder = (
            _builder(subject, self._certificate.subject, loaded, now, days)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(signs_certificates=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage(purposes), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False)
        )
        if hosts:
            builder = builder.add_extension(
                x509.SubjectAlternativeName([_alternative_name(host) for host in hosts]), critical=False
            )
        return builder.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


def _builder(
    subject: x509.Name, issuer: x509.Name, public_key: ec.EllipticCurvePublicKey, now: datetime, days: int
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - SKEW)
        .not_valid_after(now + timedelta(days=days))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
    )


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _alternative_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _public_pem(key: ec.EllipticCurvePublicKey) -> bytes:
    return key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
