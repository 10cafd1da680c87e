"""Whoever can tell the identity behind a bearer token."""

from typing import Protocol

from bireme.registry.tokens import Proven, ServiceAccountTokens


class Prover(Protocol):
    """One kind of token. May ask others over the network, so it may wait."""

    async def prove(self, token: str, audiences: tuple[str, ...]) -> Proven | None:
        """What `token` proves for one of `audiences` (none: this server); None where it proves nothing here."""
        ...


class ServiceAccounts:
    """The tokens that this cluster signs."""

    def __init__(self, tokens: ServiceAccountTokens) -> None:
        self._tokens = tokens

    async def prove(self, token: str, audiences: tuple[str, ...]) -> Proven | None:
        return self._tokens.verify(token, audiences)


class ForUs:
    """Tokens that name no audience: they are meant for this server, whose own audience is `own`."""

    def __init__(self, prover: Prover, own: str) -> None:
        self._prover, self._own = prover, own

    async def prove(self, token: str, audiences: tuple[str, ...]) -> Proven | None:
        if audiences and self._own not in audiences:
            return None
        return await self._prover.prove(token, (self._own,))
