"""A gateway in front of the API server that tells in headers whom it speaks for.

It is believed for the certificate it shows: signed by the authority of such gateways, and with an allowed name.
Such a certificate is no user's, so nobody gets in by it alone. Authorities are told apart by their names, which
chains of certificates are built by. Source: the Kubernetes documentation on authenticating proxies.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import unquote

from bireme.http.interface import Identity, Peer

USER, GROUP, UID, EXTRA = "x-remote-user", "x-remote-group", "x-remote-uid", "x-remote-extra-"


@dataclass(frozen=True, slots=True)
class FrontProxy:
    """`authority` is the common name of who signs for gateways; `names` are those allowed (none: all it signed)."""

    authority: str
    names: tuple[str, ...] = ()

    def is_one(self, peer: Peer) -> bool:
        """Whether `peer` shows a certificate of that authority."""
        return bool(peer.issuer) and peer.issuer == self.authority

    def identity(self, peer: Peer, headers: Mapping[str, str]) -> Identity | None:
        """Whom the gateway speaks for; None where it may not, or does not say."""
        name = headers.get(USER, "").strip()
        if not name or (self.names and peer.common_name not in self.names):
            return None
        extra = {
            unquote(header.removeprefix(EXTRA)): _values(value)
            for header, value in headers.items()
            if header.startswith(EXTRA)
        }
        return Identity(name, tuple(_values(headers.get(GROUP, ""))), headers.get(UID, "").strip(), extra)


def _values(header: str) -> list[str]:
    return [value.strip() for value in header.split(",") if value.strip()]
