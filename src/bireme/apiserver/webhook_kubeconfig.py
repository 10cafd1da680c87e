"""Servers of an operator that this one asks or tells: a kubeconfig says where one is, and what it is shown.

Source: the Kubernetes documentation on webhook authentication and on auditing.
"""

import base64
from pathlib import Path
from typing import Any

from bireme.api.codec import yaml
from bireme.api.errors import ApiError
from bireme.http.certificates import Pair, client_context
from bireme.http.requests import Session


class WebhookConfigError(Exception):
    """The file that names the server can't be used."""


def read_kubeconfig(path: Path, *, timeout_s: float = 30.0) -> tuple[str, Session]:
    """The server of a kubeconfig's current context, and a session towards it. WebhookConfigError."""
    try:
        tree = yaml.parse(path.read_bytes())
        contexts = {one["name"]: one["context"] for one in tree.get("contexts") or ()}
        context = contexts[tree["current-context"]]
        cluster = next(one["cluster"] for one in tree["clusters"] if one["name"] == context["cluster"])
        user = (
            next((one["user"] for one in tree.get("users") or () if one["name"] == context.get("user")), None) or {}
        )
        trusted = _bytes(cluster, "certificate-authority", path)
        pair = None
        if shown := _bytes(user, "client-certificate", path):
            pair = Pair(shown, _bytes(user, "client-key", path) or b"")
        headers = {"authorization": f"Bearer {user['token']}"} if user.get("token") else {}
        tls = client_context(trusted, pair)
        return str(cluster["server"]), Session(tls=tls, headers=headers, timeout_s=timeout_s)
    except (OSError, KeyError, StopIteration, TypeError, AttributeError, ValueError, ApiError) as error:
        raise WebhookConfigError(f"{path} is no kubeconfig of a webhook: {type(error).__name__}: {error}") from error


def _bytes(tree: dict[str, Any], name: str, path: Path) -> bytes | None:
    """A file of the kubeconfig, or the data that stands in its place."""
    if data := tree.get(f"{name}-data"):
        return base64.b64decode(str(data))
    if file := tree.get(name):
        return (path.parent / str(file)).read_bytes()
    return None
