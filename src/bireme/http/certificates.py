"""The cluster's own certificate authority, the certificates it signs, and TLS contexts made of them.

Keys are EC P-256. A private key is readable by its owner alone, in a folder of the owner's alone. Whom to give
which name is decided by who calls. X.509 as in RFC 5280; names and groups as Kubernetes reads them: user name in
the common name, groups in the organizations.
"""

import contextlib
import ipaddress
import os
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

SKEW = timedelta(minutes=5)
"""How far in the past a certificate begins, for clocks that are behind."""

AUTHORITY_DAYS = 3650


@dataclass(frozen=True, slots=True)
class Pair:
    """A certificate and its private key, in PEM."""

    certificate: bytes
    key: bytes

    def write(self, folder: Path, name: str) -> None:
        """Keep it as `name`.crt and `name`.key in `folder`, each file whole or not at all."""
        make_private_folder(folder)
        write_private(folder / f"{name}.key", self.key)
        write_private(folder / f"{name}.crt", self.certificate)

    @classmethod
    def read(cls, folder: Path, name: str) -> "Pair":
        return cls((folder / f"{name}.crt").read_bytes(), (folder / f"{name}.key").read_bytes())

    def expires(self) -> datetime:
        """The moment after which the certificate is refused."""
        return x509.load_pem_x509_certificate(self.certificate).not_valid_after_utc


class Authority:
    """A certificate authority: its own pair, and what it signs."""

    def __init__(self, pair: Pair) -> None:
        self.pair = pair
        self._certificate = x509.load_pem_x509_certificate(pair.certificate)
        key = serialization.load_pem_private_key(pair.key, password=None)
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            raise ValueError("the authority's key is not an elliptic-curve key")
        self._key = key

    @property
    def certificate(self) -> bytes:
        """The authority's certificate in PEM: what others trust."""
        return self.pair.certificate

    @classmethod
    def create(cls, folder: Path, *, now: datetime, common_name: str = "bireme", name: str = "ca") -> "Authority":
        """A new authority, kept in `folder`."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
        certificate = (
            _builder(subject, subject, key.public_key(), now, AUTHORITY_DAYS)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_usage(signs_certificates=True), critical=True)
            .sign(key, hashes.SHA256())
        )
        pair = Pair(certificate.public_bytes(serialization.Encoding.PEM), _pem(key))
        pair.write(folder, name)
        return cls(pair)

    @classmethod
    def load(cls, folder: Path, *, name: str = "ca") -> "Authority":
        """The authority kept in `folder`. FileNotFoundError when there is none."""
        return cls(Pair.read(folder, name))

    def issue(
        self,
        common_name: str,
        organizations: Sequence[str] = (),
        hosts: Sequence[str] = (),
        *,
        now: datetime,
        server: bool = False,
        client: bool = True,
        days: int = 365,
    ) -> Pair:
        """A new key and its certificate, for `hosts` (names and addresses) as a server, as a client, or both."""
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = self._sign(
            key.public_key(), common_name, organizations, hosts, now=now, server=server, client=client, days=days
        )
        return Pair(certificate, _pem(key))

    def sign_request(
        self,
        request: bytes,
        *,
        now: datetime,
        days: int = 365,
        common_name: str,
        organizations: Sequence[str] = (),
        hosts: Sequence[str] = (),
        server: bool = False,
        client: bool = True,
    ) -> bytes:
        """A certificate for the key of a PKCS#10 `request` in PEM, with the names given here, not those it asks.

        ValueError when the request is malformed or not signed by its own key.
        """
        asked = x509.load_pem_x509_csr(request)
        public_key = asked.public_key()
        if not asked.is_signature_valid or not isinstance(public_key, ec.EllipticCurvePublicKey):
            raise ValueError("the request's signature or kind of key is not accepted")
        return self._sign(
            public_key, common_name, organizations, hosts, now=now, server=server, client=client, days=days
        )

    def _sign(
        self,
        public_key: ec.EllipticCurvePublicKey,
        common_name: str,
        organizations: Sequence[str],
        hosts: Sequence[str],
        *,
        now: datetime,
        server: bool,
        client: bool,
        days: int,
    ) -> bytes:
        names = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, name) for name in organizations]
        subject = x509.Name([*names, x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
        purposes = [ExtendedKeyUsageOID.SERVER_AUTH] * server + [ExtendedKeyUsageOID.CLIENT_AUTH] * client
        builder = (
            _builder(subject, self._certificate.subject, public_key, now, days)
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


def server_context(pair: Pair, *, trusted: bytes | None = None, require_client: bool = False) -> ssl.SSLContext:
    """TLS for a door that shows `pair`; with `trusted`, clients may, or must, show a certificate it signed.

    Sessions are not resumed, so that no client gets in on a certificate that has run out since.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_TICKET | ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION
    context.num_tickets = 0
    context.set_alpn_protocols(["http/1.1"])
    _load_pair(context, pair)
    if trusted is not None:
        context.load_verify_locations(cadata=trusted.decode())
        context.verify_mode = ssl.CERT_REQUIRED if require_client else ssl.CERT_OPTIONAL
    return context


def client_context(trusted: bytes | None, pair: Pair | None = None) -> ssl.SSLContext:
    """TLS towards servers whose certificates `trusted` signed, showing `pair`; without it, the system's trust."""
    context = ssl.create_default_context(cadata=trusted.decode() if trusted else None)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if pair is not None:
        _load_pair(context, pair)
    return context


def signing_key() -> tuple[bytes, bytes]:
    """A new key to sign service-account tokens with (ES256): private and public, in PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    public = key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return _pem(key), public


def load_or_create_signing_key(folder: Path, name: str = "sa") -> tuple[bytes, bytes]:
    """The key to sign service-account tokens with, kept as `name`.key and `name`.pub in `folder`."""
    private_path, public_path = folder / f"{name}.key", folder / f"{name}.pub"
    with contextlib.suppress(FileNotFoundError):
        return private_path.read_bytes(), public_path.read_bytes()
    private, public = signing_key()
    make_private_folder(folder)
    write_private(private_path, private)
    write_private(public_path, public)
    return private, public


def make_private_folder(folder: Path) -> None:
    """Make `folder`, for its owner alone."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    folder.chmod(0o700)


def write_private(path: Path, data: bytes) -> None:
    """Write a file that its owner alone may read, whole or not at all, and on disk when this returns."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.new")
    with contextlib.suppress(FileNotFoundError):
        temporary.unlink()
    with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600), "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


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


def _load_pair(context: ssl.SSLContext, pair: Pair) -> None:
    """Give `pair` to `context`. It takes files alone, so the pair passes through one in memory."""
    handle = os.memfd_create("pair", os.MFD_CLOEXEC)
    try:
        with os.fdopen(os.dup(handle), "wb") as file:
            file.write(pair.key + b"\n" + pair.certificate)
        context.load_cert_chain(f"/proc/self/fd/{handle}")
    finally:
        os.close(handle)
