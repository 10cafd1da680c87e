"""What happened to a request, told stage by stage to where the audit log is kept.

Nothing here runs while no policy is set. Bodies are told as they came and went, where they are JSON or YAML; headers
never are, so no credentials come into the log but what a policy asks to have of bodies.
Left to others: which requests (`audit_policy.py`), the file (`audit_log.py`), another server (`audit_webhook.py`).
Source: the Kubernetes documentation on auditing.
"""

import contextvars
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from datetime import datetime
from typing import Any, Protocol, runtime_checkable

import orjson

from bireme.api.codec import yaml
from bireme.api.errors import ApiError
from bireme.apiserver.audit_policy import Level, Policy, Verdict
from bireme.http.exposition import family, sample
from bireme.http.interface import Answer, Identity, Request, Response, Stream
from bireme.registry.access import Attempt

Tree = dict[str, Any]

ANNOTATIONS: contextvars.ContextVar[dict[str, str] | None] = contextvars.ContextVar("audit annotations", default=None)
"""What admission has to add to the event of the request that is served."""
DECISION, REASON = "authorization.k8s.io/decision", "authorization.k8s.io/reason"


def note_decision(*, allowed: bool, reason: str) -> None:
    """Have the event of the request that is served say what authorization said."""
    notes = ANNOTATIONS.get()
    if notes is not None:
        notes[DECISION] = "allow" if allowed else "forbid"
        notes[REASON] = reason


class Backend(Protocol):
    """Where events go. One that `run`s is to be kept running."""

    def write(self, event: Tree) -> None:
        """Take one event, which is changed no more."""
        ...

    @property
    def dropped(self) -> int:
        """How many events it lost."""
        ...


@runtime_checkable
class Running(Backend, Protocol):
    """A backend that works on after `write`."""

    async def run(self) -> None:
        """Deliver, until cancelled."""
        ...


class Audit:
    """Tells its backends, by name, of requests as `policy` says."""

    def __init__(self, policy: Policy, backends: Mapping[str, Backend], now: Callable[[], datetime]) -> None:
        self._policy, self._backends, self._now = policy, backends, now
        self._told = 0
        self._levels: Counter[str] = Counter()

    def services(self) -> dict[str, Callable[[], Awaitable[None]]]:
        """What is to be kept running, by name."""
        return {f"audit {name}": one.run for name, one in self._backends.items() if isinstance(one, Running)}

    def figures(self) -> str:
        """What was told, and what was lost, for the page of metrics."""
        name = "apiserver_audit"
        levels = [sample(f"{name}_level_total", {"level": level}, count) for level, count in self._levels.items()]
        lost = [
            sample(f"{name}_error_total", {"plugin": plugin}, one.dropped)
            for plugin, one in self._backends.items()
            if one.dropped
        ]
        return "\n".join(
            [
                *family(
                    f"{name}_event_total", "counter", "Audit events.", [sample(f"{name}_event_total", {}, self._told)]
                ),
                *family(f"{name}_level_total", "counter", "Requests by the level of their events.", levels),
                *family(f"{name}_error_total", "counter", "Audit events that were lost.", lost),
            ]
        )

    def begin(self, request: Request, user: Identity, attempt: Attempt, audit_id: str) -> "Record | None":
        """The record of a request that was received; None where nothing of it is to be told."""
        verdict = self._policy.verdict(user, attempt)
        self._levels[verdict.level.word] += 1
        ANNOTATIONS.set(None)
        if verdict.level is Level.NONE:
            return None
        event = {
            "kind": "Event",
            "apiVersion": "audit.k8s.io/v1",
            "level": verdict.level.word,
            "auditID": audit_id,
            "stage": "",
            "requestURI": request.raw_path or request.path,
            "verb": attempt.verb,
            "user": user_of(user),
            "sourceIPs": _sources(request),
        }
        if agent := request.headers.get("user-agent"):
            event["userAgent"] = agent
        if not attempt.path:
            event["objectRef"] = _reference(attempt)
        event["requestReceivedTimestamp"] = _micro(self._now())
        record = Record(event, verdict, request, self._tell)
        ANNOTATIONS.set(record.annotations)
        record.tell("RequestReceived")
        return record

    def _tell(self, event: Tree) -> None:
        self._told += 1
        whole = {**event, "stageTimestamp": _micro(self._now())}
        for backend in self._backends.values():
            backend.write(whole)


