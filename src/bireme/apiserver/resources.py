"""Verbs on objects over HTTP: options in, the registry's verb, the answer in the client's form.

One short method a verb. Left to others: what a verb does (`registry/`), forms (`views.py`), tunnels into pods.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from functools import partial
from random import Random
from typing import Any, Protocol

from bireme.api import patch as patches
from bireme.api.codec.protobuf_fields import message_of
from bireme.api.errors import Expired, ServiceUnavailable, Timeout, UnsupportedMediaType
from bireme.apiserver import bodies, components
from bireme.apiserver.connect_options import connect_options
from bireme.apiserver.deeds import settle_deed
from bireme.apiserver.listed import Listed
from bireme.apiserver.negotiation import COMPRESS_OVER, JSON, PLAIN, Accepted, accepted, answer, encoded, streamed
from bireme.apiserver.protobuf_views import ProtobufView
from bireme.apiserver.reviews import Reviews
from bireme.apiserver.routes import CONNECT_SUBRESOURCES, Route
from bireme.apiserver.views import ObjectView, view_of
from bireme.apiserver.warnings import deprecation_of, with_warnings
from bireme.apiserver.watch import error_frames, send_messages, watch_frames
from bireme.http.interface import Answer, Identity, Request, Response, Stream, WebSocketUpgrade
from bireme.registry import pods, scale
from bireme.registry.apart import apart
from bireme.registry.eviction import evict
from bireme.registry.field_managers import Apply
from bireme.registry.kinds import Kind
from bireme.registry.lists import Page
from bireme.registry.moulds import Moulds
from bireme.registry.options import Call
from bireme.registry.record import Document
from bireme.registry.renewals import is_lease, renew_by_patch, renew_by_update
from bireme.registry.statuses import Statuses, has_short_statuses
from bireme.registry.token_requests import request_token
from bireme.registry.tokens import ServiceAccountTokens
from bireme.registry.verbs import Registry

Tree = dict[str, Any]
MERGE = "application/merge-patch+json"
STRATEGIC = "application/strategic-merge-patch+json"
JSON_PATCH = "application/json-patch+json"
APPLY = "application/apply-patch+yaml"
SHORTEST_WATCH_S, LONGEST_WATCH_S = 1800.0, 3600.0
_BESIDE_STATUS = frozenset({"kind", "apiVersion", "metadata", "status"})


class Tunnels(Protocol):
    """Connections into pods and services: exec, attach, port-forward, logs, proxies."""

    async def handle(self, request: Request, obj: Tree, subresource: str, *, rest: str = "") -> Answer:
        """Serve `subresource` of the pod, service or node `obj`; `rest` is the path behind `proxy`."""
        ...


class ResourceDoor:
    """Serves routes; see the module."""

    def __init__(
        self,
        registry: Registry,
        reviews: Reviews,
        *,
        tokens: ServiceAccountTokens | None,
        tunnels: Tunnels | None,
        random: Random,
    ) -> None:
        self._registry = registry
        self._reviews = reviews
        self._tokens = tokens
        self._tunnels = tunnels
        self._random = random
        self._listed = Listed(registry.clock.monotonic)
        self.moulds = Moulds(registry)
        self._statuses = Statuses(registry)
        self._verbs: Mapping[str, Callable[[Route, Request, Identity], Awaitable[Answer]]] = {
            "get": self._get,
            "list": self._list,
            "watch": self._watch,
            "create": self._create,
            "update": self._update,
            "patch": self._patch,
            "delete": self._delete,
            "deletecollection": self._delete_collection,
        }
        self._posts: Mapping[str, Callable[[Route, Tree, Call], Awaitable[Tree]]] = {
            "binding": self._bind,
            "eviction": self._evict,
            "token": self._token,
        }

    def asks(self, kind: Kind) -> bool:
        """Whether objects of the kind are questions, which are answered and not kept."""
        return self._reviews.knows(kind)

    async def serve(self, route: Route, request: Request, user: Identity) -> Answer:
        """The answer to `request`, which is for `route`."""
        if route.subresource in CONNECT_SUBRESOURCES:
            return await self._connect(route, request, user)
        made = await self._verbs[route.verb](route, request, user)
        deprecation = deprecation_of(route.kind)
        if deprecation and isinstance(made, Response | Stream):
            made.headers = with_warnings(made.headers, [deprecation])
        return made

    # Reading

    async def _get(self, route: Route, request: Request, user: Identity) -> Answer:
        wanted = _wanted(route.kind, request)
        if route.kind.is_a("ComponentStatus"):
            found = components.status_of(route.name)
            return answer(request, self._view(route.kind, wanted, request).object(found), media=wanted.media)
        version = request.query.get("resourceVersion") if request.query.pairs else ""
        document = await self._registry.get(route.kind, route.namespace, route.name, resource_version=version)
        kind = route.kind
        if route.subresource == "scale":
            kind, document = scale.SCALE, scale.scale_document(route.kind, document)
        return answer(request, self._view(kind, wanted, request).object(document), media=wanted.media)

    async def _list(self, route: Route, request: Request, user: Identity) -> Answer:
        wanted = _wanted(route.kind, request)
        if route.kind.is_a("ComponentStatus"):
            chosen = bodies.read_selection(route.kind, "", request.query)
            page = components.statuses(self._registry.cache.revision, chosen)
            return self._page(page, self._view(route.kind, wanted, request), wanted, request)
        selection = bodies.read_selection(route.kind, route.namespace, request.query)
        page = await self._registry.list(route.kind, selection, bodies.read_list_options(request.query))
        view = self._view(route.kind, wanted, request)
        if isinstance(view, ProtobufView):
            await view.prepare(page)
        return self._page(page, view, wanted, request)

    async def _watch(self, route: Route, request: Request, user: Identity) -> Answer:
        wanted = _wanted(route.kind, request, watch=True)
        selection = bodies.read_selection(route.kind, route.namespace, request.query, name=route.name)
        options = bodies.read_watch_options(request.query)
        view = self._view(route.kind, wanted, request)
        try:
            watching = await self._registry.watch(route.kind, selection, options, view)
        except (Expired, Timeout) as error:  # a watch that was allowed says so as an event
            return _watched(request, error_frames(error, wanted.media), wanted.media)
        frames = watch_frames(
            watching,
            view,
            cache=self._registry.cache,
            clock=self._registry.clock,
            timeout_s=options.timeout_s or self._random.uniform(SHORTEST_WATCH_S, LONGEST_WATCH_S),
            bookmarks=options.bookmarks,
            initial_events_end=bool(options.initial_events) and options.bookmarks,
            media=wanted.media,
        )
        return _watched(request, frames, wanted.media, attach=watching.watcher.attach)

    # Writing

    async def _create(self, route: Route, request: Request, user: Identity) -> Answer:
        call = bodies.read_call(request, user)
        if not route.subresource and self.moulds.takes(route.kind, request.body, call) and bodies.is_json(request):
            read = partial(bodies.read_object, request, call)
            document = await self.moulds.create(route.kind, route.namespace, request.body, call, read)
            return self._answer_document(route.kind, request, document, call, status=201)
        tree = await apart(call.large, bodies.read_object, request, call)
        if route.subresource:
            settle_deed(self._registry.intake, route.subresource, tree, call)
            made = await self._posts[route.subresource](route, tree, call)
            status = 201 if made.get("code") is None else int(made["code"])
            return self._answer_tree(request, made, call, status=status)
        if self._reviews.knows(route.kind):
            self._registry.intake.settle(route.kind.resource.gvk, route.kind.definition, tree, call)
            made = await self._reviews.review(route.kind, tree, user, namespace=route.namespace)
            return self._answer_tree(request, made, call, status=201)
        if route.kind.is_a("Binding"):
            settle_deed(self._registry.intake, "binding", tree, call)
            name = (tree.get("metadata") or {}).get("name") or ""
            route = Route(self._registry.kind("", "v1", "pods"), "create", route.namespace, name, "binding")
            return self._answer_tree(request, await self._bind(route, tree, call), call, status=201)
        document = await self._registry.create(route.kind, route.namespace, tree, call)
        return self._answer_document(route.kind, request, document, call, status=201)

    async def _update(self, route: Route, request: Request, user: Identity) -> Answer:
        call = bodies.read_call(request, user)
        tree = await apart(call.large, bodies.read_object, request, call)
        if route.subresource == "scale":
            return await self._change_scale(route, request, lambda _: tree, call)
        if is_lease(route.kind):
            renewed = await renew_by_update(self._registry, route.kind, route.namespace, route.name, tree, call)
            if renewed is not None:
                return self._answer_document(route.kind, request, renewed, call)
        document, created = await self._registry.update(
            route.kind, route.namespace, route.name, tree, call, subresource=route.subresource
        )
        return self._answer_document(route.kind, request, document, call, status=201 if created else 200)

    async def _patch(self, route: Route, request: Request, user: Identity) -> Answer:
        call = bodies.read_call(request, user)
        media = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if media == APPLY:
            return await self._apply(route, request, call)
        if media in (MERGE, STRATEGIC) and is_lease(route.kind) and "force" not in request.query:
            place = (route.kind, route.namespace, route.name)
            renewed = await renew_by_patch(self._registry, *place, request.body, call)
            if renewed is not None:
                return self._answer_document(route.kind, request, renewed, call)
        read = partial(_read_patch, route, request, media)
        if media in (MERGE, STRATEGIC) and _is_plain_status(route, request):
            place = (route.kind, route.namespace, route.name)
            shown = await self._statuses.patch(*place, request.body, media, call, read)
            if shown is not None:
                return self._answer_document(route.kind, request, shown, call)
        _, change = await apart(call.large, read, request.body, call)
        if route.subresource == "scale":
            return await self._change_scale(route, request, change, call)
        document = await self._registry.patch(
            route.kind, route.namespace, route.name, change, call, subresource=route.subresource
        )
        return self._answer_document(route.kind, request, document, call)

    async def _apply(self, route: Route, request: Request, call: Call) -> Answer:
        config, force = await apart(call.large, bodies.read_apply, request, call)
        registry, kind, namespace, name = self._registry, route.kind, route.namespace, route.name
        said = Apply(config, force, route.subresource)
        if route.subresource == "scale":
            made = await scale.apply_scale(registry, kind, namespace, name, said, call)
            return self._answer_document(scale.SCALE, request, made, call)
        document, created = await registry.apply(kind, namespace, name, said, call, subresource=route.subresource)
        return self._answer_document(kind, request, document, call, status=201 if created else 200)

    async def _change_scale(
        self, route: Route, request: Request, change: Callable[[Tree], Tree], call: Call
    ) -> Answer:
        made = await scale.change_scale(self._registry, route.kind, route.namespace, route.name, change, call)
        return self._answer_document(scale.SCALE, request, made, call)

    async def _delete(self, route: Route, request: Request, user: Identity) -> Answer:
        call = bodies.read_delete_call(request, user)
        options = bodies.read_delete_options(request)
        deleted = await self._registry.delete(route.kind, route.namespace, route.name, options, call)
        if not deleted.gone:
            return self._answer_document(route.kind, request, deleted.document, call)
        return self._answer_tree(request, _gone(route, deleted.document), call)

    async def _delete_collection(self, route: Route, request: Request, user: Identity) -> Answer:
        call = bodies.read_delete_call(request, user)
        wanted = _wanted(route.kind, request)
        selection = bodies.read_selection(route.kind, route.namespace, request.query)
        page = await self._registry.delete_collection(
            route.kind,
            selection,
            bodies.read_list_options(request.query),
            bodies.read_delete_options(request),
            call,
        )
        return self._page(page, self._view(route.kind, wanted, request), wanted, request)

    # Parts with verbs of their own

    async def _bind(self, route: Route, tree: Tree, call: Call) -> Tree:
        await pods.bind(self._registry, route.kind, route.namespace, route.name, tree, call)
        return _success(201)

    async def _evict(self, route: Route, tree: Tree, call: Call) -> Tree:
        options = bodies.delete_options_of(tree.get("deleteOptions") or {})
        call.dry_run = call.dry_run or bodies.is_dry_run(tree.get("deleteOptions") or {})
        await evict(self._registry, route.kind, route.namespace, route.name, tree, options, call)
        return _success(201)

    async def _token(self, route: Route, tree: Tree, call: Call) -> Tree:
        await self._registry.admit(route.kind, route.namespace, route.name, "token", tree, call)
        return await request_token(self._registry, self._tokens, route.kind, route.namespace, route.name, tree, call)

    async def _connect(self, route: Route, request: Request, user: Identity) -> Answer:
        if route.subresource != "log":
            options = connect_options(route, request.query)
            place = (route.kind, route.namespace, route.name)
            await self._registry.admit_connect(*place, options, subresource=route.subresource, user=user)
        if self._tunnels is None:
            raise ServiceUnavailable("this server has no way to the nodes")
        if route.subresource == "proxy" and route.kind.is_a("Service"):
            return await self._tunnels.handle(request, _service_target(route), "proxy", rest=route.rest)
        name = route.name.split(":")[1 if route.name.count(":") == 2 else 0] if ":" in route.name else route.name
        document = await self._registry.get(route.kind, route.namespace, name)
        return await self._tunnels.handle(request, document.tree(), route.subresource, rest=route.rest)

    # Answers

    def _view(self, kind: Kind, wanted: Accepted, request: Request) -> ObjectView:
        include = request.query.get("includeObject") if wanted.form else ""
        return view_of(kind, wanted, include=include, now=self._registry.clock.now, listed=self._listed)

    def _page(self, page: Page, view: ObjectView, wanted: Accepted, request: Request) -> Answer:
        left = COMPRESS_OVER
        if all((left := left - len(record.value)) >= 0 for record in page.records):
            return answer(request, b"".join(view.page(page)), media=wanted.media)
        return streamed(request, view.page(page), media=wanted.media)

    def _answer_document(
        self, kind: Kind, request: Request, document: Document, call: Call, *, status: int = 200
    ) -> Response:
        wanted = _wanted(kind, request)
        body = self._view(kind, wanted, request).object(document)
        return answer(request, body, media=wanted.media, status=status, headers=with_warnings({}, call.warnings))

    def _answer_tree(self, request: Request, tree: Tree, call: Call, *, status: int = 200) -> Response:
        media = accepted(request.headers.get("accept", ""), forms=False).media
        headers = with_warnings({}, call.warnings)
        return answer(request, encoded(tree, media), media=media, status=status, headers=headers)


def _watched(
    request: Request,
    frames: AsyncIterator[bytes],
    media: str,
    *,
    attach: Callable[[Callable[[bytes], bool]], None] | None = None,
) -> Answer:
    """A watch as a stream, or as messages where the client wants a WebSocket."""
    if request.headers.get("upgrade", "").lower() != "websocket":
        return Stream(frames, 200, {}, JSON if media == JSON else f"{media};stream=watch", attach)
    offered = request.headers.get("sec-websocket-protocol", "").partition(",")[0].strip()
    return WebSocketUpgrade(lambda socket: send_messages(socket, frames, media), offered)


def _wanted(kind: Kind, request: Request, *, watch: bool = False) -> Accepted:
    header = request.headers.get("accept", "")
    if header in ("", "*/*", JSON):
        return PLAIN
    known = message_of(kind.resource.api_version, kind.resource.kind) is not None
    return accepted(header, protobuf=known, watch=watch)


def _is_plain_status(route: Route, request: Request) -> bool:
    return route.subresource == "status" and has_short_statuses(route.kind) and "force" not in request.query


def _read_patch(
    route: Route, request: Request, media: str, body: bytes, call: Call
) -> tuple[Any, Callable[[Tree], Tree]]:
    """What a patch says, and does to an object. Raises UnsupportedMediaType and what `read_patch` does."""
    custom = route.kind.custom is not None and route.subresource != "scale"
    taken = (JSON_PATCH, MERGE) if custom else (JSON_PATCH, MERGE, STRATEGIC)
    if media not in taken:
        raise UnsupportedMediaType(
            "the body of the request was in an unknown format - accepted media types include: "
            f"{', '.join((*taken, APPLY))}"
        )
    patch = bodies.read_patch(body, request.query, call)
    return patch, _change_of(route, patch, media)


def _change_of(route: Route, patch: Any, media: str) -> Callable[[Tree], Tree]:
    if media == JSON_PATCH:
        return partial(_flipped, patches.json_patch, patch)
    if media == MERGE:
        return partial(_flipped, patches.merge_patch, patch)
    definition = (scale.SCALE if route.subresource == "scale" else route.kind).definition
    if route.subresource == "status" and isinstance(patch, dict):
        return lambda tree: patches.strategic_merge_patch(_touched(tree, patch), patch, definition)
    return lambda tree: patches.strategic_merge_patch(tree, patch, definition)


def _flipped(function: Callable[[Tree, Any], Tree], patch: Any, tree: Tree) -> Tree:
    return function(tree, patch)


def _touched(tree: Tree, patch: Tree) -> Tree:
    """What of an object a patch of its status can change, and what it names besides: the rest stays as it is."""
    return {name: value for name, value in tree.items() if name in _BESIDE_STATUS or name in patch}


def _success(code: int) -> Tree:
    return {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": code}


def _gone(route: Route, document: Document) -> Tree:
    resource = route.kind.resource
    details = {"name": route.name, "group": resource.group, "kind": resource.plural}
    details["uid"] = document.tree()["metadata"].get("uid", "")
    return {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Success",
        "details": {name: value for name, value in details.items() if value},
    }


def _service_target(route: Route) -> Tree:
    return {"kind": "Service", "metadata": {"namespace": route.namespace, "name": route.name}}
