"""What a PKCS#10 request asks for, and a certificate that gives just that, by `cryptography`.

Imported only when a request is to be looked at or signed. Whether it may be signed is the caller's business.
Source: RFC 2986, RFC 5280; the names of usages are those of Kubernetes' CertificateSigningRequest.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from bireme.http.x509 import SKEW

_KEY_USAGES: Mapping[str, str] = {
    "signing": "digital_signature",
    "digital signature": "digital_signature",
    "content commitment": "content_commitment",
    "key encipherment": "key_encipherment",
    "key agreement": "key_agreement",
    "data encipherment": "data_encipherment",
    "cert sign": "key_cert_sign",
    "crl sign": "crl_sign",
    "encipher only": "encipher_only",
    "decipher only": "decipher_only",
}
_PURPOSES: Mapping[str, x509.ObjectIdentifier] = {
    "any": ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE,
    "server auth": ExtendedKeyUsageOID.SERVER_AUTH,
    "client auth": ExtendedKeyUsageOID.CLIENT_AUTH,
    "code signing": ExtendedKeyUsageOID.CODE_SIGNING,
    "email protection": ExtendedKeyUsageOID.EMAIL_PROTECTION,
    "s/mime": ExtendedKeyUsageOID.EMAIL_PROTECTION,
    "ipsec end system": x509.ObjectIdentifier("1.3.6.1.5.5.7.3.5"),
    "ipsec tunnel": x509.ObjectIdentifier("1.3.6.1.5.5.7.3.6"),
    "ipsec user": x509.ObjectIdentifier("1.3.6.1.5.5.7.3.7"),
    "timestamping": ExtendedKeyUsageOID.TIME_STAMPING,
    "ocsp signing": ExtendedKeyUsageOID.OCSP_SIGNING,
    "microsoft sgc": x509.ObjectIdentifier("1.3.6.1.4.1.311.10.3.3"),
    "netscape sgc": x509.ObjectIdentifier("2.16.840.1.113730.4.1"),
}
_NO_USAGE = dict.fromkeys(dict.fromkeys(_KEY_USAGES.values()), False)


@dataclass(frozen=True, slots=True)
class Asked:
    """The names in a request: its subject's, and the alternative ones by kind."""

    name: str
    groups: tuple[str, ...]
    dns: tuple[str, ...] = ()
    ips: tuple[str, ...] = ()
    emails: tuple[str, ...] = ()
    uris: tuple[str, ...] = ()


def asked_by(request: bytes) -> Asked:
    """What a request in PEM asks for. ValueError when it is malformed or not signed by its own key."""
    asked = x509.load_pem_x509_csr(request)
    if not asked.is_signature_valid:
        raise ValueError("the request is not signed by its own key")
    names = [str(one.value) for one in asked.subject.get_attributes_for_oid(NameOID.COMMON_NAME)]
    groups = tuple(str(one.value) for one in asked.subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME))
    others = _alternatives(asked)
    if others is None:
        return Asked(names[0] if names else "", groups)
    return Asked(
        names[0] if names else "",
        groups,
        dns=tuple(others.get_values_for_type(x509.DNSName)),
        ips=tuple(str(address) for address in others.get_values_for_type(x509.IPAddress)),
        emails=tuple(others.get_values_for_type(x509.RFC822Name)),
        uris=tuple(others.get_values_for_type(x509.UniformResourceIdentifier)),
    )


def sign(
    request: bytes, certificate: bytes, key: bytes, *, now: datetime, ends: datetime, usages: Collection[str]
) -> bytes:
    """The certificate for a request, by an authority's certificate and key; all PEM. ValueError for a bad request.

    It takes the request's subject and alternative names, and `usages`; it never outlives the authority.
    """
    asked = x509.load_pem_x509_csr(request)
    if not asked.is_signature_valid:
        raise ValueError("the request is not signed by its own key")
    authority = x509.load_pem_x509_certificate(certificate)
    private = serialization.load_pem_private_key(key, password=None)
    if not isinstance(private, ec.EllipticCurvePrivateKey):
        raise ValueError("the authority's key is not an elliptic-curve key")
    own = asked.public_key()
    builder = (
        x509.CertificateBuilder()
        .subject_name(asked.subject)
        .issuer_name(authority.subject)
        .public_key(own)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - SKEW)
        .not_valid_after(min(ends, authority.not_valid_after_utc))
        .add_extension(_key_usage(usages), critical=True)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(private.public_key()), critical=False)
    )
    if purposes := [oid for usage, oid in _PURPOSES.items() if usage in usages]:
        builder = builder.add_extension(x509.ExtendedKeyUsage(list(dict.fromkeys(purposes))), critical=False)
    if (others := _alternatives(asked)) is not None:
        builder = builder.add_extension(others, critical=False)
    return builder.sign(private, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


def _key_usage(usages: Collection[str]) -> x509.KeyUsage:
    wanted = {_KEY_USAGES[usage]: True for usage in usages if usage in _KEY_USAGES}
    if not wanted.get("key_agreement"):
        wanted.pop("encipher_only", None)
        wanted.pop("decipher_only", None)
    return x509.KeyUsage(**{**_NO_USAGE, **wanted})


def _alternatives(asked: x509.CertificateSigningRequest) -> x509.SubjectAlternativeName | None:
    try:
        return asked.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return None
