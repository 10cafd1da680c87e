"""The keys of service account tokens: one that signs, and any number that tokens signed earlier are verified with.

A key is named by the digest of its public half, which a token's header repeats as `kid`; so the signing key can be
exchanged while the tokens of the old one run out. The libraries are loaded on first use, since most processes
never see a token. Source: RFC 7515 to 7518.
"""

import base64
import hashlib
from collections.abc import Sequence
from functools import cached_property
from typing import Any

LONGEST_TOKEN = 16 << 10
"""No token of ours, however many its audiences, comes near."""

Tree = dict[str, Any]


class PublicKey:
    """A key that verifies: its PEM, its name, and the one algorithm it is used with."""

    def __init__(self, pem: bytes) -> None:
        from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
        from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
        from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_public_key

        key = load_pem_public_key(pem)
        if not isinstance(key, EllipticCurvePublicKey | RSAPublicKey):
            raise ValueError("service account tokens are signed with an RSA or an elliptic-curve key")
        der = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        self.key = key
        self.name = base64.urlsafe_b64encode(hashlib.sha256(der).digest()).rstrip(b"=").decode()
        self.algorithm = f"ES{_BITS[key.curve.name]}" if isinstance(key, EllipticCurvePublicKey) else "RS256"

    def jwk(self) -> Tree:
        """The key as a JSON web key."""
        from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
        from jwt.algorithms import ECAlgorithm, RSAAlgorithm

        key = self.key
        if isinstance(key, EllipticCurvePublicKey):
            form = ECAlgorithm.to_jwk(key, as_dict=True)
        else:
            form = RSAAlgorithm.to_jwk(key, as_dict=True)
        form.pop("key_ops", None)
        return {"use": "sig", "kid": self.name, "alg": self.algorithm, **form}


_BITS = {"secp256r1": 256, "secp384r1": 384, "secp521r1": 512}


class TokenKeys:
    """The private key in PEM, its public half, and the public keys of earlier ones."""

    def __init__(self, private_key: bytes, public_key: bytes, earlier: Sequence[bytes] = ()) -> None:
        self._private_key = private_key
        self._pems = (public_key, *earlier)

    @cached_property
    def public(self) -> list[PublicKey]:
        """Every key that verifies, the signing one first."""
        return [PublicKey(pem) for pem in dict.fromkeys(self._pems)]

    def sign(self, claims: Tree) -> str:
        """The token that says `claims`."""
        import jwt

        first = self.public[0]
        return jwt.encode(claims, self._private_key, algorithm=first.algorithm, headers={"kid": first.name})

    def claims(self, token: str) -> Tree | None:
        """What `token` says, if one of the keys signed it; its times and audience are for the caller to judge.

        A key is tried with its own algorithm alone, whatever the header asks for, so that no public key is ever
        taken for a shared secret.
        """
        import jwt

        if len(token) > LONGEST_TOKEN or not token.isascii() or token.count(".") != 2:
            return None
        try:
            said = jwt.get_unverified_header(token).get("kid")
        except jwt.InvalidTokenError:
            return None
        named = [key for key in self.public if key.name == said]
        for key in named or self.public:
            try:
                return jwt.decode(token, key.key, algorithms=[key.algorithm], options=_SIGNATURE_ALONE)
            except (jwt.InvalidTokenError, ValueError):
                continue
        return None


_SIGNATURE_ALONE: Any = {
    "verify_exp": False,
    "verify_nbf": False,
    "verify_iat": False,
    "verify_aud": False,
    "verify_iss": False,
    "verify_sub": False,
    "verify_jti": False,
}
