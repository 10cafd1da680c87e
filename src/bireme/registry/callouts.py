"""Calls to servers that users name in objects: webhooks of admission and of conversion.

A `clientConfig` names a URL, or a service, which is reached at one of its ready endpoints under its name in the
cluster. Redirects are not followed, answers are bounded in size and time, and what they hold is never part of an
error or of the log: whoever names a server must not learn what another one says.
Source: the WebhookClientConfig of the Kubernetes API.
"""

import asyncio
import base64
import errno
import socket
import ssl
from random import Random
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import orjson

from bireme.api.errors import ApiError, ServiceUnavailable
from bireme.http.answers import AnswerTooLarge, Cut
from bireme.http.certificates import Pair, show_pair
from bireme.http.requests import RequestFailed, RequestTimedOut, Session
from bireme.registry.admission.chain import Objects
from bireme.registry.admission.webhook_logins import Login, Logins
from bireme.registry.service_routes import may_be_reached, resolve

Tree = dict[str, Any]
LARGEST_ANSWER = 64 << 20
CONTEXTS = 256
NOBODY = Logins()
_HEADERS = {
    "accept": "application/json, */*",
    "content-type": "application/json",
    "user-agent": "kube-apiserver-admission",
}
_WORDS = {
    401: "the server has asked for the client to provide credentials",
    403: "the server does not allow access to the requested resource",
    404: "the server could not find the requested resource",
    405: "the server does not allow this method on the requested resource",
    413: "the server rejected our request because it was too large",
    415: "the server rejected our request due to an error in our request",
    429: "the server has received too many requests and has asked us to try again later",
}


class CalloutFailed(ServiceUnavailable):
    """No answer came that could be read; `timed_out` says whether it came too late."""

    def __init__(self, message: str, *, timed_out: bool = False) -> None:
        super().__init__(message)
        self.timed_out = timed_out


class Callouts:
    """The way out. Keep `run` running, which closes the connections at the end."""

    def __init__(self, objects: Objects, dice: Random) -> None:
        self._objects = objects
        self._dice = dice
        self._session = Session(headers=_HEADERS)
        self._inner = Session(headers=_HEADERS, may_reach=may_be_reached)  # for services: see `service_routes.py`
        self._contexts: dict[tuple[str, Pair | None], ssl.SSLContext] = {}

    async def run(self) -> None:
        """Hold the connections until cancelled."""
        try:
            await asyncio.Event().wait()
        finally:
            await self._session.close()
            await self._inner.close()

    async def post(
        self,
        client_config: Tree,
        tree: Tree,
        timeout_s: float,
        *,
        limit: int = LARGEST_ANSWER,
        logins: Logins = NOBODY,
    ) -> Any:
        """What the server of `client_config` answers to `tree`, shown what `logins` have for it. CalloutFailed."""
        shown = f"{_shown_url(client_config)}?timeout={timeout_s:g}s"
        try:
            url, server_name, host = self._target(client_config)
            login = logins.of(*_host_and_port(host or url))
            session = self._inner if server_name else self._session
            reply = await session.request(
                "POST",
                f"{url}?timeout={timeout_s:g}s",
                headers={**_shown(login), **({"host": host} if host else {})},
                body=orjson.dumps(tree),
                tls=self._context(client_config.get("caBundle") or "", login.pair),
                timeout_s=timeout_s,
                limit=limit,
                server_name=server_name or None,
            )
        except RequestTimedOut as error:
            raise CalloutFailed(f'Post "{shown}": context deadline exceeded', timed_out=True) from error
        except RequestFailed as error:
            raise CalloutFailed(f'Post "{shown}": {_why(error, url)}') from error
        except ApiError as error:
            raise CalloutFailed(f'Post "{shown}": {error.message}') from error
        if not 200 <= reply.status < 300:
            raise CalloutFailed(_words(reply.status))
        try:
            return orjson.loads(reply.body)
        except orjson.JSONDecodeError:
            raise CalloutFailed("the answer is not JSON") from None

    def _target(self, config: Tree) -> tuple[str, str, str]:
        """The URL to ask, the name in the certificate, and the host to speak to where they are not the URL's."""
        service = config.get("service")
        if not service:
            return str(config.get("url") or ""), "", ""
        port = service.get("port") or 443
        place = resolve(self._objects, service["namespace"], service["name"], port, self._dice)
        name = f"{service['name']}.{service['namespace']}.svc"
        return f"https://{place}{_path(service)}", name, f"{name}:{port}"

    def _context(self, bundle: str, pair: Pair | None = None) -> ssl.SSLContext:
        """TLS that trusts the authorities of `bundle`, or those of the machine where there is none; shows `pair`."""
        context = self._contexts.get((bundle, pair))
        if context is None:
            if len(self._contexts) >= CONTEXTS:
                self._contexts.clear()
            context = self._contexts[bundle, pair] = trusting(bundle, pair)
        return context