class Record:
    """One request on its way through the stages."""

    def __init__(self, event: Tree, verdict: Verdict, request: Request, tell: Callable[[Tree], None]) -> None:
        self._event, self._verdict, self._request, self._tell = event, verdict, request, tell
        self.annotations: dict[str, str] = {}

    def acts_as(self, other: Identity) -> None:
        """Whom the user acts as."""
        self._event["impersonatedUser"] = user_of(other)

    def answered(self, made: Answer) -> Answer:
        """Tell of the answer; one that goes on is told of again when it is over."""
        if isinstance(made, Response):
            self._complete(made.status, made)
            return made
        status = made.status if isinstance(made, Stream) else 101
        self._event["responseStatus"] = {"metadata": {}, "code": status}
        self.tell("ResponseStarted")
        if isinstance(made, Stream):
            made.chunks = Followed(made.chunks, lambda: self.tell("ResponseComplete"))
        else:
            run: Callable[[Any], Awaitable[None]] = made.run

            async def followed(connection: Any) -> None:
                try:
                    await run(connection)
                finally:
                    self.tell("ResponseComplete")

            made.run = followed
        return made

    def tell(self, stage: str) -> None:
        """Write the event as it is at this stage."""
        if stage in self._verdict.omitted:
            return
        event = {**self._event, "stage": stage}
        if self.annotations:
            event["annotations"] = dict(self.annotations)
        self._tell(event)

    def _complete(self, status: int, made: Response) -> None:
        event, level = self._event, self._verdict.level
        told: Tree = {"metadata": {}, "code": status}
        answer = (
            self._body(made.body, made.content_type) if status >= 400 or level >= Level.REQUEST_RESPONSE else None
        )
        if status >= 400 and isinstance(answer, dict):
            told |= {name: answer[name] for name in ("status", "message", "reason", "details") if name in answer}
        event["responseStatus"] = told
        if level >= Level.REQUEST and self._request.body:
            body = self._body(self._request.body, self._request.headers.get("content-type", ""))
            if body is not None:
                event["requestObject"] = body
        if level >= Level.REQUEST_RESPONSE and answer is not None:
            event["responseObject"] = answer
        self.tell("ResponseComplete")

    def _body(self, body: bytes, media: str) -> Any:
        try:
            tree = yaml.parse(body) if "yaml" in media else orjson.loads(body)
        except (ValueError, ApiError):
            return None
        return tree if self._verdict.managed_fields else _without_owners(tree)


class Followed:
    """Parts of an answer, and what is done once when they are over: sent, failed, or never asked for."""

    def __init__(self, chunks: AsyncIterator[bytes], done: Callable[[], None]) -> None:
        self._chunks, self._done, self._over = chunks, done, False

    def __aiter__(self) -> "Followed":
        return self

    async def __anext__(self) -> bytes:
        try:
            return await anext(self._chunks)
        except BaseException:
            self._end()
            raise

    async def aclose(self) -> None:
        """Close what is followed."""
        try:
            close = getattr(self._chunks, "aclose", None)
            if close is not None:
                await close()
        finally:
            self._end()

    def _end(self) -> None:
        if not self._over:
            self._over = True
            self._done()


def user_of(user: Identity) -> Tree:
    """An identity as events tell it."""
    told: Tree = {"username": user.name}
    if user.uid:
        told["uid"] = user.uid
    if user.groups:
        told["groups"] = list(user.groups)
    if user.extra:
        told["extra"] = {key: list(values) for key, values in user.extra.items()}
    return told


def _reference(attempt: Attempt) -> Tree:
    said = {
        "resource": attempt.resource,
        "namespace": attempt.namespace,
        "name": attempt.name,
        "apiGroup": attempt.group,
        "apiVersion": attempt.version,
        "subresource": attempt.subresource,
    }
    return {name: value for name, value in said.items() if value}


def _sources(request: Request) -> list[str]:
    """Where the request came from: what gateways say first, the peer last."""
    said = [part.strip() for part in request.headers.get("x-forwarded-for", "").split(",") if part.strip()]
    return list(dict.fromkeys([*said, request.peer.address])) if request.peer.address else said


def _without_owners(tree: Any) -> Any:
    if not isinstance(tree, dict):
        return tree
    if isinstance(tree.get("items"), list):
        tree = {**tree, "items": [_without_owners(item) for item in tree["items"]]}
    metadata = tree.get("metadata")
    if isinstance(metadata, dict) and "managedFields" in metadata:
        kept = {name: value for name, value in metadata.items() if name != "managedFields"}
        return {**tree, "metadata": kept}
    return tree


def _micro(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
