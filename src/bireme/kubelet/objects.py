"""Config maps, secrets and tokens for pods: fetched when needed, kept for a moment.

Thirty pods of one template that start together ask the server once. An object that is not there is an
answer too (None), and is asked for again next time.
"""

import asyncio
from collections import OrderedDict
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, TypeVar

from bireme.aio.clock import Clock
from bireme.api.codec.json import decode
from bireme.api.errors import NotFound
from bireme.api.kinds import authentication, core
from bireme.api.kinds.meta import Object
from bireme.api.times import parse_time
from bireme.client.client import Client

K = TypeVar("K", bound=Object)

FRESH_S = 2.0
REMEMBERED = 2048
LONGEST_LIFE = timedelta(hours=24)
DEFAULT_LIFE_S = 3600


class Objects:
    """What pods refer to."""

    def __init__(self, client: Client, *, clock: Clock) -> None:
        self._client = client
        self._clock = clock
        self._held: OrderedDict[tuple[type[Object], str, str], tuple[float, Any]] = OrderedDict()
        self._locks: dict[tuple[type[Object], str, str], asyncio.Lock] = {}

    async def get(self, kind: type[K], namespace: str, name: str) -> K | None:
        """The object as it was at most `FRESH_S` ago; None if there is none. Raises ApiError."""
        key = (kind, namespace, name)
        lock = self._locks.setdefault(key, asyncio.Lock())
        async with lock:
            held = self._held.get(key)
            now = self._clock.monotonic()
            if held is not None and now - held[0] < FRESH_S:
                return held[1]  # type: ignore[no-any-return]
            try:
                found = await self._client.get(kind, name, namespace=namespace)
            except NotFound:
                self._forget(key)
                return None
            self._held[key] = (now, found)
            self._held.move_to_end(key)
            if len(self._held) > REMEMBERED:
                self._forget(next(iter(self._held)))
            return found

    def forget(self, kind: type[Object], namespace: str, name: str) -> None:
        """The object has changed: ask for it again."""
        self._forget((kind, namespace, name))

    def _forget(self, key: tuple[type[Object], str, str]) -> None:
        self._held.pop(key, None)
        lock = self._locks.get(key)
        if lock is not None and not lock.locked():
            del self._locks[key]


@dataclass(frozen=True, slots=True)
class _Token:
    text: str
    renew_at: datetime


class Tokens:
    """Service-account tokens bound to pods, renewed at four fifths of their life or after a day."""

    def __init__(self, client: Client, *, clock: Clock) -> None:
        self._client = client
        self._clock = clock
        self._held: dict[str, dict[tuple[str, int], _Token]] = {}

    async def get(self, pod: core.Pod, projection: core.ServiceAccountTokenProjection) -> str:
        """A token for the pod's service account that is still good for a while. Raises ApiError."""
        life_s = projection.expiration_seconds or DEFAULT_LIFE_S
        held = self._held.setdefault(pod.metadata.uid, {})
        token = held.get((projection.audience, life_s))
        now = self._clock.now()
        if token is None or now >= token.renew_at:
            token = held[projection.audience, life_s] = await self._ask(pod, projection.audience, life_s, now)
        return token.text

    def forget(self, pod_uid: str) -> None:
        """The pod is gone."""
        self._held.pop(pod_uid, None)

    async def _ask(self, pod: core.Pod, audience: str, life_s: int, now: datetime) -> _Token:
        bound = authentication.BoundObjectReference(
            api_version="v1", kind="Pod", name=pod.metadata.name, uid=pod.metadata.uid
        )
        request = authentication.TokenRequest(
            spec=authentication.TokenRequestSpec(
                audiences=[audience] if audience else [], expiration_seconds=life_s, bound_object_ref=bound
            )
        )
        account = pod.spec.service_account_name or "default"
        answer = await self._client.create_subresource(
            core.ServiceAccount, account, "token", request, namespace=pod.metadata.namespace
        )
        status = decode(authentication.TokenRequest, answer).status
        ends = parse_time(status.expiration_timestamp) if status.expiration_timestamp else now + LONGEST_LIFE
        return _Token(status.token, now + min((ends - now) * 0.8, LONGEST_LIFE))
