"""A user's kubeconfig, read: which server a context means, how it is trusted, and who asks.

Files are merged as kubectl merges them: what comes first wins. A user may be a certificate, a token (or a file that
holds one), a password, or a command that gives credentials (`exec`). Source: the Kubernetes documentation,
"Organizing Cluster Access Using kubeconfig Files".
"""

import base64
import os
import ssl
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from bireme.api.codec import yaml
from bireme.api.errors import ApiError
from bireme.client.transport import HttpTransport
from bireme.http.certificates import Pair, client_context
from bireme.http.requests import Session

CREDENTIALS_S = 60.0
BY_COMMAND = ("exec", "auth-provider")
Read = tuple[Path, dict[str, Any]]
"""A file, or a part of it, and where it stands."""


class KubeconfigError(ValueError):
    """There is no usable kubeconfig, or not the context that was asked for."""


@dataclass(frozen=True, slots=True)
class Access:
    """A server, and the way to it. `namespace` is the context's own.

    `server_name` is what the server's certificate must bear, if that is not its host.
    """

    context: str
    server: str
    namespace: str
    tls: ssl.SSLContext
    headers: Mapping[str, str]
    server_name: str | None = None

    def transport(self, *, timeout_s: float) -> HttpTransport:
        """A way to ask the server. Closing it closes its session."""
        session = Session(tls=self.tls, headers=self.headers, timeout_s=timeout_s)
        return HttpTransport(session, self.server, server_name=self.server_name)


def read_access(paths: Sequence[Path], context: str = "", *, may_run: bool = True) -> Access:
    """What the files say of the context, or of the current one. Raises KubeconfigError.

    Without `may_run` a command that gives credentials is not run: they would not last as long as the access is used.
    """
    trees = [(path, _tree(path)) for path in paths if path.exists()]
    if not trees:
        raise KubeconfigError(f"there is no kubeconfig at {', '.join(map(str, paths))}")
    name = context or next((str(tree["current-context"]) for _, tree in trees if tree.get("current-context")), "")
    if not name:
        raise KubeconfigError(f"{paths[0]} names no current context")
    _, chosen = _entry(trees, "contexts", "context", name)
    home, cluster = _entry(trees, "clusters", "cluster", str(chosen.get("cluster", "")))
    try:
        user_home, user = _entry(trees, "users", "user", str(chosen["user"])) if chosen.get("user") else (home, {})
        if not may_run and (command := next((name for name in BY_COMMAND if user.get(name)), "")):
            raise ValueError(f"its user has credentials of a command ({command}): write a token down")
        pair, headers = _credentials(user, user_home)
        trusted = _bytes(cluster, "certificate-authority", home)
        tls = client_context(trusted, pair)
    except (OSError, ValueError, KeyError, TypeError, ApiError, subprocess.SubprocessError) as error:
        raise KubeconfigError(f'context "{name}" cannot be used: {error}') from error
    if cluster.get("insecure-skip-tls-verify"):
        tls.check_hostname = False
        tls.verify_mode = ssl.CERT_NONE
    if not cluster.get("server"):
        raise KubeconfigError(f'context "{name}" names no server')
    server, namespace = str(cluster["server"]), str(chosen.get("namespace") or "default")
    return Access(name, server, namespace, tls, headers, cluster.get("tls-server-name") or None)


def _tree(path: Path) -> dict[str, Any]:
    try:
        tree = yaml.parse(path.read_bytes())
    except (OSError, ApiError) as error:
        raise KubeconfigError(f"{path} cannot be read: {error}") from error
    if not isinstance(tree, dict):
        raise KubeconfigError(f"{path} is no kubeconfig")
    return tree


def _entry(
    trees: Sequence[tuple[Path, dict[str, Any]]], section: str, kind: str, name: str
) -> tuple[Path, dict[str, Any]]:
    for path, tree in trees:
        for item in tree.get(section) or ():
            if isinstance(item, dict) and item.get("name") == name and isinstance(item.get(kind), dict):
                return path, item[kind]
    raise KubeconfigError(f'there is no {kind} "{name}" in {", ".join(str(path) for path, _ in trees)}')


def _credentials(user: Mapping[str, Any], home: Path) -> tuple[Pair | None, dict[str, str]]:
    if command := user.get("exec"):
        user = _ask(command, home)
    pair = None
    if certificate := _bytes(user, "client-certificate", home):
        pair = Pair(certificate, _bytes(user, "client-key", home) or b"")
    if token := user.get("token"):
        return pair, {"authorization": f"Bearer {token}"}
    if file := user.get("tokenFile"):
        return pair, {"authorization": f"Bearer {(home.parent / str(file)).read_text().strip()}"}
    if name := user.get("username"):
        login = base64.b64encode(f"{name}:{user.get('password', '')}".encode()).decode()
        return pair, {"authorization": f"Basic {login}"}
    return pair, {}


def _ask(command: Mapping[str, Any], home: Path) -> dict[str, Any]:
    """What a credential command answers, as a user."""
    version = str(command.get("apiVersion", "client.authentication.k8s.io/v1"))
    asked = {"apiVersion": version, "kind": "ExecCredential", "spec": {"interactive": False}}
    more = {str(each["name"]): str(each["value"]) for each in command.get("env") or ()}
    program = str(command["command"])
    if os.sep in program:
        program = str(home.parent / program)
    done = subprocess.run(
        [program, *map(str, command.get("args") or ())],
        env={**os.environ, **more, "KUBERNETES_EXEC_INFO": orjson.dumps(asked).decode()},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        check=True,
        timeout=CREDENTIALS_S,
    )
    status = orjson.loads(done.stdout).get("status") or {}
    found = {"token": status.get("token")}
    for here, there in (("client-certificate", "clientCertificateData"), ("client-key", "clientKeyData")):
        if status.get(there):
            found[f"{here}-data"] = base64.b64encode(str(status[there]).encode()).decode()
    return found


def _bytes(tree: Mapping[str, Any], name: str, home: Path) -> bytes | None:
    """The data that stands in the file, or in a file that it names, relative to its folder."""
    if data := tree.get(f"{name}-data"):
        return base64.b64decode(str(data))
    if file := tree.get(name):
        return (home.parent / str(file)).read_bytes()
    return None
