"""The pages that describe the server: discovery, OpenAPI, and where tokens come from."""

import orjson

from bireme.api.scheme import Scheme
from bireme.apiserver.aggregation import Aggregator
from bireme.apiserver.custom_schemas import CustomDefinitions
from bireme.apiserver.discovery import DiscoveryPages
from bireme.apiserver.negotiation import answer, takes_gzip, wants_pretty
from bireme.apiserver.openapi import OpenApiPages
from bireme.apiserver.pages import Page
from bireme.apiserver.remote_documents import aggregated_groups, group_documents
from bireme.http.interface import Request, Response
from bireme.registry.kinds import Kinds
from bireme.registry.tokens import ServiceAccountTokens

INDEX = (
    "/.well-known/openid-configuration",
    "/api",
    "/apis",
    "/healthz",
    "/livez",
    "/metrics",
    "/openapi/v2",
    "/openapi/v3",
    "/openid/v1/jwks",
    "/readyz",
    "/version",
)


class Documents:
    """Answers GETs of paths that lead to no objects. `address` is the server's own, host:port."""

    def __init__(
        self,
        kinds: Kinds,
        scheme: Scheme,
        tokens: ServiceAccountTokens | None,
        *,
        address: str,
        aggregator: Aggregator | None = None,
    ) -> None:
        self._tokens = tokens
        self._aggregator = aggregator
        self._edition = (0, 0)
        self._kinds = kinds
        self._generation = kinds.generation
        self._discovery = DiscoveryPages(scheme, address=address)
        self._schemas = OpenApiPages(scheme, CustomDefinitions(kinds))

    async def answer(self, request: Request) -> Response | None:
        """The page at the request's path; None if there is none."""
        path = request.path.rstrip("/") or "/"
        if self._aggregator is not None:
            self._follow(self._aggregator)
        if self._generation != self._kinds.generation:
            self._generation = self._kinds.generation
            self._discovery.forget()
            self._schemas.forget()
        if path.startswith("/api"):
            return _from_page(request, self._discovery.page(path, request.headers.get("accept", "")))
        if path.startswith("/openapi/"):
            behind = await self._schema_behind(request, path) if self._aggregator is not None else None
            return behind or self._schema(request, path)
        if path == "/":
            return answer(request, orjson.dumps({"paths": list(INDEX)}))
        if path == "/.well-known/openid-configuration" and self._tokens is not None:
            return answer(request, orjson.dumps(self._tokens.configuration()))
        if path == "/openid/v1/jwks" and self._tokens is not None:
            return Response(200, orjson.dumps(self._tokens.key_set()), {}, "application/jwk-set+json")
        return None

    def _follow(self, aggregator: Aggregator) -> None:
        """Have the pages tell of the servers behind this one as they are now."""
        remotes, documents = aggregator.services.remotes.values(), aggregator.documents
        edition = (aggregator.services.generation, documents.generation)
        if edition == self._edition:
            return
        self._edition = edition
        self._discovery.others = (group_documents(remotes), aggregated_groups(remotes, documents))
        self._schemas.others = [(each, documents.of(each)) for each in remotes]
        self._discovery.forget()
        self._schemas.forget()

    async def _schema_behind(self, request: Request, path: str) -> Response | None:
        """The v3 schema of a group and version that another server serves."""
        aggregator = self._aggregator
        assert aggregator is not None
        remote = aggregator.find(path.removeprefix("/openapi/v3"))
        if remote is None or not path.startswith("/openapi/v3/"):
            return None
        accept = request.headers.get("accept", "application/json")
        reply = await aggregator.ask(remote, request.raw_path, accept=accept)
        kept = ("etag", "cache-control", "vary", "last-modified")
        headers = {name: reply.headers[name] for name in kept if name in reply.headers}
        return Response(reply.status, reply.body, headers, reply.headers.get("content-type", "application/json"))

    def _schema(self, request: Request, path: str) -> Response | None:
        made = _from_page(request, self._schemas.page(path, request.headers.get("accept", "")))
        if made is not None and "hash" not in request.query:
            made.headers = {name: value for name, value in made.headers.items() if name != "cache-control"}
        return made


def _from_page(request: Request, page: Page | None) -> Response | None:
    if page is None:
        return None
    if page.media == "application/json" and wants_pretty(request):
        return answer(request, page.body(), headers=page.headers)
    said = request.headers.get("if-none-match", "")
    status, body, headers = page.answer(gzip=takes_gzip(request), if_none_match=said)
    return Response(status, body, headers, page.media)