def trusting(bundle: str, pair: Pair | None = None) -> ssl.SSLContext:
    """TLS of a client that trusts the authorities of a bundle in base64 and shows `pair`. Raises CalloutFailed."""
    try:
        context = ssl.create_default_context(cadata=_pem(bundle) if bundle else None)
    except (ValueError, ssl.SSLError):
        raise CalloutFailed("unable to load root certificates: unable to parse bytes as PEM block") from None
    if pair is not None:
        show_pair(context, pair)
    return context


def _shown(login: Login) -> dict[str, str]:
    try:
        return login.headers()
    except OSError as error:
        raise CalloutFailed("the token file of the webhook's user cannot be read") from error


def _host_and_port(place: str) -> tuple[str, int]:
    """The host and port of a URL, or of `host:port`."""
    found = urlsplit(place if "//" in place else f"//{place}")
    return found.hostname or "", found.port or 443


def _pem(bundle: str) -> str:
    return base64.b64decode(bundle).decode("ascii")


def _path(service: Tree) -> str:
    path = str(service.get("path") or "/")
    return path if path.startswith("/") else f"/{path}"


def _shown_url(config: Tree) -> str:
    service = config.get("service")
    if not service:
        return str(config.get("url") or "")
    return f"https://{service['name']}.{service['namespace']}.svc:{service.get('port') or 443}{_path(service)}"


def _words(status: int) -> str:
    if status in _WORDS:
        return _WORDS[status]
    if status >= 500:
        return 'an error on the server ("unknown") has prevented the request from succeeding'
    return f"the server responded with the status code {status} but did not return more information"


def _why(error: RequestFailed, url: str) -> str:
    """Why a request failed, in the words of the original where clients look for them.

    Some requests go by way of a library, whose errors wrap those of the system.
    """
    cause = error.__cause__
    match cause:
        case aiohttp.ClientConnectorCertificateError(certificate_error=fault) | (
            ssl.SSLCertVerificationError() as fault
        ):
            return f"tls: failed to verify certificate: x509: {_certificate_fault(fault)}"
        case aiohttp.ClientConnectorDNSError() | socket.gaierror():
            return f"dial tcp: lookup {_host_and_port(url)[0]}: no such host"
        case aiohttp.ClientConnectorError(os_error=fault):
            return _not_connected(fault, url)
        case Cut(heard=False) | aiohttp.ServerDisconnectedError():
            return "EOF"
        case Cut() | ConnectionResetError() | aiohttp.ClientOSError():
            return "read: connection reset by peer"
        case OSError():
            return _not_connected(cause, url)
        case None | AnswerTooLarge():
            return "answer too large"
    return type(cause).__name__


def _not_connected(error: OSError, url: str) -> str:
    host, port = _host_and_port(url)
    refused = isinstance(error, ConnectionRefusedError) or f"[Errno {errno.ECONNREFUSED}]" in str(error)
    return f"dial tcp {host}:{port}: connect: {'connection refused' if refused else error.strerror}"


def _certificate_fault(error: Exception) -> str:
    text = getattr(error, "verify_message", "") or "certificate is not valid"
    if "issuer" in text or "self-signed" in text or "self signed" in text:
        return "certificate signed by unknown authority"
    return str(text)
