"""Who asks: a client certificate, a bearer token of some kind, or the identity of a part in this process.

Nobody is let in without one of them, but for the health paths and the version. The kinds of tokens stand in
`authenticators/`, one file each; the first that knows a token decides.
Source: the Kubernetes documentation on authentication.
"""

import base64
import binascii
import functools
from collections.abc import Sequence
from dataclasses import replace

from bireme.api.errors import Unauthorized
from bireme.apiserver.authenticators.front_proxy import FrontProxy
from bireme.apiserver.authenticators.prover import Prover
from bireme.http.interface import Identity, Request
from bireme.registry.tokens import Proven

AUTHENTICATED = "system:authenticated"
ANONYMOUS = Identity("system:anonymous", ("system:unauthenticated",))
WEBSOCKET_TOKEN = "base64url.bearer.authorization.k8s.io."
"""Browsers can't set headers on a WebSocket, so a token may come as one of its protocols."""


class Authenticator:
    """Tells the identity behind a request."""

    def __init__(self, provers: Sequence[Prover] = (), front_proxy: FrontProxy | None = None) -> None:
        self._provers = tuple(provers)
        self._front_proxy = front_proxy

    async def authenticate(self, request: Request) -> Identity | None:
        """The identity, or None where no credentials came. Raises Unauthorized for bad ones."""
        peer = request.peer
        if peer.identity is not None:
            return authenticated(peer.identity)
        if self._front_proxy is not None and self._front_proxy.is_one(peer):
            spoken_for = self._front_proxy.identity(peer, request.headers)
            if spoken_for is not None:
                return authenticated(spoken_for)
        elif peer.common_name:
            return authenticated(Identity(peer.common_name, peer.organizations, peer.uid))
        token = bearer_token(request)
        if not token:
            return None
        proven = await self.prove(token)
        if proven is None:
            raise Unauthorized("Unauthorized")
        return authenticated(proven.identity)

    async def prove(self, token: str, audiences: tuple[str, ...] = ()) -> Proven | None:
        """What a bearer token proves for one of `audiences` (none: our own); None if nothing."""
        for prover in self._provers:
            proven = await prover.prove(token, audiences)
            if proven is not None:
                return proven
        return None


def bearer_token(request: Request) -> str:
    """The token that came with `request`; "" for none."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer" and token.strip():
        return token.strip()
    for protocol in request.headers.get("sec-websocket-protocol", "").split(","):
        if protocol.strip().startswith(WEBSOCKET_TOKEN):
            coded = protocol.strip().removeprefix(WEBSOCKET_TOKEN)
            try:
                return base64.urlsafe_b64decode(coded + "=" * (-len(coded) % 4)).decode()
            except (binascii.Error, UnicodeDecodeError):
                return ""
    return ""


@functools.lru_cache(1024)
def authenticated(identity: Identity) -> Identity:
    """The identity as a member of the group of all whose credentials were good."""
    if AUTHENTICATED in identity.groups or identity.name == ANONYMOUS.name:
        return identity
    return replace(identity, groups=(*identity.groups, AUTHENTICATED))
