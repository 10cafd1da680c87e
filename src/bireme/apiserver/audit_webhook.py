"""The audit log as another server gets it: events in batches, posted as an EventList.

Requests never wait for it. Events are held until a batch is full or its first one is old; a batch that can't be
delivered is tried again a few times. What finds no room, or could not be delivered at last, is dropped, counted and
told of in the server's own log. Source: the Kubernetes documentation on auditing (webhook backend, batch mode).
"""

import asyncio
from collections import deque
from dataclasses import dataclass
from typing import Any

import orjson
import structlog

from bireme.aio.backoff import Backoff
from bireme.aio.clock import Clock
from bireme.aio.waiting import wait_any
from bireme.http.requests import RequestFailed, Session

log = structlog.get_logger(__name__)

Tree = dict[str, Any]
ANSWER_S = 30.0
LAST_S = 5.0
LARGEST_ANSWER = 1 << 20
HEADERS = {"content-type": "application/json", "accept": "application/json", "user-agent": "kube-apiserver-audit"}


AGAIN = Backoff(initial_s=10.0, limit_s=60.0, factor=1.5)


@dataclass(frozen=True, slots=True)
class Batching:
    """How many events go at once, how long the first of them waits, how many are held at most, and how to retry."""

    most: int = 400
    wait_s: float = 30.0
    held: int = 10_000
    tries: int = 5
    backoff: Backoff = AGAIN


class AuditWebhook:
    """`write` takes events; keep `run` running, which delivers them to the server at `url`."""

    def __init__(self, url: str, session: Session, clock: Clock, batching: Batching | None = None) -> None:
        self._url, self._session, self._clock = url, session, clock
        self._batching = batching or Batching()
        self._events: deque[Tree] = deque()
        self._some, self._many = asyncio.Event(), asyncio.Event()
        self.dropped = 0
        self._full = False

    def write(self, event: Tree) -> None:
        """Take one event; it may not be changed any more."""
        if len(self._events) >= self._batching.held:
            self._drop(1, "there is no room", told=self._full)
            self._full = True
            return
        self._full = False
        self._events.append(event)
        self._some.set()
        if len(self._events) >= self._batching.most:
            self._many.set()

    async def run(self) -> None:
        """Deliver until cancelled; what is held then goes out once, in a moment."""
        try:
            while True:
                await self._some.wait()
                await wait_any(self._many.wait(), self._clock.sleep(self._batching.wait_s))
                await self._deliver(self._batch(self._batching.most))
        finally:
            await self._last_words()
            await self._session.close()

    async def _last_words(self) -> None:
        left = self._batch(len(self._events))
        try:
            async with asyncio.timeout(LAST_S):
                fault = await self._post(left) if left else ""
        except TimeoutError:
            fault = "it took too long"
        if fault:
            self._drop(len(left), fault)

    def _batch(self, most: int) -> list[Tree]:
        """The oldest events, which are held no more."""
        events = [self._events.popleft() for _ in range(min(most, len(self._events)))]
        if not self._events:
            self._some.clear()
        if len(self._events) < self._batching.most:
            self._many.clear()
        return events

    async def _deliver(self, events: list[Tree]) -> None:
        fault = ""
        try:
            for failures in range(self._batching.tries):
                await self._clock.sleep(self._batching.backoff.delay(failures))
                fault = await self._post(events)
                if not fault:
                    return
        except asyncio.CancelledError:
            self._events.extendleft(reversed(events))  # for the last words
            raise
        self._drop(len(events), fault)

    async def _post(self, events: list[Tree]) -> str:
        """Send a batch; what went wrong, if something did."""
        body = {"kind": "EventList", "apiVersion": "audit.k8s.io/v1", "metadata": {}, "items": events}
        try:
            reply = await self._session.request(
                "POST",
                self._url,
                headers=HEADERS,
                body=orjson.dumps(body),
                timeout_s=ANSWER_S,
                limit=LARGEST_ANSWER,
            )
        except RequestFailed as error:
            return type(error.__cause__ or error).__name__
        return "" if 200 <= reply.status < 300 else f"it answered {reply.status}"

    def _drop(self, count: int, why: str, *, told: bool = False) -> None:
        self.dropped += count
        if not told:
            log.error("audit events are lost to the webhook", count=count, why=why)
