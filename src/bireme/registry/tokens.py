"""Service account tokens: signed statements of who a pod is, good while what they are bound to is there.

JSON web tokens with the claims that Kubernetes uses. A signature is checked once; times, audience, the account and
the objects that a token is bound to are looked at each time it is shown.
Left to others: the keys (`token_keys.py`). Source: the Kubernetes documentation on authentication.
"""

import hashlib
import hmac
from base64 import b64decode
from binascii import Error as NotBase64
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, NamedTuple

from bireme.aio.clock import Clock
from bireme.api.times import parse_time
from bireme.http.interface import Identity
from bireme.registry.admission.chain import Objects
from bireme.registry.token_keys import TokenKeys

ISSUER = "https://kubernetes.default.svc.cluster.local"
LEGACY_ISSUER = "kubernetes/serviceaccount"
CLAIM = "kubernetes.io"
LEGACY_CLAIM = "kubernetes.io/serviceaccount/"
EXTRA = "authentication.kubernetes.io/"
SECRET_TYPE = "kubernetes.io/service-account-token"
INVALID_SINCE = "kubernetes.io/legacy-token-invalid-since"
LEEWAY = timedelta(seconds=10)
"""How far ahead the clock of whoever signed may have been."""
LEAVING = timedelta(seconds=60)
"""How long a token outlives the moment at which what it is bound to should have been gone."""
REMEMBERED = 4096

Tree = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Proven:
    """What a token proves: an identity, and for whom the token was made."""

    identity: Identity
    audiences: tuple[str, ...]


class Bound(NamedTuple):
    """What a token is bound to beside its account: its claim's name (`pod`, `secret`, `node`) and the object."""

    claim: str
    tree: Tree


