"""Bootstrap tokens as their Secrets in kube-system say them, and signatures made with them.

A token is an id of six characters and a secret of sixteen. Plain functions of a Secret's texts. Source: the
Kubernetes documentation on bootstrap tokens; RFC 7515, appendix F, for signatures that leave the content out.
"""

import hashlib
import hmac
import json
from base64 import b64decode, urlsafe_b64encode
from binascii import Error as NotBase64
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from bireme.api.times import parse_time

SECRET_TYPE = "bootstrap.kubernetes.io/token"
NAMESPACE = "kube-system"
PREFIX = "bootstrap-token-"


def texts(data: Mapping[str, Any] | None) -> dict[str, str]:
    """The texts of a Secret's data; "" for what is none."""
    return {name: _text(value) for name, value in (data or {}).items()}


def has_expired(expiration: str, *, now: datetime) -> bool:
    """Whether a token with this expiration ("" for none) is over; one that can't be read is."""
    if not expiration:
        return False
    try:
        return parse_time(expiration) <= now
    except ValueError:
        return True


def signing_key(name: str, said: Mapping[str, str], *, now: datetime) -> tuple[str, str] | None:
    """The id and secret of the token in the Secret of that name, if it is one to sign with."""
    token_id, secret = said.get("token-id", ""), said.get("token-secret", "")
    if not (token_id and secret) or name != PREFIX + token_id:
        return None
    if said.get("usage-bootstrap-signing") != "true" or has_expired(said.get("expiration", ""), now=now):
        return None
    return token_id, secret


def signature(content: str, token_id: str, secret: str) -> str:
    """The JWS of a content, which is left out of it: header and signature, by HMAC with SHA-256."""
    header = _part(json.dumps({"alg": "HS256", "kid": token_id}, separators=(",", ":")).encode())
    signed = f"{header}.{_part(content.encode())}".encode()
    return f"{header}..{_part(hmac.digest(secret.encode(), signed, hashlib.sha256))}"


def _part(value: bytes) -> str:
    return urlsafe_b64encode(value).rstrip(b"=").decode()


def _text(value: Any) -> str:
    try:
        return b64decode(str(value)).decode()
    except (NotBase64, ValueError):
        return ""
