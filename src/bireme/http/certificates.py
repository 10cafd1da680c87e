"""The cluster's own certificate authority, the certificates it signs, and TLS contexts made of them.

A private key is readable by its owner alone, in a folder of the owner's alone. Whom to give which name is decided
by who calls; names and groups are as Kubernetes reads them: user name in the common name, groups in the
organizations. `x509.py`, which signs, is loaded when it is first needed: most processes only show certificates.
"""

import contextlib
import os
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

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
        from bireme.http import x509

        return x509.expires(self.certificate)


class Authority:
    """A certificate authority: its own pair, and what it signs."""

    def __init__(self, pair: Pair) -> None:
        from bireme.http import x509

        self.pair = pair
        self._signer = x509.Signer(pair.certificate, pair.key)

    @property
    def certificate(self) -> bytes:
        """The authority's certificate in PEM: what others trust."""
        return self.pair.certificate

    @classmethod
    def create(cls, folder: Path, *, now: datetime, common_name: str = "bireme", name: str = "ca") -> "Authority":
        """A new authority, kept in `folder`."""
        from bireme.http import x509

        pair = Pair(*x509.self_signed(common_name, now=now, days=AUTHORITY_DAYS))
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
        private, public = signing_key()
        certificate = self._signer.sign(
            public, common_name, organizations, hosts, now=now, server=server, client=client, days=days
        )
        return Pair(certificate, private)

    def sign_request(
        self,
        request: bytes,
        *,
        now: datetime,
        common_name: str,
        organizations: Sequence[str] = (),
        hosts: Sequence[str] = (),
        server: bool = False,
        client: bool = True,
        days: int = 365,
    ) -> bytes:
        """A certificate for the key of a PKCS#10 `request` in PEM, with the names given here, not those it asks.

        ValueError when the request is malformed or not signed by its own key.
        """
        from bireme.http import x509

        public = x509.requested_key(request)
        return self._signer.sign(
            public, common_name, organizations, hosts, now=now, server=server, client=client, days=days
        )

    def sign_asked(self, request: bytes, *, now: datetime, lifetime: timedelta, usages: Sequence[str]) -> bytes:
        """A certificate for what a PKCS#10 `request` in PEM asks. ValueError when that is malformed."""
        from bireme.http import signing

        return signing.sign(
            request, self.pair.certificate, self.pair.key, now=now, ends=now + lifetime, usages=usages
        )


def common_name_of(certificate: bytes) -> str:
    """The common name of a certificate in PEM; "" for none."""
    from bireme.http import x509

    return x509.common_name(certificate)


def server_context(pair: Pair, *, trusted: bytes | None = None, require_client: bool = False) -> ssl.SSLContext:
    """TLS for a door that shows `pair`; with `trusted`, clients may, or must, show a certificate it signed.

    Sessions are not resumed, so that no client gets in on a certificate that has run out since.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_TICKET | ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION
    context.num_tickets = 0
    context.set_alpn_protocols(["http/1.1"])
    show_pair(context, pair)
    if trusted is not None:
        context.load_verify_locations(cadata=trusted.decode())
        context.verify_mode = ssl.CERT_REQUIRED if require_client else ssl.CERT_OPTIONAL
    return context


def client_context(trusted: bytes | None, pair: Pair | None = None) -> ssl.SSLContext:
    """TLS towards servers whose certificates `trusted` signed, showing `pair`; without it, the system's trust."""
    context = ssl.create_default_context(cadata=trusted.decode() if trusted else None)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if pair is not None:
        show_pair(context, pair)
    return context


def signing_key() -> tuple[bytes, bytes]:
    """A new key to sign service-account tokens with (ES256): private and public, in PEM."""
    from bireme.http import x509

    return x509.new_key()


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


def show_pair(context: ssl.SSLContext, pair: Pair) -> None:
    """Give `pair` to `context`. It takes files alone, so the pair passes through one in memory."""
    handle = os.memfd_create("pair", os.MFD_CLOEXEC)
    try:
        with os.fdopen(os.dup(handle), "wb") as file:
            file.write(pair.key + b"\n" + pair.certificate)
        context.load_cert_chain(f"/proc/self/fd/{handle}")
    finally:
        os.close(handle)
