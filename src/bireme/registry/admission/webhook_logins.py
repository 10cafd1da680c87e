"""How this server shows admission webhooks who it is: the users of a kubeconfig, found by the webhook's host.

A user's name is a host (`hooks.example.com`, `hooks.ns.svc:8443`), a host below (`*.example.com`), or `*`; the most
exact one counts, and port 443 need not be said. Without one the current context's user goes to all. Source: the
Kubernetes documentation on authenticating API servers to admission webhooks.
"""

import base64
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bireme.http.certificates import Pair

Tree = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Login:
    """What is shown: a certificate, or a header; the token in a file is read each time, since others change it."""

    pair: Pair | None = None
    authorization: str = ""
    token_file: Path | None = None

    def headers(self) -> dict[str, str]:
        """The headers of a request. Raises OSError where the file can't be read."""
        said = self.authorization
        if self.token_file is not None:
            said = f"Bearer {self.token_file.read_text().strip()}"
        return {"authorization": said} if said else {}


NOBODY = Login()


class Logins:
    """What to show to whom; without users nothing is shown to anybody."""

    def __init__(self, users: Mapping[str, Login] | None = None, current: Login = NOBODY) -> None:
        self._users = users or {}
        self._current = current

    def of(self, host: str, port: int) -> Login:
        """What to show to a host."""
        for name in _names(host, port):
            if name in self._users:
                return self._users[name]
        return self._current


def _names(host: str, port: int) -> Iterator[str]:
    """The names that a user for a host may have, the most exact first."""
    for target in (f"{host}:{port}", host) if port == 443 else (f"{host}:{port}",):
        steps = target.split(".")
        yield target
        yield from ("*." + ".".join(steps[place:]) for place in range(1, len(steps)))
    yield "*"


def logins_of(tree: Tree, folder: Path) -> Logins:
    """The users of a kubeconfig; files are named from `folder`. Raises KeyError, ValueError, OSError and others."""
    users = {str(one["name"]): _login(one.get("user") or {}, folder) for one in tree.get("users") or ()}
    contexts = {one["name"]: one["context"] for one in tree.get("contexts") or ()}
    context = contexts.get(str(tree.get("current-context"))) or {}
    return Logins(users, users.get(str(context.get("user")), NOBODY))


def _login(user: Tree, folder: Path) -> Login:
    for name in ("exec", "auth-provider"):
        if name in user:
            raise ValueError(f"{name} is not supported")
    certificate, key = (_content(user, name, folder) for name in ("client-certificate", "client-key"))
    if bool(certificate) != bool(key):
        raise ValueError("a client certificate needs its key")
    pair = Pair(certificate, key) if certificate and key else None
    if user.get("token"):
        return Login(pair, f"Bearer {user['token']}")
    if user.get("tokenFile"):
        return Login(pair, token_file=folder / str(user["tokenFile"]))
    if user.get("username"):
        said = f"{user['username']}:{user.get('password') or ''}".encode()
        return Login(pair, f"Basic {base64.b64encode(said).decode()}")
    return Login(pair)


def _content(user: Tree, name: str, folder: Path) -> bytes | None:
    if data := user.get(f"{name}-data"):
        return base64.b64decode(str(data), validate=True)
    return (folder / str(user[name])).read_bytes() if user.get(name) else None
