"""Tokens from a file, read once at the start: `token,user,uid,"group,group"` a line.

Source: the Kubernetes documentation on authentication.
"""

import csv
import hashlib
from pathlib import Path

from bireme.http.interface import Identity
from bireme.registry.tokens import Proven


class TokenFileError(Exception):
    """The file of tokens can't be used."""


class StaticTokens:
    """The users of a file, by the digests of their tokens, so that the time of a look-up tells nothing of them."""

    def __init__(self, users: dict[bytes, Identity]) -> None:
        self._users = users

    @classmethod
    def load(cls, path: Path) -> "StaticTokens":
        """The users of the file. TokenFileError where it is unreadable or malformed; it names no token."""
        try:
            text = path.read_text()
        except (OSError, UnicodeDecodeError) as error:
            raise TokenFileError(f"cannot read {path}: {error}") from error
        return cls(_parse(path, text))

    async def prove(self, token: str, audiences: tuple[str, ...]) -> Proven | None:
        user = self._users.get(_digest(token))
        return Proven(user, audiences) if user is not None else None


def _parse(path: Path, text: str) -> dict[bytes, Identity]:
    users: dict[bytes, Identity] = {}
    for number, fields in enumerate(csv.reader(text.splitlines(), skipinitialspace=True), start=1):
        if not fields or fields[0].startswith("#"):
            continue
        if len(fields) < 3 or not fields[0] or not fields[1]:
            raise TokenFileError(f"{path}, line {number}: a line is token,user,uid and then groups, if any")
        digest = _digest(fields[0])
        if digest in users:
            raise TokenFileError(f"{path}, line {number}: the token stands in an earlier line already")
        groups = tuple(group.strip() for group in fields[3].split(",") if group.strip()) if len(fields) > 3 else ()
        users[digest] = Identity(fields[1], groups, fields[2])
    return users


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode(errors="replace")).digest()
