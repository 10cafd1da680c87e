"""Service account tokens: signed statements of who a pod is, good while what they are bound to is there.

ES256 JSON web tokens with the claims that Kubernetes uses. The library is loaded on first use, since most
processes never sign one. Source: the Kubernetes documentation on authentication.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from bireme.aio.clock import Clock
from bireme.http.interface import Identity
from bireme.registry.admission.chain import Objects

ISSUER = "https://kubernetes.default.svc.cluster.local"
CLAIM = "kubernetes.io"
ALGORITHM = "ES256"
LEEWAY = timedelta(seconds=10)

Tree = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Proven:
    """What a token proves: an identity, and for whom the token was made."""

    identity: Identity
    audiences: tuple[str, ...]


class ServiceAccountTokens:
    """Signs and verifies with one EC key (PEM, P-256)."""

    def __init__(
        self,
        private_key_pem: bytes,
        public_key_pem: bytes,
        *,
        clock: Clock,
        uid: Callable[[], str],
        issuer: str = ISSUER,
    ) -> None:
        self.issuer = issuer
        self._private_key = private_key_pem
        self._public_key = public_key_pem
        self._clock = clock
        self._uid = uid
        self._objects: Objects | None = None

    def look_up_in(self, objects: Objects) -> None:
        """Hold tokens good only while their account, and the pod they are bound to, are in `objects`."""
        self._objects = objects

    def issue(
        self,
        account: Tree,
        *,
        audiences: Sequence[str] = (),
        seconds: int = 3600,
        pod: Tree | None = None,
    ) -> str:
        """A token for the service account `account`, bound to `pod` if one is given."""
        import jwt

        now = int(self._clock.now().timestamp())
        metadata = account["metadata"]
        about: Tree = {
            "namespace": metadata["namespace"],
            "serviceaccount": {"name": metadata["name"], "uid": metadata["uid"]},
        }
        if pod is not None:
            about["pod"] = {"name": pod["metadata"]["name"], "uid": pod["metadata"]["uid"]}
            node = (pod.get("spec") or {}).get("nodeName")
            if node:
                about["node"] = {"name": node}
        claims = {
            "iss": self.issuer,
            "aud": list(audiences) or [self.issuer],
            "sub": f"system:serviceaccount:{metadata['namespace']}:{metadata['name']}",
            "iat": now,
            "nbf": now,
            "exp": now + seconds,
            "jti": self._uid(),
            CLAIM: about,
        }
        return jwt.encode(claims, self._private_key, algorithm=ALGORITHM)

    def verify(self, token: str, audiences: Sequence[str] = ()) -> Proven | None:
        """What `token` proves for one of `audiences` (none: this server); None if nothing."""
        import jwt

        accepted = list(audiences) or [self.issuer]
        try:
            claims = jwt.decode(
                token,
                self._public_key,
                algorithms=[ALGORITHM],
                audience=accepted,
                issuer=self.issuer,
                options={"verify_exp": False, "verify_nbf": False, "verify_iat": False, "require": ["exp", "sub"]},
            )
        except jwt.InvalidTokenError:
            return None
        now = self._clock.now().timestamp()
        if not claims.get("nbf", 0) - LEEWAY.total_seconds() <= now < claims["exp"]:
            return None
        return self._proven(claims, accepted)

    def configuration(self) -> Tree:
        """What /.well-known/openid-configuration says of this issuer."""
        return {
            "issuer": self.issuer,
            "jwks_uri": f"{self.issuer}/openid/v1/jwks",
            "response_types_supported": ["id_token"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": [ALGORITHM],
        }

    def key_set(self) -> Tree:
        """The public key as a JSON web key set."""
        from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
        from cryptography.hazmat.primitives.serialization import load_pem_public_key
        from jwt.algorithms import ECAlgorithm

        key = load_pem_public_key(self._public_key)
        if not isinstance(key, EllipticCurvePublicKey):
            raise TypeError("the key of service account tokens must be on an elliptic curve")
        return {"keys": [{"use": "sig", "alg": ALGORITHM, **ECAlgorithm.to_jwk(key, as_dict=True)}]}

    def _proven(self, claims: Tree, accepted: Sequence[str]) -> Proven | None:
        about = claims.get(CLAIM) or {}
        namespace, account = about.get("namespace", ""), about.get("serviceaccount") or {}
        if not self._holds("serviceaccounts", namespace, account):
            return None
        extra: dict[str, list[str]] = {"authentication.kubernetes.io/credential-id": [f"JTI={claims.get('jti', '')}"]}
        pod = about.get("pod")
        if pod is not None:
            if not self._holds("pods", namespace, pod):
                return None
            extra["authentication.kubernetes.io/pod-name"] = [pod["name"]]
            extra["authentication.kubernetes.io/pod-uid"] = [pod["uid"]]
        if about.get("node"):
            extra["authentication.kubernetes.io/node-name"] = [about["node"]["name"]]
        identity = Identity(
            f"system:serviceaccount:{namespace}:{account['name']}",
            ("system:serviceaccounts", f"system:serviceaccounts:{namespace}", "system:authenticated"),
            account["uid"],
            extra,
        )
        held = claims["aud"] if isinstance(claims["aud"], list) else [claims["aud"]]
        return Proven(identity, tuple(one for one in held if one in accepted))

    def _holds(self, plural: str, namespace: str, claimed: Tree) -> bool:
        if self._objects is None:
            return False
        found = self._objects.find("", "v1", plural, namespace, claimed.get("name", ""))
        return found is not None and found["metadata"].get("uid") == claimed.get("uid")
