"""Tokens that another server knows: it is sent a TokenReview, and its answer holds for two minutes.

The file that names the server is a kubeconfig. Source: the Kubernetes documentation on webhook authentication.
"""

import hashlib
from collections.abc import Callable
from typing import Any

import orjson
import structlog

from bireme.http.interface import Identity
from bireme.http.requests import RequestFailed, Session
from bireme.registry.tokens import Proven

log = structlog.get_logger(__name__)

HOLDS_S = 120.0
ANSWER_S = 30.0
LARGEST_ANSWER = 1 << 20
REMEMBERED = 4096


class TokenWebhook:
    """Asks the server at `url`, or remembers what it said. `own` is our audience; `monotonic` tells the time."""

    def __init__(
        self,
        url: str,
        session: Session,
        monotonic: Callable[[], float],
        *,
        own: str,
        holds_s: float = HOLDS_S,
    ) -> None:
        self._url, self._session, self._monotonic = url, session, monotonic
        self._own, self._holds_s = own, holds_s
        self._known: dict[bytes, tuple[float, Proven | None]] = {}

    async def prove(self, token: str, audiences: tuple[str, ...]) -> Proven | None:
        wanted = audiences or (self._own,)
        key = hashlib.sha256("\0".join((token, *wanted)).encode(errors="replace")).digest()
        known = self._known.get(key)
        if known is not None and self._monotonic() < known[0]:
            return known[1]
        review = {
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenReview",
            "metadata": {"creationTimestamp": None},
            "spec": {"token": token, "audiences": list(wanted)},
            "status": {"user": {}},
        }
        headers = {"content-type": "application/json", "accept": "application/json"}
        try:
            reply = await self._session.request(
                "POST",
                self._url,
                headers=headers,
                body=orjson.dumps(review),
                timeout_s=ANSWER_S,
                limit=LARGEST_ANSWER,
            )
            proven = proven_by(orjson.loads(reply.body), wanted) if reply.status in (200, 201) else None
        except (RequestFailed, ValueError) as error:
            log.warning("the token webhook gave no answer", error=type(error).__name__)
            return None
        if len(self._known) >= REMEMBERED:
            self._known.clear()
        self._known[key] = (self._monotonic() + self._holds_s, proven)
        return proven


def proven_by(review: Any, wanted: tuple[str, ...]) -> Proven | None:
    """What a TokenReview's answer proves for one of the `wanted` audiences."""
    status = review.get("status") if isinstance(review, dict) else None
    user = status.get("user") if isinstance(status, dict) and status.get("authenticated") is True else None
    if not isinstance(user, dict) or not user.get("username") or status is None:
        return None
    said = status.get("audiences")
    meant = tuple(one for one in said if one in wanted) if said else wanted
    if not meant:
        return None
    extra = {str(key): [str(one) for one in values] for key, values in (user.get("extra") or {}).items()}
    groups = tuple(str(group) for group in user.get("groups") or ())
    return Proven(Identity(str(user["username"]), groups, str(user.get("uid") or ""), extra), meant)
