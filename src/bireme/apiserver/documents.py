"""The pages that describe the server: discovery, OpenAPI, and where tokens come from."""

import orjson

from bireme.api.scheme import Scheme
from bireme.http.interface import Request, Response
from bireme.registry.tokens import ServiceAccountTokens


class Documents:
    """Answers GETs of paths that lead to no objects."""

    def __init__(self, scheme: Scheme, tokens: ServiceAccountTokens | None) -> None:
        self._scheme = scheme
        self._tokens = tokens

    def answer(self, request: Request) -> Response | None:
        """The page at the request's path; None if there is none."""
        if request.path == "/.well-known/openid-configuration" and self._tokens is not None:
            return Response(200, orjson.dumps(self._tokens.configuration()))
        if request.path == "/openid/v1/jwks" and self._tokens is not None:
            return Response(200, orjson.dumps(self._tokens.key_set()), {}, "application/jwk-set+json")
        return None
