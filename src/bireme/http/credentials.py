"""Who a user of the Mesos and Marathon doors is, by password or bearer token from a file.

The file is JSON: `{"users": [{"name", "groups", "password", "token"}]}`, a password or a token, or both, a user;
it must be readable by its owner alone. Secrets are kept and compared as digests, in constant time. What a user may
do, and the words of a 401, are the doors' business. RFC 7617 (Basic) and RFC 6750 (Bearer).
"""

import base64
import binascii
import hashlib
import hmac
import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from bireme.http.interface import Identity, Request

_NOBODY = b"\0" * 32


class CredentialsError(Exception):
    """The file of credentials can't be used."""


class _User(msgspec.Struct, forbid_unknown_fields=True):
    name: str
    groups: tuple[str, ...] = ()
    password: str = ""
    token: str = ""


class _File(msgspec.Struct):
    users: list[_User]


@dataclass(frozen=True, slots=True)
class Credentials:
    """The users, by the digests of what they show."""

    passwords: dict[str, tuple[bytes, Identity]]
    tokens: dict[bytes, Identity]

    @classmethod
    def load(cls, path: Path) -> "Credentials":
        """The users in the file at `path`. CredentialsError when it is open to others, or malformed."""
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError as error:
            raise CredentialsError(f"cannot read {path}: {error.strerror}") from error
        with os.fdopen(descriptor, "rb") as file:
            mode = os.fstat(descriptor).st_mode
            if mode & (stat.S_IRWXG | stat.S_IRWXO):
                raise CredentialsError(f"{path} is open to others: chmod 600 it")
            return cls.parse(file.read())

    @classmethod
    def parse(cls, text: bytes) -> "Credentials":
        """The users in the text of a file."""
        try:
            users = msgspec.json.decode(text, type=_File).users
        except msgspec.MsgspecError as error:
            raise CredentialsError(f"malformed credentials: {error}") from error
        passwords: dict[str, tuple[bytes, Identity]] = {}
        tokens: dict[bytes, Identity] = {}
        for user in users:
            identity = Identity(user.name, user.groups)
            if not user.name or user.name in passwords or ":" in user.name:
                raise CredentialsError(f"user name {user.name!r} is empty, repeated, or holds a colon")
            passwords[user.name] = (_digest(user.password) if user.password else _NOBODY, identity)
            if user.token:
                tokens[_digest(user.token)] = identity
        return cls(passwords, tokens)

    def authenticate(self, request: Request) -> Identity | None:
        """Who sent `request`, by its Authorization header or the identity of an in-process peer; None for nobody."""
        if request.peer.identity is not None:
            return request.peer.identity
        scheme, _, value = request.headers.get("authorization", "").partition(" ")
        match scheme.lower():
            case "basic":
                return self._by_password(value.strip())
            case "bearer":
                return self._by_token(value.strip())
            case "token":  # Marathon's and DC/OS's form: token=VALUE
                return self._by_token(value.strip().removeprefix("token="))
        return None

    def _by_password(self, value: str) -> Identity | None:
        try:
            name, found, password = base64.b64decode(value, validate=True).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            return None
        wanted, identity = self.passwords.get(name, (_NOBODY, None))
        # the comparison is made for unknown names too, so that time tells nothing
        right = hmac.compare_digest(_digest(password), wanted)
        return identity if right and found and wanted != _NOBODY else None

    def _by_token(self, value: str) -> Identity | None:
        # a lookup by digest: its time depends on the digest, from which nothing leads back to the token
        return self.tokens.get(_digest(value)) if value else None

    def statistics(self) -> dict[str, Any]:
        return {"users": len(self.passwords), "tokens": len(self.tokens)}


def _digest(secret: str) -> bytes:
    return hashlib.sha256(secret.encode()).digest()
