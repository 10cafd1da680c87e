"""Who asks: a client certificate, a service account's token, or the identity of a part in this process.

Nobody is let in without one of them, but for the health paths and the version.
Source: the Kubernetes documentation on authentication.
"""

from dataclasses import replace

from bireme.api.errors import Unauthorized
from bireme.http.interface import Identity, Request
from bireme.registry.tokens import Proven, ServiceAccountTokens

AUTHENTICATED = "system:authenticated"
ANONYMOUS = Identity("system:anonymous", ("system:unauthenticated",))


class Authenticator:
    """Tells the identity behind a request."""

    def __init__(self, tokens: ServiceAccountTokens | None = None) -> None:
        self._tokens = tokens

    def authenticate(self, request: Request) -> Identity | None:
        """The identity, or None where no credentials came. Raises Unauthorized for bad ones."""
        peer = request.peer
        if peer.identity is not None:
            return _authenticated(peer.identity)
        if peer.common_name:
            return _authenticated(Identity(peer.common_name, peer.organizations))
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not token.strip():
            return None
        proven = self.prove(token.strip())
        if proven is None:
            raise Unauthorized("Unauthorized")
        return _authenticated(proven.identity)

    def prove(self, token: str, audiences: tuple[str, ...] = ()) -> Proven | None:
        """What a bearer token proves for one of `audiences` (none: our own); None if nothing."""
        return self._tokens.verify(token, audiences) if self._tokens is not None else None


def _authenticated(identity: Identity) -> Identity:
    if AUTHENTICATED in identity.groups:
        return identity
    return replace(identity, groups=(*identity.groups, AUTHENTICATED))
