"""Identity providers of a file that is read again when it changes, so that none of its users waits for a restart.

A file that can't be used leaves those who were let in before; the server's own log says why. Source: the Kubernetes
documentation on authentication from a configuration file.
"""

from collections.abc import Callable
from pathlib import Path

import structlog

from bireme.aio.clock import Clock
from bireme.apiserver.authenticators.configuration import AuthenticationConfigError, read_issuers
from bireme.apiserver.authenticators.oidc import Issuer, OidcTokens
from bireme.registry.tokens import Proven

log = structlog.get_logger(__name__)

LOOK_S = 60.0


class ReloadedIssuers:
    """Verifies the tokens of the providers in the file at `path`. Keep `run` running."""

    def __init__(self, path: Path, clock: Clock, make: Callable[[Issuer, Clock], OidcTokens] = OidcTokens) -> None:
        self._path, self._clock, self._make = path, clock, make
        self._text = path.read_bytes() if path.exists() else b""
        self._provers = [(issuer, make(issuer, clock)) for issuer in read_issuers(path)]

    async def prove(self, token: str, audiences: tuple[str, ...]) -> Proven | None:
        for _, prover in self._provers:
            proven = await prover.prove(token, audiences)
            if proven is not None:
                return proven
        return None

    async def run(self) -> None:
        """Look at the file once a minute, until cancelled."""
        while True:
            await self._clock.sleep(LOOK_S)
            await self.look()

    async def look(self) -> None:
        """Take the providers of the file as it is now. One that stays keeps the keys that were fetched from it."""
        try:
            text = self._path.read_bytes()
            if text == self._text:
                return
            self._text = text
            known, issuers = self._provers, read_issuers(self._path)
        except (OSError, AuthenticationConfigError) as error:
            log.error("the authentication configuration is left as it was", error=str(error))
            return
        self._provers = [
            (issuer, next((prover for before, prover in known if before == issuer), None) or self._new(issuer))
            for issuer in issuers
        ]
        log.info("the authentication configuration was read again", issuers=[issuer.url for issuer in issuers])
        kept = {id(prover) for _, prover in self._provers}
        for _, prover in known:
            if id(prover) not in kept:
                await prover.close()

    def _new(self, issuer: Issuer) -> OidcTokens:
        return self._make(issuer, self._clock)
