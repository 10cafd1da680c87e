"""How the API server speaks to servers behind it: as a gateway, that tells whom it speaks for.

The client's own credentials stay here; headers of that kind which a client sent are dropped, so that nobody speaks
for another. Source: the Kubernetes documentation on the aggregation layer and on authenticating proxies.
"""

import base64
import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from bireme.api.errors import ServiceUnavailable
from bireme.apiserver.proxy import LEFT_BEHIND
from bireme.http.certificates import Pair, client_context
from bireme.http.interface import Identity, Request

Tree = dict[str, Any]
NAME = "front-proxy-client"
USER, UID, GROUPS, EXTRA = "x-remote-user", "x-remote-uid", "x-remote-group", "x-remote-extra-"
CONFIG_MAP = "extension-apiserver-authentication"
_TOKEN_CHARACTERS = "!#$&'*+-.^_`|~"


@dataclass(frozen=True, slots=True)
class FrontProxyTrust:
    """The gateway's certificate, and in PEM the authorities that signed it and that sign for clients."""

    pair: Pair
    authority: bytes
    client_authority: bytes

    def published(self) -> Tree:
        """The config map by which servers behind this one know whom to believe."""
        return {
            "metadata": {"name": CONFIG_MAP},
            "data": {
                "client-ca-file": self.client_authority.decode(),
                "requestheader-allowed-names": f'["{NAME}"]',
                "requestheader-client-ca-file": self.authority.decode(),
                "requestheader-extra-headers-prefix": '["X-Remote-Extra-"]',
                "requestheader-group-headers": '["X-Remote-Group"]',
                "requestheader-uid-headers": '["X-Remote-Uid"]',
                "requestheader-username-headers": '["X-Remote-User"]',
            },
        }


def context(bundle: str, *, insecure: bool, pair: Pair | None) -> ssl.SSLContext:
    """TLS towards a server behind this one. Raises ServiceUnavailable where its authority can't be read."""
    try:
        made = client_context(base64.b64decode(bundle) if bundle else None, pair)
    except (ValueError, ssl.SSLError):
        raise ServiceUnavailable("the caBundle of the APIService holds no certificates") from None
    if insecure:
        made.check_hostname = False
        made.verify_mode = ssl.CERT_NONE
    return made


def speaking_for(user: Identity) -> dict[str, str | Sequence[str]]:
    """The headers that tell who asks."""
    headers: dict[str, str | Sequence[str]] = {USER: user.name}
    if user.uid:
        headers[UID] = user.uid
    if user.groups:
        headers[GROUPS] = list(user.groups)
    for key, values in user.extra.items():
        headers[EXTRA + quote(key.lower(), safe=_TOKEN_CHARACTERS)] = list(values)
    return headers


def passed_on(request: Request, user: Identity) -> dict[str, str | Sequence[str]]:
    """The client's headers as they go on, with who asks in the place of what proved it."""
    named = {name.strip().lower() for name in request.headers.get("connection", "").split(",")}
    headers: dict[str, str | Sequence[str]] = {
        name: value
        for name, value in request.headers.items()
        if name not in LEFT_BEHIND and name not in named and not _is_ours(name)
    }
    # Compressed answers pass through as they are.
    if "accept-encoding" in request.headers:
        headers["accept-encoding"] = request.headers["accept-encoding"]
    came_from = request.headers.get("x-forwarded-for")
    headers["x-forwarded-for"] = f"{came_from}, {request.peer.address}" if came_from else request.peer.address
    headers["x-forwarded-host"] = request.headers.get("host", "")
    headers["x-forwarded-proto"] = "https" if request.peer.tls else "http"
    headers["x-forwarded-uri"] = request.path
    return {**headers, **speaking_for(user)}


def upgrading(request: Request, user: Identity) -> Mapping[str, str | Sequence[str]]:
    """The headers of a request to leave HTTP."""
    kept = ("sec-websocket-key", "sec-websocket-version", "sec-websocket-extensions")
    headers = passed_on(request, user)
    headers |= {name: request.headers[name] for name in kept if name in request.headers}
    protocols = [each.strip() for each in request.headers.get("sec-websocket-protocol", "").split(",")]
    # A token among the protocols is the client's own, and stays here.
    protocols = [each for each in protocols if each and not each.startswith("base64url.bearer.")]
    headers.pop("sec-websocket-protocol", None)
    if protocols:
        headers["sec-websocket-protocol"] = ", ".join(protocols)
    return {**headers, "connection": "Upgrade", "upgrade": request.headers.get("upgrade", "")}


def _is_ours(name: str) -> bool:
    return name.startswith(("x-remote-", "impersonate-", "x-forwarded-"))
