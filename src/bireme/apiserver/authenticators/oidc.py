"""People by OpenID Connect: tokens of an identity provider, whose keys are fetched from it when they are needed.

Source: OpenID Connect Core 1.0 and Discovery 1.0; the Kubernetes documentation on OpenID Connect tokens.
"""

import asyncio
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson
import structlog

from bireme.aio.clock import Clock
from bireme.api.cel.errors import CelError
from bireme.apiserver.authenticators.claim_expressions import NONE, Expressions, text_of, texts_of
from bireme.http.interface import Identity
from bireme.http.requests import RequestFailed, Session
from bireme.registry.token_keys import LONGEST_TOKEN
from bireme.registry.tokens import Proven

log = structlog.get_logger(__name__)

ANSWER_S = 10.0
LARGEST_ANSWER = 1 << 20
FETCH_AGAIN_S = 10.0
"""A token with an unknown key has the keys fetched again, but not more often than this."""
_BY_KEY = {
    "RSA": ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"),
    "EC": ("ES256", "ES384", "ES512"),
}

Tree = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Issuer:
    """An identity provider, and how its claims name users. `discovery_url` is "" where it follows from `url`."""

    url: str
    audiences: tuple[str, ...]
    username_claim: str = "sub"
    username_prefix: str = ""
    groups_claim: str = ""
    groups_prefix: str = ""
    required_claims: Mapping[str, str] = field(default_factory=dict)
    discovery_url: str = ""
    tls: ssl.SSLContext | None = None
    uid_claim: str = ""
    expressions: Expressions = NONE


class OidcTokens:
    """Verifies the tokens of one issuer."""

    def __init__(self, issuer: Issuer, clock: Clock, session: Session | None = None) -> None:
        self._issuer, self._clock = issuer, clock
        self._session = session or Session(tls=issuer.tls, timeout_s=ANSWER_S)
        self._keys: dict[str, Tree] = {}
        self._fetched = -FETCH_AGAIN_S
        self._fetching = asyncio.Lock()

    async def close(self) -> None:
        """Let go of the connections."""
        await self._session.close()

    async def prove(self, token: str, audiences: tuple[str, ...]) -> Proven | None:
        import jwt

        if len(token) > LONGEST_TOKEN or not token.isascii() or token.count(".") != 2:
            return None
        try:
            said = jwt.decode(token, options={"verify_signature": False})
            header = jwt.get_unverified_header(token)
        except jwt.InvalidTokenError:
            return None
        if said.get("iss") != self._issuer.url:
            return None
        key = await self._key(str(header.get("kid") or ""))
        claims = _verified(token, key) if key is not None else None
        if claims is None:
            return None
        user = user_of(claims, self._issuer, now=self._clock.now().timestamp())
        return Proven(user, audiences) if user is not None else None

    async def _key(self, name: str) -> Tree | None:
        if name not in self._keys:
            async with self._fetching:
                await self._refresh(name)
        if not name and len(self._keys) == 1:
            return next(iter(self._keys.values()))
        return self._keys.get(name)

    async def _refresh(self, name: str) -> None:
        """Fetch the keys, unless somebody did while this waited, or just before."""
        if name in self._keys or self._clock.monotonic() - self._fetched < FETCH_AGAIN_S:
            return
        self._fetched = self._clock.monotonic()
        try:
            self._keys = await self._fetch()
        except (RequestFailed, ValueError, KeyError, TypeError, AttributeError) as error:
            log.warning("the keys of an issuer cannot be had", issuer=self._issuer.url, error=str(error))

    async def _fetch(self) -> dict[str, Tree]:
        wanted = self._issuer.discovery_url or f"{self._issuer.url.rstrip('/')}/.well-known/openid-configuration"
        document = await self._get(wanted)
        if document["issuer"] != self._issuer.url:
            raise ValueError("the issuer calls itself otherwise")
        keys = await self._get(str(document["jwks_uri"]))
        return {str(key.get("kid") or ""): key for key in keys["keys"] if key.get("use", "sig") == "sig"}

    async def _get(self, url: str) -> Tree:
        if not url.startswith("https://"):
            raise ValueError("only HTTPS is trusted")
        reply = await self._session.request("GET", url, timeout_s=ANSWER_S, limit=LARGEST_ANSWER)
        if reply.status != 200:
            raise ValueError(f"answered {reply.status}")
        document = orjson.loads(reply.body)
        if not isinstance(document, dict):
            raise TypeError("the answer is no object")
        return document


def _verified(token: str, key: Tree) -> Tree | None:
    """The claims, if that JSON web key signed them by an algorithm of its kind."""
    import jwt

    allowed = _BY_KEY.get(str(key.get("kty")), ())
    if key.get("alg"):
        allowed = tuple(name for name in allowed if name == key["alg"])
    try:
        options: Any = {"verify_exp": False, "verify_nbf": False, "verify_iat": False, "verify_aud": False}
        return jwt.decode(token, jwt.PyJWK.from_dict(key).key, algorithms=list(allowed), options=options)
    except (jwt.PyJWTError, ValueError, TypeError):
        return None


def user_of(claims: Tree, issuer: Issuer, *, now: float) -> Identity | None:
    """Whom verified claims name; None where they are for others, over, or lack what is required."""
    held = claims.get("aud")
    held = held if isinstance(held, list) else [held]
    if not any(one in issuer.audiences for one in held) or not _is_time(claims, now):
        return None
    if any(claims.get(name) != value for name, value in issuer.required_claims.items()):
        return None
    try:
        if not issuer.expressions.let_in(claims):
            return None
        user = _named(claims, issuer)
        return user if user is not None and issuer.expressions.are_met_by(user) else None
    except CelError as error:
        log.info("an expression lets a token not in", issuer=issuer.url, error=str(error))
        return None


def _named(claims: Tree, issuer: Issuer) -> Identity | None:
    """Whom the claims name. Raises CelError."""
    said = issuer.expressions
    name = claims.get(issuer.username_claim) if said.username is None else text_of(said.username, claims)
    uid = claims.get(issuer.uid_claim, "") if said.uid is None else text_of(said.uid, claims)
    if not isinstance(name, str) or not name or not isinstance(uid, str) or (issuer.uid_claim and not uid):
        return None
    if issuer.username_claim == "email" and claims.get("email_verified", True) is not True:
        return None
    if said.groups is not None:
        named = texts_of(said.groups, claims)
    else:
        groups = claims.get(issuer.groups_claim) if issuer.groups_claim else None
        named = [groups] if isinstance(groups, str) else groups or []
    if not isinstance(named, list) or not all(isinstance(group, str) for group in named):
        return None
    extra = dict(said.extras(claims))
    if claims.get("jti"):
        extra["authentication.kubernetes.io/credential-id"] = [f"JTI={claims['jti']}"]
    return Identity(issuer.username_prefix + name, tuple(issuer.groups_prefix + group for group in named), uid, extra)


def _is_time(claims: Tree, now: float) -> bool:
    begins, ends = claims.get("nbf", 0), claims.get("exp")
    return isinstance(begins, int | float) and isinstance(ends, int | float) and begins <= now < ends
