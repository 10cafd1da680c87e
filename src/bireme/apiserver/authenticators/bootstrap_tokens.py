"""Bootstrap tokens: Secrets of kube-system by which a new node asks for its first certificate.

Source: the Kubernetes documentation on bootstrap tokens.
"""

import hmac
import re
from datetime import datetime
from typing import Any

from bireme.aio.clock import Clock
from bireme.api.bootstrap_tokens import NAMESPACE, PREFIX, SECRET_TYPE, has_expired, texts
from bireme.http.interface import Identity
from bireme.registry.admission.chain import Objects
from bireme.registry.tokens import Proven

BOOTSTRAPPERS = "system:bootstrappers"
_FORM = re.compile(r"([a-z0-9]{6})\.([a-z0-9]{16})")
_EXTRA_GROUP = re.compile(r"system:bootstrappers:[a-z0-9:-]{0,255}[a-z0-9]")


class BootstrapTokens:
    """Looks a token's Secret up each time it is shown."""

    def __init__(self, objects: Objects, clock: Clock) -> None:
        self._objects, self._clock = objects, clock

    async def prove(self, token: str, audiences: tuple[str, ...]) -> Proven | None:
        form = _FORM.fullmatch(token)
        if form is None:
            return None
        secret = self._objects.find("", "v1", "secrets", NAMESPACE, PREFIX + form[1])
        user = secret and user_of(secret, form[1], form[2], now=self._clock.now())
        return Proven(user, audiences) if user else None


def user_of(secret: dict[str, Any], token_id: str, token_secret: str, *, now: datetime) -> Identity | None:
    """Whom the token speaks for by its Secret; None where that is not for this token, or no longer."""
    data = texts(secret.get("data"))
    if secret.get("type") != SECRET_TYPE or "deletionTimestamp" in secret["metadata"]:
        return None
    if not hmac.compare_digest(data.get("token-secret", "").encode(), token_secret.encode()):
        return None
    if data.get("token-id") != token_id or data.get("usage-bootstrap-authentication") != "true":
        return None
    if has_expired(data.get("expiration", ""), now=now):
        return None
    more = [group for group in data.get("auth-extra-groups", "").split(",") if group]
    if not all(_EXTRA_GROUP.fullmatch(group) for group in more):
        return None
    return Identity(f"system:bootstrap:{token_id}", tuple(sorted({BOOTSTRAPPERS, *more})))
