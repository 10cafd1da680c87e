"""The way to any cluster, from a kubeconfig: its address, whom to trust, what to show.

Source: the Kubernetes documentation on kubeconfig files. Users whose credentials are made by a program (`exec`) are
refused by name: make a token and write it down.
"""

import base64
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bireme.api.codec import yaml
from bireme.api.errors import ApiError
from bireme.http.certificates import Pair, client_context
from bireme.simulation.reading import ScenarioError

BY_PROGRAM = ("exec", "auth-provider")


@dataclass(frozen=True, slots=True)
class Access:
    """`headers` go with every request. `server_name` is what the certificate must bear, if not the host."""

    url: str
    tls: ssl.SSLContext
    headers: Mapping[str, str] = field(default_factory=dict)
    server_name: str | None = None


def read_kubeconfig(path: Path, context: str = "") -> Access:
    """The access that a context, else the current one, describes. Raises ScenarioError."""
    try:
        tree = yaml.parse(path.read_bytes())
        name = context or tree.get("current-context")
        chosen = _named(tree, "contexts", name)["context"]
        cluster = _named(tree, "clusters", chosen["cluster"])["cluster"]
        user = (_named(tree, "users", chosen["user"])["user"] or {}) if chosen.get("user") else {}
        return _access(cluster, user, path.parent)
    except (OSError, KeyError, TypeError, AttributeError, ValueError, ApiError) as error:
        if isinstance(error, ScenarioError):
            raise
        raise ScenarioError(f"{path}: {type(error).__name__}: {error}") from error


def _named(tree: dict[str, Any], section: str, name: Any) -> dict[str, Any]:
    found: list[dict[str, Any]] = [each for each in tree.get(section) or () if each.get("name") == name]
    if not found:
        raise ScenarioError(f"the kubeconfig has no {name!r} among its {section}")
    return found[0]


def _access(cluster: dict[str, Any], user: dict[str, Any], folder: Path) -> Access:
    for name in BY_PROGRAM:
        if user.get(name):
            raise ScenarioError(f"the kubeconfig's user has credentials of a program ({name}): write a token down")
    pair = None
    if shown := _bytes(user, "client-certificate", folder):
        pair = Pair(shown, _bytes(user, "client-key", folder) or b"")
    tls = client_context(_bytes(cluster, "certificate-authority", folder), pair)
    if cluster.get("insecure-skip-tls-verify"):
        tls.check_hostname = False
        tls.verify_mode = ssl.CERT_NONE
    headers = {}
    token = str(user.get("token") or "")
    if not token and user.get("tokenFile"):
        token = (folder / str(user["tokenFile"])).read_text().strip()
    if token:
        headers["authorization"] = f"Bearer {token}"
    elif user.get("username"):
        login = base64.b64encode(f"{user['username']}:{user.get('password', '')}".encode()).decode()
        headers["authorization"] = f"Basic {login}"
    return Access(str(cluster["server"]).rstrip("/"), tls, headers, cluster.get("tls-server-name") or None)


def _bytes(tree: dict[str, Any], name: str, folder: Path) -> bytes | None:
    """A file that is named, or the data that stands in its place."""
    if data := tree.get(f"{name}-data"):
        return base64.b64decode(str(data))
    return (folder / str(tree[name])).read_bytes() if tree.get(name) else None
