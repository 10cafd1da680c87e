"""What operators should see: Events on objects, aggregated so that a noisy thing stays one line.

The same event again raises the count of the first (a patch); after ten events within ten minutes that differ in their
words alone, the rest are told as one; a source that floods one object is held to a burst of 25 and one each 5
minutes after. So does client-go's recorder.
"""

import asyncio
import hashlib
from collections import OrderedDict
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

import structlog

from bireme.aio.clock import Clock
from bireme.api.errors import ApiError, NotFound
from bireme.api.kinds import core, meta
from bireme.api.kinds.meta import Object
from bireme.api.times import rfc3339
from bireme.client.client import Client

log = structlog.get_logger(__name__)

QUEUE_LIMIT = 1000
REMEMBERED = 4096
BURST = 25
REFILL_S = 300.0
SIMILAR = 10
SIMILAR_S = 600.0
LONGEST = 1024
COMBINED = "(combined from similar events): "


class _Said(NamedTuple):
    """What was recorded, before it is an Event."""

    about: Object
    type: str
    reason: str
    message: str
    field_path: str
    at: datetime


@dataclass(slots=True)
class _Seen:
    name: str
    count: int = 1
    first: str = ""


@dataclass(slots=True)
class _Flood:
    """What one object has brought up: how much may still be told of it, and its latest words by type and reason."""

    tokens: float = BURST
    at: float = 0.0
    words: dict[tuple[str, str], dict[str, None]] = field(default_factory=dict)
    since: dict[tuple[str, str], float] = field(default_factory=dict)

    def allows(self, now: float) -> bool:
        """Whether one more may be told."""
        self.tokens = min(BURST, self.tokens + (now - self.at) / REFILL_S)
        self.at = now
        if self.tokens < 1:
            return False
        self.tokens -= 1
        return True

    def is_one_of_many(self, kind: tuple[str, str], message: str, now: float) -> bool:
        """Whether so many different words came of late that these are told with the others."""
        known = self.words.setdefault(kind, {})
        if now - self.since.get(kind, now) > SIMILAR_S:
            known.clear()
        self.since[kind] = now
        known[message] = None
        if len(known) < SIMILAR:
            return False
        del known[next(iter(known))]
        return True


class EventRecorder:
    """Events from one component. `event` returns at once; `run` sends them, and what is more than `limit` is lost."""

    def __init__(
        self, client: Client, component: str, *, clock: Clock, host: str = "", limit: int = QUEUE_LIMIT
    ) -> None:
        self._client = client
        self._component, self._host = component, host
        self._clock = clock
        self._queue: asyncio.Queue[_Said] = asyncio.Queue(limit)
        self._seen: OrderedDict[tuple[str, ...], _Seen] = OrderedDict()
        self._floods: OrderedDict[tuple[type, str, str, str], _Flood] = OrderedDict()
        self.dropped = 0

    def event(self, about: Object, type: str, reason: str, message: str, *, field_path: str = "") -> None:
        """Record that something happened to `about`. `type` is Normal or Warning."""
        if self._queue.full():
            self.dropped += 1
        else:
            self._queue.put_nowait(_Said(about, type, reason, message, field_path, self._clock.now()))

    async def run(self) -> None:
        """Send what is recorded until cancelled."""
        while True:
            said = await self._queue.get()
            try:
                await self._send(said)
            except ApiError as error:
                log.debug("event not recorded", reason=said.reason, error=str(error))

    async def _send(self, said: _Said) -> None:
        """Tell it, unless too much of its kind was told. It is no Event before: nearly all of a flood ends here."""
        about, message, now = said.about, said.message[:LONGEST], self._clock.monotonic()
        flood = self._flood(about, now)
        words = message
        if flood.is_one_of_many((said.type, said.reason), message, now):
            message, words = (COMBINED + message)[:LONGEST], COMBINED
        if not flood.allows(now):
            return
        metadata = about.metadata
        key = (metadata.uid, metadata.name, said.field_path, said.type, said.reason, words)
        event = self._event(said, message)
        seen = self._seen.get(key)
        if seen is not None:
            seen.count += 1
            try:
                await self._repeat(event, seen)
            except NotFound:
                seen = None
            else:
                return
        digest = hashlib.sha1(f"{key}{self._clock.now()}".encode(), usedforsecurity=False).hexdigest()[:16]
        name = f"{metadata.name}.{digest}"
        event.metadata.name = name
        event.count = 1
        self._seen[key] = _Seen(name, first=event.first_timestamp)
        if len(self._seen) > REMEMBERED:
            self._seen.popitem(last=False)
        await self._client.create(event)

    def _event(self, said: _Said, message: str) -> core.Event:
        about, stamp = said.about, rfc3339(said.at)
        group, version, kind = about.__gvk__  # type: ignore[attr-defined]
        reference = core.ObjectReference(
            api_version=f"{group}/{version}" if group else version,
            kind=kind,
            name=about.metadata.name,
            namespace=about.metadata.namespace,
            uid=about.metadata.uid,
            resource_version=about.metadata.resource_version,
            field_path=said.field_path,
        )
        return core.Event(
            metadata=meta.ObjectMeta(namespace=about.metadata.namespace or "default"),
            involved_object=reference,
            reason=said.reason,
            message=message,
            type=said.type,
            source=core.EventSource(component=self._component, host=self._host),
            reporting_component=self._component,
            reporting_instance=self._host,
            first_timestamp=stamp,
            last_timestamp=stamp,
        )

    def _flood(self, about: Object, now: float) -> _Flood:
        metadata = about.metadata
        key = (type(about), metadata.namespace, metadata.name, metadata.uid)
        flood = self._floods.get(key)
        if flood is None:
            flood = self._floods[key] = _Flood(at=now)
            if len(self._floods) > REMEMBERED:
                self._floods.popitem(last=False)
        return flood

    async def _repeat(self, event: core.Event, seen: _Seen) -> None:
        patch = {"count": seen.count, "lastTimestamp": event.last_timestamp, "message": event.message}
        await self._client.patch(core.Event, seen.name, patch, namespace=event.metadata.namespace)
