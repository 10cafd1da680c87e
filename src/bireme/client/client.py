"""The API as the rest of Bireme sees it: verbs over typed objects, errors as `ApiError`."""

import enum
import functools
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, Generic, Literal, TypeVar

import msgspec
import orjson

from bireme.aio.side_by_side import side_by_side
from bireme.api.codec.json import decode, encode
from bireme.api.codec.shared import decode_shared
from bireme.api.errors import ApiError
from bireme.api.kinds import core
from bireme.api.kinds.meta import Object
from bireme.api.scheme import Resource, Scheme, builtin
from bireme.client.errors import from_answer, from_status
from bireme.client.transport import Lane, Pairs, Told, Transport
from bireme.http.answers import Reply
from bireme.http.interface import Response

K = TypeVar("K", bound=Object)
T = TypeVar("T")
JSON = "application/json"
LARGEST_SHARED = 64 << 10


class Patch(enum.Enum):
    """How a patch is to be read."""

    MERGE = "application/merge-patch+json"
    STRATEGIC = "application/strategic-merge-patch+json"
    JSON = "application/json-patch+json"


@dataclass(frozen=True, slots=True)
class Listing(Generic[K]):
    """Objects of one kind as they were at `resource_version`; `more` continues a limited list."""

    items: list[K]
    resource_version: str
    more: str = ""


class Change(msgspec.Struct, Generic[K], frozen=True, gc=False):
    """One event of a watch. A BOOKMARK's object holds only its resource version."""

    type: Literal["ADDED", "MODIFIED", "DELETED", "BOOKMARK"]
    object: K


class _Frame(msgspec.Struct):
    type: str
    object: msgspec.Raw


class _ListMeta(msgspec.Struct, rename="camel"):
    resource_version: str = ""
    continue_: str = msgspec.field(default="", name="continue")


class _List(msgspec.Struct):
    metadata: _ListMeta = msgspec.field(default_factory=_ListMeta)
    items: list[msgspec.Raw] | None = None


_frames = msgspec.json.Decoder(_Frame)
_lists = msgspec.json.Decoder(_List)


