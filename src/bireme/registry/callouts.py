"""Asking the webhooks that users bring: a tree out, a tree back, over TLS that their own authority vouches for.

A client config names a URL or a service; a service is reached at one of its ready endpoints, or else at its cluster
address, under its name in the cluster. Redirects are not followed, answers are bounded in size and time. Left to
others: what is asked, and what a failure means. Source: the Kubernetes documentation on webhooks.
"""

import asyncio
import base64
import binascii
import functools
import random as chance
import ssl
from dataclasses import dataclass
from typing import Any, Protocol

import orjson

from bireme.api.errors import ApiError
from bireme.http.requests import RequestFailed, RequestTimedOut, Session

Tree = dict[str, Any]
LARGEST_ANSWER = 64 << 20
HTTPS = 443
SERVICE_NAME = "kubernetes.io/service-name"
HEADERS = {"content-type": "application/json", "accept": "application/json", "user-agent": "kube-apiserver-admission"}


class Objects(Protocol):
    """The objects that services are found among."""

    def find(self, group: str, version: str, plural: str, namespace: str, name: str) -> Tree | None:
        """The object of that name."""
        ...

    def every(self, group: str, version: str, plural: str, namespace: str = "") -> list[Tree]:
        """All objects of a kind in a namespace."""
        ...


@dataclass(frozen=True, slots=True)
class Target:
    """Where to connect, what to ask for there, and the name that the certificate must bear ("": that of the URL)."""

    url: str
    host: str = ""
    shown: str = ""


class Callouts:
    """Asks webhooks; `run` ends its connections when it is cancelled."""

    def __init__(self, objects: Objects, random: chance.Random) -> None:
        self._objects = objects
        self._random = random
        self._session = Session()

    async def post(self, client_config: Tree, tree: Tree, timeout_s: float) -> Any:
        """What the webhook answers to `tree`. Raises ApiError whose message says why there is no answer."""
        target = self._target(client_config)
        headers = {**HEADERS, "host": target.host} if target.host else HEADERS
        shown = target.shown or target.url
        try:
            reply = await self._session.request(
                "POST",
                target.url,
                headers=headers,
                body=orjson.dumps(tree),
                tls=_trusting(client_config.get("caBundle") or ""),
                timeout_s=timeout_s,
                limit=LARGEST_ANSWER,
                server_name=target.host.partition(":")[0] or None,
            )
        except RequestTimedOut as error:
            raise ApiError(f'Post "{shown}": context deadline exceeded') from error
        except RequestFailed as error:
            raise ApiError(f'Post "{shown}": {error}') from error
        if reply.status != 200:
            raise ApiError(f'Post "{shown}": the server answered with {reply.status}')
        try:
            return orjson.loads(reply.body)
        except orjson.JSONDecodeError as error:
            raise ApiError(f'Post "{shown}": the answer is no JSON: {error}') from error

    async def run(self) -> None:
        """Wait until cancelled, then close every connection."""
        try:
            await asyncio.Event().wait()
        finally:
            await self._session.close()

    def _target(self, config: Tree) -> Target:
        service = config.get("service")
        if not service:
            return Target(config.get("url") or "")
        namespace, name, port = service["namespace"], service["name"], service.get("port") or HTTPS
        path = "/" + (service.get("path") or "").lstrip("/")
        host = f"{name}.{namespace}.svc"
        shown = f"https://{host}:{port}{path}"
        found = self._objects.find("", "v1", "services", namespace, name)
        if found is None:
            raise ApiError(f'Post "{shown}": service "{name}" not found')
        where = self._endpoint(found, namespace, name, port)
        if where is None:
            raise ApiError(f'Post "{shown}": no endpoints available for service "{name}"')
        return Target(f"https://{where}{path}", f"{host}:{port}", shown)

    def _endpoint(self, service: Tree, namespace: str, name: str, port: int) -> str | None:
        """The address and port of a ready endpoint; of the service itself where its endpoints are not known."""
        spec = service.get("spec") or {}
        said = next((each for each in spec.get("ports") or () if each.get("port") == port), None)
        if spec.get("type") == "ExternalName":
            return f"{spec.get('externalName')}:{port}"
        if said is None:
            return None
        slices = [
            each
            for each in self._objects.every("discovery.k8s.io", "v1", "endpointslices", namespace)
            if (each["metadata"].get("labels") or {}).get(SERVICE_NAME) == name
        ]
        ready = [place for each in slices for place in _places(each, said.get("name") or "")]
        if ready:
            return self._random.choice(ready)
        address = spec.get("clusterIP")
        return f"{_bracketed(address)}:{port}" if address and address != "None" and not slices else None


def _places(slice: Tree, port_name: str) -> list[str]:
    ports = [each for each in slice.get("ports") or () if (each.get("name") or "") == port_name]
    if not ports:
        return []
    number = ports[0].get("port")
    return [
        f"{_bracketed(address)}:{number}"
        for endpoint in slice.get("endpoints") or ()
        if (endpoint.get("conditions") or {}).get("ready") is not False
        for address in endpoint.get("addresses") or ()
    ]


def _bracketed(address: str) -> str:
    return f"[{address}]" if ":" in address else address


@functools.lru_cache(maxsize=64)
def _trusting(bundle: str) -> ssl.SSLContext:
    """Trust in a bundle of certificates, in base64; in those of the system where there is none."""
    if not bundle:
        return ssl.create_default_context()
    try:
        return ssl.create_default_context(cadata=base64.b64decode(bundle).decode())
    except (binascii.Error, UnicodeDecodeError, ssl.SSLError) as error:
        raise ApiError(f"unable to load root certificates: {error}") from error