class ServiceAccountTokens:
    """Signs and verifies. `private_key` and `public_key` are PEM; `earlier` are public keys that verify too."""

    def __init__(
        self,
        private_key: bytes,
        public_key: bytes,
        *,
        clock: Clock,
        uid: Callable[[], str],
        issuer: str = ISSUER,
        earlier: Sequence[bytes] = (),
    ) -> None:
        self.issuer = issuer
        self._keys = TokenKeys(private_key, public_key, earlier)
        self._clock = clock
        self._uid = uid
        self._objects: Objects | None = None
        self._signed: dict[bytes, Tree] = {}

    def look_up_in(self, objects: Objects) -> None:
        """Hold tokens good only while their account, and what they are bound to, are in `objects`."""
        self._objects = objects

    def issue(
        self,
        account: Tree,
        *,
        audiences: Sequence[str] = (),
        seconds: int = 3600,
        bound: Bound | None = None,
        warn_after_s: int | None = None,
    ) -> str:
        """A token for the service account `account`; past `warn_after_s` its use is worth a warning."""
        now = int(self._clock.now().timestamp())
        metadata = account["metadata"]
        about: Tree = {"namespace": metadata["namespace"], "serviceaccount": _reference(account)}
        if bound is not None:
            about[bound.claim] = _reference(bound.tree)
            node = (bound.tree.get("spec") or {}).get("nodeName") if bound.claim == "pod" else ""
            if node:
                about["node"] = self._node(node)
        if warn_after_s is not None:
            about["warnafter"] = now + warn_after_s
        return self._keys.sign(
            {
                "iss": self.issuer,
                "aud": list(audiences) or [self.issuer],
                "sub": f"system:serviceaccount:{metadata['namespace']}:{metadata['name']}",
                "iat": now,
                "nbf": now,
                "exp": now + seconds,
                "jti": self._uid(),
                CLAIM: about,
            }
        )

    def issue_legacy(self, namespace: str, account: str, account_uid: str, secret: str) -> str:
        """A token for a Secret that holds it: it ends when the Secret does."""
        claims = {
            "namespace": namespace,
            "secret.name": secret,
            "service-account.name": account,
            "service-account.uid": account_uid,
        }
        return self._keys.sign(
            {
                "iss": LEGACY_ISSUER,
                "sub": f"system:serviceaccount:{namespace}:{account}",
                **{LEGACY_CLAIM + name: value for name, value in claims.items()},
            }
        )

    def verify(self, token: str, audiences: Sequence[str] = ()) -> Proven | None:
        """What `token` proves for one of `audiences` (none: this server); None if nothing."""
        claims = self._claims(token)
        if claims is None:
            return None
        accepted = list(audiences) or [self.issuer]
        if claims.get("iss") == LEGACY_ISSUER and "exp" not in claims:
            return self._legacy(claims, token, accepted)
        if claims.get("iss") != self.issuer or not self._is_time(claims):
            return None
        return self._proven(claims, accepted)

    def configuration(self) -> Tree:
        """What /.well-known/openid-configuration says of this issuer."""
        return {
            "issuer": self.issuer,
            "jwks_uri": f"{self.issuer}/openid/v1/jwks",
            "response_types_supported": ["id_token"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": sorted({key.algorithm for key in self._keys.public}),
        }

    def key_set(self) -> Tree:
        """The public keys as a JSON web key set."""
        return {"keys": [key.jwk() for key in self._keys.public]}

    def _claims(self, token: str) -> Tree | None:
        """What a token says whose signature is good; remembered, since to check one costs as much as the request."""
        digest = hashlib.sha256(token.encode(errors="replace")).digest()
        claims = self._signed.get(digest)
        if claims is None:
            claims = self._keys.claims(token)
            if claims is not None:
                if len(self._signed) >= REMEMBERED:
                    del self._signed[next(iter(self._signed))]
                self._signed[digest] = claims
        return claims

    def _is_time(self, claims: Tree) -> bool:
        begins, ends = claims.get("nbf", 0), claims.get("exp")
        if not isinstance(begins, int | float) or not isinstance(ends, int | float):
            return False
        return begins - LEEWAY.total_seconds() <= self._clock.now().timestamp() < ends

    def _proven(self, claims: Tree, accepted: Sequence[str]) -> Proven | None:
        about, held = claims.get(CLAIM) or {}, claims.get("aud")
        held = held if isinstance(held, list) else [held]
        meant = tuple(one for one in held if one in accepted)
        namespace, account = about.get("namespace", ""), about.get("serviceaccount") or {}
        if not meant or not self._holds("serviceaccounts", namespace, account):
            return None
        extra: dict[str, list[str]] = {}
        if claims.get("jti"):
            extra[EXTRA + "credential-id"] = [f"JTI={claims['jti']}"]
        for claim, plural in (("pod", "pods"), ("secret", "secrets")):
            if claim in about and not self._holds(plural, namespace, about[claim]):
                return None
        if "node" in about and "pod" not in about and not self._holds("nodes", "", about["node"]):
            return None
        for claim in ("pod", "node"):
            if claim in about:
                extra[f"{EXTRA}{claim}-name"] = [about[claim]["name"]]
                if about[claim].get("uid"):
                    extra[f"{EXTRA}{claim}-uid"] = [about[claim]["uid"]]
        return Proven(_identity(namespace, account["name"], account["uid"], extra), meant)

    def _legacy(self, claims: Tree, token: str, accepted: Sequence[str]) -> Proven | None:
        said = {name: str(claims.get(LEGACY_CLAIM + name) or "") for name in _LEGACY_NAMES}
        namespace, account = said["namespace"], said["service-account.name"]
        uid = said["service-account.uid"]
        if not all(said.values()) or not self._holds("serviceaccounts", namespace, {"name": account, "uid": uid}):
            return None
        if self.issuer not in accepted or self._objects is None:
            return None
        secret = self._objects.find("", "v1", "secrets", namespace, said["secret.name"])
        if secret is None or INVALID_SINCE in (secret["metadata"].get("labels") or {}) or self._is_gone(secret):
            return None
        try:
            kept = b64decode((secret.get("data") or {}).get("token") or "")
        except (NotBase64, ValueError):
            return None
        if not hmac.compare_digest(kept, token.encode(errors="replace")):
            return None
        return Proven(_identity(namespace, account, uid, {}), (self.issuer,))

    def _node(self, name: str) -> Tree:
        found = self._objects.find("", "v1", "nodes", "", name) if self._objects else None
        return {"name": name, "uid": found["metadata"]["uid"]} if found else {"name": name}

    def _holds(self, plural: str, namespace: str, claimed: Tree) -> bool:
        if self._objects is None:
            return False
        found = self._objects.find("", "v1", plural, namespace, claimed.get("name", ""))
        return found is not None and found["metadata"].get("uid") == claimed.get("uid") and not self._is_gone(found)

    def _is_gone(self, tree: Tree) -> bool:
        """Whether the object should have been gone for a while."""
        ends = tree["metadata"].get("deletionTimestamp")
        return bool(ends) and parse_time(ends) + LEAVING < self._clock.now()


_LEGACY_NAMES = ("namespace", "secret.name", "service-account.name", "service-account.uid")


def _reference(tree: Tree) -> Tree:
    return {"name": tree["metadata"]["name"], "uid": tree["metadata"]["uid"]}


def _identity(namespace: str, name: str, uid: str, extra: dict[str, list[str]]) -> Identity:
    groups = ("system:serviceaccounts", f"system:serviceaccounts:{namespace}", "system:authenticated")
    return Identity(f"system:serviceaccount:{namespace}:{name}", groups, uid, extra)