class Client:
    """Verbs of the API over `transport`. Every method raises the ApiError that the server answered."""

    def __init__(
        self,
        transport: Transport,
        *,
        user_agent: str = "bireme",
        scheme: Scheme | None = None,
        lane: Lane | None = None,
    ) -> None:
        self._transport, self._lane = transport, lane
        # Its own, to which the kinds that users bring may be added.
        self.scheme = Scheme((scheme or builtin()).resources())
        self._headers = {"user-agent": user_agent, "accept": JSON}

    async def get(self, kind: type[K], name: str, *, namespace: str = "") -> K:
        reply = await self._call("GET", self._path(kind, namespace, name))
        return decode(kind, reply.body)

    async def list(
        self,
        kind: type[K],
        *,
        namespace: str = "",
        labels: str = "",
        fields: str = "",
        limit: int = 0,
        more: str = "",
        resource_version: str = "",
        shared: bool = False,
    ) -> Listing[K]:
        """The objects that the selectors choose; `namespace` "" is every namespace.

        `shared` objects have parts in common with others and are not to be changed (`codec.shared`).
        """
        query = _selection(labels, fields)
        if limit:
            query.append(("limit", str(limit)))
        if more:
            query.append(("continue", more))
        if resource_version:
            query.append(("resourceVersion", resource_version))
        reply = await self._call("GET", self._path(kind, namespace), query)
        page = _lists.decode(reply.body)
        read = _shared if shared else decode
        items = [read(kind, bytes(item)) for item in page.items or ()]
        return Listing(items, page.metadata.resource_version, page.metadata.continue_)

    async def create(self, obj: K, *, dry_run: bool = False, shared: bool = False) -> K:
        """The new object as the server has it; a `shared` one is not to be changed (see `list`)."""
        kind, body = type(obj), encode(obj)
        read = _shared if shared else decode
        if self._lane is not None and not dry_run:
            answers = await self._lane.create(self.scheme.of_type(kind), obj.metadata.namespace, body)
            if answers is not None:
                return read(kind, _good(answers[0]))
        query = [("dryRun", "All")] if dry_run else []
        reply = await self._call("POST", self._path(kind, obj.metadata.namespace), query, body)
        return read(kind, reply.body)

    async def create_alike(self, obj: K, number: int) -> Sequence[K | ApiError]:
        """So many new objects like `obj`, which are named by the server: each as `create` would give it, `shared`.

        One that cannot be made is told in its place and stops no other.
        """
        kind = type(obj)
        if self._lane is not None:
            resource = self.scheme.of_type(kind)
            answers = await self._lane.create(resource, obj.metadata.namespace, encode(obj), number=number)
            if answers is not None:
                return [_made(kind, answer) for answer in answers]
        return _told(await side_by_side(self.create(obj, shared=True) for _ in range(number)))

    async def bind(self, bindings: Sequence[core.Binding]) -> Sequence[ApiError | None]:
        """Give pods their nodes; the errors of those that don't get theirs."""
        if self._lane is not None:
            return [_error(answer) for answer in await self._lane.bind(bindings)]
        return _told(await side_by_side(self._bind(binding) for binding in bindings))

    async def _bind(self, binding: core.Binding) -> None:
        about = binding.metadata
        await self.create_subresource(core.Pod, about.name, "binding", binding, namespace=about.namespace)

    async def update(self, obj: K, *, subresource: str = "") -> K:
        """Replace the object; its resource version, if set, must still be the newest."""
        path = self._path(type(obj), obj.metadata.namespace, obj.metadata.name, subresource)
        reply = await self._call("PUT", path, body=encode(obj))
        return decode(type(obj), reply.body)

    async def patch(
        self,
        kind: type[K],
        name: str,
        patch: Mapping[str, Any] | Sequence[Any],
        *,
        namespace: str = "",
        subresource: str = "",
        how: Patch = Patch.MERGE,
    ) -> K:
        path = self._path(kind, namespace, name, subresource)
        reply = await self._call("PATCH", path, body=orjson.dumps(patch), content_type=how.value)
        return decode(kind, reply.body)

    async def delete(
        self,
        kind: type[Object],
        name: str,
        *,
        namespace: str = "",
        grace_period_s: int | None = None,
        propagation: str = "",
        uid: str = "",
        resource_version: str = "",
    ) -> None:
        """Delete the object, or ask it to end; `uid` and `resource_version` are preconditions."""
        options: dict[str, Any] = {"kind": "DeleteOptions", "apiVersion": "v1"}
        if grace_period_s is not None:
            options["gracePeriodSeconds"] = grace_period_s
        if propagation:
            options["propagationPolicy"] = propagation
        preconditions = {"uid": uid, "resourceVersion": resource_version}
        if uid or resource_version:
            options["preconditions"] = {key: value for key, value in preconditions.items() if value}
        await self._call("DELETE", self._path(kind, namespace, name), body=orjson.dumps(options))

    async def delete_collection(
        self, kind: type[Object], *, namespace: str = "", labels: str = "", fields: str = ""
    ) -> None:
        await self._call("DELETE", self._path(kind, namespace), _selection(labels, fields))

    async def watch(
        self,
        kind: type[K],
        *,
        namespace: str = "",
        labels: str = "",
        fields: str = "",
        resource_version: str = "",
        timeout_s: int = 0,
    ) -> AsyncIterator[Change[K]]:
        """Changes after `resource_version`, until the server ends the stream or says why it cannot go on."""
        query = [*_selection(labels, fields), ("watch", "1"), ("allowWatchBookmarks", "true")]
        if resource_version:
            query.append(("resourceVersion", resource_version))
        if timeout_s:
            query.append(("timeoutSeconds", str(timeout_s)))
        stream = self._transport.stream("GET", self._path(kind, namespace), query, self._headers)
        async with aclosing(_whole_lines(stream)) as parts:  # type: ignore[type-var]
            async for lines in parts:
                read = _shared_changes if len(lines) <= LARGEST_SHARED else _changes
                for change in read(kind, lines):
                    if isinstance(change, bytes):
                        raise from_status(orjson.loads(change))
                    yield change

    async def follow(
        self,
        kind: type[Object],
        told: Told,
        *,
        namespace: str = "",
        labels: str = "",
        fields: str = "",
        resource_version: str,
    ) -> bool:
        """Have `told` hear of each change at once, if this client has a way to that; else False: then `watch`.

        What it is told is shared and not to be changed. Goes on until cancelled; raises as `watch` does.
        """
        if self._lane is None:
            return False
        query = _selection(labels, fields)
        resource = self.scheme.of_type(kind)
        return await self._lane.follow(resource, namespace, query, told, kind=kind, version=resource_version)

    async def create_subresource(
        self, kind: type[Object], name: str, subresource: str, body: Object, *, namespace: str = ""
    ) -> bytes:
        """POST `body` to a subresource (binding, eviction, token) and give back the answer's bytes."""
        path = self._path(kind, namespace, name, subresource)
        return (await self._call("POST", path, body=encode(body))).body

    async def request(
        self,
        method: str,
        path: str,
        *,
        query: Pairs = (),
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
    ) -> Reply:
        """Any request; raises the ApiError of an answer that is no success."""
        reply = await self._transport.request(method, path, query, {**self._headers, **(headers or {})}, body)
        if reply.status >= 400:
            raise from_answer(reply.status, reply.body)
        return reply

    async def close(self) -> None:
        await self._transport.close()

    async def _call(
        self, method: str, path: str, query: Pairs = (), body: bytes = b"", content_type: str = JSON
    ) -> Reply:
        headers = {"content-type": content_type} if body else {}
        return await self.request(method, path, query=query, headers=headers, body=body)

    def _path(self, kind: type[Object], namespace: str, name: str = "", subresource: str = "") -> str:
        return object_path(self.scheme.of_type(kind), namespace, name, subresource)


def _good(answer: Response) -> bytes:
    """The body of a good answer; raises the ApiError of any other."""
    if answer.status >= 400:
        raise from_answer(answer.status, answer.body)
    return answer.body


def _error(answer: Response) -> ApiError | None:
    """What a bad answer says."""
    return from_answer(answer.status, answer.body) if answer.status >= 400 else None


def _made(kind: type[K], answer: Response) -> K | ApiError:
    return _error(answer) or _shared(kind, answer.body)


def _told(outcomes: Sequence[T | Exception]) -> list[T | ApiError]:
    """Outcomes of which some may be errors of the API; raises the first that is any other."""
    found: list[T | ApiError] = []
    for outcome in outcomes:
        if isinstance(outcome, Exception) and not isinstance(outcome, ApiError):
            raise outcome
        found.append(outcome)
    return found


def _changes(kind: type[K], lines: bytes) -> Sequence[Change[K] | bytes]:
    """The events of some lines; of an error the bytes of its Status, which is the last."""
    changes: list[Change[K] | bytes] = []
    for line in lines.split(b"\n"):
        if not line:
            continue
        frame = _frames.decode(line)
        body = bytes(frame.object)
        if frame.type == "ERROR":
            return [*changes, body]
        obj = _shared(kind, body) if len(body) <= LARGEST_SHARED else decode_shared(kind, body)
        changes.append(Change(frame.type, obj))  # type: ignore[arg-type]
    return changes


# Several parts of a process hear of the same write, most of them in the very same bytes, and read it once for all.
# Nobody changes what an informer gave him; `codec.json.copy` is for those who want to.
_shared = functools.lru_cache(maxsize=2048)(decode_shared)
_shared_changes = functools.lru_cache(maxsize=32)(_changes)


def object_path(resource: Resource, namespace: str, name: str = "", subresource: str = "") -> str:
    """Where an object, or with no name the collection, is served."""
    root = f"/apis/{resource.group}/{resource.version}" if resource.group else f"/api/{resource.version}"
    scope = f"/namespaces/{namespace}" if namespace and resource.namespaced else ""
    tail = (f"/{name}" if name else "") + (f"/{subresource}" if subresource else "")
    return f"{root}{scope}/{resource.plural}{tail}"


def _selection(labels: str, fields: str) -> list[tuple[str, str]]:
    return [(key, value) for key, value in (("labelSelector", labels), ("fieldSelector", fields)) if value]


async def _whole_lines(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """One or more lines at a time, however the chunks cut them; chunks that hold whole lines as they are."""
    rest = b""
    async with aclosing(chunks) as parts:  # type: ignore[type-var]
        async for part in parts:
            chunk = rest + part if rest else part
            end = chunk.rfind(b"\n") + 1
            if end:
                yield chunk[:end]
            rest = chunk[end:]
    if rest.strip():
        raise ApiError("the watch was cut in the middle of an event")
